import type { Ms } from "../model/index.ts";
import type { LogHistogram } from "./log-histogram.ts";

/** Of the values of one latency; null of none. Off by at most `quantileRelativeError` of itself, mean and max exact. */
export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number | null;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** `arrived` is the sum of the others. */
export interface RequestCounts {
  readonly arrived: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly rejected: number;
  /** Not yet ended when the run was broken off. */
  readonly open: number;
}

/** What a stretch of time cost, and how its requests fared: those that arrived in it, whenever they ended. */
export interface Figures {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly requests: RequestCounts;
  readonly promptTokens: number;
  /** Of all that ended; what a lost stream had brought is in it. */
  readonly outputTokens: number;
  readonly withinObjective: number;
  /** Share of completed, failed and rejected requests within the objective; null of none. */
  readonly attainment: number | null;
  /** To the first token, of all that got one. */
  readonly ttft: LatencySummary;
  /** Mean time per output token of each completed request, at least 15 gaps assumed. */
  readonly tpot: LatencySummary;
  /** Of completed requests. */
  readonly e2e: LatencySummary;
  /** Requests that found no replica ready. */
  readonly held: number;
  /** Attempts beyond the first. */
  readonly retries: number;
  /** Billed. */
  readonly gpuHours: number;
  readonly cost: number;
  /** Mean number of replicas ready. */
  readonly readyMean: number;
  readonly scaleUps: number;
  readonly scaleDowns: number;
  /** Changes against the direction of the one before, if that was less than `reversalMs` ago. */
  readonly reversals: number;
  /** Minutes in which something arrived and less than the wanted share of it met the objective. */
  readonly violationMinutes: number;
}

/** Columns of equal length, a row a minute, for plots. Replicas are means over the minute. */
export interface Minutes {
  readonly atMs: readonly Ms[];
  readonly arrivals: readonly number[];
  readonly promptTokens: readonly number[];
  readonly outputTokens: readonly number[];
  readonly wanted: readonly number[];
  readonly starting: readonly number[];
  readonly ready: readonly number[];
  readonly draining: readonly number[];
  readonly standby: readonly number[];
  /** Held at the door and waiting in engines, at the minute's end. */
  readonly queue: readonly number[];
  /** Of the requests that arrived in it; null of none. */
  readonly attainment: readonly (number | null)[];
}

/** Every latency of a stretch, in ms, so that several runs can be summed. */
export interface Latencies {
  readonly ttft: LogHistogram;
  readonly tpot: LogHistogram;
  readonly e2e: LogHistogram;
}

export interface SimulationResult {
  /** From the warm-up on. */
  readonly whole: Figures;
  /** From `splitMs` on; null without one. */
  readonly afterSplit: Figures | null;
  /** Of `afterSplit` where there is a split, else of `whole`. */
  readonly latencies: Latencies;
  readonly minutes: Minutes;
  readonly pools: Readonly<Record<string, { readonly kvPeak: number; readonly born: number }>>;
  readonly decisions: number;
  /** Requests refused because no engine could ever hold them. */
  readonly oversized: number;
  readonly engine: { readonly genTokens: number; readonly preemptions: number };
  /** Timers fired and requests arrived: what the simulator's own time is measured by. */
  readonly events: number;
  readonly endMs: Ms;
}
