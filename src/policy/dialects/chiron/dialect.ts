import type { Dialect } from "../dialect.ts";
import { chironPolicy } from "./policy.ts";
import { chironSpecOf } from "./spec.ts";

export const chironDialect: Dialect = {
  kind: "chiron",
  follows: "Chiron (arXiv 2501.08090), and as SageServe's authors implemented it",
  countsPools: true,
  policy: chironPolicy,
  bounds(manifest) {
    const { min_instances: min, max_instances: max } = chironSpecOf(manifest);
    return max === null ? null : { min, max };
  },
  withBounds: (manifest, { min, max }) => ({ ...manifest, spec: { ...manifest.spec, min_instances: min, max_instances: max } }),
};
