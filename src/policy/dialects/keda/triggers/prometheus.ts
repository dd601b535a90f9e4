import { parseFloat64, parseJson } from "../go.ts";
import { indexedMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface PrometheusTrigger extends TriggerMetric {
  readonly serverAddress: string;
  readonly query: string;
  /** An empty answer, NaN and the infinities are 0; otherwise they are errors. */
  readonly ignoreNullValues: boolean;
}

export function parsePrometheus(config: TriggerConfig): PrometheusTrigger {
  const parameters = parametersOf("prometheus", config);
  return {
    name: indexedMetricName(config.index, "prometheus"),
    serverAddress: parameters.required("serverAddress"),
    query: parameters.required("query"),
    target: parameters.float("threshold", null),
    activation: parameters.float("activationThreshold", 0),
    ignoreNullValues: parameters.bool("ignoreNullValues", true),
  };
}

export const prometheusTrigger: TriggerKind = { types: ["prometheus"], metric: parsePrometheus };

/**
 * The value of an instant query's answer: a vector of none or one element. A null value is -1, which activates nothing and is
 * shown to the HPA as 0. @throws KedaError for any other answer
 */
export function prometheusValue(status: number, body: string, ignoreNullValues: boolean): number {
  if (status < 200 || status > 299) throw new KedaError(`the Prometheus server answered ${status}`);
  const nothing = (what: string): number => {
    if (ignoreNullValues) return 0;
    throw new KedaError(`the Prometheus query gives ${what}; with ignoreNullValues: "true" that counts as 0`);
  };
  const result = vectorOf(parseJson(body));
  const [element] = result;
  if (element === undefined) return nothing("no element");
  if (result.length > 1) throw new KedaError(`the Prometheus query gives ${result.length} elements; aggregate them to one`);
  const pair = element.value ?? [];
  if (pair.length === 0) return nothing("no value");
  const [, text] = pair;
  if (text === undefined) throw new KedaError("the Prometheus query gives a time without a value");
  if (text === null) return -1;
  const value = typeof text === "string" ? parseFloat64(text) : null;
  if (value === null) throw new KedaError(`the Prometheus query gives ${JSON.stringify(text)}, which is no number`);
  return Number.isFinite(value) ? value : nothing(String(text));
}

type Element = { readonly value?: readonly unknown[] | null };

function vectorOf(answer: unknown): readonly Element[] {
  const field = (value: unknown, name: string): unknown => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return (value as Record<string, unknown>)[name] ?? undefined;
    throw new KedaError("the Prometheus server's answer has not the form of a query result");
  };
  const data = field(answer, "data");
  const result = data === undefined ? undefined : field(data, "result");
  if (result === undefined) return [];
  const isElement = (value: unknown): value is Element =>
    typeof value === "object" && value !== null && !Array.isArray(value) && isPair((value as { value?: unknown }).value);
  if (Array.isArray(result) && result.every(isElement)) return result;
  throw new KedaError("the Prometheus query gives no vector");
}

const isPair = (value: unknown): boolean => value === undefined || value === null || Array.isArray(value);
