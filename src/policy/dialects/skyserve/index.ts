/** SkyServe, SkyPilot's serving layer: replicas by requests per second, spot with on-demand beside it. */
export { skyserveDialect } from "./dialect.ts";
export { qpsOfPool } from "./gpus.ts";
export { skyservePolicy } from "./policy.ts";
export {
  DEFAULT_DOWNSCALE_DELAY_S,
  DEFAULT_MIN_REPLICAS,
  DEFAULT_UPSCALE_DELAY_S,
  type ReplicaPolicy,
  replicaPolicyOf,
  serviceOf,
  usesFallback,
} from "./replica-policy.ts";
export { chooseToScaleDown } from "./scale-down.ts";
export { follow, type Hysteresis, mixSpot, targetForMixedRate, targetForRate, thresholdOf } from "./target.ts";
