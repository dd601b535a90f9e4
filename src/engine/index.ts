/** What an inference engine is: one replica's batching model, its profiles, and what real engines call their numbers. Pure. */
export {
  blockTokens,
  createEngine,
  type Engine,
  type EngineConfig,
  type EngineCounters,
  type EngineIteration,
  type EngineSink,
} from "./engine.ts";
export {
  type FitError,
  fitProfile,
  type ProfileFacts,
  type ProfileFit,
  parseStretches,
  type Residual,
  type Stretch,
} from "./fit/index.ts";
export { attentionMsPerPair, attentionShape, type IterationWork, iterationMs, prefillAttentionMs } from "./iteration.ts";
export { type EngineProfile, findProfile, GPUS, type GpuFacts, isProfileFile, PROFILES } from "./profiles.ts";
export {
  type CounterReading,
  type CumulativeHistogram,
  type Derived,
  derive,
  type EngineReport,
  engineOfPage,
  foldGpus,
  type GpuDevice,
  type GpuReport,
  type PageSample,
  parseEnginePage,
  parseExposition,
  parseGpuPage,
  quantileSignals,
  RATE_NAMES,
  signalOfMetric,
} from "./reports/index.ts";
export type { EngineRequest, EngineSequence } from "./sequence.ts";
