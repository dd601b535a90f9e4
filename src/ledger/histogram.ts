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

/** Microseconds are looked up by their highest bit and the three below it, which narrows the bucket down to two or three. */
const bitsBelow = 3;
const firstBuckets = Uint8Array.from({ length: 32 << bitsBelow }, (_, at) => {
  const exponent = at >> bitsBelow;
  const microseconds = 2 ** exponent * (1 + (at & ((1 << bitsBelow) - 1)) / (1 << bitsBelow));
  const bucket = LATENCY_BOUNDS.findIndex((bound) => microseconds / 1e6 <= bound);
  return bucket < 0 ? LATENCY_BOUNDS.length : bucket;
});
const mostMicroseconds = 2 ** 31 - 1;

/** @returns the index of the bucket (`bounds[at - 1]` < seconds ≤ `bounds[at]`) that takes a latency. */
export function latencyBucket(seconds: number): number {
  if (!(seconds > smallestSeconds)) return 0;
  const microseconds = Math.min(seconds * 1e6, mostMicroseconds) | 0;
  const exponent = 31 - Math.clz32(microseconds);
  const below = exponent >= bitsBelow ? (microseconds >> (exponent - bitsBelow)) & ((1 << bitsBelow) - 1) : 0;
  let at = firstBuckets[(exponent << bitsBelow) | below] as number;
  while (at < LATENCY_BOUNDS.length && seconds > (LATENCY_BOUNDS[at] as number)) at++;
  // Cut to whole microseconds it may be one bucket too high.
  while (at > 0 && seconds <= (LATENCY_BOUNDS[at - 1] as number)) at--;
  return at;
}

export const emptyHistogram = (bounds: readonly number[] = LATENCY_BOUNDS): Histogram => ({
  bounds,
  counts: new Array<number>(bounds.length + 1).fill(0),
  sum: 0,
});
