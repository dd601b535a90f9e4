import type { KubernetesApi } from "../../platforms/index.ts";

/** All that the metrics API asks of the cluster whose API it extends. */
export type Cluster = Pick<KubernetesApi, "ask">;
