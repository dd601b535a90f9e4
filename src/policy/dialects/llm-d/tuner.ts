import { createQueueModel, type ServiceParams } from "./queue-model.ts";

/** What a replica of a variant did lately, on average. Rates per second and replica. */
export interface Environment {
  readonly arrivalRate: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly maxBatchSize: number;
  readonly ttftMs: number;
  readonly itlMs: number;
}

/** Learned parameters with their covariance (row by row) and the bounds that they may not leave. */
export type Tuned = {
  readonly params: { readonly alpha: number; readonly beta: number; readonly gamma: number };
  readonly covariance: readonly number[];
  readonly least: readonly [number, number, number];
  readonly most: readonly [number, number, number];
};
type Vector = readonly [number, number, number];

export interface Tuning {
  readonly tuned: Tuned;
  /** Normalised innovation squared of the observation; null where the model cannot explain its rate at all. */
  readonly nis: number | null;
  readonly accepted: boolean;
}

/** An observation this unlikely (97.5 % of a chi-squared with two degrees of freedom) is an outlier. */
const MAX_NIS = 7.378;
/** Noise: observations err by 5 % (at 95 % confidence), parameters change by 5 % from one to the next. */
const OBSERVATION_VARIANCE = (0.05 / 1.96) ** 2;
const PERCENT_CHANGE = 0.05;
const BOUND_FACTOR = 100;
const QUEUE_TO_BATCH = 10;
const BASE_FACTOR = 0.9;
const DEFAULT_PARAMS: Vector = [5, 0.05, 0.00005];
const STEP = 0.01;

/** Parameters that explain the observation if the batch were empty: alpha is 90 % of ITL; null where one would not be positive. */
export function bootstrap({ ttftMs, itlMs, inputTokens: i, outputTokens: o }: Environment): ServiceParams | null {
  if (!(ttftMs > 0 && itlMs > 0 && i > 0 && o > 0)) return null;
  const alpha = BASE_FACTOR * itlMs;
  const both = (ttftMs - alpha) / i;
  const gamma = (itlMs - alpha - both) / (i + (o + 1) / 2 - 1);
  const beta = both - gamma;
  return both >= 0 && beta > 0 && gamma > 0 ? { alpha, beta, gamma } : null;
}

const vectorOf = ({ alpha, beta, gamma }: ServiceParams): Vector => [alpha, beta, gamma];
const paramsOf = ([alpha, beta, gamma]: Vector): ServiceParams => ({ alpha, beta, gamma });
const map = (vector: Vector, of: (value: number, at: number) => number): Vector => vector.map(of) as unknown as Vector;
const diagonal = (vector: Vector) => [vector[0], 0, 0, 0, vector[1], 0, 0, 0, vector[2]];

/**
 * Parameters that explain the observation under load: what an iteration takes beyond alpha is the batch's, whose size Little's law
 * gives. With two observations for three unknowns gamma is taken as the default guess has it, relative to beta.
 */
function loadedStart({ arrivalRate, ttftMs, itlMs, inputTokens: i, outputTokens: o }: Environment): ServiceParams | null {
  if (!(ttftMs > itlMs && itlMs > 0 && i > 0 && o > 0)) return null;
  const ratio = DEFAULT_PARAMS[2] / DEFAULT_PARAMS[1];
  const beta = (ttftMs - itlMs) / i / (1 + ratio);
  const gamma = ratio * beta;
  const batch = (arrivalRate / 1000) * (ttftMs + o * itlMs);
  const alpha = itlMs - beta - gamma * (i + o / 2) - batch * (beta * ((i + o) / (o + 1)) + gamma * (i + o / 2));
  return alpha > 0 ? { alpha, beta, gamma } : null;
}

/**
 * Where a variant begins: the guess that explains the first observation best, of what light load would suggest, what load would,
 * and the default. (The original knows the first and the last; its filter then rejects all that a loaded replica shows as outliers.)
 */
export function startTuning(environment: Environment): Tuned {
  const error = (x: Vector) => {
    const said = observe(x, environment);
    return said === null ? Number.POSITIVE_INFINITY : Math.hypot(said[0] / environment.ttftMs - 1, said[1] / environment.itlMs - 1);
  };
  const guesses = [bootstrap(environment), loadedStart(environment)].flatMap((guess) => (guess === null ? [] : [vectorOf(guess)]));
  const [x] = [...guesses, DEFAULT_PARAMS]
    .map((guess) => ({ guess, error: error(guess) }))
    .sort((a, b) => a.error - b.error)
    .map(({ guess }) => guess) as [Vector];
  return {
    params: paramsOf(x),
    covariance: diagonal(map(x, (value) => (PERCENT_CHANGE * value) ** 2)),
    least: map(x, (value) => value / BOUND_FACTOR),
    most: map(x, (value) => value * BOUND_FACTOR),
  };
}

/**
 * TTFT and ITL in ms that the queue model gives for these parameters; null where its capacity is below the arrivals. Here TTFT is
 * wait and prefill without the decode that sizing adds, as in the original.
 */
function observe(x: Vector, environment: Environment): readonly [number, number] | null {
  const { arrivalRate, inputTokens, outputTokens, maxBatchSize } = environment;
  const shape = { maxBatchSize, maxQueueSize: QUEUE_TO_BATCH * maxBatchSize };
  const metrics = createQueueModel(paramsOf(x), { inputTokens, outputTokens }, shape).analyze(arrivalRate);
  return metrics === null ? null : [metrics.ttftMs - metrics.itlMs, metrics.itlMs];
}

/**
 * One step of an extended Kalman filter: state (alpha, beta, gamma), which stays as it is but for noise; observations TTFT and ITL,
 * through the queue model, its derivative by central differences of 1 %. An outlier, or a step to a parameter that is not
 * positive, changes nothing. Source: llm-d workload variant autoscaler, internal/engines/analyzers/queueingmodel/tuner.
 */
export function tune(before: Tuned | null, environment: Environment): Tuning {
  const tuned = before ?? startTuning(environment);
  const rejected = (nis: number | null): Tuning => ({ tuned, nis, accepted: false });
  const x = vectorOf(tuned.params);
  const said = observe(x, environment);
  if (said === null) return rejected(null);

  const columns = x.map((value, at) => {
    const step = STEP * value;
    const moved = (by: number) =>
      observe(
        map(x, (one, index) => (index === at ? one + by : one)),
        environment,
      );
    const [up, down] = [moved(step), moved(-step)];
    return up === null || down === null ? null : ([(up[0] - down[0]) / (2 * step), (up[1] - down[1]) / (2 * step)] as const);
  });
  if (columns.some((column) => column === null)) return rejected(null);
  const jacobian = columns as readonly (readonly [number, number])[];

  const noise = diagonal(map(x, (value) => (PERCENT_CHANGE * value) ** 2));
  const p = tuned.covariance.map((value, at) => value + (noise[at] as number));
  const cell = (row: number, column: number) => p[3 * row + column] as number;
  /** P·Hᵀ: how the parameters go with the observations. */
  const ph = [0, 1, 2].map((row) => {
    const along = (of: 0 | 1) => [0, 1, 2].reduce((sum, at) => sum + cell(row, at) * (jacobian[at] as readonly [number, number])[of], 0);
    return [along(0), along(1)] as const;
  });
  const s = (a: 0 | 1, b: 0 | 1) =>
    [0, 1, 2].reduce((sum, at) => sum + (jacobian[at] as readonly [number, number])[a] * (ph[at] as readonly [number, number])[b], 0);
  const seen = [environment.ttftMs, environment.itlMs] as const;
  const [s00, s01, s11] = [s(0, 0) + OBSERVATION_VARIANCE * seen[0] ** 2, s(0, 1), s(1, 1) + OBSERVATION_VARIANCE * seen[1] ** 2];
  const determinant = s00 * s11 - s01 * s01;
  if (!(determinant > 0)) return rejected(null);
  const [y0, y1] = [seen[0] - said[0], seen[1] - said[1]];
  const nis = (s11 * y0 * y0 - 2 * s01 * y0 * y1 + s00 * y1 * y1) / determinant;
  if (!(nis < MAX_NIS)) return rejected(nis);

  const gain = ph.map(([a, b]) => [(a * s11 - b * s01) / determinant, (b * s00 - a * s01) / determinant] as const);
  const next = map(x, (value, at) => {
    const [k0, k1] = gain[at] as readonly [number, number];
    return Math.min(tuned.most[at] as number, Math.max(tuned.least[at] as number, value + k0 * y0 + k1 * y1));
  });
  if (!next.every((value) => value > 0)) return rejected(nis);
  const covariance = p.map((value, at) => {
    const [row, column] = [Math.floor(at / 3), at % 3];
    const [k0, k1] = gain[row] as readonly [number, number];
    const [h0, h1] = ph[column] as readonly [number, number];
    return value - k0 * h0 - k1 * h1;
  });
  return { tuned: { ...tuned, params: paramsOf(next), covariance }, nis, accepted: true };
}
