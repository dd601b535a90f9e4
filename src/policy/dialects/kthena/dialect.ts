import type { Json, Manifest } from "../../../model/index.ts";
import type { Bounds, Dialect } from "../dialect.ts";
import { kthenaPolicy } from "./policy.ts";
import { settingsOf } from "./settings.ts";

/** Of one group; several groups have bounds each, which their pools restate. */
function bounds(manifest: Manifest): Bounds | null {
  const { target } = settingsOf(manifest);
  return target.kind === "homogeneous" ? { min: target.unit.min, max: target.unit.max } : null;
}

function withBounds(manifest: Manifest, { min, max }: Bounds): Manifest {
  const target = manifest.spec["homogeneousTarget"];
  if (target === undefined) return manifest;
  const bounded = { ...(target as { readonly [key: string]: Json | undefined }), minReplicas: min, maxReplicas: max };
  return { ...manifest, spec: { ...manifest.spec, homogeneousTarget: bounded } };
}

export const kthenaDialect: Dialect = {
  kind: "kthena",
  follows: "Kthena 1.0",
  countsPools: true,
  policy: (endpoint, manifest) => kthenaPolicy(endpoint, manifest),
  bounds,
  withBounds,
};
