import { quantileSignals } from "../engine/index.ts";
import {
  countOf,
  type DoorLatency,
  type DoorReport,
  type Histogram,
  type Ms,
  mergeHistograms,
  type Sample,
  type Series,
  type SignalName,
  type Slot,
} from "../model/index.ts";

export interface DoorSettings {
  /** Rates are means over the last so many closed seconds. */
  readonly rateWindowMs: Ms;
  /** Quantiles are of requests that ended in this time. */
  readonly quantileWindowMs: Ms;
  /** A ledger silent for longer than this gives way to what engines report. */
  readonly staleAfterMs: Ms;
  /** The names that somebody reads; null: all. Others are left as engines gave them. */
  readonly names: ReadonlySet<string> | null;
}
const defaults: DoorSettings = { rateWindowMs: 15_000, quantileWindowMs: 60_000, staleAfterMs: 15_000, names: null };

interface Portion {
  readonly fromMs: Ms;
  readonly atMs: Ms;
  readonly latency: DoorLatency;
}

/** What is kept from one call to the next. */
export interface DoorMemory {
  /** The last report that was taken in. */
  readonly last: { readonly cursor: string; readonly atMs: Ms; readonly arrived: number } | null;
  /** The slots are complete from here on. */
  readonly fromMs: Ms;
  readonly slots: readonly Slot[];
  readonly latencies: readonly Portion[];
  readonly latest: Readonly<Partial<Record<SignalName, Sample>>>;
  readonly faults: Readonly<Partial<Record<SignalName, { readonly code: string; readonly sinceMs: Ms }>>>;
  readonly silentSinceMs: Ms | null;
}
export const emptyDoorMemory: DoorMemory = { last: null, fromMs: 0, slots: [], latencies: [], latest: {}, faults: {}, silentSinceMs: null };

const slotMs: Ms = 1000;
const isEndpoint = (name: string) => (one: Series) => one.name === name && one.subject.kind === "endpoint";

/**
 * The endpoint's series as its users see them, out of the gateway's ledger, in place of those that engines gave under the same
 * names. `report` is the newest report, null when the gateway did not answer; the same one given twice counts once. Then the
 * last values stay and grow old, and once they are stale an engine's own take their place where there are some.
 * - rates: slots of `rateWindowMs` up to the last closed second, over the part of it that was watched; 0 is a true 0
 * - quantiles: requests that ended within `quantileWindowMs`; none ended: no new sample
 * - queue_depth: held and queued at the door plus the engines' waiting. Where engines report waiting but not all did lately, there is no new sample.
 * Pure: memory goes in and comes out.
 */
export function doorSeries(
  memory: DoorMemory,
  engine: readonly Series[],
  report: DoorReport | null,
  nowMs: Ms,
  settings: DoorSettings = defaults,
): { readonly memory: DoorMemory; readonly series: readonly Series[] } {
  const isNew = report !== null && (memory.last === null || report.cursor !== memory.last.cursor || report.atMs !== memory.last.atMs);
  const taken = isNew ? take(memory, engine, report, nowMs, settings) : { memory, samples: {} as Partial<Record<SignalName, Sample>> };
  const silentSinceMs = report === null ? (memory.silentSinceMs ?? nowMs) : null;
  const next: DoorMemory = { ...taken.memory, silentSinceMs };
  const lastMs = next.last?.atMs ?? Number.NEGATIVE_INFINITY;
  const isStale = nowMs - lastMs > settings.staleAfterMs;
  const own = new Set(Object.keys(next.latest).concat(Object.keys(next.faults)) as SignalName[]);
  const series: Series[] = [];
  const replaced = new Set<string>();
  for (const name of own) {
    const latest = next.latest[name] ?? null;
    const others = engine.find(isEndpoint(name));
    if (isStale && others?.latest != null && others.latest.atMs > (latest?.atMs ?? Number.NEGATIVE_INFINITY)) continue;
    replaced.add(name);
    const sample = taken.samples[name];
    const fault = silentSinceMs !== null ? { code: "admin/unreachable", sinceMs: silentSinceMs } : (next.faults[name] ?? null);
    series.push({ name, subject: { kind: "endpoint" }, samples: sample === undefined ? [] : [sample], latest, fault });
  }
  // What the ledger will have but has not yet (no request ended so far) is not taken from engines either.
  const awaited = (name: string) =>
    !isStale && !own.has(name as SignalName) && LEDGER_NAMES.has(name) && (settings.names === null || settings.names.has(name));
  const covered = (one: Series) => one.subject.kind === "endpoint" && (replaced.has(one.name) || awaited(one.name));
  return { memory: next, series: [...engine.filter((one) => !covered(one)), ...series] };
}

/** The endpoint's series that a ledger gives. */
export const LEDGER_NAMES: ReadonlySet<string> = new Set<SignalName>([
  "request_rate",
  "prompt_tokens_per_second",
  "output_tokens_per_second",
  "in_flight",
  "held",
  "queue_depth",
  "ttft",
  "tpot",
  "e2e",
  "ttft_p50",
  "ttft_p95",
  "ttft_p99",
  "tpot_p50",
  "tpot_p95",
  "tpot_p99",
  "e2e_p50",
  "e2e_p95",
  "e2e_p99",
]);

function take(
  memory: DoorMemory,
  engine: readonly Series[],
  report: DoorReport,
  nowMs: Ms,
  settings: DoorSettings,
): { memory: DoorMemory; samples: Partial<Record<SignalName, Sample>> } {
  const { rateWindowMs, quantileWindowMs, staleAfterMs, names } = settings;
  const isRead = (name: string) => names === null || names.has(name);
  const { totals, latency, atMs } = report;
  const restarted = memory.last !== null && totals.arrived < memory.last.arrived;
  const known = memory.last !== null && !restarted;
  const endMs = Math.floor(atMs / slotMs) * slotMs;
  // Of a ledger seen for the first time only what its slots span is known.
  const fromMs = known ? memory.fromMs : Math.min(endMs, ...report.slots.map((slot) => slot.atMs));
  const slots = [...(known ? memory.slots : []), ...report.slots].filter((slot) => slot.atMs >= endMs - rateWindowMs);
  const portion: Portion = { fromMs: known ? (memory.last?.atMs as Ms) : fromMs, atMs, latency };
  const latencies = [...(known ? memory.latencies : []), portion].filter(
    (one) => one.fromMs >= atMs - 2 * quantileWindowMs && one.atMs > atMs - quantileWindowMs,
  );

  const samples: Partial<Record<SignalName, Sample>> = {};
  const faults: Partial<Record<SignalName, { code: string; sinceMs: Ms }>> = {};
  const windowMs = Math.min(rateWindowMs, endMs - fromMs);
  if (windowMs >= slotMs) {
    const inside = slots.filter((slot) => slot.atMs >= endMs - windowMs && slot.atMs < endMs);
    const rate = (of: (slot: Slot) => number): Sample => ({
      atMs: endMs,
      windowMs,
      value: (inside.reduce((sum, slot) => sum + of(slot), 0) / windowMs) * 1000,
    });
    if (isRead("request_rate")) samples.request_rate = rate((slot) => slot.arrivals);
    if (isRead("prompt_tokens_per_second")) samples.prompt_tokens_per_second = rate((slot) => slot.promptTokens);
    if (isRead("output_tokens_per_second")) samples.output_tokens_per_second = rate((slot) => slot.outputTokens);
  }
  const gauge = (value: number): Sample => ({ atMs, windowMs: 0, value });
  if (isRead("in_flight")) samples.in_flight = gauge(totals.inFlight + totals.held);
  if (isRead("held")) samples.held = gauge(totals.held);
  if (isRead("queue_depth")) {
    const waiting = waitingNow(engine, nowMs, staleAfterMs);
    if (waiting === null) faults.queue_depth = memory.faults.queue_depth ?? { code: "partial", sinceMs: nowMs };
    else samples.queue_depth = gauge(totals.held + totals.queued + waiting);
  }

  const overWindow: Partial<Record<SignalName, Histogram>> = {};
  for (const name of ["ttft", "tpot", "e2e"] as const) {
    if (known && isRead(name)) samples[name] = { atMs, windowMs: atMs - portion.fromMs, value: latency[name] };
    if (!quantilesOf(name).some(isRead)) continue;
    const merged = mergeHistograms(latencies.map((one) => one.latency[name]));
    if (merged !== null && countOf(merged) > 0) overWindow[name] = merged;
  }
  const watchedMs = latencies[0] === undefined ? 0 : atMs - latencies[0].fromMs;
  for (const [name, value] of Object.entries(quantileSignals(overWindow)) as [SignalName, number][]) {
    if (isRead(name)) samples[name] = { atMs, windowMs: watchedMs, value };
  }
  return {
    samples,
    memory: {
      last: { cursor: report.cursor, atMs, arrived: totals.arrived },
      fromMs,
      slots,
      latencies,
      latest: { ...memory.latest, ...samples },
      faults,
      silentSinceMs: null,
    },
  };
}

const quantilesOf = (name: "ttft" | "tpot" | "e2e") => [`${name}_p50`, `${name}_p95`, `${name}_p99`] as const;

/** Requests waiting in engines; 0 where no engine reports any or no replica is there, null where it should be known and is not. */
function waitingNow(engine: readonly Series[], nowMs: Ms, staleAfterMs: Ms): number | null {
  const waiting = engine.find(isEndpoint("waiting"));
  if (waiting === undefined || waiting.fault?.code === "no-replicas") return 0;
  const { latest, fault } = waiting;
  if (latest === null || fault !== null || nowMs - latest.atMs > staleAfterMs || typeof latest.value !== "number") return null;
  return latest.value;
}

/** `doorSeries` that keeps its memory itself, for one endpoint's loop. */
export function createDoorSeries(
  settings: Partial<DoorSettings> = {},
): (engine: readonly Series[], report: DoorReport | null, nowMs: Ms) => readonly Series[] {
  let memory = emptyDoorMemory;
  return (engine, report, nowMs) => {
    const result = doorSeries(memory, engine, report, nowMs, { ...defaults, ...settings });
    memory = result.memory;
    return result.series;
  };
}
