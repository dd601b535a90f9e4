import { floorOf } from "../rounding.ts";
import type { AdjustmentType } from "./words.ts";

export interface Adjustment {
  readonly type: AdjustmentType;
  readonly amount: number;
  /** The least change in instances where `type` is a percentage. */
  readonly minMagnitude: number;
}

/**
 * A change in instances out of a percentage: more than one is rounded towards zero, less than one becomes one (12.7 → 12,
 * -6.67 → -6, 0.67 → 1, -0.58 → -1).
 */
export function roundPercentChange(change: number): number {
  return change === 0 ? 0 : Math.sign(change) * Math.max(1, floorOf(Math.abs(change)));
}

/** The capacity that an adjustment makes of `current`, before the group's bounds; never below 0. */
export function adjust(current: number, { type, amount, minMagnitude }: Adjustment): number {
  switch (type) {
    case "ChangeInCapacity":
      return Math.max(0, current + amount);
    case "ExactCapacity":
      return amount;
    case "PercentChangeInCapacity": {
      if (amount === 0) return current;
      const change = roundPercentChange((current * amount) / 100);
      // A percentage of nothing still has the sign of its amount, for the least magnitude to apply to.
      return Math.max(0, current + Math.sign(amount) * Math.max(Math.abs(change), minMagnitude));
    }
  }
}
