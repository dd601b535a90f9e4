import type { Json, Manifest, Ms, Need, Observation } from "../../../model/index.ts";
import { latestValue } from "../../reading.ts";
import { parseGoDuration } from "./go.ts";
import { averageRequests, type RequestBuckets, recordRequests, requestBuckets } from "./http/bucket-average.ts";
import { type HttpMetric, httpScaledObjectValue } from "./http/interceptor.ts";
import { indexedMetricName } from "./metric-name.ts";
import type { TriggerAnswer } from "./metrics.ts";
import { documentOf, numberOf, type ScaledObject, textOf } from "./scaled-object.ts";
import type { RememberingSources } from "./scaled-object-policy.ts";
import { HTTP_DEFAULTS } from "./version.ts";

export interface HttpScaling {
  /** A rate wins where both are set. */
  readonly metric: HttpMetric;
  readonly targetValue: number;
  readonly windowMs: Ms;
  readonly granularityMs: Ms;
}

export function httpScalingOf({ spec }: Manifest): HttpScaling {
  const { scalingMetric, targetPendingRequests } = spec;
  const { concurrency, requestRate } = documentOf(scalingMetric);
  const duration = (value: Json | undefined, fallbackSeconds: number): Ms => parseGoDuration(textOf(value)) ?? fallbackSeconds * 1000;
  const rate = documentOf(requestRate);
  const isRate = requestRate !== undefined;
  const target = isRate ? rate["targetValue"] : (documentOf(concurrency)["targetValue"] ?? targetPendingRequests);
  return {
    metric: isRate ? "requestRate" : "concurrency",
    targetValue: numberOf(target) ?? HTTP_DEFAULTS.targetValue,
    windowMs: duration(rate["window"], HTTP_DEFAULTS.windowSeconds),
    granularityMs: duration(rate["granularity"], HTTP_DEFAULTS.granularitySeconds),
  };
}

/** As the add-on spells characters that a metric's name may not have. */
const escaped = (name: string): string =>
  name.replace(/[^A-Za-z0-9-]/g, (char) => `_${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`);

/** The ScaledObject that the add-on's operator makes of an HTTPScaledObject: one external-push trigger, polled every 15 s. */
export function scaledObjectOfHttp(manifest: Manifest): ScaledObject {
  const { name, namespace, annotations, spec } = manifest;
  const { min, max } = documentOf(spec["replicas"]);
  const { targetValue } = httpScalingOf(manifest);
  const metric = { name: indexedMetricName(0, `http-${escaped(`${namespace}/${name}`)}`), target: targetValue, activation: 0 };
  return {
    name,
    namespace,
    annotations: annotations ?? {},
    pollingMs: HTTP_DEFAULTS.pollingIntervalSeconds * 1000,
    cooldownMs: (numberOf(spec["scaledownPeriod"]) ?? HTTP_DEFAULTS.scaledownPeriodSeconds) * 1000,
    initialCooldownMs: (numberOf(spec["initialCooldownPeriod"]) ?? 0) * 1000,
    minReplicaCount: numberOf(min) ?? HTTP_DEFAULTS.minReplicas,
    maxReplicaCount: numberOf(max) ?? HTTP_DEFAULTS.maxReplicas,
    idleReplicaCount: null,
    fallback: null,
    modifiers: null,
    formula: null,
    externals: [
      {
        trigger: {
          type: "external-push",
          name: "",
          metricType: "",
          useCachedMetrics: false,
          metadata: { httpScaledObject: name },
          authenticationRef: null,
        },
        index: 0,
        metric,
        target: { type: "AverageValue", value: targetValue },
      },
    ],
    resources: [],
    behavior: null,
  };
}

const SIGNAL = { concurrency: "in_flight", requestRate: "request_rate" } as const satisfies Readonly<Record<HttpMetric, string>>;
/** A slot is there for each second in which something was open; one this old says that nothing is any more. */
const OPEN_MS = 2_000;

export const httpNeeds = ({ metric }: HttpScaling): readonly Need[] => [
  { name: SIGNAL[metric], per: "endpoint", sampleEveryMs: HTTP_DEFAULTS.pollingIntervalSeconds * 1000 },
];

/**
 * What the interceptors would count, from the gateway's ledger: requests in flight, held ones included, or arrivals over the
 * window. Without a ledger of ours the endpoint's series `in_flight` or `request_rate` stand for them.
 */
export function httpSources(scaling: HttpScaling, staleAfterMs: Ms): RememberingSources {
  const { metric, windowMs, granularityMs } = scaling;
  const series = (observation: Observation) => latestValue(observation, SIGNAL[metric], { kind: "endpoint" }, staleAfterMs);
  return {
    start: () => (metric === "requestRate" ? write(requestBuckets(windowMs, granularityMs)) : null),
    observe(own, { slots }) {
      if (own === null || slots === null) return own;
      const arrived = slots.filter(({ arrivals }) => arrivals > 0).toSorted((a, b) => a.atMs - b.atMs);
      return write(arrived.reduce((ring, { atMs, arrivals }) => recordRequests(ring, atMs, arrivals), read(own)));
    },
    at(own, observation): readonly TriggerAnswer[] {
      const value = own !== null && observation.slots !== null ? averageRequests(read(own), observation.nowMs) : reading(observation);
      if (typeof value !== "number") return [{ error: value }];
      return [{ value: httpScaledObjectValue(value), isActive: value > 0 }];
    },
  };

  function reading(observation: Observation): number | string {
    const own = series(observation);
    if (typeof own === "number") return own;
    const { slots, nowMs } = observation;
    if (metric === "concurrency" && slots !== null) {
      const lastMs = Math.max(...slots.map(({ atMs }) => atMs));
      if (!(nowMs - lastMs <= OPEN_MS)) return 0;
      return slots.filter(({ atMs }) => atMs === lastMs).reduce((sum, slot) => sum + slot.inFlightMean + slot.heldMean, 0);
    }
    return own === "stale" ? `${SIGNAL[metric]} is older than ${staleAfterMs / 1000} s` : `nothing reports ${SIGNAL[metric]}`;
  }
}

const write = (ring: RequestBuckets): Json => ring as unknown as Json;
const read = (own: Json): RequestBuckets => own as unknown as RequestBuckets;
