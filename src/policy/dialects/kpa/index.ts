/** Knative's pod autoscaler (class kpa): its own functions, and a Policy made of them. */
export {
  annotationKey,
  HPA_CLASS,
  KPA_CLASS,
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
export { parseConfig } from "./config-map.ts";
export {
  activatorCount,
  type DeciderSpec,
  type ScalingMetric,
  sampleSize,
  scale,
  startDecider,
} from "./decider.ts";
export { kpaDialect } from "./dialect.ts";
export { currentMax, maxTimeWindow, maxWindow, recordMax, recordMaxAt } from "./max-window.ts";
export { kpaPolicy, settingsOf } from "./policy.ts";
export { type Active, applyScale } from "./scaler.ts";
export {
  initialScale,
  KPA_DEFAULTS,
  type KpaConfig,
  type Reachability,
  resolveSettings,
  resolveTarget,
} from "./settings.ts";
export { goDurationMs } from "./values.ts";
