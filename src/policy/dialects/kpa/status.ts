import type { Ms } from "../../../model/index.ts";
import type { Active, Path } from "./scaler.ts";
import type { KpaSettings } from "./settings.ts";

/** How many ready pods make the revision active; before it has been initialized its initial scale counts too. */
export function activeThreshold({ minScale, initialScale }: KpaSettings, initialized: boolean): number {
  return initialized ? Math.max(minScale, 1) : Math.max(minScale, initialScale);
}

/**
 * The condition Active after a pass. `want` −1 (unknown) leaves an idle revision idle, and otherwise follows the pods.
 * Source: knative/serving `pkg/reconciler/autoscaling/kpa/kpa.go` (computeActiveCondition).
 */
export function nextActive(before: Active, want: number, readyPods: number, threshold: number, nowMs: Ms): NonNullable<Active> {
  const idle = want === 0 || threshold === 0 || (want < 0 && before?.status === "False");
  const status = idle ? "False" : readyPods >= threshold ? "True" : "Unknown";
  return before?.status === status ? before : { status, sinceMs: nowMs };
}

/** The activator buffers while nothing is wanted, nothing is known of an idle revision, or the pods could not take the burst. */
export function nextPath(before: Path, want: number, excessBurstCapacity: number, active: Active, nowMs: Ms): Path {
  const proxy = want === 0 || excessBurstCapacity < 0 || (want < 0 && active?.status === "False");
  if (!proxy) return { mode: "Serve", proxySinceMs: null };
  return before.mode === "Proxy" && before.proxySinceMs !== null ? before : { mode: "Proxy", proxySinceMs: nowMs };
}
