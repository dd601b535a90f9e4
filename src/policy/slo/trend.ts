import type { Ms } from "../../model/index.ts";

/** Mean work of the last stretches of `STEP_MS`, oldest first, and when the last one ended. */
export type Recent = readonly number[];

export const STEP_MS: Ms = 5_000;
/** Stretches in each third of the window. */
const THIRD = 12;
const KEPT = 3 * THIRD;
/** Standard errors by which a rise must be sure. */
const SURE = 2;
/** Of a rise within three minutes, what a ramp does not do within one. */
const JUMP_SHARE = 0.75;
/** No projection goes beyond so many times what is seen. */
const MOST_TIMES = 3;

export const addRecent = (recent: number[], mean: number): void => {
  recent.push(mean);
  if (recent.length > KEPT) recent.splice(0, recent.length - KEPT);
};

/**
 * The level of work `aheadMs` from now: the mean of the last minute, carried on along the rise that is sure. A rise is that between
 * the minutes of the last three which is the smaller, less two standard errors: a ramp rises in both, a jump in one, noise in neither.
 * What falls is not carried on: it may turn.
 */
export function projected(recent: Recent, aheadMs: Ms): number {
  const last = recent.slice(-THIRD);
  const now = meanOf(last);
  if (recent.length < KEPT) return now;
  const [first, middle] = [recent.slice(0, THIRD), recent.slice(THIRD, 2 * THIRD)];
  const [a, b] = [meanOf(first), meanOf(middle)];
  const variance = (squaresAround(first, a) + squaresAround(middle, b) + squaresAround(last, now)) / (KEPT - 3);
  const rise = Math.min(b - a, now - b) - SURE * Math.sqrt((2 * variance) / THIRD);
  if (rise <= 0 || isJump(recent)) return now;
  const thirds = 0.5 + aheadMs / (THIRD * STEP_MS);
  return Math.min(MOST_TIMES * now, now + rise * thirds);
}

/** Whether two neighbouring half minutes make up most of the rise: a jump in the middle minute rises in both minutes around it. */
function isJump(recent: Recent): boolean {
  const half = THIRD / 2;
  const means = Array.from({ length: KEPT / half }, (_, at) => meanOf(recent.slice(at * half, (at + 1) * half)));
  const total = (means.at(-1) as number) - (means[0] as number);
  return means.slice(2).some((mean, at) => mean - (means[at] as number) > JUMP_SHARE * total);
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
const squaresAround = (values: readonly number[], mean: number) => values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
