/** Ray Serve's autoscaling, exactly: its own functions, and a Policy made of them. */
export {
  type AggregationFunction,
  ASYNC_INFERENCE_POLICY,
  AUTO_DEFAULTS,
  AUTOSCALING_DEFAULTS,
  type AutoscalingConfig,
  downscalingFactor,
  QUEUE_LENGTH_POLICIES,
  recordIntervalS,
  reportTimeoutS,
  upscalingFactor,
} from "./autoscaling-config.ts";
export { applyBounds, boundsOf, type CapacityDirection, capacityAdjusted, capacityDirection } from "./bounds.ts";
export {
  applyDelay,
  applyScalingFactors,
  coldStartReplicas,
  type DesiredReplicas,
  decideApplication,
  decideReplicas,
  NO_POLICY_STATE,
  type PolicyState,
  queueLengthPolicy,
} from "./decision.ts";
export {
  autoscalingConfigOf,
  type Deployment,
  deploymentsOf,
  LLM_DEFAULTS,
  targetCapacityOf,
} from "./deployments.ts";
export { rayServeDialect } from "./dialect.ts";
export { alignToGang, decideGangReplicas } from "./gang.ts";
export { addPoint, averageOf, type MetricsStore, pruneBefore } from "./metrics-store.ts";
export { AGGREGATE_ANNOTATION, RAY_VERSION_ANNOTATION, rayServePolicy } from "./policy.ts";
export { aggregate, mergeTotal, type StepSeries, timeWeightedAverage, totalAt } from "./step-series.ts";
export { RAY_SERVE_NEWEST, RAY_SERVE_VERSIONS, type RayServeFeatures, versionFor } from "./version.ts";
