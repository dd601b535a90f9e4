/** Kthena's AutoscalingPolicy: one group, several of different cost, or the roles of a disaggregated deployment. */
export { type Block, dealOut, scalingOrder } from "./blocks.ts";
export { type Corrected, correct, EMPTY_MEMORY, type Memory } from "./correct.ts";
export { kthenaDialect } from "./dialect.ts";
export { kthenaPolicy, poolsOf } from "./policy.ts";
export { enforceRatio } from "./ratio.ts";
export { byExternal, byPods, type MetricReading, type PodReadings, type Recommended, recommend } from "./recommend.ts";
export { type Behavior, DEFAULTS, type KthenaSettings, settingsOf, type Target, type Unit, unitsOf } from "./settings.ts";
export { append, best, EMPTY_CHART, extend, larger, lowest, smaller } from "./windows.ts";
