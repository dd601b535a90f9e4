import type { Ms } from "../../../model/index.ts";
import type { Recommendation } from "./words.ts";

export interface Stabilized {
  readonly replicas: number;
  readonly reason: "ReadyForNewScale" | "ScaleDownStabilized" | "ScaleUpStabilized";
  readonly recommendations: readonly Recommendation[];
}

/** The largest recommendation of the window, one exactly as old as it included. Source: horizontal.go, stabilizeRecommendation. */
export function stabilizeWithoutBehavior(
  desiredReplicas: number,
  recommendations: readonly Recommendation[],
  windowMs: Ms,
  nowMs: Ms,
): Stabilized {
  const cutoff = nowMs - windowMs;
  let replicas = desiredReplicas;
  let reusable = -1;
  for (const [slot, past] of recommendations.entries()) {
    if (past.atMs < cutoff) reusable = slot;
    else if (past.replicas > replicas) replicas = past.replicas;
  }
  return {
    replicas,
    reason: replicas === desiredReplicas ? "ReadyForNewScale" : "ScaleDownStabilized",
    recommendations: store(recommendations, reusable, { replicas: desiredReplicas, atMs: nowMs }),
  };
}

/**
 * Moves only as far as both windows agree; recommendations count while strictly younger than a window.
 * Source: horizontal.go, stabilizeRecommendationWithBehaviors.
 */
export function stabilizeWithBehavior(
  currentReplicas: number,
  desiredReplicas: number,
  recommendations: readonly Recommendation[],
  windows: { readonly upMs: Ms; readonly downMs: Ms },
  nowMs: Ms,
): Stabilized {
  const upCutoff = nowMs - windows.upMs;
  const downCutoff = nowMs - windows.downMs;
  let lowest = desiredReplicas;
  let highest = desiredReplicas;
  let reusable = -1;
  for (const [slot, past] of recommendations.entries()) {
    if (past.atMs > upCutoff) lowest = Math.min(lowest, past.replicas);
    if (past.atMs > downCutoff) highest = Math.max(highest, past.replicas);
    if (past.atMs < upCutoff && past.atMs < downCutoff) reusable = slot;
  }
  let replicas = Math.max(currentReplicas, lowest);
  replicas = Math.min(replicas, highest);
  const held = desiredReplicas >= currentReplicas ? "ScaleUpStabilized" : "ScaleDownStabilized";
  return {
    replicas,
    reason: replicas === desiredReplicas ? "ReadyForNewScale" : held,
    recommendations: store(recommendations, reusable, { replicas: desiredReplicas, atMs: nowMs }),
  };
}

/** The last outdated slot is reused; others stay. */
function store(slots: readonly Recommendation[], reusable: number, latest: Recommendation): readonly Recommendation[] {
  return reusable < 0 ? [...slots, latest] : slots.with(reusable, latest);
}
