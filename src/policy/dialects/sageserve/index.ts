/** SageServe: an hourly plan by forecast and integer programme, carried out at once or as memory use asks for it; and its reactive baseline. */
export { arbitrate } from "./arbiter.ts";
export { sageserveDialect } from "./dialect.ts";
export { addMinutes, forecastMinutes, noMinutes } from "./minutes.ts";
export { type InstanceKind, planInstances } from "./plan.ts";
export { sageservePolicy } from "./policy.ts";
export { SAGESERVE_DEFAULTS, type SageServeSpec, STRATEGIES, type Strategy, sageserveSpecOf } from "./spec.ts";
