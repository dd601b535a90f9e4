import { z } from "zod";
import type { ManifestIssue } from "./issue.ts";
import { objectOf, parseObject, typeOf } from "./kubernetes-object.ts";

const KIND = "AutoscalingPolicyBinding";

/** Targets are checked once they stand in the policy; here only what the policy does not have any more is looked at. */
const metricSource = z.looseObject({ type: z.enum(["Pod", "Prometheus"]).optional() });
const target = z.looseObject({
  subTargets: z
    .strictObject({ kind: z.literal("Role", "is not what Kthena scales; use Role"), name: z.string().min(1, "must be named") })
    .optional(),
  metricSources: z.record(z.string(), metricSource).optional(),
});
const homogeneous = z.looseObject({ target });
const heterogeneous = z.looseObject({ params: z.array(z.looseObject({ target })) });
const schema = objectOf(
  z.strictObject({
    policyRef: z.strictObject({ name: z.string() }),
    homogeneousTarget: homogeneous.optional(),
    heterogeneousTarget: heterogeneous.optional(),
  }),
);

/**
 * A policy and its binding, as releases before 1.0 had them (a List of the two), made one. A role that is counted by itself becomes
 * the one role of a disaggregated target.
 */
export function joinBinding(
  items: readonly unknown[],
): { readonly policy: unknown; readonly at: number } | { readonly issues: readonly ManifestIssue[] } {
  const isBinding = (item: unknown) => typeOf(item)?.kind === KIND;
  const [bindingAt, policyAt] = [items.findIndex(isBinding), items.findIndex((item) => !isBinding(item))];
  if (items.length !== 2 || bindingAt < 0 || policyAt < 0) {
    return { issues: [{ path: "items", message: `must be one AutoscalingPolicy and one ${KIND}` }] };
  }
  const within = (issue: ManifestIssue): ManifestIssue => ({ ...issue, path: `items[${bindingAt}].${issue.path}` });
  const parsed = parseObject(schema, items[bindingAt]);
  if ("issues" in parsed) return { issues: parsed.issues.map(within) };
  const { policyRef, homogeneousTarget, heterogeneousTarget } = parsed.value.spec;
  const policy = items[policyAt] as { readonly metadata?: { readonly name?: string }; readonly spec?: object };
  if (policy.metadata?.name !== policyRef.name) {
    return {
      issues: [
        within({ path: "spec.policyRef.name", message: `is ${policyRef.name}, not the policy beside it (${policy.metadata?.name})` }),
      ],
    };
  }
  return {
    at: policyAt,
    policy: {
      ...policy,
      spec: {
        ...policy.spec,
        ...(homogeneousTarget === undefined ? {} : joined(homogeneousTarget)),
        ...(heterogeneousTarget === undefined
          ? {}
          : {
              heterogeneousTarget: {
                ...heterogeneousTarget,
                params: heterogeneousTarget.params.map((param) => ({ ...param, target: plain(param.target) })),
              },
            }),
      },
    },
  };
}

function joined({ target: of, ...bounds }: z.infer<typeof homogeneous>): object {
  if (of.subTargets === undefined) return { homogeneousTarget: { ...bounds, target: plain(of) } };
  const { targetRef, ...sources } = plain(of);
  return { disaggregatedTarget: { targetRef, roles: { [of.subTargets.name]: { ...bounds, ...sources } } } };
}

/** Without what 1.0 has no field for: the kind of a source is told by what it holds. */
function plain({ subTargets: _, metricSources, ...rest }: z.infer<typeof target>): Readonly<Record<string, unknown>> {
  if (metricSources === undefined) return rest;
  const sources = Object.entries(metricSources).map(([name, { type: __, ...source }]) => [name, source]);
  return { ...rest, metricSources: Object.fromEntries(sources) };
}
