import type { AutoscalingConfig } from "./autoscaling-config.ts";

/** Which way `target_capacity` last moved. */
export type CapacityDirection = "up" | "down" | null;

/** `n` scaled by a capacity in percent, at least 1 of anything; null or 100: as it is. Halves round up. */
export function capacityAdjusted(n: number, targetCapacity: number | null): number {
  if (targetCapacity === null || targetCapacity === 100) return n;
  if (targetCapacity === 0 || n === 0) return 0;
  return Math.max(1, Math.floor((n * targetCapacity) / 100 + 0.5));
}

/** The bounds that hold now: while capacity grows, a deployment does not fall below its `initial_replicas`. */
export function boundsOf(config: AutoscalingConfig, targetCapacity: number | null, direction: CapacityDirection) {
  const floor = direction === "up" && config.initial_replicas !== null ? config.initial_replicas : config.min_replicas;
  return { lower: capacityAdjusted(floor, targetCapacity), upper: capacityAdjusted(config.max_replicas, targetCapacity) };
}

/** The lower bound wins where the two cross. */
export const applyBounds = (count: number, { lower, upper }: { readonly lower: number; readonly upper: number }): number =>
  Math.max(lower, Math.min(upper, count));

/** What one deployed config says of capacity. */
export interface CapacityStatement {
  readonly applications: readonly string[];
  readonly targetCapacity: number | null;
}

/** The direction after `next` is deployed over `before`; null before the first one. */
export function capacityDirection(
  before: (CapacityStatement & { readonly direction: CapacityDirection }) | null,
  next: CapacityStatement,
): CapacityDirection {
  const sameApplications = before !== null && before.applications.toSorted().join("\n") === next.applications.toSorted().join("\n");
  if (!sameApplications) return next.targetCapacity === null ? null : "up";
  if (before.targetCapacity === next.targetCapacity) return before.direction;
  if (next.targetCapacity === null) return null;
  if (before.targetCapacity === null) return "down";
  return next.targetCapacity > before.targetCapacity ? "up" : "down";
}
