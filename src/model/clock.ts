import type { Ms } from "./time.ts";

/**
 * The one clock of a process. With `speed` s, s milliseconds pass on it for each real one, for timers and readings alike, so
 * that load, gateway, controller and emulated engines of a sped-up run agree; all that is reported is in its time.
 */
export interface Clock {
  readonly speed: number;
  /** Milliseconds since the Unix epoch at speed 1; at other speeds since the epoch of the process's start, then scaled. */
  now(): Ms;
  /** Calls back once after `delayMs` of this clock. @returns a function that cancels it. */
  after(delayMs: Ms, callback: () => void): () => void;
  /** Resolves after `delayMs` of this clock, or rejects with the signal's reason when it aborts before. */
  sleep(delayMs: Ms, signal?: AbortSignal): Promise<void>;
}
