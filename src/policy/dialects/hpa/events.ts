import type { Ms } from "../../../model/index.ts";
import type { Rules, ScaleEvent } from "./words.ts";

/** Replicas changed within the period: by events strictly younger than it. */
export function changeInPeriod(events: readonly ScaleEvent[], periodMs: Ms, nowMs: Ms): number {
  let sum = 0;
  for (const event of events) if (event.atMs > nowMs - periodMs) sum += event.replicaChange;
  return sum;
}

/**
 * Stores one change of that direction: events older than the longest policy period become outdated, and the last outdated slot
 * is reused. Source: horizontal.go, storeScaleEvent.
 */
export function storeScaleEvent(events: readonly ScaleEvent[], replicaChange: number, rules: Rules, nowMs: Ms): readonly ScaleEvent[] {
  const longestMs = Math.max(0, ...rules.policies.map((policy) => policy.periodSeconds)) * 1000;
  const marked = events.map((event) => (event.atMs < nowMs - longestMs && !event.outdated ? { ...event, outdated: true } : event));
  const reusable = marked.findLastIndex((event) => event.outdated);
  const latest: ScaleEvent = { replicaChange, atMs: nowMs, outdated: false };
  return reusable < 0 ? [...marked, latest] : marked.with(reusable, latest);
}
