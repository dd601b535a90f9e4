import type { Json } from "../../../model/index.ts";
import type { Dialect } from "../dialect.ts";
import { awsPolicy } from "./policy.ts";
import type { AwsDocument } from "./words.ts";

export const awsDialect: Dialect = {
  kind: "aws",
  follows: "AWS Auto Scaling (API 2011-01-01) and Application Auto Scaling (API 2016-02-06)",
  policy: awsPolicy,
  bounds: ({ spec }) => {
    const document = spec as unknown as AwsDocument;
    const group = "AutoScalingGroups" in document ? document.AutoScalingGroups?.[0] : undefined;
    if (group !== undefined) return { min: group.MinSize, max: group.MaxSize };
    const target = "ScalableTargets" in document ? document.ScalableTargets?.[0] : undefined;
    return target === undefined ? null : { min: target.MinCapacity, max: target.MaxCapacity };
  },
  withBounds: (manifest, { min, max }) => {
    const bounded = (key: string, names: readonly [string, string]) => {
      const list = manifest.spec[key] as readonly { readonly [field: string]: Json }[] | undefined;
      return list === undefined ? {} : { [key]: list.map((entry) => ({ ...entry, [names[0]]: min, [names[1]]: max })) };
    };
    return {
      ...manifest,
      spec: {
        ...manifest.spec,
        ...bounded("AutoScalingGroups", ["MinSize", "MaxSize"]),
        ...bounded("ScalableTargets", ["MinCapacity", "MaxCapacity"]),
      },
    };
  },
};
