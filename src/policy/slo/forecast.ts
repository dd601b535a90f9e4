import type { Ms } from "../../model/index.ts";
import type { Rate } from "./demand.ts";

/** Levels of demand, one per time constant, with a damped trend for the middle ones. */
type Level = { readonly prefill: number; readonly output: number; readonly requests: number; readonly trend: number };
/** A forecast that has not come true yet: what each forecaster said, in work, for `dueMs`. */
type Pending = { readonly dueMs: Ms; readonly madeMs: Ms; readonly said: readonly number[] };

/** `errors[f]`: log(actual / forecast) of forecaster f, newest last; `cost[f]`: its fading pinball loss, relative. */
export type Forecast = {
  readonly atMs: Ms | null;
  readonly levels: readonly Level[];
  readonly pending: readonly Pending[];
  readonly errors: readonly (readonly number[])[];
  readonly cost: readonly number[];
};

const TIME_CONSTANTS_MS = [10_000, 40_000, 160_000, 640_000, 2_400_000] as const;
/** Forecasters: every level as it is, and two of them with their trend. */
const FORECASTERS = [
  { level: 0, trend: false },
  { level: 1, trend: false },
  { level: 2, trend: false },
  { level: 3, trend: false },
  { level: 4, trend: false },
  { level: 1, trend: true },
  { level: 2, trend: true },
] as const;
const KEPT_ERRORS = 96;
const KEPT_PENDING = 64;
/** Errors beyond a factor of two are jumps: the fast windows meet them; as errors they would inflate the margin for an hour. */
const JUMP = Math.log(2);
/** Error assumed at first, and its weight in samples (which overlap, so many of them say little). */
const PRIOR_SPREAD = 0.15;
const PRIOR_SAMPLES = 30;
/** Forecasts that must have been scored before another forecaster than the first may be chosen. */
const LEAST_SCORED = 24;
const TREND_DAMPING_MS = 120_000;

export const noForecast: Forecast = {
  atMs: null,
  levels: TIME_CONSTANTS_MS.map(() => ({ prefill: 0, output: 0, requests: 0, trend: 0 })),
  pending: [],
  errors: FORECASTERS.map(() => []),
  cost: FORECASTERS.map(() => 0),
};

/** Moves the levels to `nowMs`, scores the forecasts that fell due against `rate`, and files new ones for `horizonMs` ahead. */
export function learnForecast(
  forecast: Forecast,
  rate: Rate,
  work: (rate: Rate) => number,
  nowMs: Ms,
  horizonMs: Ms,
  quantile: number,
): Forecast {
  const actual = work(rate);
  const passedMs = forecast.atMs === null ? null : nowMs - forecast.atMs;
  if (passedMs !== null && passedMs < 1_000) return forecast;
  const levels = forecast.levels.map((level, at): Level => {
    if (passedMs === null) return { ...rate, trend: 0 };
    const gain = 1 - Math.exp(-passedMs / (TIME_CONSTANTS_MS[at] as number));
    const before = work(level);
    const next = {
      prefill: level.prefill + gain * (rate.prefill - level.prefill),
      output: level.output + gain * (rate.output - level.output),
      requests: level.requests + gain * (rate.requests - level.requests),
    };
    const slope = (work(next) - before) / passedMs;
    return { ...next, trend: level.trend + gain * (slope - level.trend) };
  });
  const errors = forecast.errors.map((past) => [...past]);
  const cost = [...forecast.cost];
  // A level that has just been filled has no past to be judged by: nothing falls due before one horizon has gone by.
  for (const due of forecast.pending.filter((one) => one.dueMs <= nowMs)) {
    for (const [at, said] of due.said.entries()) {
      const error = Math.log((actual + 1e-9) / (said + 1e-9));
      const upper = said * Math.exp(quantileOf(errors[at] as number[], quantile));
      const loss = actual > upper ? quantile * (actual - upper) : (1 - quantile) * (upper - actual);
      cost[at] = 0.97 * (cost[at] as number) + 0.03 * (loss / Math.max(actual, said, 1e-9));
      if (actual > 0 && Math.abs(error) <= JUMP) {
        errors[at]?.push(error);
        if ((errors[at]?.length ?? 0) > KEPT_ERRORS) errors[at]?.shift();
      }
    }
  }
  const waiting = forecast.pending.filter((one) => one.dueMs > nowMs);
  const lastMs = waiting.at(-1)?.madeMs;
  const spaced = lastMs === undefined || nowMs - lastMs >= horizonMs / KEPT_PENDING;
  const next: Forecast = { atMs: nowMs, levels, pending: waiting, errors, cost };
  if (!spaced) return next;
  const said = FORECASTERS.map((_, at) => plain(next, at, work, horizonMs));
  return { ...next, pending: [...waiting, { madeMs: nowMs, dueMs: nowMs + horizonMs, said }].slice(-KEPT_PENDING) };
}

function plain(forecast: Forecast, at: number, work: (rate: Rate) => number, horizonMs: Ms): number {
  const { level, trend } = FORECASTERS[at] as (typeof FORECASTERS)[number];
  const now = forecast.levels[level] as Level;
  const ahead = trend ? now.trend * TREND_DAMPING_MS * (1 - Math.exp(-horizonMs / TREND_DAMPING_MS)) : 0;
  return Math.max(0, work(now) + ahead);
}

/** Demand over the horizon by the forecaster that has cost least so far. */
export interface Outlook {
  readonly expected: number;
  readonly upper: number;
  readonly forecaster: string;
  readonly scored: number;
}

export function outlook(forecast: Forecast, work: (rate: Rate) => number, horizonMs: Ms, quantile: number): Outlook {
  // The middle level until scores tell them apart.
  let best = 1;
  for (const [at, cost] of forecast.cost.entries())
    if ((forecast.errors[at]?.length ?? 0) >= LEAST_SCORED && cost < (forecast.cost[best] as number) * 0.98) best = at;
  const errors = forecast.errors[best] as readonly number[];
  const expected = plain(forecast, best, work, horizonMs);
  const { level, trend } = FORECASTERS[best] as (typeof FORECASTERS)[number];
  return {
    expected,
    upper: expected * Math.exp(quantileOf(errors, quantile)),
    forecaster: `level of ${(TIME_CONSTANTS_MS[level] as number) / 1000} s${trend ? " with trend" : ""}`,
    scored: errors.length,
  };
}

/** The quantile of past errors, drawn to a normal prior while few are known; at least 0 for an upper quantile. */
function quantileOf(errors: readonly number[], quantile: number): number {
  const prior = PRIOR_SPREAD * normalQuantile(quantile);
  if (errors.length === 0) return prior;
  const sorted = errors.toSorted((a, b) => a - b);
  const seen = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(quantile * sorted.length) - 1))] as number;
  const trust = sorted.length / (sorted.length + PRIOR_SAMPLES);
  return Math.max(0, trust * seen + (1 - trust) * prior);
}

/** Tukey's lambda approximation of the normal quantile; its error below 0.01 for 0.01 to 0.99. */
function normalQuantile(p: number): number {
  const q = Math.min(0.999, Math.max(0.001, p));
  return 4.91 * (q ** 0.14 - (1 - q) ** 0.14);
}
