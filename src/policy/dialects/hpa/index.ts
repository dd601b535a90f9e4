/** Kubernetes' Horizontal Pod Autoscaler, autoscaling/v2, exactly: its own functions, and a Policy made of them. */
export {
  averageReplicas,
  externalTotal,
  type PodMetricInput,
  type Proposal,
  utilizationReplicas,
  valuePerPodReplicas,
  valueReplicas,
} from "./calculator.ts";
export type { MetricSources } from "./combine.ts";
export { defaultRules, defaultSpec } from "./defaults.ts";
export { hpaDialect } from "./dialect.ts";
export { changeInPeriod, storeScaleEvent } from "./events.ts";
export { ceilToInt32, type Int64, MAX_INT64, saturate64 } from "./int64.ts";
export { type Events, type Limited, limitWithBehavior, limitWithoutBehavior, scaleDownLimit, scaleUpLimit } from "./limits.ts";
export { type GroupingSettings, groupPods, podRequests, resourceSamples } from "./pods.ts";
export { type HpaOptions, hpaPolicy } from "./policy.ts";
export { formatQuantity, milliOf, milliQuantity, parseQuantity, type Quantity, type QuantityFormat, signOf, toNumber } from "./quantity.ts";
export { isWithin, perPodUsage, usageRatio, utilizationRatio } from "./ratio.ts";
export {
  commitRescale,
  EMPTY_MEMORY,
  failRescale,
  type Plan,
  planSync,
  reconcile,
  type ScaleClient,
  type SyncInput,
  type SyncResult,
} from "./reconcile.ts";
export { labelsPass, parseSelector, type Selection, selectPods } from "./selector.ts";
export { compileRules, compileSpec } from "./spec.ts";
export { type Stabilized, stabilizeWithBehavior, stabilizeWithoutBehavior } from "./stabilize.ts";
export { type HpaIssue, type HpaObject, issueText, validateHpa } from "./validate.ts";
export { CONTROLLER_DEFAULTS, type ControllerSettings, HPA_NEWEST, HPA_VERSIONS, type HpaFeatures, type HpaVersion } from "./version.ts";
export {
  type Behavior,
  HpaError,
  type HpaMemory,
  type HpaSpec,
  type MetricSpec,
  type Pod,
  type PodSample,
  type PodSamples,
  type Recommendation,
  type ResourceSample,
  type Rules,
  type ScaleEvent,
  type Tolerances,
} from "./words.ts";
