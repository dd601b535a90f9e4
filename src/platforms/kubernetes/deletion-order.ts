import { conditionOf, controllerOf, type Pod, timeOf } from "./objects.ts";

/** Lower goes first; among pods that are alike otherwise. */
export const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";

/** Who chooses the pod that goes when a count is lowered. */
export type Chooser = "replica-set" | "ordinal" | "unknown";

/** `unknown` where the pods belong to several controllers: a rollout is going on, and which of them shrinks is not ours to say. */
export function chooserOf(pods: readonly Pod[]): Chooser {
  const owners = new Map(
    pods.flatMap((pod) => [controllerOf(pod)].flatMap((owner) => (owner === undefined ? [] : [[owner.uid, owner.kind]]))),
  );
  if (owners.size !== 1) return "unknown";
  const [kind] = owners.values();
  if (kind === "ReplicaSet" || kind === "ReplicationController") return "replica-set";
  return kind === "StatefulSet" || kind === "LeaderWorkerSet" ? "ordinal" : "unknown";
}

/**
 * Pods in the order in which their controller would delete them.
 * - A ReplicaSet: without a node first, then Pending before Unknown before Running, not ready before ready, lower deletion cost, more
 *   pods of the set on the node, ready for a shorter time (by powers of two of nanoseconds), more restarts, younger.
 * - A StatefulSet or LeaderWorkerSet: the highest ordinal first.
 *
 * Source: Kubernetes, "ReplicaSet: scaling down" and KEP-2255 and KEP-2185 (deletion cost, logarithmic comparison of ages).
 */
export function deletionOrder(pods: readonly Pod[], chooser: Chooser, nowMs: number): readonly Pod[] {
  if (chooser === "ordinal") return [...pods].sort((a, b) => ordinalOf(b) - ordinalOf(a));
  const onNode = new Map<string, number>();
  for (const { spec } of pods) if (spec.nodeName !== undefined) onNode.set(spec.nodeName, (onNode.get(spec.nodeName) ?? 0) + 1);
  const rank = (pod: Pod): readonly number[] => {
    const { nodeName } = pod.spec;
    const ready = conditionOf(pod, "Ready");
    const isReady = ready?.status === "True";
    const restarts = Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
    return [
      nodeName === undefined || nodeName === "" ? 0 : 1,
      { Pending: 0, Unknown: 1 }[pod.status?.phase as "Pending" | "Unknown"] ?? 2,
      isReady ? 1 : 0,
      costOf(pod),
      nodeName === undefined ? 0 : -(onNode.get(nodeName) ?? 0),
      isReady ? logAge(nowMs, timeOf(ready?.lastTransitionTime)) : 0,
      -restarts,
      logAge(nowMs, timeOf(pod.metadata.creationTimestamp)),
    ];
  };
  const ranks = new Map(pods.map((pod) => [pod, rank(pod)]));
  return [...pods].sort((a, b) => {
    const [x, y] = [ranks.get(a)!, ranks.get(b)!];
    for (const [at, one] of x.entries()) if (one !== y[at]) return one - (y[at] as number);
    return a.metadata.uid < b.metadata.uid ? -1 : 1;
  });
}

/** Of a StatefulSet's or LeaderWorkerSet's pod: its index label, else the number at the end of its name. */
export function ordinalOf({ metadata }: Pod): number {
  const label = metadata.labels?.["apps.kubernetes.io/pod-index"] ?? metadata.labels?.["leaderworkerset.sigs.k8s.io/group-index"];
  const text = label ?? /-(\d+)$/.exec(metadata.name)?.[1];
  return text === undefined ? -1 : Number(text);
}

function costOf({ metadata }: Pod): number {
  const cost = Number(metadata.annotations?.[DELETION_COST] ?? 0);
  return Number.isInteger(cost) ? cost : 0;
}

/** Ages of one bucket are alike for the controller. */
function logAge(nowMs: number, sinceMs: number | null): number {
  return sinceMs === null ? -1 : Math.floor(Math.log2(Math.max(1, (nowMs - sinceMs) * 1e6)));
}
