import type { Condition, Ms } from "../../../model/index.ts";

/** New types append; a known one changes in place, and its time moves only when its status flips. */
export function setCondition(
  conditions: readonly Condition[],
  type: string,
  status: "True" | "False",
  reason: string,
  nowMs: Ms,
): readonly Condition[] {
  const known = conditions.findIndex((condition) => condition.type === type);
  if (known < 0) return [...conditions, { type, status, reason, sinceMs: nowMs }];
  const before = conditions[known] as Condition;
  if (before.status === status && before.reason === reason) return conditions;
  return conditions.with(known, { type, status, reason, sinceMs: before.status === status ? before.sinceMs : nowMs });
}

export const removeCondition = (conditions: readonly Condition[], type: string): readonly Condition[] =>
  conditions.some((condition) => condition.type === type) ? conditions.filter((condition) => condition.type !== type) : conditions;

export const isTrue = (conditions: readonly Condition[], type: string): boolean =>
  conditions.some((condition) => condition.type === type && condition.status === "True");
