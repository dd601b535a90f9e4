import type { Ms, Target } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";
import type { KubernetesList, KubernetesObject, ManagedFields } from "./objects.ts";

/** Under this name our writes stand in `managedFields`. */
export const FIELD_MANAGER = "tidegate";

/** For how long a count that somebody else set is left alone; doubles while they come back soon, up to `longest`. */
export const YIELD = { firstMs: 60_000, longestMs: 3_600_000, soonFactor: 10 } as const;

/**
 * Somebody else who sets the count of a target. A single write (a person, a pipeline) is respected for a while and then taken over;
 * who comes back is left alone for longer each time; an autoscaler that is still bound to the target is never written against.
 */
export interface OtherWriter {
  /** For people: `kube-controller-manager (HorizontalPodAutoscaler chat)`. */
  readonly name: string;
  readonly untilMs: Ms;
  readonly yieldMs: Ms;
  readonly autoscaler: boolean;
}

export function yieldTo(before: OtherWriter | null, name: string, autoscaler: boolean, nowMs: Ms): OtherWriter {
  const again = before !== null && nowMs < before.untilMs + YIELD.soonFactor * before.yieldMs;
  const yieldMs = again ? Math.min(YIELD.longestMs, before.yieldMs * 2) : YIELD.firstMs;
  return { name, autoscaler, yieldMs, untilMs: nowMs + yieldMs };
}

interface HorizontalPodAutoscaler extends KubernetesObject {
  readonly spec: { readonly scaleTargetRef: { readonly apiVersion?: string; readonly kind: string; readonly name: string } };
}

/** The name of an HPA bound to the target (KEDA's are HPAs too); null: none, or we may not look. */
export async function boundAutoscaler(api: KubernetesApi, target: Target, namespace: string): Promise<string | null> {
  const path = `/apis/autoscaling/v2/namespaces/${encodeURIComponent(namespace)}/horizontalpodautoscalers`;
  try {
    const { items } = await api.ask<KubernetesList<HorizontalPodAutoscaler>>({ path });
    const group = (apiVersion: string | undefined) => (apiVersion?.includes("/") ? apiVersion.split("/")[0] : "");
    const bound = items.find(({ spec: { scaleTargetRef: ref } }) => {
      const sameGroup = ref.apiVersion === undefined || group(ref.apiVersion) === group(target.apiVersion);
      return ref.kind === target.kind && ref.name === target.name && sameGroup;
    });
    return bound === undefined ? null : `HorizontalPodAutoscaler ${bound.metadata.name}`;
  } catch (error) {
    if (isStatus(error, 403) || isStatus(error, 404)) return null;
    throw error;
  }
}

/** Who wrote the count last, by the target's managed fields; null: nobody stands there, or we may not look. */
export async function lastWriter(api: KubernetesApi, objectPath: string): Promise<string | null> {
  try {
    const accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    return writerOf((await api.ask<KubernetesObject>({ path: objectPath, accept })).metadata.managedFields ?? []);
  } catch (error) {
    if (isStatus(error, 403) || isStatus(error, 404)) return null;
    throw error;
  }
}

/** Whoever but us owns `spec…replicas`, the newest first. */
export function writerOf(fields: readonly ManagedFields[]): string | null {
  const others = fields.filter(({ manager, fieldsV1 }) => manager !== FIELD_MANAGER && ownsReplicas(fieldsV1?.["f:spec"]));
  const newest = others.toSorted((a, b) => (b.time ?? "").localeCompare(a.time ?? ""))[0];
  return newest?.manager ?? null;
}

function ownsReplicas(fields: unknown): boolean {
  if (typeof fields !== "object" || fields === null) return false;
  return Object.entries(fields).some(([name, inner]) => name === "f:replicas" || (name !== "f:template" && ownsReplicas(inner)));
}
