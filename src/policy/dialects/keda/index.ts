/** KEDA's ScaledObject, ScaledJob and HTTPScaledObject, exactly: its own functions, and Policies made of them. */

export { isAdditive } from "../../reading.ts";
export {
  ANNOTATION,
  forcesActivation,
  hasPausedAnnotation,
  needsToBePaused,
  pausedReplicaCount,
  pausesScaleIn,
  pausesScaleOut,
} from "./annotations.ts";
export { kedaDialect } from "./dialect.ts";
export { requestScale, type ScaleBranch, type ScaleRequest, type ScaleResult } from "./executor.ts";
export { type FallbackInput, type FallbackOutcome, isFallbackUsable, isInFallback, withFallback } from "./fallback.ts";
export { compileFormula, type Formula } from "./formula/formula.ts";
export { parseGoDuration } from "./go.ts";
export { type HpaCondition, type HpaHealth, hpaHealth } from "./hpa-health.ts";
export { hpaDocument, hpaSpec } from "./hpa-spec.ts";
export { averageRequests, type RequestBuckets, recordRequests, requestBuckets } from "./http/bucket-average.ts";
export {
  httpScaledObjectValue,
  httpTargets,
  httpValues,
  isHttpActive,
  type RouteCount,
  type ScalingMetric,
} from "./http/interceptor.ts";
export { httpScalingOf } from "./http-scaled-object.ts";
export { COMPOSITE_METRIC, indexedMetricName, normalizeMetricName, stripMetricIndex } from "./metric-name.ts";
export { metricMilli, metricTargetType } from "./metric-value.ts";
export { compositeOf, readTriggers, scaledObjectState, type TriggerAnswer } from "./metrics.ts";
export { compositeMilli, isUsingModifiers, modifierTriggerValue, pairMetric } from "./modifiers.ts";
export {
  combineJobScalers,
  effectiveMaxScale,
  isJobPending,
  type JobCounts,
  type JobPod,
  type JobScaler,
  jobBounds,
  jobDecision,
  jobReadiness,
  jobsToStart,
  type ScalingStrategy,
  selectJobStrategy,
  targetAverageValue,
} from "./scaled-job.ts";
export { scalingStrategyOf } from "./scaled-job-policy.ts";
export {
  compileScaledObject,
  fallbackIssues,
  hpaBounds,
  type KedaIssue,
  metadataIssues,
  replicaBoundIssues,
  type ScaledObject,
  scaledObjectIssues,
  triggerIssues,
  triggersOf,
} from "./scaled-object.ts";
export { kedaKind, seriesKey, signalOfQuery } from "./series.ts";
export { cloudwatchValue, cloudwatchWindow, parseCloudwatch } from "./triggers/aws-cloudwatch.ts";
export { parseSqs, sqsQueueLength } from "./triggers/aws-sqs-queue.ts";
export { azureMonitorValue, azureQueueLength, parseAzureMonitor, parseAzureQueue } from "./triggers/azure.ts";
export { type CronTrigger, cronMetricName, cronReading, parseCronTrigger } from "./triggers/cron.ts";
export { nextFiring, parseCron, timeZone } from "./triggers/cron-schedule.ts";
export { externalMetrics, externalValue, preferFloat } from "./triggers/external.ts";
export { monitoringValue, parsePubsub, parseStackdriver, pubsubMetricType } from "./triggers/gcp.ts";
export { TRIGGER_TYPES, triggerMetric } from "./triggers/index.ts";
export {
  countedPartitions,
  factorsOf,
  type KafkaTrigger,
  kafkaReading,
  nextFactor,
  type PartitionLag,
  parseKafka,
  parsePartitionLimitation,
  partitionLag,
} from "./triggers/kafka.ts";
export { parseWorkload, type WorkloadPod, workloadCount } from "./triggers/kubernetes-workload.ts";
export { aggregateEndpoints, metricsApiValue, parseMetricsApi } from "./triggers/metrics-api.ts";
export { type NatsStream, natsLag, natsStreamOf, parseNats } from "./triggers/nats-jetstream.ts";
export { parsePostgresql, postgresqlValue } from "./triggers/postgresql.ts";
export { parsePrometheus, prometheusValue } from "./triggers/prometheus.ts";
export { composeQueues, parseRabbit, type RabbitQueue, rabbitQueue, rabbitReading, rabbitVhost } from "./triggers/rabbitmq.ts";
export { parseRedis, parseRedisStreams, redisLengthCommand, streamLag } from "./triggers/redis.ts";
export { resourceMetric } from "./triggers/resource.ts";
export { activeAbove, type TriggerConfig, type TriggerMetric, type TriggerReading } from "./triggers/trigger.ts";
export { HTTP_DEFAULTS, KEDA_DEFAULTS, KEDA_NEWEST } from "./version.ts";
export {
  type Annotations,
  FALLBACK_BEHAVIORS,
  type Fallback,
  type Health,
  isResourceTrigger,
  KedaError,
  type ScalingModifiers,
  type Trigger,
} from "./words.ts";
