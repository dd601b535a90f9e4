import type { Json, Manifest } from "../../../model/index.ts";
import type { Bounds, Dialect } from "../dialect.ts";
import { skyservePolicy } from "./policy.ts";
import { replicaPolicyOf, serviceOf } from "./replica-policy.ts";

export const skyserveDialect: Dialect = {
  kind: "skyserve",
  follows: "SkyServe of SkyPilot 0.10",
  policy: skyservePolicy,
  bounds: boundsOf,
  withBounds(manifest, { min, max }) {
    const own = boundsOf(manifest);
    if (own.min === min && own.max === max) return manifest;
    const { replicas: _, ...service } = serviceOf(manifest);
    const { num_overprovision: over, target_qps_per_replica: targets } = replicaPolicyOf(manifest);
    const least = Math.max(0, min - over);
    const stated = service["replica_policy"] as { readonly [key: string]: Json } | undefined;
    // Without a target a service has one count, and no maximum beside it.
    const bounds = { min_replicas: least, max_replicas: targets === null ? least : Math.max(least, max - over) };
    return { ...manifest, spec: { ...manifest.spec, service: { ...service, replica_policy: { ...stated, ...bounds } } } };
  },
};

/** Overprovisioned replicas come on top of both bounds; on-demand ones that stand in for spot are not counted. */
function boundsOf(manifest: Manifest): Bounds {
  const { min_replicas, max_replicas, num_overprovision: over } = replicaPolicyOf(manifest);
  return { min: min_replicas + over, max: max_replicas + over };
}
