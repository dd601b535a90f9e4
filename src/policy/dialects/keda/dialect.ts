import type { Endpoint, Json, Manifest, Policy } from "../../../model/index.ts";
import type { Bounds, Dialect } from "../dialect.ts";
import { CONTROLLER_DEFAULTS } from "../hpa/index.ts";
import { hpaSpec } from "./hpa-spec.ts";
import { httpNeeds, httpScalingOf, httpSources, scaledObjectOfHttp } from "./http-scaled-object.ts";
import { jobBounds } from "./scaled-job.ts";
import { scaledJobPolicy } from "./scaled-job-policy.ts";
import { compileScaledObject, documentOf, numberOf } from "./scaled-object.ts";
import { scaledObjectPolicy } from "./scaled-object-policy.ts";
import { kedaKind } from "./series.ts";
import { triggerSources } from "./sources.ts";
import { HTTP_ADD_ON_NEWEST, HTTP_DEFAULTS, KEDA_DEFAULTS, KEDA_NEWEST } from "./version.ts";

export const kedaDialect: Dialect = {
  kind: "keda",
  follows: `KEDA ${KEDA_NEWEST}, HTTP add-on ${HTTP_ADD_ON_NEWEST}`,
  policy: kedaPolicy,
  bounds: boundsOf,
  withBounds(manifest, { min, max }) {
    const { spec } = manifest;
    if (kedaKind(manifest) === "HTTPScaledObject") return { ...manifest, spec: { ...spec, replicas: { min, max } } };
    const { idleReplicaCount, ...rest } = spec;
    const idle = numberOf(idleReplicaCount);
    const own = numberOf(spec["minReplicaCount"]) ?? 0;
    // An idle count that the bounds allow stays, and so does the minimum above it.
    const [keptIdle, least] = idle !== null && idle >= min && Math.min(own, max) > idle ? [{ idleReplicaCount: idle }, own] : [{}, min];
    return { ...manifest, spec: { ...rest, ...keptIdle, minReplicaCount: Math.min(least, max), maxReplicaCount: max } };
  },
};

/** @throws KedaError for a manifest that its reader would refuse */
function kedaPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  switch (kedaKind(manifest)) {
    case "ScaledJob":
      return scaledJobPolicy(endpoint, manifest);
    case "HTTPScaledObject": {
      const scaling = httpScalingOf(manifest);
      const scaledObject = scaledObjectOfHttp(manifest);
      const none = triggerSources(endpoint, [], hpaSpec(scaledObject), CONTROLLER_DEFAULTS.syncPeriodMs);
      return scaledObjectPolicy(endpoint, scaledObject, {
        sources: { ...none, needs: httpNeeds(scaling) },
        remembering: httpSources(scaling, endpoint.staleAfterMs),
        isPush: true,
      });
    }
    case "ScaledObject": {
      const scaledObject = compileScaledObject(manifest);
      const { externals } = scaledObject;
      return scaledObjectPolicy(endpoint, scaledObject, {
        sources: triggerSources(endpoint, externals, hpaSpec(scaledObject), CONTROLLER_DEFAULTS.syncPeriodMs),
        isPush: externals.some(({ trigger }) => trigger.type === "external-push"),
      });
    }
  }
}

/** The least count includes an idle one. */
function boundsOf(manifest: Manifest): Bounds {
  const { spec } = manifest;
  if (kedaKind(manifest) === "HTTPScaledObject") {
    const { min, max } = documentOf(spec["replicas"]);
    return { min: numberOf(min) ?? HTTP_DEFAULTS.minReplicas, max: numberOf(max) ?? HTTP_DEFAULTS.maxReplicas };
  }
  const [min, max] = [numberOf(spec["minReplicaCount"]), numberOf(spec["maxReplicaCount"])];
  if (kedaKind(manifest) === "ScaledJob") {
    const { min: lowest, room } = jobBounds(min, max);
    return { min: lowest, max: max ?? Math.max(lowest + room, KEDA_DEFAULTS.maxReplicaCount) };
  }
  return {
    min: numberOf(spec["idleReplicaCount"]) ?? min ?? KEDA_DEFAULTS.minReplicaCount,
    max: max ?? KEDA_DEFAULTS.maxReplicaCount,
  };
}
