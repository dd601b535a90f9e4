import { indexedMetricName, normalizeMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

/** Names of the parameters that hold target and activation; a target without default must be given. */
interface Rule {
  readonly target: readonly string[];
  readonly default: number | null;
  readonly activation: string;
}

const rule = (target: string | readonly string[], fallback: number | null, activation: string): Rule => ({
  target: typeof target === "string" ? [target] : target,
  default: fallback,
  activation,
});

/**
 * Triggers that compare one number with a target and are active above their activation value, strictly. Their values come from
 * a source of their own; here they are named and measured. Source: the KEDA documentation's page of each scaler.
 */
const RULES: Readonly<Record<string, Rule>> = {
  activemq: rule("targetQueueSize", 10, "activationTargetQueueSize"),
  arangodb: rule("queryValue", null, "activationQueryValue"),
  "artemis-queue": rule("queueLength", 10, "activationQueueLength"),
  "aws-dynamodb": rule("targetValue", null, "activationTargetValue"),
  "aws-dynamodb-streams": rule("shardCount", 2, "activationShardCount"),
  "aws-kinesis-stream": rule("shardCount", 2, "activationShardCount"),
  "azure-app-insights": rule("targetValue", null, "activationTargetValue"),
  "azure-blob": rule("blobCount", 5, "activationBlobCount"),
  "azure-data-explorer": rule("threshold", null, "activationThreshold"),
  "azure-eventhub": rule("unprocessedEventThreshold", 64, "activationUnprocessedEventThreshold"),
  "azure-log-analytics": rule("threshold", null, "activationThreshold"),
  "azure-pipelines": rule("targetPipelinesQueueLength", 1, "activationTargetPipelinesQueueLength"),
  "azure-servicebus": rule("messageCount", 5, "activationMessageCount"),
  beanstalkd: rule("value", null, "activationValue"),
  cassandra: rule("targetQueryValue", null, "activationTargetQueryValue"),
  clickhouse: rule("targetQueryValue", null, "activationTargetQueryValue"),
  couchdb: rule("queryValue", null, "activationQueryValue"),
  datadog: rule(["queryValue", "targetValue"], null, "activationQueryValue"),
  dynatrace: rule("threshold", null, "activationThreshold"),
  "elastic-forecast": rule("targetValue", null, "activationTargetValue"),
  elasticsearch: rule("targetValue", null, "activationTargetValue"),
  etcd: rule("value", null, "activationValue"),
  "forgejo-runner": rule("targetValue", 1, "activationTargetValue"),
  "gcp-cloudtasks": rule("value", 100, "activationValue"),
  "gcp-spanner": rule("targetValue", null, "activationTargetValue"),
  "gcp-storage": rule("targetObjectCount", 100, "activationTargetObjectCount"),
  "github-runner": rule("targetWorkflowQueueLength", 1, "activationTargetWorkflowQueueLength"),
  graphite: rule("threshold", null, "activationThreshold"),
  "huawei-cloudeye": rule("targetMetricValue", null, "activationTargetMetricValue"),
  ibmmq: rule("queueDepth", 20, "activationQueueDepth"),
  influxdb: rule("thresholdValue", null, "activationThresholdValue"),
  "kubernetes-resource": rule("value", null, "activationValue"),
  liiklus: rule("lagThreshold", 10, "activationLagThreshold"),
  loki: rule("threshold", null, "activationThreshold"),
  mongodb: rule("queryValue", null, "activationQueryValue"),
  mssql: rule("targetValue", null, "activationTargetValue"),
  mysql: rule("queryValue", null, "activationQueryValue"),
  "new-relic": rule("threshold", null, "activationThreshold"),
  nsq: rule("depthThreshold", 10, "activationDepthThreshold"),
  opensearch: rule("targetValue", null, "activationTargetValue"),
  "openstack-metric": rule("threshold", null, "activationThreshold"),
  "openstack-swift": rule("objectCount", 2, "activationObjectCount"),
  predictkube: rule("threshold", null, "activationThreshold"),
  pulsar: rule("msgBacklogThreshold", 10, "activationMsgBacklogThreshold"),
  "selenium-grid": rule("targetQueueLength", 1, "activationThreshold"),
  "solace-direct-messaging": rule("queuedMessagesTarget", 1, "activationQueuedMessagesTarget"),
  "solace-event-queue": rule(
    ["messageCountTarget", "messageSpoolUsageTarget", "messageReceiveRateTarget"],
    null,
    "activationMessageCountTarget",
  ),
  solarwinds: rule("targetValue", null, "activationValue"),
  solr: rule("targetQueryValue", null, "activationTargetQueryValue"),
  splunk: rule("targetValue", null, "activationValue"),
  "splunk-observability": rule("targetValue", null, "activationTargetValue"),
  sumologic: rule("threshold", null, "activationThreshold"),
  temporal: rule("targetQueueSize", 5, "activationTargetQueueSize"),
};

export const otherTriggers: TriggerKind = {
  types: Object.keys(RULES),
  metric(config: TriggerConfig, type): TriggerMetric {
    const { target: names, default: fallback, activation } = RULES[type] as Rule;
    const parameters = parametersOf(type, config);
    const given = names.find((name) => parameters.has(name));
    if (given === undefined && fallback === null && config.asMetricSource !== true) {
      throw new KedaError(`trigger ${type}: ${names.join(" or ")} is missing; give the target`);
    }
    return {
      name: indexedMetricName(config.index, normalizeMetricName(type)),
      target: given === undefined ? (fallback ?? 0) : parameters.float(given, null),
      activation: parameters.float(activation, 0),
    };
  },
};
