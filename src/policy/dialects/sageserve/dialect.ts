import type { Dialect } from "../dialect.ts";
import { sageservePolicy } from "./policy.ts";
import { sageserveSpecOf } from "./spec.ts";

export const sageserveDialect: Dialect = {
  kind: "sageserve",
  follows: "SageServe, its authors' simulator of 2025",
  countsPools: true,
  policy: sageservePolicy,
  bounds(manifest) {
    const { min_instances: min, max_instances: max } = sageserveSpecOf(manifest);
    return max === null ? null : { min, max };
  },
  withBounds: (manifest, { min, max }) => ({ ...manifest, spec: { ...manifest.spec, min_instances: min, max_instances: max } }),
};
