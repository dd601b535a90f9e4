import type { Ms, Step } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import type { ScaleBranch, ScaleResult } from "./executor.ts";
import type { ScaledObjectState, TriggerOutcome } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";

/** What one poll saw and did, in sentences and numbers. */
export function explainPoll(
  pool: string,
  scaledObject: ScaledObject,
  poll: {
    readonly nowMs: Ms;
    readonly current: number;
    readonly lastActiveMs: Ms | null;
    readonly createdMs: Ms;
    readonly outcomes: readonly TriggerOutcome[];
    readonly state: ScaledObjectState;
    readonly result: ScaleResult;
  },
): readonly Step[] {
  const { current, state, result, outcomes } = poll;
  const steps = outcomes.map((outcome) => triggerStep(pool, outcome));
  if (scaledObject.formula !== null && state.compositeMilli !== null) {
    const value = Number(state.compositeMilli) / 1000;
    const target = Number(scaledObject.modifiers?.target);
    const text = `The formula ${scaledObject.formula.source} comes to ${num(value, 3)} against a target of ${num(target, 3)}.`;
    steps.push({ code: "formula", pool, text, numbers: { value, target } });
  }
  const numbers = { current, ...(result.replicas === null ? {} : { desired: result.replicas }) };
  return [...steps, { code: result.branch, pool, text: branchText(scaledObject, poll, result), numbers }];
}

function triggerStep(pool: string, { external, answer, outcome }: TriggerOutcome): Step {
  const { metric, target } = external;
  const numbers = { target: metric.target, activation: metric.activation };
  const aim = target.type === "Value" ? `${num(metric.target, 3)} in all` : `${num(metric.target, 3)} per replica`;
  if (outcome.kind === "metric" && !("error" in answer)) {
    const activity = answer.isActive ? "active" : "not active";
    const text = `${metric.name}: ${num(answer.value, 3)} against ${aim}, active above ${num(metric.activation, 3)}: ${activity}.`;
    return { code: "trigger", pool, text, numbers: { ...numbers, value: answer.value } };
  }
  const why = "error" in answer ? answer.error : "it did not answer";
  if (outcome.kind === "fallback") {
    const text = `${metric.name} failed (${why}): the fallback stands in for ${replicas(outcome.replicas)}.`;
    return { code: "fallback", pool, text, numbers: { ...numbers, value: Number(outcome.milli) / 1000, replicas: outcome.replicas } };
  }
  if (outcome.kind === "placeholder") {
    return { code: "fallback", pool, text: `${metric.name} failed (${why}): the formula sees nil in its place.`, numbers };
  }
  return { code: "trigger-failed", pool, text: `${metric.name} has no answer (${why}).`, numbers };
}

function branchText(
  { idleReplicaCount, minReplicaCount, cooldownMs, initialCooldownMs, fallback }: ScaledObject,
  poll: { readonly nowMs: Ms; readonly current: number; readonly lastActiveMs: Ms | null; readonly createdMs: Ms },
  result: ScaleResult,
): string {
  const { current, nowMs, lastActiveMs, createdMs } = poll;
  const to = result.replicas ?? current;
  const stays = `the count stays at ${current}`;
  const low = idleReplicaCount === null ? "zero" : `idle (${idleReplicaCount})`;
  switch (result.branch satisfies ScaleBranch) {
    case "unreadable":
      return "The platform does not say how many replicas there are: nothing is done.";
    case "paused":
      return `Paused by annotation: ${stays}.`;
    case "activated":
      return `Active at ${replicas(current)}: KEDA activates the target with ${replicas(to)}.`;
    case "scale-out-paused":
      return `Active, but scaling out is paused by annotation: ${stays}.`;
    case "partial-error":
      return `Active, though a trigger failed: KEDA leaves the count to the HPA and does not renew the time of last activity.`;
    case "active":
      return "Active: KEDA leaves the count to the HPA.";
    case "awaiting-fallback":
      return `A trigger failed and none is active: ${stays} until the fallback (${fallback?.replicas ?? 0}) sets in.`;
    case "trigger-error":
      return `A trigger failed and none is active: ${stays}.`;
    case "deactivated":
      return `Not active for longer than the cooldown: from ${current} to ${to}.`;
    case "scale-in-paused":
      return `Not active, but scaling in is paused by annotation: ${stays}.`;
    case "cooling-down": {
      const [sinceMs, waitMs] = lastActiveMs === null ? [createdMs, initialCooldownMs] : [lastActiveMs, cooldownMs];
      return `Not active for ${seconds(nowMs - sinceMs)}; going to ${low} waits for a cooldown of ${seconds(waitMs)}.`;
    }
    case "raised-to-min":
      return `Not active, but below minReplicaCount (${minReplicaCount}): from ${current} to ${to}.`;
    case "idle":
      return `Not active: ${stays} as far as KEDA is concerned.`;
  }
}
