import type { Histogram } from "./signal.ts";

/** How many observations it holds. */
export const countOf = (histogram: Histogram): number => histogram.counts.reduce((sum, count) => sum + count, 0);

/** The sum of two; null where their bounds differ, for then nothing true can be said. */
export function addHistograms(a: Histogram, b: Histogram): Histogram | null {
  if (!sameBounds(a.bounds, b.bounds)) return null;
  return { bounds: a.bounds, counts: a.counts.map((count, at) => count + (b.counts[at] as number)), sum: a.sum + b.sum };
}

/**
 * All of them as one over the bounds that every one of them has, so that versions with different buckets can be merged; null
 * of none. Coarser bounds make quantiles coarser, never wrong.
 */
export function mergeHistograms(all: readonly Histogram[]): Histogram | null {
  const [first, ...rest] = all;
  if (first === undefined) return null;
  if (rest.every((other) => sameBounds(first.bounds, other.bounds))) {
    return {
      bounds: first.bounds,
      counts: first.counts.map((_, at) => all.reduce((sum, one) => sum + (one.counts[at] as number), 0)),
      sum: all.reduce((sum, one) => sum + one.sum, 0),
    };
  }
  const bounds = first.bounds.filter((bound) => rest.every((other) => other.bounds.includes(bound)));
  const counts = new Array<number>(bounds.length + 1).fill(0);
  let sum = 0;
  for (const one of all) {
    sum += one.sum;
    let to = 0;
    one.counts.forEach((count, at) => {
      const upper = one.bounds[at] ?? Number.POSITIVE_INFINITY;
      while (to < bounds.length && (bounds[to] as number) < upper) to++;
      counts[to] = (counts[to] as number) + count;
    });
  }
  return { bounds, counts, sum };
}

export const sameBounds = (a: readonly number[], b: readonly number[]): boolean =>
  a === b || (a.length === b.length && a.every((bound, at) => bound === b[at]));

/**
 * The quantile `q` in [0, 1], linear inside its bucket, the first of which starts at 0; null of no observation. In the last,
 * open bucket it is the largest bound: the true value is at least that. Source: Prometheus, `histogram_quantile`.
 */
export function quantileOf(histogram: Histogram, q: number): number | null {
  const { bounds, counts } = histogram;
  const total = countOf(histogram);
  if (!(total > 0)) return null;
  const rank = q * total;
  let below = 0;
  for (const [at, upper] of bounds.entries()) {
    const inside = counts[at] as number;
    if (inside > 0 && below + inside >= rank) {
      const lower = at === 0 ? Math.min(0, upper) : (bounds[at - 1] as number);
      return lower + (upper - lower) * Math.max(0, (rank - below) / inside);
    }
    below += inside;
  }
  return bounds.at(-1) ?? null;
}

/** Within which the share of observations of at most `bound` lies: one value where `bound` is a bucket's, else its bucket's two ends; null of none. */
export function shareWithin(histogram: Histogram, bound: number): { readonly least: number; readonly most: number } | null {
  const { bounds, counts } = histogram;
  const total = countOf(histogram);
  if (!(total > 0)) return null;
  let below = 0;
  for (const [at, count] of counts.entries()) {
    const upper = bounds[at] ?? Number.POSITIVE_INFINITY;
    const lower = at === 0 ? Number.NEGATIVE_INFINITY : (bounds[at - 1] as number);
    if (bound < upper) return { least: below / total, most: (bound > lower ? below + count : below) / total };
    below += count;
  }
  return { least: below / total, most: 1 };
}
