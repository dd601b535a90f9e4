import type { Int64 } from "../hpa/index.ts";
import { type FallbackOutcome, withFallback } from "./fallback.ts";
import { parseFloat64 } from "./go.ts";
import { metricMilli } from "./metric-value.ts";
import { compositeMilli, modifierTriggerValue } from "./modifiers.ts";
import type { ExternalTrigger, ScaledObject } from "./scaled-object.ts";
import { type Health, KedaError } from "./words.ts";

/** What a trigger's source answered, or why it did not. */
export type TriggerAnswer = { readonly value: number; readonly isActive: boolean } | { readonly error: string };

export type HealthByMetric = Readonly<Record<string, Health>>;

export interface FleetCounts {
  /** `null`: cannot be read. */
  readonly currentReplicas: number | null;
  readonly readyReplicas: number;
}

export interface TriggerOutcome {
  readonly external: ExternalTrigger;
  readonly answer: TriggerAnswer;
  readonly outcome: FallbackOutcome;
}

/** Every trigger through the fallback wrapper; each call counts its failures. */
export function readTriggers(
  { externals, fallback, modifiers }: ScaledObject,
  answers: readonly TriggerAnswer[],
  health: HealthByMetric,
  { currentReplicas, readyReplicas }: FleetCounts,
): { readonly outcomes: readonly TriggerOutcome[]; readonly health: HealthByMetric } {
  const counted: Record<string, Health> = { ...health };
  const outcomes = externals.map((external, at): TriggerOutcome => {
    const answer = answers[at] ?? { error: "was not read" };
    const name = external.metric.name;
    const { outcome, health: after } = withFallback({
      fallback,
      modifiers,
      health: counted[name] ?? null,
      metric: "error" in answer ? answer : { milli: metricMilli(answer.value) },
      target: external.target,
      currentReplicas,
      readyReplicas,
    });
    if (after !== null) counted[name] = after;
    return { external, answer, outcome };
  });
  return { outcomes, health: counted };
}

/**
 * What the formula makes of all triggers. Once one of them is in fallback, the first such value stands for the whole, and the
 * formula is not asked. @throws KedaError where a trigger failed or the formula does
 */
export function compositeOf(scaledObject: ScaledObject, outcomes: readonly TriggerOutcome[], health: HealthByMetric): Int64 {
  const { formula, fallback, modifiers } = scaledObject;
  if (formula === null || modifiers === null) throw new KedaError("there is no formula");
  const failed = outcomes.find(({ outcome }) => outcome.kind === "error");
  if (failed !== undefined && failed.outcome.kind === "error")
    throw new KedaError(`${failed.external.metric.name}: ${failed.outcome.message}`);
  const standIn = outcomes.find(({ outcome }) => outcome.kind === "fallback");
  if (standIn !== undefined && standIn.outcome.kind === "fallback") return standIn.outcome.milli;
  const values = outcomes.map(({ external, outcome }): readonly [string, number | null] => {
    const milli = outcome.kind === "metric" ? outcome.milli : -1000;
    const value = modifierTriggerValue(milli, fallback, health[external.metric.name] ?? null);
    return [external.trigger.name, outcome.kind === "placeholder" ? null : value];
  });
  return compositeMilli(formula, new Map(values), fallback, modifiers.target);
}

export interface ScaledObjectState {
  readonly isActive: boolean;
  readonly isError: boolean;
  /** Metric names of the active triggers. */
  readonly activeTriggers: readonly string[];
  /** With a formula, where it came to a value. */
  readonly compositeMilli: Int64 | null;
  readonly error: string | null;
}

/**
 * How the triggers of one poll add up. A trigger in fallback counts as active and not as failed. cpu and memory say nothing,
 * except that they alone, without an error, keep the object active. With a formula the triggers' own activity is dropped.
 * Source: pkg/scaling/scale_handler.go, getScaledObjectState.
 */
export function scaledObjectState(
  scaledObject: ScaledObject,
  outcomes: readonly TriggerOutcome[],
  health: HealthByMetric,
): ScaledObjectState {
  const { formula, modifiers } = scaledObject;
  const failed = outcomes.filter(({ outcome }) => outcome.kind === "error");
  const firstError = failed[0]?.outcome;
  const error = firstError?.kind === "error" ? firstError.message : null;
  if (formula !== null && modifiers !== null) {
    if (error !== null) return { isActive: false, isError: true, activeTriggers: [], compositeMilli: null, error };
    try {
      const composite = compositeOf(scaledObject, outcomes, health);
      const activation = (parseFloat64(modifiers.activationTarget) ?? 0) * 1000;
      const isActive = Number(composite) > activation;
      return { isActive, isError: false, activeTriggers: isActive ? ["composite-metric"] : [], compositeMilli: composite, error: null };
    } catch (failure) {
      if (!(failure instanceof KedaError)) throw failure;
      return { isActive: false, isError: true, activeTriggers: [], compositeMilli: null, error: failure.message };
    }
  }
  const active = outcomes.filter(
    ({ answer, outcome }) => outcome.kind === "fallback" || (outcome.kind === "metric" && !("error" in answer) && answer.isActive),
  );
  const isResourceOnly = outcomes.length === 0 && scaledObject.resources.length > 0;
  return {
    isActive: active.length > 0 || isResourceOnly,
    isError: error !== null,
    activeTriggers: active.map(({ external }) => external.metric.name),
    compositeMilli: null,
    error,
  };
}
