import type { Endpoint, Ms, Observation, Pool } from "../../../model/index.ts";
import { countReplicas } from "../../pipeline.ts";
import {
  type CounterMemory,
  type EngineShape,
  engineLimits,
  type LatencySum,
  meanLatency,
  profileOf,
  type ReplicaReading,
  type Traffic,
} from "../llm/index.ts";
import { type EngineKind, type EngineModel, learnPass } from "./engine-model.ts";
import type { EngineLoad } from "./load.ts";
import type { Predictor } from "./predictor.ts";
import { minEndpoint, type PlannerSpec } from "./spec.ts";

export type Component = "prefill" | "decode";
/** Replicas that are wanted of every component. */
export type Counts = Partial<Record<Component, number>>;
/** What the planner remembers; JSON. */
export type PlannerState = {
  readonly loadDueMs: Ms;
  readonly throughputDueMs: Ms;
  readonly traffic: Traffic;
  readonly ttft: LatencySum;
  readonly itl: LatencySum;
  readonly counters: CounterMemory;
  readonly predictors: { readonly requests: Predictor; readonly prompt: Predictor; readonly output: Predictor };
  /** Mean prompt and answer of the last interval that had any; tokens in queues are counted by it. */
  readonly size: { readonly prompt: number; readonly output: number } | null;
  readonly hitShare: number;
  readonly floors: { readonly prefill: number; readonly decode: number };
  readonly models: { readonly prefill: EngineModel; readonly decode: EngineModel };
  readonly corrections: { readonly prefill: number; readonly decode: number };
};

/** One component: its pool and how its engines are counted and sized. */
export interface Unit {
  readonly component: Component;
  readonly kind: EngineKind;
  readonly pool: Pool;
  readonly gpus: number;
  readonly minEndpoint: number;
}
/** A component as it is now. `moving`: its replicas are not yet, or no longer, as many as were asked for. */
export interface Now {
  readonly unit: Unit;
  readonly workers: number;
  readonly wanted: number;
  readonly moving: boolean;
  readonly readings: readonly ReplicaReading[];
  /** null: an engine did not report, so that no load decision is made. */
  readonly loads: readonly EngineLoad[] | null;
  readonly shape: EngineShape;
  readonly contextTokens: number | null;
}

export const noLatency: LatencySum = { sum: 0, count: 0 };
/** Longest context that current models of the Llama family state, for engines that do not say theirs. */
const MODEL_CONTEXT = 131_072;

export function unitsOf(endpoint: Endpoint, spec: PlannerSpec): readonly Unit[] {
  const pick = (role: Pool["role"]) => endpoint.pools.find((pool) => pool.role === role);
  const unit = (component: Component, kind: EngineKind, pool: Pool): Unit => {
    const stated = component === "prefill" ? spec.prefill_engine_num_gpu : spec.decode_engine_num_gpu;
    return { component, kind, pool, gpus: stated ?? pool.gpusPerReplica, minEndpoint: Math.min(minEndpoint(spec, component), pool.max) };
  };
  const [prefill, decode, serve] = [pick("prefill"), pick("decode"), pick("serve")];
  const units = [
    ...(prefill !== undefined && (spec.mode === "disagg" || spec.mode === "prefill") ? [unit("prefill", "prefill", prefill)] : []),
    ...(decode !== undefined && (spec.mode === "disagg" || spec.mode === "decode") ? [unit("decode", "decode", decode)] : []),
  ];
  if (units.length > 0) return units;
  const both = serve ?? decode ?? endpoint.pools[0];
  return both === undefined ? [] : [unit("decode", "agg", both)];
}

/** The component as observed; null where its pool is unknown to the platform. */
export function look(
  endpoint: Endpoint,
  state: PlannerState,
  now: Observation,
  unit: Unit,
  readings: readonly ReplicaReading[],
): Now | null {
  const status = now.pools[unit.pool.name];
  if (status === undefined) return null;
  const { ready, starting } = countReplicas(now, unit.pool.name);
  const draining = now.replicas.some((replica) => replica.pool === unit.pool.name && replica.state === "draining");
  const own = readings.filter(({ id }) => ready.some((replica) => replica.id === id));
  const limits = engineLimits(endpoint, unit.pool);
  const kv = own.map(({ kvCapacityTokens }) => kvCapacityTokens).filter((tokens) => tokens !== null);
  const maxKvTokens = kv.length > 0 ? Math.min(...kv) : (profileOf(endpoint, unit.pool)?.kvCapacityTokens ?? null);
  const prompt = state.size?.prompt ?? 0;
  const loads = own.map((reading): EngineLoad | null => {
    const { id, waiting, kvUsed } = reading;
    if (waiting === null || (unit.kind !== "prefill" && (kvUsed === null || maxKvTokens === null))) return null;
    const queued = Math.round(waiting * prompt);
    return {
      id,
      queuedPrefillTokens: unit.kind === "decode" ? 0 : queued,
      scheduledDecodeKv: unit.kind === "prefill" ? 0 : Math.round((kvUsed ?? 0) * (maxKvTokens ?? 0)),
      queuedDecodeKv: unit.kind === "decode" ? queued : 0,
    };
  });
  return {
    unit,
    workers: ready.length,
    wanted: status.wanted,
    moving: status.wanted !== ready.length || starting.length > 0 || draining,
    readings: own,
    loads: own.length === ready.length && loads.every((load) => load !== null) ? (loads as EngineLoad[]) : null,
    shape: { maxNumBatchedTokens: limits.maxNumBatchedTokens, maxNumSeqs: limits.maxNumSeqs, maxKvTokens },
    contextTokens: limits.maxModelLen ?? (maxKvTokens === null ? null : Math.min(MODEL_CONTEXT, maxKvTokens)),
  };
}

/** One mean forward pass of every replica that worked since the last look. */
export function learn(state: PlannerState, nows: readonly Now[], spec: PlannerSpec): PlannerState["models"] {
  const samples = samplesOf(spec);
  const models = { ...state.models };
  for (const { unit, readings, shape } of nows) {
    for (const { running, kvUsed, grown, ttft, itl } of readings) {
      if (running === null || grown === null || !(grown.seconds > 0)) continue;
      const kvTokens = (kvUsed ?? 0) * (shape.maxKvTokens ?? 0);
      const [firstMs, gapMs] = [meanLatency([ttft]), meanLatency([itl])].map((mean) => (mean === null ? null : mean * 1000)) as [
        number | null,
        number | null,
      ];
      const prompt = grown.finished !== null && grown.finished > 0 ? grown.promptTokens / grown.finished : (state.size?.prompt ?? null);
      const each = gapMs ?? (grown.outputTokens > 0 && running > 0 ? (1000 * running * grown.seconds) / grown.outputTokens : null);
      const computed = Math.max(0, grown.promptTokens - grown.hitTokens);
      const pass =
        unit.kind === "prefill"
          ? { prefillTokens: prompt ?? 0, decoding: 0, kvTokens: 0, promptTokens: prompt, ms: prompt === null ? null : firstMs }
          : {
              prefillTokens: each === null ? 0 : (computed / grown.seconds) * (each / 1000),
              decoding: running,
              kvTokens,
              promptTokens: prompt,
              ms: running > 0 ? each : null,
            };
      models[unit.component] = learnPass(models[unit.component], unit.kind, pass, samples);
    }
  }
  return models;
}

export const samplesOf = (spec: PlannerSpec) => ({ maxSamples: spec.max_num_fpm_samples, buckets: spec.fpm_sample_bucket_size });

/** Sums of latencies as users see them where a ledger tells, else as engines do. */
export function latenciesOf(
  state: PlannerState,
  now: Observation,
  readings: readonly ReplicaReading[],
): Pick<PlannerState, "ttft" | "itl"> {
  const add = (sum: LatencySum, parts: readonly (LatencySum | null)[]): LatencySum =>
    parts.reduce<LatencySum>((total, part) => ({ sum: total.sum + (part?.sum ?? 0), count: total.count + (part?.count ?? 0) }), sum);
  const own = now.series.find(({ name, subject }) => name === "ttft" && subject.kind === "endpoint");
  const seen = (own?.samples ?? []).flatMap(({ value }) =>
    typeof value === "number" ? [] : [{ sum: value.sum, count: value.counts.reduce((sum, one) => sum + one, 0) }],
  );
  return {
    ttft: add(state.ttft, seen.length > 0 ? seen : readings.map(({ ttft }) => ttft)),
    itl: add(
      state.itl,
      readings.map(({ itl }) => itl),
    ),
  };
}
