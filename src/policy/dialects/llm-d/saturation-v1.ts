import type { SaturationConfig } from "./spec.ts";
import type { ReplicaMetrics, Targets, VariantState } from "./words.ts";

export interface SaturationAnalysis {
  readonly replicas: number;
  readonly nonSaturated: number;
  /** Means over the replicas that are not saturated, of all variants; 0 where all are. */
  readonly avgSpareKv: number;
  readonly avgSpareQueue: number;
  readonly shouldScaleUp: boolean;
  readonly scaleDownSafe: boolean;
}

/** Below it a removal is never tried: the load would have nowhere to go. */
const LEAST_NON_SATURATED = 2;

/**
 * Saturation in percent: how far replicas are, on average, from where they count as full.
 * - saturated: KV cache use or queue at its threshold or above
 * - up: the mean spare of KV cache or of queue is below its trigger
 * - down is safe: with the load of n replicas on n - 1, both spares are still at least their triggers
 * Source: llm-d workload variant autoscaler, internal/saturation/analyzer.go.
 */
export function analyzeSaturation(replicas: readonly ReplicaMetrics[], config: SaturationConfig): SaturationAnalysis {
  const { kvCacheThreshold, queueLengthThreshold, kvSpareTrigger, queueSpareTrigger } = config;
  const free = replicas.filter(({ kvCacheUsage, queueLength }) => kvCacheUsage < kvCacheThreshold && queueLength < queueLengthThreshold);
  const count = free.length;
  const mean = (of: (replica: ReplicaMetrics) => number) =>
    count === 0
      ? 0
      : free
          .map(of)
          .sort((a, b) => a - b)
          .reduce((sum, value) => sum + value, 0) / count;
  const avgSpareKv = mean(({ kvCacheUsage }) => kvCacheThreshold - kvCacheUsage);
  const avgSpareQueue = mean(({ queueLength }) => queueLengthThreshold - queueLength);
  const crowd = count / (count - 1);
  const left = (threshold: number, spare: number) => threshold - (threshold - spare) * crowd;
  return {
    replicas: replicas.length,
    nonSaturated: count,
    avgSpareKv,
    avgSpareQueue,
    shouldScaleUp: replicas.length > 0 && (avgSpareKv < kvSpareTrigger || avgSpareQueue < queueSpareTrigger),
    scaleDownSafe:
      count >= LEAST_NON_SATURATED &&
      left(kvCacheThreshold, avgSpareKv) >= kvSpareTrigger &&
      left(queueLengthThreshold, avgSpareQueue) >= queueSpareTrigger,
  };
}

/** Why the whole model stands still: a variant whose count is still on its way to what was asked for. */
export const inTransition = ({ desiredReplicas, currentReplicas, pendingReplicas }: VariantState): boolean =>
  (desiredReplicas !== 0 && desiredReplicas !== currentReplicas) || pendingReplicas > 0;

/**
 * One step for the whole model: the cheapest variant up by one, or the dearest one with more than one replica down by one; equal
 * costs by name. While any variant is in transition nothing changes. Bounds of the variants hold at the end.
 * @param states of variants that have replicas which report; those without are left as they are
 */
export function saturationTargets(analysis: SaturationAnalysis, states: readonly VariantState[]): Targets {
  const asTheyAre = Object.fromEntries(states.map((state) => [state.variantName, state.currentReplicas]));
  if (analysis.replicas === 0) return asTheyAre;
  if (states.some(inTransition))
    return Object.fromEntries(
      states.map((state) => [state.variantName, state.desiredReplicas !== 0 ? state.desiredReplicas : state.currentReplicas]),
    );
  const targets: Record<string, number> = { ...asTheyAre };
  const byCost = states.toSorted((a, b) => a.cost - b.cost || (a.variantName < b.variantName ? -1 : 1));
  if (analysis.shouldScaleUp) {
    const cheapest = byCost[0];
    if (cheapest !== undefined) targets[cheapest.variantName] = cheapest.currentReplicas + 1;
  } else if (analysis.scaleDownSafe) {
    const dearest = byCost.findLast(({ currentReplicas }) => currentReplicas > 1);
    if (dearest !== undefined) targets[dearest.variantName] = dearest.currentReplicas - 1;
  }
  return Object.fromEntries(
    states.map(({ variantName, minReplicas, maxReplicas }) => [
      variantName,
      Math.min(maxReplicas, Math.max(minReplicas, targets[variantName] as number)),
    ]),
  );
}
