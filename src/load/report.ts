import type { Ms, Objective } from "../model/index.ts";
import type { Percentiles } from "./digest.ts";

/** Why a request did not end well. `http`: a status other than 2xx; `broken`: the stream ended without `[DONE]`, or the connection was
 * cut within it; `event`: an error inside the stream; `timeout`: silence for too long; `refused`: nobody listens; `connection`: cut
 * before an answer. */
export type FailureKind = "http" | "broken" | "event" | "timeout" | "refused" | "connection";

export interface Failure {
  readonly kind: FailureKind;
  /** Of `http`. */
  readonly status: number | null;
  readonly count: number;
  /** What the first of them said. */
  readonly example: string;
}

/** What a load run saw. All times and rates are on the run's clock, so a run at `--speed 5` reads like one in real time. */
export interface LoadReport {
  readonly url: string;
  readonly model: string;
  readonly speed: number;
  /** Copies of the trace laid over each other. */
  readonly rate: number;
  /** From the start to the last answer. */
  readonly durationMs: Ms;
  /** Ended before the trace did, by its signal. */
  readonly interrupted: boolean;
  /** sent = ok + failed + cancelled. */
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  /** Given up by us at the end of an interrupted run. */
  readonly cancelled: number;
  readonly failures: readonly Failure[];
  /** Sent per second, from the first arrival to the last. */
  readonly requestsPerSecond: number | null;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly outputTokensPerSecond: number | null;
  /** Answers with fewer tokens than asked for. */
  readonly shortAnswers: number;
  readonly chunks: number;
  readonly ttftMs: Percentiles;
  /** (e2e − ttft) / max(15, tokens − 1): an answer under 16 tokens is given the time of 16. */
  readonly tpotMs: Percentiles;
  readonly e2eMs: Percentiles;
  /** Between chunks of one stream. */
  readonly chunkGapMs: Percentiles;
  /** How long after its arrival a request left us: a busy load generator, not a slow server. In real time, unlike the rest. */
  readonly lateRealMs: Percentiles;
  readonly mostInFlight: number;
  readonly objective: (Objective & { readonly attained: number | null; readonly met: boolean }) | null;
}

/** Where a run stands. */
export interface LoadProgress {
  /** Of the run's clock since the start. */
  readonly elapsedMs: Ms;
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  readonly inFlight: number;
  /** Of all so far. */
  readonly ttftP95Ms: Ms | null;
  /** Sent since the last report, per second. */
  readonly requestsPerSecond: number;
  readonly chunksPerSecond: number;
}
