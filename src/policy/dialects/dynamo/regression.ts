import { fitLinear } from "../forecast/index.ts";

/** One iteration that was seen (or benchmarked): its features and how long it took, in ms. */
export type IterationSample = { readonly features: readonly number[]; readonly ms: number };

/** Samples, oldest first, and the range of each feature ever seen. */
export type Regression = {
  readonly samples: readonly IterationSample[];
  readonly least: readonly number[];
  readonly most: readonly number[];
};
export const noRegression: Regression = { samples: [], least: [], most: [] };

export interface RegressionConfig {
  readonly maxSamples: number;
  /** Of all features together: for two, the square root of it each. */
  readonly buckets: number;
}

/**
 * Adds a sample. Beyond `maxSamples` the oldest of the fullest bucket goes, the features' ranges being cut into equal parts, so that
 * a long time at one load does not push out what is known of others.
 * Source: Dynamo planner, core/perf_model/base.py.
 */
export function addSample(regression: Regression, sample: IterationSample, { maxSamples, buckets }: RegressionConfig): Regression {
  if (!(sample.ms > 0) || !sample.features.every(Number.isFinite)) return regression;
  const least = sample.features.map((value, at) => Math.min(value, regression.least[at] ?? value));
  const most = sample.features.map((value, at) => Math.max(value, regression.most[at] ?? value));
  const samples = [...regression.samples, sample];
  if (samples.length > maxSamples) {
    const parts = sample.features.length === 1 ? buckets : Math.floor(Math.sqrt(buckets));
    const bucketOf = ({ features }: IterationSample) =>
      features.reduce((bucket, value, at) => {
        const [low, high] = [least[at] as number, most[at] as number];
        const part = high <= low ? 0 : Math.max(0, Math.min(parts - 1, Math.trunc(((value - low) / (high - low)) * parts)));
        return bucket * parts + part;
      }, 0);
    const places = samples.map(bucketOf);
    const sizes = new Map<number, number>();
    for (const place of places) sizes.set(place, (sizes.get(place) ?? 0) + 1);
    const fullest = Math.max(...sizes.values());
    samples.splice(
      places.findIndex((place) => sizes.get(place) === fullest),
      1,
    );
  }
  return { samples, least, most };
}

/**
 * ms = intercept + Σ slope × feature. More load cannot take less time: a fit with a negative slope is refused, but for features
 * in `clippable`, whose slope then counts as 0 (their signal is weak, so that noise turns it easily).
 * @returns null before `minObservations`, or where the fit is refused
 */
export function fitIteration(
  { samples }: Regression,
  minObservations: number,
  clippable: readonly number[] = [],
): ((features: readonly number[]) => number) | null {
  if (samples.length < Math.max(1, minObservations)) return null;
  const { intercept, slopes } = fitLinear(
    samples.map(({ features }) => features),
    samples.map(({ ms }) => ms),
  );
  if (slopes.some((slope, at) => slope < 0 && !clippable.includes(at))) return null;
  const used = slopes.map((slope) => Math.max(0, slope));
  return (features) =>
    Math.max(
      1e-3,
      used.reduce((sum, slope, at) => sum + slope * (features[at] ?? 0), intercept),
    );
}

/** Mean of the last values; zeros before the first other value are left out. */
export type MovingAverage = readonly number[];
export function addToAverage(average: MovingAverage, value: number, size: number): MovingAverage {
  return value === 0 && average.length === 0 ? average : [...average, value].slice(-size);
}
export const averageOf = (average: MovingAverage): number =>
  average.length === 0 ? 0 : average.reduce((sum, value) => sum + value, 0) / average.length;
