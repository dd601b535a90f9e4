import type { DoorBound, Objective } from "../../model/index.ts";
import { coefficients, type EngineFit } from "./capacity.ts";
import type { Demand } from "./demand.ts";

/** Of the bound on time per output token: how long an iteration may take in a full batch, at the mean request. */
const ITERATION_SHARE = 0.8;
/** Of the bound on time to first token: how much prefill may wait in an engine. */
const PREFILL_SHARE = 0.25;
/** Samples of the engine, and requests, before anything is advised. */
const LEAST_SAMPLES = 20;
const LEAST_REQUESTS = 50;
/** Neighbouring figures of the advice differ by this factor, so that it does not change with every sample. */
const GRID = 1.08;

/**
 * What the gateway should give to one replica at most. In a full batch an iteration takes base + running × (perSequence + perPrefill × prompt
 * tokens per output token of the mean request), since as many are prefilled as end; requests in flight are such that it stays under
 * `ITERATION_SHARE` of the bound on time per output token. Prompt tokens not yet prefilled: work for `PREFILL_SHARE` of the bound on time to
 * first token. null: too little is known, or one request alone is too slow.
 */
export function doorAdvice(fit: EngineFit, mix: Demand["mix"], objective: Objective): DoorBound | null {
  if (fit.weight < LEAST_SAMPLES || mix.weight < LEAST_REQUESTS || !(mix.output > 0) || !(mix.prefill > 0)) return null;
  const { base, perPrefill, perSequence } = coefficients(fit);
  const each = perSequence + (perPrefill * mix.prefill) / mix.output;
  const running = ((ITERATION_SHARE * objective.timePerOutputTokenMs) / 1000 - base) / each;
  if (!(running >= 1)) return null;
  const promptTokens = (PREFILL_SHARE * objective.timeToFirstTokenMs) / 1000 / perPrefill;
  // Those that are still to be prefilled come on top of the running batch.
  const prefilling = promptTokens / mix.prefill;
  return {
    maxInFlight: onGrid(running + prefilling),
    maxPromptTokens: onGrid(promptTokens),
    promptTokensPerSecond: onGrid(1 / perPrefill),
  };
}

const onGrid = (value: number) => Math.max(1, Math.round(GRID ** Math.round(Math.log(value) / Math.log(GRID))));
