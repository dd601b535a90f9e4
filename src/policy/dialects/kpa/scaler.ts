import type { Ms } from "../../../model/index.ts";
import type { KpaSettings } from "./settings.ts";

/** The PodAutoscaler's condition Active: serving, on its way (Unknown), or idle; null: never set, which reads as Unknown. */
export type Active = { readonly status: "True" | "False" | "Unknown"; readonly sinceMs: Ms } | null;

/** Whether the revision's service leads to its pods or through the activator, and since when the latter. */
export type Path = { readonly mode: "Serve" | "Proxy"; readonly proxySinceMs: Ms | null };

export interface ApplyInput {
  readonly nowMs: Ms;
  /** The decider's count; −1: it does not know yet. */
  readonly desired: number;
  readonly current: number;
  readonly active: Active;
  /** The scale target once had all the pods that it should start with. */
  readonly initialized: boolean;
  readonly path: Path;
  /** Whether the activator answers for the revision; not asked where it always does. */
  readonly probe: () => boolean;
}

/** `desired` −1: stay. `reason` says why a count of 0 is not (yet) applied, or applied. */
export interface Applied {
  readonly desired: number;
  /** Whether the count is to be written. */
  readonly apply: boolean;
  /** Look again after so long. */
  readonly requeueMs: Ms | null;
  /** The activator is to be asked again in the background. */
  readonly asyncProbe: boolean;
  readonly reason: ApplyReason;
}
type ApplyReason =
  | "unknown"
  | "scaled"
  | "bounded"
  | "zero-disabled"
  | "activating"
  | "activation-timeout"
  | "deactivate"
  | "keep-last"
  | "retention"
  | "grace"
  | "zero"
  | "no-probe";

/** After the progress deadline the pods' own failure is reported first. */
const ACTIVATION_BUFFER_MS = 30_000;
/** Long enough for the present pass to end. */
const REVISIT_MS = 3_000;

/**
 * Bounds, then the way to zero: an active revision has to have been so for a stable window and then becomes inactive; an inactive
 * one goes when the activator serves it and the grace period (or the longer retention) is over.
 * Source: knative/serving `pkg/reconciler/autoscaling/kpa/scaler.go`.
 */
export function applyScale(input: ApplyInput, settings: KpaSettings): Applied {
  const { nowMs, active, current } = input;
  const activating = active === null || active.status === "Unknown";
  if (input.desired < 0 && !activating) return { ...STAY, desired: input.desired, reason: "unknown" };

  const { min, max } = appliedBounds(settings, input.initialized);
  const desired = clamp(input.desired, min, max);
  if (desired !== 0) return write(desired, current, desired === input.desired ? "scaled" : "bounded");
  if (!settings.enableScaleToZero) return write(1, current, "zero-disabled");

  const forMs = active === null ? -1 : nowMs - active.sinceMs;
  if (activating) {
    const timeoutMs = settings.progressDeadlineMs + ACTIVATION_BUFFER_MS;
    return forMs > timeoutMs
      ? write(0, current, "activation-timeout")
      : { ...STAY, desired: -1, requeueMs: timeoutMs, reason: "activating" };
  }
  if (active.status === "True") {
    if (forMs < settings.stableWindowMs) {
      return { ...write(1, current, "keep-last"), requeueMs: settings.stableWindowMs - forMs };
    }
    return { ...STAY, desired: 0, requeueMs: input.path.mode === "Proxy" ? REVISIT_MS : null, reason: "deactivate" };
  }

  if (settings.targetBurstCapacity !== -1 && !input.probe()) return { ...STAY, desired: 0, asyncProbe: true, reason: "no-probe" };
  const { podRetentionMs, gracePeriodMs } = settings;
  if (forMs >= Math.max(gracePeriodMs, podRetentionMs)) return write(0, current, "zero");
  if (forMs < podRetentionMs) return { ...STAY, desired: 0, requeueMs: podRetentionMs - forMs, reason: "retention" };
  const proxiedMs = input.path.proxySinceMs === null ? 0 : nowMs - input.path.proxySinceMs;
  if (proxiedMs >= gracePeriodMs) return write(0, current, "zero");
  return { ...STAY, desired: 0, requeueMs: gracePeriodMs - proxiedMs, reason: "grace" };
}

/** Until the target first had its initial scale, that is a minimum too. */
function appliedBounds(settings: KpaSettings, initialized: boolean): { readonly min: number; readonly max: number } {
  const { initialScale, minScale, maxScale, reachable } = settings;
  const starting = initialScale > 1 && !initialized && reachable;
  return { min: starting ? Math.max(minScale, initialScale) : minScale, max: maxScale };
}

/** A maximum of 0 is none. */
export const clamp = (count: number, min: number, max: number): number => (count < min ? min : max !== 0 && count > max ? max : count);

const STAY = { apply: false, requeueMs: null, asyncProbe: false } as const;
const write = (desired: number, current: number, reason: ApplyReason): Applied => ({
  ...STAY,
  desired,
  apply: desired !== current,
  reason,
});
