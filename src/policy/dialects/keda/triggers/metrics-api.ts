import { parse as parseYaml } from "yaml";
import { parseExposition } from "../../../../engine/index.ts";
import { messageOf } from "../../../../model/index.ts";
import { parseQuantity, toNumber } from "../../hpa/index.ts";
import { parseJson } from "../go.ts";
import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { jsonAt } from "./json-path.ts";
import { neededTarget, parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";
import { parseXml } from "./xml.ts";

const FORMATS = ["json", "prometheus", "xml", "yaml"] as const;
type MetricsApiFormat = (typeof FORMATS)[number];
const AGGREGATIONS = ["average", "sum", "max", "min"] as const;
export type MetricsApiAggregation = (typeof AGGREGATIONS)[number];

interface MetricsApiTrigger extends TriggerMetric {
  readonly url: string;
  readonly valueLocation: string;
  readonly format: MetricsApiFormat;
  /** One value over all ready endpoints of the service that `url` names; `null`: `url` alone is asked. */
  readonly aggregation: MetricsApiAggregation | null;
}

/** @throws KedaError */
function parseMetricsApi(config: TriggerConfig): MetricsApiTrigger {
  const type = "metrics-api";
  const parameters = parametersOf(type, config);
  const valueLocation = parameters.required("valueLocation");
  const aggregation = parameters.oneOf("aggregationType", AGGREGATIONS, "average");
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`metric-api-${valueLocation}`)),
    target: neededTarget(type, parameters, "targetValue", config),
    activation: parameters.float("activationTargetValue", 0),
    url: parameters.required("url"),
    valueLocation,
    format: parameters.oneOf("format", FORMATS, "json"),
    aggregation: parameters.bool("aggregateFromKubeServiceEndpoints", false) ? aggregation : null,
  };
}

export const metricsApiTrigger: TriggerKind = { types: ["metrics-api"], metric: parseMetricsApi };

/** The number at `location` of an answer. @throws KedaError where there is none */
export function metricsApiValue(format: string, body: string, location: string): number {
  switch (format) {
    case "json":
      return numberAt(jsonAt(parseJson(body), location), location);
    case "yaml":
      return numberAt(fieldAt(yamlOf(body), location), location);
    case "xml":
      return numberAt(fieldAt(parseXml(body), location), location);
    case "prometheus":
      return sampleAt(body, location);
    default:
      throw new KedaError(`trigger metrics-api: format is ${JSON.stringify(format)}; use one of ${FORMATS.join(", ")}`);
  }
}

/** A number, or the text of a quantity such as "1Ki" or "100m". */
function numberAt(value: unknown, location: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  try {
    if (typeof value === "string") return toNumber(parseQuantity(value));
  } catch {
    // Named below.
  }
  throw new KedaError(`${location} of the answer is ${JSON.stringify(value) ?? "missing"}; it must be a number or a quantity`);
}

function yamlOf(body: string): unknown {
  try {
    return parseYaml(body, { schema: "core" });
  } catch (error) {
    throw new KedaError(`the answer is not YAML: ${messageOf(error)}`);
  }
}

/** Keys and list indices between dots; a value before the path's end ends it. */
function fieldAt(document: unknown, path: string): unknown {
  let value = document;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null) return value;
    if (!Object.hasOwn(value, key)) throw new KedaError(`the answer has no ${key} on the way to ${path}`);
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

const SELECTOR = /^\s*([a-zA-Z_:][\w:]*)?\s*(?:\{((?:[^"'}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\})?\s*$/;
const MATCHER = /^\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')\s*$/;

/** Name and labels of a PromQL selector; the operators are read and then all taken for equality, as KEDA does. */
function selectorOf(text: string): { readonly name: string; readonly labels: readonly (readonly [string, string])[] } {
  const found = SELECTOR.exec(text);
  const wrong = () => new KedaError(`valueLocation ${text} is no metric selector, such as queue_size{queue="a"}`);
  if (found === null) throw wrong();
  const parts = (found[2] ?? "").split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).filter((part) => part.trim() !== "");
  const labels = parts.map((part): readonly [string, string] => {
    const matcher = MATCHER.exec(part);
    if (matcher === null) throw wrong();
    return [matcher[1] as string, (matcher[3] ?? matcher[4] ?? "").replace(/\\(.)/g, "$1")];
  });
  const name = found[1] ?? labels.find(([label]) => label === "__name__")?.[1];
  if (name === undefined || name === "") throw wrong();
  return { name, labels: labels.filter(([label]) => label !== "__name__") };
}

/** The first sample of a counter, gauge or untyped metric whose labels are all equal. */
function sampleAt(body: string, location: string): number {
  const { name, labels } = selectorOf(location);
  const declared = new RegExp(`^# TYPE ${name} (\\w+)\\s*$`, "m").exec(body)?.[1] ?? "untyped";
  if (declared === "histogram" || declared === "summary")
    throw new KedaError(`${name} is a ${declared}; a counter or a gauge has one value`);
  let samples: ReturnType<typeof parseExposition>;
  try {
    samples = parseExposition(body, (other) => other === name);
  } catch (error) {
    throw new KedaError(messageOf(error));
  }
  const sample = samples.get(name)?.find((candidate) => labels.every(([label, value]) => candidate.labels[label] === value));
  if (sample === undefined) throw new KedaError(`the answer has no sample of ${location}`);
  return sample.value;
}

/**
 * One value over endpoints; those that failed (`null`) are left out. `error`: all have failed; the value still goes with it.
 */
export function aggregateEndpoints(
  aggregation: MetricsApiAggregation,
  values: readonly (number | null)[],
): { readonly value: number; readonly error: boolean } {
  const given = values.filter((value) => value !== null);
  const error = values.length > 0 && given.length === 0;
  const sum = given.reduce((total, value) => total + value, 0);
  if (aggregation === "average") return { value: sum / given.length, error };
  if (aggregation === "sum" || given.length === 0) return { value: sum, error };
  return { value: aggregation === "max" ? Math.max(...given) : Math.min(...given), error };
}
