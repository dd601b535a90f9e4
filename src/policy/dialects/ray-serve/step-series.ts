import type { AggregationFunction } from "./autoscaling-config.ts";

/** A gauge's value from `atS` (seconds) on, until the next point. */
interface Point {
  readonly atS: number;
  readonly value: number;
}
/** Oldest first. */
export type StepSeries = readonly Point[];

const to10Ms = (atS: number) => Math.round(atS * 100) / 100;

/**
 * The sum of several step series. Times are rounded to 10 ms and what falls together is one point; where no series changed there is
 * none. A series counts as 0 before its first point. One series alone comes back as it is.
 */
export function mergeTotal(all: readonly StepSeries[]): StepSeries {
  const series = all.filter((points) => points.length > 0);
  if (series.length <= 1) return series[0] ?? [];
  const changes = series.flatMap((points) =>
    points.flatMap((point, at) => {
      const before = points[at - 1]?.value ?? 0;
      return point.value === before ? [] : [{ atS: point.atS, by: point.value - before }];
    }),
  );
  const merged: Point[] = [];
  let total = 0;
  for (const { atS, by } of changes.sort((a, b) => a.atS - b.atS)) {
    total += by;
    const point = { atS: to10Ms(atS), value: total };
    if (merged.at(-1)?.atS === point.atS) merged[merged.length - 1] = point;
    else merged.push(point);
  }
  return merged;
}

export interface Window {
  /** Default: the first point. */
  readonly startS?: number | null;
  /** Default: `lastWindowS` after the last point. */
  readonly endS?: number | null;
  /** For how long the last value holds. */
  readonly lastWindowS: number;
}

/** Mean over time of a step series; 0 before its first point; null of no points or an empty window. */
export function timeWeightedAverage(points: StepSeries, window: Window): number | null {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return null;
  const startS = window.startS ?? first.atS;
  const endS = window.endS ?? last.atS + window.lastWindowS;
  if (endS <= startS) return null;
  let [atS, value, weighted, duration] = [startS, 0, 0, 0];
  const hold = (untilS: number) => {
    weighted += value * (untilS - atS);
    duration += untilS - atS;
    atS = untilS;
  };
  for (const point of points) {
    if (point.atS >= endS) break;
    if (point.atS > startS) hold(point.atS);
    value = point.value;
  }
  hold(endS);
  return weighted / duration;
}

/** Mean over time, or the extreme of the points from `startS` on; null of nothing. */
export function aggregate(points: StepSeries, how: AggregationFunction, window: Omit<Window, "endS">): number | null {
  if (how === "mean") return timeWeightedAverage(points, window);
  const startS = window.startS ?? Number.NEGATIVE_INFINITY;
  const values = points.filter((point) => point.atS >= startS).map((point) => point.value);
  if (values.length === 0) return null;
  return how === "max" ? Math.max(...values) : Math.min(...values);
}

/**
 * The controller's total of all raw series at `nowS`; 0 of none. The last value holds until now (for 1 ms where a clock runs ahead),
 * and the window starts when every series has a point, lest the late ones count as 0 before.
 */
export function totalAt(all: readonly StepSeries[], how: AggregationFunction, nowS: number): number {
  const merged = mergeTotal(all);
  const [first, last] = [merged[0], merged.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const sinceLastS = nowS - last.atS;
  const starts = all.flatMap((points) => points[0]?.atS ?? []);
  const alignedS = Math.max(...starts);
  const startS = starts.length > 1 && alignedS <= last.atS ? Math.max(alignedS, first.atS) : null;
  return aggregate(merged, how, { startS, lastWindowS: sinceLastS <= 0 ? 1e-3 : sinceLastS }) ?? 0;
}
