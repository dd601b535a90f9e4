import type { Ms } from "../../model/index.ts";

/** The extreme of a window that slides: times and values, oldest and most extreme first. */
export type Marks = { readonly atMs: readonly Ms[]; readonly value: readonly number[] };
export type MutableMarks = { atMs: Ms[]; value: number[] };

export const noMarks: Marks = { atMs: [], value: [] };
/** A window is told in so many parts: a mark goes up to one part late. */
const PARTS = 20;

/** Adds `value` and forgets what is out of the window. The extreme is then the first value. @param sign 1: maximum, −1: minimum */
export function addMark({ atMs: times, value: values }: MutableMarks, atMs: Ms, value: number, windowMs: Ms, sign: 1 | -1): void {
  const part = windowMs / PARTS;
  const until = (Math.floor(atMs / part) + 1) * part;
  while (values.length > 0 && sign * ((values.at(-1) as number) - value) <= 0) {
    values.pop();
    times.pop();
  }
  if (times.at(-1) !== until) {
    times.push(until);
    values.push(value);
  }
  let old = 0;
  while (old < times.length - 1 && (times[old] as Ms) <= atMs - windowMs) old++;
  if (old > 0) {
    times.splice(0, old);
    values.splice(0, old);
  }
}

export const copyMarks = ({ atMs, value }: Marks, scale: number): MutableMarks => ({
  atMs: [...atMs],
  value: scale === 1 ? [...value] : value.map((one) => one * scale),
});
