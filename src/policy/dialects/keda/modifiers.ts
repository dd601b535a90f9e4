import { type Int64, saturate64 } from "../hpa/index.ts";
import type { Formula } from "./formula/formula.ts";
import { parseFloat64 } from "./go.ts";
import { type Fallback, type Health, KedaError, type ScalingModifiers } from "./words.ts";

/** Any field of `scalingModifiers` puts them to use, even without a formula. */
export const isUsingModifiers = (modifiers: ScalingModifiers | null): modifiers is ScalingModifiers =>
  modifiers !== null &&
  (modifiers.formula !== "" || modifiers.target !== "" || modifiers.activationTarget !== "" || modifiers.metricType !== "");

/** Which trigger a metric belongs to, for the formula. @throws KedaError for a trigger without a name where there is a formula */
export function pairMetric(formula: string, metricName: string, triggerName: string): Readonly<Record<string, string>> {
  if (formula === "") return {};
  if (triggerName === "") throw new KedaError(`the trigger of metric ${metricName} has no name, which a formula needs`);
  return { [metricName]: triggerName };
}

/** A trigger's value inside a formula: nil (`null`) once it has failed more often than a fallback by the formula itself allows. */
export function modifierTriggerValue(milli: Int64, fallback: Fallback | null, health: Health | null): number | null {
  if (fallback?.behavior === "scalingModifiers" && (health?.numberOfFailures ?? 0) > fallback.failureThreshold) return null;
  return Number(milli) / 1000;
}

/**
 * The composite metric in thousandths, truncated toward zero; unlike a trigger's value it may be negative. A formula that comes
 * to nil stands for `fallback.replicas × target`. Source: pkg/scaling/modifiers/formula.go.
 * @throws KedaError where the formula fails, or comes to nil without a fallback
 */
export function compositeMilli(
  formula: Formula,
  values: ReadonlyMap<string, number | null>,
  fallback: Fallback | null,
  target: string,
): Int64 {
  const result = formula.run(values) ?? nilResult(formula, fallback, target);
  const milli = Math.trunc(result * 1000);
  return Number.isSafeInteger(milli) ? milli + 0 : saturate64(BigInt(milli));
}

function nilResult({ source }: Formula, fallback: Fallback | null, target: string): number {
  const level = parseFloat64(target);
  if (fallback === null || level === null) throw new KedaError(`the formula ${source} comes to nil, and no fallback stands in`);
  return fallback.replicas * level;
}
