import type { SageServeSpec, Strategy } from "./spec.ts";

/** What an arbiter sees of one endpoint. `ratio`: last minute's tokens over their forecast; null: no forecast. */
export interface Reading {
  readonly instances: number;
  /** Memory in use over all memory, 0 to 1. */
  readonly memoryUtilization: number;
  readonly ratio: number | null;
}

/** Changes still to be made of the last plan: below 0 instances to give back, or ones taken beyond the plan. */
export interface Arbitration {
  /** -1, 0 or 1. */
  readonly change: number;
  readonly pending: number;
  readonly why: string;
}

/**
 * One look of the short-term arbiter: at most one instance, and never below the least.
 * - reactive: up above the upper utilization, down below the lower one
 * - LT-U: toward the plan by the same two, beyond it only above the overshoot utilization
 * - LT-UA: as LT-U, but beyond the plan where the last minute's tokens are more than `threshold` times their forecast
 * - LT-I has none: its plan is carried out at once
 * Source: SageServe's simulator, arbiter.py.
 */
export function arbitrate(
  strategy: Strategy,
  spec: SageServeSpec,
  pending: number,
  { instances, memoryUtilization: used, ratio }: Reading,
): Arbitration {
  const stay = (why: string): Arbitration => ({ change: 0, pending, why });
  const [high, low] = [used > spec.scale_up_utilization, used < spec.scale_down_utilization];
  const mayShrink = instances > spec.min_instances;
  if (strategy === "lt-i") return stay("the plan is carried out at once");
  if (strategy === "reactive") {
    if (high) return { change: 1, pending, why: `memory use is above ${spec.scale_up_utilization}` };
    if (low)
      return mayShrink
        ? { change: -1, pending, why: `memory use is below ${spec.scale_down_utilization}` }
        : stay("there are no more than the least");
    return stay("memory use is between the thresholds");
  }
  if (pending > 0)
    return high
      ? { change: 1, pending: pending - 1, why: `${pending} more are planned and memory use is above ${spec.scale_up_utilization}` }
      : stay(`${pending} more are planned, but memory use does not ask for them yet`);
  if (pending < 0)
    return low && mayShrink
      ? { change: -1, pending: pending + 1, why: `${-pending} fewer are planned and memory use is below ${spec.scale_down_utilization}` }
      : stay(`${-pending} fewer are planned, but memory use does not let them go yet`);
  if (strategy === "lt-u" && used > spec.overshoot_utilization)
    return { change: 1, pending: -1, why: `memory use is above ${spec.overshoot_utilization}, whatever the plan says` };
  if (strategy === "lt-ua" && ratio !== null && ratio > spec.arima_checking_scaling_threshold)
    return { change: 1, pending: -1, why: `the last minute brought more than ${spec.arima_checking_scaling_threshold} times its forecast` };
  return stay("the plan is carried out");
}
