import type { Status } from "./words.ts";

export interface HpaCondition {
  readonly type: string;
  readonly status: Status;
  readonly reason?: string;
  readonly message?: string;
}

/** `status` "": cannot be observed, so the condition stays as it was. */
export interface HpaHealth {
  readonly status: Status | "";
  readonly reason: string;
  readonly message: string;
}

const UNOBSERVED: HpaHealth = { status: "", reason: "", message: "" };

/**
 * The HPAActive condition, which mirrors the HPA's own ScalingActive. "ScalingDisabled" is what an HPA says of a target at zero;
 * with KEDA that is intended, so it counts as healthy. There is no grace period for a young HPA.
 */
export function hpaHealth(hpa: {
  readonly hpaName: string;
  readonly readError: boolean;
  readonly conditions: readonly HpaCondition[];
}): HpaHealth {
  if (hpa.hpaName === "" || hpa.readError) return UNOBSERVED;
  const active = hpa.conditions.find(({ type }) => type === "ScalingActive");
  if (active === undefined) return UNOBSERVED;
  const { status, reason = "", message = "" } = active;
  if (status === "True") return { status, reason: "HPAActive", message };
  if (reason === "ScalingDisabled") return { status: "True", reason, message };
  return { status, reason, message: message === "" ? reason : `${reason}: ${message}` };
}
