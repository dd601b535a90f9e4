/** KEDA's ScaledObject, ScaledJob and HTTPScaledObject, exactly: its own functions, and Policies made of them. */
export { isAdditive } from "../../reading.ts";
export { ANNOTATION, hasPausedAnnotation, needsToBePaused, pausedReplicaCount } from "./annotations.ts";
export { kedaDialect } from "./dialect.ts";
export { requestScale } from "./executor.ts";
export { isInFallback, withFallback } from "./fallback.ts";
export { compileFormula } from "./formula/formula.ts";
export { parseGoDuration } from "./go.ts";
export { type HpaCondition, hpaHealth } from "./hpa-health.ts";
export { averageRequests, recordRequests, requestBuckets } from "./http/bucket-average.ts";
export { httpTargets, httpValues, isHttpActive, type RouteCount, type ScalingMetric } from "./http/interceptor.ts";
export { httpScalingOf } from "./http-scaled-object.ts";
export { COMPOSITE_METRIC, normalizeMetricName, stripMetricIndex } from "./metric-name.ts";
export { metricMilli, metricTargetType } from "./metric-value.ts";
export { compositeMilli, isUsingModifiers, modifierTriggerValue, pairMetric } from "./modifiers.ts";
export {
  combineJobScalers,
  effectiveMaxScale,
  isJobPending,
  type JobPod,
  jobBounds,
  jobDecision,
  type ScalingStrategy,
  selectJobStrategy,
  targetAverageValue,
} from "./scaled-job.ts";
export {
  fallbackIssues,
  hpaBounds,
  type KedaIssue,
  metadataIssues,
  replicaBoundIssues,
  scaledObjectIssues,
  triggerIssues,
  triggersOf,
} from "./scaled-object.ts";
export { kedaKind, seriesKey, signalOfQuery } from "./series.ts";
export { cloudwatchValue, cloudwatchWindow } from "./triggers/aws-cloudwatch.ts";
export { sqsQueueLength } from "./triggers/aws-sqs-queue.ts";
export { cronMetricName, cronReading, parseCronTrigger } from "./triggers/cron.ts";
export { externalMetrics } from "./triggers/external.ts";
export { triggerMetric } from "./triggers/index.ts";
export { countedPartitions, factorsOf, nextFactor, parseKafka, parsePartitionLimitation, partitionLag } from "./triggers/kafka.ts";
export { parseWorkload, type WorkloadPod, workloadCount } from "./triggers/kubernetes-workload.ts";
export { aggregateEndpoints, metricsApiValue } from "./triggers/metrics-api.ts";
export { type NatsStream, natsLag, natsStreamOf } from "./triggers/nats-jetstream.ts";
export { prometheusValue } from "./triggers/prometheus.ts";
export { composeQueues, parseRabbit, type RabbitQueue, rabbitQueue, rabbitReading, rabbitVhost } from "./triggers/rabbitmq.ts";
export { activeAbove } from "./triggers/trigger.ts";
export {
  FALLBACK_BEHAVIORS,
  type Fallback,
  type Health,
  isResourceTrigger,
  KedaError,
  type ScalingModifiers,
  type Trigger,
} from "./words.ts";
