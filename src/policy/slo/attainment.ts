import type { Objective, Slot } from "../../model/index.ts";

/** Requests judged since the margin last moved, the load then, and the margin; `completed` and `within` fade over some hours. */
export type Attainment = {
  readonly margin: number;
  readonly judged: number;
  readonly met: number;
  readonly loads: number;
  readonly looks: number;
  readonly completed: number;
  readonly within: number;
};

export const MARGIN = { least: 0.5, most: 1.5 } as const;
const FADE = 0.998;

export const noAttainment: Attainment = { margin: 0.95, judged: 0, met: 0, loads: 0, looks: 0, completed: 0, within: 0 };

/**
 * Bends what a replica is trusted with. Misses under a load that should have been fine say that it carries less; an objective
 * held under high load says that it carries a little more. `load`: demand over capacity at this margin. `steady`: no replica
 * was missing or starting lately, so that a miss speaks of capacity and not of a fleet that was too small for a while.
 */
export function learnAttainment(
  before: Attainment,
  slots: readonly Slot[],
  objective: Objective,
  load: number,
  steady: boolean,
): Attainment {
  let [completed, within] = [0, 0];
  for (const slot of slots) {
    completed += slot.completed + slot.failed;
    within += slot.withinObjective;
  }
  const long = { completed: before.completed * FADE + completed, within: before.within * FADE + within };
  if (!steady || load > 1.05) return { ...before, ...long, judged: 0, met: 0, loads: 0, looks: 0 };
  const judged = before.judged + completed;
  const met = before.met + within;
  const loads = before.loads + load;
  const looks = before.looks + 1;
  const allowed = 1 - objective.attainment;
  if (judged < Math.min(400, Math.max(30, 2 / allowed))) return { ...before, ...long, judged, met, loads, looks };
  const missed = 1 - met / judged;
  const mean = loads / looks;
  let { margin } = before;
  if (missed > allowed && mean > 0.4) margin *= 1 - 0.03 * Math.min(5, missed / allowed);
  else if (missed < allowed / 2 && mean > 0.7) margin *= 1.02;
  return { ...long, margin: Math.min(MARGIN.most, Math.max(MARGIN.least, margin)), judged: 0, met: 0, loads: 0, looks: 0 };
}
