import type { Ms, ScalingRules } from "../model/index.ts";

/** Recommendations of a stretch of time: `low` and `high` of those from `fromMs` to `atMs`. */
export type Recommended = { readonly fromMs: Ms; readonly atMs: Ms; readonly low: number; readonly high: number };
/** A change of the count that was accepted. */
export type Change = { readonly atMs: Ms; readonly by: number };

const STRETCHES = 128;

/** Appends, forgets what is older than `windowMs`, and keeps at most some 130 entries by joining neighbours. */
export function recommend(history: readonly Recommended[], atMs: Ms, replicas: number, windowMs: Ms): readonly Recommended[] {
  const kept = history.filter((entry) => entry.atMs > atMs - windowMs);
  const last = kept.at(-1);
  if (last !== undefined && atMs - last.fromMs <= windowMs / STRETCHES) {
    const joined = { fromMs: last.fromMs, atMs, low: Math.min(last.low, replicas), high: Math.max(last.high, replicas) };
    return [...kept.slice(0, -1), joined];
  }
  return [...kept, { fromMs: atMs, atMs, low: replicas, high: replicas }];
}

/**
 * HPA's stabilization: up only to the lowest recommendation of the up window, down only to the highest of the down window.
 * `history` includes the present recommendation.
 */
export function stabilize(history: readonly Recommended[], nowMs: Ms, current: number, desired: number, upMs: Ms, downMs: Ms): number {
  let [low, high] = [desired, desired];
  for (const entry of history) {
    if (entry.atMs > nowMs - upMs) low = Math.min(low, entry.low);
    if (entry.atMs > nowMs - downMs) high = Math.max(high, entry.high);
  }
  if (current < low) return low;
  return Math.min(current, high);
}

/** HPA's rate policies: the furthest count that `rules` let `current` reach now in the given direction. */
export function reach(rules: ScalingRules, changes: readonly Change[], nowMs: Ms, current: number, direction: "up" | "down"): number {
  if (rules.selectPolicy === "Disabled") return current;
  if (rules.policies.length === 0) return direction === "up" ? Number.MAX_SAFE_INTEGER : 0;
  const limits = rules.policies.map(({ type, value, periodMs }) => {
    const within = changes.filter((change) => change.atMs > nowMs - periodMs);
    const startedAt = current - within.reduce((sum, change) => sum + change.by, 0);
    if (direction === "up") return type === "Pods" ? startedAt + value : Math.ceil(startedAt * (1 + value / 100) - 1e-9);
    return type === "Pods" ? startedAt - value : Math.floor(startedAt * (1 - value / 100) + 1e-9);
  });
  // "Max" allows the larger change: the highest count on the way up, the lowest on the way down.
  const pickHighest = (rules.selectPolicy === "Max") === (direction === "up");
  const limit = pickHighest ? Math.max(...limits) : Math.min(...limits);
  return direction === "up" ? Math.max(current, limit) : Math.max(0, Math.min(current, limit));
}

/** Longest time that the rules look back; older changes and recommendations are forgotten. */
export const lookBackMs = (...rules: readonly ScalingRules[]) =>
  Math.max(0, ...rules.flatMap((rule) => rule.policies.map((policy) => policy.periodMs)));
