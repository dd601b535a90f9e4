import type { Ms } from "../model/index.ts";
import type { EngineProfile } from "./profiles.ts";

/** Prefill tokens per iteration up to which the fits hold their own attention. */
const fittedPrefillTokens = 4096;

/** Share of peak arithmetic that current prefill attention kernels reach; the fits were made with 0.2, measured on one of 2023. */
const attentionEfficiency = 0.6;

export interface IterationWork {
  readonly prefillTokens: number;
  /** Sequences that decode: one token each. */
  readonly seqs: number;
  /** Sum of their context tokens before the iteration. */
  readonly ctx: number;
}

/** @returns the time of one iteration on the GPU in ms, without the engine's overhead and without `prefillAttentionMs`. */
export function iterationMs(profile: EngineProfile, work: IterationWork): Ms {
  const { prefillTokens, seqs, ctx } = work;
  if (prefillTokens === 0) return profile.decAMs + (profile.decCUsPerSeq * seqs) / 1000 + (profile.decDUsPer1kCtx * ctx) / 1e6;
  return (
    profile.mixAMs +
    (profile.mixBUsPerPrefillToken * prefillTokens) / 1000 +
    (profile.mixCUsPerSeq * seqs) / 1000 +
    (profile.mixDUsPer1kCtx * ctx) / 1e6
  );
}

/**
 * What attention adds to a chunk of `tokens` that follows `before` cached ones, in ms: 0 for a first chunk inside the fits'
 * domain, else the difference of 4 n (n/2 + m) × width × layers / (tp × efficiency × peak) to what the fits hold already.
 */
export function prefillAttentionMs(profile: EngineProfile, tokens: number, before: number): Ms {
  const pairs = tokens * (before + Math.max(0, tokens - fittedPrefillTokens) / 2);
  const flops = 4 * pairs * profile.attentionWidth * profile.layers;
  return flops / (profile.tp * attentionEfficiency * profile.peakTflops * 1e9);
}

/** What one pair of tokens that attend to each other costs a profile's prefill, in ms. */
export const attentionMsPerPair = ({ attentionWidth, layers, tp, peakTflops }: EngineProfile): Ms =>
  (4 * attentionWidth * layers) / (tp * attentionEfficiency * peakTflops * 1e9);

/** The shape of a model whose pairs cost so much: all that is known of one that was measured from outside. */
export function attentionShape(msPerPair: Ms, tp: number): Pick<EngineProfile, "layers" | "attentionWidth" | "peakTflops"> {
  if (msPerPair <= 0) return { layers: 1, attentionWidth: 0, peakTflops: 1 };
  return { layers: 1, attentionWidth: 1, peakTflops: 4 / (tp * attentionEfficiency * msPerPair * 1e9) };
}
