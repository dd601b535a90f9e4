import type { Ms, Observation } from "../../../model/index.ts";
import type { Reader } from "../../reading.ts";

/** What arrived and what ended since `fromMs`. */
export type Traffic = {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly requests: number;
  readonly promptTokens: number;
  /** Of them, found in a prefix cache. */
  readonly hitTokens: number;
  readonly ended: number;
  readonly outputTokens: number;
  /** For some of the time nobody said what arrived. */
  readonly partial: boolean;
};

export const noTraffic = (nowMs: Ms): Traffic => ({
  fromMs: nowMs,
  toMs: nowMs,
  requests: 0,
  promptTokens: 0,
  hitTokens: 0,
  ended: 0,
  outputTokens: 0,
  partial: false,
});

/**
 * Adds what came since: the ledger's slots of the classes that `counts` picks, or, where no gateway of ours is in the path, the
 * endpoint's rates over the time since the last call (those tell no classes apart).
 */
export function addTraffic(
  traffic: Traffic,
  now: Observation,
  reader: Reader,
  counts: (requestClass: string) => boolean = () => true,
): Traffic {
  const sum = { ...traffic, toMs: now.nowMs };
  if (now.slots !== null) {
    for (const slot of now.slots) {
      if (!counts(slot.class)) continue;
      sum.requests += slot.arrivals;
      sum.promptTokens += slot.promptTokens;
      sum.hitTokens += slot.prefixHitTokens;
      sum.ended += slot.completed + slot.cancelled;
      sum.outputTokens += slot.outputTokens;
    }
    return sum;
  }
  const seconds = (now.nowMs - traffic.toMs) / 1000;
  const requests = reader.endpoint("request_rate");
  if (typeof requests !== "number") return seconds > 0 ? { ...sum, partial: true } : sum;
  const prompt = reader.endpoint("prompt_tokens_per_second");
  const output = reader.endpoint("output_tokens_per_second");
  sum.requests += requests * seconds;
  if (typeof prompt === "number") sum.promptTokens += prompt * seconds;
  if (typeof output === "number") {
    sum.ended += requests * seconds;
    sum.outputTokens += output * seconds;
  }
  return sum;
}

/** Mean prompt tokens of a request; null of none. */
export const meanPrompt = ({ requests, promptTokens }: Traffic) => (requests > 0 && promptTokens > 0 ? promptTokens / requests : null);
/** Mean output tokens of a request that ended; null of none. */
export const meanOutput = ({ ended, outputTokens }: Traffic) => (ended > 0 && outputTokens > 0 ? outputTokens / ended : null);
