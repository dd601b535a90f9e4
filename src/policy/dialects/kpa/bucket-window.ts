import type { Ms } from "../../../model/index.ts";

/**
 * Sums per bucket of time over a sliding window, in a ring; JSON. `firstMs` and `lastMs` are bucket starts, null before the first
 * write. What is recorded twice in one bucket adds up.
 */
export type BucketWindow = {
  readonly windowMs: Ms;
  readonly granularityMs: Ms;
  readonly buckets: readonly number[];
  readonly firstMs: Ms | null;
  readonly lastMs: Ms | null;
  readonly total: number;
};
export type Entry = { readonly atMs: Ms; readonly value: number };

const bucketCount = (windowMs: Ms, granularityMs: Ms) => Math.ceil(windowMs / granularityMs);

export function bucketWindow(windowMs: Ms, granularityMs: Ms): BucketWindow {
  const buckets = new Array<number>(bucketCount(windowMs, granularityMs)).fill(0);
  return { windowMs, granularityMs, buckets, firstMs: null, lastMs: null, total: 0 };
}

/**
 * Adds each value to the bucket of its time, in the order given. A bucket between two writes reads as 0; silence of a whole window
 * starts the window afresh; a value a window or more before the newest write is dropped.
 */
export function recordAll(window: BucketWindow, entries: readonly Entry[]): BucketWindow {
  const { windowMs, granularityMs } = window;
  const buckets = [...window.buckets];
  let { firstMs, lastMs, total } = window;
  for (const { atMs, value } of entries) {
    const at = Math.floor(atMs / granularityMs);
    const bucketMs = at * granularityMs;
    if (lastMs === null || bucketMs - lastMs >= windowMs) {
      buckets.fill(0);
      total = 0;
      firstMs = bucketMs;
      lastMs = bucketMs;
    } else if (bucketMs > lastMs) {
      for (let stale = lastMs / granularityMs + 1; stale <= at; stale++) {
        const slot = ringSlot(stale, buckets.length);
        total -= buckets[slot] as number;
        buckets[slot] = 0;
      }
      lastMs = bucketMs;
    } else if (bucketMs + windowMs <= lastMs) {
      continue;
    }
    firstMs = Math.min(firstMs ?? bucketMs, bucketMs);
    const slot = ringSlot(at, buckets.length);
    buckets[slot] = (buckets[slot] as number) + value;
    total += value;
  }
  return { ...window, buckets, firstMs, lastMs, total };
}

export const record = (window: BucketWindow, atMs: Ms, value: number): BucketWindow => recordAll(window, [{ atMs, value }]);

/** Nothing was written for longer than the window. */
export function isEmpty(window: BucketWindow, nowMs: Ms): boolean {
  return window.lastMs === null || truncated(window, nowMs) - window.lastMs > window.windowMs;
}

/**
 * Mean per bucket. A young window is divided by its age, and seconds without news since the last write shorten the divisor instead
 * of counting as 0; 0 after a whole window of silence. Six decimals, rounded down.
 */
export function linearAverage(window: BucketWindow, nowMs: Ms): number {
  const { windowMs, granularityMs, buckets, firstMs, lastMs } = window;
  if (firstMs === null || lastMs === null) return 0;
  const silentMs = Math.max(0, truncated(window, nowMs) - lastMs);
  if (silentMs >= windowMs) return 0;
  const silent = silentMs / granularityMs;
  let sum = window.total;
  const last = lastMs / granularityMs;
  for (let aged = last + 1; aged <= last + silent; aged++) sum -= buckets[ringSlot(aged, buckets.length)] as number;
  const divisor = Math.min((lastMs - firstMs) / granularityMs + 1, buckets.length - silent);
  return roundDown(sum / divisor, DIGITS);
}

/**
 * Σ bucket × s(1−s)^k from the newest (k = 0) back, s the smoothing coefficient; silent seconds since the last write are passed over
 * with their weights. Not normalised: a young window reads low.
 */
export function weightedAverage(window: BucketWindow, nowMs: Ms): number {
  const { granularityMs, buckets, lastMs } = window;
  if (lastMs === null || isEmpty(window, nowMs)) return 0;
  const silent = Math.max(0, truncated(window, nowMs) - lastMs) / granularityMs;
  const coefficient = smoothingCoefficient(buckets.length);
  const last = lastMs / granularityMs;
  let weight = coefficient * (1 - coefficient) ** silent;
  let average = 0;
  for (let back = 0; back < buckets.length - silent; back++) {
    average += weight * (buckets[ringSlot(last - back, buckets.length)] as number);
    weight *= 1 - coefficient;
  }
  return average;
}

/**
 * The same readings in a window of another length: the newest buckets stay, and `firstMs` becomes the earliest time that the old
 * window could have known. A window silent for longer than itself is emptied.
 */
export function resizeWindow(window: BucketWindow, windowMs: Ms, nowMs: Ms): BucketWindow {
  if (windowMs === window.windowMs) return window;
  const { granularityMs, lastMs } = window;
  const empty = bucketWindow(windowMs, granularityMs);
  if (lastMs === null) return empty;
  if (isEmpty(window, nowMs)) return { ...empty, lastMs, firstMs: null };
  const old = window.buckets.length;
  const buckets = [...empty.buckets];
  let total = 0;
  const last = lastMs / granularityMs;
  for (let back = 0; back < Math.min(old, buckets.length); back++) {
    const value = window.buckets[ringSlot(last - back, old)] as number;
    buckets[ringSlot(last - back, buckets.length)] = value;
    total += value;
  }
  return { windowMs, granularityMs, buckets, total, lastMs, firstMs: lastMs - (old - 1) * granularityMs };
}

/** Weights of the last `buckets` buckets sum to at least this. */
const PRECISION = 0.9999;
const MIN_COEFFICIENT = 0.2;
const DIGITS = 6;

export const smoothingCoefficient = (buckets: number): number => Math.max(1 - (1 - PRECISION) ** (1 / buckets), MIN_COEFFICIENT);

export function roundDown(value: number, digits: number): number {
  const power = 10 ** digits;
  return Math.floor(value * power) / power;
}

const truncated = ({ granularityMs }: BucketWindow, atMs: Ms): Ms => Math.floor(atMs / granularityMs) * granularityMs;
const ringSlot = (at: number, size: number): number => ((at % size) + size) % size;
