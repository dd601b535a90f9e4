import type { Condition, Json } from "../../src/model/index.ts";
import {
  averageReplicas,
  CONTROLLER_DEFAULTS,
  ceilToInt32,
  changeInPeriod,
  compileRules,
  compileSpec,
  defaultRules,
  defaultSpec,
  EMPTY_MEMORY,
  externalTotal,
  groupPods,
  HPA_NEWEST,
  HPA_VERSIONS,
  HpaError,
  type HpaObject,
  type Int64,
  issueText,
  limitWithBehavior,
  limitWithoutBehavior,
  MAX_INT64,
  type MetricSources,
  milliOf,
  type Pod,
  type PodSample,
  parseQuantity,
  perPodUsage,
  podRequests,
  type ResourceSample,
  type Rules,
  reconcile,
  resourceSamples,
  type ScaleEvent,
  saturate64,
  scaleDownLimit,
  scaleUpLimit,
  selectPods,
  stabilizeWithBehavior,
  stabilizeWithoutBehavior,
  storeScaleEvent,
  type Tolerances,
  usageRatio,
  utilizationRatio,
  utilizationReplicas,
  validateHpa,
  valuePerPodReplicas,
  valueReplicas,
} from "../../src/policy/dialects/hpa/index.ts";
import { Containing, type Fields, type Runner } from "./expect.ts";

/** Ages are counted back from here. */
const NOW_MS = 2_000_000_000_000;
const RESOURCE = "cpu";

type Document = { readonly [key: string]: Json | undefined };

interface PodCase {
  readonly name: string;
  readonly phase?: Pod["phase"];
  readonly ready?: "True" | "False" | "Unknown" | null;
  readonly readyTransitionAgeSeconds?: number | null;
  readonly startAgeSeconds?: number | null;
  readonly deleting?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly containers?: readonly ContainerCase[];
  readonly initContainers?: readonly (ContainerCase & { readonly restartPolicyAlways?: boolean })[];
  readonly podLevelRequestMilli?: Whole | null;
}
interface ContainerCase {
  readonly name: string;
  readonly requestMilli?: Whole | null;
}
interface SampleCase {
  readonly pod: string;
  readonly valueMilli: Whole;
  readonly ageSeconds?: number;
  readonly windowSeconds?: number;
}
interface ResourceCase {
  readonly pod: string;
  readonly ageSeconds: number;
  readonly windowSeconds: number;
  readonly containers: readonly { readonly name: string; readonly usageMilli: Whole | null }[];
}
type Whole = number | string;

const whole = (value: Whole): Int64 => saturate64(BigInt(value));
const atMs = (ageSeconds: number): number => NOW_MS - ageSeconds * 1000;
const get = <T>(input: Fields, field: string): T => input[field] as T;

function podsOf(cases: readonly PodCase[], resource = RESOURCE): readonly Pod[] {
  const requests = (milli: Whole | null | undefined) => (milli === null || milli === undefined ? {} : { [resource]: whole(milli) });
  return cases.map((pod) => ({
    name: pod.name,
    phase: pod.phase ?? "Running",
    ready:
      pod.ready === null || pod.ready === undefined
        ? null
        : { status: pod.ready, sinceMs: atMs(pod.readyTransitionAgeSeconds ?? 1_000_000_000) },
    startedMs: pod.startAgeSeconds === null || pod.startAgeSeconds === undefined ? null : atMs(pod.startAgeSeconds),
    deleting: pod.deleting ?? false,
    labels: pod.labels ?? {},
    containers: (pod.containers ?? []).map(({ name, requestMilli }) => ({ name, requests: requests(requestMilli) })),
    initContainers: (pod.initContainers ?? []).map(({ name, requestMilli, restartPolicyAlways }) => ({
      name,
      requests: requests(requestMilli),
      restartPolicyAlways: restartPolicyAlways ?? false,
    })),
    podRequests: requests(pod.podLevelRequestMilli),
  }));
}

const samplesOf = (cases: readonly SampleCase[]): ReadonlyMap<string, PodSample> =>
  new Map(
    cases.map(({ pod, valueMilli, ageSeconds, windowSeconds }) => [
      pod,
      { milli: whole(valueMilli), atMs: atMs(ageSeconds ?? 0), windowMs: (windowSeconds ?? 60) * 1000 },
    ]),
  );

const resourcesOf = (cases: readonly ResourceCase[]): readonly ResourceSample[] =>
  cases.map(({ pod, ageSeconds, windowSeconds, containers }) => ({
    pod,
    atMs: atMs(ageSeconds),
    windowMs: windowSeconds * 1000,
    containers: containers.map(({ name, usageMilli }) => ({ name, milli: usageMilli === null ? null : whole(usageMilli) })),
  }));

const eventsOf = (cases: unknown): readonly ScaleEvent[] =>
  (cases as readonly { replicaChange: number; ageSeconds: number; outdated: boolean }[]).map(({ replicaChange, ageSeconds, outdated }) => ({
    replicaChange,
    atMs: atMs(ageSeconds),
    outdated,
  }));
const recommendationsOf = (cases: unknown) =>
  (cases as readonly { replicas: number; ageSeconds: number }[]).map(({ replicas, ageSeconds }) => ({ replicas, atMs: atMs(ageSeconds) }));
const rulesOf = (direction: "scaleUp" | "scaleDown", rules: unknown): Rules => compileRules(defaultRules(direction, rules as Json));
const bothEvents = (input: Fields) => ({ scaleUp: eventsOf(input["scaleUpEvents"]), scaleDown: eventsOf(input["scaleDownEvents"]) });

const features = HPA_VERSIONS[HPA_NEWEST];
const grouping = (input: Fields) => ({
  cpuInitializationPeriodMs: get<number>(input, "cpuInitializationPeriodSeconds") * 1000,
  initialReadinessDelayMs: get<number>(input, "initialReadinessDelaySeconds") * 1000,
  ignoreSucceededPods: features.ignoreSucceededPods,
  podLevelResources: features.PodLevelResources,
});

function resourceInput(input: Fields) {
  const resource = get<string>(input, "resource");
  let samples: ReadonlyMap<string, PodSample>;
  try {
    samples = resourceSamples(resourcesOf(get(input, "podMetrics")), get(input, "container"), features.missingContainerFails);
  } catch (error) {
    throw new HpaError(`unable to get metrics for resource ${resource}: ${(error as Error).message}`);
  }
  return { ...podInput(input, resource), samples };
}

const podInput = (input: Fields, resource: string) => ({
  currentReplicas: get<number>(input, "currentReplicas"),
  pods: podsOf(get(input, "pods"), resource),
  resource,
  tolerances: get<Tolerances>(input, "tolerances"),
  settings: grouping(input),
  nowMs: NOW_MS,
});

const value = (input: Fields, valueMilli: Int64) =>
  valueReplicas({
    currentReplicas: get(input, "currentReplicas"),
    valueMilli,
    targetMilli: whole(get(input, "targetMilli")),
    tolerances: get(input, "tolerances"),
    pods: podsOf(get(input, "pods")),
  });
const valuePerPod = (input: Fields, valueMilli: Int64) =>
  valuePerPodReplicas({
    statusReplicas: get(input, "statusReplicas"),
    valueMilli,
    targetMilli: whole(get(input, "targetAverageMilli")),
    tolerances: get(input, "tolerances"),
  });
const values = (input: Fields) => get<readonly Whole[]>(input, "valuesMilli").map(whole);

export const HPA_RUNNERS: Readonly<Record<string, Runner>> = {
  "resource-utilization": (input) => {
    const { replicas, utilization, usageMilli } = utilizationReplicas(
      resourceInput(input),
      get(input, "container"),
      get(input, "targetUtilization"),
    );
    return { replicas, utilization, rawAverageMilli: usageMilli };
  },
  "resource-average-value": (input) => ({ ...averageReplicas(resourceInput(input), whole(get(input, "targetMilli"))) }),
  "pods-metric": (input) => ({
    ...averageReplicas({ ...podInput(input, ""), samples: samplesOf(get(input, "podMetrics")) }, whole(get(input, "targetMilli"))),
  }),
  "object-value": (input) => ({ ...value(input, whole(get(input, "valueMilli"))) }),
  "object-average": (input) => ({ ...valuePerPod(input, whole(get(input, "valueMilli"))) }),
  "external-value": (input) => ({ ...value(input, externalTotal(values(input))) }),
  "external-average": (input) => ({ ...valuePerPod(input, externalTotal(values(input))) }),
  "group-pods": (input) => {
    const pods = podsOf(get(input, "pods"));
    const groups = groupPods(pods, samplesOf(get(input, "podMetrics")), get(input, "resource"), grouping(input), NOW_MS);
    return {
      readyPodCount: groups.readyCount,
      unready: groups.unready.toSorted(),
      missing: groups.missing.toSorted(),
      ignored: groups.ignored.toSorted(),
    };
  },
  "calculate-requests": (input) => {
    const resource = get<string>(input, "resource");
    const pods = podsOf(get(input, "pods"), resource);
    return { requests: Object.fromEntries(podRequests(pods, resource, get(input, "container"), get(input, "podLevelResources"))) };
  },
  "utilization-ratio": (input) => {
    const requests = new Map(Object.entries(get<Record<string, Whole>>(input, "requestsMilli")).map(([pod, milli]) => [pod, whole(milli)]));
    return { ...utilizationRatio(samplesOf(get(input, "podMetrics")), requests, get(input, "targetUtilization")) };
  },
  "usage-ratio": (input) => ({ ...usageRatio(samplesOf(get(input, "podMetrics")), whole(get(input, "targetMilli"))) }),
  "per-pod-usage": (input) => ({ usageMilli: perPodUsage(whole(get(input, "usageMilli")), get(input, "statusReplicas")) }),
  "ceil-to-int32": (input) => ({ result: ceilToInt32(Number(input["value"])) }),
  "convert-without-behavior": (input) => ({
    ...limitWithoutBehavior(
      get(input, "currentReplicas"),
      get(input, "desiredReplicas"),
      get(input, "minReplicas"),
      get(input, "maxReplicas"),
    ),
  }),
  "scale-up-limit": (input) => ({
    limit: scaleUpLimit(get(input, "currentReplicas"), bothEvents(input), rulesOf("scaleUp", input["rules"]), NOW_MS),
  }),
  "scale-down-limit": (input) => ({
    limit: scaleDownLimit(get(input, "currentReplicas"), bothEvents(input), rulesOf("scaleDown", input["rules"]), NOW_MS),
  }),
  "convert-with-behavior": (input) => ({
    ...limitWithBehavior({
      currentReplicas: get(input, "currentReplicas"),
      desiredReplicas: get(input, "desiredReplicas"),
      minReplicas: get(input, "minReplicas"),
      maxReplicas: get(input, "maxReplicas"),
      behavior: { scaleUp: rulesOf("scaleUp", input["scaleUp"]), scaleDown: rulesOf("scaleDown", input["scaleDown"]) },
      events: bothEvents(input),
      nowMs: NOW_MS,
    }),
  }),
  "stabilize-without-behavior": (input) => {
    const history = recommendationsOf(input["recommendations"]);
    const windowMs = get<number>(input, "downscaleStabilizationSeconds") * 1000;
    const { replicas, recommendations } = stabilizeWithoutBehavior(get(input, "desiredReplicas"), history, windowMs, NOW_MS);
    return { replicas, recommendationCount: recommendations.length };
  },
  "stabilize-with-behavior": (input) => {
    const { replicas, recommendations } = stabilizeWithBehavior(
      get(input, "currentReplicas"),
      get(input, "desiredReplicas"),
      recommendationsOf(input["recommendations"]),
      {
        upMs: get<number>(input, "scaleUpStabilizationWindowSeconds") * 1000,
        downMs: get<number>(input, "scaleDownStabilizationWindowSeconds") * 1000,
      },
      NOW_MS,
    );
    return { replicas, recommendations: recommendations.map((past) => past.replicas) };
  },
  "store-scale-event": (input) => {
    const before = eventsOf(input["events"]);
    const direction = input["direction"] === "up" ? "scaleUp" : "scaleDown";
    const change = Math.abs(get<number>(input, "newReplicas") - get<number>(input, "prevReplicas"));
    const events = input["rules"] === null ? before : storeScaleEvent(before, change, rulesOf(direction, input["rules"]), NOW_MS);
    return {
      changeInPeriodBefore: input["rules"] === null ? 0 : changeInPeriod(before, get<number>(input, "changePeriodSeconds") * 1000, NOW_MS),
      events: events.map(({ replicaChange, outdated }) => ({ replicaChange, outdated })),
    };
  },
  "default-rules": (input) => {
    const rules = defaultRules(get(input, "direction"), input["rules"] as Json);
    return { stabilizationWindowSeconds: null, ...rules };
  },
  "default-spec": (input) => ({ spec: defaultSpec(get(input, "spec")) }),
  "quantity-parse": (input, expected) => {
    const quantity = parseQuantity(get(input, "text"));
    const milli = milliOf(quantity);
    const isSaturated = milli === MAX_INT64 || milli === -MAX_INT64 - 1n;
    return { ...rescaled(quantity, expected), format: quantity.format, milliValue: isSaturated ? "saturates" : milli };
  },
  validate: (input) => {
    const issues = validateHpa(get<HpaObject>(input, "object"), get(input, "featureGates"));
    const first = issues[0] === undefined ? "" : issueText(issues[0]);
    return { valid: issues.length === 0, firstErrorContains: new Containing(first) };
  },
  reconcile: runReconcile,
};

/** The same value at the exponent that the case states it in: 5 × 10⁴ is 50000 × 10⁰. */
function rescaled({ mantissa, exponent }: { mantissa: bigint; exponent: number }, expected: Fields): Fields {
  const wanted = typeof expected["exponent10"] === "number" ? expected["exponent10"] : exponent;
  const power = exponent - wanted;
  if (power >= 0) return { mantissa: mantissa * 10n ** BigInt(power), exponent10: wanted };
  const divisor = 10n ** BigInt(-power);
  return mantissa % divisor === 0n ? { mantissa: mantissa / divisor, exponent10: wanted } : { mantissa, exponent10: exponent };
}

interface ReconcileCase {
  readonly hpa: Document & { readonly conditions: readonly Condition[] };
  readonly scale: { readonly specReplicas: number; readonly statusReplicas: number; readonly selector: string };
  readonly recommendations: readonly { readonly replicas: number; readonly ageSeconds: number }[] | null;
  readonly pods: readonly PodCase[];
  readonly metrics: {
    readonly resource?: readonly ResourceCase[];
    readonly pods?: Readonly<Record<string, readonly SampleCase[]>>;
    readonly object?: readonly { readonly kind: string; readonly name: string; readonly metric: string; readonly valueMilli: Whole }[];
    readonly external?: Readonly<Record<string, readonly Whole[]>>;
  };
  readonly otherHpas: readonly { readonly name: string; readonly selector: string }[];
  readonly faults: readonly string[];
  readonly featureGates: { readonly HPAScaleToZero: boolean; readonly HPAConfigurableTolerance: boolean };
  readonly controller: {
    readonly tolerance: number;
    readonly downscaleStabilizationSeconds: number;
    readonly cpuInitializationPeriodSeconds: number;
    readonly initialReadinessDelaySeconds: number;
  };
}

function runReconcile(fields: Fields): Fields {
  const input = fields as unknown as ReconcileCase;
  const { scale, faults, controller } = input;
  const { conditions, behavior, ...spec } = input.hpa;
  const full = defaultSpec({ ...spec, ...(behavior === null || behavior === undefined ? {} : { behavior }) });
  const compiled = compileSpec(full);

  let conflicts = faults.includes("updateScaleConflictOnce") ? 1 : 0;
  const result = reconcile(
    {
      ...EMPTY_MEMORY,
      conditions: conditions.map((condition) => ({ ...condition, sinceMs: 0 })),
      recommendations: input.recommendations === null ? null : recommendationsOf(input.recommendations),
      desiredReplicas: scale.specReplicas,
    },
    {
      nowMs: NOW_MS,
      spec: compiled,
      selection: selectPods(scale.selector, podsOf(input.pods), input.otherHpas),
      sources: faulty(input),
      features: { ...features, ...input.featureGates },
      settings: {
        ...CONTROLLER_DEFAULTS,
        tolerance: controller.tolerance,
        downscaleStabilizationMs: controller.downscaleStabilizationSeconds * 1000,
        cpuInitializationPeriodMs: controller.cpuInitializationPeriodSeconds * 1000,
        initialReadinessDelayMs: controller.initialReadinessDelaySeconds * 1000,
      },
    },
    {
      read() {
        if (faults.includes("getScale")) throw new HpaError("could not read the scale");
        return scale;
      },
      write() {
        if (faults.includes("updateScale")) return "failed";
        return conflicts-- > 0 ? "conflict" : "ok";
      },
    },
  );

  const branch = result.plan?.branch;
  const outcomes = branch?.kind === "computed" || branch?.kind === "failed" ? branch.outcomes : [];
  const direction = (replicas: number) =>
    replicas > scale.specReplicas ? "scale_up" : replicas < scale.specReplicas ? "scale_down" : "none";
  const typeOf = ({ metric }: (typeof outcomes)[number]) => (metric.type === "Unknown" ? metric.declared : metric.type);
  const utilization = outcomes.find(
    (outcome) => outcome.kind === "proposed" && outcome.metric.type === "Resource" && outcome.metric.name === "cpu",
  );
  return {
    desiredReplicas: result.desiredReplicas,
    rescaledTo: result.rescaledTo,
    conditions: result.memory.conditions.map(({ type, status, reason }) => ({ type, status, reason })),
    cpuUtilization: utilization?.kind === "proposed" ? utilization.proposal.utilization : undefined,
    action: result.rescaledTo === null ? "none" : direction(result.rescaledTo),
    error: result.error?.kind ?? "none",
    metricActions: Object.fromEntries(
      outcomes.map((outcome) => [typeOf(outcome), outcome.kind === "proposed" ? direction(outcome.proposal.replicas) : "none"]),
    ),
    metricErrors: Object.fromEntries(
      outcomes.map((outcome) => [typeOf(outcome), outcome.kind === "proposed" ? "none" : outcome.error.kind]),
    ),
  };
}

function faulty({ metrics, faults }: ReconcileCase): MetricSources {
  const fail = (fault: string) => {
    if (faults.includes(fault)) throw new HpaError("the server could not find the requested resource");
  };
  return {
    resource() {
      fail("resourceMetrics");
      return resourcesOf(metrics.resource ?? []);
    },
    pods({ name }) {
      fail("customMetrics");
      return samplesOf(metrics.pods?.[name] ?? []);
    },
    object(described, { name }) {
      fail("customMetrics");
      const found = metrics.object?.find(
        (entry) => entry.kind === described.kind && entry.name === described.name && entry.metric === name,
      );
      if (found === undefined) throw new HpaError("the server could not find the metric for the object");
      return whole(found.valueMilli);
    },
    external({ name }) {
      fail("externalMetrics");
      return (metrics.external?.[name] ?? []).map(whole);
    },
  };
}
