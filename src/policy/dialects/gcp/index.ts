/** Google Compute Engine: the autoscaler of a managed instance group. */
export { isTimeZone, parseCron } from "../../schedule.ts";
export { gcpDialect } from "./dialect.ts";
export { groupSize, mostScaledIn, stabilizeSize, utilizationSize, type Vm } from "./recommend.ts";
export { DEFAULT_CPU_TARGET, isGroupMetric, LOAD_BALANCING_METRIC } from "./signals.ts";
export { type Autoscaler, type AutoscalingPolicy, type CustomMetricUtilization, MODES, minReplicasOf, TARGET_TYPES } from "./words.ts";
