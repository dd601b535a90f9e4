import { parseFloat64 } from "./go.ts";

export type JobStrategy = "default" | "custom" | "accurate" | "eager";

export interface ScalingStrategy {
  /** As written; unknown ones count as default. */
  readonly strategy: string;
  /** `null`: not given, 0. */
  readonly customScalingQueueLengthDeduction: number | null;
  /** Text of a number; "" or text that is none makes a custom strategy the default one. */
  readonly customScalingRunningJobPercentage: string;
}

export function selectJobStrategy({ strategy, customScalingRunningJobPercentage: percentage }: ScalingStrategy): JobStrategy {
  if (strategy === "accurate" || strategy === "eager") return strategy;
  return strategy === "custom" && parseFloat64(percentage) !== null ? "custom" : "default";
}

/** What one poll counts. `maxReplicaCount`: the room above the minimum, as `jobBounds` gives it. */
export interface JobCounts {
  /** Jobs that the queue would fill, at most `maxReplicaCount`. */
  readonly maxScale: number;
  /** Entries in the queue. */
  readonly scaleTo: number;
  readonly runningJobCount: number;
  readonly pendingJobCount: number;
  readonly maxReplicaCount: number;
}
export type JobScale = Pick<JobCounts, "maxScale" | "scaleTo">;

/**
 * How many jobs may be started now; it may come out below 0. `accurate` compares with the room after deducting the pending jobs,
 * which the published documentation leaves out. Source: pkg/scaling/executor/scale_jobs.go, GetEffectiveMaxScale.
 */
export function effectiveMaxScale(strategy: ScalingStrategy, counts: JobCounts): JobScale {
  const { maxScale, scaleTo, runningJobCount: running, pendingJobCount: pending, maxReplicaCount: room } = counts;
  switch (selectJobStrategy(strategy)) {
    case "custom": {
      const deduction = strategy.customScalingQueueLengthDeduction ?? 0;
      const share = Math.trunc(running * (parseFloat64(strategy.customScalingRunningJobPercentage) ?? 0));
      return { maxScale: Math.min(maxScale - deduction - share, room), scaleTo };
    }
    case "accurate":
      return { maxScale: maxScale + running - pending > room ? room - running : maxScale - pending, scaleTo };
    case "eager":
      return { maxScale: Math.min(room - running - pending, maxScale), scaleTo: room };
    default:
      return { maxScale: maxScale - running, scaleTo };
  }
}

/** `minReplicas` ≤ the maximum; `room` is what the strategies take for the maximum. `null`: not given. */
export function jobBounds(minReplicaCount: number | null, maxReplicaCount: number | null): { readonly min: number; readonly room: number } {
  const min = minReplicaCount ?? 0;
  if (maxReplicaCount === null) return { min: Math.min(min, 100), room: 100 };
  return min > maxReplicaCount ? { min: maxReplicaCount, room: maxReplicaCount } : { min, room: maxReplicaCount - min };
}

/** Below the minimum it is filled up; above, the strategy sees only what runs beyond it. */
export function jobDecision(strategy: ScalingStrategy, min: number, counts: JobCounts): JobScale {
  const { runningJobCount } = counts;
  if (runningJobCount < min) return { maxScale: min - runningJobCount, scaleTo: min - runningJobCount };
  return effectiveMaxScale(strategy, { ...counts, runningJobCount: runningJobCount - min });
}

/** Jobs to start now. */
export const jobsToStart = ({ maxScale, scaleTo }: JobScale, isActive: boolean): number =>
  isActive ? Math.max(0, Math.min(maxScale, scaleTo)) : 0;

/** Mean of the AverageValue targets of a trigger's metrics; a target of another type (`null`) counts as 0. */
export function targetAverageValue(averageValues: readonly (number | null)[]): number {
  const sum = averageValues.reduce<number>((total, value) => total + (value ?? 0), 0);
  return averageValues.length === 0 ? 0 : sum / averageValues.length;
}

export interface JobScaler {
  /** Sum over the trigger's metric. */
  readonly queueLength: number;
  readonly targetAverageValue: number;
  readonly isActive: boolean;
}

export interface JobMetrics {
  readonly isActive: boolean;
  readonly queueLength: number;
  readonly maxValue: number;
}

/** Several triggers of a ScaledJob. Inactive ones are left out; a minimum above 0 is always active. Source: pkg/scaling/scaledjob. */
export function combineJobScalers(calculation: string, scalers: readonly JobScaler[], min: number, room: number): JobMetrics {
  const active = scalers
    .filter(({ isActive }) => isActive)
    .map(({ queueLength, targetAverageValue: target }) => ({
      queueLength,
      maxValue: target === 0 ? 0 : Math.min(queueLength / target, room),
    }));
  const { queueLength, maxValue, counts } = combined(calculation, active);
  return {
    isActive: counts || min > 0,
    queueLength: Math.ceil(queueLength),
    maxValue: Math.ceil(Math.min(maxValue, room)),
  };
}

type Length = { readonly queueLength: number; readonly maxValue: number };
const NOTHING = { queueLength: 0, maxValue: 0, counts: false } as const;

/** `counts`: some trigger made it into the result; an empty queue does not beat an empty start for `max`. */
function combined(calculation: string, active: readonly Length[]): Length & { readonly counts: boolean } {
  const sum = active.reduce<Length>(
    (total, { queueLength, maxValue }) => ({ queueLength: total.queueLength + queueLength, maxValue: total.maxValue + maxValue }),
    NOTHING,
  );
  switch (calculation) {
    case "sum":
      return { ...sum, counts: active.length > 0 };
    case "avg": {
      if (active.length === 0) return NOTHING;
      return { queueLength: sum.queueLength / active.length, maxValue: sum.maxValue / active.length, counts: true };
    }
    case "min":
      // A length of 0 counts as not set yet, so that the next one replaces it.
      return active.reduce<Length & { readonly counts: boolean }>(
        (least, next) => (least.queueLength === 0 || next.queueLength < least.queueLength ? { ...next, counts: true } : least),
        NOTHING,
      );
    default:
      return active.reduce<Length & { readonly counts: boolean }>(
        (most, next) => (next.queueLength > most.queueLength ? { ...next, counts: true } : most),
        NOTHING,
      );
  }
}

export interface JobPod {
  readonly phase: string;
  readonly trueConditions: readonly string[];
}

/** Whether a job still waits: until one of its pods runs or has succeeded, or has all of the conditions where some are named. */
export function isJobPending(pods: readonly JobPod[], pendingPodConditions: readonly string[]): boolean {
  if (pendingPodConditions.length > 0) {
    return !pods.some(({ trueConditions }) => pendingPodConditions.every((condition) => trueConditions.includes(condition)));
  }
  return !pods.some(({ phase }) => phase === "Running" || phase === "Succeeded");
}

/** The Ready condition of a ScaledJob. */
export function jobReadiness(
  isError: boolean,
  isActive: boolean,
): { readonly status: "True" | "False" | "Unknown"; readonly reason: string } {
  if (!isError) return { status: "True", reason: "ScaledJobReady" };
  return isActive ? { status: "Unknown", reason: "PartialTriggerError" } : { status: "False", reason: "TriggerError" };
}
