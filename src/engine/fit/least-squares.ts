/** `coefficients` as long as a row; `weight` 0 leaves a row out. */
export interface Equation {
  readonly terms: readonly number[];
  readonly value: number;
  readonly weight: number;
}

/** A column whose part that the others do not explain is below this share of it says nothing of its own. */
const leastOwnShare = 0.02;

/**
 * The non-negative least squares solution over the columns in `free`, the others 0. Exact: of all sets of columns that may be above
 * 0 the best one that is, which for the handful of columns here is quicker than to search.
 */
export function nonNegative(equations: readonly Equation[], free: readonly number[]): readonly number[] {
  const width = equations[0]?.terms.length ?? 0;
  const { gram, right } = normalEquations(equations, width);
  let best: readonly number[] = new Array<number>(width).fill(0);
  let bestGain = 0;
  for (let set = 1; set < 1 << free.length; set++) {
    const columns = free.filter((_, at) => (set & (1 << at)) !== 0);
    const solved = solve(
      columns.map((row) => columns.map((column) => gram[row]![column]!)),
      columns.map((row) => right[row]!),
    );
    if (solved === null || solved.some((value) => !(value >= 0))) continue;
    // At its minimum a least squares sum is smaller than that of all zeros by solution · right.
    const gain = solved.reduce((sum, value, at) => sum + value * right[columns[at]!]!, 0);
    if (gain <= bestGain) continue;
    bestGain = gain;
    const full = new Array<number>(width).fill(0);
    columns.forEach((column, at) => {
      full[column] = solved[at]!;
    });
    best = full;
  }
  return best;
}

/**
 * Columns, of `among`, that the equations tell apart from each other. Taken in the order given, each is kept if what those kept before it
 * leave of it is more than noise, so that of two that always go together the first is the one that is kept.
 */
export function toldApart(equations: readonly Equation[], among: readonly number[]): readonly number[] {
  const { gram } = normalEquations(equations, equations[0]?.terms.length ?? 0);
  const kept: number[] = [];
  for (const column of among) {
    const own = gram[column]![column]!;
    if (!(own > 0)) continue;
    const solved = solve(
      kept.map((row) => kept.map((other) => gram[row]![other]!)),
      kept.map((row) => gram[row]![column]!),
    );
    const explained = (solved ?? []).reduce((sum, value, at) => sum + value * gram[kept[at]!]![column]!, 0);
    if (Math.sqrt(Math.max(0, own - explained) / own) > leastOwnShare) kept.push(column);
  }
  return kept;
}

function normalEquations(equations: readonly Equation[], width: number) {
  const gram = Array.from({ length: width }, () => new Array<number>(width).fill(0));
  const right = new Array<number>(width).fill(0);
  for (const { terms, value, weight } of equations) {
    for (let row = 0; row < width; row++) {
      right[row]! += weight * terms[row]! * value;
      for (let column = 0; column < width; column++) gram[row]![column]! += weight * terms[row]! * terms[column]!;
    }
  }
  return { gram, right };
}

/** Cholesky, of a matrix scaled to a diagonal of ones. @returns null where it is singular */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): readonly number[] | null {
  const size = right.length;
  const scale = matrix.map((row, at) => Math.sqrt(row[at]!));
  if (scale.some((value) => !(value > 0))) return null;
  const lower = matrix.map(() => new Array<number>(size).fill(0));
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let rest = matrix[row]![column]! / (scale[row]! * scale[column]!);
      for (let at = 0; at < column; at++) rest -= lower[row]![at]! * lower[column]![at]!;
      if (row !== column) lower[row]![column] = rest / lower[column]![column]!;
      else if (rest < 1e-12) return null;
      else lower[row]![row] = Math.sqrt(rest);
    }
  }
  const forward: number[] = [];
  for (let row = 0; row < size; row++) {
    let rest = right[row]! / scale[row]!;
    for (let at = 0; at < row; at++) rest -= lower[row]![at]! * forward[at]!;
    forward.push(rest / lower[row]![row]!);
  }
  const solution = new Array<number>(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    let rest = forward[row]!;
    for (let at = row + 1; at < size; at++) rest -= lower[at]![row]! * solution[at]!;
    solution[row] = rest / lower[row]![row]!;
  }
  return solution.map((value, at) => value / scale[at]!);
}
