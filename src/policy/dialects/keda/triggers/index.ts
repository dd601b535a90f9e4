/** Every trigger of KEDA as a pure formula: its metric's name, target and activation, and how a source's answer becomes a value. */
import { KedaError } from "../words.ts";
import { cloudwatchTrigger } from "./aws-cloudwatch.ts";
import { sqsTrigger } from "./aws-sqs-queue.ts";
import { azureMonitorTrigger, azureQueueTrigger } from "./azure.ts";
import { cronTrigger } from "./cron.ts";
import { externalTrigger } from "./external.ts";
import { pubsubTrigger, stackdriverTrigger } from "./gcp.ts";
import { kafkaTrigger } from "./kafka.ts";
import { workloadTrigger } from "./kubernetes-workload.ts";
import { metricsApiTrigger } from "./metrics-api.ts";
import { natsTrigger } from "./nats-jetstream.ts";
import { otherTriggers } from "./others.ts";
import { postgresqlTrigger } from "./postgresql.ts";
import { prometheusTrigger } from "./prometheus.ts";
import { rabbitTrigger } from "./rabbitmq.ts";
import { redisStreamsTrigger, redisTrigger } from "./redis.ts";
import type { TriggerConfig, TriggerKind, TriggerMetric } from "./trigger.ts";

const KINDS: readonly TriggerKind[] = [
  prometheusTrigger,
  kafkaTrigger,
  sqsTrigger,
  azureQueueTrigger,
  cloudwatchTrigger,
  azureMonitorTrigger,
  stackdriverTrigger,
  pubsubTrigger,
  rabbitTrigger,
  redisTrigger,
  redisStreamsTrigger,
  natsTrigger,
  postgresqlTrigger,
  metricsApiTrigger,
  cronTrigger,
  workloadTrigger,
  externalTrigger,
  otherTriggers,
];
const BY_TYPE = new Map(KINDS.flatMap((kind) => kind.types.map((type) => [type, kind] as const)));

/** As `triggers[].type` has them, cpu and memory included. */
export const TRIGGER_TYPES: readonly string[] = [...BY_TYPE.keys(), "cpu", "memory"].sort();

/** The metric of an external trigger. @throws KedaError for an unknown type, and for metadata that the scaler refuses */
export function triggerMetric(type: string, config: TriggerConfig): TriggerMetric {
  const kind = BY_TYPE.get(type);
  if (kind === undefined) throw new KedaError(`no scaler for trigger type ${JSON.stringify(type)}`);
  return kind.metric(config, type);
}
