import { type Int64, saturate64 } from "../hpa/index.ts";
import type { Fallback, Health, ScalingModifiers, TargetType } from "./words.ts";

export interface FallbackInput {
  readonly fallback: Fallback | null;
  readonly modifiers: ScalingModifiers | null;
  /** Of this metric so far; `null`: never counted. */
  readonly health: Health | null;
  /** What the trigger gave, in thousandths; or why it failed. */
  readonly metric: { readonly milli: Int64 } | { readonly error: string };
  /** The trigger's own target. */
  readonly target: { readonly type: TargetType; readonly value: number };
  /** `null`: the count cannot be read. */
  readonly currentReplicas: number | null;
  readonly readyReplicas: number;
}

/** `fallback`: the value stands for replicas; `placeholder`: the formula sees this trigger as nil. */
export type FallbackOutcome =
  | { readonly kind: "metric"; readonly milli: Int64 }
  | { readonly kind: "fallback"; readonly milli: Int64; readonly replicas: number }
  | { readonly kind: "placeholder" }
  | { readonly kind: "error"; readonly message: string };

/**
 * The wrapper around every reading of an external metric. Failures are counted only where a fallback is configured and can be
 * used; each poll and each query by the HPA counts. Until more than `failureThreshold` have followed one another the error goes
 * on; then a value stands in that makes the HPA compute the wanted count. Source: pkg/fallback/fallback.go.
 */
export function withFallback(input: FallbackInput): { readonly health: Health | null; readonly outcome: FallbackOutcome } {
  const { fallback, metric } = input;
  const usable = fallback !== null && isFallbackUsable(fallback, input.modifiers);
  if ("milli" in metric) {
    return { health: usable ? { numberOfFailures: 0, status: "Happy" } : input.health, outcome: { kind: "metric", milli: metric.milli } };
  }
  const failed: FallbackOutcome = { kind: "error", message: metric.error };
  if (!usable) return { health: input.health, outcome: failed };
  const health: Health = { numberOfFailures: (input.health?.numberOfFailures ?? 0) + 1, status: "Failing" };
  if (health.numberOfFailures <= fallback.failureThreshold) return { health, outcome: failed };
  if (fallback.behavior === "scalingModifiers") return { health, outcome: { kind: "placeholder" } };
  return { health, outcome: standIn(input, fallback, metric.error) };
}

function standIn(input: FallbackInput, fallback: Fallback, error: string): FallbackOutcome {
  const { modifiers, target, currentReplicas, readyReplicas } = input;
  const wanted = fallbackReplicas(fallback, currentReplicas);
  if (wanted === null) return { kind: "error", message: error };
  const metricType = modifiers === null ? target.type : modifiers.metricType;
  let replicas = wanted;
  if (metricType === "Value") {
    // A Value target is multiplied by the ready pods again.
    if (readyReplicas <= 0) return { kind: "error", message: "no replica is ready, so a fallback for a Value target cannot be computed" };
    replicas /= readyReplicas;
  }
  const level = modifiers === null ? target.value : Number(modifiers.target);
  const milli = Math.trunc(level * 1000 * replicas);
  return { kind: "fallback", milli: Number.isSafeInteger(milli) ? milli + 0 : saturate64(BigInt(milli)), replicas: wanted };
}

/** `null`: the current count is needed and cannot be read. */
function fallbackReplicas({ behavior, replicas }: Fallback, current: number | null): number | null {
  if (behavior === "static" || behavior === "") return replicas;
  if (current === null) return null;
  if (behavior === "currentReplicasIfHigher") return Math.max(current, replicas);
  if (behavior === "currentReplicasIfLower") return Math.min(current, replicas);
  return current;
}

/** With a formula the target must be a positive whole number; otherwise the fallback is silently not used. */
export function isFallbackUsable(fallback: Fallback, modifiers: ScalingModifiers | null): boolean {
  const hasTarget = modifiers === null || (/^\+?\d+$/.test(modifiers.target) && Number(modifiers.target) > 0);
  return fallback.failureThreshold >= 0 && fallback.replicas >= 0 && hasTarget;
}

/** The Fallback condition: whether some metric is past its threshold. */
export function isInFallback(
  fallback: Fallback | null,
  modifiers: ScalingModifiers | null,
  health: Readonly<Record<string, Health>>,
): boolean {
  if (fallback === null || !isFallbackUsable(fallback, modifiers)) return false;
  return Object.values(health).some(({ numberOfFailures, status }) => status === "Failing" && numberOfFailures > fallback.failureThreshold);
}
