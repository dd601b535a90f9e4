import type { Endpoint, Json, Manifest, Ms, Need, Observation, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { countReplicas } from "../../pipeline.ts";
import { replicas as count, num, seconds } from "../../words.ts";
import { type CounterMemory, meanLatency, type ReplicaReading, readReplicas, step } from "../llm/index.ts";
import {
  advanceGroups,
  batchBackpressure,
  batchWaitSeconds,
  instancesForBackpressure,
  instancesForGroups,
  interactiveBackpressure,
  nextBatchSize,
  type RequestGroup,
  stepBatch,
  stepInteractive,
} from "./backpressure.ts";
import { type ChironSpec, chironSpecOf, type InstanceKind, kindOf } from "./spec.ts";

type State = {
  readonly counters: CounterMemory;
  readonly nextActionMs: { readonly [pool: string]: Ms };
  /** Batch requests that have not ended. */
  readonly groups: readonly RequestGroup[];
  /** Answers of batch requests that ended, for the length of those that wait. */
  readonly ended: { readonly requests: number; readonly tokens: number };
  /** Interactive requests in flight, as the ledger last said; null: it never did. */
  readonly interactive: number | null;
  /** Tokens per second of each replica at the last look, for the local loop. */
  readonly throughput: { readonly [replica: string]: number };
};

/** Answer assumed before a batch request ended. */
const ASSUMED_OUTPUT = 200;
const ENDED_MEMORY = 2_000;

/**
 * Chiron's global loop over pools of interactive, mixed and batch instances. Which replicas are busy with interactive requests is
 * taken from their running batch, and is none while the ledger says that no interactive request is in flight: engines do not say
 * whom they serve. Of the local loop, which sets each engine's largest batch, the paper's version says what it would set; no
 * platform of ours can. It decides every few seconds, where the artifact does at every request.
 */
export function chironPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const spec = chironSpecOf(manifest);
  const tickMs = spec.tick_seconds * 1000;
  const units = endpoint.pools.map((pool) => ({ pool, kind: kindOf(spec, pool) }));
  const speed = { promptTime: spec.prompt_time, decodeThroughput: spec.decode_throughput };
  const mostOf = (pool: Pool) => Math.min(pool.max, spec.max_instances ?? pool.max);
  const leastOf = ({ pool, kind }: { readonly pool: Pool; readonly kind: InstanceKind }) =>
    Math.min(mostOf(pool), Math.max(pool.min, kind === "batch" ? 0 : spec.min_instances));

  /** Interactive and mixed instances together; null where one does not say what it runs. */
  function interactiveSide(
    state: State,
    now: Observation,
    readings: readonly ReplicaReading[],
  ): { readonly busy: number; readonly total: number } | null {
    const side = units.filter(({ kind }) => kind !== "batch");
    const names = new Set(side.map(({ pool }) => pool.name));
    const ready = side.flatMap(({ pool }) => countReplicas(now, pool.name).ready);
    const own = readings.filter(({ id }) => ready.some((replica) => replica.id === id));
    if (own.some(({ running }) => running === null)) return null;
    const total = [...names].reduce((sum, name) => sum + (now.pools[name]?.wanted ?? 0), 0);
    const busy = state.interactive === 0 ? 0 : own.filter(({ running }) => (running as number) > 0).length;
    return { busy, total: Math.max(total, ready.length) };
  }

  function countBatch(state: State, now: Observation): State {
    if (now.slots === null) return { ...state, interactive: null };
    const isBatch = (name: string) => spec.batch_classes.includes(name);
    let [requests, done, tokens, answered] = [0, 0, 0, 0];
    let lastMs = Number.NEGATIVE_INFINITY;
    for (const slot of now.slots) {
      lastMs = Math.max(lastMs, slot.atMs);
      if (!isBatch(slot.class)) continue;
      requests += slot.arrivals;
      done += slot.completed + slot.failed + slot.cancelled + slot.rejected;
      answered += slot.completed + slot.cancelled;
      tokens += slot.outputTokens;
    }
    const fade = state.ended.requests + answered > ENDED_MEMORY ? ENDED_MEMORY / (state.ended.requests + answered) : 1;
    const ended = { requests: (state.ended.requests + answered) * fade, tokens: (state.ended.tokens + tokens) * fade };
    const each = ended.requests > 0 ? ended.tokens / ended.requests : ASSUMED_OUTPUT;
    const open = now.slots
      .filter((slot) => slot.atMs === lastMs && !isBatch(slot.class))
      .reduce((sum, slot) => sum + slot.inFlightMean + slot.heldMean + slot.arrivals, 0);
    return {
      ...state,
      ended,
      groups: advanceGroups(state.groups, { requests, tokens: requests * each }, done, now.nowMs, spec.group_seconds * 1000),
      interactive: now.slots.length === 0 ? 0 : open,
    };
  }

  function decideInteractive(
    state: State,
    now: Observation,
    readings: readonly ReplicaReading[],
    due: (pool: Pool) => boolean,
    steps: Step[],
  ): Record<string, number> {
    const side = interactiveSide(state, now, readings);
    const own = units.filter(({ kind }) => kind !== "batch");
    if (own.length === 0) return {};
    if (side === null) {
      steps.push(step("no-data", "Not all replicas say what they run: interactive and mixed instances stay."));
      return {};
    }
    const pressure = interactiveBackpressure(side.busy, side.total);
    const decided: Record<string, number> = {};
    const wantedOf = (pool: Pool) => now.pools[pool.name]?.wanted;
    if (spec.version === "artifact") {
      steps.push(
        step(
          "ibp",
          `${side.busy} of ${side.total} instances serve interactive requests: ${num(pressure)} (threshold ${num(spec.ibp_threshold)}), so one ${pressure > spec.ibp_threshold ? "more" : "fewer"}.`,
          { ...side, ibp: pressure },
        ),
      );
      for (const unit of own) {
        const wanted = wantedOf(unit.pool);
        if (wanted !== undefined && due(unit.pool))
          decided[unit.pool.name] = wanted + stepInteractive(pressure, spec.ibp_threshold, wanted, leastOf(unit));
      }
      return decided;
    }
    const target = instancesForBackpressure(side.busy, spec.ibp_threshold);
    steps.push(
      step(
        "ibp",
        `${side.busy} of ${side.total} instances serve interactive requests: ${num(pressure)}; at ${num(spec.ibp_threshold)} it takes ${count(target)}.`,
        { ...side, ibp: pressure, target },
      ),
    );
    // Mixed instances come and go first: they serve whoever is there.
    let left = target;
    const kept = own
      .filter((unit) => wantedOf(unit.pool) !== undefined)
      .toSorted((a, b) => Number(a.kind === "mixed") - Number(b.kind === "mixed") || (a.pool.name < b.pool.name ? -1 : 1));
    for (const [at, unit] of kept.entries()) {
      const later = kept.slice(at + 1).reduce((sum, other) => sum + leastOf(other), 0);
      const asked = at === kept.length - 1 ? left : Math.min(left - later, Math.max(leastOf(unit), wantedOf(unit.pool) as number));
      const given = Math.min(mostOf(unit.pool), Math.max(leastOf(unit), asked));
      if (due(unit.pool)) decided[unit.pool.name] = given;
      left -= given;
    }
    return decided;
  }

  function decideBatch(state: State, now: Observation, due: (pool: Pool) => boolean, steps: Step[]): Record<string, number> {
    const decided: Record<string, number> = {};
    for (const { pool } of units.filter(({ kind }) => kind === "batch")) {
      const wanted = now.pools[pool.name]?.wanted;
      if (wanted === undefined || !due(pool)) continue;
      if (now.slots === null) {
        steps.push(step("no-data", `${pool.name}: without a ledger nobody says which batch requests wait, so it stays.`, {}, pool.name));
        continue;
      }
      const queue = {
        pendingRequests: state.groups.reduce((sum, { requests }) => sum + requests, 0),
        pendingTokens: state.groups.reduce((sum, { tokens }) => sum + tokens, 0),
      };
      if (spec.version === "artifact") {
        const change = stepBatch(queue, speed, spec.batch_ttft_slo, wanted);
        const wait = batchWaitSeconds(queue, speed, wanted);
        const text = `${num(queue.pendingRequests, 0)} batch requests wait${Number.isFinite(wait) ? ` for ${seconds(wait * 1000)} (objective ${seconds(spec.batch_ttft_slo * 1000)})` : " and nothing serves them"}`;
        steps.push(
          step(
            "batch",
            `${pool.name}: ${text}: ${change > 0 ? "one more" : change < 0 ? "one fewer" : "no change"}.`,
            { ...queue, instances: wanted },
            pool.name,
          ),
        );
        decided[pool.name] = wanted + change;
      } else {
        const target = instancesForGroups(state.groups, spec.decode_throughput, spec.batch_ttft_slo, now.nowMs, mostOf(pool));
        const late = batchBackpressure(state.groups, wanted, spec.decode_throughput, spec.batch_ttft_slo, now.nowMs);
        steps.push(
          step(
            "bbp",
            `${pool.name}: of ${state.groups.length} groups of batch requests ${late} would be late; ${count(target)} would do.`,
            { groups: state.groups.length, late, target },
            pool.name,
          ),
        );
        // Batch instances stay while something waits, and go once nothing does.
        decided[pool.name] = state.groups.length === 0 ? 0 : Math.max(wanted, target);
      }
    }
    return decided;
  }

  function localLoop(state: State, readings: readonly ReplicaReading[], steps: Step[]): State {
    const throughput: Record<string, number> = {};
    const sizes: number[] = [];
    for (const { id, running, grown, itl } of readings) {
      if (grown === null || !(grown.seconds > 0)) continue;
      const now = grown.outputTokens / grown.seconds;
      throughput[id] = now;
      const itlMs = meanLatency([itl]);
      const last = state.throughput[id];
      if (running !== null && running > 0 && itlMs !== null && last !== undefined)
        sizes.push(
          nextBatchSize(running, { itlMs: itlMs * 1000, throughput: now, lastThroughput: last }, endpoint.objective.timePerOutputTokenMs),
        );
    }
    if (sizes.length > 0)
      steps.push(
        step(
          "local-batch",
          `The local loop would set the largest batch to ${Math.min(...sizes)} to ${Math.max(...sizes)} on ${count(sizes.length)}; engines are not told.`,
          { least: Math.min(...sizes), most: Math.max(...sizes) },
        ),
      );
    return { ...state, throughput };
  }

  return {
    kind: "chiron",
    needs: needsOf(tickMs),
    wakesOn: ["config"],
    start: () =>
      write({ counters: {}, nextActionMs: {}, groups: [], ended: { requests: 0, tokens: 0 }, interactive: null, throughput: {} }),

    decide(json, now) {
      const steps: Step[] = [];
      const live = now.replicas.filter((replica) => replica.state === "ready");
      const before = read(json);
      const { memory, readings } = readReplicas(before.counters, now, endpoint.staleAfterMs, live);
      let state = countBatch({ ...before, counters: memory }, now);
      const due = (pool: Pool) => now.nowMs >= (state.nextActionMs[pool.name] ?? 0);
      const decided = { ...decideInteractive(state, now, readings, due, steps), ...decideBatch(state, now, due, steps) };
      if (spec.version === "paper") state = localLoop(state, readings, steps);

      const wants: Record<string, Want> = {};
      const nextActionMs: Record<string, Ms> = { ...state.nextActionMs };
      for (const unit of units) {
        const { name } = unit.pool;
        const current = now.pools[name]?.wanted;
        if (current === undefined) {
          wants[name] = { kind: "hold" };
          steps.push(step("no-status", `The platform does not say how many replicas ${name} has: it stays.`, {}, name));
          continue;
        }
        const target = decided[name];
        const bounded = Math.min(mostOf(unit.pool), Math.max(leastOf(unit), target ?? current));
        wants[name] = target === undefined && bounded === current ? { kind: "hold" } : { kind: "scale", replicas: bounded, drain: [] };
        if (bounded === current) continue;
        steps.push(step("scale", `${name} goes from ${current} to ${bounded}.`, { current, desired: bounded }, name));
        const asleep = now.replicas.some((replica) => replica.pool === name && replica.state === "standby");
        nextActionMs[name] = now.nowMs + delayMs(spec, bounded - current, asleep);
      }
      return {
        state: write({ ...state, nextActionMs }),
        decision: { seq: now.seq, wants, steps, conditions: [], nextAtMs: now.nowMs + tickMs },
      };
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

const delayMs = ({ overheads }: ChironSpec, change: number, asleep: boolean): Ms =>
  1000 * (change < 0 ? overheads.spin_down : asleep ? overheads.reclaim_spot : overheads.spin_up);

const needsOf = (tickMs: Ms): readonly Need[] =>
  ["running", "prompt_tokens", "gen_tokens", "itl"].map((name) => ({ name, per: "replica", sampleEveryMs: tickMs }));

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
