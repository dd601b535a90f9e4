import type { Condition, Decision, Endpoint, Json, Manifest, Observation, Policy, Step, Want } from "../../../model/index.ts";
import { parseAnnotations } from "./annotations.ts";
import { type BucketWindow, bucketWindow, linearAverage, recordAll, weightedAverage } from "./bucket-window.ts";
import { parseConfig } from "./config-map.ts";
import { type DeciderState, initialExcessBurstCapacity, type ScaleResult, scale, startDecider, TICK_MS } from "./decider.ts";
import { explainApplied, explainTick } from "./explain.ts";
import { loadBySecond, needsOf, SECOND_MS, secondOf } from "./load.ts";
import { type Active, applyScale, clamp, type Path } from "./scaler.ts";
import { KPA_DEFAULTS, type KpaConfig, type KpaSettings, type Reachability, resolveSettings } from "./settings.ts";
import { activeThreshold, nextActive, nextPath } from "./status.ts";

export interface KpaOptions {
  /** The cluster's ConfigMaps; as shipped by default. */
  readonly config?: KpaConfig;
}

/**
 * - `recordedMs`: seconds before it are in the windows.
 * - `earlyMs`: the second of which a held request was reported before the second was over.
 * - `desired`: the last valid tick's count; −1 before the first one.
 * - `fresh`: the revision has not had its first replicas yet.
 */
interface State {
  readonly stable: BucketWindow;
  readonly panic: BucketWindow;
  readonly recordedMs: number;
  readonly earlyMs: number | null;
  readonly decider: DeciderState;
  readonly desired: number;
  readonly excessBurstCapacity: number;
  readonly active: Active;
  readonly initialized: boolean;
  readonly path: Path;
  readonly nextTickMs: number;
  readonly fresh: boolean;
}

/** What a manifest says to the autoscaler, over the cluster's own: its `config` (data of config-autoscaler), or what is shipped. */
export function settingsOf(manifest: Manifest, config: KpaConfig = configOf(manifest)): KpaSettings {
  const { containerConcurrency, reachability } = manifest.spec;
  const revision = {
    containerConcurrency: typeof containerConcurrency === "number" ? containerConcurrency : 0,
    reachability: (typeof reachability === "string" ? reachability : "") as Reachability,
  };
  return resolveSettings(parseAnnotations(manifest.annotations ?? {}).values, revision, config);
}

function configOf({ spec: { config } }: Manifest): KpaConfig {
  return config === undefined ? KPA_DEFAULTS : parseConfig(config as unknown as Readonly<Record<string, string>>).config;
}

/**
 * A Knative revision over the endpoint's first pool: the decider ticks every two seconds, and at once when a request is held with
 * nothing wanted; the count is applied at every look, so that grace periods end on time. Our gateway stands for the activator,
 * which therefore always answers its probe.
 *
 * Different from the original in one place: a revision comes into being with its initial scale, a fleet of ours with none, so
 * the first decision asks for it.
 */
export function kpaPolicy(endpoint: Endpoint, manifest: Manifest, options: KpaOptions = {}): Policy<Json> {
  const settings = settingsOf(manifest, options.config);
  const pool = endpoint.pools[0]?.name ?? "default";
  const average = settings.aggregation === "linear" ? linearAverage : weightedAverage;

  const readyIds = (observation: Observation) =>
    observation.replicas.filter((replica) => replica.pool === pool && replica.state === "ready").map(({ id }) => id);

  /** The load of the seconds that have ended since, and at once that of a request held with nothing wanted. */
  function record(state: State, observation: Observation, ids: readonly string[]): State {
    const { nowMs } = observation;
    const fromMs = Math.max(state.recordedMs, secondOf(nowMs) - settings.stableWindowMs);
    const entries = loadBySecond(endpoint, settings.scalingMetric, observation, ids, fromMs).map((entry) =>
      entry.atMs === state.earlyMs ? { ...entry, value: Math.max(0, entry.value - 1) } : entry,
    );
    const early = observation.cause === "held" && state.desired <= 0 && state.earlyMs !== secondOf(nowMs);
    if (early) entries.push({ atMs: secondOf(nowMs), value: 1 });
    return {
      ...state,
      stable: recordAll(state.stable, entries),
      panic: recordAll(state.panic, entries),
      recordedMs: Math.max(state.recordedMs, secondOf(nowMs)),
      earlyMs: early ? secondOf(nowMs) : state.earlyMs,
    };
  }

  /**
   * A whole stable window without news is no answer. The original reads it as 0 for one second, and for good where pods are not
   * asked at all; here a gateway that answers says 0 itself, and what is silent is blind.
   */
  function averages(state: State, nowMs: number): { readonly stable: number; readonly panic: number } | null {
    const { lastMs } = state.stable;
    if (lastMs === null || secondOf(nowMs) - lastMs >= settings.stableWindowMs) return null;
    return { stable: average(state.stable, nowMs), panic: average(state.panic, nowMs) };
  }

  return {
    kind: "kpa",
    needs: needsOf(endpoint, settings.scalingMetric),
    wakesOn: ["held", "replica", "config"],

    start(first) {
      const status = first.pools[pool];
      const ready = readyIds(first).length;
      const fresh = status !== undefined && status.wanted === 0 && ready === 0 && !status.otherWriter;
      return write({
        stable: bucketWindow(settings.stableWindowMs, SECOND_MS),
        panic: bucketWindow(settings.panicWindowMs, SECOND_MS),
        recordedMs: secondOf(first.nowMs),
        earlyMs: null,
        decider: startDecider(settings, first.nowMs, ready),
        desired: -1,
        excessBurstCapacity: initialExcessBurstCapacity(settings, settings.initialScale),
        // The original's status outlives its autoscaler: what serves is active.
        active: ready > 0 ? { status: "True", sinceMs: first.nowMs } : null,
        initialized: ready > 0,
        path: { mode: "Proxy", proxySinceMs: first.nowMs },
        nextTickMs: first.nowMs,
        fresh,
      });
    },

    decide(before, observation) {
      const { nowMs, seq } = observation;
      const ids = readyIds(observation);
      const ready = ids.length;
      const status = observation.pools[pool];
      let state = record(read(before), observation, ids);
      const steps: Step[] = [];

      const poked = observation.cause === "held" && state.desired === 0;
      if (nowMs >= state.nextTickMs || poked) {
        const averaged = averages(state, nowMs);
        const { state: decider, result } = scale(state.decider, settings, {
          nowMs,
          readyPods: status === undefined ? null : ready,
          averages: averaged,
        });
        steps.push(...explainTick(pool, settings, ready, averaged, { state: decider, result, reported: state.stable.lastMs !== null }));
        state = { ...state, decider, ...lastValid(state, result), nextTickMs: nextTick(state.nextTickMs, nowMs) };
      }

      const finish = (next: State, want: Want, requeueMs: number | null): { state: Json; decision: Decision } => ({
        state: write(next),
        decision: {
          seq,
          wants: { [pool]: want },
          steps,
          conditions: conditionsOf(next),
          nextAtMs: Math.min(next.nextTickMs, nowMs + (requeueMs ?? TICK_MS)),
        },
      });
      if (status === undefined) {
        steps.push({
          code: "no-scale",
          pool,
          text: `The platform does not say how many replicas pool ${pool} has: the count stays.`,
          numbers: {},
        });
        return finish(state, { kind: "hold" }, null);
      }

      const current = status.wanted;
      if (state.fresh && current === 0 && state.desired <= 0) {
        const first = clamp(Math.max(settings.initialScale, settings.minScale), 0, settings.maxScale);
        const text = `Nothing has run yet: the revision starts at ${first} (initial scale ${settings.initialScale}, minimum ${settings.minScale}).`;
        steps.push({ code: "first-start", pool, text, numbers: { current, desired: first, initialScale: settings.initialScale } });
        const active: Active = { status: first === 0 ? "False" : "Unknown", sinceMs: nowMs };
        return finish({ ...state, active: state.active ?? active, fresh: first > 0, initialized: first === 0 }, scaleTo(first), null);
      }

      const applied = applyScale(
        {
          nowMs,
          desired: state.desired,
          current,
          active: state.active,
          initialized: state.initialized,
          path: state.path,
          probe: () => true,
        },
        settings,
      );
      const threshold = activeThreshold(settings, state.initialized);
      const path = nextPath(state.path, applied.desired, state.excessBurstCapacity, state.active, nowMs);
      const next: State = {
        ...state,
        path,
        active: nextActive(state.active, applied.desired, ready, threshold, nowMs),
        initialized: state.initialized || ready >= threshold,
        fresh: false,
      };
      steps.push(...explainApplied({ pool, settings, nowMs, current, ready, desired: state.desired, active: state.active, path }, applied));
      // The bounds may raise a count of which nothing is known yet; they do not lower it.
      const blind = state.desired < 0 && applied.desired < current;
      const settled = applied.desired >= 0 && !blind && (applied.apply || applied.desired === current);
      return finish(next, settled ? scaleTo(applied.desired) : { kind: "hold" }, applied.requeueMs);
    },

    // What was decided counts, whatever became of it: the next look applies the same count again.
    settle: (before) => ({ state: before, conditions: conditionsOf(read(before)) }),
  };
}

const scaleTo = (replicas: number): Want => ({ kind: "scale", replicas, drain: [] });

/** An invalid tick leaves the last count standing. */
function lastValid(state: State, result: ScaleResult): Pick<State, "desired" | "excessBurstCapacity"> {
  if (result.valid) return { desired: result.desired, excessBurstCapacity: result.excessBurstCapacity };
  return { desired: state.desired, excessBurstCapacity: state.excessBurstCapacity };
}

/** The ticker does not move with looks in between; ticks that were slept through are not made up for. */
function nextTick(dueMs: number, nowMs: number): number {
  return nowMs < dueMs ? dueMs : dueMs + (Math.floor((nowMs - dueMs) / TICK_MS) + 1) * TICK_MS;
}

function conditionsOf({ active, initialized }: State): readonly Condition[] {
  if (active === null) return [];
  const reason = { True: "", False: "NoTraffic", Unknown: "Queued" }[active.status];
  return [
    { type: "Active", status: active.status, reason, sinceMs: active.sinceMs },
    ...(initialized ? [{ type: "ScaleTargetInitialized", status: "True", reason: "", sinceMs: active.sinceMs } as const] : []),
  ];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
