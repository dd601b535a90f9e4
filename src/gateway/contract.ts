import type { Registry } from "prom-client";
import type { Door, Ms } from "../model/index.ts";

/** The door: OpenAI-compatible in front, replicas behind. */
export interface Gateway extends Door {
  readonly url: string;
  /** Of its own admin server; null: none. */
  readonly adminUrl: string | null;
  /** How its time runs, for whoever reads its reports on a clock of their own: see `shiftBetween`. */
  readonly clock: { readonly speed: number; readonly epochMs: Ms };
  readonly registry: Registry;
  /** Endpoints with a request held now. */
  held(): readonly string[];
  /** False once it is ending. */
  readonly ready: boolean;
  /**
   * Takes nothing new, refuses what is held, waits up to `graceMs` (real ms) for what is in flight, then destroys it. A second
   * call waits for the first.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}
