import type { Ms, Step, Want } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import { apa, guardPending, kpa, type Recommendations, stabilize } from "./algorithms.ts";
import { meanOf, type Readings } from "./readings.ts";
import type { Effective } from "./schedule.ts";
import type { AibrixSettings, MetricSource } from "./settings.ts";
import type { AibrixFeatures } from "./version.ts";

type Samples = readonly { readonly atMs: Ms; readonly value: number }[];

/**
 * - `samples`: the average of the pods at each resync, by metric, as far back as the longer window.
 * - `peaks`: the highest count of the panic under way, by metric; only the repaired form reads it.
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 */
export type Memory = {
  readonly samples: Readonly<Record<string, Samples>>;
  readonly peaks: Readonly<Record<string, number>>;
  readonly recommendations: Recommendations;
  readonly fresh: boolean;
};

export const memoryOf = (status: { readonly wanted: number; readonly otherWriter: boolean } | undefined): Memory => ({
  samples: {},
  peaks: {},
  recommendations: [],
  fresh: status !== undefined && status.wanted === 0 && !status.otherWriter,
});

export interface Scaled {
  readonly pool: string;
  readonly settings: AibrixSettings;
  readonly features: AibrixFeatures;
  /** A panic holds its peak. */
  readonly repaired: boolean;
}
export interface Seen {
  readonly nowMs: Ms;
  readonly status: { readonly wanted: number; readonly otherWriter: boolean } | undefined;
  readonly bounds: Effective;
  /** Ready replicas. */
  readonly ids: readonly string[];
  readonly readings: Readings;
}
export interface Counted {
  readonly memory: Memory;
  readonly want: Want;
  readonly steps: readonly Step[];
}

/** One resync of one scale target, strategy KPA or APA. */
export function count(scaled: Scaled, before: Memory, seen: Seen): Counted {
  const { pool, settings, features } = scaled;
  const { nowMs, status, bounds, readings, ids } = seen;
  const steps: Step[] = [];
  const step = stepOf(pool);
  if (status === undefined) {
    const text = `The platform does not say how many replicas pool ${pool} has: the count stays.`;
    return { memory: before, want: { kind: "hold" }, steps: [step("no-scale", text, {})] };
  }

  const current = status.wanted;
  let memory: Memory = { ...before, fresh: before.fresh && current === 0 && !status.otherWriter };
  const boundary = atBoundary(current, bounds, memory.fresh, features);
  if (boundary !== null) {
    steps.push(step(boundary.code, boundary.text, { current, min: bounds.min, max: bounds.max, desired: boundary.desired }));
    return { memory, want: boundary.code === "disabled" ? { kind: "hold" } : scaleTo(boundary.desired), steps };
  }

  let highest: number | null = null;
  for (const source of settings.sources) {
    const outcome = recommend(scaled, source, memory, { nowMs, current, ids, readings });
    memory = outcome.memory;
    steps.push(...outcome.steps);
    if (outcome.replicas !== null) highest = Math.max(highest ?? 0, within(outcome.replicas, bounds));
  }
  if (highest === null) {
    const bound = within(current, bounds);
    const text = `None of the metrics (${settings.sources.length}) has an answer: the count ${bound === current ? `stays at ${current}` : `only goes to its bound, ${bound}`}.`;
    steps.push(step("no-data", text, { current, desired: bound }));
    return { memory, want: bound === current ? { kind: "hold" } : scaleTo(bound), steps };
  }

  const stabilized = stabilize(memory.recommendations, nowMs, highest, current, settings);
  if (stabilized.replicas !== highest) {
    const [which, windowMs] = highest > current ? ["largest", settings.upCooldownMs] : ["smallest", settings.downCooldownMs];
    const text = `The ${which} recommendation of the last ${seconds(Number(windowMs))} counts: ${stabilized.replicas} instead of ${highest}.`;
    steps.push(step("stabilized", text, { current, proposed: highest, stabilized: stabilized.replicas }));
  }
  const desired = within(stabilized.replicas, bounds);
  if (desired !== stabilized.replicas) {
    const by = bounds.schedule === null ? "" : `, by schedule ${bounds.schedule}`;
    const text = `Limited from ${stabilized.replicas} to ${desired} (${bounds.min} to ${bounds.max}${by}).`;
    steps.push(step("limited", text, { stabilized: stabilized.replicas, desired, min: bounds.min, max: bounds.max }));
  }
  const text = desired === current ? `The count stays at ${current}.` : `From ${current} to ${desired}.`;
  steps.push(step("desired", text, { current, desired }));
  return { memory: { ...memory, recommendations: stabilized.history }, want: scaleTo(desired), steps };
}

/** What one source recommends; null: nobody answers for it. */
function recommend(
  { pool, settings, features, repaired }: Scaled,
  source: MetricSource,
  memory: Memory,
  {
    nowMs,
    current,
    ids,
    readings,
  }: { readonly nowMs: Ms; readonly current: number; readonly ids: readonly string[]; readonly readings: Readings },
): { readonly replicas: number | null; readonly memory: Memory; readonly steps: readonly Step[] } {
  const step = stepOf(pool);
  const { metric, target, type } = source;
  const values =
    type === "external" || type === "domain"
      ? [readings.outside(metric, ids)].filter((value) => value !== undefined)
      : readings.perReplica(metric, ids);
  if (values.length === 0) {
    const text = `${metric} has no answer from any of ${replicas(ids.length)}: it is left out.`;
    return { replicas: null, memory, steps: [step("metric-failed", text, { current, ready: ids.length })] };
  }
  const { observeWindowMs, panicWindowMs } = settings;
  const keptMs = Math.max(observeWindowMs, panicWindowMs);
  const samples = [
    ...(memory.samples[metric] ?? []).filter(({ atMs }) => atMs > nowMs - keptMs && atMs < nowMs),
    { atMs: nowMs, value: meanOf(values) },
  ];
  const average = (windowMs: Ms) => meanOf(samples.filter(({ atMs }) => atMs > nowMs - windowMs).map(({ value }) => value));
  const [stable, panic] = [average(observeWindowMs), average(panicWindowMs)];
  const next = { ...memory, samples: { ...memory.samples, [metric]: samples } };
  const strategy = settings.strategy === "APA" ? "APA" : "KPA";
  const guarded = (recommended: number, value: number) =>
    features.pendingReplicaGuard && (type === "pod" || type === "resource")
      ? guardPending(strategy, { current, ready: ids.length, average: value, target, recommended })
      : recommended;

  if (strategy === "APA") {
    const recommended = guarded(apa(current, stable, target, settings), stable);
    const text = `${metric}: ${num(stable, 3)} a pod over ${seconds(observeWindowMs)} against ${num(target, 3)}, ratio ${num(stable / target, 3)}: ${recommended}.`;
    return { replicas: recommended, memory: next, steps: [step("metric", text, { current, stable, target, proposed: recommended })] };
  }
  const outcome = kpa(current, { stable, panic }, target, settings, { peak: memory.peaks[metric] ?? 0, repaired });
  const recommended = guarded(outcome.replicas, outcome.panicking ? panic : stable);
  const mode = outcome.panicking ? `panic, ${outcome.byPanic} by it` : "no panic";
  const text = `${metric}: ${num(stable, 3)} a pod over ${seconds(observeWindowMs)}, ${num(panic, 3)} over ${seconds(panicWindowMs)}, against ${num(target, 3)}: ${outcome.byStable} by the longer window, ${mode}: ${recommended}.`;
  const { byStable, byPanic } = outcome;
  return {
    replicas: recommended,
    memory: { ...next, peaks: { ...next.peaks, [metric]: outcome.peak } },
    steps: [
      step(outcome.panicking ? "panic" : "metric", text, { current, stable, panic, target, byStable, byPanic, proposed: recommended }),
    ],
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

const stepOf =
  (pool: string) =>
  (code: string, text: string, numbers: Readonly<Record<string, number>>): Step => ({ code, pool, text, numbers });
const within = (wanted: number, { min, max }: Pick<Effective, "min" | "max">): number => Math.min(Math.max(wanted, min), max);
const scaleTo = (wanted: number): Want => ({ kind: "scale", replicas: wanted, drain: [] });
