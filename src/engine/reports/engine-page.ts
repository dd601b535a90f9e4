import { type EngineKind, type Ms, SIGNALS, type SignalName } from "../../model/index.ts";
import { type PageSample, parseExposition } from "./exposition.ts";
import { type Source, type Table, tableOf, wireNames } from "./tables.ts";

/** `source` names the family that was read: two values of different sources must not be subtracted. */
export interface CounterReading {
  readonly value: number;
  readonly source: string;
}

/** As engines count: `counts[i]` observations were at most `bounds[i]`; the last, one more than `bounds`, is the number of all. */
export interface CumulativeHistogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
  readonly source: string;
}

/** One reading of one replica's page. What the page did not have is not in here. */
export interface EngineReport {
  readonly atMs: Ms;
  /** When the engine's process started, as it says; null where it does not. */
  readonly startedAtMs: Ms | null;
  readonly gauges: Readonly<Partial<Record<SignalName, number>>>;
  readonly counters: Readonly<Partial<Record<SignalName, CounterReading>>>;
  readonly histograms: Readonly<Partial<Record<SignalName, CumulativeHistogram>>>;
  /** Counters that this kind of engine has, whether on this page or not. */
  readonly knownCounters: readonly SignalName[];
}

const startName = "process_start_time_seconds";
type Families = ReadonlyMap<string, { readonly name: string; readonly samples: readonly PageSample[] }>;

/**
 * Reads an engine's metrics page into our words. Lenient about what an engine adds, strict about the page's shape. A value that
 * is not finite, negative, or above 1 for a ratio is absent: engines mark what they do not fill with NaN or -1.
 * @throws TidegateError `signal/malformed` when the text is no metrics page
 */
export function parseEnginePage(kind: EngineKind, text: string, atMs: Ms): EngineReport {
  const table = tableOf(kind, text);
  if (table === null) {
    parseExposition(text, () => false);
    return { atMs, startedAtMs: null, gauges: {}, counters: {}, histograms: {}, knownCounters: [] };
  }
  const families = readFamilies(table, text);
  const gauges: Partial<Record<SignalName, number>> = {};
  for (const [signal, sources] of entries(table.gauges)) {
    const value = firstOf(sources, (source) => read(source, families, table));
    const sane = value === null ? null : saneGauge(signal, value);
    if (sane !== null) gauges[signal] = sane;
  }
  const counters: Partial<Record<SignalName, CounterReading>> = {};
  for (const [signal, sources] of entries(table.counters)) {
    const reading = firstOf(sources, (source) => {
      const value = read(source, families, table);
      return value === null ? null : { value, source: sourceName(source) };
    });
    if (reading !== null) counters[signal] = reading;
  }
  const histograms: Partial<Record<SignalName, CumulativeHistogram>> = {};
  for (const [signal, names] of entries(table.histograms)) {
    const histogram = firstOf(names, (name) => readHistogram(name, families, table));
    if (histogram !== null) histograms[signal] = histogram;
  }
  const starts = families.get(startName)?.samples ?? [];
  const start = starts.length === 1 ? (starts[0] as PageSample).value : Number.NaN;
  return {
    atMs,
    startedAtMs: Number.isFinite(start) ? start * 1000 : null,
    gauges,
    counters,
    histograms,
    knownCounters: Object.keys(table.counters) as SignalName[],
  };
}

/** By name behind the prefix. A page that says the same under two names (`vllm:x` and `vllm_x`) is read once: the first. */
function readFamilies(table: Table, text: string): Families {
  const wanted = wireNames(table);
  const cut = (name: string) => (table.prefix.test(name) ? name.replace(table.prefix, "") : null);
  const page = parseExposition(text, (name) => name === startName || wanted.has(cut(name) ?? ""));
  const families = new Map<string, { name: string; samples: readonly PageSample[] }>();
  for (const [name, samples] of page) {
    const short = name === startName ? name : (cut(name) as string);
    if (families.has(short)) continue;
    families.set(short, { name, samples: samples.filter(({ labels }) => counts(table, labels)) });
  }
  return families;
}

const counts = (table: Table, labels: PageSample["labels"]) =>
  Object.entries(table.only).every(([label, value]) => labels[label] === undefined || labels[label] === value);

function read(source: Source, families: Families, table: Table): number | null {
  switch (source.kind) {
    case "family": {
      const found = (families.get(`${source.family}_total`) ?? families.get(source.family))?.samples ?? [];
      const values = found
        .filter(({ labels }) => Object.entries(source.where).every(([label, allowed]) => allowed.includes(labels[label] ?? "")))
        .map(({ value }) => value);
      if (values.length === 0 || !values.every((value) => Number.isFinite(value) && value >= 0)) return null;
      const total = values.reduce((a, b) => a + b, 0);
      return source.scale * (source.fold === "max" ? Math.max(...values) : source.fold === "mean" ? total / values.length : total);
    }
    case "labels": {
      const values = (families.get(source.family)?.samples ?? []).map(({ labels }) => labelProduct(labels, source.alternatives));
      return values.length === 0 || values.includes(null) ? null : values.reduce<number>((a, b) => a + (b as number), 0);
    }
    case "plus": {
      const [first, ...others] = source.of.map((part) => read(part, families, table));
      return first === undefined || first === null ? null : others.reduce<number>((a, b) => a + (b ?? 0), first);
    }
    case "largest": {
      const parts = source.of.flatMap((part) => read(part, families, table) ?? []);
      return parts.length === 0 ? null : Math.max(...parts);
    }
    case "product": {
      const parts = source.of.map((part) => read(part, families, table));
      return parts.includes(null) ? null : parts.reduce<number>((a, b) => a * (b as number), 1);
    }
    case "ratio": {
      const [part, whole] = source.of.map((of) => read(of, families, table));
      return typeof part !== "number" || typeof whole !== "number" || whole <= 0 ? null : part / whole;
    }
  }
}

function labelProduct(labels: PageSample["labels"], alternatives: readonly (readonly string[])[]): number | null {
  for (const names of alternatives) {
    const value = names.reduce((product, name) => product * (/^\d+$/.test(labels[name] ?? "") ? Number(labels[name]) : Number.NaN), 1);
    if (Number.isFinite(value) && value > 0) return value;
  }
  return null;
}

/** Summed over the family's series on the bounds that all of them have. */
function readHistogram(name: string, families: Families, table: Table): CumulativeHistogram | null {
  const buckets = families.get(`${name}_bucket`);
  const sum = read({ kind: "family", family: `${name}_sum`, fold: "sum", where: {}, scale: 1 }, families, table);
  if (buckets === undefined || sum === null) return null;
  const byBound = new Map<number, { count: number; series: number }>();
  for (const { labels, value } of buckets.samples) {
    const bound = /^\+?inf$/i.test(labels["le"] ?? "") ? Number.POSITIVE_INFINITY : Number.parseFloat(labels["le"] ?? "");
    if (Number.isNaN(bound) || !Number.isFinite(value) || value < 0) return null;
    const sofar = byBound.get(bound);
    if (sofar === undefined) byBound.set(bound, { count: value, series: 1 });
    else {
      sofar.count += value;
      sofar.series++;
    }
  }
  const all = byBound.get(Number.POSITIVE_INFINITY);
  if (all === undefined) return null;
  const rows = [...byBound].filter(([, { series }]) => series === all.series).sort(([a], [b]) => a - b);
  let highest = 0; // pages are not read in one instant of the engine: counts that fall with the bound are lifted
  const cumulative = rows.map(([, { count }]) => (highest = Math.max(highest, count)));
  return { bounds: rows.slice(0, -1).map(([bound]) => bound), counts: cumulative, sum, source: name };
}

function saneGauge(signal: SignalName, value: number): number | null {
  const { unit } = SIGNALS[signal];
  const most = unit === "ratio" ? 1 : unit === "percent" ? 100 : Number.POSITIVE_INFINITY;
  return value > most * 1.001 ? null : Math.min(value, most);
}

const sourceName = (source: Source): string =>
  source.kind === "family" || source.kind === "labels"
    ? `${source.family}${"where" in source ? Object.values(source.where).join() : ""}`
    : source.of.map(sourceName).join("+");

function firstOf<In, Out>(candidates: readonly In[], readOne: (candidate: In) => Out | null): Out | null {
  for (const candidate of candidates) {
    const value = readOne(candidate);
    if (value !== null) return value;
  }
  return null;
}

const entries = <Value>(record: Readonly<Partial<Record<SignalName, Value>>>) => Object.entries(record) as [SignalName, Value][];
