/** Where replicas live: one folder per kind, one line each in `createPlatform`. */
export { createPlatform, type PlatformOptions } from "./create-platform.ts";
export {
  type ConnectOptions,
  conditionOf,
  connectKubernetes,
  type Follow,
  type FollowOptions,
  follow,
  isStatus,
  type KubernetesApi,
  KubernetesError,
  type KubernetesList,
  type KubernetesObject,
  kubernetesPlatform,
  openTarget,
  type Pod,
  serverSkewMs,
  timeOf,
  urlOf,
} from "./kubernetes/index.ts";
export type { Platform, PlatformContext, PlatformFactory, PlatformReplica, PlatformStatus, PoolAbout } from "./platform.ts";
export { endLeftovers } from "./process/leftovers.ts";
export type { ProcessPlatformOptions } from "./process/process-platform.ts";
