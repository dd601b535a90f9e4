import type { Ms } from "../../../model/index.ts";
import type { Behavior, PanicRules, StableRules } from "./settings.ts";
import { append, best, EMPTY_CHART, extend, type LineChart, larger, lowest, type RecordWindow, smaller } from "./windows.ts";

/** What is remembered of one unit. Recommendations wait out the stabilization windows, counts the periods of the limits. */
export interface Memory {
  readonly panicUntilMs: Ms | null;
  readonly highest: RecordWindow;
  readonly lowest: RecordWindow;
  readonly downCounts: LineChart;
  readonly upCounts: LineChart;
  readonly panicCounts: LineChart;
}

export const EMPTY_MEMORY: Memory = {
  panicUntilMs: null,
  highest: [],
  lowest: [],
  downCounts: EMPTY_CHART,
  upCounts: EMPTY_CHART,
  panicCounts: EMPTY_CHART,
};

export interface Corrected {
  readonly replicas: number;
  readonly panicking: boolean;
  /** After the stabilization window, before the limits. */
  readonly stabilized: number;
  readonly memory: Memory;
}

/**
 * A recommendation made fit: in panic it only rises, by `percent` of the lowest count of the period; else a fall waits for the
 * highest and a rise for the lowest recommendation of its window, and goes no further than its limits from the lowest count
 * of the period. (That the way down, too, counts from the lowest and not the highest count is the original's own doing.)
 * Source: volcano-sh/kthena `pkg/autoscaler/algorithm/revision.go`, `autoscaler/status.go`.
 */
export function correct(
  memory: Memory,
  { up, panic, down }: Behavior,
  {
    min,
    max,
    current,
    recommended,
    nowMs,
  }: { readonly min: number; readonly max: number; readonly current: number; readonly recommended: number; readonly nowMs: Ms },
): Corrected {
  const panicUntilMs = panicEnd(memory, panic, current, recommended, nowMs);
  const panicking = panic.holdMs > 0 && panicUntilMs !== null && nowMs <= panicUntilMs;
  let [stabilized, replicas] = [recommended, recommended];
  if (panicking) {
    const from = lowest(memory.panicCounts, panic.periodMs, nowMs, current);
    const limit = from !== undefined && from > 0 ? from + Math.trunc((from * panic.percent) / 100) : Number.POSITIVE_INFINITY;
    replicas = Math.max(Math.min(recommended, limit), current);
  } else if (recommended < current) {
    stabilized = Math.max(recommended, best(memory.highest, down.stabilizationWindowMs, nowMs) ?? recommended);
    const from = lowest(memory.downCounts, down.periodMs, nowMs, current);
    replicas = Math.min(Math.max(stabilized, from === undefined ? 0 : reach(down, from, -1)), current);
  } else if (recommended > current) {
    stabilized = Math.min(recommended, best(memory.lowest, up.stabilizationWindowMs, nowMs) ?? recommended);
    const from = lowest(memory.upCounts, up.periodMs, nowMs, current);
    replicas = Math.max(Math.min(stabilized, from === undefined ? max : reach(up, from, 1)), current);
  }
  replicas = Math.min(Math.max(replicas, min), max);
  return {
    replicas,
    panicking,
    stabilized,
    memory: {
      panicUntilMs,
      highest: append(memory.highest, larger, down.stabilizationWindowMs, nowMs, recommended),
      lowest: append(memory.lowest, smaller, up.stabilizationWindowMs, nowMs, recommended),
      downCounts: extend(memory.downCounts, down.periodMs, nowMs, replicas),
      upCounts: extend(memory.upCounts, up.periodMs, nowMs, replicas),
      panicCounts: extend(memory.panicCounts, panic.periodMs, nowMs, replicas),
    },
  };
}

function panicEnd(memory: Memory, { thresholdPercent, holdMs }: PanicRules, current: number, recommended: number, nowMs: Ms): Ms | null {
  return recommended * 100 >= current * thresholdPercent ? (holdMs === 0 ? null : nowMs + holdMs) : memory.panicUntilMs;
}

/** The furthest count from `from` in a direction. */
function reach({ instances, percent, selectPolicy }: StableRules, from: number, direction: 1 | -1): number {
  const steps = [instances, Math.trunc((from * percent) / 100)];
  return from + direction * (selectPolicy === "Or" ? Math.max(...steps) : Math.min(...steps));
}
