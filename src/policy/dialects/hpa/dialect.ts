import type { Dialect } from "../dialect.ts";
import { hpaPolicy } from "./policy.ts";
import { HPA_NEWEST } from "./version.ts";

export const hpaDialect: Dialect = {
  kind: "hpa",
  follows: `Kubernetes HPA ${HPA_NEWEST}`,
  policy: (endpoint, manifest) => hpaPolicy(endpoint, manifest),
  bounds: ({ spec: { minReplicas, maxReplicas } }) => ({
    // As Kubernetes defaults it.
    min: typeof minReplicas === "number" ? minReplicas : 1,
    max: typeof maxReplicas === "number" ? maxReplicas : 1,
  }),
  withBounds: (manifest, { min, max }) => ({ ...manifest, spec: { ...manifest.spec, minReplicas: min, maxReplicas: max } }),
};
