import type { PoolStatus, Replica } from "./replica.ts";
import type { Series } from "./signal.ts";
import type { Ms } from "./time.ts";

/** Lower bounds of the prompt-length bands, in tokens: a request is in the last band whose bound it reaches. */
export const PROMPT_BANDS = [0, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768] as const;

/** @returns the index into `PROMPT_BANDS` of a prompt of that many tokens. */
export function promptBand(promptTokens: number): number {
  let band = 0;
  while (band + 1 < PROMPT_BANDS.length && promptTokens >= (PROMPT_BANDS[band + 1] as number)) band++;
  return band;
}

/**
 * The gateway's ledger in slots of one second: a row per class and prompt-length band. `atMs` is the slot's start. Counts are
 * events inside the slot; means are over its time. Every arrival ends as exactly one of completed, failed, cancelled, rejected.
 */
export interface Slot {
  readonly atMs: Ms;
  readonly class: string;
  /** Index into `PROMPT_BANDS`. */
  readonly promptBand: number;
  readonly arrivals: number;
  /** Of the arrivals. */
  readonly promptTokens: number;
  /** Of the arrivals, as far as known when they arrived. */
  readonly prefixHitTokens: number;
  readonly completed: number;
  /** Of the requests that ended in this slot, however they ended. */
  readonly outputTokens: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly rejected: number;
  /** Completed requests that met the endpoint's objective; `completed` includes them. */
  readonly withinObjective: number;
  readonly inFlightMean: number;
  readonly heldMean: number;
}

/** What made the loop ask: time, a request held with no replica ready, a replica that changed state, or a changed config. */
export type Cause = "tick" | "held" | "replica" | "config";

/** All that a policy may depend on: JSON, recorded as it is. `slots` is null where no gateway of ours is in the path. */
export interface Observation {
  readonly seq: number;
  readonly nowMs: Ms;
  readonly cause: Cause;
  readonly pools: Readonly<Record<string, PoolStatus>>;
  readonly replicas: readonly Replica[];
  readonly series: readonly Series[];
  /** Closed slots since the last Observation, oldest first. */
  readonly slots: readonly Slot[] | null;
}
