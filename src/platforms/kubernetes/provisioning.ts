import type { Ms } from "../../model/index.ts";
import { type KubernetesEvent, timeOf } from "./objects.ts";

/** What a node autoscaler means to do for a pod that fits on no node. */
export interface Provisioning {
  /** `comes`: a node is on its way; `never`: it knows none that would fit; `stock-out`: it wants one and does not get it. */
  readonly verdict: "comes" | "never" | "stock-out";
  readonly by: string;
  readonly message: string;
  readonly atMs: Ms;
}

/** Cluster Autoscaler gives a node up after this time (`--max-node-provision-time`); Karpenter's own liveness limit is the same. */
const provisionLimitMs: Ms = 15 * 60_000;

/** What clouds say when they have no machine of the kind. */
const outOfStock =
  /insufficient ?capacity|InsufficientInstanceCapacity|out of (stock|resource|capacity)|ZONE_RESOURCE_POOL_EXHAUSTED|SkuNotAvailable|AllocationFailed|quota/i;

/**
 * The newest verdict among the events of one pod; null: nobody has said anything.
 * Sources: Cluster Autoscaler FAQ ("TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp" and their causes); Karpenter,
 * "Troubleshooting" and its scheduling events ("Nominated", "FailedScheduling", "InsufficientCapacityError").
 */
export function provisioningOf(events: readonly KubernetesEvent[], nowMs: Ms): Provisioning | null {
  let newest: Provisioning | null = null;
  for (const event of events) {
    const read = verdictOf(event, nowMs);
    // A refusal of the same moment explains the promise that it follows.
    if (read !== null && (newest === null || read.atMs > newest.atMs || (read.atMs === newest.atMs && read.verdict !== "comes")))
      newest = read;
  }
  return newest;
}

function verdictOf(event: KubernetesEvent, nowMs: Ms): Provisioning | null {
  const by = event.reportingComponent || event.source?.component || "the node autoscaler";
  const message = event.message ?? event.reason ?? "";
  const atMs =
    timeOf(event.series?.lastObservedTime) ??
    timeOf(event.lastTimestamp) ??
    timeOf(event.eventTime) ??
    timeOf(event.metadata.creationTimestamp) ??
    nowMs;
  const stockOut = outOfStock.test(message);
  switch (event.reason) {
    case "TriggeredScaleUp":
    case "Nominated":
      if (nowMs - atMs > provisionLimitMs)
        return { verdict: "stock-out", by, atMs, message: `${message}; no node came in ${provisionLimitMs / 60_000} minutes` };
      return { verdict: "comes", by, message, atMs };
    case "NotTriggerScaleUp":
      return { verdict: stockOut || /in backoff after failed scale-up/.test(message) ? "stock-out" : "never", by, message, atMs };
    case "FailedScaleUp":
    case "InsufficientCapacityError":
      return { verdict: "stock-out", by, message, atMs };
    case "FailedScheduling":
      // The scheduler uses this word too; its sentence is the condition's.
      return /karpenter/i.test(by) ? { verdict: stockOut ? "stock-out" : "never", by, message, atMs } : null;
    default:
      return null;
  }
}
