import type { Ms, Target } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";
import { askLately } from "./lately.ts";
import type { KubernetesList, KubernetesObject, ManagedFields } from "./objects.ts";
import { groupOf } from "./resource.ts";

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

interface Autoscaler extends KubernetesObject {
  readonly spec: {
    readonly scaleTargetRef: { readonly apiVersion?: string; readonly kind: string; readonly name: string };
    /** AIBrix: of a StormService's role alone. */
    readonly subTargetSelector?: { readonly roleName?: string };
  };
}

/** Kinds whose `scaleTargetRef` names what they scale. KEDA's ScaledObjects make HorizontalPodAutoscalers. */
const autoscalers = [
  { kind: "HorizontalPodAutoscaler", path: (namespace: string) => `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers` },
  { kind: "PodAutoscaler", path: (namespace: string) => `/apis/autoscaling.aibrix.ai/v1alpha1/namespaces/${namespace}/podautoscalers` },
] as const;

/** The name of an autoscaler bound to the target; null: none, or we may not look. `lately`: what was so some seconds ago will do. */
export async function boundAutoscaler(api: KubernetesApi, target: Target, namespace: string, lately: boolean): Promise<string | null> {
  for (const { kind, path } of autoscalers) {
    try {
      const at = path(encodeURIComponent(namespace));
      const { items } = await (lately ? askLately<KubernetesList<Autoscaler>>(api, at) : api.ask<KubernetesList<Autoscaler>>({ path: at }));
      const bound = items.find(({ spec: { scaleTargetRef: ref, subTargetSelector } }) => {
        const sameGroup = ref.apiVersion === undefined || groupOf(ref.apiVersion) === groupOf(target.apiVersion);
        const role = subTargetSelector?.roleName;
        return ref.kind === target.kind && ref.name === target.name && sameGroup && (role === undefined || role === target.part);
      });
      if (bound !== undefined) return `${kind} ${bound.metadata.name}`;
    } catch (error) {
      if (!isStatus(error, 403) && !isStatus(error, 404)) throw error;
    }
  }
  return null;
}

/** Who wrote the count last, by the managed fields of the object that holds it; null: nobody stands there, or we may not look. */
export async function lastWriter(api: KubernetesApi, objectPath: string, fields: readonly string[]): Promise<string | null> {
  try {
    const accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    return writerOf((await api.ask<KubernetesObject>({ path: objectPath, accept })).metadata.managedFields ?? [], fields);
  } catch (error) {
    if (isStatus(error, 403) || isStatus(error, 404)) return null;
    throw error;
  }
}

/** Whoever but us owns one of these fields of the spec, the newest first. */
export function writerOf(managed: readonly ManagedFields[], fields: readonly string[]): string | null {
  const names = fields.map((name) => `f:${name}`);
  const others = managed.filter(({ manager, fieldsV1 }) => manager !== FIELD_MANAGER && owns(fieldsV1?.["f:spec"], names));
  const newest = others.toSorted((a, b) => (b.time ?? "").localeCompare(a.time ?? ""))[0];
  return newest?.manager ?? null;
}

function owns(fields: unknown, names: readonly string[]): boolean {
  if (typeof fields !== "object" || fields === null) return false;
  return Object.entries(fields).some(([name, inner]) => names.includes(name) || (!isPodTemplate(name, inner) && owns(inner, names)));
}

/** A pod template's own fields are no counts; a StormService's template holds roles, which are. */
const isPodTemplate = (name: string, inner: unknown): boolean =>
  name === "f:template" &&
  !(typeof inner === "object" && inner !== null && "f:roles" in ((inner as Record<string, object>)["f:spec"] ?? {}));
