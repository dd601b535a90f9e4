import { isStatus, type KubernetesApi } from "./api.ts";
import type { Scale } from "./objects.ts";
import { FIELD_MANAGER } from "./writers.ts";

export interface Count {
  readonly replicas: number;
  /** Pods by which the scale counts; null: the resource tells none. */
  readonly selector: string | null;
}

export type Written = { readonly kind: "written"; readonly count: Count } | { readonly kind: "changed"; readonly count: Count };

/** Tries before a scale that changes all the time counts as busy. */
const mostTries = 10;

const countOf = (scale: Scale): Count => ({ replicas: scale.spec?.replicas ?? 0, selector: scale.status?.selector || null });

/** @throws KubernetesError */
export async function readScale(api: KubernetesApi, path: string): Promise<Count> {
  return countOf(await api.ask<Scale>({ path }));
}

/**
 * Sets the count if it still is `from`. The object's version changes with each pod that comes and goes, so a conflict (409) alone
 * says little: the scale is read again, and only a count that another one wrote ends the attempt, as `changed`.
 * @throws KubernetesError
 */
export async function writeScale(api: KubernetesApi, path: string, from: number, to: number): Promise<Written> {
  for (let attempt = 1; ; attempt++) {
    const scale = await api.ask<Scale>({ path });
    const before = countOf(scale);
    if (before.replicas === to) return { kind: "written", count: before };
    if (before.replicas !== from) return { kind: "changed", count: before };
    try {
      const body = { metadata: { resourceVersion: scale.metadata.resourceVersion }, spec: { replicas: to } };
      const after = await api.ask<Scale>({ method: "PATCH", path, query: { fieldManager: FIELD_MANAGER }, body });
      return { kind: "written", count: countOf(after) };
    } catch (error) {
      if (!isStatus(error, 409) || attempt === mostTries) throw error;
    }
  }
}
