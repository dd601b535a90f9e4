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
