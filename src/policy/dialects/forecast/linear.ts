/** Solves `matrix · x = vector` by elimination with partial pivoting; null where the matrix is singular. */
export function solve(matrix: readonly (readonly number[])[], vector: readonly number[]): number[] | null {
  const size = vector.length;
  const rows = matrix.map((row, at) => [...row, vector[at] as number]);
  const scale = Math.max(...rows.flatMap((row) => row.slice(0, size).map(Math.abs)), 0);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++)
      if (Math.abs((rows[row] as number[])[column] as number) > Math.abs((rows[pivot] as number[])[column] as number)) pivot = row;
    const top = rows[pivot] as number[];
    const head = top[column] as number;
    if (!(Math.abs(head) > 1e-13 * scale)) return null;
    [rows[pivot], rows[column]] = [rows[column] as number[], top];
    for (let row = column + 1; row < size; row++) {
      const line = rows[row] as number[];
      const factor = (line[column] as number) / head;
      for (let at = column; at <= size; at++) line[at] = (line[at] as number) - factor * (top[at] as number);
    }
  }
  const x = new Array<number>(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    const line = rows[row] as number[];
    let left = line[size] as number;
    for (let at = row + 1; at < size; at++) left -= (line[at] as number) * (x[at] as number);
    x[row] = left / (line[row] as number);
  }
  return x.every(Number.isFinite) ? x : null;
}

export interface LinearFit {
  readonly intercept: number;
  readonly slopes: readonly number[];
}

/**
 * Ordinary least squares with an intercept. A feature that never varied gets slope 0, and features that vary together share
 * what they explain (a ridge of 1e-9 of their variance), as the least-norm solution would have it. At least one row.
 */
export function fitLinear(features: readonly (readonly number[])[], values: readonly number[]): LinearFit {
  const count = values.length;
  const width = features[0]?.length ?? 0;
  const meanOf = (of: (row: number) => number) => values.reduce((sum, _, row) => sum + of(row), 0) / count;
  const feature = (row: number, column: number) => (features[row] as readonly number[])[column] as number;
  const means = Array.from({ length: width }, (_, column) => meanOf((row) => feature(row, column)));
  const meanValue = meanOf((row) => values[row] as number);
  const spreads = means.map((mean, column) => Math.sqrt(meanOf((row) => (feature(row, column) - mean) ** 2)));
  const varying = spreads.flatMap((spread, column) => (spread > 1e-12 * Math.max(1, Math.abs(means[column] as number)) ? [column] : []));
  // Standardized, so that the ridge weighs features alike whatever their units.
  const standard = (row: number, column: number) => (feature(row, column) - (means[column] as number)) / (spreads[column] as number);
  const gram = varying.map((a) => varying.map((b) => meanOf((row) => standard(row, a) * standard(row, b)) + (a === b ? 1e-9 : 0)));
  const right = varying.map((a) => meanOf((row) => standard(row, a) * ((values[row] as number) - meanValue)));
  const solved = solve(gram, right) ?? varying.map(() => 0);
  const slopes = new Array<number>(width).fill(0);
  for (const [at, column] of varying.entries()) slopes[column] = (solved[at] as number) / (spreads[column] as number);
  return { intercept: meanValue - slopes.reduce((sum, slope, column) => sum + slope * (means[column] as number), 0), slopes };
}
