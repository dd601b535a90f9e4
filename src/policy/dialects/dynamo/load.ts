import { type IterationTime, prefillMs } from "../llm/index.ts";
import { type EngineModel, meanDecodeLength, meanDecoding, meanPrefillTokens, meanPromptTokens } from "./engine-model.ts";
import type { OptimizationTarget } from "./spec.ts";

/** The load of one engine, in tokens. */
export interface EngineLoad {
  readonly id: string;
  readonly queuedPrefillTokens: number;
  readonly scheduledDecodeKv: number;
  readonly queuedDecodeKv: number;
}

/** A count, or null where nothing is to change; `reason` in the planner's own words, `worst` is the reading that decided. */
export interface LoadDecision {
  readonly desired: number | null;
  readonly reason: "scale_up" | "scale_down" | "no_change" | "insufficient_data" | "scale_down_refused_consolidation";
  readonly worst: number | null;
}
const insufficient: LoadDecision = { desired: null, reason: "insufficient_data", worst: null };

/** Thresholds of the modes without latency targets. Source: Dynamo planner, core/load_scaling.py. */
const STATIC_PREFILL = { throughput: { up: 1, down: 0.1 }, latency: { up: 0.1, down: 0 } } as const;
const STATIC_DECODE = { throughput: { up: 1, down: 0.6 }, latency: { up: 0.4, down: 0.1 } } as const;

export interface StaticRules {
  readonly target: Exclude<OptimizationTarget, "sla">;
  readonly minEndpoint: number;
  /** Of `optimization_target: load`: tokens queued for prefill, percent of the KV cache for decode. */
  readonly prefillTokens: { readonly up: number; readonly down: number } | null;
  readonly kvPercent: { readonly up: number; readonly down: number } | null;
}

/**
 * Queued prompt tokens of an engine, as a share of the context length: one more where any engine is at the upper threshold, one
 * fewer where all are under the lower one (in latency mode: where all queues are empty).
 */
export function staticPrefill(
  engines: readonly EngineLoad[],
  workers: number,
  contextTokens: number | null,
  rules: StaticRules,
): LoadDecision {
  const own = rules.target === "load" ? rules.prefillTokens : STATIC_PREFILL[rules.target];
  const unit = rules.target === "load" ? 1 : contextTokens;
  if (own === null || unit === null || !(unit > 0) || workers === 0 || engines.length === 0) return insufficient;
  const ratios = engines.map(({ queuedPrefillTokens }) => queuedPrefillTokens / unit);
  const isLow = (ratio: number) => (rules.target === "throughput" ? ratio < own.down : ratio <= own.down);
  return oneStep(ratios, (ratio) => ratio >= own.up, isLow, workers, rules.minEndpoint);
}

/** KV cache in use and queued, as a share of it; `withPrefill` counts prompts that wait for it too (aggregated engines). */
export function staticDecode(
  engines: readonly EngineLoad[],
  workers: number,
  maxKvTokens: number | null,
  withPrefill: boolean,
  rules: StaticRules,
): LoadDecision {
  const own =
    rules.target !== "load"
      ? STATIC_DECODE[rules.target]
      : rules.kvPercent === null
        ? null
        : { up: rules.kvPercent.up / 100, down: rules.kvPercent.down / 100 };
  if (own === null || maxKvTokens === null || !(maxKvTokens > 0) || workers === 0 || engines.length === 0) return insufficient;
  const shares = engines.map((engine) => (kvOf(engine) + (withPrefill ? engine.queuedPrefillTokens : 0)) / maxKvTokens);
  return oneStep(
    shares,
    (share) => share > own.up,
    (share) => share < own.down,
    workers,
    rules.minEndpoint,
  );
}

const kvOf = ({ scheduledDecodeKv, queuedDecodeKv }: EngineLoad) => scheduledDecodeKv + queuedDecodeKv;

function oneStep(
  readings: readonly number[],
  isHigh: (reading: number) => boolean,
  isLow: (reading: number) => boolean,
  workers: number,
  minEndpoint: number,
): LoadDecision {
  const worst = Math.max(...readings);
  if (readings.some(isHigh)) return { desired: workers + 1, reason: "scale_up", worst };
  if (workers > 1 && readings.every(isLow)) return { desired: Math.max(workers - 1, minEndpoint), reason: "scale_down", worst };
  return { desired: null, reason: "no_change", worst };
}

/** What the estimates of latency need. `hitShare` of a prompt is found in a prefix cache. */
export interface Estimator {
  readonly time: IterationTime;
  readonly model: EngineModel;
  readonly maxNumBatchedTokens: number;
  readonly maxKvTokens: number | null;
  readonly hitShare: number;
}

/** Time to the first token of a next request: its prompt (the mean one) behind what is queued, in chunks of the token budget. */
export function nextTtftMs({ time, model, maxNumBatchedTokens, hitShare }: Estimator, queuedTokens: number, decodeKv: number): number {
  const tokens = (queuedTokens + meanPromptTokens(model)) * (1 - hitShare);
  return prefillMs(time, tokens, maxNumBatchedTokens, { requests: 0, kvTokens: decodeKv });
}

/** Time of the next iteration with one more request of mean length; an aggregated engine's carries its mean prefill. */
function nextItlMs({ time, model }: Estimator, kvTokens: number, aggregated: boolean): number {
  return time({
    prefillTokens: aggregated ? meanPrefillTokens(model) : 0,
    requests: meanDecoding(model) + 1,
    kvTokens: kvTokens + meanDecodeLength(model),
  });
}

export interface LatencyRules {
  readonly targetMs: number;
  /** 0 to 1. */
  readonly sensitivity: number;
  readonly minEndpoint: number;
}

/** Whole tokens of an engine once one of n is gone: the others take its load. */
const consolidated = (tokens: number, workers: number) => Math.trunc((tokens * workers) / (workers - 1));

/**
 * Time to first token against its target. Up by one where all engines are above it. Down by one where, with the queue that n - 1
 * engines would have, what the queue adds stays under `sensitivity` of what the target leaves after the request's own prefill.
 */
export function latencyPrefill(
  engines: readonly EngineLoad[],
  workers: number,
  estimator: Estimator,
  rules: LatencyRules,
  aggregated = false,
): LoadDecision {
  if (engines.length === 0 || workers === 0) return insufficient;
  const kv = (engine: EngineLoad) => (aggregated ? engine.scheduledDecodeKv : 0);
  const estimates = engines.map((engine) => nextTtftMs(estimator, engine.queuedPrefillTokens, kv(engine)));
  const fits = (engine: EngineLoad) => {
    const decodeKv = consolidated(kv(engine), workers);
    const ownMs = nextTtftMs(estimator, 0, decodeKv);
    const budgetMs = (rules.targetMs - ownMs) * rules.sensitivity;
    return budgetMs > 0 && nextTtftMs(estimator, consolidated(engine.queuedPrefillTokens, workers), decodeKv) - ownMs < budgetMs;
  };
  return againstTarget(estimates, workers, rules, () => engines.every(fits));
}

/**
 * Time between tokens against its target. Up by one where all engines are above it. Down by one where n - 1 engines would have the
 * KV cache for the load of n, and an iteration then stays under `sensitivity` of the target.
 */
export function latencyDecode(
  engines: readonly EngineLoad[],
  workers: number,
  estimator: Estimator,
  rules: LatencyRules,
  aggregated = false,
): LoadDecision {
  if (engines.length === 0 || workers === 0) return insufficient;
  const { maxKvTokens } = estimator;
  const estimates = engines.map((engine) => nextItlMs(estimator, kvOf(engine), aggregated));
  const fits = (engine: EngineLoad) => {
    const kvTokens = consolidated(kvOf(engine) + (aggregated ? engine.queuedPrefillTokens : 0), workers);
    return (
      (maxKvTokens === null || maxKvTokens <= 0 || kvTokens < maxKvTokens) &&
      nextItlMs(estimator, kvTokens, aggregated) < rules.targetMs * rules.sensitivity
    );
  };
  return againstTarget(estimates, workers, rules, () => engines.every(fits));
}

function againstTarget(estimates: readonly number[], workers: number, rules: LatencyRules, mayShrink: () => boolean): LoadDecision {
  const worst = Math.max(...estimates);
  if (estimates.every((estimate) => estimate > rules.targetMs)) return { desired: workers + 1, reason: "scale_up", worst };
  if (workers > 1)
    return mayShrink()
      ? { desired: Math.max(workers - 1, rules.minEndpoint), reason: "scale_down", worst }
      : { desired: null, reason: "scale_down_refused_consolidation", worst };
  return { desired: null, reason: "no_change", worst };
}

/** Prefill and decode of aggregated engines: up if either says so, down only if both do (decode alone where prefill cannot say). */
export function combineAggregated(prefill: LoadDecision, decode: LoadDecision, workers: number): number {
  const [p, d] = [prefill.desired, decode.desired];
  if (p !== null && p > workers) return p;
  if (d !== null && d > workers) return d;
  if (prefill.reason === "insufficient_data" && d !== null && d < workers) return d;
  return p !== null && d !== null && p < workers && d < workers ? Math.max(p, d) : workers;
}
