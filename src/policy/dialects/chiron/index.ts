/** Chiron: instances by interactive and batch backpressure, as in its paper and as SageServe's authors implemented it. */
export {
  advanceGroups,
  batchBackpressure,
  batchWaitSeconds,
  instancesForBackpressure,
  instancesForGroups,
  interactiveBackpressure,
  nextBatchSize,
  stepBatch,
  stepInteractive,
} from "./backpressure.ts";
export { chironDialect } from "./dialect.ts";
export { chironPolicy } from "./policy.ts";
export { CHIRON_DEFAULTS, CHIRON_VERSIONS, type ChironSpec, chironSpecOf, INSTANCE_KINDS, kindOf } from "./spec.ts";
