/** NVIDIA Dynamo's planner: throughput loop, load loop, GPU budget, and the older one with correction factors. */
export { clampPair, clampSingle } from "./budget.ts";
export { dynamoDialect } from "./dialect.ts";
export { benchmark, iterationTime, learnPass, noEngineModel } from "./engine-model.ts";
export {
  combineAggregated,
  type EngineLoad,
  type LoadDecision,
  latencyDecode,
  latencyPrefill,
  nextTtftMs,
  staticDecode,
  staticPrefill,
} from "./load.ts";
export { dynamoPolicy } from "./policy.ts";
export { noPredictor, observe, type PredictorConfig, predictNext } from "./predictor.ts";
export { addSample, addToAverage, averageOf, fitIteration, noRegression } from "./regression.ts";
export { PLANNER_DEFAULTS, type PlannerSpec, plannerSpecOf } from "./spec.ts";
export { capChange, corrections, sizeCorrected } from "./throughput.ts";
