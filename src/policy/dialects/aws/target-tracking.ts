import { ceilOf, floorOf } from "../rounding.ts";

/**
 * How target tracking behaves. The service's own arithmetic is closed and, since November 2024, tunes itself; these are the documented
 * and long observed values, for replays.
 */
export interface TargetTrackingModel {
  /** AlarmHigh: so many datapoints in a row above the target. */
  readonly highDatapoints: number;
  /** AlarmLow: so many datapoints in a row below `lowShare` of the target. */
  readonly lowDatapoints: number;
  readonly lowShare: number;
  /** Load on the replicas that stay must come to no more than this share of the target. */
  readonly inMargin: number;
  /** The most of the capacity that one scale-in removes, but always one instance. */
  readonly inShare: number;
}
export const CLASSIC: TargetTrackingModel = { highDatapoints: 3, lowDatapoints: 15, lowShare: 0.9, inMargin: 0.9, inShare: 0.1 };

/** `working` instances make up `metric`: `ceil(working × metric / target)`, the capacity at which it meets its target. */
export function scaleOutCapacity(working: number, metric: number, target: number): number {
  return ceilOf((working * metric) / target);
}

/**
 * The capacity after a scale-in: as few as keep the metric under `inMargin` of its target, so the amount removed is rounded down, and
 * no more than `inShare` removed at once. Never above `current`.
 */
export function scaleInCapacity(current: number, metric: number, target: number, model: TargetTrackingModel): number {
  const fits = ceilOf((current * metric) / (target * model.inMargin));
  const slowest = current - Math.max(1, floorOf(current * model.inShare));
  return Math.max(0, Math.min(current, Math.max(fits, slowest)));
}
