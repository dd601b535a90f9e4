import type { Ms, Objective } from "../model/index.ts";

/** `ttftMs`: null of an answer that did not stream, for then only its end was seen. */
export interface Timing {
  readonly ttftMs: Ms | null;
  readonly e2eMs: Ms;
  readonly outputTokens: number;
}

/** An answer shorter than this is given the time of one this long: a few tokens say little about pace. */
const shortestAnswer = 16;
const gaps = (outputTokens: number) => Math.max(shortestAnswer - 1, outputTokens - 1);

/** Mean time per output token after the first, `(e2e − ttft) / max(15, tokens − 1)`; null where the first was not seen. */
export function timePerOutputTokenMs({ ttftMs, e2eMs, outputTokens }: Timing): Ms | null {
  return ttftMs === null ? null : (e2eMs - ttftMs) / gaps(outputTokens);
}

/**
 * Whether both bounds hold. Of an answer that did not stream, whether all of it came within the time that both bounds allow
 * together: `ttft bound + tpot bound × max(15, tokens − 1)`.
 */
export function meetsObjective(timing: Timing, objective: Objective): boolean {
  const tpotMs = timePerOutputTokenMs(timing);
  if (timing.ttftMs === null || tpotMs === null) {
    return timing.e2eMs <= objective.timeToFirstTokenMs + objective.timePerOutputTokenMs * gaps(timing.outputTokens);
  }
  return timing.ttftMs <= objective.timeToFirstTokenMs && tpotMs <= objective.timePerOutputTokenMs;
}
