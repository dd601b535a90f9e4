import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { neededTarget, parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface AzureQueueTrigger extends TriggerMetric {
  readonly strategy: "all" | "visibleonly";
}

/** @throws KedaError */
function parseAzureQueue(config: TriggerConfig): AzureQueueTrigger {
  const parameters = parametersOf("azure-queue", config);
  const queueName = parameters.required("queueName");
  if (!parameters.has("connection", "TAE") && !parameters.has("accountName", "TA")) {
    throw new KedaError("trigger azure-queue: give connection, or accountName with a workload identity");
  }
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`azure-queue-${queueName}`)),
    target: parameters.integer("queueLength", 5),
    activation: parameters.integer("activationQueueLength", 0),
    strategy: parameters.oneOf("queueLengthStrategy", ["all", "visibleonly"], "all"),
  };
}

/** A peek shows at most so many messages. */
const PEEKED = 32;

/** Visible messages where a peek shows all of them; otherwise the approximate count, invisible ones included. */
export const azureQueueLength = (strategy: AzureQueueTrigger["strategy"], peeked: number, approximate: number): number =>
  strategy === "visibleonly" && peeked < PEEKED ? peeked : approximate;

const AGGREGATIONS = ["Average", "Total", "Maximum", "Minimum", "Count"] as const;

/** @throws KedaError */
function parseAzureMonitor(config: TriggerConfig): TriggerMetric {
  const type = "azure-monitor";
  const parameters = parametersOf(type, config);
  for (const name of ["resourceURI", "tenantId", "subscriptionId", "resourceGroupName", "metricAggregationType"]) {
    parameters.required(name, name === "tenantId" || name === "subscriptionId" ? "TA" : "T");
  }
  if (parameters.required("resourceURI").split("/").length !== 3) {
    throw new KedaError(`trigger ${type}: resourceURI has not the form NAMESPACE/TYPE/NAME`);
  }
  parameters.oneOf("metricAggregationType", AGGREGATIONS, "Average");
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`azure-monitor-${parameters.required("metricName")}`)),
    target: neededTarget(type, parameters, "targetValue", config),
    activation: parameters.float("activationTargetValue", 0),
  };
}

/** The last point of the first time series. @throws KedaError where it has no aggregate */
export function azureMonitorValue(series: readonly (readonly (number | null)[])[]): number {
  const value = series[0]?.at(-1);
  if (value !== undefined && value !== null) return value;
  throw new KedaError("Azure Monitor gives no aggregate for the last point of the series");
}

export const azureQueueTrigger: TriggerKind = { types: ["azure-queue"], metric: parseAzureQueue };
export const azureMonitorTrigger: TriggerKind = { types: ["azure-monitor"], metric: parseAzureMonitor };
