import type { Ms } from "../../../model/index.ts";
import { forcesActivation, needsToBePaused, pausesScaleIn, pausesScaleOut } from "./annotations.ts";
import type { Annotations, Fallback, Status } from "./words.ts";

/** What one pass of the executor looks at. */
export interface ScaleRequest {
  readonly nowMs: Ms;
  /** `spec.replicas` of the target; `null`: it cannot be read. */
  readonly currentReplicas: number | null;
  readonly isActive: boolean;
  readonly isError: boolean;
  readonly activeTriggers: readonly string[];
  readonly minReplicaCount: number | null;
  readonly idleReplicaCount: number | null;
  readonly annotations: Annotations | null;
  readonly fallback: Pick<Fallback, "replicas"> | null;
  readonly createdMs: Ms;
  readonly lastActiveMs: Ms | null;
  readonly cooldownMs: Ms;
  readonly initialCooldownMs: Ms;
}

/** The branch that was taken, for the people who ask why. */
export type ScaleBranch =
  | "unreadable"
  | "paused"
  | "activated"
  | "scale-out-paused"
  | "partial-error"
  | "active"
  | "awaiting-fallback"
  | "trigger-error"
  | "deactivated"
  | "scale-in-paused"
  | "cooling-down"
  | "raised-to-min"
  | "idle";

interface ConditionValue {
  readonly status: Status;
  readonly reason: string;
}

interface ScaleEventRecord {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly fromReplicas: number;
  readonly toReplicas: number;
  /** Of an activation that triggers, and no annotation, brought about. */
  readonly triggers: readonly string[];
}

export interface ScaleResult {
  readonly branch: ScaleBranch;
  /** The count to write; `null`: none. */
  readonly replicas: number | null;
  /** `lastActiveTime` becomes now; where a count is written, once that has succeeded. */
  readonly active: ConditionValue | null;
  readonly ready: ConditionValue;
  readonly isPaused: boolean;
  readonly marksActive: boolean;
  /** Recorded once the write has succeeded. */
  readonly event: ScaleEventRecord | null;
}

const READY: ConditionValue = { status: "True", reason: "ScaledObjectReady" };
const ACTIVE: ConditionValue = { status: "True", reason: "ScalerActive" };
const INACTIVE: ConditionValue = { status: "False", reason: "ScalerNotActive" };
const COOLING: ConditionValue = { status: "False", reason: "ScalerCooldown" };

/**
 * One pass over a ScaledObject, up to the write. It only ever moves between zero (or idle) and the minimum; the rest is the HPA's.
 * Source: pkg/scaling/executor/scale_scaledobjects.go, RequestScale.
 */
export function requestScale(request: ScaleRequest): ScaleResult {
  const { currentReplicas: current, isError, annotations, fallback, idleReplicaCount: idle } = request;
  const min = request.minReplicaCount ?? 0;
  const base = { replicas: null, marksActive: false, isPaused: false, event: null, ready: READY } as const;
  if (current === null) {
    return { ...base, branch: "unreadable", active: null, ready: { status: "False", reason: "ErrorGettingCurrentReplicas" } };
  }
  if (needsToBePaused(annotations)) return { ...base, branch: "paused", active: null, isPaused: true };

  if (request.isActive || forcesActivation(annotations)) {
    const seen = { ...base, active: ACTIVE };
    // Two alternatives: a count of zero alone is enough.
    if ((idle !== null && current < min) || current === 0) return activate(request, current, min);
    if (isError) return { ...seen, branch: "partial-error", ready: { status: "Unknown", reason: "PartialTriggerError" } };
    return { ...seen, branch: "active", marksActive: true };
  }

  const seen = { ...base, active: INACTIVE };
  if (isError && fallback !== null && fallback.replicas !== 0) return { ...seen, branch: "awaiting-fallback" };
  if (isError && fallback === null) return { ...seen, branch: "trigger-error", ready: { status: "False", reason: "TriggerError" } };
  if ((idle !== null && current > idle) || (current > 0 && min === 0)) return deactivate(request, current);
  if (idle === null && current < min) return { ...seen, branch: "raised-to-min", replicas: min };
  return { ...seen, branch: "idle" };
}

function activate({ annotations, activeTriggers }: ScaleRequest, current: number, min: number): ScaleResult {
  const seen = { active: ACTIVE, ready: READY, isPaused: false, marksActive: false, replicas: null, event: null } as const;
  if (pausesScaleOut(annotations)) return { ...seen, branch: "scale-out-paused" };
  const replicas = min > 0 ? min : 1;
  const triggers = forcesActivation(annotations) ? [] : activeTriggers;
  const event = { type: "Normal", reason: "KEDAScaleTargetActivated", fromReplicas: current, toReplicas: replicas, triggers } as const;
  return { ...seen, branch: "activated", replicas, marksActive: true, event };
}

function deactivate(request: ScaleRequest, current: number): ScaleResult {
  const { nowMs, createdMs, lastActiveMs, cooldownMs, initialCooldownMs, annotations } = request;
  const seen = { active: INACTIVE, ready: READY, isPaused: false, marksActive: false, replicas: null, event: null } as const;
  if (pausesScaleIn(annotations)) return { ...seen, branch: "scale-in-paused" };
  const allowedAfterMs = lastActiveMs === null ? createdMs + initialCooldownMs : lastActiveMs + cooldownMs;
  if (nowMs <= allowedAfterMs) return { ...seen, branch: "cooling-down", active: COOLING };
  const replicas = request.idleReplicaCount ?? request.minReplicaCount ?? 0;
  const event = {
    type: "Normal",
    reason: "KEDAScaleTargetDeactivated",
    fromReplicas: current,
    toReplicas: replicas,
    triggers: [],
  } as const;
  return { ...seen, branch: "deactivated", replicas, event };
}
