import type { Target } from "../../../model/index.ts";
import { refused } from "../api.ts";
import type { Scale } from "../objects.ts";
import { findScale, nameOf } from "../resource.ts";
import { boundAutoscaler, FIELD_MANAGER, lastWriter } from "../writers.ts";
import { type Count, compareAndSet, type ScaleTarget, type TargetContext } from "./target.ts";

/**
 * Any object with a scale subresource. `selector`: of its pods, in place of what the scale says.
 * @throws TidegateError `platform/refused` when the server does not know the kind, or it cannot be scaled
 */
export async function scaleSubresource(
  target: Target,
  { api, namespace }: TargetContext,
  over: Partial<Pick<ScaleTarget, "name" | "grouping">> & { readonly selector?: string } = {},
): Promise<ScaleTarget> {
  const paths = await findScale(api, target, namespace);
  const countOf = (scale: Scale): Count => ({
    replicas: scale.spec?.replicas ?? 0,
    selector: over.selector ?? (scale.status?.selector || null),
  });
  const read = () => api.ask<Scale>({ path: paths.scale });
  return {
    name: over.name ?? nameOf(target),
    grouping: over.grouping ?? null,
    namesVictims: false,
    read: async () => countOf(await read()),
    write(from, to) {
      const set = async ({ metadata }: Scale) => {
        const body = { metadata: { resourceVersion: metadata.resourceVersion }, spec: { replicas: to } };
        const query = { fieldManager: FIELD_MANAGER };
        return countOf(await api.ask<Scale>({ method: "PATCH", path: paths.scale, query, body }));
      };
      return compareAndSet({ read, countOf, set }, from, to);
    },
    lastWriter: () => lastWriter(api, paths.object, ["replicas"]),
    owner: (lately = false) => boundAutoscaler(api, target, namespace, lately),
  };
}

/** A target whose `part` means something; others are refused. */
export function refusePart({ part, kind, name }: Target): void {
  if (part !== undefined)
    throw refused(`${kind} ${name} has no parts that are counted by themselves: remove platform.target.part (${part})`);
}
