import type { Condition, Decision, Endpoint, Json, Ms, Observation, Policy, Step, Want } from "../../../model/index.ts";
import { explain } from "../hpa/explain.ts";
import {
  CONTROLLER_DEFAULTS,
  commitRescale,
  EMPTY_MEMORY,
  failRescale,
  HPA_NEWEST,
  HPA_VERSIONS,
  HpaError,
  type HpaMemory,
  type MetricSources,
  planSync,
} from "../hpa/index.ts";
import { needsToBePaused, pausedReplicaCount, pausesScaleIn, pausesScaleOut } from "./annotations.ts";
import { type ConditionUpdate, updateConditions } from "./conditions.ts";
import { requestScale, type ScaleResult } from "./executor.ts";
import { explainPoll } from "./explain.ts";
import { isInFallback } from "./fallback.ts";
import { hpaHealth } from "./hpa-health.ts";
import { hpaSpec } from "./hpa-spec.ts";
import { COMPOSITE_METRIC } from "./metric-name.ts";
import { compositeOf, type HealthByMetric, readTriggers, scaledObjectState, type TriggerAnswer, type TriggerOutcome } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";
import { isReadyPod, podsOf, type TriggerSources } from "./sources.ts";
import { KedaError } from "./words.ts";

/**
 * - `cached`: what the last poll stored for triggers with useCachedMetrics.
 * - `pending`: the change asked for last, and by which of the two loops, until `settle` says what became of it.
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 * - `parked`: the count of `paused-replicas` has been set.
 * - `own`: what the sources remember.
 */
interface State {
  readonly createdMs: Ms;
  readonly nextPollMs: Ms;
  readonly nextSyncMs: Ms;
  readonly lastActiveMs: Ms | null;
  readonly health: HealthByMetric;
  readonly cached: Readonly<Record<string, TriggerAnswer>>;
  readonly hpa: HpaMemory;
  readonly conditions: readonly Condition[];
  readonly pending: Pending | null;
  readonly fresh: boolean;
  readonly parked: boolean;
  readonly own: Json;
}

interface Pending {
  readonly seq: number;
  readonly by: "hpa" | "executor" | "start" | "pause";
  readonly from: number;
  readonly to: number;
  readonly marksActive: boolean;
}

/** Sources that remember something from one Observation to the next, such as a window of arrivals. */
export interface RememberingSources {
  start(): Json;
  /** Sees every Observation, due or not. */
  observe(own: Json, observation: Observation): Json;
  at(own: Json, observation: Observation): readonly TriggerAnswer[];
}

export interface ScaledObjectPolicyOptions {
  readonly sources: TriggerSources;
  /** In the place of the triggers' series. */
  readonly remembering?: RememberingSources;
  /** A push scaler: a held request activates at once. */
  readonly isPush: boolean;
}

const FEATURES = HPA_VERSIONS[HPA_NEWEST];

/**
 * The two loops of a ScaledObject over the endpoint's first pool. The executor polls every `pollingInterval` and moves between
 * zero (or idle) and the minimum; the HPA that KEDA makes syncs every 15 s and sizes from there. Each reads the triggers by
 * itself, and each failed reading counts for the fallback. Where both are due at once the executor goes first, and where it
 * changes the count, the HPA waits for its next sync.
 *
 * Different from the original in one place, as the HPA here is: a fleet of ours comes into being with no replicas, where a
 * Deployment has its own. One that nobody has set starts at `minReplicaCount`, even while no trigger can be read.
 */
export function scaledObjectPolicy(endpoint: Endpoint, scaledObject: ScaledObject, options: ScaledObjectPolicyOptions): Policy<Json> {
  const { sources, remembering, isPush } = options;
  const { annotations, minReplicaCount, idleReplicaCount, pollingMs, fallback, modifiers } = scaledObject;
  const spec = hpaSpec(scaledObject);
  const settings = CONTROLLER_DEFAULTS;
  const pool = endpoint.pools[0]?.name ?? "default";
  const min = minReplicaCount ?? 0;

  return {
    kind: "keda",
    needs: sources.needs,
    wakesOn: isPush ? ["config", "held"] : ["config"],

    start(first) {
      const status = first.pools[pool];
      return write({
        createdMs: first.nowMs,
        nextPollMs: first.nowMs,
        nextSyncMs: first.nowMs,
        lastActiveMs: null,
        health: {},
        cached: {},
        hpa: EMPTY_MEMORY,
        conditions: [],
        pending: null,
        fresh: status !== undefined && status.wanted === 0 && !status.otherWriter,
        parked: false,
        own: remembering?.start() ?? null,
      });
    },

    decide(before, observation) {
      const { seq, nowMs } = observation;
      let state = read(before);
      if (remembering !== undefined) state = { ...state, own: remembering.observe(state.own, observation) };
      const steps: Step[] = [];
      const finish = (want: Want): { state: Json; decision: Decision } => ({
        state: write(state),
        decision: {
          seq,
          wants: { [pool]: want },
          steps,
          conditions: [...state.conditions, ...state.hpa.conditions],
          nextAtMs: Math.min(state.nextPollMs, state.nextSyncMs),
        },
      });
      const move = (by: Pending["by"], from: number, to: number, marksActive = false): Want => {
        state = { ...state, pending: { seq, by, from, to, marksActive } };
        return { kind: "scale", replicas: to, drain: [] };
      };

      const status = observation.pools[pool];
      if (status === undefined) {
        const conditions = updateConditions(state.conditions, [ready("False", "ErrorGettingCurrentReplicas")], nowMs);
        state = { ...state, conditions, nextPollMs: nowMs + pollingMs, nextSyncMs: nowMs + settings.syncPeriodMs };
        const text = `The platform does not say how many replicas pool ${pool} has: the count stays.`;
        steps.push({ code: "no-scale", pool, text, numbers: {} });
        return finish({ kind: "hold" });
      }

      const current = status.wanted;
      state = { ...state, fresh: state.fresh && current === 0 && !status.otherWriter };
      const isPushed = isPush && observation.cause === "held";
      const isPollDue = nowMs >= state.nextPollMs;
      const isSyncDue = nowMs >= state.nextSyncMs;
      if (!isPollDue && !isSyncDue && !isPushed) return finish({ kind: "hold" });

      if (needsToBePaused(annotations)) return finish(pause(current));

      const pods = podsOf(observation, pool);
      const found = sources.at(observation, pods);
      const answers = remembering?.at(state.own, observation) ?? found.answers;
      const counts = { currentReplicas: current, readyReplicas: pods.filter(isReadyPod).length };

      if (isPollDue || isPushed) {
        const want = poll(isPushed ? answers.map(pushed) : answers);
        if (isPollDue) state = { ...state, nextPollMs: nowMs + pollingMs };
        if (want !== null) {
          if (isSyncDue) state = { ...state, nextSyncMs: nowMs + settings.syncPeriodMs };
          return finish(want);
        }
      }
      if (!isSyncDue) return finish(current === 0 ? { kind: "hold" } : { kind: "scale", replicas: current, drain: [] });
      state = { ...state, nextSyncMs: nowMs + settings.syncPeriodMs };
      return finish(sync(current, status.reported));

      /** `null`: the executor leaves the count alone. */
      function poll(given: readonly TriggerAnswer[]): Want | null {
        const { outcomes, health } = readTriggers(scaledObject, given, state.health, counts);
        const summary = scaledObjectState(scaledObject, outcomes, health);
        const isActive = summary.isActive || isPushed;
        const result = requestScale({
          nowMs,
          currentReplicas: current,
          isActive,
          isError: summary.isError && !isPushed,
          activeTriggers: summary.activeTriggers,
          minReplicaCount,
          idleReplicaCount,
          annotations,
          fallback,
          createdMs: state.createdMs,
          lastActiveMs: state.lastActiveMs,
          cooldownMs: scaledObject.cooldownMs,
          initialCooldownMs: scaledObject.initialCooldownMs,
        });
        steps.push(
          ...explainPoll(pool, scaledObject, {
            ...{ nowMs, current, outcomes, result, lastActiveMs: state.lastActiveMs, createdMs: state.createdMs },
            state: { ...summary, isActive },
          }),
        );
        state = {
          ...state,
          // A push alone reads nothing.
          ...(isPollDue ? { health, cached: cacheOf(outcomes) } : {}),
          conditions: updateConditions(state.conditions, conditionsOf(result, health), nowMs),
          lastActiveMs: result.marksActive && result.replicas === null ? nowMs : state.lastActiveMs,
        };
        if (result.replicas !== null && result.replicas !== current) {
          return move("executor", current, result.replicas, result.marksActive);
        }
        if (state.fresh && min > 0 && idleReplicaCount === null) {
          const text = `Nothing has run yet: the fleet starts at minReplicaCount (${min}).`;
          steps.push({ code: "first-start", pool, text, numbers: { current, desired: min } });
          return move("start", current, min);
        }
        return null;
      }

      /** Both loops stop and the HPA is gone; `paused-replicas` sets its count once. */
      function pause(from: number): Want {
        const conditions = updateConditions(state.conditions, [{ type: "Paused", status: "True", reason: "ScaledObjectPaused" }], nowMs);
        state = { ...state, conditions, nextPollMs: nowMs + pollingMs, nextSyncMs: nowMs + pollingMs };
        let count: number | null = null;
        try {
          count = pausedReplicaCount(annotations);
        } catch (error) {
          if (!(error instanceof KedaError)) throw error;
          steps.push({ code: "paused-wrong", pool, text: `${error.message}.`, numbers: { current: from } });
        }
        if (count === null || state.parked || count === from) {
          state = { ...state, parked: state.parked || count === from };
          steps.push({ code: "paused", pool, text: `Paused by annotation: the count stays at ${from}.`, numbers: { current: from } });
          return { kind: "hold" };
        }
        steps.push({
          code: "parked",
          pool,
          text: `Paused at ${count} by annotation: from ${from}.`,
          numbers: { current: from, desired: count },
        });
        return move("pause", from, count);
      }

      function sync(specReplicas: number, statusReplicas: number): Want {
        let health: HealthByMetric | null = null;
        let outcomes: readonly TriggerOutcome[] = [];
        const outcomesOnce = (): readonly TriggerOutcome[] => {
          if (health === null) ({ outcomes, health } = readTriggers(scaledObject, answers.map(fromCache), state.health, counts));
          return outcomes;
        };
        const hpaSources: MetricSources = {
          ...found.hpa,
          external: ({ name }) => [externalMilli(name, outcomesOnce(), () => health ?? {})],
        };
        const scale = { specReplicas, statusReplicas };
        const selection = { kind: "selected", pods } as const;
        const plan = planSync(state.hpa, { nowMs, spec, scale, selection, sources: hpaSources, features: FEATURES, settings });
        const { branch, rescale, desiredReplicas } = plan;
        const memory = rescale || branch.kind === "failed" ? plan.memory : { ...plan.memory, desiredReplicas };
        const counted = health ?? state.health;
        state = { ...state, hpa: memory, health: counted };
        state = { ...state, conditions: updateConditions(state.conditions, [...hpaActive(memory), ...fallbackCondition(counted)], nowMs) };
        if (branch.kind === "disabled") {
          const text = "At zero the HPA does nothing: KEDA alone wakes the target.";
          steps.push({ code: "hpa-asleep", pool, text, numbers: { current: specReplicas } });
          return { kind: "hold" };
        }
        steps.push(...explain(pool, spec, scale, plan));
        if (rescale) return move("hpa", specReplicas, desiredReplicas);
        return branch.kind === "failed" ? { kind: "hold" } : { kind: "scale", replicas: specReplicas, drain: [] };
      }

      function fromCache(answer: TriggerAnswer, at: number): TriggerAnswer {
        const external = scaledObject.externals[at];
        if (external === undefined || !external.trigger.useCachedMetrics) return answer;
        return state.cached[external.metric.name] ?? answer;
      }
    },

    settle(before, outcome) {
      const state = read(before);
      const { pending } = state;
      const done = (next: State) => ({ state: write(next), conditions: [...next.conditions, ...next.hpa.conditions] });
      if (pending === null || pending.seq !== outcome.seq || outcome.pool !== pool) return done(state);
      const settled: State = { ...state, pending: null };
      const isAccepted = outcome.result === "accepted";
      if (pending.by === "hpa") {
        const hpa = isAccepted ? commitRescale(state.hpa, pending, spec, FEATURES, outcome.atMs) : failRescale(state.hpa, outcome.atMs);
        return done({ ...settled, hpa });
      }
      if (!isAccepted) return done(settled);
      return done({
        ...settled,
        fresh: false,
        parked: state.parked || pending.by === "pause",
        lastActiveMs: pending.marksActive ? outcome.atMs : state.lastActiveMs,
      });
    },
  };

  /** What the metrics server answers the HPA. */
  function externalMilli(name: string, outcomes: readonly TriggerOutcome[], health: () => HealthByMetric) {
    try {
      if (name === COMPOSITE_METRIC) return compositeOf(scaledObject, outcomes, health());
    } catch (error) {
      throw error instanceof KedaError ? new HpaError(error.message) : error;
    }
    const outcome = outcomes.find(({ external }) => external.metric.name === name)?.outcome;
    if (outcome?.kind === "metric" || outcome?.kind === "fallback") return outcome.milli;
    throw new HpaError(outcome?.kind === "error" ? outcome.message : "no trigger offers this metric");
  }

  function conditionsOf(result: ScaleResult, health: HealthByMetric): readonly ConditionUpdate[] {
    const isHalfPaused = pausesScaleIn(annotations) || pausesScaleOut(annotations);
    return [
      ready(result.ready.status, result.ready.reason),
      ...(result.active === null ? [] : [{ type: "Active", ...result.active }]),
      ...fallbackCondition(health),
      {
        type: "Paused",
        status: isHalfPaused ? "True" : "False",
        reason: isHalfPaused ? "ScaledObjectScalePaused" : "ScaledObjectUnpaused",
      },
    ];
  }

  function fallbackCondition(health: HealthByMetric): readonly ConditionUpdate[] {
    const is = isInFallback(fallback, modifiers, health);
    return [{ type: "Fallback", status: is ? "True" : "False", reason: is ? "FallbackExists" : "NoFallbackFound" }];
  }
}

const ready = (status: ConditionUpdate["status"], reason: string): ConditionUpdate => ({ type: "Ready", status, reason });
const pushed = (answer: TriggerAnswer): TriggerAnswer => ("error" in answer ? { value: 0, isActive: true } : { ...answer, isActive: true });

function hpaActive({ conditions }: HpaMemory): readonly ConditionUpdate[] {
  const { status, reason } = hpaHealth({ hpaName: "keda-hpa", readError: false, conditions });
  return status === "" ? [] : [{ type: "HPAActive", status, reason }];
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

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
