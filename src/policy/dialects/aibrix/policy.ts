import type { Decision, Endpoint, Json, Manifest, Policy, Step, Want } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import { hpaPolicy } from "../hpa/index.ts";
import { apa, guardPending, kpa, type Recommendations, stabilize } from "./algorithms.ts";
import { asHpa } from "./as-hpa.ts";
import { meanOf, needOf, type Readings, readingsOf } from "./readings.ts";
import { type Effective, effectiveBounds } from "./schedule.ts";
import { type AibrixSettings, type MetricSource, RESYNC_MS, settingsOf } from "./settings.ts";
import { AIBRIX_FOLLOWED, AIBRIX_VERSIONS, type AibrixFeatures } from "./version.ts";

/** Set to "repaired", KPA's panic holds its peak, as its code means to; AIBrix itself does not know this annotation. */
export const PANIC_ANNOTATION = "tidegate.dev/aibrix-panic";

export interface AibrixOptions {
  readonly features?: AibrixFeatures;
}

type Samples = readonly { readonly atMs: number; readonly value: number }[];

/**
 * - `samples`: the average of the pods at each resync, by metric, as far back as the longer window.
 * - `peaks`: the highest count of the panic under way, by metric; only the repaired form reads it.
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 */
interface State {
  readonly samples: Readonly<Record<string, Samples>>;
  readonly peaks: Readonly<Record<string, number>>;
  readonly recommendations: Recommendations;
  readonly fresh: boolean;
}

/** An AIBrix PodAutoscaler over the endpoint's first pool; strategy HPA is the HorizontalPodAutoscaler that it makes. */
export function aibrixPolicy(endpoint: Endpoint, manifest: Manifest, options: AibrixOptions = {}): Policy<Json> {
  const settings = settingsOf(manifest);
  return settings.strategy === "HPA" ? throughHpa(endpoint, manifest, settings) : ownPolicy(endpoint, manifest, settings, options);
}

function throughHpa(endpoint: Endpoint, manifest: Manifest, settings: AibrixSettings): Policy<Json> {
  const boundsAt = effectiveBounds(settings);
  const made = new Map<string, Policy<Json>>();
  /** The object changes with the bounds of the hour, what its controller remembers does not. */
  const at = (nowMs: number): Policy<Json> => {
    const { min, max } = boundsAt(nowMs);
    const key = `${min}/${max}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    const policy = hpaPolicy(endpoint, asHpa(manifest, settings, { min, max }));
    made.set(key, policy);
    return policy;
  };
  const { needs, wakesOn } = at(0);
  return {
    kind: "aibrix",
    needs,
    wakesOn,
    start: (first) => at(first.nowMs).start(first),
    decide: (state, now) => at(now.nowMs).decide(state, now),
    settle: (state, outcome) => at(outcome.atMs).settle(state, outcome),
  };
}

function ownPolicy(endpoint: Endpoint, manifest: Manifest, settings: AibrixSettings, options: AibrixOptions): Policy<Json> {
  const features = options.features ?? AIBRIX_VERSIONS[AIBRIX_FOLLOWED];
  const repaired = manifest.annotations?.[PANIC_ANNOTATION] === "repaired";
  const strategy = settings.strategy === "APA" ? "APA" : "KPA";
  const pool = endpoint.pools[0]?.name ?? "default";
  const boundsAt = effectiveBounds(settings);
  const keptMs = Math.max(settings.observeWindowMs, settings.panicWindowMs);
  const step = (code: string, text: string, numbers: Readonly<Record<string, number>>): Step => ({ code, pool, text, numbers });

  /** What one source recommends; null: nobody answers for it. */
  function recommend(
    source: MetricSource,
    state: State,
    readings: Readings,
    { nowMs, current, ids }: { readonly nowMs: number; readonly current: number; readonly ids: readonly string[] },
  ): { readonly replicas: number | null; readonly state: State; readonly steps: readonly Step[] } {
    const values =
      source.type === "external" || source.type === "domain"
        ? [readings.outside(source.metric, ids)].filter((value) => value !== undefined)
        : readings.perReplica(source.metric, ids);
    if (values.length === 0) {
      const text = `${source.metric} has no answer from any of ${replicas(ids.length)}: it is left out.`;
      return { replicas: null, state, steps: [step("metric-failed", text, { current, ready: ids.length })] };
    }
    const samples = [
      ...(state.samples[source.metric] ?? []).filter(({ atMs }) => atMs > nowMs - keptMs && atMs < nowMs),
      { atMs: nowMs, value: meanOf(values) },
    ];
    const average = (windowMs: number) => meanOf(samples.filter(({ atMs }) => atMs > nowMs - windowMs).map(({ value }) => value));
    const [stable, panic] = [average(settings.observeWindowMs), average(settings.panicWindowMs)];
    const { target } = source;
    const next = { ...state, samples: { ...state.samples, [source.metric]: samples } };
    const guarded = (recommended: number, value: number) =>
      features.pendingReplicaGuard && (source.type === "pod" || source.type === "resource")
        ? guardPending(strategy, { current, ready: ids.length, average: value, target, recommended })
        : recommended;

    if (strategy === "APA") {
      const recommended = guarded(apa(current, stable, target, settings), stable);
      const text = `${source.metric}: ${num(stable, 3)} a pod over ${seconds(settings.observeWindowMs)} against ${num(target, 3)}, ratio ${num(stable / target, 3)}: ${recommended}.`;
      return { replicas: recommended, state: next, steps: [step("metric", text, { current, stable, target, proposed: recommended })] };
    }
    const outcome = kpa(current, { stable, panic }, target, settings, { peak: state.peaks[source.metric] ?? 0, repaired });
    const recommended = guarded(outcome.replicas, outcome.panicking ? panic : stable);
    const mode = outcome.panicking ? `panic, ${outcome.byPanic} by it` : "no panic";
    const text = `${source.metric}: ${num(stable, 3)} a pod over ${seconds(settings.observeWindowMs)}, ${num(panic, 3)} over ${seconds(settings.panicWindowMs)}, against ${num(target, 3)}: ${outcome.byStable} by the longer window, ${mode}: ${recommended}.`;
    return {
      replicas: recommended,
      state: { ...next, peaks: { ...next.peaks, [source.metric]: outcome.peak } },
      steps: [
        step(outcome.panicking ? "panic" : "metric", text, {
          current,
          stable,
          panic,
          target,
          byStable: outcome.byStable,
          byPanic: outcome.byPanic,
          proposed: recommended,
        }),
      ],
    };
  }

  return {
    kind: "aibrix",
    needs: settings.sources.map(({ metric, type }) =>
      needOf(endpoint, metric, type === "external" || type === "domain" ? "outside" : "replica", RESYNC_MS),
    ),
    wakesOn: ["config"],

    start(first) {
      const status = first.pools[pool];
      return write({
        samples: {},
        peaks: {},
        recommendations: [],
        fresh: status !== undefined && status.wanted === 0 && !status.otherWriter,
      });
    },

    decide(before, observation) {
      const { nowMs, seq } = observation;
      let state = read(before);
      const steps: Step[] = [];
      const finish = (want: Want): { state: Json; decision: Decision } => ({
        state: write(state),
        decision: { seq, wants: { [pool]: want }, steps, conditions: [], nextAtMs: nowMs + RESYNC_MS },
      });
      const status = observation.pools[pool];
      if (status === undefined) {
        steps.push(step("no-scale", `The platform does not say how many replicas pool ${pool} has: the count stays.`, {}));
        return finish({ kind: "hold" });
      }

      const current = status.wanted;
      const bounds = boundsAt(nowMs);
      state = { ...state, fresh: state.fresh && current === 0 && !status.otherWriter };
      const boundary = atBoundary(current, bounds, state.fresh, features);
      if (boundary !== null) {
        steps.push(step(boundary.code, boundary.text, { current, min: bounds.min, max: bounds.max, desired: boundary.desired }));
        return finish(boundary.code === "disabled" ? { kind: "hold" } : scaleTo(boundary.desired));
      }

      const readings = readingsOf(endpoint, observation);
      const ids = observation.replicas.filter((replica) => replica.pool === pool && replica.state === "ready").map(({ id }) => id);
      let highest: number | null = null;
      for (const source of settings.sources) {
        const outcome = recommend(source, state, readings, { nowMs, current, ids });
        state = outcome.state;
        steps.push(...outcome.steps);
        if (outcome.replicas !== null) highest = Math.max(highest ?? 0, Math.min(Math.max(outcome.replicas, bounds.min), bounds.max));
      }
      if (highest === null) {
        const outside = Math.min(Math.max(current, bounds.min), bounds.max);
        const text = `None of the ${settings.sources.length} metrics has an answer: the count ${outside === current ? `stays at ${current}` : `only goes to its bound, ${outside}`}.`;
        steps.push(step("no-data", text, { current, desired: outside }));
        return finish(outside === current ? { kind: "hold" } : scaleTo(outside));
      }

      const stabilized = stabilize(state.recommendations, nowMs, highest, current, settings);
      state = { ...state, recommendations: stabilized.history };
      if (stabilized.replicas !== highest) {
        const [which, windowMs] = highest > current ? ["largest", settings.upCooldownMs] : ["smallest", settings.downCooldownMs];
        const text = `The ${which} recommendation of the last ${seconds(windowMs)} counts: ${stabilized.replicas} instead of ${highest}.`;
        steps.push(step("stabilized", text, { current, proposed: highest, stabilized: stabilized.replicas }));
      }
      const desired = Math.min(Math.max(stabilized.replicas, bounds.min), bounds.max);
      if (desired !== stabilized.replicas) {
        const by = bounds.schedule === null ? "" : `, by schedule ${bounds.schedule}`;
        const text = `Limited from ${stabilized.replicas} to ${desired} (${bounds.min} to ${bounds.max}${by}).`;
        steps.push(step("limited", text, { stabilized: stabilized.replicas, desired, min: bounds.min, max: bounds.max }));
      }
      const text = desired === current ? `The count stays at ${current}.` : `From ${current} to ${desired}.`;
      steps.push(step("desired", text, { current, desired }));
      return finish(scaleTo(desired));
    },

    // Recommendations count as made, whatever became of them.
    settle: (state) => ({ state, conditions: [] }),
  };
}

/** What is decided without metrics. A fleet that nobody has set starts at its minimum; one that somebody set to zero stays there. */
function atBoundary(
  current: number,
  { min, max, schedule, warms }: Effective,
  fresh: boolean,
  features: AibrixFeatures,
): { readonly code: "first-start" | "disabled" | "bound"; readonly desired: number; readonly text: string } | null {
  const by = schedule === null ? "" : ` of schedule ${schedule}`;
  if (current === 0 && min > 0) {
    if (fresh) return { code: "first-start", desired: min, text: `Nothing has run yet: the fleet starts at its minimum (${min})${by}.` };
    if (!warms) {
      const text = "The count is 0 and the minimum is not: the autoscaler is off until someone sets a count above 0.";
      return { code: "disabled", desired: 0, text };
    }
    return { code: "bound", desired: min, text: `The minimum${by} wakes the fleet: 0 to ${min}.` };
  }
  if (!features.boundsFirst || (current >= min && current <= max)) return null;
  const desired = current < min ? min : max;
  const text = `${replicas(current)} are outside ${min} to ${max}${by}: the count goes straight to ${desired}, without looking at metrics.`;
  return { code: "bound", desired, text };
}

const scaleTo = (count: number): Want => ({ kind: "scale", replicas: count, drain: [] });

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
