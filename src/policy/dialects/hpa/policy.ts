import type { Condition, Decision, Endpoint, Json, Manifest, Observation, Outcome, Policy, Want } from "../../../model/index.ts";
import { setCondition } from "./conditions.ts";
import { defaultSpec } from "./defaults.ts";
import { explain } from "./explain.ts";
import { commitRescale, EMPTY_MEMORY, failRescale, planSync, type Scale } from "./reconcile.ts";
import { needsOf, podOf, sourcesOf } from "./sources.ts";
import { compileSpec } from "./spec.ts";
import { CONTROLLER_DEFAULTS, type ControllerSettings, HPA_NEWEST, HPA_VERSIONS, type HpaFeatures } from "./version.ts";
import type { HpaMemory, Pod } from "./words.ts";

export interface HpaOptions {
  /** The newest release's by default. */
  readonly features?: HpaFeatures;
  readonly settings?: ControllerSettings;
}

/**
 * - `pending`: the change asked for last, until `settle` says what became of it.
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 */
interface State {
  readonly memory: HpaMemory;
  readonly pending: { readonly seq: number; readonly from: number; readonly to: number } | null;
  readonly fresh: boolean;
}

/**
 * A HorizontalPodAutoscaler over the endpoint's first pool: `current` is the count asked for, `status` the one reported.
 *
 * Different from the controller in one place: its target comes into being with replicas of its own, a fleet of ours with none,
 * and a count of 0 pauses an HPA. So a fleet that nobody has set starts at `minReplicas`, or, where that is 0, counts as put to
 * sleep by the HPA itself. A count that somebody set to 0 pauses it, as in the original.
 */
export function hpaPolicy(endpoint: Endpoint, manifest: Manifest, options: HpaOptions = {}): Policy<Json> {
  const features = options.features ?? HPA_VERSIONS[HPA_NEWEST];
  const settings = options.settings ?? CONTROLLER_DEFAULTS;
  const spec = compileSpec(defaultSpec(manifest.spec));
  const min = spec.minReplicas ?? 1;
  const pool = endpoint.pools[0]?.name ?? "default";

  const scaleOf = (observation: Observation): (Scale & { readonly otherWriter: boolean }) | null => {
    const status = observation.pools[pool];
    if (status === undefined) return null;
    return { specReplicas: status.wanted, statusReplicas: status.reported, otherWriter: status.otherWriter };
  };

  return {
    kind: "hpa",
    needs: needsOf(endpoint, spec, settings.syncPeriodMs),
    wakesOn: ["config"],

    start(first) {
      const scale = scaleOf(first);
      const fresh = scale !== null && scale.specReplicas === 0 && !scale.otherWriter;
      const asleep = fresh && min === 0 && features.HPAScaleToZero;
      const conditions = asleep ? setCondition([], "ScaledToZero", "True", "ScaledToZero", first.nowMs) : [];
      return write({ memory: { ...EMPTY_MEMORY, conditions }, pending: null, fresh });
    },

    decide(before, observation) {
      const state = read(before);
      const { nowMs, seq } = observation;
      const nextAtMs = nowMs + settings.syncPeriodMs;
      const finish = (next: State, want: Want, steps: Decision["steps"]) => ({
        state: write(next),
        decision: { seq, wants: { [pool]: want }, steps, conditions: next.memory.conditions, nextAtMs },
      });

      const scale = scaleOf(observation);
      if (scale === null) {
        const conditions = setCondition(state.memory.conditions, "AbleToScale", "False", "FailedGetScale", nowMs);
        const text = `The platform does not say how many replicas pool ${pool} has: the count stays.`;
        return finish({ ...state, memory: { ...state.memory, conditions } }, { kind: "hold" }, [
          { code: "no-scale", pool, text, numbers: {} },
        ]);
      }

      const current = scale.specReplicas;
      const fresh = state.fresh && current === 0 && !scale.otherWriter;
      if (fresh && min > 0) {
        const to = Math.min(min, spec.maxReplicas);
        const conditions = setCondition(state.memory.conditions, "AbleToScale", "True", "SucceededGetScale", nowMs);
        const text = `Nothing has run yet: the fleet starts at minReplicas (${min}).`;
        const next = { memory: { ...state.memory, conditions }, pending: { seq, from: current, to }, fresh };
        return finish(next, { kind: "scale", replicas: to, drain: [] }, [
          { code: "first-start", pool, text, numbers: { current, desired: to, min } },
        ]);
      }

      const pods: Pod[] = [];
      for (const replica of observation.replicas) {
        const pod = replica.pool === pool ? podOf(replica) : null;
        if (pod !== null) pods.push(pod);
      }
      const sources = sourcesOf(endpoint, spec, observation, pods);
      const plan = planSync(state.memory, { nowMs, spec, scale, selection: { kind: "selected", pods }, sources, features, settings });
      const { desiredReplicas, rescale } = plan;
      const holds = plan.branch.kind === "failed" || plan.branch.kind === "disabled";
      const next: State = {
        memory: rescale || plan.branch.kind === "failed" ? plan.memory : { ...plan.memory, desiredReplicas },
        pending: rescale ? { seq, from: current, to: desiredReplicas } : state.pending,
        fresh,
      };
      const want: Want = holds ? { kind: "hold" } : { kind: "scale", replicas: desiredReplicas, drain: [] };
      return finish(next, want, explain(pool, spec, scale, plan));
    },

    settle(before, outcome: Outcome) {
      const state = read(before);
      const { pending } = state;
      const done = (memory: HpaMemory, next: State): { state: Json; conditions: readonly Condition[] } => ({
        state: write(next),
        conditions: memory.conditions,
      });
      if (pending === null || pending.seq !== outcome.seq || outcome.pool !== pool) return done(state.memory, state);
      // A fleet's first start is no scaling: the original never sees its target come into being.
      const memory =
        outcome.result !== "accepted"
          ? failRescale(state.memory, outcome.atMs)
          : state.fresh && min > 0
            ? { ...state.memory, desiredReplicas: pending.to }
            : commitRescale(state.memory, pending, spec, features, outcome.atMs);
      return done(memory, { memory, pending: null, fresh: state.fresh && outcome.result !== "accepted" });
    },
  };
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
