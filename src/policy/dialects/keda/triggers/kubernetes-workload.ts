import { labelsPass, parseSelector } from "../../hpa/index.ts";
import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface WorkloadTrigger extends TriggerMetric {
  readonly selects: (labels: Readonly<Record<string, string>>) => boolean;
  readonly groupByNode: boolean;
  readonly namespace: string;
}

const OPERATORS = { in: "In", notin: "NotIn", exists: "Exists", absent: "DoesNotExist" } as const;

/** @throws KedaError */
export function parseWorkload(config: TriggerConfig): WorkloadTrigger {
  const type = "kubernetes-workload";
  const parameters = parametersOf(type, config);
  const text = parameters.required("podSelector");
  const requirements = parseSelector(text);
  if (requirements === null)
    throw new KedaError(`trigger ${type}: podSelector ${JSON.stringify(text)} is no label selector, such as app=llm`);
  const selector = {
    matchLabels: {},
    matchExpressions: requirements.map(({ key, operator, values }) => ({ key, operator: OPERATORS[operator], values })),
  };
  const target = parameters.float("value", config.asMetricSource === true ? 0 : null);
  if (target <= 0 && config.asMetricSource !== true) throw new KedaError(`trigger ${type}: value is ${target}; it must be above 0`);
  const namespace = config.namespace ?? "default";
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`workload-${namespace}`)),
    target,
    activation: parameters.float("activationValue", 0),
    selects: (labels) => labelsPass(selector, labels),
    groupByNode: parameters.bool("groupByNode", false),
    namespace,
  };
}

export const workloadTrigger: TriggerKind = { types: ["kubernetes-workload"], metric: parseWorkload };

export interface WorkloadPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly phase: string;
  /** "": not scheduled. */
  readonly node: string;
}

/** Pods of the namespace that are not over, or the nodes that they are on. */
export function workloadCount(pods: readonly WorkloadPod[], trigger: WorkloadTrigger): number {
  const counted = pods.filter(
    ({ namespace, labels, phase }) =>
      namespace === trigger.namespace && phase !== "Succeeded" && phase !== "Failed" && trigger.selects(labels),
  );
  return trigger.groupByNode ? new Set(counted.map(({ node }) => node).filter((node) => node !== "")).size : counted.length;
}
