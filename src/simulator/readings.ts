import { type Derived, derive, type EngineReport, GPUS, quantileSignals } from "../engine/index.ts";
import { createDoorSeries, LEDGER_NAMES, type Ledger } from "../ledger/index.ts";
import {
  type DoorReport,
  type Histogram,
  type Ms,
  mergeHistograms,
  type Need,
  type Sample,
  type Series,
  SIGNAL_NAMES,
  SIGNALS,
  type SignalName,
  type Slot,
  type Subject,
} from "../model/index.ts";
import type { Uniform } from "../traces/index.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Blindness } from "./faults.ts";
import type { Fleet } from "./fleet.ts";
import type { Settings } from "./options.ts";
import { PAGE_HISTOGRAMS } from "./page-histograms.ts";
import type { SimulatedReplica } from "./replica.ts";

/** What the policy sees of engines and of the ledger: as the live collector reads them, and no more than somebody needs. */
export interface Readings {
  readonly readsHistograms: boolean;
  /** Begins to read. */
  start(nowMs: Ms): void;
  /** Everything new since the last call. */
  take(nowMs: Ms): { readonly series: readonly Series[]; readonly slots: readonly Slot[] | null };
}

/** As the live collector: quantiles of an engine's page speak of the observations of this long. */
const quantileWindowMs: Ms = 60_000;
/** DCGM's utilization is that of the last second. */
const gpuWindowMs: Ms = 1000;
const keptSamples = 1000;
/** Rows of the ledger kept for a decision that does not come. */
const keptSlots = 20_000;

const gpuNames = [
  "gpu_utilization",
  "gpu_memory_used",
  "gr_active",
  "tensor_active",
  "dram_active",
  "gpu_power",
] as const satisfies SignalName[];
type GpuName = (typeof gpuNames)[number];
const isGpu = (name: string): name is GpuName => (gpuNames as readonly string[]).includes(name);
const isMean = (name: SignalName) => ["ratio", "percent", "seconds"].includes(SIGNALS[name].unit);
const rates = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second"] as const;
const counters = ["prompt_tokens", "gen_tokens", "prefix_queries", "prefix_hits", "preemptions", "finished"] as const;
const isQuantile = (name: string) => /_p\d\d$/.test(name);
const isPageHistogram = (name: string) => (PAGE_HISTOGRAMS as readonly string[]).includes(name);

interface Entry {
  readonly name: SignalName;
  readonly subject: Subject;
  samples: Sample[];
  latest: Sample | null;
  fault: Series["fault"];
}

class Book {
  private readonly subject: Subject;
  private readonly entries = new Map<SignalName, Entry>();
  constructor(subject: Subject) {
    this.subject = subject;
  }
  private entry(name: SignalName): Entry {
    let found = this.entries.get(name);
    if (found === undefined) {
      found = { name, subject: this.subject, samples: [], latest: null, fault: null };
      this.entries.set(name, found);
    }
    return found;
  }
  add(name: SignalName, sample: Sample): void {
    const entry = this.entry(name);
    entry.samples.push(sample);
    if (entry.samples.length > keptSamples) entry.samples.shift();
    entry.latest = sample;
    entry.fault = null;
  }
  fail(name: SignalName, code: string, sinceMs: Ms): void {
    const entry = this.entry(name);
    if (entry.fault?.code !== code) entry.fault = { code, sinceMs };
  }
  take(into: Series[]): void {
    for (const entry of this.entries.values()) {
      into.push({ name: entry.name, subject: entry.subject, samples: entry.samples, latest: entry.latest, fault: entry.fault });
      entry.samples = [];
    }
  }
  peek(into: Series[]): void {
    for (const { name, subject, latest, fault } of this.entries.values()) into.push({ name, subject, samples: [], latest, fault });
  }
}

/** What was read of one replica at one moment. */
interface Page {
  readonly report: EngineReport;
  readonly gpu: Readonly<Partial<Record<GpuName, number>>>;
}

interface Target {
  readonly book: Book;
  previous: EngineReport | null;
  recent: Derived[];
  /** Read, and not yet known because of a lag. */
  readonly underWay: Page[];
  /** As of one GPU window ago. */
  activeMs: Ms;
  prefillMs: Ms;
  watchedMs: Ms;
}

export function createReadings(
  settings: Settings,
  stated: readonly Need[],
  blindness: Blindness,
  fleet: Fleet,
  ledger: Ledger,
  queue: EventQueue,
  uniform: Uniform,
): Readings {
  const { endpoint, ledgerSeen } = settings;
  const { scrapeEveryMs } = endpoint;
  // Pages read every second for nobody take most of a run's time.
  const slotsAlways = ledgerSeen && !settings.faults.some(({ kind }) => kind === "outage");
  const needs = slotsAlways && !settings.allSeries ? stated.filter(({ unlessSlots }) => unlessSlots !== true) : stated;
  const everyMs = needs.reduce((least, need) => (need.sampleEveryMs > 0 ? Math.min(least, need.sampleEveryMs) : least), scrapeEveryMs);
  const isNeeded = (name: string, per: "replica" | "endpoint") =>
    !blindness.absent.has(name) &&
    (settings.allSeries ||
      needs.some((need) => need.name === name && (per === "replica" ? need.per !== "endpoint" : need.per !== "replica")));
  const isVllm = endpoint.engine.kind === "vllm" || endpoint.engine.kind === "emulated";
  const names = SIGNAL_NAMES.filter((name) => name !== "max_running" || !isVllm);
  const fromLedger = ledgerSeen
    ? new Set(names.filter((name) => LEDGER_NAMES.has(name) && isNeeded(name, "endpoint")))
    : new Set<SignalName>();
  const perReplica = names.filter((name) => isNeeded(name, "replica"));
  const perEndpoint = names.filter((name) => isNeeded(name, "endpoint") && !fromLedger.has(name));
  const shown = new Set<string>(perEndpoint);
  // The queue's depth is the ledger's held plus what waits in engines, whether that is shown itself or not.
  if (fromLedger.has("queue_depth") && !shown.has("waiting")) perEndpoint.push("waiting");
  const wanted = new Set<SignalName>([...perReplica, ...perEndpoint]);
  const ofReplica = new Set(perReplica);
  const readsHistograms = [...wanted].some((name) => isPageHistogram(name) || isQuantile(name));
  const readsGpu = [...wanted].some(isGpu);
  const readCounters = counters.filter(
    (name) =>
      wanted.has(name) ||
      (name === "finished" && wanted.has("request_rate")) ||
      (name === "prompt_tokens" && wanted.has("prompt_tokens_per_second")) ||
      (name === "gen_tokens" && wanted.has("output_tokens_per_second")),
  );
  const derives = readsHistograms || rates.some((name) => wanted.has(name));
  const gpuOf = new Map(settings.pools.map(({ pool, simulated }) => [pool.name, GPUS[simulated.engine.profile.gpu]]));

  const targets = new Map<string, Target>();
  const whole = new Book({ kind: "endpoint" });
  const doorSeries = createDoorSeries({ names: fromLedger });
  const own = new Map<string, { readonly series: Series; samples: Sample[] }>();
  let cursor: string | null = null;
  const reports: DoorReport[] = [];
  let slots: Slot[] = [];

  const readTimer = queue.add((nowMs) => {
    read(nowMs);
    queue.set(readTimer, nowMs + everyMs);
    if (readsGpu) queue.set(gpuTimer, nowMs + Math.max(0, everyMs - gpuWindowMs));
  });
  /** One GPU window before pages are read. */
  const gpuTimer = queue.add((nowMs) => {
    for (const { candidates } of fleet.pools) for (const replica of candidates) watchGpu(replica, targetOf(replica), nowMs);
  });
  const lookTimer = queue.add((nowMs) => {
    look(nowMs);
    queue.set(lookTimer, nowMs + lookEveryMs);
  });
  const lookEveryMs = needs.reduce(
    (least, need) => (fromLedger.has(need.name as SignalName) && need.sampleEveryMs > 0 ? Math.min(least, need.sampleEveryMs) : least),
    scrapeEveryMs,
  );

  function targetOf(replica: SimulatedReplica): Target {
    let target = targets.get(replica.id);
    if (target === undefined) {
      const book = new Book({ kind: "replica", id: replica.id });
      target = { book, previous: null, recent: [], underWay: [], activeMs: 0, prefillMs: 0, watchedMs: replica.entered.ready ?? 0 };
      targets.set(replica.id, target);
    }
    return target;
  }

  function watchGpu(replica: SimulatedReplica, target: Target, nowMs: Ms): void {
    replica.engine.advance(nowMs, replica);
    target.activeMs = replica.activeMs(nowMs);
    target.prefillMs = replica.engine.counters.prefillBusyMs;
    target.watchedMs = nowMs;
  }

  /** A look at the pages of all ready replicas. */
  function read(nowMs: Ms): void {
    if (wanted.size === 0) return;
    const there = new Set<string>();
    const pages: Page[] = [];
    const derived: Derived[] = [];
    const windowed: Partial<Record<SignalName, Histogram>>[] = [];
    let count = 0;
    const isOut = blindness.isOut(nowMs);
    for (const { candidates } of fleet.pools) {
      for (const replica of candidates) {
        there.add(replica.id);
        count++;
        const target = targetOf(replica);
        const isMissing = blindness.missingShare > 0 && uniform() < blindness.missingShare;
        replica.engine.advance(nowMs, replica);
        target.underWay.push(pageOf(replica, target, nowMs));
        let page: Page | undefined;
        while ((target.underWay[0]?.report.atMs ?? Number.POSITIVE_INFINITY) <= nowMs - blindness.lagMs) page = target.underWay.shift();
        if (isOut || isMissing || page === undefined) {
          if (isOut || isMissing) for (const name of perReplica) target.book.fail(name, "signal/unreachable", nowMs);
          continue;
        }
        // Nobody can tell from a page how old it is.
        const known: Page = blindness.lagMs === 0 ? page : { ...page, report: { ...page.report, atMs: nowMs } };
        const learned = learn(target, known);
        if (learned.derived !== null) derived.push(learned.derived);
        windowed.push(learned.windowed);
        pages.push(known);
      }
    }
    for (const id of targets.keys()) if (!there.has(id)) targets.delete(id);
    combine(count, pages, derived, windowed, nowMs);
  }

  function pageOf(replica: SimulatedReplica, target: Target, nowMs: Ms): Page {
    const { engine } = replica;
    const gauges: Partial<Record<SignalName, number>> = {
      running: engine.running,
      waiting: engine.waiting,
      kv_used: engine.kvUsed,
      kv_capacity_tokens: replica.kvCapacityTokens,
      max_running: replica.maxNumSeqs,
    };
    const counts: Partial<Record<SignalName, { source: string; value: number }>> = {};
    const { promptTokens, genTokens, prefixQueries, prefixHits, preemptions } = engine.counters;
    const values = {
      prompt_tokens: promptTokens,
      gen_tokens: genTokens,
      prefix_queries: prefixQueries,
      prefix_hits: prefixHits,
      preemptions,
      finished: replica.ended,
    };
    for (const name of readCounters) counts[name] = { source: name, value: values[name] };
    const histograms: Record<string, ReturnType<NonNullable<SimulatedReplica["histograms"]>["read"]> & { readonly source: string }> = {};
    if (replica.histograms !== null)
      for (const name of PAGE_HISTOGRAMS) histograms[name] = { source: name, ...replica.histograms.read(name) };
    const report: EngineReport = { atMs: nowMs, startedAtMs: null, gauges, counters: counts, histograms, knownCounters: [] };
    return { report, gpu: readsGpu ? gpuReading(replica, target, nowMs) : {} };
  }

  /** The formulas of the emulated replica's GPU page: memory reserved up front, power from 0.45 of TDP while decoding to all of it. */
  function gpuReading(replica: SimulatedReplica, target: Target, nowMs: Ms): Page["gpu"] {
    const spanMs = nowMs - target.watchedMs;
    const busyMs = Math.min(spanMs, replica.activeMs(nowMs) - target.activeMs);
    const busy = spanMs <= 0 ? 0 : Math.max(0, busyMs / spanMs);
    const prefill = busyMs <= 0 ? 0 : Math.min(1, Math.max(0, replica.engine.counters.prefillBusyMs - target.prefillMs) / busyMs);
    const tdp = gpuOf.get(replica.pool)?.tdpWatts;
    return {
      gpu_utilization: Math.round(100 * busy),
      gpu_memory_used: 0.9,
      gr_active: busy,
      tensor_active: busy * (0.1 + 0.6 * prefill),
      dram_active: busy * (0.75 - 0.4 * prefill),
      ...(tdp === undefined ? {} : { gpu_power: Math.round(0.17 * tdp + busy * ((0.45 + 0.55 * prefill) * tdp - 0.17 * tdp)) }),
    };
  }

  function learn(target: Target, { report, gpu }: Page): { derived: Derived | null; windowed: Partial<Record<SignalName, Histogram>> } {
    const { book } = target;
    const add = (name: SignalName, value: number | Histogram | undefined, windowMs: Ms) => {
      if (value !== undefined && ofReplica.has(name)) book.add(name, { atMs: report.atMs, windowMs, value });
    };
    const derived = derives && target.previous !== null ? derive(target.previous, report) : null;
    if (derives) target.previous = report;
    for (const name of perReplica) {
      if (isGpu(name)) add(name, gpu[name], 0);
      else if ((counters as readonly string[]).includes(name)) add(name, report.counters[name]?.value, 0);
      else if (derived !== null && (rates as readonly string[]).includes(name)) add(name, derived.rates[name], derived.windowMs);
      else if (derived !== null && isPageHistogram(name)) add(name, derived.histograms[name], derived.windowMs);
      else if (name in report.gauges) add(name, report.gauges[name], 0);
    }
    if (derived === null || !readsHistograms) return { derived, windowed: {} };
    target.recent.push(derived);
    while ((target.recent[0]?.atMs ?? Number.POSITIVE_INFINITY) <= report.atMs - quantileWindowMs) target.recent.shift();
    const windowed: Partial<Record<SignalName, Histogram>> = {};
    for (const name of PAGE_HISTOGRAMS) {
      const merged = mergeHistograms(target.recent.flatMap((one) => one.histograms[name] ?? []));
      if (merged !== null) windowed[name] = merged;
    }
    const first = target.recent[0] as Derived;
    for (const [name, value] of Object.entries(quantileSignals(windowed)))
      add(name as SignalName, value, report.atMs - first.atMs + first.windowMs);
    return { derived, windowed };
  }

  /** The endpoint's series: sums and means only where every replica has answered. */
  function combine(
    count: number,
    pages: readonly Page[],
    derived: readonly Derived[],
    windowed: readonly Partial<Record<SignalName, Histogram>>[],
    nowMs: Ms,
  ): void {
    if (perEndpoint.length === 0) return;
    const code = count === 0 ? "no-replicas" : pages.length < count ? "partial" : null;
    const quantiles =
      code === null && readsHistograms
        ? quantileSignals(
            Object.fromEntries(
              PAGE_HISTOGRAMS.flatMap((name) => {
                const merged = mergeHistograms(windowed.flatMap((one) => one[name] ?? []));
                return merged === null ? [] : [[name, merged]];
              }),
            ),
          )
        : {};
    for (const name of perEndpoint) {
      if (code !== null) {
        whole.fail(name, code, nowMs);
        continue;
      }
      if (isQuantile(name)) {
        const value = quantiles[name];
        if (value !== undefined) whole.add(name, { atMs: nowMs, windowMs: quantileWindowMs, value });
        continue;
      }
      if (isPageHistogram(name)) {
        const merged = derived.length < count ? null : mergeHistograms(derived.flatMap((one) => one.histograms[name] ?? []));
        if (merged !== null) whole.add(name, { atMs: nowMs, windowMs: derived[0]?.windowMs ?? 0, value: merged });
        continue;
      }
      const isRate = (rates as readonly string[]).includes(name);
      const values = isRate ? derived.map((one) => one.rates[name]) : pages.map((page) => readingOf(name, page));
      if (values.length < count || values.some((value) => value === undefined)) continue;
      const total = (values as number[]).reduce((sum, value) => sum + value, 0);
      whole.add(name, { atMs: nowMs, windowMs: isRate ? (derived[0]?.windowMs ?? 0) : 0, value: isMean(name) ? total / count : total });
    }
  }

  function readingOf(name: SignalName, { report, gpu }: Page): number | undefined {
    if (isGpu(name)) return gpu[name];
    const { running, waiting } = report.gauges;
    if (name === "queue_depth") return waiting;
    if (name === "in_flight") return (running ?? 0) + (waiting ?? 0);
    return report.gauges[name];
  }

  /** A look at the ledger. */
  function look(nowMs: Ms): void {
    if (!ledgerSeen) return;
    const report = ledger.report(nowMs, cursor);
    cursor = report.cursor;
    reports.push(report);
    let known: DoorReport | null = null;
    const isOut = blindness.isOut(nowMs);
    while (!isOut && reports[0] !== undefined && reports[0].atMs <= nowMs - blindness.lagMs) {
      known = reports.shift() as DoorReport;
      for (const slot of known.slots) slots.push(slot);
      if (fromLedger.size > 0) observe(known, nowMs);
    }
    if (slots.length > keptSlots) slots = slots.slice(-keptSlots);
    if (known === null && fromLedger.size > 0 && isOut) observe(null, nowMs);
  }

  function observe(report: DoorReport | null, nowMs: Ms): void {
    const engines: Series[] = [];
    whole.peek(engines);
    const shiftMs = report === null ? 0 : nowMs - report.atMs;
    for (const one of doorSeries(engines, report, nowMs - shiftMs)) {
      if (!fromLedger.has(one.name as SignalName) || one.subject.kind !== "endpoint") continue;
      const shifted = (sample: Sample): Sample => (blindness.lagMs === 0 ? sample : { ...sample, atMs: sample.atMs + blindness.lagMs });
      const samples = [...(own.get(one.name)?.samples ?? []), ...one.samples.map(shifted)].slice(-keptSamples);
      own.set(one.name, { series: { ...one, latest: one.latest === null ? null : shifted(one.latest) }, samples });
    }
  }

  return {
    readsHistograms,
    start(nowMs) {
      // Pages and decisions go by clocks of their own.
      const phase = uniform();
      if (wanted.size > 0) queue.set(readTimer, nowMs + phase * everyMs);
      if (fromLedger.size > 0) queue.set(lookTimer, nowMs + lookEveryMs);
    },
    take(nowMs) {
      const series: Series[] = [];
      if (perReplica.length > 0)
        for (const { candidates } of fleet.pools) for (const { id } of candidates) targets.get(id)?.book.take(series);
      const summed: Series[] = [];
      whole.take(summed);
      for (const one of summed) if (shown.has(one.name)) series.push(one);
      if (ledgerSeen) look(nowMs);
      for (const one of own.values()) {
        series.push({ ...one.series, samples: one.samples });
        one.samples = [];
      }
      const isBlind = !ledgerSeen || blindness.isOut(nowMs);
      const closed = isBlind ? null : slots;
      if (!isBlind) slots = [];
      return { series, slots: closed };
    },
  };
}
