/** A mean over runs, with how far off it may be: 95 % of such intervals hold the true mean. */
export interface Estimate {
  /** null of no value. */
  readonly mean: number | null;
  /** null of fewer than two values. */
  readonly halfWidth: number | null;
  /** One of each run, in order of seeds; null where a run had none. */
  readonly values: readonly (number | null)[];
}

/** Mean and Student's 95 % interval of the values that are there. */
export function estimate(values: readonly (number | null)[]): Estimate {
  const known = values.filter((value) => value !== null);
  const count = known.length;
  if (count === 0) return { mean: null, halfWidth: null, values };
  const mean = known.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { mean, halfWidth: null, values };
  const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, halfWidth: studentQuantile(count - 1) * Math.sqrt(variance / count), values };
}

/** The t with P(-t ≤ T ≤ t) = `share` for T of `freedom` (1, 2, …) degrees of freedom. */
export function studentQuantile(freedom: number, share = 0.95): number {
  let low = 0;
  let high = 1;
  while (withinStudent(high, freedom) < share) high *= 2;
  for (let round = 0; round < 80; round++) {
    const middle = (low + high) / 2;
    if (withinStudent(middle, freedom) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(-t ≤ T ≤ t). Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4. */
function withinStudent(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom));
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const isOdd = freedom % 2 === 1;
  let term = isOdd ? cos : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let at = isOdd ? 3 : 2; at <= freedom - 2; at += 2) {
    term *= ((at - 1) / at) * cos * cos;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + sin * sum) : sin * sum;
}
