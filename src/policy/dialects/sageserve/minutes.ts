import type { Ms } from "../../../model/index.ts";
import { fitArima, forecastArima } from "../forecast/index.ts";

/** Tokens that arrived in whole minutes, oldest first and without a gap; `openTokens` is the minute that is not over. */
export type Minutes = {
  readonly endMs: Ms | null;
  readonly tokens: readonly number[];
  readonly openTokens: number;
  readonly openKnown: boolean;
};
export const noMinutes: Minutes = { endMs: null, tokens: [], openTokens: 0, openKnown: true };

const MINUTE_MS: Ms = 60_000;

/**
 * Adds tokens that arrived up to `nowMs`. A minute of which nobody told anything ends the series: what comes after begins a new one,
 * for a gap is no demand of 0.
 */
export function addMinutes(minutes: Minutes, tokens: number | null, nowMs: Ms, keep: number): Minutes {
  const startMs = minutes.endMs ?? Math.floor(nowMs / MINUTE_MS) * MINUTE_MS;
  const known = minutes.openKnown && tokens !== null;
  const open = minutes.openTokens + (tokens ?? 0);
  const passed = Math.floor((nowMs - startMs) / MINUTE_MS);
  if (passed <= 0) return { ...minutes, endMs: startMs, openTokens: open, openKnown: known };
  if (!known) return { endMs: startMs + passed * MINUTE_MS, tokens: [], openTokens: 0, openKnown: true };
  // What came since the last look is spread over the minutes that it spans.
  return {
    endMs: startMs + passed * MINUTE_MS,
    tokens: [...minutes.tokens, ...new Array<number>(passed).fill(open / passed)].slice(-keep),
    openTokens: 0,
    openKnown: true,
  };
}

/** Below it a forecast is the most of what was seen. */
const LEAST_MINUTES = 30;
/** An ARIMA is fitted to no more than this. */
const FIT_MINUTES = 720;

/**
 * Tokens of each of the next `ahead` minutes, at least 0; empty before anything was seen. ARIMA of the series; once two seasons are
 * known, ARIMA of its change against one season before, on top of that season. With less than half an hour it is the most seen.
 */
export function forecastMinutes(tokens: readonly number[], ahead: number, season: number): readonly number[] {
  if (tokens.length === 0) return [];
  if (tokens.length < LEAST_MINUTES) return new Array<number>(ahead).fill(Math.max(...tokens));
  const seasonal = season > 0 && tokens.length >= 2 * season;
  const base = (step: number) => (seasonal ? (tokens[tokens.length - season + (step % season)] as number) : 0);
  const series = seasonal ? tokens.slice(season).map((value, at) => value - (tokens[at] as number)) : tokens;
  return forecastArima(fitArima(series.slice(-FIT_MINUTES)), ahead).map((value, step) => Math.max(0, value + base(step)));
}
