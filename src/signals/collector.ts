import {
  type Derived,
  derive,
  type EngineReport,
  foldGpus,
  type GpuReport,
  parseEnginePage,
  parseGpuPage,
  quantileSignals,
  RATE_NAMES,
} from "../engine/index.ts";
import { fetchText } from "../http/index.ts";
import {
  type Clock,
  type Endpoint,
  type Histogram,
  isSignalName,
  type Log,
  type Ms,
  mergeHistograms,
  messageOf,
  type Need,
  type Sample,
  type Series,
  SIGNALS,
  type SignalName,
  type Subject,
  TidegateError,
} from "../model/index.ts";
import { every } from "./every.ts";
import { createPrometheus, type PrometheusAnswer } from "./prometheus.ts";
import { createSeriesBook } from "./series-book.ts";

/** The text of a page, in `timeoutMs` of real time. @throws TidegateError `signal/unreachable` */
export type ReadPage = (url: string, options: { readonly timeoutMs: Ms; readonly signal: AbortSignal }) => Promise<string>;

/** The text format first: OpenMetrics says nothing more that is read here. */
const accept = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1";
const overHttp: ReadPage = (url, options) => fetchText(url, { ...options, headers: { accept }, code: "signal/unreachable" });

export interface CollectorOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** What policies read: one that is worth sampling more often than `scrapeEveryMs` makes all pages be read that often. */
  readonly needs?: readonly Need[];
  /** For tests and for replicas that are reached in another way. */
  readonly readPage?: ReadPage;
}

/**
 * Reads the pages of an endpoint's replicas, its GPUs' exporter and its Prometheus server, by itself and on the clock. It never
 * throws: what cannot be read is a fault on the series that it would have fed, whose last good value stays, growing older.
 */
export interface Collector {
  /** Which replicas to read from now on: the ready ones. Series of others are forgotten. */
  targets(replicas: readonly { readonly id: string; readonly url: string }[]): void;
  /** Everything known, `samples` being those since the last call. */
  collect(nowMs: Ms): readonly Series[];
  close(): Promise<void>;
}

/** Quantiles speak of the observations of this long. */
const quantileWindowMs: Ms = 60_000;
/** Longest wait for a page; in real time, as are sockets. */
const longestTimeoutMs: Ms = 10_000;
/** Shortest wait, for clocks that run so fast that the interval is over before a page can come. */
const shortestTimeoutMs: Ms = 250;

type Values = Partial<Record<SignalName, number>>;
type Histograms = Partial<Record<SignalName, Histogram>>;
interface Fault {
  readonly code: string;
  readonly sinceMs: Ms;
}
interface Target {
  readonly id: string;
  readonly url: string;
  readonly subject: Subject;
  previous: EngineReport | null;
  /** Differences of the last `quantileWindowMs`, oldest first. */
  recent: Derived[];
  engineFault: Fault | null;
  gpuFault: Fault | null;
  /** Names that each page has fed, to be marked when it no longer does. */
  readonly engineNames: Set<SignalName>;
  readonly gpuNames: Set<SignalName>;
}
/** What one round learned of one replica; null: nothing, or nothing yet. */
interface Reading {
  readonly report: EngineReport | null;
  readonly derived: Derived | null;
  readonly windowed: { readonly histograms: Histograms; readonly windowMs: Ms } | null;
  readonly gpu: Values | null;
  readonly gpuAtMs: Ms;
}

const endpointSubject: Subject = { kind: "endpoint" };
const summed: readonly SignalName[] = [
  "running",
  "waiting",
  "max_running",
  "kv_capacity_tokens",
  "gpu_power",
  "queue_depth",
  "in_flight",
  "held",
  ...RATE_NAMES,
];
const foldOf = (name: string): "sum" | "mean" | null =>
  !isSignalName(name) ? null : summed.includes(name) ? "sum" : name === "kv_used" || isGpu(name) ? "mean" : null;
const isQuantile = (name: string) => /_p\d\d$/.test(name);
const isGpu = (name: SignalName) => name.startsWith("gpu_") || name.endsWith("_active");
const engineGauges = Object.keys(SIGNALS).filter((name) => foldOf(name) !== null && !isGpu(name as SignalName)) as SignalName[];
const keysOf = (values: object | undefined | null) => Object.keys(values ?? {}) as SignalName[];
const joined = (base: string, path: string) => `${base.replace(/\/+$/, "")}/${path.replace(/^\/+/, "")}`;

export function createCollector(endpoint: Endpoint, options: CollectorOptions): Collector {
  const { clock, log, needs = [] } = options;
  const { engine, prometheus, staleAfterMs } = endpoint;
  const everyMs = needs.reduce(
    (least, need) => (need.sampleEveryMs > 0 ? Math.min(least, need.sampleEveryMs) : least),
    endpoint.scrapeEveryMs,
  );
  const timeoutMs = Math.max(shortestTimeoutMs, Math.min(longestTimeoutMs, (0.9 * everyMs) / clock.speed));
  const metricsPath = engine.kind === "ollama" ? null : engine.metricsPath;
  const sharedGpuUrl = engine.gpuMetrics !== null && /^https?:\/\//.test(engine.gpuMetrics) ? engine.gpuMetrics : null;
  const readPage = options.readPage ?? overHttp;
  const client = prometheus === null ? null : createPrometheus(prometheus);
  /** What Prometheus is asked for is taken from there and not from pages. */
  const asked = new Set(prometheus?.queries.map(({ signal }) => signal));
  const book = createSeriesBook();
  const targets = new Map<string, Target>();
  const faults = new Map<string, Fault>();
  let stopPages: (() => Promise<void>) | null = null;
  const stopQueries = client === null ? null : every(clock, everyMs, () => ask(client));
  const ending = new AbortController();
  let closed = false;

  /** Remembers since when something has been failing, and says so once. */
  function failing(key: string, error: unknown): Fault {
    const code = error instanceof TidegateError ? error.code : "signal/malformed";
    const before = faults.get(key);
    if (before?.code === code) return before;
    const fault = { code, sinceMs: before?.sinceMs ?? clock.now() };
    faults.set(key, fault);
    if (!closed) log("warn", `${endpoint.name}: ${messageOf(error)}`, { code });
    return fault;
  }
  function working(key: string, what: string): void {
    if (faults.delete(key)) log("info", `${endpoint.name}: ${what} is readable again`);
  }

  const put = (name: string, subject: Subject, sample: Sample) => {
    if (!asked.has(name)) book.add(name, subject, sample);
  };
  const fail = (name: string, subject: Subject, { code, sinceMs }: Fault) => {
    if (!asked.has(name)) book.fail(name, subject, code, sinceMs);
  };

  async function page<Report>(url: string, parse: (text: string, atMs: Ms) => Report): Promise<Report> {
    const text = await readPage(url, { timeoutMs, signal: ending.signal });
    try {
      return parse(text, clock.now());
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      throw new TidegateError(error.code, `GET ${url}: ${error.message}`, { cause: error });
    }
  }

  async function readEngine(target: Target): Promise<Pick<Reading, "report" | "derived" | "windowed">> {
    const nothing = { report: null, derived: null, windowed: null };
    if (metricsPath === null) return nothing;
    const { subject, engineNames } = target;
    const key = `engine ${target.id}`;
    try {
      const report = await page(joined(target.url, metricsPath), (text, atMs) => parseEnginePage(engine.kind, text, atMs));
      if (targets.get(target.id) !== target) return nothing;
      working(key, `the metrics page of ${target.id}`);
      target.engineFault = null;
      return { report, ...learn(target, report) };
    } catch (error) {
      if (targets.get(target.id) !== target) return nothing;
      target.engineFault = failing(key, error);
      const names = engineNames.size > 0 ? engineNames : (["running", "waiting"] as const);
      for (const name of names) fail(name, subject, target.engineFault);
      return nothing;
    }
  }

  function learn(target: Target, report: EngineReport): Pick<Reading, "derived" | "windowed"> {
    const { subject, engineNames } = target;
    // Over a long silence the mean says little of now.
    const usable = target.previous !== null && report.atMs - target.previous.atMs <= Math.max(staleAfterMs, 3 * everyMs);
    const derived = usable ? derive(target.previous as EngineReport, report) : null;
    target.previous = report;
    if (derived !== null) target.recent.push(derived);
    target.recent = target.recent.filter(({ atMs }) => atMs > report.atMs - quantileWindowMs);

    const fresh = new Set<SignalName>();
    const add = (name: SignalName, value: number | Histogram, windowMs: Ms) => {
      fresh.add(name);
      put(name, subject, { atMs: report.atMs, windowMs, value });
    };
    for (const name of keysOf(report.gauges)) add(name, report.gauges[name] as number, 0);
    for (const name of keysOf(report.counters)) add(name, report.counters[name]?.value as number, 0);
    for (const name of keysOf(derived?.rates)) add(name, derived?.rates[name] as number, derived?.windowMs as Ms);
    for (const name of keysOf(derived?.histograms)) add(name, derived?.histograms[name] as Histogram, derived?.windowMs as Ms);
    for (const name of engineNames) {
      // Quiet for a while is no fault: a quantile without observations grows old.
      if (isQuantile(name)) book.clear(name, subject);
      else if (!fresh.has(name)) fail(name, subject, { code: "signal/absent", sinceMs: report.atMs });
    }
    for (const name of fresh) engineNames.add(name);

    const windowed = windowOf(target.recent, report.atMs);
    const quantiles = quantileSignals(windowed.histograms);
    for (const name of keysOf(quantiles)) {
      engineNames.add(name);
      put(name, subject, { atMs: report.atMs, windowMs: windowed.windowMs, value: quantiles[name] as number });
    }
    return { derived, windowed: derived === null ? null : windowed };
  }

  function windowOf(recent: readonly Derived[], atMs: Ms): { histograms: Histograms; windowMs: Ms } {
    const histograms: Histograms = {};
    const names = new Set(recent.flatMap((derived) => keysOf(derived.histograms)));
    for (const name of names) {
      const merged = mergeHistograms(recent.flatMap((derived) => derived.histograms[name] ?? []));
      if (merged !== null) histograms[name] = merged;
    }
    const first = recent[0];
    return { histograms, windowMs: first === undefined ? 0 : atMs - first.atMs + first.windowMs };
  }

  async function readGpu(target: Target, shared: Promise<GpuReport | TidegateError> | null): Promise<Pick<Reading, "gpu" | "gpuAtMs">> {
    if (engine.gpuMetrics === null) return { gpu: null, gpuAtMs: 0 };
    const key = `gpu ${target.id}`;
    try {
      const report =
        shared === null ? await page(joined(target.url, engine.gpuMetrics), (text, atMs) => parseGpuPage(text, atMs)) : await shared;
      if (targets.get(target.id) !== target) return { gpu: null, gpuAtMs: 0 };
      if (report instanceof TidegateError) {
        target.gpuFault = faults.get("gpu") ?? { code: report.code, sinceMs: clock.now() };
        throw target.gpuFault;
      }
      working(key, `the GPU page of ${target.id}`);
      target.gpuFault = null;
      const own = report.devices.filter(({ pod }) => pod === target.id);
      // A page of the replica's own may not know about pods; the one of a whole cluster must.
      const devices = own.length > 0 || shared !== null ? own : report.devices;
      const gpu = foldGpus(devices);
      for (const name of keysOf(gpu)) {
        target.gpuNames.add(name);
        put(name, target.subject, { atMs: report.atMs, windowMs: 0, value: gpu[name] as number });
      }
      for (const name of target.gpuNames) {
        if (gpu[name] === undefined) fail(name, target.subject, { code: "signal/absent", sinceMs: report.atMs });
      }
      return { gpu: keysOf(gpu).length > 0 ? gpu : null, gpuAtMs: report.atMs };
    } catch (error) {
      if (targets.get(target.id) !== target) return { gpu: null, gpuAtMs: 0 };
      if (error !== target.gpuFault) target.gpuFault = failing(key, error);
      const names = target.gpuNames.size > 0 ? target.gpuNames : (["gpu_utilization"] as const);
      for (const name of names) fail(name, target.subject, target.gpuFault as Fault);
      return { gpu: null, gpuAtMs: 0 };
    }
  }

  async function readSharedGpu(url: string): Promise<GpuReport | TidegateError> {
    try {
      const report = await page(url, (text, atMs) => parseGpuPage(text, atMs));
      working("gpu", "the GPU page");
      return report;
    } catch (error) {
      failing("gpu", error);
      return error instanceof TidegateError ? error : new TidegateError("signal/malformed", messageOf(error), { cause: error });
    }
  }

  /** One look at every replica. Never rejects: `readEngine` and `readGpu` turn what goes wrong into faults. */
  async function round(): Promise<void> {
    const list = [...targets.values()];
    const shared = sharedGpuUrl === null ? null : readSharedGpu(sharedGpuUrl);
    const readings = await Promise.all(
      list.map(async (target) => {
        const [ofEngine, ofGpu] = await Promise.all([readEngine(target), readGpu(target, shared)]);
        return { ...ofEngine, ...ofGpu };
      }),
    );
    const sharedReport = await shared;
    if (closed) return;
    // A replica that went while we read is not missing.
    const still = list.map((target) => targets.get(target.id) === target);
    const there = list.filter((_, at) => still[at]);
    const read = readings.filter((_, at) => still[at]);
    combine(there, read);
    combineGpus(there, read, sharedReport ?? null);
  }

  const endpointEngineNames = new Set<SignalName>();

  /** The endpoint's series out of one round: sums only where every replica has answered. */
  function combine(list: readonly Target[], readings: readonly Reading[]): void {
    const nowMs = clock.now();
    const failAll = (fault: Fault) => {
      for (const name of endpointEngineNames) fail(name, endpointSubject, fault);
    };
    if (metricsPath === null) return;
    if (list.length === 0) {
      failAll({ code: "no-replicas", sinceMs: nowMs });
      return;
    }
    const reports = readings.flatMap(({ report }) => report ?? []);
    if (reports.length === 0) {
      const fault = list.find(({ engineFault }) => engineFault !== null)?.engineFault ?? { code: "partial", sinceMs: nowMs };
      if (endpointEngineNames.size === 0) for (const name of ["running", "waiting", "queue_depth"]) fail(name, endpointSubject, fault);
      failAll(fault);
      return;
    }
    const atMs = Math.min(...reports.map((report) => report.atMs));
    const partial: Fault = { code: "partial", sinceMs: nowMs };
    const add = (name: SignalName, value: number | Histogram, windowMs: Ms) => {
      endpointEngineNames.add(name);
      put(name, endpointSubject, { atMs, windowMs, value });
    };
    const short = (name: SignalName) => {
      endpointEngineNames.add(name);
      fail(name, endpointSubject, partial);
    };

    const readingOf = (name: SignalName, { report, derived }: Reading): number | undefined => {
      if (name === "queue_depth") return report?.gauges.waiting;
      if (name === "in_flight")
        return report?.gauges.running === undefined || report.gauges.waiting === undefined
          ? undefined
          : report.gauges.running + report.gauges.waiting;
      return report?.gauges[name] ?? derived?.rates[name];
    };
    const rateWindowMs = Math.max(0, ...readings.map(({ derived }) => derived?.windowMs ?? 0));
    for (const name of engineGauges) {
      const values = readings.map((reading) => readingOf(name, reading));
      const known = values.filter((value) => value !== undefined);
      if (known.length < values.length) {
        if (known.length > 0 || endpointEngineNames.has(name)) short(name);
        continue;
      }
      const total = known.reduce((a, b) => a + b, 0);
      add(
        name,
        foldOf(name) === "mean" ? total / known.length : total,
        name in SIGNALS && SIGNALS[name].unit.endsWith("/s") ? rateWindowMs : 0,
      );
    }

    const derived = readings.flatMap((reading) => reading.derived ?? []);
    const windows = readings.flatMap((reading) => reading.windowed ?? []);
    const histogramNames = new Set([
      ...derived.flatMap((one) => keysOf(one.histograms)),
      ...[...endpointEngineNames].filter((name) => SIGNALS[name].kind === "histogram"),
    ]);
    const complete = derived.length === readings.length;
    const windowed: Histograms = {};
    for (const name of histogramNames) {
      // A replica that has not shown a histogram yet has observed nothing.
      const merged = complete ? mergeHistograms(derived.flatMap((one) => one.histograms[name] ?? [])) : null;
      if (merged === null) short(name);
      else add(name, merged, rateWindowMs);
      const overWindow = complete ? mergeHistograms(windows.flatMap((one) => one.histograms[name] ?? [])) : null;
      if (overWindow !== null) windowed[name] = overWindow;
    }
    for (const name of endpointEngineNames) {
      if (!isQuantile(name)) continue;
      if (complete) book.clear(name, endpointSubject);
      else short(name);
    }
    const quantiles = quantileSignals(windowed);
    for (const name of keysOf(quantiles)) add(name, quantiles[name] as number, Math.max(...windows.map((one) => one.windowMs)));
  }

  const endpointGpuNames = new Set<SignalName>();

  function combineGpus(list: readonly Target[], readings: readonly Reading[], shared: GpuReport | TidegateError | null): void {
    const add = (name: SignalName, atMs: Ms, value: number) => {
      endpointGpuNames.add(name);
      put(name, endpointSubject, { atMs, windowMs: 0, value });
    };
    const fresh = new Set<SignalName>();
    if (
      shared !== null &&
      !(shared instanceof TidegateError) &&
      shared.devices.length > 0 &&
      shared.devices.every(({ pod }) => pod === null)
    ) {
      // A host without pods: its GPUs cannot be told apart by replica, but they are the endpoint's.
      const folded = foldGpus(shared.devices);
      for (const name of keysOf(folded)) {
        fresh.add(name);
        add(name, shared.atMs, folded[name] as number);
      }
    } else {
      // Engines that report their GPU themselves (Triton) count as their own exporter.
      const all = readings.map(({ report, gpu, gpuAtMs }) => ({
        values: { ...report?.gauges, ...gpu },
        atMs: gpu === null ? (report?.atMs ?? 0) : gpuAtMs,
      }));
      const names = new Set(all.flatMap(({ values }) => keysOf(values).filter(isGpu)));
      for (const name of names) {
        const having = all.filter(({ values }) => values[name] !== undefined);
        const mean = foldOf(name) === "mean";
        if (!mean && having.length < all.length) continue; // a sum needs all
        const total = having.reduce((sum, { values }) => sum + (values[name] as number), 0);
        fresh.add(name);
        add(name, Math.min(...having.map(({ atMs }) => atMs)), mean ? total / having.length : total);
      }
    }
    const code = list.length === 0 ? "no-replicas" : (list.find(({ gpuFault }) => gpuFault !== null)?.gpuFault?.code ?? "partial");
    for (const name of endpointGpuNames) if (!fresh.has(name)) fail(name, endpointSubject, { code, sinceMs: clock.now() });
  }

  async function ask(prometheusClient: NonNullable<typeof client>): Promise<void> {
    const lookback = clock.speed === 1 ? { lookbackMs: staleAfterMs } : {};
    await Promise.all(
      (prometheus?.queries ?? []).map(async ({ signal, query, replicaLabel }) => {
        const key = `prometheus ${query}`;
        const subjects = () =>
          replicaLabel === null ? [endpointSubject] : [...[...targets.values()].map(({ subject }) => subject), endpointSubject];
        try {
          const answer = await prometheusClient.query(query, lookback);
          if (closed) return;
          if (answer.partial) {
            throw new TidegateError(
              "signal/unreachable",
              `query ${JSON.stringify(query)}: only a part of the data was there (${answer.warnings.join("; ")})`,
              { retryable: true },
            );
          }
          for (const warning of answer.warnings) log("debug", `${endpoint.name}: ${warning}`, { query });
          if (replicaLabel === null) store(signal, single(answer, query));
          else storePerReplica(signal, answer, replicaLabel);
          working(key, `query ${JSON.stringify(query)}`);
        } catch (error) {
          if (closed) return;
          const fault = failing(key, error);
          for (const subject of subjects()) book.fail(signal, subject, fault.code, fault.sinceMs);
        }
      }),
    );
  }

  function store(signal: string, value: number | null): void {
    const atMs = clock.now();
    if (value === null) book.fail(signal, endpointSubject, "signal/absent", atMs);
    else book.add(signal, endpointSubject, { atMs, windowMs: 0, value });
  }

  function storePerReplica(signal: string, answer: PrometheusAnswer, label: string): void {
    const atMs = clock.now();
    const values: number[] = [];
    for (const target of targets.values()) {
      const { host, hostname } = new URL(target.url);
      const mine = answer.series.filter(({ labels }) => [target.id, host, hostname].includes(labels[label] ?? ""));
      const exact = mine.filter(({ labels }) => labels[label] === target.id);
      const chosen = exact.length > 0 ? exact : mine;
      const value = chosen.length === 1 ? chosen[0]?.points.at(-1)?.value : undefined;
      if (value === undefined || !Number.isFinite(value)) book.fail(signal, target.subject, "signal/absent", atMs);
      else {
        values.push(value);
        book.add(signal, target.subject, { atMs, windowMs: 0, value });
      }
    }
    const fold = foldOf(signal);
    const own = prometheus?.queries.some((query) => query.signal === signal && query.replicaLabel === null);
    if (fold === null || own || (values.length === 0 && !book.has(signal, endpointSubject))) return;
    if (targets.size === 0 || values.length < targets.size) {
      book.fail(signal, endpointSubject, targets.size === 0 ? "no-replicas" : "partial", atMs);
      return;
    }
    const total = values.reduce((a, b) => a + b, 0);
    book.add(signal, endpointSubject, { atMs, windowMs: 0, value: fold === "mean" ? total / values.length : total });
  }

  return {
    targets(replicas) {
      if (closed) return;
      const wanted = new Map(replicas.map((replica) => [replica.id, replica.url]));
      for (const [id, target] of targets) {
        if (wanted.get(id) === target.url) continue;
        targets.delete(id);
        book.drop(target.subject);
        faults.delete(`engine ${id}`);
        faults.delete(`gpu ${id}`);
      }
      for (const [id, url] of wanted) {
        if (targets.has(id)) continue;
        const subject: Subject = { kind: "replica", id };
        targets.set(id, {
          id,
          url,
          subject,
          previous: null,
          recent: [],
          engineFault: null,
          gpuFault: null,
          engineNames: new Set(),
          gpuNames: new Set(),
        });
      }
      if (targets.size > 0 && (metricsPath !== null || engine.gpuMetrics !== null)) stopPages ??= every(clock, everyMs, round);
    },
    collect: () => book.take(),
    async close() {
      closed = true;
      targets.clear();
      ending.abort();
      await client?.close();
      await Promise.all([stopPages?.(), stopQueries?.()]);
    },
  };
}

/** The one value of an endpoint's query; null of none, and of NaN. */
function single(answer: PrometheusAnswer, query: string): number | null {
  if (answer.series.length > 1) {
    throw new TidegateError(
      "signal/malformed",
      `query ${JSON.stringify(query)} gives ${answer.series.length} series and the endpoint needs one; aggregate it, as in sum(...), or set replicaLabel`,
    );
  }
  const value = answer.series[0]?.points.at(-1)?.value;
  return value === undefined || !Number.isFinite(value) ? null : value;
}
