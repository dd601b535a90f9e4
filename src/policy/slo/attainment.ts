import type { Ms, Slot } from "../../model/index.ts";
import { FULL, type Lateness } from "./lateness.ts";

/**
 * What the fluid model said of the fleet as it was, and what came of it. All but the last fade by time: requests that ended and that
 * missed the objective; misses seen and foretold while nothing queued (what a jump does says nothing of the model).
 */
export type Attainment = {
  readonly ended: number;
  readonly missed: number;
  readonly seen: number;
  readonly foretold: number;
  /** Work that waits in the model of the fleet, and since when it is calm. */
  readonly queue: number;
  readonly calmSinceMs: Ms | null;
};

export const noAttainment: Attainment = { ended: 0, missed: 0, seen: 0, foretold: 0, queue: 0, calmSinceMs: null };

const HALF_LIFE_MS: Ms = 12 * 3_600_000;
/** A fleet is calm when so few are foretold to miss, for so long that what was late before has ended. */
const CALM = 0.1;
const CALM_MS: Ms = 60_000;
/** Misses, and the share of what ended, that count as foretold and seen before anything was: few say little. */
const PRIOR_MISSES = 30;
const PRIOR_SHARE = 0.002;
const CORRECTION = { least: 0.6, most: 3 } as const;
/** The share of the error budget that the replay may spend, by what of it was spent: the rest is for what the replay does not see. */
const SHARE = { least: 0.5, most: 0.75, unspent: 0.8, perSpent: 0.25 } as const;
/** Before anything ended it counts as spent to this part, for so many requests. */
const PRIOR_SPENT = 0.6;
const PRIOR_ENDED = 2_000;

/** Takes in closed slots. @param ready replicas that served meanwhile @param load work per second over an answer's length */
export function learnAttainment(
  before: Attainment,
  slots: readonly Slot[],
  passedMs: Ms,
  nowMs: Ms,
  ready: number,
  work: number,
  load: number,
  lateness: Lateness,
): Attainment {
  let [ended, missed] = [0, 0];
  for (const slot of slots) {
    const all = slot.completed + slot.failed + slot.rejected;
    ended += all;
    missed += all - slot.withinObjective;
  }
  const keep = 0.5 ** (passedMs / HALF_LIFE_MS);
  const foretold = ready > 0 ? lateness(load / (ready * FULL), ready) : 1;
  const queue = Math.max(0, before.queue + work - (ready * FULL * passedMs) / 1000);
  const calm = foretold < CALM && queue === 0;
  const calmSinceMs = calm ? (before.calmSinceMs ?? nowMs) : null;
  const counts = calmSinceMs !== null && nowMs - calmSinceMs >= CALM_MS;
  return {
    ended: before.ended * keep + ended,
    missed: before.missed * keep + missed,
    seen: before.seen * keep + (counts ? missed : 0),
    foretold: before.foretold * keep + (counts ? foretold * ended : 0),
    queue,
    calmSinceMs,
  };
}

/** By what the shares of late work that are replayed are multiplied: misses seen over those foretold, within bounds. */
export function correctionOf({ ended, seen, foretold }: Attainment): number {
  const prior = PRIOR_MISSES + PRIOR_SHARE * ended;
  return Math.min(CORRECTION.most, Math.max(CORRECTION.least, (seen + prior) / (foretold + prior)));
}

/** How much of the error budget was spent of late: 1 is all of it. */
export function spentOf({ ended, missed }: Attainment, attainment: number): number {
  const allowed = 1 - attainment;
  return (missed + PRIOR_SPENT * allowed * PRIOR_ENDED) / (allowed * (ended + PRIOR_ENDED));
}

/** The share of late work that a shadow may have had to be followed: less once the budget was overspent, more while it is not used. */
export function allowedLate(known: Attainment, attainment: number): number {
  const share = SHARE.unspent - SHARE.perSpent * spentOf(known, attainment);
  return (1 - attainment) * Math.min(SHARE.most, Math.max(SHARE.least, share));
}
