import type { Ms } from "../../../model/index.ts";
import { changeInPeriod } from "./events.ts";
import { ceilToInt32, MAX_INT32, MIN_INT32 } from "./int64.ts";
import type { Behavior, Rules, ScaleEvent } from "./words.ts";

export type LimitReason = "ScaleUpLimit" | "ScaleDownLimit" | "TooManyReplicas" | "TooFewReplicas" | "DesiredWithinRange";
export interface Limited {
  readonly replicas: number;
  readonly reason: LimitReason;
}

export interface Events {
  readonly scaleUp: readonly ScaleEvent[];
  readonly scaleDown: readonly ScaleEvent[];
}

const clamp = (value: number) => Math.min(MAX_INT32, Math.max(MIN_INT32, value));

/** Without behavior: at most the double, or 4 where that is more. Source: horizontal.go, convertDesiredReplicasWithRules. */
export function limitWithoutBehavior(currentReplicas: number, desiredReplicas: number, minReplicas: number, maxReplicas: number): Limited {
  const upLimit = clamp(Math.max(2 * currentReplicas, 4));
  const [top, reason] = maxReplicas > upLimit ? ([upLimit, "ScaleUpLimit"] as const) : ([maxReplicas, "TooManyReplicas"] as const);
  if (desiredReplicas < minReplicas) return { replicas: minReplicas, reason: "TooFewReplicas" };
  if (desiredReplicas > top) return { replicas: top, reason };
  return { replicas: desiredReplicas, reason: "DesiredWithinRange" };
}

/** Where the period began: events of either direction move it. */
function periodStart(currentReplicas: number, events: Events, periodSeconds: number, nowMs: Ms): number {
  const periodMs = periodSeconds * 1000;
  return currentReplicas - changeInPeriod(events.scaleUp, periodMs, nowMs) + changeInPeriod(events.scaleDown, periodMs, nowMs);
}

/** Not yet clamped to `currentReplicas`. Source: horizontal.go, calculateScaleUpLimitWithScalingRules. */
export function scaleUpLimit(currentReplicas: number, events: Events, rules: Rules, nowMs: Ms): number {
  if (rules.selectPolicy === "Disabled") return currentReplicas;
  const limits = rules.policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(currentReplicas, events, periodSeconds, nowMs);
    return type === "Pods" ? clamp(start + value) : ceilToInt32(start * (1 + value / 100));
  });
  return rules.selectPolicy === "Min" ? Math.min(MAX_INT32, ...limits) : Math.max(MIN_INT32, ...limits);
}

/** Not yet clamped to `currentReplicas`; "Max" is the most change, so the smallest count. */
export function scaleDownLimit(currentReplicas: number, events: Events, rules: Rules, nowMs: Ms): number {
  if (rules.selectPolicy === "Disabled") return currentReplicas;
  const limits = rules.policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(currentReplicas, events, periodSeconds, nowMs);
    return type === "Pods" ? clamp(start - value) : clamp(Math.trunc(start * (1 - value / 100)) + 0);
  });
  return rules.selectPolicy === "Min" ? Math.max(MIN_INT32, ...limits) : Math.min(MAX_INT32, ...limits);
}

/** Source: horizontal.go, convertDesiredReplicasWithBehaviorRate. */
export function limitWithBehavior(input: {
  readonly currentReplicas: number;
  /** After stabilization. */
  readonly desiredReplicas: number;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly behavior: Behavior;
  readonly events: Events;
  readonly nowMs: Ms;
}): Limited {
  const { currentReplicas, desiredReplicas, minReplicas, maxReplicas, behavior, events, nowMs } = input;
  if (desiredReplicas > currentReplicas) {
    const limit = Math.max(scaleUpLimit(currentReplicas, events, behavior.scaleUp, nowMs), currentReplicas);
    const [top, reason] = maxReplicas > limit ? ([limit, "ScaleUpLimit"] as const) : ([maxReplicas, "TooManyReplicas"] as const);
    if (desiredReplicas > top) return { replicas: top, reason };
  } else if (desiredReplicas < currentReplicas) {
    const limit = Math.min(scaleDownLimit(currentReplicas, events, behavior.scaleDown, nowMs), currentReplicas);
    const [bottom, reason] = minReplicas < limit ? ([limit, "ScaleDownLimit"] as const) : ([minReplicas, "TooFewReplicas"] as const);
    if (desiredReplicas < bottom) return { replicas: bottom, reason };
  }
  return { replicas: desiredReplicas, reason: "DesiredWithinRange" };
}
