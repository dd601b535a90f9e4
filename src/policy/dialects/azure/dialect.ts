import type { Json } from "../../../model/index.ts";
import type { Dialect } from "../dialect.ts";
import { azurePolicy } from "./policy.ts";
import type { AutoscaleSetting } from "./words.ts";

export const azureDialect: Dialect = {
  kind: "azure",
  follows: "Azure Monitor autoscale (API 2022-10-01)",
  policy: azurePolicy,
  /** Over all profiles: at some time each of them may hold. */
  bounds: ({ spec }) => {
    const capacities = (spec as unknown as AutoscaleSetting).properties.profiles.map(({ capacity }) => capacity);
    return {
      min: Math.min(...capacities.map(({ minimum }) => Number(minimum))),
      max: Math.max(...capacities.map(({ maximum }) => Number(maximum))),
    };
  },
  /** Profiles keep their own bounds as far as these allow. */
  withBounds: (manifest, { min, max }) => {
    const { properties, ...rest } = manifest.spec as unknown as AutoscaleSetting;
    const inside = (count: string) => String(Math.min(max, Math.max(min, Number(count))));
    const profiles = properties.profiles.map(({ capacity, ...profile }) => ({
      ...profile,
      capacity: { minimum: inside(capacity.minimum), maximum: inside(capacity.maximum), default: inside(capacity.default) },
    }));
    const spec = { ...rest, properties: { ...properties, profiles } };
    return { ...manifest, spec: spec as unknown as { readonly [key: string]: Json } };
  },
};
