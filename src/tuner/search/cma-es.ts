import type { Uniform } from "../../traces/index.ts";

/** Asks for points and is told their order. */
export interface CmaEs {
  /** The next generation, inside of the unit cube. */
  ask(): readonly (readonly number[])[];
  /** @param ranked the generation, best first */
  tell(ranked: readonly (readonly number[])[]): void;
  /** Standard deviation of its steps; when it is small the search is over. */
  readonly sigma: number;
}

/**
 * Covariance matrix adaptation in the unit cube; points outside are drawn back to its border. It needs the order of values only, so
 * that constraints may be part of the order. The factor of the covariance is Cholesky's, and steps are accumulated in its coordinates.
 * Source: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016 (weights and rates of its table 1).
 */
export function cmaEs(start: readonly number[], sigma: number, uniform: Uniform): CmaEs {
  const n = start.length;
  const lambda = 4 + Math.floor(3 * Math.log(n));
  const mu = Math.floor(lambda / 2);
  const raw = Array.from({ length: mu }, (_, at) => Math.log((lambda + 1) / 2) - Math.log(at + 1));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  const weights = raw.map((weight) => weight / total);
  const effective = 1 / weights.reduce((sum, weight) => sum + weight * weight, 0);
  const cSigma = (effective + 2) / (n + effective + 5);
  const damping = 1 + 2 * Math.max(0, Math.sqrt((effective - 1) / (n + 1)) - 1) + cSigma;
  const cPath = (4 + effective / n) / (n + 4 + (2 * effective) / n);
  const cOne = 2 / ((n + 1.3) ** 2 + effective);
  const cMu = Math.min(1 - cOne, (2 * (effective - 2 + 1 / effective)) / ((n + 2) ** 2 + effective));
  const expected = Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));

  let mean = [...start];
  let size = sigma;
  let generation = 0;
  const zeros = () => new Array<number>(n).fill(0);
  let pathSigma = zeros();
  let path = zeros();
  const covariance = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  let factor = cholesky(covariance);
  const normal = normals(uniform);

  return {
    get sigma() {
      return size;
    },
    ask() {
      return Array.from({ length: lambda }, () => {
        const z = Array.from({ length: n }, normal);
        return mean.map((centre, i) => clamp(centre + size * dot(factor[i] as number[], z, i + 1)));
      });
    },
    tell(ranked) {
      generation++;
      const steps = ranked.slice(0, mu).map((point) => point.map((value, i) => (value - (mean[i] as number)) / size));
      const step = zeros().map((_, i) => weights.reduce((sum, weight, k) => sum + weight * ((steps[k] as number[])[i] as number), 0));
      mean = mean.map((centre, i) => clamp(centre + size * (step[i] as number)));
      const whitened = solve(factor, step);
      pathSigma = pathSigma.map(
        (value, i) => (1 - cSigma) * value + Math.sqrt(cSigma * (2 - cSigma) * effective) * (whitened[i] as number),
      );
      const length = Math.sqrt(dot(pathSigma, pathSigma, n));
      const stalled = length / Math.sqrt(1 - (1 - cSigma) ** (2 * generation)) >= (1.4 + 2 / (n + 1)) * expected;
      path = path.map((value, i) => (1 - cPath) * value + (stalled ? 0 : Math.sqrt(cPath * (2 - cPath) * effective) * (step[i] as number)));
      const kept = 1 - cOne - cMu + (stalled ? cOne * cPath * (2 - cPath) : 0);
      for (let i = 0; i < n; i++) {
        const row = covariance[i] as number[];
        for (let j = 0; j < n; j++) {
          const rankMu = weights.reduce(
            (sum, weight, k) => sum + weight * ((steps[k] as number[])[i] as number) * ((steps[k] as number[])[j] as number),
            0,
          );
          row[j] = kept * (row[j] as number) + cOne * (path[i] as number) * (path[j] as number) + cMu * rankMu;
        }
      }
      size = Math.min(1, size * Math.exp((cSigma / damping) * (length / expected - 1)));
      factor = cholesky(covariance);
    },
  };
}

const clamp = (value: number): number => Math.min(1, Math.max(0, value));

function dot(a: readonly number[], b: readonly number[], length: number): number {
  let sum = 0;
  for (let at = 0; at < length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}

/** Lower triangular; what rounding makes too small is held above 0. */
function cholesky(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const lower = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const [a, b] = [lower[i] as number[], lower[j] as number[]];
      const rest = ((matrix[i] as number[])[j] as number) - dot(a, b, j);
      a[j] = i === j ? Math.sqrt(Math.max(1e-14, rest)) : rest / (b[j] as number);
    }
  }
  return lower;
}

/** x of lower × x = b. */
function solve(lower: readonly (readonly number[])[], b: readonly number[]): number[] {
  const x: number[] = [];
  for (let i = 0; i < b.length; i++) {
    const row = lower[i] as number[];
    x.push(((b[i] as number) - dot(row, x, i)) / (row[i] as number));
  }
  return x;
}

/** Standard normal draws. Source: Box and Muller, 1958. */
function normals(uniform: Uniform): () => number {
  let spare: number | null = null;
  return () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
