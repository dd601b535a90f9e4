import { solve } from "./linear.ts";

/**
 * An ARIMA(p, d, q) model at the end of its series: with z the series after d differences minus `mean`,
 * z[t] = Σ ar[i]·z[t-1-i] + e[t] + Σ ma[j]·e[t-1-j].
 * - `tail`: the last value of the series and of each difference before the d-th, to undo the differences
 * - `recent`, `errors`: the last p values of z and q errors, newest first
 */
export type Arima = {
  readonly d: number;
  readonly mean: number;
  readonly ar: readonly number[];
  readonly ma: readonly number[];
  readonly tail: readonly number[];
  readonly recent: readonly number[];
  readonly errors: readonly number[];
};

export interface ArimaOrders {
  readonly p: number;
  readonly d: number;
  readonly q: number;
}
export const ordersOf = ({ ar, d, ma }: Arima): ArimaOrders => ({ p: ar.length, d, q: ma.length });

const MOST_DIFFERENCES = 2;
const HIGHEST_ORDER = 3;
/** Of the KPSS statistic of a constant level, at 5 %. Source: Kwiatkowski et al. 1992, table 1. */
const KPSS_CRITICAL = 0.463;

const difference = (series: readonly number[]): number[] => series.slice(1).map((value, at) => value - (series[at] as number));
const meanOf = (series: readonly number[]) => series.reduce((sum, value) => sum + value, 0) / series.length;

/** The KPSS statistic of a constant level, with Bartlett weights over 3·√n/13 lags; 0 for a series that does not vary. */
export function kpss(series: readonly number[]): number {
  const count = series.length;
  const mean = meanOf(series);
  const residuals = series.map((value) => value - mean);
  const lags = Math.trunc((3 * Math.sqrt(count)) / 13);
  let variance = residuals.reduce((sum, residual) => sum + residual * residual, 0) / count;
  for (let lag = 1; lag <= lags; lag++) {
    let covariance = 0;
    for (let at = lag; at < count; at++) covariance += (residuals[at] as number) * (residuals[at - lag] as number);
    variance += (2 * (1 - lag / (lags + 1)) * covariance) / count;
  }
  let [sum, squares] = [0, 0];
  for (const residual of residuals) {
    sum += residual;
    squares += sum * sum;
  }
  return variance > 0 ? squares / (count * count * variance) : 0;
}

/**
 * A small automatic ARIMA: differences until KPSS sees a level (at most 2), then of all p and q up to 3 the one with the least
 * corrected AIC. Coefficients by Hannan and Rissanen (a long autoregression gives the errors, a regression on lags the rest);
 * a model that is not stationary and invertible is not considered. Deterministic, and bounded: it always gives a model.
 *
 * It is no maximum-likelihood fit: on short series orders and coefficients may differ from those of a statistics package.
 * @param orders to be kept; chosen anew all the same where no stable model of these orders can be fitted
 */
export function fitArima(series: readonly number[], orders?: ArimaOrders): Arima {
  const levels: (readonly number[])[] = [series];
  while (levels.length <= MOST_DIFFERENCES) {
    const last = levels.at(-1) as readonly number[];
    if (last.length < 4 || (orders === undefined ? kpss(last) <= KPSS_CRITICAL : levels.length > orders.d)) break;
    levels.push(difference(last));
  }
  const stationary = levels.pop() as readonly number[];
  const d = levels.length;
  const tail = levels.map((level) => level.at(-1) as number);
  // A mean of second differences would bend every forecast.
  const mean = d < MOST_DIFFERENCES && stationary.length > 0 ? meanOf(stationary) : 0;
  const z = stationary.map((value) => value - mean);

  let best: { readonly ar: readonly number[]; readonly ma: readonly number[]; readonly score: number } | null = null;
  for (let p = 0; p <= HIGHEST_ORDER; p++) {
    for (let q = 0; q <= HIGHEST_ORDER; q++) {
      if (orders !== undefined && (p !== orders.p || q !== orders.q)) continue;
      const model = estimate(z, p, q);
      if (model === null || !isStable(model.ar) || !isStable(model.ma.map((weight) => -weight))) continue;
      const score = informationOf(z, model.ar, model.ma);
      if (score !== null && (best === null || score < best.score - 1e-9)) best = { ...model, score };
    }
  }
  if (best === null && orders !== undefined) return fitArima(series);
  const { ar, ma } = best ?? { ar: [], ma: [] };
  const errors = errorsOf(z, ar, ma);
  const newestFirst = (values: readonly number[], many: number) =>
    Array.from({ length: many }, (_, at) => values[values.length - 1 - at] ?? 0);
  return { d, mean, ar, ma, tail, recent: newestFirst(z, ar.length), errors: newestFirst(errors, ma.length) };
}

/** The same model one observation later. */
export function updateArima(model: Arima, value: number): Arima {
  let change = value;
  const tail = model.tail.map((last) => {
    const level = change;
    change -= last;
    return level;
  });
  const z = change - model.mean;
  const error = z - expected(model);
  return {
    ...model,
    tail,
    recent: [z, ...model.recent].slice(0, model.ar.length),
    errors: [error, ...model.errors].slice(0, model.ma.length),
  };
}

/** Expected values of the next `steps` observations. */
export function forecastArima(model: Arima, steps: number): number[] {
  const values: number[] = [];
  let now = model;
  for (let step = 0; step < steps; step++) {
    const value = now.tail.reduce((sum, last) => sum + last, now.mean + expected(now));
    values.push(value);
    now = updateArima(now, value);
  }
  return values;
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
const expected = ({ ar, ma, recent, errors }: Arima) => dot(ar, recent) + dot(ma, errors);

/** One-step errors over the series, those before its start taken as 0. */
function errorsOf(z: readonly number[], ar: readonly number[], ma: readonly number[]): number[] {
  const errors: number[] = [];
  for (const [at, value] of z.entries()) {
    let said = 0;
    for (const [lag, weight] of ar.entries()) said += weight * (z[at - 1 - lag] ?? 0);
    for (const [lag, weight] of ma.entries()) said += weight * (errors[at - 1 - lag] ?? 0);
    errors.push(value - said);
  }
  return errors;
}

function estimate(z: readonly number[], p: number, q: number): { readonly ar: number[]; readonly ma: number[] } | null {
  if (p + q === 0) return { ar: [], ma: [] };
  if (q === 0) {
    const ar = regress(z, p, [], 0, 0);
    return ar === null ? null : { ar, ma: [] };
  }
  const long = Math.min(Math.ceil(10 * Math.log10(z.length)), Math.floor(z.length / 4));
  if (long < Math.max(p, q)) return null;
  const first = regress(z, long, [], 0, 0);
  if (first === null) return null;
  const weights = regress(z, p, errorsOf(z, first, []), q, long);
  return weights === null ? null : { ar: weights.slice(0, p), ma: weights.slice(p) };
}

/** Least squares of z on its last p values and the last q errors, from `skip` on; null without more rows than unknowns. */
function regress(z: readonly number[], p: number, errors: readonly number[], q: number, skip: number): number[] | null {
  const from = skip + Math.max(p, q);
  const width = p + q;
  if (z.length - from <= width) return null;
  const gram = Array.from({ length: width }, () => new Array<number>(width).fill(0));
  const right = new Array<number>(width).fill(0);
  for (let at = from; at < z.length; at++) {
    const row: number[] = [];
    for (let lag = 1; lag <= p; lag++) row.push(z[at - lag] as number);
    for (let lag = 1; lag <= q; lag++) row.push(errors[at - lag] as number);
    for (let a = 0; a < width; a++) {
      right[a] = (right[a] as number) + (row[a] as number) * (z[at] as number);
      for (let b = 0; b < width; b++)
        (gram[a] as number[])[b] = ((gram[a] as number[])[b] as number) + (row[a] as number) * (row[b] as number);
    }
  }
  return solve(gram, right);
}

/** Whether 1 - Σ w[i]·x^(i+1) has all its roots outside the unit circle: all partial autocorrelations are inside (-1, 1). */
function isStable(weights: readonly number[]): boolean {
  let now = [...weights];
  while (now.length > 0) {
    const last = now.at(-1) as number;
    if (!(Math.abs(last) < 1)) return false;
    const shorter = now.slice(0, -1);
    now = shorter.map((weight, at) => (weight + last * (shorter[shorter.length - 1 - at] as number)) / (1 - last * last));
  }
  return true;
}

/** AIC with the correction for short series; null where it is too short for so many coefficients. */
function informationOf(z: readonly number[], ar: readonly number[], ma: readonly number[]): number | null {
  const count = z.length;
  const coefficients = ar.length + ma.length + 2;
  if (count - coefficients - 1 <= 0) return ar.length + ma.length === 0 ? 0 : null;
  const squares = errorsOf(z, ar, ma).reduce((sum, error) => sum + error * error, 0);
  const floor = 1e-12 * z.reduce((sum, value) => sum + value * value, 0) + 1e-300;
  return (
    count * Math.log(Math.max(squares, floor) / count) +
    2 * coefficients +
    (2 * coefficients * (coefficients + 1)) / (count - coefficients - 1)
  );
}
