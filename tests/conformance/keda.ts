import {
  activeAbove,
  aggregateEndpoints,
  averageRequests,
  COMPOSITE_METRIC,
  cloudwatchValue,
  cloudwatchWindow,
  combineJobScalers,
  compileFormula,
  composeQueues,
  compositeMilli,
  countedPartitions,
  cronMetricName,
  cronReading,
  effectiveMaxScale,
  externalMetrics,
  type Fallback,
  factorsOf,
  fallbackIssues,
  type Health,
  type HpaCondition,
  hasPausedAnnotation,
  hpaBounds,
  hpaHealth,
  httpTargets,
  httpValues,
  isHttpActive,
  isInFallback,
  isJobPending,
  isUsingModifiers,
  type JobPod,
  jobBounds,
  jobDecision,
  metricMilli,
  metricsApiValue,
  metricTargetType,
  modifierTriggerValue,
  type NatsStream,
  natsLag,
  natsStreamOf,
  needsToBePaused,
  nextFactor,
  normalizeMetricName,
  pairMetric,
  parseCronTrigger,
  parseKafka,
  parsePartitionLimitation,
  parseRabbit,
  parseWorkload,
  partitionLag,
  pausedReplicaCount,
  prometheusValue,
  type RabbitQueue,
  type RouteCount,
  rabbitQueue,
  rabbitReading,
  rabbitVhost,
  recordRequests,
  replicaBoundIssues,
  requestBuckets,
  requestScale,
  type ScalingMetric,
  type ScalingModifiers,
  type ScalingStrategy,
  selectJobStrategy,
  sqsQueueLength,
  stripMetricIndex,
  type Trigger,
  targetAverageValue,
  triggerIssues,
  type WorkloadPod,
  withFallback,
  workloadCount,
} from "../../src/policy/dialects/keda/index.ts";
import type { Fields, Runner } from "./expect.ts";

const NOW_MS = 2_000_000_000_000;
const get = <T>(input: Fields, field: string): T => input[field] as T;
const orNull = <T>(input: Fields, field: string): T | null => (input[field] ?? null) as T | null;

const annotationsOf = (input: Fields) => orNull<Readonly<Record<string, string>>>(input, "annotations");

function fallbackOf(input: Fields): Fallback | null {
  const given = orNull<Omit<Fallback, "behavior"> & { readonly behavior?: Fallback["behavior"] }>(input, "fallback");
  return given === null ? null : { ...given, behavior: given.behavior ?? "" };
}

function modifiersOf(input: Fields): ScalingModifiers | null {
  const given = orNull<Partial<ScalingModifiers>>(input, "scalingModifiers");
  const modifiers = given === null ? null : { formula: "", target: "", activationTarget: "", metricType: "", ...given };
  return isUsingModifiers(modifiers) ? modifiers : null;
}

/** Of a record only what the case looks at. */
function looked(actual: Fields | null, expected: unknown): Fields | null {
  if (actual === null || typeof expected !== "object" || expected === null) return actual;
  return Object.fromEntries(Object.keys(expected).map((field) => [field, actual[field]]));
}

const seconds = (value: number) => value * 1000;
const iso = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");

function runExecutor(input: Fields, expected: Fields): Fields {
  const lastActive = orNull<number>(input, "lastActiveTime");
  const current = get<number>(input, "currentReplicas");
  const result = requestScale({
    nowMs: NOW_MS,
    currentReplicas: current,
    isActive: get(input, "isActive"),
    isError: get(input, "isError"),
    activeTriggers: get(input, "activeTriggers"),
    minReplicaCount: orNull(input, "minReplicaCount"),
    idleReplicaCount: orNull(input, "idleReplicaCount"),
    annotations: annotationsOf(input),
    fallback: fallbackOf(input),
    createdMs: 0,
    lastActiveMs: lastActive === null ? null : seconds(lastActive),
    cooldownMs: 300_000,
    initialCooldownMs: 0,
  });
  const hpa = orNull<{ readonly conditions: readonly HpaCondition[] }>(input, "hpa");
  const health = hpa === null ? null : hpaHealth({ hpaName: "keda-hpa", readError: false, conditions: hpa.conditions });
  const wanted = expected["event"];
  const asText = typeof wanted === "object" && wanted !== null && typeof (wanted as Fields)["triggers"] === "string";
  const event = result.event === null ? null : { ...result.event, ...(asText ? { triggers: result.event.triggers.join(";") } : {}) };
  return {
    scaled: result.replicas !== null,
    replicas: result.replicas ?? current,
    active: result.active?.status ?? "Unknown",
    activeIsTrue: result.active?.status === "True",
    activeReason: result.active?.reason ?? "",
    lastActiveTimeSet: result.marksActive,
    paused: result.isPaused ? "True" : "False",
    ready: result.ready.status,
    readyReason: result.ready.reason,
    hpaActive: health?.status,
    hpaActiveReason: health?.reason,
    event: looked(event, wanted),
  };
}

const strategyOf = (input: Fields): ScalingStrategy => ({
  strategy: get(input, "strategy"),
  customScalingQueueLengthDeduction: orNull(input, "customScalingQueueLengthDeduction"),
  customScalingRunningJobPercentage: orNull<string>(input, "customScalingRunningJobPercentage") ?? "",
});

const countsOf = (input: Fields, maxReplicaCount: number) => ({
  maxScale: get<number>(input, "maxScale"),
  scaleTo: get<number>(input, "scaleTo"),
  runningJobCount: get<number>(input, "runningJobCount"),
  pendingJobCount: get<number>(input, "pendingJobCount"),
  maxReplicaCount,
});

function runFallback(input: Fields): Fields {
  const fallback = fallbackOf(input);
  const value = orNull<number>(input, "scalerValue");
  const modifiers = modifiersOf(input);
  const before = orNull<Health>(input, "health");
  const { health, outcome } = withFallback({
    fallback,
    modifiers,
    health: before,
    metric: value === null ? { error: "the scaler failed" } : { milli: metricMilli(value) },
    target: { type: "AverageValue", value: get(input, "targetAverageValue") },
    currentReplicas: orNull(input, "currentReplicas"),
    readyReplicas: orNull<number>(input, "readyReplicas") ?? 0,
  });
  return {
    ...(outcome.kind === "metric" || outcome.kind === "fallback" ? { value: Number(outcome.milli) / 1000 } : { error: true }),
    numberOfFailures: health?.numberOfFailures,
    status: health?.status,
    fallbackCondition: isInFallback(fallback, modifiers, health === null ? {} : { metric: health }),
  };
}

interface FormulaTrigger {
  readonly name: string;
  readonly metricMilli: number;
  readonly failures: number;
}

function runFormula(input: Fields): Fields {
  const triggers = get<readonly FormulaTrigger[]>(input, "triggers");
  const fallback = fallbackOf(input);
  const formula = compileFormula(
    get(input, "formula"),
    triggers.map(({ name }) => name),
  );
  const values = triggers.map(({ name, metricMilli, failures }): readonly [string, number | null] => [
    name,
    modifierTriggerValue(metricMilli, fallback, { numberOfFailures: failures, status: failures > 0 ? "Failing" : "Happy" }),
  ]);
  return {
    metricName: COMPOSITE_METRIC,
    valueMilli: compositeMilli(formula, new Map(values), fallback, orNull<string>(input, "target") ?? ""),
  };
}

interface BucketOperation {
  readonly op: "record" | "average";
  readonly at: number;
  readonly value?: number;
}

function runBuckets(input: Fields): Fields {
  let ring = requestBuckets(seconds(get(input, "windowSeconds")), seconds(get(input, "granularitySeconds")));
  const averages: number[] = [];
  for (const { op, at, value } of get<readonly BucketOperation[]>(input, "operations")) {
    if (op === "record") ring = recordRequests(ring, seconds(at), value ?? 0);
    else averages.push(averageRequests(ring, seconds(at)));
  }
  return { averages };
}

type Metadata = Readonly<Record<string, string>>;
const metadataOf = (input: Fields) => get<Metadata>(input, "metadata");

/** The cases leave out the address, which upstream fills in with that of its test server. */
const rabbitOf = (input: Fields) => parseRabbit({ index: 0, metadata: { host: "http://localhost", ...metadataOf(input) } });

function runRabbit(input: Fields): Fields {
  const trigger = rabbitOf(input);
  const body = input["body"];
  const queue = rabbitQueue(orNull<number>(input, "status") ?? 200, typeof body === "string" ? body : JSON.stringify(body), trigger);
  const { value, isActive } = rabbitReading(queue, trigger);
  return { active: isActive, valueMilli: metricMilli(value) };
}

type NatsCase = Omit<NatsStream, "lastSequence"> & { readonly lastSequence?: number };

function runNats(input: Fields): Fields {
  const consumer = get<string>(input, "consumer");
  const streams = get<readonly NatsCase[]>(input, "serverStreams").map((stream) => ({ lastSequence: 0, ...stream }));
  try {
    const stream = natsStreamOf(streams, { stream: get(input, "stream"), consumer });
    return { ...activity(natsLag(stream, consumer), get(input, "activationLagThreshold")) };
  } catch {
    return { error: true, active: false };
  }
}

const activity = (value: number, activation: number): Fields => ({ active: activeAbove(value, activation).isActive, value });

type PodCase = WorkloadPod & { readonly count: number };

function runWorkload(input: Fields): Fields {
  const trigger = parseWorkload({
    index: 0,
    namespace: get(input, "namespace"),
    metadata: {
      podSelector: get(input, "podSelector"),
      value: String(get(input, "value")),
      activationValue: String(input["activationValue"] ?? 0),
      groupByNode: String(input["groupByNode"] ?? false),
    },
  });
  const pods = get<readonly PodCase[]>(input, "pods").flatMap((pod) => Array.from({ length: pod.count }, () => pod));
  return activity(workloadCount(pods, trigger), trigger.activation);
}

const route = (input: Fields) => [get<ScalingMetric>(input, "scalingMetric"), get<RouteCount>(input, "count")] as const;

const valid = (check: () => unknown): Fields => {
  try {
    check();
    return { valid: true };
  } catch {
    return { valid: false };
  }
};
/** JSON has no name for these. */
const numberOf = (value: unknown): number => (typeof value === "string" ? Number(value.replace("Inf", "Infinity")) : (value as number));

export const KEDA_RUNNERS: Readonly<Record<string, Runner>> = {
  executor: runExecutor,
  "hpa-health": (input) => ({
    ...hpaHealth({ hpaName: get(input, "hpaName"), readError: get(input, "readError"), conditions: get(input, "conditions") }),
  }),
  "job-strategy": (input) => ({ ...effectiveMaxScale(strategyOf(input), countsOf(input, get(input, "maxReplicaCount"))) }),
  "job-strategy-select": (input) => ({ strategy: selectJobStrategy(strategyOf(input)) }),
  "job-decision": (input) => {
    const { min, room } = jobBounds(orNull(input, "minReplicaCount"), orNull(input, "maxReplicaCount"));
    return { ...jobDecision(strategyOf(input), min, countsOf(input, room)) };
  },
  "job-pending": (input) => ({
    pendingJobCount: isJobPending(get<readonly JobPod[]>(input, "pods"), orNull<readonly string[]>(input, "pendingPodConditions") ?? [])
      ? 1
      : 0,
  }),
  "job-metrics": (input) => {
    const { min, room } = jobBounds(orNull(input, "minReplicaCount"), orNull(input, "maxReplicaCount"));
    const scalers = get<readonly (Parameters<typeof combineJobScalers>[1][number] & { readonly error?: boolean })[]>(input, "scalers");
    const answered = scalers.filter(({ error }) => error !== true);
    return {
      isError: answered.length < scalers.length,
      ...combineJobScalers(get(input, "multipleScalersCalculation"), answered, min, room),
    };
  },
  "job-target-average": (input) => ({ value: targetAverageValue(get(input, "averageValues")) }),
  "kafka-partition-lag": (input) => ({
    ...partitionLag(
      {
        consumerOffset: get(input, "consumerOffset"),
        latestOffset: orNull(input, "latestOffset"),
        previousOffset: orNull(input, "previousOffset"),
      },
      {
        offsetResetPolicy: get(input, "offsetResetPolicy"),
        scaleToZeroOnInvalidOffset: get(input, "scaleToZeroOnInvalidOffset"),
        excludePersistentLag: get(input, "excludePersistentLag"),
      },
    ),
  }),
  "kafka-partition-limitation": (input) => ({ partitions: parsePartitionLimitation(get(input, "text")) }),
  "kafka-topic-partitions": (input) => ({
    partitions: countedPartitions(parsePartitionLimitation(get(input, "partitionLimitation")), get(input, "topicPartitions")),
  }),
  "kafka-factors": (input) => ({ factors: factorsOf(get(input, "n")) }),
  "kafka-next-factor": (input) => ({ factor: nextFactor(get(input, "totalLag"), get(input, "partitions"), get(input, "lagThreshold")) }),
  "kafka-metadata": (input) => ({ ...parseKafka({ index: 0, metadata: metadataOf(input) }) }),
  "fallback-metric": runFallback,
  "fallback-valid": (input) => ({
    valid: fallbackIssues(fallbackOf(input), modifiersOf(input), get<readonly Trigger[]>(input, "triggers")).length === 0,
  }),
  "modifier-trigger-value": (input) => ({
    value: modifierTriggerValue(get<number>(input, "metricMilli"), fallbackOf(input), orNull(input, "health")),
  }),
  formula: runFormula,
  "modifier-pair": (input) => ({ pair: pairMetric(get(input, "formula"), get(input, "metric"), get(input, "trigger")) }),
  "has-paused-annotation": (input) => ({ result: hasPausedAnnotation(annotationsOf(input)) }),
  "need-to-be-paused": (input) => ({ result: needsToBePaused(annotationsOf(input)) }),
  "paused-replica-count": (input) => ({ value: pausedReplicaCount(annotationsOf(input)) }),
  "is-using-modifiers": (input) => ({ result: modifiersOf(input) !== null }),
  "replica-bounds-valid": (input) => ({
    valid:
      replicaBoundIssues(orNull(input, "minReplicaCount"), orNull(input, "maxReplicaCount"), orNull(input, "idleReplicaCount")).length ===
      0,
  }),
  "hpa-bounds": (input) => {
    const { min, max } = hpaBounds(orNull(input, "minReplicaCount"), orNull(input, "maxReplicaCount"));
    return { hpaMin: min, hpaMax: max };
  },
  "triggers-valid": (input) => ({ valid: triggerIssues(get<readonly Trigger[]>(input, "triggers")).length === 0 }),
  "metric-target-type": (input) => ({ metricType: metricTargetType(get(input, "metricType")) }),
  "metric-value-sanitise": (input) => {
    const milli = metricMilli(numberOf(input["value"]));
    return { isZero: Number(milli) === 0, milli };
  },
  "strip-metric-index": (input) => ({ name: stripMetricIndex(get(input, "triggerIndex"), get(input, "metricName")) }),
  "normalize-metric-name": (input) => ({ text: normalizeMetricName(get(input, "text")) }),
  "external-metric-spec": (input) => {
    const metrics = externalMetrics(get(input, "triggerIndex"), get(input, "metricSpecs"));
    return { names: metrics.map(({ name }) => name), firstTarget: metrics[0]?.target, targets: metrics.map(({ target }) => target) };
  },
  "prometheus-result": (input) => ({ value: prometheusValue(get(input, "status"), get(input, "body"), get(input, "ignoreNullValues")) }),
  "rabbitmq-activity": runRabbit,
  "rabbitmq-consumption-time": runRabbit,
  "rabbitmq-compose": (input) => ({ ...composeQueues(get(input, "operation"), get<readonly RabbitQueue[]>(input, "queues")) }),
  "rabbitmq-vhost": (input) => ({ ...rabbitVhost(get(input, "rawPath"), get(input, "overrideVhost")) }),
  "sqs-queue-length": (input) => ({
    value: sqsQueueLength(get(input, "attributes"), {
      scaleOnInFlight: get(input, "scaleOnInFlight"),
      scaleOnDelayed: get(input, "scaleOnDelayed"),
    }),
  }),
  "cloudwatch-window": (input) => {
    const { startMs, endMs } = cloudwatchWindow(Date.parse(get(input, "now")), {
      metricStatPeriodSeconds: get(input, "metricStatPeriod"),
      metricEndTimeOffsetSeconds: get(input, "metricEndTimeOffset"),
      metricCollectionTimeSeconds: get(input, "metricCollectionTime"),
    });
    return { start: iso(startMs), end: iso(endMs) };
  },
  "cloudwatch-result": (input) => {
    if (input["apiError"] === true) return { error: true };
    const rules = { ignoreNullValues: get<boolean>(input, "ignoreNullValues"), minMetricValue: get<number>(input, "minMetricValue") };
    return { error: false, value: cloudwatchValue(orNull(input, "results"), rules) };
  },
  "nats-jetstream-activity": runNats,
  "nats-jetstream-lag": (input) => ({
    lag: natsLag({ lastSequence: get(input, "lastSequence"), consumers: get(input, "consumers") }, get(input, "consumer")),
  }),
  "redis-streams-activity": (input) => activity(get(input, "entries"), get(input, "activationLagCount")),
  "workload-activity": runWorkload,
  "workload-count": runWorkload,
  "metrics-api-value": (input) => ({ value: metricsApiValue(get(input, "format"), get(input, "body"), get(input, "valueLocation")) }),
  "metrics-api-aggregate": (input) => ({ ...aggregateEndpoints(get(input, "aggregationType"), get(input, "endpointValues")) }),
  "cron-metadata": (input) => valid(() => parseCronTrigger({ index: 0, metadata: metadataOf(input) })),
  "cron-metric-name": (input) => ({ metricName: cronMetricName({ index: get(input, "triggerIndex"), metadata: metadataOf(input) }) }),
  "cron-activity": (input) => {
    const { value, isActive } = cronReading(Date.parse(get(input, "now")), parseCronTrigger({ index: 0, metadata: metadataOf(input) }));
    return { value, active: isActive };
  },
  "http-bucket-average": runBuckets,
  "http-metrics": (input) => ({ values: httpValues(...route(input), get(input, "metricFilter")) }),
  "http-active": (input) => ({ active: isHttpActive(...route(input)) }),
  "http-metric-spec": (input) => ({ targets: httpTargets(get(input, "scalingMetric")) }),
};
