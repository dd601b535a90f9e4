import type { Ms } from "../model/index.ts";

/** One row of a trace. Rows are sorted by arrival; token counts are at least 1. */
export interface TraceRequest {
  /** From the start of the trace. */
  readonly arrivalMs: Ms;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly class?: string;
  /** Tenant; stable inside one trace only. */
  readonly client?: string;
  /** Requests of one conversation, whose prompts share a prefix. */
  readonly sessionId?: string;
  /** Leading prompt tokens that a fleet-wide, endless prefix cache would already hold. At most `promptTokens`. */
  readonly prefixHitTokens?: number;
}
export type TokenSizes = Pick<TraceRequest, "promptTokens" | "outputTokens">;
