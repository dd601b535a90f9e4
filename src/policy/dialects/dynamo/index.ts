/** NVIDIA Dynamo's planner: throughput loop, load loop, GPU budget, and the older one with correction factors. */
export { clampPair, clampSingle, type GpuBudget, type Share } from "./budget.ts";
export { dynamoDialect } from "./dialect.ts";
export { benchmark, type EngineModel, type ForwardPass, iterationTime, learnPass, noEngineModel } from "./engine-model.ts";
export {
  combineAggregated,
  type EngineLoad,
  type LoadDecision,
  latencyDecode,
  latencyPrefill,
  nextItlMs,
  nextTtftMs,
  staticDecode,
  staticPrefill,
} from "./load.ts";
export { dynamoPolicy } from "./policy.ts";
export { noPredictor, observe, type Predictor, type PredictorConfig, predictNext, predictorConfig } from "./predictor.ts";
export { addSample, addToAverage, averageOf, fitIteration, noRegression, type Regression } from "./regression.ts";
export { minEndpoint, PLANNER_DEFAULTS, type PlannerSpec, plannerSpecOf } from "./spec.ts";
export { capChange, corrections, sizeAggregated, sizeCorrected, sizeDecode, sizePrefill } from "./throughput.ts";
