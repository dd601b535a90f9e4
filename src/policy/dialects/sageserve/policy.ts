import type { Endpoint, Json, Manifest, Ms, Need, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { countReplicas } from "../../pipeline.ts";
import { readerOf } from "../../reading.ts";
import { replicas as count, num, seconds } from "../../words.ts";
import {
  addTraffic,
  type CounterMemory,
  engineLimits,
  meanOutput,
  meanPrompt,
  mixedRate,
  noTraffic,
  profiledTime,
  profileOf,
  REPLICA_SERIES,
  type ReplicaReading,
  readReplicas,
  step,
  type Traffic,
} from "../llm/index.ts";
import { arbitrate } from "./arbiter.ts";
import { addMinutes, forecastMinutes, type Minutes, noMinutes } from "./minutes.ts";
import { type InstanceKind, planInstances } from "./plan.ts";
import { type SageServeSpec, sageserveSpecOf } from "./spec.ts";

type State = {
  readonly lookedMs: Ms;
  readonly planDueMs: Ms;
  readonly counters: CounterMemory;
  /** Sizes of requests, fading by starting anew at every plan. */
  readonly sizes: Traffic;
  readonly size: { readonly prompt: number; readonly output: number } | null;
  readonly interactive: Minutes;
  readonly other: Minutes;
  /** Tokens of each minute from `fromMs` on, as the last plan saw them. */
  readonly forecast: { readonly fromMs: Ms; readonly tokens: readonly number[] } | null;
  readonly pending: { readonly [pool: string]: number };
  readonly nextActionMs: { readonly [pool: string]: Ms };
  /** Input tokens per second of one instance at full memory, as seen. */
  readonly seenTps: { readonly [pool: string]: number };
};

/** Minutes of traffic before the first plan. */
const FIRST_PLAN_MINUTES = 5;
const MINUTE_MS: Ms = 60_000;
const HOUR_MINUTES = 60;
/** An instance this empty tells little of what it could carry. */
const LEAST_UTILIZATION = 0.1;

/**
 * SageServe's scaler for one model in one region. The pools are its kinds of GPU; those of prefill and decode are treated alike, as
 * the original knows whole instances only. Its forecasts come from traces that it was given beforehand; here they are made of the
 * traffic seen so far (`forecastMinutes`), so that its first day is one of learning. It decides every few seconds instead of at
 * every request. Instances that it lends out as spot are this platform's to give and take; nothing is lent here.
 */
export function sageservePolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const spec = sageserveSpecOf(manifest);
  const { strategy } = spec;
  const plans = strategy !== "reactive";
  const pools = endpoint.pools;
  const tickMs = spec.tick_seconds * 1000;
  const keepMinutes = Math.max(HOUR_MINUTES * 12, 2 * spec.season_minutes + HOUR_MINUTES);
  const isInteractive = (name: string) => !spec.non_interactive_classes.includes(name);
  const leastOf = (pool: Pool) => Math.min(mostOf(pool), Math.max(pool.min, pools.length === 1 ? spec.min_instances : 0));
  const mostOf = (pool: Pool) => Math.min(pool.max, spec.max_instances ?? pool.max);

  /** Stated; else what the engine's profile carries of such requests inside the objective; else as seen. */
  function tpsOf(state: State, pool: Pool): number | null {
    const stated = typeof spec.model_tps === "number" ? spec.model_tps : (spec.model_tps?.[pool.name] ?? null);
    if (stated !== null) return stated;
    const profile = profileOf(endpoint, pool);
    if (profile !== null && state.size !== null) {
      const shape = { ...engineLimits(endpoint, pool), maxKvTokens: profile.kvCapacityTokens };
      const load = { promptTokens: state.size.prompt, outputTokens: Math.max(1, state.size.output), hitShare: 0 };
      const { timeToFirstTokenMs: ttftMs, timePerOutputTokenMs: itlMs } = endpoint.objective;
      const rate = mixedRate(profiledTime(profile), shape, load, { ttftMs, itlMs });
      if (rate !== null) return rate.perSecond * state.size.prompt;
    }
    return state.seenTps[pool.name] ?? null;
  }

  function plan(
    state: State,
    wanted: Readonly<Record<string, number>>,
    nowMs: Ms,
    steps: Step[],
  ): { readonly state: State; readonly counts: Readonly<Record<string, number>> | null } {
    const [fromMinute, toMinute] = spec.forecast_window.map((value) => Math.ceil(value / 60)) as [number, number];
    const tokens = forecastMinutes(state.interactive.tokens, toMinute, spec.season_minutes);
    const ahead = tokens.slice(Math.max(0, fromMinute - 1));
    const extra = spec.non_interactive_share * Math.max(0, ...state.other.tokens.slice(-HOUR_MINUTES));
    const demand = (Math.max(0, ...ahead) + extra) / 60;
    const cheapest = Math.min(
      ...pools.map(({ pricePerReplicaHour }) => (pricePerReplicaHour > 0 ? pricePerReplicaHour : Number.POSITIVE_INFINITY)),
    );
    const kinds = pools.map((pool): InstanceKind & { readonly known: boolean } => {
      const tps = tpsOf(state, pool);
      const price = Number.isFinite(cheapest) && pool.pricePerReplicaHour > 0 ? pool.pricePerReplicaHour / cheapest : 1;
      const stated = typeof spec.gpu_cost === "number" ? spec.gpu_cost : spec.gpu_cost?.[pool.name];
      return {
        name: pool.name,
        known: tps !== null,
        current: wanted[pool.name] ?? 0,
        tokensPerSecond: (tps ?? 0) * spec.tps_share,
        gpuCost: stated ?? 10 * price,
        startupCost: spec.startup_cost,
        min: leastOf(pool),
        max: mostOf(pool),
      };
    });
    const next: State = {
      ...state,
      planDueMs: nowMs + spec.long_term_scaling_interval * 1000,
      forecast: { fromMs: state.interactive.endMs ?? nowMs, tokens },
      sizes: noTraffic(nowMs),
    };
    if (kinds.every(({ known }) => !known)) {
      steps.push(step("no-capacity", "It is not known how many tokens an instance carries: there is no plan.", {}));
      return { state: { ...next, pending: {} }, counts: null };
    }
    const counts = planInstances(kinds, demand);
    const said = kinds
      .map(({ name, tokensPerSecond }) => `${counts[name]} of ${name} (${num(tokensPerSecond, 0)} tokens/s each)`)
      .join(", ");
    steps.push(
      step(
        "plan",
        `At most ${num(demand, 0)} input tokens/s are expected in ${seconds(spec.forecast_window[0] * 1000)} to ${seconds(spec.forecast_window[1] * 1000)}: ${said}.`,
        { demand, nonInteractive: extra / 60, minutes: state.interactive.tokens.length },
      ),
    );
    return {
      state: { ...next, pending: Object.fromEntries(kinds.map(({ name, current }) => [name, (counts[name] as number) - current])) },
      counts,
    };
  }

  return {
    kind: "sageserve",
    needs: needsOf(tickMs),
    wakesOn: ["config"],

    start: (first) =>
      write({
        lookedMs: first.nowMs,
        planDueMs: first.nowMs,
        counters: {},
        sizes: noTraffic(first.nowMs),
        size: null,
        interactive: noMinutes,
        other: noMinutes,
        forecast: null,
        pending: {},
        nextActionMs: {},
        seenTps: {},
      }),

    decide(json, now) {
      let state = read(json);
      const { nowMs } = now;
      const reader = readerOf(now, endpoint.staleAfterMs);
      const steps: Step[] = [];
      const live = now.replicas.filter((replica) => replica.state === "ready");
      const { memory, readings } = readReplicas(state.counters, now, endpoint.staleAfterMs, live);
      const came = addTraffic(noTraffic(state.lookedMs), now, reader, isInteractive);
      const others =
        now.slots === null
          ? { ...noTraffic(state.lookedMs), partial: false }
          : addTraffic(noTraffic(state.lookedMs), now, reader, (name) => !isInteractive(name));
      const sizes = addTraffic({ ...state.sizes, toMs: state.lookedMs }, now, reader);
      const [prompt, output] = [meanPrompt(sizes), meanOutput(sizes)];
      const byPool = new Map(
        pools.map((pool) => [
          pool.name,
          readings.filter(({ id }) => live.some((replica) => replica.id === id && replica.pool === pool.name)),
        ]),
      );
      state = {
        ...state,
        lookedMs: nowMs,
        counters: memory,
        sizes,
        size: prompt === null ? state.size : { prompt, output: output ?? state.size?.output ?? 0 },
        interactive: addMinutes(state.interactive, came.partial ? null : came.promptTokens, nowMs, keepMinutes),
        other: addMinutes(state.other, others.promptTokens, nowMs, HOUR_MINUTES),
        seenTps: learnTps(state.seenTps, byPool),
      };
      const wanted = Object.fromEntries(
        pools.flatMap(({ name }) =>
          now.pools[name] === undefined ? [] : [[name, (now.pools[name] as { readonly wanted: number }).wanted]],
        ),
      );
      const decided: Record<string, number> = {};
      if (plans && nowMs >= state.planDueMs && state.interactive.tokens.length >= FIRST_PLAN_MINUTES) {
        const { state: after, counts } = plan(state, wanted, nowMs, steps);
        state = after;
        if (strategy === "lt-i" && counts !== null) {
          Object.assign(decided, counts);
          state = { ...state, pending: {} };
        }
      }

      const ratio = ratioOf(state, nowMs);
      for (const pool of pools) {
        const current = wanted[pool.name];
        if (current === undefined || strategy === "lt-i") continue;
        const dueMs = state.nextActionMs[pool.name] ?? 0;
        if (nowMs < dueMs) continue;
        const used = utilizationOf(byPool.get(pool.name) ?? [], countReplicas(now, pool.name).ready.length);
        if (used === null) {
          steps.push(step("no-data", `${pool.name}: not all replicas say how full their memory is, so it stays.`, {}, pool.name));
          continue;
        }
        const pending = state.pending[pool.name] ?? 0;
        const reading = { instances: current, memoryUtilization: used, ratio };
        const arbitration = arbitrate(strategy, { ...spec, min_instances: leastOf(pool) }, pending, reading);
        const target = Math.min(mostOf(pool), current + arbitration.change);
        const text = `${pool.name} uses ${num(100 * used, 0)} % of its memory; ${arbitration.why}`;
        steps.push(
          step(
            "arbiter",
            `${text}: ${target === current ? count(current) : `from ${current} to ${target}`}.`,
            { memoryUtilization: used, pending, current, desired: target, ratio: ratio ?? -1 },
            pool.name,
          ),
        );
        if (target === current) continue;
        decided[pool.name] = target;
        state = {
          ...state,
          pending: { ...state.pending, [pool.name]: arbitration.pending },
          nextActionMs: {
            ...state.nextActionMs,
            [pool.name]:
              nowMs +
              delayMs(
                spec,
                arbitration.change,
                now.replicas.some((replica) => replica.pool === pool.name && replica.state === "standby"),
              ),
          },
        };
      }

      const wants: Record<string, Want> = {};
      for (const pool of pools) {
        const current = wanted[pool.name];
        const target = decided[pool.name];
        if (current === undefined) {
          wants[pool.name] = { kind: "hold" };
          steps.push(step("no-status", `The platform does not say how many replicas ${pool.name} has: it stays.`, {}, pool.name));
          continue;
        }
        const bounded = Math.min(mostOf(pool), Math.max(leastOf(pool), target ?? current));
        wants[pool.name] = target === undefined && bounded === current ? { kind: "hold" } : { kind: "scale", replicas: bounded, drain: [] };
        if (target === undefined && bounded !== current)
          steps.push(
            step(
              "bounded",
              `${pool.name} has ${current}, outside ${leastOf(pool)} to ${mostOf(pool)}: ${bounded}.`,
              { current, bounded },
              pool.name,
            ),
          );
      }
      return { state: write(state), decision: { seq: now.seq, wants, steps, conditions: [], nextAtMs: nowMs + tickMs } };
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

/** Until the next action of an endpoint: an instance held asleep is there sooner than one that is loaded anew. */
function delayMs(spec: SageServeSpec, change: number, asleep: boolean): Ms {
  const { spin_up, spin_down, reclaim_spot } = spec.overheads;
  return 1000 * Math.max(change < 0 ? spin_down : asleep ? reclaim_spot : spin_up, spec.scaling_interval);
}

/** Memory in use over all memory of the ready replicas; null where one does not say, or none is ready. */
function utilizationOf(readings: readonly ReplicaReading[], ready: number): number | null {
  if (ready === 0 || readings.length < ready || readings.some(({ kvUsed }) => kvUsed === null)) return null;
  const weight = readings.every(({ kvCapacityTokens }) => kvCapacityTokens !== null)
    ? (one: ReplicaReading) => one.kvCapacityTokens as number
    : () => 1;
  const total = readings.reduce((sum, one) => sum + weight(one), 0);
  return readings.reduce((sum, one) => sum + (one.kvUsed as number) * weight(one), 0) / total;
}

/** Of busy instances: tokens per second over the share of memory in use, a slow mean of it. */
function learnTps(before: State["seenTps"], byPool: ReadonlyMap<string, readonly ReplicaReading[]>): State["seenTps"] {
  const after: Record<string, number> = { ...before };
  for (const [pool, readings] of byPool)
    for (const { kvUsed, grown } of readings) {
      if (kvUsed === null || kvUsed < LEAST_UTILIZATION || grown === null || !(grown.seconds > 0) || grown.promptTokens <= 0) continue;
      const seen = grown.promptTokens / grown.seconds / kvUsed;
      const known = after[pool];
      after[pool] = known === undefined ? seen : known + 0.02 * (seen - known);
    }
  return after;
}

function ratioOf({ forecast, interactive }: State, nowMs: Ms): number | null {
  if (forecast === null) return null;
  const expected = forecast.tokens[Math.floor((nowMs - forecast.fromMs) / MINUTE_MS)];
  const came = Math.max(interactive.tokens.at(-1) ?? 0, interactive.openTokens);
  return expected === undefined || !(expected > 0) ? null : came / expected;
}

function needsOf(tickMs: Ms): readonly Need[] {
  return [
    ...REPLICA_SERIES.map((name): Need => ({ name, per: "replica", sampleEveryMs: tickMs })),
    ...["request_rate", "prompt_tokens_per_second", "output_tokens_per_second"].map(
      (name): Need => ({ name, per: "endpoint", sampleEveryMs: tickMs }),
    ),
  ];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
