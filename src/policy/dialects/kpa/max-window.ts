import type { Ms } from "../../../model/index.ts";

/** The largest value of the last `size` indices: what can still become the maximum, newest last, values falling. JSON. */
export type MaxWindow = { readonly size: number; readonly maxima: readonly { readonly index: number; readonly value: number }[] };

export const maxWindow = (size: number): MaxWindow => ({ size, maxima: [] });

/** Expects indices that do not fall. Of several values at one index the largest counts. */
export function recordMax(window: MaxWindow, index: number, value: number): MaxWindow {
  const { size } = window;
  const larger = window.maxima.filter((entry) => entry.value > value);
  const kept = larger.filter((entry) => index - entry.index < size);
  // A smaller value at an index that has one already never becomes the maximum.
  return { size, maxima: kept.at(-1)?.index === index ? kept : [...kept, { index, value }] };
}

/** 0 before the first record. */
export const currentMax = (window: MaxWindow): number => window.maxima[0]?.value ?? 0;

/** A window over time, in steps of `granularityMs`. */
export const maxTimeWindow = (windowMs: Ms, granularityMs: Ms): MaxWindow => maxWindow(Math.ceil(windowMs / granularityMs));
export const recordMaxAt = (window: MaxWindow, granularityMs: Ms, atMs: Ms, value: number): MaxWindow =>
  recordMax(window, Math.floor(atMs / granularityMs), value);
