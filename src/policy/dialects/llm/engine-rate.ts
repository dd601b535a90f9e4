import { type EngineProfile, iterationMs, prefillAttentionMs } from "../../../engine/index.ts";

/** One iteration of an engine: prompt tokens prefilled in it, requests that decode in it and the KV tokens that those have. */
export interface Iteration {
  readonly prefillTokens: number;
  readonly requests: number;
  readonly kvTokens: number;
}
/** How long an iteration takes, in ms; a performance model, from a profile or learned. */
export type IterationTime = (iteration: Iteration) => number;

/** Iteration times of a profile; prompts longer than what the profile was fitted on pay for their attention. */
export const profiledTime =
  (profile: EngineProfile): IterationTime =>
  ({ prefillTokens, requests, kvTokens }) =>
    iterationMs(profile, { prefillTokens, seqs: requests, ctx: kvTokens }) + prefillAttentionMs(profile, prefillTokens, 0);

/** Time to prefill `tokens` in chunks of at most `chunk`, each beside decodes that hold `kvTokens`, in ms. */
export function prefillMs(time: IterationTime, tokens: number, chunk: number, beside: Omit<Iteration, "prefillTokens">): number {
  let [left, total] = [tokens, 0];
  while (left > 0) {
    const part = Math.min(left, chunk);
    total += time({ prefillTokens: part, ...beside });
    left -= part;
  }
  return total;
}

/** Requests per second that one engine carries, and the latencies at that point. `met`: they are inside their targets. */
export interface EngineRate {
  readonly perSecond: number;
  readonly ttftMs: number | null;
  readonly itlMs: number | null;
  readonly met: boolean;
}

export interface EngineShape {
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  /** Tokens that fit into the KV cache; null: unknown. */
  readonly maxKvTokens: number | null;
}

const alone = { requests: 0, kvTokens: 0 };

/**
 * An engine that only prefills does one prompt after the other: the rate is the inverse of one prompt's time, whatever the target.
 * Source: Dynamo planner, prefill performance model.
 */
export function prefillRate(time: IterationTime, shape: EngineShape, promptTokens: number, ttftTargetMs: number): EngineRate | null {
  if (!(promptTokens > 0)) return null;
  const ttftMs = prefillMs(time, promptTokens, shape.maxNumBatchedTokens, alone);
  return { perSecond: 1000 / ttftMs, ttftMs, itlMs: null, met: ttftMs <= ttftTargetMs };
}

/**
 * An engine that only decodes: the largest batch whose iteration stays inside the target, by bisection up to what KV cache and
 * sequence limit hold; the rate is batch / (output tokens × iteration). A batch of one where even that misses the target.
 * Source: Dynamo planner, decode performance model.
 */
export function decodeRate(
  time: IterationTime,
  shape: EngineShape,
  contextTokens: number,
  outputTokens: number,
  itlTargetMs: number,
): EngineRate | null {
  if (!(contextTokens > 0) || !(outputTokens > 0)) return null;
  const itlOf = (batch: number) => time({ prefillTokens: 0, requests: batch, kvTokens: batch * contextTokens });
  const fits = shape.maxKvTokens === null ? 256 : Math.max(1, Math.floor(shape.maxKvTokens / contextTokens));
  let [low, high] = [1, Math.max(1, Math.min(fits, shape.maxNumSeqs))];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (itlOf(middle) <= itlTargetMs) low = middle;
    else high = middle - 1;
  }
  const itlMs = itlOf(low);
  return { perSecond: (1000 * low) / (outputTokens * itlMs), ttftMs: null, itlMs, met: itlMs <= itlTargetMs };
}

/**
 * An engine that does both: the largest batch, going up from one, that keeps both targets while its iterations carry the prefill
 * of the requests that replace those which finish. It is bounded by KV cache, sequence limit, and by the token budget: beyond
 * budget - prompt / output sequences prompts come faster than they can be prefilled.
 * Source: Dynamo planner, aggregated performance model.
 */
export function mixedRate(
  time: IterationTime,
  shape: EngineShape,
  load: { readonly promptTokens: number; readonly outputTokens: number; readonly hitShare: number },
  targets: { readonly ttftMs: number; readonly itlMs: number },
): EngineRate | null {
  const { promptTokens, outputTokens, hitShare } = load;
  if (!(promptTokens > 0) || !(outputTokens > 0)) return null;
  const budget = shape.maxNumBatchedTokens;
  const computed = promptTokens * (1 - hitShare);
  const context = promptTokens + outputTokens / 2;
  const fits = shape.maxKvTokens === null ? 1024 : Math.max(1, Math.floor(shape.maxKvTokens / Math.max(1, context)));
  const balanced = Math.floor(budget - promptTokens / outputTokens);
  const most = Math.max(1, Math.min(fits, shape.maxNumSeqs, budget - 1, balanced));
  const at = (batch: number) => {
    const kvTokens = batch * context;
    const prefillTokens = Math.min((batch * computed) / Math.max(1, outputTokens), budget);
    const itlMs = time({ prefillTokens, requests: batch, kvTokens });
    const ttftMs = prefillMs(time, prefillTokens + computed, budget, { requests: batch, kvTokens });
    return { perSecond: (1000 * batch) / (outputTokens * itlMs), ttftMs, itlMs, met: itlMs <= targets.itlMs && ttftMs <= targets.ttftMs };
  };
  // Both latencies grow with the batch, so that the last one that keeps them can be found by bisection.
  let [low, high] = [1, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (at(middle).met) low = middle;
    else high = middle - 1;
  }
  return at(low);
}
