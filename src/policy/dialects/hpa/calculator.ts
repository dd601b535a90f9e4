import type { Ms } from "../../../model/index.ts";
import { ceilToInt32, div64, type Int64, mul64 } from "./int64.ts";
import { countReadyPods, type GroupingSettings, groupPods, podRequests } from "./pods.ts";
import { isWithin, perPodUsage, sumSeries, usageRatio, utilizationRatio } from "./ratio.ts";
import { HpaError, type Pod, type PodSamples, type Tolerances } from "./words.ts";

/** What one metric came to. `ratio` is the one before missing and unready pods are filled in. */
export interface Proposal {
  readonly replicas: number;
  readonly ratio: number;
  /** As the status reports it: the mean, the value, or the value per pod. */
  readonly usageMilli: Int64;
  /** Percent of the request; only for utilization targets. */
  readonly utilization?: number;
  /** How many pods it speaks of; absent where pods play no part. */
  readonly pods?: { readonly ready: number; readonly unready: number; readonly missing: number };
}

export interface PodMetricInput {
  readonly currentReplicas: number;
  readonly pods: readonly Pod[];
  readonly samples: PodSamples;
  /** "" for a Pods metric. */
  readonly resource: string;
  readonly tolerances: Tolerances;
  readonly settings: GroupingSettings & { readonly podLevelResources: boolean };
  readonly nowMs: Ms;
}

/** Resource or ContainerResource against a percentage of requests. Source: replica_calculator.go, GetResourceReplicas. */
export function utilizationReplicas(input: PodMetricInput, container: string | null, targetUtilization: number): Proposal {
  let requests: ReadonlyMap<string, Int64> = new Map();
  return podMetricReplicas(input, {
    prepare: () => {
      requests = podRequests(input.pods, input.resource, container, input.settings.podLevelResources);
    },
    measure: (samples) => {
      const { ratio, utilization, rawAverageMilli } = utilizationRatio(samples, requests, targetUtilization);
      return { ratio, utilization, usageMilli: rawAverageMilli };
    },
    fallback: (pod) => div64(mul64(requests.get(pod) ?? 0, Math.max(100, targetUtilization)), 100),
  });
}

/** A Pods metric, or a resource against an average. Source: replica_calculator.go, calcPlainMetricReplicas. */
export function averageReplicas(input: PodMetricInput, targetMilli: Int64): Proposal {
  return podMetricReplicas(input, {
    measure: (samples) => usageRatio(samples, targetMilli),
    fallback: () => targetMilli,
  });
}

interface Measure {
  /** What may fail before anything is measured, once it is known that there are samples. */
  readonly prepare?: () => void;
  readonly measure: (samples: PodSamples) => { readonly ratio: number; readonly usageMilli: Int64; readonly utilization?: number };
  /** What a missing pod is taken for on the way down. */
  readonly fallback: (pod: string) => Int64;
}

function podMetricReplicas(input: PodMetricInput, { prepare, measure, fallback }: Measure): Proposal {
  const { currentReplicas, pods, resource, tolerances, settings, nowMs } = input;
  if (pods.length === 0) throw new HpaError("no pods returned by selector while calculating replica count");
  const { readyCount, unready, missing, ignored } = groupPods(pods, input.samples, resource, settings, nowMs);

  let samples = input.samples;
  if (ignored.length > 0 || unready.length > 0) {
    const kept = new Map(samples);
    for (const pod of ignored) kept.delete(pod);
    for (const pod of unready) kept.delete(pod);
    samples = kept;
  }
  if (samples.size === 0) throw new HpaError("did not receive metrics for targeted pods (pods might be unready)");
  prepare?.();
  const measured = measure(samples);
  const { ratio } = measured;
  const propose = (replicas: number): Proposal => ({
    ...measured,
    replicas,
    pods: { ready: readyCount, unready: unready.length, missing: missing.length },
  });

  const upWithUnready = unready.length > 0 && ratio > 1;
  if (!upWithUnready && missing.length === 0) {
    return propose(isWithin(ratio, tolerances) ? currentReplicas : ceilToInt32(ratio * readyCount));
  }

  const filled = new Map(samples);
  const fill = (pod: string, milli: Int64) => filled.set(pod, { milli, atMs: nowMs, windowMs: 0 });
  if (ratio < 1) for (const pod of missing) fill(pod, fallback(pod));
  else if (ratio > 1) for (const pod of missing) fill(pod, 0);
  if (upWithUnready) for (const pod of unready) fill(pod, 0);

  const refilled = measure(filled).ratio;
  if (isWithin(refilled, tolerances) || (ratio < 1 && refilled > 1) || (ratio > 1 && refilled < 1)) return propose(currentReplicas);
  const replicas = ceilToInt32(refilled * filled.size);
  if ((refilled < 1 && replicas > currentReplicas) || (refilled > 1 && replicas < currentReplicas)) return propose(currentReplicas);
  return propose(replicas);
}

/** Object against a Value. From zero neither tolerance nor pods play a part. */
export function valueReplicas(input: {
  readonly currentReplicas: number;
  readonly valueMilli: Int64;
  readonly targetMilli: Int64;
  readonly tolerances: Tolerances;
  readonly pods: readonly Pod[];
}): Proposal {
  const { currentReplicas, valueMilli, targetMilli, tolerances, pods } = input;
  const ratio = Number(valueMilli) / Number(targetMilli);
  const propose = (replicas: number): Proposal => ({ replicas, ratio, usageMilli: valueMilli });
  if (currentReplicas === 0) return propose(ceilToInt32(ratio));
  if (isWithin(ratio, tolerances)) return propose(currentReplicas);
  return propose(ceilToInt32(ratio * countReadyPods(pods)));
}

/** Object against an AverageValue: by the scale's status, not its spec. */
export function valuePerPodReplicas(input: {
  readonly statusReplicas: number;
  readonly valueMilli: Int64;
  readonly targetMilli: Int64;
  readonly tolerances: Tolerances;
}): Proposal {
  const { statusReplicas, valueMilli, targetMilli, tolerances } = input;
  const value = Number(valueMilli);
  const target = Number(targetMilli);
  const ratio = value / (target * statusReplicas);
  const replicas = isWithin(ratio, tolerances) ? statusReplicas : ceilToInt32(value / target);
  return { replicas, ratio, usageMilli: perPodUsage(valueMilli, statusReplicas) };
}

/** External metrics are summed over their series. @throws HpaError when there is none. */
export function externalTotal(valuesMilli: readonly Int64[]): Int64 {
  if (valuesMilli.length === 0) throw new HpaError("no metrics returned from external metrics API");
  return sumSeries(valuesMilli);
}
