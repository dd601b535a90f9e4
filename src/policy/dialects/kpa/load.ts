import type { Endpoint, Ms, Need, Observation, Series } from "../../../model/index.ts";
import { sumOf } from "../../reading.ts";
import type { Entry } from "./bucket-window.ts";
import { type ScalingMetric, sampleSize } from "./decider.ts";

export const SECOND_MS = 1_000;
export const secondOf = (atMs: Ms): Ms => Math.floor(atMs / SECOND_MS) * SECOND_MS;

/** Our signal for each of Knative's metrics, where the endpoint names no other. */
const SIGNAL = { concurrency: "in_flight", rps: "request_rate" } as const satisfies Record<ScalingMetric, string>;
/** What engines report, which together is the concurrency of a replica. */
const IN_ENGINE = ["running", "waiting"] as const;

function signalOf(endpoint: Endpoint, metric: ScalingMetric): string {
  return Object.hasOwn(endpoint.metrics, metric) ? (endpoint.metrics[metric] as string) : SIGNAL[metric];
}

export function needsOf(endpoint: Endpoint, metric: ScalingMetric): readonly Need[] {
  const name = signalOf(endpoint, metric);
  const need = (series: string, per: Need["per"]): Need => ({
    name: series,
    per,
    sampleEveryMs: SECOND_MS,
    ...(name === SIGNAL[metric] ? { unlessSlots: true } : {}),
  });
  const engine = name === SIGNAL.concurrency ? IN_ENGINE.map((series) => need(series, "replica")) : [need(name, "replica")];
  return [need(name, "endpoint"), ...engine];
}

/** The revision's load in each second from `fromMs` (a second's start) on; a second of which nothing is known is left out. */
export function loadBySecond(
  endpoint: Endpoint,
  metric: ScalingMetric,
  observation: Observation,
  readyIds: readonly string[],
  fromMs: Ms,
): readonly Entry[] {
  const signal = signalOf(endpoint, metric);
  const toMs = secondOf(observation.nowMs);
  if (observation.slots !== null && signal === SIGNAL[metric]) {
    return fromSlots(metric, observation.slots, readyIds.length > 0 ? { fromMs, toMs } : null);
  }
  const own = observation.series.filter(({ name, subject }) => name === signal && subject.kind === "endpoint");
  const byReplica = new Map<string, Series[]>(readyIds.map((id) => [id, []]));
  for (const series of observation.series) if (series.subject.kind === "replica") byReplica.get(series.subject.id)?.push(series);
  const perReplica = [...byReplica.values()].map((all) => loadSeries(all, signal));
  const entries: Entry[] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += SECOND_MS) {
    const endMs = atMs + SECOND_MS;
    const value = total([own], endMs, endpoint.staleAfterMs, 1) ?? total(perReplica, endMs, endpoint.staleAfterMs, readyIds.length);
    if (value !== undefined) entries.push({ atMs, value });
  }
  return entries;
}

/** Slots exist for seconds in which something happened; with pods to say so, the closed seconds between are seconds of 0. */
function fromSlots(
  metric: ScalingMetric,
  slots: NonNullable<Observation["slots"]>,
  silence: { readonly fromMs: Ms; readonly toMs: Ms } | null,
): readonly Entry[] {
  const bySecond = new Map<Ms, number[]>();
  for (let atMs = silence?.fromMs ?? 0; atMs < (silence?.toMs ?? 0); atMs += SECOND_MS) bySecond.set(atMs, []);
  for (const slot of slots) {
    const value = metric === "rps" ? slot.arrivals : slot.inFlightMean + slot.heldMean;
    const values = bySecond.get(slot.atMs);
    if (values === undefined) bySecond.set(slot.atMs, [value]);
    else values.push(value);
  }
  return [...bySecond].map(([atMs, values]) => ({ atMs, value: sumOf(values) })).toSorted((a, b) => a.atMs - b.atMs);
}

/** Of one replica's series those that make up its load: its own of that name, or what its engine runs and queues. */
function loadSeries(all: readonly Series[], signal: string): readonly Series[] {
  const own = all.filter(({ name }) => name === signal);
  if (own.length > 0 || signal !== SIGNAL.concurrency) return own;
  const engine = all.filter(({ name }) => (IN_ENGINE as readonly string[]).includes(name));
  return IN_ENGINE.every((name) => engine.some((series) => series.name === name)) ? engine : [];
}

/**
 * The sum over subjects, as far as a scrape of `pods` pods would have to reach: those that answered stand for the others; too few
 * of them say nothing.
 */
function total(subjects: readonly (readonly Series[])[], atMs: Ms, maxAgeMs: Ms, pods: number): number | undefined {
  const answers = subjects.flatMap((series) => {
    const values = series.map((one) => valueAt(one, atMs, maxAgeMs));
    return values.length === 0 || values.includes(undefined) ? [] : [sumOf(values as number[])];
  });
  if (answers.length === 0 || answers.length < sampleSize(pods)) return undefined;
  return (sumOf(answers) * pods) / answers.length;
}

/** The newest sample of that time, else the first one after it: between two scrapes the earlier reading holds. */
function valueAt(series: Series, atMs: Ms, maxAgeMs: Ms): number | undefined {
  const samples = series.samples.length > 0 ? series.samples : series.latest === null ? [] : [series.latest];
  const sample = samples.findLast((one) => one.atMs <= atMs) ?? samples[0];
  if (sample === undefined || typeof sample.value !== "number" || !Number.isFinite(sample.value)) return undefined;
  return Math.abs(atMs - sample.atMs) > maxAgeMs ? undefined : sample.value;
}
