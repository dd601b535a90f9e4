import type { Ms } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";
import { DELETION_COST } from "./deletion-order.ts";
import { conditionOf, type Pod, type PodCondition, timeOf } from "./objects.ts";
import { FIELD_MANAGER } from "./writers.ts";

/** When we took the pod out of routing; it still counts in the scale. What a new leader resumes from. */
export const DRAINING = "tidegate.dev/draining-since";
/** When we let go of it: the scale has been, or is about to be, lowered for it. */
export const RELEASED = "tidegate.dev/released-at";
/** A pod that lists it among its readiness gates is out of its Services as soon as it drains. */
export const GATE = "tidegate.dev/serving";

/** The cost of a draining pod, and of one that has been let go: below what anybody else would set. */
const cost = { draining: "-2147483647", released: "-2147483648" } as const;

export const drainingSince = ({ metadata }: Pod): Ms | null => timeOf(metadata.annotations?.[DRAINING]);
export const releasedAt = ({ metadata }: Pod): Ms | null => timeOf(metadata.annotations?.[RELEASED]);
export const isEnding = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;

/** Ends by itself or is being deleted: its controller has another one in its place. */
export const isOver = (pod: Pod): boolean => isEnding(pod) || pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded";
/** Out of routing, still counted in the scale. */
export const isHeld = (pod: Pod): boolean => !isOver(pod) && drainingSince(pod) !== null && releasedAt(pod) === null;
export const isReleased = (pod: Pod): boolean => !isOver(pod) && releasedAt(pod) !== null;
/** Counts in the scale, and is not about to go. */
export const isLive = (pod: Pod): boolean => !isOver(pod) && drainingSince(pod) === null && releasedAt(pod) === null;

export type Mark = "draining" | "released" | "none";

/**
 * Writes the mark on the pod. @returns the pod as it is now; null: it is gone. A pod that could not be marked for any other reason is
 * an error, for it must not pass for one that drains.
 * @throws KubernetesError
 */
export async function markPod(api: KubernetesApi, pod: Pod, mark: Mark, nowMs: Ms): Promise<Pod | null> {
  const at = new Date(nowMs).toISOString();
  const since = pod.metadata.annotations?.[DRAINING] ?? at;
  const annotations = {
    draining: { [DRAINING]: since, [RELEASED]: null, [DELETION_COST]: cost.draining },
    released: { [DRAINING]: since, [RELEASED]: at, [DELETION_COST]: cost.released },
    none: { [DRAINING]: null, [RELEASED]: null, [DELETION_COST]: null },
  }[mark];
  try {
    // The uid is a precondition: a StatefulSet's next pod has the same name.
    const body = { metadata: { uid: pod.metadata.uid, annotations } };
    return await api.ask<Pod>({ method: "PATCH", path: podPath(pod), query: { fieldManager: FIELD_MANAGER }, body });
  } catch (error) {
    if (isStatus(error, 404)) return null;
    throw error;
  }
}

/** What the pod's gate should be; null: it has none, or it is right. */
export function gateWanted(pod: Pod): "True" | "False" | null {
  if (isOver(pod) || !pod.spec.readinessGates?.some(({ conditionType }) => conditionType === GATE)) return null;
  const wanted = drainingSince(pod) === null ? "True" : "False";
  return conditionOf(pod, GATE)?.status === wanted ? null : wanted;
}

/** @throws KubernetesError */
export async function setGate(api: KubernetesApi, pod: Pod, status: "True" | "False", nowMs: Ms): Promise<void> {
  const condition: PodCondition = {
    type: GATE,
    status,
    reason: status === "True" ? "Serving" : "Draining",
    message: status === "True" ? "Tidegate routes to this pod" : "Tidegate routes nothing new to this pod",
    lastTransitionTime: new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z"),
  };
  try {
    await api.ask({
      method: "PATCH",
      path: `${podPath(pod)}/status`,
      query: { fieldManager: FIELD_MANAGER },
      contentType: "application/strategic-merge-patch+json",
      body: { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } },
    });
  } catch (error) {
    if (!isStatus(error, 404) && !isStatus(error, 409)) throw error;
  }
}

export const podPath = ({ metadata }: Pod): string =>
  `/api/v1/namespaces/${encodeURIComponent(metadata.namespace ?? "default")}/pods/${encodeURIComponent(metadata.name)}`;
