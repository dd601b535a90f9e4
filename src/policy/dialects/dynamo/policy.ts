import type { Condition, Endpoint, Json, Manifest, Ms, Need, Policy, Step, Want } from "../../../model/index.ts";
import { readerOf } from "../../reading.ts";
import {
  addTraffic,
  engineLimits,
  meanOutput,
  meanPrompt,
  noTraffic,
  profileOf,
  REPLICA_SERIES,
  readReplicas,
  step,
} from "../llm/index.ts";
import { type Counts, latenciesOf, learn, look, type Now, noLatency, type PlannerState, samplesOf, unitsOf } from "./components.ts";
import { benchmark, noEngineModel } from "./engine-model.ts";
import { loadLoop } from "./load-loop.ts";
import { noPredictor } from "./predictor.ts";
import { type PlannerSpec, plannerSpecOf } from "./spec.ts";
import { NO_CORRECTION } from "./throughput.ts";
import { throughputLoop } from "./throughput-loop.ts";

/**
 * Dynamo's planner over the endpoint's prefill and decode pools, or over a pool that serves both (aggregated), also where the
 * endpoint has no pools in the roles of the manifest's mode. Forward-pass metrics are what replicas report, one mean pass per load
 * interval; token counts of queues are requests × the mean prompt.
 *
 * Different from the original: an interval of which nobody knows the traffic teaches the predictors nothing (there it is one without
 * requests, after which the planner shrinks); and a component that another role's pool cannot be told apart from is left alone.
 */
export function dynamoPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const spec = plannerSpecOf(manifest);
  const units = unitsOf(endpoint, spec);
  const loadMs = spec.load_adjustment_interval_seconds * 1000;
  const throughputMs = spec.throughput_adjustment_interval_seconds * 1000;
  const loops = {
    load: spec.version === "2026" && spec.enable_load_scaling,
    throughput: spec.version === "2025" || spec.enable_throughput_scaling,
  };

  return {
    kind: "dynamo",
    needs: needsOf(loadMs),
    wakesOn: ["config"],

    start: (first) => {
      const models = { prefill: noEngineModel, decode: noEngineModel };
      if (spec.pre_deployment_sweeping_mode !== "none")
        for (const { component, kind, pool } of units) {
          const profile = profileOf(endpoint, pool);
          const shape = { ...engineLimits(endpoint, pool), maxKvTokens: profile?.kvCapacityTokens ?? null };
          if (profile !== null) models[component] = benchmark(models[component], kind, profile, shape, samplesOf(spec));
        }
      return write({
        loadDueMs: first.nowMs,
        throughputDueMs: first.nowMs + throughputMs,
        traffic: noTraffic(first.nowMs),
        ttft: noLatency,
        itl: noLatency,
        counters: {},
        predictors: { requests: noPredictor, prompt: noPredictor, output: noPredictor },
        size: null,
        hitShare: 0,
        floors: { prefill: 0, decode: 0 },
        models,
        corrections: { ...NO_CORRECTION },
      });
    },

    decide(json, now) {
      let state = read(json);
      const reader = readerOf(now, endpoint.staleAfterMs);
      const steps: Step[] = [];
      const live = now.replicas.filter((replica) => replica.state === "ready" && units.some(({ pool }) => pool.name === replica.pool));
      const { memory, readings } = readReplicas(state.counters, now, endpoint.staleAfterMs, live);
      const traffic = addTraffic(state.traffic, now, reader);
      const [prompt, output] = [meanPrompt(traffic), meanOutput(traffic)];
      state = {
        ...state,
        counters: memory,
        traffic,
        ...latenciesOf(state, now, readings),
        size: prompt === null ? state.size : { prompt, output: output ?? state.size?.output ?? 0 },
      };
      const nows = units.flatMap((unit) => look(endpoint, state, now, unit, readings) ?? []);
      state = { ...state, models: learn(state, nows, spec) };

      let wanted: Counts | null = null;
      const complete = nows.length === units.length;
      if (loops.throughput && now.nowMs >= state.throughputDueMs) {
        const result = throughputLoop(state, nows, spec, steps);
        state = {
          ...result.state,
          traffic: noTraffic(now.nowMs),
          ttft: noLatency,
          itl: noLatency,
          throughputDueMs: now.nowMs + throughputMs,
        };
        if (result.wanted !== null && complete) {
          if (loops.load) {
            state = { ...state, floors: { prefill: result.wanted.prefill ?? 0, decode: result.wanted.decode ?? 0 } };
            steps.push(
              step("lower-bound", `The load loop goes no lower than ${Object.values(result.wanted).join(" and ")}.`, { ...result.wanted }),
            );
          } else if (nows.some(({ moving }) => moving)) {
            steps.push(step("not-ready", "The deployment is still changing: the planner waits until it is ready.", {}));
          } else wanted = result.wanted;
        }
      }
      if (now.nowMs >= state.loadDueMs) {
        if (loops.load && complete) wanted = loadLoop(state, nows, spec, steps);
        state = { ...state, loadDueMs: now.nowMs + loadMs };
      }
      return {
        state: write(state),
        decision: {
          seq: now.seq,
          wants: wantsOf(endpoint, spec, nows, wanted, steps),
          steps,
          conditions: [] as readonly Condition[],
          nextAtMs: Math.max(now.nowMs + 1, Math.min(state.loadDueMs, loops.throughput ? state.throughputDueMs : Number.POSITIVE_INFINITY)),
        },
      };
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

/** Every pool gets a want: what was decided inside its bounds, or a hold; the least number of endpoints holds always. */
function wantsOf(
  endpoint: Endpoint,
  spec: PlannerSpec,
  nows: readonly Now[],
  wanted: Counts | null,
  steps: Step[],
): Readonly<Record<string, Want>> {
  const wants: Record<string, Want> = Object.fromEntries(endpoint.pools.map(({ name }): [string, Want] => [name, { kind: "hold" }]));
  for (const { unit, wanted: current } of nows) {
    const { pool } = unit;
    const decided = wanted?.[unit.component];
    const least = Math.min(pool.max, Math.max(pool.min, unit.minEndpoint));
    const target = Math.min(pool.max, Math.max(least, decided ?? current));
    if (decided === undefined && target === current) continue;
    if (decided !== undefined && target !== decided)
      steps.push(
        step("bounded", `${pool.name}: ${decided} is outside ${least} to ${pool.max}: ${target}.`, { decided, target }, pool.name),
      );
    if (target !== current)
      steps.push(
        step(
          spec.advisory ? "advised" : "scale",
          `${pool.name} ${spec.advisory ? "should go" : "goes"} from ${current} to ${target}.`,
          { current, desired: target },
          pool.name,
        ),
      );
    if (!spec.advisory) wants[pool.name] = { kind: "scale", replicas: target, drain: [] };
  }
  return wants;
}

function needsOf(loadMs: Ms): readonly Need[] {
  const ofEndpoint = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second", "ttft"];
  return [
    ...REPLICA_SERIES.map((name): Need => ({ name, per: "replica", sampleEveryMs: loadMs })),
    ...ofEndpoint.map((name): Need => ({ name, per: "endpoint", sampleEveryMs: loadMs })),
  ];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: PlannerState): Json => state as unknown as Json;
const read = (state: Json): PlannerState => state as unknown as PlannerState;
