import type { Condition, Ms } from "../../../model/index.ts";
import { isInFallback } from "./fallback.ts";
import type { HealthByMetric } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";
import type { Status } from "./words.ts";

export interface ConditionUpdate {
  readonly type: string;
  readonly status: Status;
  readonly reason: string;
}

/** Each replaces the one of its type; its time moves only when its status does. Types that are not named stay. */
export function updateConditions(before: readonly Condition[], updates: readonly ConditionUpdate[], nowMs: Ms): readonly Condition[] {
  const updated = updates.map((update): Condition => {
    const known = before.find(({ type }) => type === update.type);
    return { ...update, sinceMs: known?.status === update.status ? known.sinceMs : nowMs };
  });
  const of = (type: string) => updated.find((condition) => condition.type === type);
  return [
    ...before.map((condition) => of(condition.type) ?? condition),
    ...updated.filter(({ type }) => !before.some((one) => one.type === type)),
  ];
}

export const ready = (status: Status, reason: string): ConditionUpdate => ({ type: "Ready", status, reason });

/** Whether some trigger is past the failures that its fallback allows. */
export function fallbackCondition({ fallback, modifiers }: ScaledObject, health: HealthByMetric): ConditionUpdate {
  const is = isInFallback(fallback, modifiers, health);
  return { type: "Fallback", status: is ? "True" : "False", reason: is ? "FallbackExists" : "NoFallbackFound" };
}
