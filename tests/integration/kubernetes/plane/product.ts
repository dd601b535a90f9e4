/** What the plane uses of the product: its own client, so that no kubectl is needed. */
export { messageOf } from "../../../../src/model/index.ts";
export { connectKubernetes, type KubernetesApi } from "../../../../src/platforms/index.ts";
