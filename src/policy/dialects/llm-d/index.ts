/** llm-d's workload variant autoscaler: saturation in percent (V1), in tokens (V2), and its queueing model. */
export { llmdDialect } from "./dialect.ts";
export { costAwareTargets } from "./optimizer.ts";
export { llmdPolicy } from "./policy.ts";
export { createQueueModel } from "./queue-model.ts";
export { analyzeQueueing, inferredTarget, latencyTarget, workloadOf } from "./queueing.ts";
export { analyzeSaturation, saturationTargets } from "./saturation-v1.ts";
export { analyzeTokens, derivedCapacity, median, noSaturationMemory } from "./saturation-v2.ts";
export {
  ANALYZERS,
  type Analyzer,
  LLMD_DEFAULTS,
  type LlmdSpec,
  llmdSpecOf,
  saturationConfig,
} from "./spec.ts";
export { bootstrap, startTuning, type Tuned, tune } from "./tuner.ts";
export type { CapacityBalance, ReplicaMetrics, VariantCapacity, VariantState } from "./words.ts";
