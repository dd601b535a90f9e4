import type { Decision, Endpoint, Json, Observation, Policy, Step, Want } from "../../../model/index.ts";
import { commitRescale, EMPTY_MEMORY, failRescale } from "../hpa/index.ts";
import { needsToBePaused } from "./annotations.ts";
import { ready, updateConditions } from "./conditions.ts";
import { pause, poll, push } from "./executor-loop.ts";
import { hpaSpec } from "./hpa-spec.ts";
import type { TriggerAnswer } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";
import { HPA_FEATURES, SYNC_PERIOD_MS, sync } from "./sizing-loop.ts";
import { isReadyPod, podsOf, type TriggerSources } from "./sources.ts";
import { type Moment, read, type State, type Turn, write } from "./state.ts";

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
  const { annotations, pollingMs } = scaledObject;
  const spec = hpaSpec(scaledObject);
  const pool = endpoint.pools[0]?.name ?? "default";

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
      const steps: Step[] = [];
      let state = read(before);
      if (remembering !== undefined) state = { ...state, own: remembering.observe(state.own, observation) };
      const take = (turn: Turn): Want | null => {
        state = turn.state;
        steps.push(...turn.steps);
        return turn.want;
      };
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

      const status = observation.pools[pool];
      const isPollDue = nowMs >= state.nextPollMs;
      const isSyncDue = nowMs >= state.nextSyncMs;
      const isPushed = isPush && observation.cause === "held";
      if (status !== undefined) state = { ...state, fresh: state.fresh && status.wanted === 0 && !status.otherWriter };
      if (!isPollDue && !isSyncDue && !isPushed) return finish({ kind: "hold" });

      if (isPollDue) state = { ...state, nextPollMs: nowMs + pollingMs };
      if (isSyncDue) state = { ...state, nextSyncMs: nowMs + SYNC_PERIOD_MS };
      if (status === undefined) {
        state = { ...state, conditions: updateConditions(state.conditions, [ready("False", "ErrorGettingCurrentReplicas")], nowMs) };
        const text = `The platform does not say how many replicas pool ${pool} has: the count stays.`;
        steps.push({ code: "no-scale", pool, text, numbers: {} });
        return finish({ kind: "hold" });
      }

      const pods = podsOf(observation, pool);
      const found = sources.at(observation, pods);
      const current = status.wanted;
      const moment: Moment = {
        ...{ seq, nowMs, pool, scaledObject, pods, current, reported: status.reported },
        answers: remembering?.at(state.own, observation) ?? found.answers,
        counts: { currentReplicas: current, readyReplicas: pods.filter(isReadyPod).length },
      };
      const stay: Want = { kind: "scale", replicas: current, drain: [] };
      if (needsToBePaused(annotations)) return finish(take(pause(state, moment)) ?? stay);
      const polled = isPollDue ? take(poll(state, moment)) : null;
      const woken = polled === null && isPushed ? take(push(state, moment)) : polled;
      if (woken !== null) return finish(woken);
      return finish((isSyncDue ? take(sync(state, moment, spec, found.hpa)) : null) ?? stay);
    },

    settle(before, outcome) {
      const state = read(before);
      const { pending } = state;
      const done = (next: State) => ({ state: write(next), conditions: [...next.conditions, ...next.hpa.conditions] });
      if (pending === null || pending.seq !== outcome.seq || outcome.pool !== pool) return done(state);
      const settled: State = { ...state, pending: null };
      const isAccepted = outcome.result === "accepted";
      if (pending.by === "hpa") {
        const hpa = isAccepted ? commitRescale(state.hpa, pending, spec, HPA_FEATURES, outcome.atMs) : failRescale(state.hpa, outcome.atMs);
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
}
