import { isSignalName, type Ms, type Observation, type Series, SIGNALS, type Slot, type Subject } from "../model/index.ts";

/** A number, or why there is none: a reading that is missing or old is never 0. */
export type Reading = number | "absent" | "stale";

/** Where a reading came from is part of its name: two readers of one Series agree on this key. */
export function subjectKey(subject: Subject): string {
  switch (subject.kind) {
    case "endpoint":
      return "endpoint";
    case "pool":
      return `pool/${subject.pool}`;
    case "replica":
      return `replica/${subject.id}`;
    case "object":
      return `object/${subject.ref}`;
    case "external":
      return `external/${Object.entries(subject.labels)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => `${key}=${value}`)
        .join(",")}`;
  }
}

/** Series by name and subject; of two for the same (several containers) the newer, then the larger one. */
export type SeriesIndex = ReadonlyMap<string, Series>;

export function indexSeries(observation: Observation): SeriesIndex {
  const index = new Map<string, Series>();
  for (const series of observation.series) {
    const key = `${series.name} ${subjectKey(series.subject)}`;
    const other = index.get(key);
    if (other === undefined || isNewer(series, other)) index.set(key, series);
  }
  return index;
}

function isNewer(series: Series, other: Series): boolean {
  const [mine, theirs] = [series.latest, other.latest];
  if (mine === null || theirs === null) return mine !== null;
  if (mine.atMs !== theirs.atMs) return mine.atMs > theirs.atMs;
  return typeof mine.value === "number" && (typeof theirs.value !== "number" || mine.value > theirs.value);
}

/** @returns the series' newest number, "absent" when there is none, "stale" when it is older than `maxAgeMs`. */
export function readSeries(series: Series | undefined, nowMs: Ms, maxAgeMs: Ms): Reading {
  const latest = series?.latest;
  if (latest === undefined || latest === null || typeof latest.value !== "number" || !Number.isFinite(latest.value)) return "absent";
  return nowMs - latest.atMs > maxAgeMs ? "stale" : latest.value;
}

/** As `readSeries`, for one look-up; for many build `indexSeries` once. */
export function latestValue(observation: Observation, name: string, subject: Subject, maxAgeMs: Ms): Reading {
  return readSeries(indexSeries(observation).get(`${name} ${subjectKey(subject)}`), observation.nowMs, maxAgeMs);
}

/** All that rules ask of one Observation. */
export interface Reader {
  replica(name: string, id: string): Reading;
  /** The endpoint's own series; where there is none, what the gateway's slots say. */
  endpoint(name: string): Reading;
  /** The endpoint's value; else the sum (additive signals) or the mean over `ids`, absent as soon as one of them is. */
  overall(name: string, ids: readonly string[]): Reading;
}

export function readerOf(observation: Observation, maxAgeMs: Ms): Reader {
  const index = indexSeries(observation);
  const at = (key: string) => readSeries(index.get(key), observation.nowMs, maxAgeMs);
  const replica = (name: string, id: string) => at(`${name} replica/${id}`);
  const endpoint = (name: string) => {
    const reading = at(`${name} endpoint`);
    return typeof reading === "number" ? reading : (slotValue(observation, name) ?? reading);
  };
  return {
    replica,
    endpoint,
    overall(name, ids) {
      const own = endpoint(name);
      if (typeof own === "number" || ids.length === 0) return own;
      const readings = ids.map((id) => replica(name, id));
      const gap = readings.find((reading) => reading === "absent") ?? readings.find((reading) => reading === "stale");
      if (gap !== undefined) return own === "stale" ? own : gap;
      const sum = sumOf(readings as number[]);
      return isAdditive(name) ? sum : sum / ids.length;
    },
  };
}

/** Sums in ascending order, so that the order in which replicas are listed cannot change the last bit. */
export function sumOf(values: readonly number[]): number {
  let sum = 0;
  for (const value of values.toSorted((a, b) => a - b)) sum += value;
  return sum;
}

/** Whether replicas' values add up to the endpoint's (requests, tokens, rates) or average to it (shares, seconds). */
export function isAdditive(name: string): boolean {
  if (!isSignalName(name)) return true;
  const { unit } = SIGNALS[name];
  return unit !== "ratio" && unit !== "percent" && unit !== "seconds";
}

/** Rates and counts of this Observation's slots, the mean over the seconds that they span; undefined without slots. */
function slotValue(observation: Observation, name: string): number | undefined {
  const slots = observation.slots;
  if (slots === null || slots.length === 0) return undefined;
  let [firstMs, lastMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const slot of slots) {
    firstMs = Math.min(firstMs, slot.atMs);
    lastMs = Math.max(lastMs, slot.atMs);
  }
  const seconds = (lastMs - firstMs) / 1000 + 1;
  const mean = (of: (slot: Slot) => number) => sumOf(slots.map(of)) / seconds;
  switch (name) {
    case "request_rate":
      return mean((slot) => slot.arrivals);
    case "prompt_tokens_per_second":
      return mean((slot) => slot.promptTokens);
    case "output_tokens_per_second":
      return mean((slot) => slot.outputTokens);
    case "in_flight":
      return mean((slot) => slot.inFlightMean + slot.heldMean);
    case "held":
      return mean((slot) => slot.heldMean);
    default:
      return undefined;
  }
}
