import type { Ms } from "../../../model/index.ts";

/** Values at moments, newest last; only what can still become the best stays. JSON. */
export type RecordWindow = readonly { readonly atMs: Ms; readonly value: number }[];
type Better = (one: number, other: number) => boolean;

export const larger: Better = (one, other) => one > other;
export const smaller: Better = (one, other) => one < other;

const fresh = (window: RecordWindow, freshMs: Ms, nowMs: Ms): RecordWindow => window.filter(({ atMs }) => atMs + freshMs >= nowMs);

export function append(window: RecordWindow, better: Better, freshMs: Ms, nowMs: Ms, value: number): RecordWindow {
  return [...fresh(window, freshMs, nowMs).filter((entry) => better(entry.value, value)), { atMs: nowMs, value }];
}

/** @returns undefined of a window without length or content */
export function best(window: RecordWindow, freshMs: Ms, nowMs: Ms): number | undefined {
  return freshMs === 0 ? undefined : fresh(window, freshMs, nowMs)[0]?.value;
}

/** A value that lasts until the next one: `past` has values with the moment at which they ended, `last` is the present one. */
export interface LineChart {
  readonly past: RecordWindow;
  readonly last: { readonly atMs: Ms; readonly value: number } | null;
}
export const EMPTY_CHART: LineChart = { past: [], last: null };

/** How many windows long the present value counts without being said again. */
const DRIFT = 2;

const driving = ({ last }: LineChart, freshMs: Ms, nowMs: Ms) => (last !== null && last.atMs + DRIFT * freshMs >= nowMs ? last : null);

/** Lowest first, as all charts here are asked for their lowest value. */
export function extend(chart: LineChart, freshMs: Ms, nowMs: Ms, value: number): LineChart {
  const before = driving(chart, freshMs, nowMs);
  const past = before === null ? fresh(chart.past, freshMs, nowMs) : append(chart.past, smaller, freshMs, nowMs, before.value);
  return { past, last: { atMs: nowMs, value } };
}

/** The lowest value inside the window, `current` included; undefined of a window without length. */
export function lowest(chart: LineChart, freshMs: Ms, nowMs: Ms, current: number): number | undefined {
  if (freshMs === 0) return undefined;
  const values = [current, driving(chart, freshMs, nowMs)?.value, fresh(chart.past, freshMs, nowMs)[0]?.value];
  return Math.min(...values.filter((value) => value !== undefined));
}
