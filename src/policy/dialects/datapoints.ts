import { type Endpoint, isSignalName, type Ms, type Need, type Observation, SIGNAL_NAMES, SIGNALS } from "../../model/index.ts";
import { indexSeries, readerOf, subjectKey, sumOf } from "../reading.ts";

/**
 * What a monitoring service makes of samples: one datapoint a period. Each source (a replica, or the endpoint as a whole) counts in
 * it once, with the mean of its samples of that period, as if an agent had published one value; a period without samples has none.
 */
export interface Datapoint {
  readonly startMs: Ms;
  readonly sources: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** Ready replicas when the period was closed, to divide what the whole endpoint did. */
  readonly replicas: number;
}

type Heard = Readonly<Record<string, { readonly sum: number; readonly count: number }>>;

/** JSON. `open`: periods that are not over, by their start; `heardMs`: the newest sample of each source. */
export interface Datapoints {
  readonly open: Readonly<Record<string, Heard>>;
  readonly closed: readonly Datapoint[];
  readonly heardMs: Readonly<Record<string, Ms>>;
}
export const NO_DATAPOINTS: Datapoints = { open: {}, closed: [], heardMs: {} };

/** The source that is the endpoint as a whole; no replica is called so. */
const WHOLE = "*";

export interface SourceSample {
  readonly source: string;
  readonly atMs: Ms;
  readonly value: number;
}

/** Adds samples, closes the periods that are over at `nowMs` and forgets those that ended more than `keepMs` ago. Late samples are lost. */
export function collectDatapoints(
  before: Datapoints,
  samples: readonly SourceSample[],
  { nowMs, periodMs, keepMs, replicas }: { readonly nowMs: Ms; readonly periodMs: Ms; readonly keepMs: Ms; readonly replicas: number },
): Datapoints {
  const lastClosedMs = before.closed.at(-1)?.startMs ?? Number.NEGATIVE_INFINITY;
  const open = new Map(Object.entries(before.open).map(([start, heard]) => [Number(start), { ...heard }]));
  const heardMs: Record<string, Ms> = {};
  for (const { source, atMs, value } of samples) {
    const last = Math.max(heardMs[source] ?? Number.NEGATIVE_INFINITY, before.heardMs[source] ?? Number.NEGATIVE_INFINITY);
    heardMs[source] = Math.max(last, atMs);
    const startMs = Math.floor(atMs / periodMs) * periodMs;
    if (atMs <= last || startMs <= lastClosedMs || !Number.isFinite(value)) continue;
    const heard = open.get(startMs) ?? {};
    const known = heard[source] ?? { sum: 0, count: 0 };
    heard[source] = { sum: known.sum + value, count: known.count + 1 };
    open.set(startMs, heard);
  }

  const oldestMs = nowMs - keepMs;
  const closed = before.closed.filter(({ startMs }) => startMs + periodMs > oldestMs);
  const stillOpen: Record<string, Heard> = {};
  for (const [startMs, heard] of [...open].sort(([a], [b]) => a - b)) {
    if (startMs + periodMs > nowMs) stillOpen[startMs] = heard;
    else if (startMs + periodMs > oldestMs) closed.push(close(startMs, heard, replicas));
  }
  return { open: stillOpen, closed, heardMs };
}

/** Where replicas speak, what the endpoint says of the same is not counted a second time. */
function close(startMs: Ms, heard: Heard, replicas: number): Datapoint {
  const { [WHOLE]: _, ...own } = heard;
  const means = Object.values(Object.keys(own).length > 0 ? own : heard).map(({ sum, count }) => sum / count);
  return { startMs, sources: means.length, sum: sumOf(means), min: Math.min(...means), max: Math.max(...means), replicas };
}

/** The newest `count` whole periods before `nowMs`, oldest first; `null` where a period has no datapoint. */
export function newestDatapoints(memory: Datapoints, nowMs: Ms, periodMs: Ms, count: number): readonly (Datapoint | null)[] {
  const endMs = Math.floor(nowMs / periodMs) * periodMs;
  const byStart = new Map(memory.closed.map((datapoint) => [datapoint.startMs, datapoint]));
  return Array.from({ length: count }, (_, at) => byStart.get(endMs - (count - at) * periodMs) ?? null);
}

/** Of one datapoint, over its sources. A sum of what is counted per second is the count of the whole period. */
export type Fold = "Average" | "Minimum" | "Maximum" | "Sum" | "Count";

export function foldDatapoint(datapoint: Datapoint, fold: Fold, signal: string, periodMs: Ms): number {
  switch (fold) {
    case "Average":
      return datapoint.sum / datapoint.sources;
    case "Minimum":
      return datapoint.min;
    case "Maximum":
      return datapoint.max;
    case "Sum":
      return isRate(signal) ? (datapoint.sum * periodMs) / 1000 : datapoint.sum;
    case "Count":
      return datapoint.sources;
  }
}

/** Whether a signal is already per second, so that its total over a time is value × seconds. */
export const isRate = (signal: string): boolean => isSignalName(signal) && SIGNALS[signal].unit.endsWith("/s");

const FIRST_OF_ENDPOINT = SIGNAL_NAMES.indexOf("request_rate");

/** Whom a signal speaks of where nothing else is known: engines and GPUs of a replica, what is worked out of the endpoint. */
export function scopeOf(endpoint: Endpoint, signal: string): "replica" | "endpoint" {
  const query = endpoint.prometheus?.queries.find((one) => one.signal === signal);
  if (query !== undefined) return query.replicaLabel === null ? "endpoint" : "replica";
  return isSignalName(signal) && SIGNAL_NAMES.indexOf(signal) >= FIRST_OF_ENDPOINT ? "endpoint" : "replica";
}

/** The signal that a manifest's metric is: by the first of its names that `endpoint.metrics` maps, else the last name itself. */
export function signalOf(endpoint: Endpoint, ...names: readonly string[]): string {
  for (const name of names) if (Object.hasOwn(endpoint.metrics, name)) return endpoint.metrics[name] as string;
  return names.at(-1) as string;
}

/** Needs without repetition, each sampled at least six times a period. */
export function needsOf(endpoint: Endpoint, reads: readonly { readonly signal: string; readonly periodMs: Ms }[]): readonly Need[] {
  const needs = new Map<string, Need>();
  for (const { signal, periodMs } of reads) {
    const per = scopeOf(endpoint, signal);
    const sampleEveryMs = Math.min(periodMs / 6, needs.get(signal)?.sampleEveryMs ?? Number.POSITIVE_INFINITY);
    needs.set(signal, { name: signal, per, sampleEveryMs });
  }
  return [...needs.values()];
}

/** The samples of a signal, new since the last Observation. */
export type Sampler = (signal: string, per: "replica" | "endpoint", ids: readonly string[]) => readonly SourceSample[];

/**
 * New samples are those of `ids` where replicas report the signal, else the endpoint's own, else what the gateway's slots say of the
 * time since; for a signal of the endpoint its own come first. Where several series speak of one replica, the newer, then the larger
 * one counts.
 */
export function samplerOf(observation: Observation, maxAgeMs: Ms): Sampler {
  const index = indexSeries(observation);
  const reader = readerOf(observation, maxAgeMs);
  const lastSlotMs = (observation.slots ?? []).reduce((last, { atMs }) => Math.max(last, atMs), Number.NEGATIVE_INFINITY);
  const samplesOf = (signal: string, source: string, key: string): readonly SourceSample[] => {
    const series = index.get(`${signal} ${key}`);
    if (series === undefined) return [];
    const samples = series.samples.length > 0 ? series.samples : series.latest === null ? [] : [series.latest];
    return samples.flatMap(({ atMs, value }) => (typeof value === "number" ? [{ source, atMs, value }] : []));
  };
  return (signal, per, ids) => {
    const ofReplicas = () => ids.flatMap((id) => samplesOf(signal, id, subjectKey({ kind: "replica", id })));
    const ofEndpoint = () => {
      const own = samplesOf(signal, WHOLE, subjectKey({ kind: "endpoint" }));
      if (own.length > 0 || !Number.isFinite(lastSlotMs)) return own;
      const value = reader.endpoint(signal);
      return typeof value === "number" ? [{ source: WHOLE, atMs: lastSlotMs, value }] : [];
    };
    const [first, second] = per === "replica" ? [ofReplicas, ofEndpoint] : [ofEndpoint, ofReplicas];
    const found = first();
    return found.length > 0 ? found : second();
  };
}
