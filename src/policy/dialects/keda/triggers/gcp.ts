import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

interface GcpTrigger extends TriggerMetric {
  /** What an answer without a series counts as; `null`: an error. */
  readonly valueIfNull: number | null;
}

/** @throws KedaError */
function parseStackdriver(config: TriggerConfig): GcpTrigger {
  const type = "gcp-stackdriver";
  const parameters = parametersOf(type, config);
  const projectId = parameters.required("projectId");
  parameters.required("filter");
  const alignment = parameters.integer("alignmentPeriodSeconds", 0);
  if (alignment !== 0 && alignment < 60) throw new KedaError(`trigger ${type}: alignmentPeriodSeconds is ${alignment}; use 60 or more`);
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`gcp-stackdriver-${projectId}`)),
    target: parameters.float("targetValue", 5),
    activation: parameters.float("activationTargetValue", 0),
    valueIfNull: parameters.has("valueIfNull") ? parameters.float("valueIfNull", null) : null,
  };
}

/** @throws KedaError */
function parsePubsub(config: TriggerConfig): GcpTrigger {
  const type = "gcp-pubsub";
  const parameters = parametersOf(type, config);
  const subscription = parameters.text("subscriptionName", "", "TE");
  const topic = parameters.text("topicName", "", "TE");
  if ((subscription === "") === (topic === "")) throw new KedaError(`trigger ${type}: give exactly one of subscriptionName and topicName`);
  if (parameters.has("subscriptionSize")) throw new KedaError(`trigger ${type}: subscriptionSize is no longer taken; use mode and value`);
  return {
    name: indexedMetricName(config.index, normalizeMetricName(`gcp-ps-${subscription || topic}`)),
    target: parameters.float("value", 10),
    activation: parameters.float("activationValue", 0),
    valueIfNull: parameters.has("valueIfNull") ? parameters.float("valueIfNull", null) : null,
  };
}

/** "OldestUnackedMessageAge" as "oldest_unacked_message_age"; SubscriptionSize is the number of undelivered messages. */
export function pubsubMetricType(mode: string, of: "subscription" | "topic"): string {
  const name = mode === "SubscriptionSize" ? "NumUndeliveredMessages" : mode;
  const snake = name.replace(/(?<!^)([A-Z])/g, "_$1").toLowerCase();
  return `pubsub.googleapis.com/${of}/${snake}`;
}

/** The newest point of the first time series; a series without points is -1. @throws KedaError without a series and a value for that */
export function monitoringValue(series: readonly (readonly number[])[], valueIfNull: number | null): number {
  const [first] = series;
  if (first !== undefined) return first[0] ?? -1;
  if (valueIfNull !== null) return valueIfNull;
  throw new KedaError("Cloud Monitoring gives no time series; valueIfNull says what that counts as");
}

export const stackdriverTrigger: TriggerKind = { types: ["gcp-stackdriver"], metric: parseStackdriver };
export const pubsubTrigger: TriggerKind = { types: ["gcp-pubsub"], metric: parsePubsub };
