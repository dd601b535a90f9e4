import type { Registry } from "prom-client";
import type { Door, DoorEndpoint, Ms } from "../model/index.ts";

/** The door: OpenAI-compatible in front, replicas behind. */
export interface Gateway extends Door {
  readonly url: string;
  /** Of its own admin server; null: none. */
  readonly adminUrl: string | null;
  /** How its time runs, for whoever reads its reports on a clock of their own: see `shiftBetween`. */
  readonly clock: { readonly speed: number; readonly epochMs: Ms };
  readonly registry: Registry;
  /** Makes the endpoint known, or known anew, and leaves its routes as they are: requests for it are held until it has some. */
  know(endpoint: DoorEndpoint): void;
  /** Endpoints with a request held now. */
  held(): readonly string[];
  /** False once it is ending, and before it knows of its endpoints where somebody tells it. */
  readonly ready: boolean;
  /**
   * Takes nothing new, refuses what is held, waits up to `graceMs` (real ms) for what is in flight, then destroys it. A second
   * call waits for the first.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}
