import type { Ms } from "../../../model/index.ts";
import { type Recommended, recommend } from "../../guards.ts";
import { sumOf } from "../../reading.ts";
import { ceilOf } from "../rounding.ts";
import type { AutoscalingPolicy } from "./words.ts";

/** A running VM; `value` is its utilization, `null` where it reports none. */
export interface Vm {
  /** Younger than the initialization period. */
  readonly initializing: boolean;
  readonly value: number | null;
}

/** What one signal recommends; `blind`: it is missing, at least in part, so it may raise the size and not lower it. */
export interface Recommendation {
  readonly size: number;
  readonly blind: boolean;
}

/**
 * The size at which the mean utilization of `vms` meets `target`: `ceil(n × mean / target)`. VMs that initialize do not count
 * on the way out; on the way in their load counts, so that the size does not fall below what all of them carry.
 */
export function utilizationSize(vms: readonly Vm[], target: number, current: number): Recommendation {
  const initialized = vms.filter(({ initializing }) => !initializing);
  const reported = initialized.flatMap(({ value }) => (value === null ? [] : [value]));
  const all = vms.flatMap(({ value }) => (value === null ? [] : [value]));
  const blind = all.length === 0 || reported.length < initialized.length;
  const mean = reported.length === 0 ? 0 : sumOf(reported) / reported.length;
  const out = ceilOf((initialized.length * mean) / target);
  if (out > current) return { size: out, blind };
  return { size: blind ? current : Math.min(current, Math.max(out, ceilOf(sumOf(all) / target))), blind };
}

/** A metric of the whole group: `value / assignment` VMs, or `running × value / target` where it is a utilization. */
export function groupSize(
  value: number | null,
  by: { readonly assignment: number } | { readonly target: number; readonly running: number },
  current: number,
): Recommendation {
  if (value === null) return { size: current, blind: true };
  return { size: ceilOf("assignment" in by ? value / by.assignment : (by.running * value) / by.target), blind: false };
}

/** How many VMs a scale-in control lets go; a percentage of the peak is rounded to the nearest. */
export function mostScaledIn(control: NonNullable<AutoscalingPolicy["scaleInControl"]>, peak: number): number {
  const { fixed, percent } = control.maxScaledInReplicas;
  return fixed ?? Math.round((peak * (percent ?? 100)) / 100);
}

export interface Stabilized {
  readonly size: number;
  readonly history: readonly Recommended[];
  /** The largest recommendation of the stabilization period, the present one included. */
  readonly peak: number;
  /** The lowest size that the scale-in control allows; `null`: it has no say. */
  readonly floor: number | null;
}

/**
 * Out at once; in only to the largest recommendation of the stabilization period, and with a scale-in control to no less than the
 * largest of its window minus what it lets go. Neither raises the size above `current`: recommendations do.
 */
export function stabilizeSize(
  policy: Pick<AutoscalingPolicy, "stabilizationPeriodSec" | "scaleInControl">,
  before: readonly Recommended[],
  nowMs: Ms,
  recommended: number,
  current: number,
): Stabilized {
  const { scaleInControl: control } = policy;
  const periodMs = policy.stabilizationPeriodSec * 1000;
  const windowMs = (control?.timeWindowSec ?? 0) * 1000;
  const history = recommend(before, nowMs, recommended, Math.max(periodMs, windowMs));
  const peakOf = (lastMs: Ms) =>
    history.reduce((peak, { atMs, high }) => (atMs > nowMs - lastMs ? Math.max(peak, high) : peak), recommended);
  const peak = peakOf(periodMs);
  if (control === undefined) return { size: peak, history, peak, floor: null };
  const highest = peakOf(windowMs);
  const floor = Math.max(0, Math.min(current, highest - mostScaledIn(control, highest)));
  return { size: Math.max(peak, floor), history, peak, floor };
}
