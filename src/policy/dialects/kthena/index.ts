/** Kthena's AutoscalingPolicy: one group, several of different cost, or the roles of a disaggregated deployment. */
export { dealOut, scalingOrder } from "./blocks.ts";
export { correct, EMPTY_MEMORY } from "./correct.ts";
export { kthenaDialect } from "./dialect.ts";
export { kthenaPolicy } from "./policy.ts";
export { enforceRatio } from "./ratio.ts";
export { byExternal, byPods, recommend } from "./recommend.ts";
export { DEFAULTS, settingsOf, type Unit, unitsOf } from "./settings.ts";
