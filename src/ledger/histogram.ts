import type { Histogram } from "../model/index.ts";

/** Buckets per factor of ten. */
const perDecade = 20;
const smallestSeconds = 1e-4;
const decades = 7;

/**
 * Bounds in seconds of every latency histogram of ours, from 0.1 ms to 1000 s, each 10^(1/20) times the one before: a quantile
 * read from it is off by at most 12.3 % of its value inside that range. All are alike, so that gateways and seconds add up.
 */
export const LATENCY_BOUNDS: readonly number[] = Array.from({ length: perDecade * decades + 1 }, (_, at) =>
  Number((smallestSeconds * 10 ** (at / perDecade)).toPrecision(6)),
);

/** @returns the index of the bucket (`bounds[at - 1]` < seconds ≤ `bounds[at]`) that takes a latency. */
export function latencyBucket(seconds: number): number {
  if (!(seconds > smallestSeconds)) return 0;
  let at = Math.min(LATENCY_BOUNDS.length, Math.max(0, Math.round(Math.log10(seconds / smallestSeconds) * perDecade)));
  // The logarithm may be off by one bucket at a bound.
  while (at < LATENCY_BOUNDS.length && seconds > (LATENCY_BOUNDS[at] as number)) at++;
  while (at > 0 && seconds <= (LATENCY_BOUNDS[at - 1] as number)) at--;
  return at;
}

export const emptyHistogram = (bounds: readonly number[] = LATENCY_BOUNDS): Histogram => ({
  bounds,
  counts: new Array<number>(bounds.length + 1).fill(0),
  sum: 0,
});

export const countOf = (histogram: Histogram): number => histogram.counts.reduce((sum, count) => sum + count, 0);

const sameBounds = (a: readonly number[], b: readonly number[]) =>
  a === b || (a.length === b.length && a.every((bound, at) => bound === b[at]));

/** The sum of several; empty of none. @throws RangeError where bounds differ: then nothing true can be said */
export function mergeHistograms(all: readonly Histogram[]): Histogram {
  const first = all[0];
  if (first === undefined) return emptyHistogram();
  const counts = new Array<number>(first.bounds.length + 1).fill(0);
  let sum = 0;
  for (const one of all) {
    if (!sameBounds(one.bounds, first.bounds)) throw new RangeError("histograms with different bounds cannot be merged");
    for (let at = 0; at < counts.length; at++) counts[at] = (counts[at] as number) + (one.counts[at] ?? 0);
    sum += one.sum;
  }
  return { bounds: first.bounds, counts, sum };
}

/** What came between two readings of a growing histogram; null where it started again or its bounds changed. */
export function subtract(later: Histogram, earlier: Histogram): Histogram | null {
  if (!sameBounds(later.bounds, earlier.bounds)) return null;
  const counts = later.counts.map((count, at) => count - (earlier.counts[at] ?? 0));
  return counts.some((count) => count < 0) ? null : { bounds: later.bounds, counts, sum: Math.max(0, later.sum - earlier.sum) };
}

/**
 * The quantile `q` in [0, 1], linear inside its bucket, the first of which starts at 0; null of no observation. In the open last
 * bucket it is the largest bound: the true value is at least that. Source: Prometheus, `histogram_quantile`.
 */
export function quantile(histogram: Histogram, q: number): number | null {
  const { bounds, counts } = histogram;
  const total = countOf(histogram);
  if (!(total > 0)) return null;
  const rank = Math.min(1, Math.max(0, q)) * total;
  let below = 0;
  for (const [at, upper] of bounds.entries()) {
    const inside = counts[at] as number;
    if (inside > 0 && below + inside >= rank) {
      const lower = at === 0 ? Math.min(0, upper) : (bounds[at - 1] as number);
      return lower + ((upper - lower) * Math.max(0, rank - below)) / inside;
    }
    below += inside;
  }
  return bounds.at(-1) ?? null;
}
