import type { Uniform } from "../../traces/index.ts";

/**
 * Degree, coefficients and first direction numbers of the primitive polynomials of dimensions 2 to 21. Source: Joe and Kuo,
 * "Constructing Sobol sequences with better two-dimensional projections", 2008 (new-joe-kuo-6).
 */
const POLYNOMIALS: readonly (readonly [number, number, readonly number[]])[] = [
  [1, 0, [1]],
  [2, 1, [1, 3]],
  [3, 1, [1, 3, 1]],
  [3, 2, [1, 1, 1]],
  [4, 1, [1, 1, 3, 3]],
  [4, 4, [1, 3, 5, 13]],
  [5, 2, [1, 1, 5, 5, 17]],
  [5, 4, [1, 1, 5, 5, 5]],
  [5, 7, [1, 1, 7, 11, 19]],
  [5, 11, [1, 1, 5, 1, 1]],
  [5, 13, [1, 1, 1, 3, 11]],
  [5, 14, [1, 3, 5, 5, 31]],
  [6, 1, [1, 3, 3, 9, 7, 49]],
  [6, 13, [1, 1, 1, 15, 21, 21]],
  [6, 16, [1, 3, 1, 13, 27, 49]],
  [6, 19, [1, 1, 1, 15, 7, 5]],
  [6, 22, [1, 3, 1, 15, 13, 25]],
  [6, 25, [1, 1, 5, 5, 19, 61]],
  [7, 1, [1, 3, 7, 11, 23, 15, 103]],
  [7, 4, [1, 3, 7, 13, 13, 15, 69]],
];
const BITS = 32;

/** Direction numbers of a dimension, counted from 0. */
function directions(dimension: number): Uint32Array {
  const numbers = new Uint32Array(BITS);
  if (dimension === 0) {
    for (let bit = 0; bit < BITS; bit++) numbers[bit] = 2 ** (BITS - 1 - bit);
    return numbers;
  }
  const [degree, coefficients, first] = POLYNOMIALS[dimension - 1] as (typeof POLYNOMIALS)[number];
  for (let bit = 0; bit < BITS; bit++) {
    if (bit < degree) {
      numbers[bit] = (first[bit] as number) * 2 ** (BITS - 1 - bit);
      continue;
    }
    const before = numbers[bit - degree] as number;
    let number = before ^ (before >>> degree);
    for (let k = 1; k < degree; k++) {
      if (((coefficients >>> (degree - 1 - k)) & 1) === 1) number ^= numbers[bit - k] as number;
    }
    numbers[bit] = number;
  }
  return numbers;
}

/**
 * The first `count` points of Sobol's sequence in [0, 1)^dimensions, shifted digitally by what `uniform` draws, so that each seed has
 * its own. Beyond 21 dimensions the rest is drawn.
 */
export function sobol(count: number, dimensions: number, uniform: Uniform): readonly (readonly number[])[] {
  const known = Math.min(dimensions, POLYNOMIALS.length + 1);
  const tables = Array.from({ length: known }, (_, dimension) => directions(dimension));
  const shifts = Array.from({ length: known }, () => Math.floor(uniform() * 2 ** BITS));
  const state = new Uint32Array(known);
  return Array.from({ length: count }, (_, index) => {
    if (index > 0) {
      const bit = 31 - Math.clz32(index & -index);
      for (let d = 0; d < known; d++) state[d] = (state[d] as number) ^ ((tables[d] as Uint32Array)[bit] as number);
    }
    return Array.from({ length: dimensions }, (_, d) =>
      d < known ? (((state[d] as number) ^ (shifts[d] as number)) >>> 0) / 2 ** BITS : uniform(),
    );
  });
}
