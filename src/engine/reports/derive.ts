import { type Histogram, type Ms, quantileOf, type SignalName, sameBounds } from "../../model/index.ts";
import type { CumulativeHistogram, EngineReport } from "./engine-page.ts";

/** What happened at a replica between two readings of its page. */
export interface Derived {
  readonly atMs: Ms;
  readonly windowMs: Ms;
  /** Per second. 0 is a true 0: the counter stood still. */
  readonly rates: Readonly<Partial<Record<SignalName, number>>>;
  /** Observations of the window only; one without any is there with counts of 0. */
  readonly histograms: Readonly<Partial<Record<SignalName, Histogram>>>;
}

const rateOf = {
  request_rate: "finished",
  prompt_tokens_per_second: "prompt_tokens",
  output_tokens_per_second: "gen_tokens",
} as const satisfies Partial<Record<SignalName, SignalName>>;
/** Signals that are rates of counters, per second. */
export const RATE_NAMES = Object.keys(rateOf) as readonly (keyof typeof rateOf)[];

/**
 * Rates and histograms of the time between two reports of one replica. A counter that fell, or a process that says it started
 * anew, makes the window unknown (absent), not empty: how much was counted before the restart cannot be known. The same goes
 * for a counter that was not on both pages, with one exception: while both pages say that nothing runs and nothing waits, a
 * counter of this engine that neither has yet stands at 0 (client libraries show some only after the first request).
 * @returns null where no time passed
 */
export function derive(previous: EngineReport, next: EngineReport): Derived | null {
  const windowMs = next.atMs - previous.atMs;
  if (!(windowMs > 0)) return null;
  const restarted = previous.startedAtMs !== null && next.startedAtMs !== null && previous.startedAtMs !== next.startedAtMs;
  const idle = [previous, next].every(({ gauges }) => gauges.running === 0 && gauges.waiting === 0);
  const rates: Partial<Record<SignalName, number>> = {};
  for (const rate of RATE_NAMES) {
    const name = rateOf[rate];
    const before = previous.counters[name];
    const after = next.counters[name];
    if (before === undefined && after === undefined) {
      if (idle && next.knownCounters.includes(name)) rates[rate] = 0;
    } else if (!restarted && before !== undefined && after !== undefined && before.source === after.source && after.value >= before.value) {
      rates[rate] = ((after.value - before.value) / windowMs) * 1000;
    }
  }
  const histograms: Partial<Record<SignalName, Histogram>> = {};
  if (!restarted) {
    for (const [name, after] of Object.entries(next.histograms) as [SignalName, CumulativeHistogram][]) {
      const before = previous.histograms[name];
      const difference = before === undefined ? null : subtract(before, after);
      if (difference !== null) histograms[name] = difference;
    }
  }
  return { atMs: next.atMs, windowMs, rates, histograms };
}

/** What was observed between the two; null after a reset or where source or bounds changed. */
export function subtract(before: CumulativeHistogram, after: CumulativeHistogram): Histogram | null {
  if (before.source !== after.source || !sameBounds(before.bounds, after.bounds)) return null;
  if ((after.counts.at(-1) as number) < (before.counts.at(-1) as number) || after.sum < before.sum) return null;
  const grown = after.counts.map((count, at) => count - (before.counts[at] as number));
  return {
    bounds: after.bounds,
    counts: grown.map((count, at) => Math.max(0, at === 0 ? count : count - (grown[at - 1] as number))),
    sum: after.sum - before.sum,
  };
}

const quantiles = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;

/**
 * The quantile signals that these histograms give; a histogram without observations gives none. Where there is no `tpot`, its
 * quantiles come from `itl`: single gaps instead of each request's mean, so that they read higher.
 */
export function quantileSignals(histograms: Readonly<Partial<Record<SignalName, Histogram>>>): Partial<Record<SignalName, number>> {
  const signals: Partial<Record<SignalName, number>> = {};
  const sources = { ttft: histograms.ttft, tpot: histograms.tpot ?? histograms.itl, e2e: histograms.e2e } as const;
  for (const name of ["ttft", "tpot", "e2e"] as const) {
    const histogram = sources[name];
    if (histogram === undefined) continue;
    for (const suffix of ["p50", "p95", "p99"] as const) {
      const value = quantileOf(histogram, quantiles[suffix]);
      if (value !== null) signals[`${name}_${suffix}`] = value;
    }
  }
  return signals;
}
