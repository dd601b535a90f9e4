/** Knative's pod autoscaler (class kpa): its own functions, and a Policy made of them. */
export {
  type Aggregation,
  type AnnotationIssue,
  annotationKey,
  HPA_CLASS,
  KPA_CLASS,
  type KpaAnnotations,
  PREFIX as KNATIVE_PREFIX,
  parseAnnotations,
} from "./annotations.ts";
export {
  type BucketWindow,
  bucketWindow,
  isEmpty,
  linearAverage,
  record,
  recordAll,
  resizeWindow,
  roundDown,
  smoothingCoefficient,
  weightedAverage,
} from "./bucket-window.ts";
export { type ConfigIssue, parseConfig } from "./config-map.ts";
export {
  activatorCount,
  type DeciderSpec,
  type DeciderState,
  initialExcessBurstCapacity,
  type ScaleResult,
  type ScalingMetric,
  sampleSize,
  scale,
  startDecider,
  TICK_MS,
} from "./decider.ts";
export { kpaDialect } from "./dialect.ts";
export { currentMax, type MaxWindow, maxTimeWindow, maxWindow, recordMax, recordMaxAt } from "./max-window.ts";
export { configOf, type KpaOptions, kpaPolicy, settingsOf } from "./policy.ts";
export { type Active, type Applied, type ApplyInput, applyScale, type Path } from "./scaler.ts";
export {
  initialScale,
  KPA_DEFAULTS,
  type KpaConfig,
  type KpaSettings,
  type Reachability,
  resolveSettings,
  resolveTarget,
} from "./settings.ts";
export { activeThreshold, nextActive, nextPath } from "./status.ts";
export { goDurationMs } from "./values.ts";
