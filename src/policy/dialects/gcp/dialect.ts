import type { Json } from "../../../model/index.ts";
import type { Dialect } from "../dialect.ts";
import { gcpPolicy } from "./policy.ts";
import { type Autoscaler, minReplicasOf } from "./words.ts";

export const gcpDialect: Dialect = {
  kind: "gcp",
  follows: "Google Compute Engine autoscaler (API v1, revision 20260922)",
  policy: gcpPolicy,
  bounds: ({ spec }) => {
    const { autoscalingPolicy } = spec as unknown as Autoscaler;
    return { min: minReplicasOf(autoscalingPolicy), max: autoscalingPolicy.maxNumReplicas };
  },
  withBounds: (manifest, { min, max }) => {
    const policy = manifest.spec["autoscalingPolicy"] as { readonly [key: string]: Json };
    return { ...manifest, spec: { ...manifest.spec, autoscalingPolicy: { ...policy, minNumReplicas: min, maxNumReplicas: max } } };
  },
};
