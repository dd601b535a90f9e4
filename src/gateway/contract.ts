import type { Registry } from "prom-client";
import type { Door } from "../model/index.ts";

/** The door: OpenAI-compatible in front, replicas behind. */
export interface Gateway extends Door {
  readonly url: string;
  /** Of its own admin server; null: none. */
  readonly adminUrl: string | null;
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
