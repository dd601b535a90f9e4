import type { Ms } from "../../../model/index.ts";
import { currentMax, type MaxWindow, maxTimeWindow, recordMaxAt } from "./max-window.ts";

export type ScalingMetric = "concurrency" | "rps";

/** How often the count is decided; also the step of the scale-down delay. */
export const TICK_MS = 2_000;

/** What a revision's decider is told. `target` is aimed for on each pod, `total` is what one pod can take. */
export interface DeciderSpec {
  readonly scalingMetric: ScalingMetric;
  readonly target: number;
  readonly total: number;
  /** −1: the activator always stays in the path. */
  readonly targetBurstCapacity: number;
  readonly activatorCapacity: number;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  /** As a ratio: 2 panics at twice the ready pods. */
  readonly panicThreshold: number;
  readonly stableWindowMs: Ms;
  readonly scaleDownDelayMs: Ms;
  readonly activationScale: number;
  readonly reachable: boolean;
}

/** `panicMs`: since when (or renewed when) it panics. `delay`: as sized when the decider was made; null: it had no delay then. */
export type DeciderState = { readonly panicMs: Ms | null; readonly maxPanicPods: number; readonly delay: MaxWindow | null };

/** What one tick saw; null: the pods could not be counted, or there is nothing to average. */
export interface Observed {
  readonly nowMs: Ms;
  readonly readyPods: number | null;
  readonly averages: { readonly stable: number; readonly panic: number } | null;
}

export type ScaleResult =
  | { readonly valid: false }
  | {
      readonly valid: true;
      readonly desired: number;
      readonly excessBurstCapacity: number;
      /** Pods by the averages alone, before rates, panic and delay. */
      readonly byStable: number;
      readonly byPanic: number;
      readonly minByRate: number;
      readonly maxByRate: number;
      /** After rates and activation scale. */
      readonly limitedStable: number;
      readonly limitedPanic: number;
      readonly panicking: boolean;
      /** Before the scale-down delay. */
      readonly undelayed: number;
    };

/** With more than one pod ready it starts in panic, so that a restart, which forgets the averages, does not shrink the fleet. */
export function startDecider(spec: Pick<DeciderSpec, "scaleDownDelayMs">, nowMs: Ms, readyPods: number | null): DeciderState {
  const pods = readyPods ?? 0;
  return {
    panicMs: pods > 1 ? nowMs : null,
    maxPanicPods: pods,
    delay: spec.scaleDownDelayMs > 0 ? maxTimeWindow(spec.scaleDownDelayMs, TICK_MS) : null,
  };
}

/**
 * One tick: pods = ceil(average / target), for the stable and for the panic window, inside [ready / down rate, ready × up rate].
 * Panic begins when the panic window asks for `panicThreshold` times the ready pods, never shrinks, and ends a stable window after
 * the last tick over the threshold. An unreachable revision shrinks at any rate and without delay.
 * Source: knative/serving `pkg/autoscaler/scaling/autoscaler.go` (Scale).
 */
export function scale(
  before: DeciderState,
  spec: DeciderSpec,
  { nowMs, readyPods, averages }: Observed,
): { readonly state: DeciderState; readonly result: ScaleResult } {
  if (readyPods === null || averages === null) return { state: before, result: { valid: false } };
  const counted = Math.max(1, readyPods);
  const maxByRate = Math.ceil(spec.maxScaleUpRate * counted);
  const minByRate = spec.reachable ? Math.floor(counted / spec.maxScaleDownRate) : 0;
  const byStable = Math.ceil(averages.stable / spec.target);
  const byPanic = Math.ceil(averages.panic / spec.target);
  const limited = (pods: number) => {
    const byRate = Math.min(Math.max(pods, minByRate), maxByRate);
    return spec.activationScale > 1 && pods > 0 ? Math.max(byRate, spec.activationScale) : byRate;
  };
  const [limitedStable, limitedPanic] = [limited(byStable), limited(byPanic)];

  let { panicMs, maxPanicPods, delay } = before;
  if (byPanic / counted >= spec.panicThreshold) {
    panicMs = nowMs;
  } else if (panicMs !== null && panicMs + spec.stableWindowMs < nowMs) {
    panicMs = null;
    maxPanicPods = 0;
  }
  const panicking = panicMs !== null;
  let undelayed = limitedStable;
  if (panicking) {
    maxPanicPods = Math.max(maxPanicPods, limitedStable, limitedPanic);
    undelayed = maxPanicPods;
  }

  let desired = undelayed;
  if (spec.reachable && delay !== null) {
    delay = recordMaxAt(delay, TICK_MS, nowMs, undelayed);
    desired = currentMax(delay);
  }
  return {
    state: { panicMs, maxPanicPods, delay },
    result: {
      valid: true,
      desired,
      excessBurstCapacity: excessBurstCapacity(spec, readyPods, averages.panic),
      byStable,
      byPanic,
      minByRate,
      maxByRate,
      limitedStable,
      limitedPanic,
      panicking,
      undelayed,
    },
  };
}

/** Room above the present load and the burst to be ready for, in units of the metric; below 0 the activator buffers requests. */
function excessBurstCapacity(spec: DeciderSpec, readyPods: number, panicAverage: number): number {
  const { targetBurstCapacity: burst, total } = spec;
  if (burst === 0) return 0;
  return burst > 0 ? Math.floor(readyPods * total - burst - panicAverage) : -1;
}

/** Before the first tick. */
export function initialExcessBurstCapacity(spec: DeciderSpec, initialScale: number): number {
  const { targetBurstCapacity: burst, total } = spec;
  return burst === 0 || burst === -1 ? burst : Math.trunc(initialScale * total - burst);
}

const MIN_ACTIVATORS = 2;

/** How many activators serve the revision while they are in its path. */
export function activatorCount(
  { total, targetBurstCapacity, activatorCapacity }: Pick<DeciderSpec, "total" | "targetBurstCapacity" | "activatorCapacity">,
  readyPods: number,
): number {
  if (targetBurstCapacity === 0) return MIN_ACTIVATORS;
  return Math.max(MIN_ACTIVATORS, Math.ceil((readyPods * total + Math.max(0, targetBurstCapacity)) / activatorCapacity));
}

/** 95 % confidence, a margin of error of 5 and a variance of 100 (in the metric's own units). */
const SAMPLE = (1.96 ** 2 * 100) / 25;

/** How many of `pods` are asked for their metrics in one scrape. */
export function sampleSize(pods: number): number {
  if (pods <= 3) return Math.max(pods, 0);
  return Math.ceil((pods * SAMPLE) / (pods + SAMPLE - 1));
}
