/**
 * Whole numbers in the range of Go's int64, exact: a JavaScript number while it is a safe integer, a bigint beyond. Adding and
 * multiplying wrap as Go's do; division truncates toward zero.
 */
export type Int64 = number | bigint;

export const MAX_INT64 = 9223372036854775807n;
export const MIN_INT64 = -9223372036854775808n;
export const MAX_INT32 = 2147483647;
export const MIN_INT32 = -2147483648;

/** The shortest form of a bigint that is already inside the range. */
export function int64(value: bigint): Int64 {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/** Values outside of the range become its nearest end. */
export function saturate64(value: bigint): Int64 {
  return int64(value > MAX_INT64 ? MAX_INT64 : value < MIN_INT64 ? MIN_INT64 : value);
}

export function add64(left: Int64, right: Int64): Int64 {
  if (typeof left === "number" && typeof right === "number") {
    const sum = left + right;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return int64(BigInt.asIntN(64, BigInt(left) + BigInt(right)));
}

export function mul64(left: Int64, right: Int64): Int64 {
  if (typeof left === "number" && typeof right === "number") {
    const product = left * right;
    if (Number.isSafeInteger(product)) return product + 0;
  }
  return int64(BigInt.asIntN(64, BigInt(left) * BigInt(right)));
}

/** Truncates toward zero; `divisor` is not 0. */
export function div64(dividend: Int64, divisor: Int64): Int64 {
  if (typeof dividend === "number" && typeof divisor === "number") {
    // The remainder is exact where a quotient of doubles may round up to the next integer.
    return (dividend - (dividend % divisor)) / divisor + 0;
  }
  return int64(BigInt.asIntN(64, BigInt(dividend) / BigInt(divisor)));
}

/** int32 by saturation. */
export function clamp32(value: Int64): number {
  return value > MAX_INT32 ? MAX_INT32 : value < MIN_INT32 ? MIN_INT32 : Number(value);
}

/** Rounds up; what an int32 cannot hold becomes its nearest end, NaN becomes 0. */
export function ceilToInt32(value: number): number {
  if (Number.isNaN(value)) return 0;
  return Math.min(MAX_INT32, Math.max(MIN_INT32, Math.ceil(value))) + 0;
}

/** Rounds up to int64 with saturation. */
export function ceilToInt64(value: number): Int64 {
  if (Number.isNaN(value)) return 0;
  const up = Math.ceil(value);
  if (up >= 2 ** 63) return MAX_INT64;
  if (up <= -(2 ** 63)) return MIN_INT64;
  return Number.isSafeInteger(up) ? up + 0 : BigInt(up);
}
