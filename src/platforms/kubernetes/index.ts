/** Kubernetes: the narrow interface to its API server, and any scalable object as a platform. */
export { type ApiRequest, isStatus, type KubernetesApi, KubernetesError, type WatchEvent } from "./api.ts";
export { type ConnectOptions, connectKubernetes } from "./connect.ts";
export { type Follow, type FollowOptions, follow } from "./follow.ts";
export { kubernetesPlatform } from "./kubernetes-platform.ts";
export type { KubernetesList, KubernetesObject, Pod } from "./objects.ts";
export { findScale, type ScalePaths } from "./resource.ts";
