import type { Manifest } from "../../../model/index.ts";
import type { Bounds, Dialect } from "../dialect.ts";
import { llmdPolicy } from "./policy.ts";
import { llmdSpecOf } from "./spec.ts";

export const llmdDialect: Dialect = {
  kind: "llm-d",
  follows: "llm-d workload variant autoscaler, saturation of v0.5.1 and the analyzers of 2026",
  countsPools: true,
  policy: llmdPolicy,
  bounds(manifest: Manifest): Bounds | null {
    const { variants, minReplicas, maxReplicas } = llmdSpecOf(manifest);
    const own = variants.length === 1 ? variants[0] : undefined;
    const [min, max] = [own?.minReplicas ?? minReplicas, own?.maxReplicas ?? maxReplicas];
    return max === undefined ? null : { min: min ?? 0, max };
  },
  withBounds: (manifest, { min, max }) => ({
    ...manifest,
    spec: {
      ...manifest.spec,
      // A variant's own word goes before the common one.
      variants: llmdSpecOf(manifest).variants.map(({ minReplicas, maxReplicas, scaleTargetRef, ...rest }) => ({
        ...rest,
        scaleTargetRef: { ...scaleTargetRef },
      })),
      minReplicas: min,
      maxReplicas: max,
    },
  }),
};
