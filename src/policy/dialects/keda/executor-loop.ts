import type { Step } from "../../../model/index.ts";
import { pausedReplicaCount, pausesScaleIn, pausesScaleOut } from "./annotations.ts";
import { type ConditionUpdate, fallbackCondition, ready, updateConditions } from "./conditions.ts";
import { requestScale, type ScaleResult } from "./executor.ts";
import { explainPoll } from "./explain.ts";
import { readTriggers, type ScaledObjectState, scaledObjectState, type TriggerAnswer, type TriggerOutcome } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";
import { type Moment, move, type State, type Turn } from "./state.ts";
import { KedaError } from "./words.ts";

/** One poll: every trigger through its fallback, then the executor. */
export function poll(before: State, moment: Moment): Turn {
  const { scaledObject, answers, counts } = moment;
  const { outcomes, health } = readTriggers(scaledObject, answers, before.health, counts);
  const summary = scaledObjectState(scaledObject, outcomes, health);
  return execute({ ...before, health, cached: cacheOf(outcomes) }, moment, summary, outcomes, []);
}

/** A push scaler says that there is work: nothing is read, and neither formula nor activation value is asked. */
export function push(before: State, moment: Moment): Turn {
  const { scaledObject, pool } = moment;
  const activeTriggers = scaledObject.externals.map(({ metric }) => metric.name);
  const summary = { isActive: true, isError: false, activeTriggers, compositeMilli: null, error: null };
  const text = "A request is held: the push scaler says so at once.";
  return execute(before, moment, summary, [], [{ code: "pushed", pool, text, numbers: { current: moment.current } }]);
}

function execute(
  before: State,
  moment: Moment,
  summary: ScaledObjectState,
  outcomes: readonly TriggerOutcome[],
  first: readonly Step[],
): Turn {
  const { nowMs, current, pool, scaledObject } = moment;
  const { annotations, minReplicaCount, idleReplicaCount, fallback, cooldownMs, initialCooldownMs } = scaledObject;
  const { createdMs, lastActiveMs } = before;
  const { isActive, isError, activeTriggers } = summary;
  const result = requestScale({
    ...{ nowMs, currentReplicas: current, isActive, isError, activeTriggers, minReplicaCount, idleReplicaCount },
    ...{ annotations, fallback, createdMs, lastActiveMs, cooldownMs, initialCooldownMs },
  });
  const steps = [
    ...first,
    ...explainPoll(pool, scaledObject, { nowMs, current, outcomes, result, lastActiveMs, createdMs, state: summary }),
  ];
  const state: State = {
    ...before,
    conditions: updateConditions(before.conditions, conditionsOf(scaledObject, result, before), nowMs),
    lastActiveMs: result.marksActive && result.replicas === null ? nowMs : lastActiveMs,
  };
  if (result.replicas !== null && result.replicas !== current) {
    return { ...move(state, moment, "executor", result.replicas, result.marksActive), steps };
  }
  const min = minReplicaCount ?? 0;
  if (state.fresh && min > 0 && idleReplicaCount === null) {
    const text = `Nothing has run yet: the fleet starts at minReplicaCount (${min}).`;
    const step = { code: "first-start", pool, text, numbers: { current, desired: min } };
    return { ...move(state, moment, "start", min), steps: [...steps, step] };
  }
  return { state, want: null, steps };
}

/** While paused both loops stop and the HPA is gone; `paused-replicas` sets its count once. */
export function pause(before: State, moment: Moment): Turn {
  const { nowMs, current, pool, scaledObject } = moment;
  const steps: Step[] = [];
  const step = (code: string, text: string, numbers: Step["numbers"] = { current }) => steps.push({ code, pool, text, numbers });
  const conditions = updateConditions(before.conditions, [{ type: "Paused", status: "True", reason: "ScaledObjectPaused" }], nowMs);
  let count: number | null = null;
  try {
    count = pausedReplicaCount(scaledObject.annotations);
  } catch (error) {
    if (!(error instanceof KedaError)) throw error;
    step("paused-wrong", `${error.message}.`);
  }
  const state: State = { ...before, conditions, parked: before.parked || count === current };
  if (count === null || state.parked) {
    step("paused", `Paused by annotation: the count stays at ${current}.`);
    return { state, want: { kind: "hold" }, steps };
  }
  step("parked", `Paused at ${count} by annotation: from ${current}.`, { current, desired: count });
  return { ...move(state, moment, "pause", count), steps };
}

function conditionsOf(scaledObject: ScaledObject, result: ScaleResult, { health }: State): readonly ConditionUpdate[] {
  const isHalfPaused = pausesScaleIn(scaledObject.annotations) || pausesScaleOut(scaledObject.annotations);
  return [
    ready(result.ready.status, result.ready.reason),
    ...(result.active === null ? [] : [{ type: "Active", ...result.active }]),
    fallbackCondition(scaledObject, health),
    {
      type: "Paused",
      status: isHalfPaused ? "True" : "False",
      reason: isHalfPaused ? "ScaledObjectScalePaused" : "ScaledObjectUnpaused",
    },
  ];
}

/** A value that a fallback made up is stored as if it had been read. */
function cacheOf(outcomes: readonly TriggerOutcome[]): Readonly<Record<string, TriggerAnswer>> {
  return Object.fromEntries(
    outcomes
      .filter(({ external }) => external.trigger.useCachedMetrics)
      .map(({ external, answer, outcome }) => [
        external.metric.name,
        outcome.kind === "fallback" ? { value: Number(outcome.milli) / 1000, isActive: true } : answer,
      ]),
  );
}
