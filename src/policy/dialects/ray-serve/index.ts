/** Ray Serve's autoscaling, exactly: its own functions, and a Policy made of them. */
export {
  type AggregationFunction,
  ASYNC_INFERENCE_POLICY,
  AUTO_DEFAULTS,
  AUTOSCALING_DEFAULTS,
  type AutoscalingConfig,
  DEFAULT_POLICY_FUNCTION,
  downscalingFactor,
  QUEUE_LENGTH_POLICIES,
  recordIntervalS,
  reportTimeoutS,
  upscalingFactor,
} from "./autoscaling-config.ts";
export { applyBounds, boundsOf, type CapacityDirection, type CapacityStatement, capacityAdjusted, capacityDirection } from "./bounds.ts";
export {
  type ApplicationPolicy,
  applyDelay,
  applyScalingFactors,
  asyncInferencePolicy,
  coldStartReplicas,
  type Delayed,
  type DesiredReplicas,
  decideApplication,
  decideReplicas,
  NO_POLICY_STATE,
  type PolicyState,
  queueLengthPolicy,
  type ScalingContext,
  type Verdict,
} from "./decision.ts";
export {
  applicationsOf,
  assignDeployments,
  autoscalingConfigOf,
  type Deployment,
  dataParallelSize,
  deploymentsOf,
  LLM_DEFAULTS,
  llmDeploymentName,
  type ReplicaPlan,
  targetCapacityOf,
} from "./deployments.ts";
export { rayServeDialect } from "./dialect.ts";
export { TICK_MS } from "./due.ts";
export { alignToGang, decideGangReplicas } from "./gang.ts";
export { addPoint, averageOf, type MetricsStore, pruneBefore } from "./metrics-store.ts";
export { AGGREGATE_ANNOTATION, RAY_VERSION_ANNOTATION, rayServePolicy } from "./policy.ts";
export { aggregate, mergeTotal, type Point, type StepSeries, timeWeightedAverage, totalAt, type Window } from "./step-series.ts";
export { RAY_SERVE_NEWEST, RAY_SERVE_VERSIONS, type RayServeFeatures, type RayServeVersion, versionFor } from "./version.ts";
