/** What the dialects of LLM autoscalers need of an Observation and of an engine. */
export { engineLimits, profileOf } from "./engine-limits.ts";
export {
  decodeRate,
  type EngineRate,
  type EngineShape,
  type IterationTime,
  mixedRate,
  prefillMs,
  prefillRate,
  profiledTime,
} from "./engine-rate.ts";
export { type CounterMemory, type LatencySum, meanLatency, REPLICA_SERIES, type ReplicaReading, readReplicas } from "./replicas.ts";
export { step } from "./step.ts";
export { addTraffic, meanOutput, meanPrompt, noTraffic, type Traffic } from "./traffic.ts";
