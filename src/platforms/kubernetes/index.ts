/** Kubernetes: the narrow interface to its API server, and any scalable object as a platform. */
export { isStatus, type KubernetesApi, KubernetesError } from "./api.ts";
export { type ConnectOptions, connectKubernetes } from "./connect.ts";
export { type Follow, type FollowOptions, follow } from "./follow.ts";
export { kubernetesPlatform } from "./kubernetes-platform.ts";
export { conditionOf, type KubernetesList, type KubernetesObject, type Pod, timeOf } from "./objects.ts";
export { serverSkewMs } from "./server-time.ts";
export { openTarget } from "./targets/index.ts";
export { urlOf } from "./url.ts";
