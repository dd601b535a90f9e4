import type { Ms } from "../../model/index.ts";

/** The highest level of each ten minutes of the last eight days, oldest first, and the end of the last ten minutes. */
export type Days = { readonly untilMs: Ms; readonly highest: readonly number[] };
export const noDays: Days = { untilMs: 0, highest: [] };

export const DAY_MS: Ms = 86_400_000;
export const SLOT_MS: Ms = 600_000;
const SLOTS = 8 * 144;

/** Files a level; ten minutes in which nothing was filed count as 0. Begins anew after a gap of more than eight days. */
export function fileDays(days: { untilMs: Ms; highest: number[] }, nowMs: Ms, level: number): void {
  if (days.highest.length === 0 || nowMs - days.untilMs > SLOTS * SLOT_MS) {
    days.highest.length = 0;
    days.untilMs = Math.floor(nowMs / SLOT_MS) * SLOT_MS;
  }
  while (nowMs >= days.untilMs) {
    days.highest.push(0);
    days.untilMs += SLOT_MS;
  }
  if (days.highest.length > SLOTS) days.highest.splice(0, days.highest.length - SLOTS);
  days.highest[days.highest.length - 1] = Math.max(days.highest.at(-1) as number, level);
}

/** The highest level filed between two moments; null where they reach back beyond what was filed. */
export function highestBetween({ untilMs, highest }: Days, fromMs: Ms, toMs: Ms): number | null {
  const beginsMs = untilMs - highest.length * SLOT_MS;
  if (highest.length === 0 || fromMs < beginsMs) return null;
  const first = Math.floor((fromMs - beginsMs) / SLOT_MS);
  const last = Math.min(highest.length - 1, Math.ceil((toMs - beginsMs) / SLOT_MS) - 1);
  let most = 0;
  for (let at = first; at <= last; at++) most = Math.max(most, highest[at] as number);
  return most;
}
