import type { Condition, Endpoint, Json, Manifest, Ms, Need, Observation, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { countReplicas } from "../../pipeline.ts";
import { readerOf } from "../../reading.ts";
import { replicas as count, num, seconds } from "../../words.ts";
import {
  addTraffic,
  type CounterMemory,
  type EngineShape,
  engineLimits,
  type LatencySum,
  meanLatency,
  meanOutput,
  meanPrompt,
  noTraffic,
  profileOf,
  REPLICA_SERIES,
  type ReplicaReading,
  readReplicas,
  type Traffic,
} from "../llm/index.ts";
import { clampPair, clampSingle } from "./budget.ts";
import { benchmark, type EngineKind, type EngineModel, iterationTime, learnPass, noEngineModel } from "./engine-model.ts";
import {
  combineAggregated,
  type EngineLoad,
  type LoadDecision,
  latencyDecode,
  latencyPrefill,
  type StaticRules,
  staticDecode,
  staticPrefill,
} from "./load.ts";
import { noPredictor, observe, type Predictor, predictNext, predictorConfig } from "./predictor.ts";
import { minEndpoint, type PlannerSpec, plannerSpecOf } from "./spec.ts";
import {
  type Corrections,
  capChange,
  corrections,
  type Forecast,
  NO_CORRECTION,
  type Sized,
  sizeAggregated,
  sizeCorrected,
  sizeDecode,
  sizePrefill,
} from "./throughput.ts";

type Component = "prefill" | "decode";
type State = {
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
interface Unit {
  readonly component: Component;
  readonly kind: EngineKind;
  readonly pool: Pool;
  readonly gpus: number;
  readonly minEndpoint: number;
}
/** A component as it is now. `moving`: its replicas are not yet, or no longer, as many as were asked for. */
interface Now {
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

const nothing: LatencySum = { sum: 0, count: 0 };
/** Longest context that current models of the Llama family state, for engines that do not say theirs. */
const MODEL_CONTEXT = 131_072;
const REASONS: Readonly<Record<LoadDecision["reason"], string>> = {
  scale_up: "one more",
  scale_down: "one fewer",
  no_change: "no change",
  insufficient_data: "too little is known to decide",
  scale_down_refused_consolidation: "one fewer could not carry it",
};

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
  const config = predictorConfig(spec);
  const samples = { maxSamples: spec.max_num_fpm_samples, buckets: spec.fpm_sample_bucket_size };
  const targets = { ttftMs: spec.ttft_ms, itlMs: spec.itl_ms };
  const budget = { minGpus: spec.min_gpu_budget, maxGpus: spec.max_gpu_budget };
  const loadMs = spec.load_adjustment_interval_seconds * 1000;
  const throughputMs = spec.throughput_adjustment_interval_seconds * 1000;
  const loops = {
    load: spec.version === "2026" && spec.enable_load_scaling,
    throughput: spec.version === "2025" || spec.enable_throughput_scaling,
  };

  function look(state: State, now: Observation, unit: Unit, readings: readonly ReplicaReading[]): Now | null {
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
  function learn(state: State, nows: readonly Now[]): State["models"] {
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

  /** Counts that the load loop wants; null: it makes no decision. */
  function loadLoop(state: State, nows: readonly Now[], steps: Step[]): Partial<Record<Component, number>> | null {
    const known = nows.filter(({ workers }) => workers > 0);
    if (known.length === 0) return null;
    const silent = known.find(({ loads }) => loads === null);
    if (silent !== undefined) {
      steps.push(
        step(
          "worker-count-mismatch",
          `Not all ${count(silent.workers)} of ${silent.unit.pool.name} report: no load decision.`,
          { workers: silent.workers },
          silent.unit.pool.name,
        ),
      );
      return null;
    }
    const wanted: Partial<Record<Component, number>> = {};
    for (const now of nows) {
      const { unit, workers, moving } = now;
      if (moving) {
        steps.push(
          step(
            "scaling-in-progress",
            `${unit.pool.name} is still on its way to ${now.wanted}: it is only observed.`,
            { workers, wanted: now.wanted },
            unit.pool.name,
          ),
        );
        wanted[unit.component] = now.wanted;
        continue;
      }
      const { desired, text, numbers } = decideLoad(state, now);
      steps.push(step("load", `${unit.pool.name}: ${text}.`, numbers, unit.pool.name));
      const floor = loops.throughput ? state.floors[unit.component] : 0;
      const raised = Math.max(desired ?? workers, floor, unit.minEndpoint);
      if (desired !== null && desired < workers && raised > desired)
        steps.push(
          step(
            "floor",
            `${unit.pool.name}: no fewer than ${raised}, by the throughput loop or the least number of endpoints.`,
            { desired, floor: raised },
            unit.pool.name,
          ),
        );
      wanted[unit.component] = raised;
    }
    return clampToBudget(wanted, nows, steps);
  }

  function decideLoad(state: State, now: Now) {
    const { unit, workers, shape, contextTokens } = now;
    const loads = now.loads ?? [];
    const said = (name: string, { reason, worst }: LoadDecision, unitName: string) =>
      `${name}${worst === null ? "" : ` ${num(worst)}${unitName} at most`}: ${REASONS[reason]}`;
    if (spec.optimization_target !== "sla") {
      const rules: StaticRules = {
        target: spec.optimization_target,
        minEndpoint: unit.minEndpoint,
        prefillTokens: pairOf(spec.prefill_scale_up_queue_tokens, spec.prefill_scale_down_queue_tokens),
        kvPercent: pairOf(spec.decode_scale_up_kv_rate, spec.decode_scale_down_kv_rate),
      };
      const decision =
        unit.kind === "prefill"
          ? staticPrefill(loads, workers, contextTokens, rules)
          : staticDecode(loads, workers, shape.maxKvTokens, unit.kind === "agg", rules);
      const name =
        unit.kind !== "prefill" ? "KV cache" : rules.target === "load" ? "queued prompt tokens" : "queued prompts per context length";
      return { desired: decision.desired, text: said(name, decision, ""), numbers: { workers, worst: decision.worst ?? -1 } };
    }
    const time = iterationTime(state.models[unit.component], unit.kind, spec.load_min_observations);
    if (time === null) return { desired: null, text: REASONS.insufficient_data, numbers: { workers } };
    const estimator = {
      time,
      model: state.models[unit.component],
      maxNumBatchedTokens: shape.maxNumBatchedTokens,
      maxKvTokens: shape.maxKvTokens,
      hitShare: state.hitShare,
    };
    const rules = { sensitivity: spec.load_scaling_down_sensitivity / 100, minEndpoint: unit.minEndpoint };
    const first = () => latencyPrefill(loads, workers, estimator, { ...rules, targetMs: spec.ttft_ms }, unit.kind === "agg");
    const between = () => latencyDecode(loads, workers, estimator, { ...rules, targetMs: spec.itl_ms }, unit.kind === "agg");
    if (unit.kind === "prefill") {
      const decision = first();
      return {
        desired: decision.desired,
        text: said("time to first token", decision, " ms"),
        numbers: { workers, ttftMs: decision.worst ?? -1 },
      };
    }
    if (unit.kind === "decode") {
      const decision = between();
      return {
        desired: decision.desired,
        text: said("time between tokens", decision, " ms"),
        numbers: { workers, itlMs: decision.worst ?? -1 },
      };
    }
    const [prefill, decode] = [first(), between()];
    return {
      desired: combineAggregated(prefill, decode, workers),
      text: `${said("time to first token", prefill, " ms")}; ${said("time between tokens", decode, " ms")}`,
      numbers: { workers, ttftMs: prefill.worst ?? -1, itlMs: decode.worst ?? -1 },
    };
  }

  /** What the throughput loop wants of every component; null where it cannot size them all. */
  function throughputLoop(
    state: State,
    nows: readonly Now[],
    steps: Step[],
  ): { readonly state: State; readonly wanted: Partial<Record<Component, number>> | null } {
    const { traffic } = state;
    const windowSeconds = (traffic.toMs - traffic.fromMs) / 1000;
    if (traffic.partial || !(windowSeconds > 0)) {
      steps.push(step("no-traffic-data", `Nobody says what arrived in the last ${seconds(throughputMs)}: the throughput loop skips it.`));
      return { state, wanted: null };
    }
    const prompt = meanPrompt(traffic);
    const output = meanOutput(traffic) ?? (traffic.requests > 0 ? (state.size?.output ?? 0) : 0);
    const window = { requests: (traffic.requests * throughputMs) / 1000 / windowSeconds, prompt: prompt ?? 0, output };
    const seenBy = {
      requests: observe(state.predictors.requests, window.requests, config),
      prompt: observe(state.predictors.prompt, window.prompt, config),
      output: observe(state.predictors.output, window.output, config),
    };
    const [requests, promptNext, outputNext] = [
      predictNext(seenBy.requests, config),
      predictNext(seenBy.prompt, config),
      predictNext(seenBy.output, config),
    ];
    const hitShare = traffic.promptTokens > 0 ? Math.min(1, traffic.hitTokens / traffic.promptTokens) : state.hitShare;
    const forecast: Forecast = {
      requestsPerSecond: (1000 * requests.value) / throughputMs,
      promptTokens: promptNext.value,
      outputTokens: outputNext.value,
      hitShare,
    };
    let after: State = {
      ...state,
      hitShare,
      predictors: { requests: requests.predictor, prompt: promptNext.predictor, output: outputNext.predictor },
    };
    steps.push(
      step(
        "forecast",
        `${num(forecast.requestsPerSecond)} requests/s are expected, of ${num(forecast.promptTokens, 0)} prompt and ${num(forecast.outputTokens, 0)} output tokens (${spec.load_predictor} of ${num(window.requests)} in the last interval).`,
        { ...forecast, observed: window.requests },
      ),
    );
    const sized = sizeAll(after, nows, forecast, window, windowSeconds, steps);
    after = sized.state;
    const ready = nows.every(({ unit }) => (sized.sizes[unit.component]?.replicas ?? null) !== null);
    const wanted: Partial<Record<Component, number>> = {};
    for (const { unit, workers } of nows) {
      const size = sized.sizes[unit.component];
      const rate = size?.rate ?? null;
      if (size?.replicas == null || rate === null)
        steps.push(
          step(
            "model-not-ready",
            `${unit.pool.name}: its engines cannot be sized yet, so it stays at ${workers}.`,
            { workers },
            unit.pool.name,
          ),
        );
      else {
        const latencies = [
          rate.ttftMs === null ? "" : `${num(rate.ttftMs, 0)} ms to the first token`,
          rate.itlMs === null ? "" : `${num(rate.itlMs, 1)} ms between tokens`,
        ];
        steps.push(
          step(
            "engine-rate",
            `${unit.pool.name}: one engine carries ${num(rate.perSecond)} requests/s at ${latencies.filter((text) => text !== "").join(" and ")}${rate.met ? "" : " (the target cannot be met)"}: ${count(size.replicas)}.`,
            { perSecond: rate.perSecond, replicas: size.replicas },
            unit.pool.name,
          ),
        );
      }
      // Where one side cannot be sized the other does not move either.
      const desired = ready ? (size?.replicas as number) : workers;
      const capped = spec.version === "2025" ? desired : capChange(desired, workers, spec.max_throughput_scaling_replicas);
      if (capped !== desired)
        steps.push(
          step(
            "capped",
            `${unit.pool.name}: ${desired} is more than ${spec.max_throughput_scaling_replicas} away from ${workers}; ${capped} for now.`,
            { desired, capped },
            unit.pool.name,
          ),
        );
      wanted[unit.component] = Math.max(capped, unit.minEndpoint);
    }
    return { state: after, wanted: clampToBudget(wanted, nows, steps) };
  }

  function sizeAll(
    state: State,
    nows: readonly Now[],
    forecast: Forecast,
    window: { readonly requests: number; readonly prompt: number; readonly output: number },
    windowSeconds: number,
    steps: Step[],
  ): { readonly state: State; readonly sizes: Partial<Record<Component, Sized>> } {
    const timeOf = (now: Now | undefined) => (now === undefined ? null : iterationTime(state.models[now.unit.component], now.unit.kind, 1));
    const sizes: Partial<Record<Component, Sized>> = {};
    const [prefill, decode] = [nows.find(({ unit }) => unit.kind === "prefill"), nows.find(({ unit }) => unit.kind === "decode")];
    const [prefillTime, decodeTime] = [timeOf(prefill), timeOf(decode)];
    if (spec.version === "2025" && prefill !== undefined && decode !== undefined && prefillTime !== null && decodeTime !== null) {
      const [ttft, itl] = [meanLatency([state.ttft]), meanLatency([state.itl])];
      if (ttft === null || itl === null || !(window.prompt > 0) || !(window.output > 0)) return { state, sizes };
      let factors: Corrections = NO_CORRECTION;
      if (!spec.no_correction) {
        const seen = {
          ttftMs: ttft * 1000,
          itlMs: itl * 1000,
          requestsPerSecond: (1000 * window.requests) / throughputMs,
          promptTokens: window.prompt,
          outputTokens: window.output,
          decodeReplicas: decode.workers,
        };
        const found = corrections(prefillTime, decodeTime, prefill.shape, seen);
        if (found === null) return { state, sizes };
        factors = found;
        steps.push(
          step(
            "correction",
            `Observed over expected: ${num(factors.prefill)} of the time to first token, ${num(factors.decode)} of that between tokens.`,
            {
              ...factors,
              windowSeconds,
            },
          ),
        );
      }
      const shapes = { prefill: prefill.shape, decode: decode.shape };
      return {
        state: { ...state, corrections: { ...factors } },
        sizes: sizeCorrected(prefillTime, decodeTime, shapes, forecast, targets, factors),
      };
    }
    for (const now of nows) {
      const time = timeOf(now);
      if (time === null) continue;
      const size = { prefill: sizePrefill, decode: sizeDecode, agg: sizeAggregated }[now.unit.kind];
      sizes[now.unit.component] = size(time, now.shape, forecast, targets);
    }
    return { state, sizes };
  }

  function clampToBudget(
    wanted: Partial<Record<Component, number>>,
    nows: readonly Now[],
    steps: Step[],
  ): Partial<Record<Component, number>> {
    const shareOf = ({ unit }: Now) => ({ replicas: wanted[unit.component] as number, gpus: unit.gpus, minEndpoint: unit.minEndpoint });
    const [first, second] = nows;
    if (first === undefined) return wanted;
    const clamped: Partial<Record<Component, number>> = { ...wanted };
    if (second === undefined) clamped[first.unit.component] = clampSingle(shareOf(first), budget);
    else [clamped[first.unit.component], clamped[second.unit.component]] = clampPair(shareOf(first), shareOf(second), budget);
    const before = nows.map(({ unit }) => wanted[unit.component]).join(" and ");
    const after = nows.map(({ unit }) => clamped[unit.component]).join(" and ");
    if (before !== after)
      steps.push(
        step(
          "gpu-budget",
          `${before} would not fit ${spec.max_gpu_budget < 0 ? "the least number of GPUs" : `${spec.max_gpu_budget} GPUs`}: ${after}.`,
          { ...budget },
        ),
      );
    return clamped;
  }

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
          if (profile !== null) models[component] = benchmark(models[component], kind, profile, shape, samples);
        }
      return write({
        loadDueMs: first.nowMs,
        throughputDueMs: first.nowMs + throughputMs,
        traffic: noTraffic(first.nowMs),
        ttft: nothing,
        itl: nothing,
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
      const nows = units.flatMap((unit) => look(state, now, unit, readings) ?? []);
      state = { ...state, models: learn(state, nows) };

      let wanted: Partial<Record<Component, number>> | null = null;
      const complete = nows.length === units.length;
      if (loops.throughput && now.nowMs >= state.throughputDueMs) {
        const result = throughputLoop(state, nows, steps);
        state = { ...result.state, traffic: noTraffic(now.nowMs), ttft: nothing, itl: nothing, throughputDueMs: now.nowMs + throughputMs };
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
        if (loops.load && complete) wanted = loadLoop(state, nows, steps);
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

const pairOf = (up: number | null, down: number | null) => (up === null || down === null ? null : { up, down });

function unitsOf(endpoint: Endpoint, spec: PlannerSpec): readonly Unit[] {
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

/** Sums of latencies as users see them where a ledger tells, else as engines do. */
function latenciesOf(state: State, now: Observation, readings: readonly ReplicaReading[]): Pick<State, "ttft" | "itl"> {
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

/** Every pool gets a want: what was decided inside its bounds, or a hold; the least number of endpoints holds always. */
function wantsOf(
  endpoint: Endpoint,
  spec: PlannerSpec,
  nows: readonly Now[],
  wanted: Partial<Record<Component, number>> | null,
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

function step(code: string, text: string, numbers: Readonly<Record<string, number>> = {}, pool?: string): Step {
  return pool === undefined ? { code, text, numbers } : { code, text, numbers, pool };
}

function needsOf(loadMs: Ms): readonly Need[] {
  const ofEndpoint = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second", "ttft"];
  return [
    ...REPLICA_SERIES.map((name): Need => ({ name, per: "replica", sampleEveryMs: loadMs })),
    ...ofEndpoint.map((name): Need => ({ name, per: "endpoint", sampleEveryMs: loadMs })),
  ];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
