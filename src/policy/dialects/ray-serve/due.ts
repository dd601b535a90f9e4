import type { Ms } from "../../../model/index.ts";

/** The control loop's period. Source: RAY_SERVE_CONTROL_LOOP_INTERVAL_S, 0.1. */
export const TICK_MS = 100;

/** The first tick of the loop, counted from the wish, at which the delay has passed. */
export const fireTimeMs = (sinceS: number, delayS: number): Ms =>
  Math.round(sinceS * 1000) + Math.ceil((delayS * 1000) / TICK_MS - 1e-6) * TICK_MS;

/** The first tick after `nowMs` and before `untilMs` at which `holds`, which once true stays so; else `untilMs`. */
export function firstTick(nowMs: Ms, untilMs: Ms, holds: (atMs: Ms) => boolean): Ms {
  const last = Math.floor((untilMs - nowMs) / TICK_MS);
  if (last < 1 || !holds(nowMs + last * TICK_MS)) return untilMs;
  let [below, above] = [0, last];
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (holds(nowMs + middle * TICK_MS)) above = middle;
    else below = middle;
  }
  return nowMs + above * TICK_MS;
}
