import type { Ms } from "../../../model/index.ts";
import { ceilOf, floorOf } from "../rounding.ts";
import type { Profile, Rule } from "./profile.ts";
import type { Operator } from "./words.ts";

/** A rule and what its metric says; `null`: the metric is not available. */
export interface RuleReading {
  readonly rule: Rule;
  readonly value: number | null;
}

export interface Verdict {
  readonly rule: Rule;
  readonly value: number | null;
  readonly fired: boolean;
  /** How long its cool-down still lasts. */
  readonly coolingMs: Ms;
  /** The count that its action makes, inside the profile's bounds. */
  readonly proposed: number;
}

/** One pass of the engine. `verdicts` is empty where no rule was looked at. */
export interface Evaluation {
  readonly outcome:
    | "below-minimum"
    | "above-maximum"
    | "scale-out"
    | "scale-in"
    | "default"
    | "no-data"
    | "cool-down"
    | "flapping"
    | "unchanged";
  readonly count: number;
  readonly verdicts: readonly Verdict[];
  /** The rule whose action is taken, or would be. */
  readonly by: Verdict | null;
  /** Of a scale-in, before the guard against flapping. */
  readonly unguarded: number;
}

export function compare(operator: Operator, value: number, threshold: number): boolean {
  switch (operator) {
    case "Equals":
      return value === threshold;
    case "NotEquals":
      return value !== threshold;
    case "GreaterThan":
      return value > threshold;
    case "GreaterThanOrEqual":
      return value >= threshold;
    case "LessThan":
      return value < threshold;
    case "LessThanOrEqual":
      return value <= threshold;
  }
}

/**
 * The count that an action makes of `current`, before the bounds. A percentage is rounded away from the current count on the way out
 * and towards it on the way in (Azure does not document how; percentages of less than one instance then still grow, and do not
 * shrink). An exact count never moves against its direction. The next value that a scale set allows is one more or less.
 */
export function actionCount(current: number, { action, amount }: Rule): number {
  if (action.direction === "None") return current;
  const sign = action.direction === "Increase" ? 1 : -1;
  switch (action.type) {
    case "ChangeCount":
      return Math.max(0, current + sign * amount);
    case "PercentChangeCount": {
      const change = (current * amount) / 100;
      return Math.max(0, current + sign * (sign > 0 ? ceilOf(change) : floorOf(change)));
    }
    case "ExactCount":
      return sign > 0 ? Math.max(current, amount) : Math.min(current, amount);
    case "ServiceAllowedNextValue":
      return Math.max(0, current + sign);
  }
}

/** Whether a rule's value is per instance, so that it grows as instances go: a total of all of them does not. */
const isPerInstance = ({ trigger: { statistic, timeAggregation, dividePerInstance } }: Rule) =>
  dividePerInstance || (statistic !== "Sum" && statistic !== "Count" && timeAggregation !== "Total" && timeAggregation !== "Count");

/** Whether a rule would fire with `next` instead of `current` instances: its value × current / next. */
function wouldFire({ rule, value }: RuleReading, current: number, next: number): boolean {
  if (value === null) return false;
  const estimate = !isPerInstance(rule) || value === 0 ? value : (value * current) / next;
  return compare(rule.trigger.operator, estimate, rule.trigger.threshold);
}

/** The lowest count from `wanted` on, below `current`, at which no scale-out rule would fire; `current` where there is none. */
export function guardFlapping(outRules: readonly RuleReading[], current: number, wanted: number): number {
  for (let next = wanted; next < current; next++) {
    if (!outRules.some((reading) => wouldFire(reading, current, next))) return next;
  }
  return current;
}

/**
 * `current`: the instance count; `sinceActionMs`: the time since the last scale action was done (0 while one is under way, infinite
 * where there was none).
 *
 * Outside the bounds the count goes to the bound and no rule is looked at. Any scale-out rule scales out, the largest count wins;
 * only if none fires do the scale-in rules count, and only if all of them fire, by the smallest change; that is reduced, or left,
 * where a scale-out rule would fire after it. Each rule waits for its own cool-down. Where a metric is missing the count rises to the
 * default, and does not fall.
 */
export function evaluate(
  profile: Pick<Profile, "min" | "max" | "default">,
  readings: readonly RuleReading[],
  current: number,
  sinceActionMs: Ms,
): Evaluation {
  const { min, max } = profile;
  const inside = (count: number) => Math.min(max, Math.max(min, count));
  if (current < min) return { outcome: "below-minimum", count: min, verdicts: [], by: null, unguarded: min };
  if (current > max) return { outcome: "above-maximum", count: max, verdicts: [], by: null, unguarded: max };

  const verdicts = readings.map(
    ({ rule, value }): Verdict => ({
      rule,
      value,
      fired: value !== null && compare(rule.trigger.operator, value, rule.trigger.threshold),
      coolingMs: Math.max(0, rule.cooldownMs - sinceActionMs),
      proposed: inside(actionCount(current, rule)),
    }),
  );
  const of = (direction: "Increase" | "Decrease") => verdicts.filter(({ rule }) => rule.action.direction === direction);
  const result = (outcome: Evaluation["outcome"], count: number, by: Verdict | null = null, unguarded = count): Evaluation => ({
    outcome,
    count,
    verdicts,
    by,
    unguarded,
  });
  const blind = verdicts.some(({ value }) => value === null);

  const out = of("Increase").filter(({ fired }) => fired);
  const ready = out.filter(({ coolingMs }) => coolingMs === 0).toSorted((a, b) => b.proposed - a.proposed)[0];
  if (ready !== undefined && (ready.proposed > current || !blind)) {
    const count = blind ? Math.max(ready.proposed, inside(profile.default)) : ready.proposed;
    return result(count > current ? "scale-out" : "unchanged", count, ready);
  }
  if (blind) {
    return current < inside(profile.default) ? result("default", inside(profile.default)) : result("no-data", current);
  }
  if (out.length > 0) return result("cool-down", current, out[0] as Verdict);

  const inwards = of("Decrease");
  if (inwards.length === 0 || !inwards.every(({ fired }) => fired)) return result("unchanged", current);
  const by = inwards.toSorted((a, b) => b.proposed - a.proposed)[0] as Verdict;
  const cooling = inwards.find(({ coolingMs }) => coolingMs > 0);
  if (cooling !== undefined) return result("cool-down", current, cooling);
  if (by.proposed >= current) return result("unchanged", current, by);
  const count = guardFlapping(of("Increase"), current, by.proposed);
  return result(count < current ? "scale-in" : "flapping", count, by, by.proposed);
}
