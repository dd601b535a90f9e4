import type { EngineProfile } from "../../../engine/index.ts";
import { type EngineShape, type IterationTime, profiledTime } from "../llm/index.ts";
import {
  addSample,
  addToAverage,
  averageOf,
  fitIteration,
  type MovingAverage,
  noRegression,
  type Regression,
  type RegressionConfig,
} from "./regression.ts";

/** What kind of engine a model is of: one that only prefills, only decodes, or does both. */
export type EngineKind = "prefill" | "decode" | "agg";

/** What is known of one component's engines: iteration times and the mean batch. */
export type EngineModel = {
  readonly regression: Regression;
  readonly promptTokens: MovingAverage;
  /** KV tokens of one decoding request. */
  readonly decodeLength: MovingAverage;
  readonly decoding: MovingAverage;
  /** Prompt tokens of one iteration. */
  readonly prefillTokens: MovingAverage;
};
export const noEngineModel: EngineModel = { regression: noRegression, promptTokens: [], decodeLength: [], decoding: [], prefillTokens: [] };

/** What a forward pass did, on average over a short time. */
export interface ForwardPass {
  readonly prefillTokens: number;
  readonly decoding: number;
  readonly kvTokens: number;
  /** Of a request; null: not known. */
  readonly promptTokens: number | null;
  readonly ms: number | null;
}

const featuresOf = (kind: EngineKind, pass: Pick<ForwardPass, "prefillTokens" | "decoding" | "kvTokens">): readonly number[] =>
  kind === "prefill" ? [pass.prefillTokens] : kind === "decode" ? [pass.decoding, pass.kvTokens] : [pass.prefillTokens, pass.kvTokens];

export function learnPass(model: EngineModel, kind: EngineKind, pass: ForwardPass, config: RegressionConfig): EngineModel {
  const add = (average: MovingAverage, value: number) => addToAverage(average, value, config.maxSamples);
  return {
    regression:
      pass.ms === null ? model.regression : addSample(model.regression, { features: featuresOf(kind, pass), ms: pass.ms }, config),
    promptTokens: pass.promptTokens === null ? model.promptTokens : add(model.promptTokens, pass.promptTokens),
    decodeLength: pass.decoding > 0 ? add(model.decodeLength, pass.kvTokens / pass.decoding) : model.decodeLength,
    decoding: add(model.decoding, pass.decoding),
    prefillTokens: add(model.prefillTokens, pass.prefillTokens),
  };
}

/** Points of a profile over the engine's range, as the planner's pre-deployment sweep gives them; they do not count as batches seen. */
export function benchmark(
  model: EngineModel,
  kind: EngineKind,
  profile: EngineProfile,
  shape: EngineShape,
  config: RegressionConfig,
): EngineModel {
  const time = profiledTime(profile);
  const kv = shape.maxKvTokens ?? profile.kvCapacityTokens;
  const steps = [0.05, 0.35, 0.65, 1];
  const prefills = kind === "decode" ? [0] : [0.02, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * shape.maxNumBatchedTokens));
  const contexts = kind === "prefill" ? [0] : steps;
  const batches =
    kind === "prefill" ? [0] : [1 / 16, 1 / 4, 1].map((part) => Math.max(1, Math.round(part * Math.min(256, shape.maxNumSeqs))));
  let { regression } = model;
  for (const prefillTokens of prefills)
    for (const part of contexts)
      for (const decoding of kind === "agg" ? [Math.max(1, Math.round(part * Math.min(256, shape.maxNumSeqs)))] : batches) {
        const pass = { prefillTokens, decoding, kvTokens: part * (kind === "prefill" ? 0 : kv) };
        const ms = time({ prefillTokens, requests: decoding, kvTokens: pass.kvTokens });
        regression = addSample(regression, { features: featuresOf(kind, pass), ms }, config);
      }
  return { ...model, regression };
}

/** Iteration times as fitted; null while there are too few samples or the fit makes no sense. */
export function iterationTime(model: EngineModel, kind: EngineKind, minObservations: number): IterationTime | null {
  const fitted = fitIteration(model.regression, minObservations, kind === "decode" ? [0] : []);
  if (fitted === null) return null;
  return ({ prefillTokens, requests, kvTokens }) => fitted(featuresOf(kind, { prefillTokens, decoding: requests, kvTokens }));
}

export const meanPromptTokens = (model: EngineModel) => averageOf(model.promptTokens);
export const meanDecodeLength = (model: EngineModel) => averageOf(model.decodeLength);
export const meanDecoding = (model: EngineModel) => averageOf(model.decoding);
export const meanPrefillTokens = (model: EngineModel) => averageOf(model.prefillTokens);
