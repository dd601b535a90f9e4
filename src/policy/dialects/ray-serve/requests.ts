import type { Endpoint, Ms, Observation, Pool } from "../../../model/index.ts";
import { type Reader, sumOf } from "../../reading.ts";
import { type AutoscalingConfig, recordIntervalS, reportTimeoutS } from "./autoscaling-config.ts";
import { addPoint, averageOf, type MetricsStore, pruneBefore } from "./metrics-store.ts";
import { type StepSeries, totalAt } from "./step-series.ts";

/** What a handle counts at one moment. `partial`: a running replica did not say, so that there is at least so much. */
interface RequestCount {
  readonly queued: number;
  readonly running: Readonly<Record<string, number>>;
  readonly partial: boolean;
}

/** A handle's samples, and when it last told the controller; `null` before the first time. `partialMs`: when a sample was last partial. */
export interface RequestGauge {
  readonly store: MetricsStore;
  readonly partialMs: Ms | null;
  readonly reportedMs: Ms | null;
  readonly nextSampleMs: Ms;
  readonly nextReportMs: Ms;
}

export const newGauge = (nowMs: Ms): RequestGauge => ({
  store: {},
  partialMs: null,
  reportedMs: null,
  nextSampleMs: nowMs,
  nextReportMs: nowMs,
});

const QUEUED = "queued";
const runningOn = (replica: string) => `running/${replica}`;

/**
 * Samples and reports when they are due. A request that is queued while nothing runs is reported at once, and sampled where no sample
 * has seen one yet, so that the report says so. Without a count there is neither a sample nor a report.
 */
export function tend(gauge: RequestGauge, config: AutoscalingConfig, nowMs: Ms, count: RequestCount | null, urgent: boolean): RequestGauge {
  const { nextSampleMs, nextReportMs } = gauge;
  const [sampleDue, reportDue] = [nowMs >= nextSampleMs, nowMs >= nextReportMs];
  const kept = pruneBefore(gauge.store, nowMs / 1000 - config.look_back_period_s);
  const queued = kept[QUEUED] ?? [];
  const unseen = (urgent && queued.every(({ value }) => value === 0)) || (reportDue && queued.length === 0);
  const takes = count !== null && (sampleDue || unseen);
  return {
    store: takes ? addPoint(kept, nowMs / 1000, valuesOf(count)) : kept,
    partialMs: takes && count.partial ? nowMs : gauge.partialMs,
    reportedMs: count !== null && (reportDue || urgent) ? nowMs : gauge.reportedMs,
    nextSampleMs: sampleDue ? following(nextSampleMs, recordIntervalS(config) * 1000, nowMs) : nextSampleMs,
    nextReportMs: reportDue ? following(nextReportMs, config.metrics_interval_s * 1000, nowMs) : nextReportMs,
  };
}

const valuesOf = ({ queued, running }: RequestCount): Readonly<Record<string, number>> => ({
  [QUEUED]: queued,
  ...Object.fromEntries(Object.entries(running).map(([replica, value]) => [runningOn(replica), value])),
});

/** The first time after `nowMs` that is whole periods after `dueMs`. */
const following = (dueMs: Ms, periodMs: Ms, nowMs: Ms): Ms => dueMs + (Math.floor((nowMs - dueMs) / periodMs) + 1) * periodMs;

/** What the controller has of a handle. */
export interface Report {
  readonly store: MetricsStore;
  readonly partial: boolean;
}

/** The last report; null: there is none, or it is too old to count. */
export function reportOf({ store, reportedMs, partialMs }: RequestGauge, config: AutoscalingConfig, nowMs: Ms): Report | null {
  if (reportedMs === null || nowMs - reportedMs >= reportTimeoutS(config) * 1000) return null;
  const reported = Object.entries(store).map(([key, points]) => [key, points.filter((point) => point.atS <= reportedMs / 1000)] as const);
  const seen: MetricsStore = Object.fromEntries(reported);
  if ((seen[QUEUED] ?? []).length === 0) return null;
  return { store: seen, partial: partialMs !== null && partialMs > nowMs - config.look_back_period_s * 1000 };
}

/**
 * The handle's own averages, in force until its next report: the mean of what was queued, and for each replica that runs now the sum
 * of its samples over the number of all samples, so that one which came midway counts less.
 */
export function averagedTotal({ store }: Report, runningIds: readonly string[]): number {
  const samples = store[QUEUED]?.length ?? 0;
  const running = runningIds.map((id) => sumOf((store[runningOn(id)] ?? []).map(({ value }) => value)) / samples);
  return sumOf([averageOf(store, [QUEUED]).average ?? 0, ...running]);
}

/** The controller's own total of the raw series at `nowMs`. */
export function aggregatedTotal({ store }: Report, runningIds: readonly string[], config: AutoscalingConfig, nowMs: Ms): number {
  const series = [...runningIds.toSorted().map(runningOn), QUEUED].map((key): StepSeries => store[key] ?? []);
  return totalAt(series, config.aggregation_function, nowMs / 1000);
}

/**
 * The requests of a pool now. Running: per replica its `in_flight`, else `running` + `waiting` (or what the endpoint maps
 * `ongoing_requests` to). Queued: what the gateway holds (or `queued_requests`); without a gateway, or where
 * nothing has happened at it, there is no queue but the engines'. Where something of this is not known, the endpoint's own `in_flight` stands for all, if the pool is alone; else the
 * sample is partial. Null: nobody says anything.
 */
export function readRequests(
  endpoint: Endpoint,
  pool: Pool,
  observation: Observation,
  reader: Reader,
  readyIds: readonly string[],
): RequestCount | null {
  const { cause, slots } = observation;
  const { ongoing, queued: queuedName } = signalsOf(endpoint);
  const ofReplica = (id: string): number | null => {
    const own = reader.replica(ongoing, id);
    if (typeof own === "number") return own;
    const [running, waiting] = [reader.replica("running", id), reader.replica("waiting", id)];
    return ongoing === "in_flight" && typeof running === "number" && typeof waiting === "number" ? running + waiting : null;
  };
  const running = readyIds.flatMap((id) => {
    const value = ofReplica(id);
    return value === null ? [] : [[id, value] as const];
  });

  // Requests wait in front of the pool that takes them first; a wake-up says that one does.
  const isFront = pool.role !== "decode";
  const woken = isFront && readyIds.length === 0 && cause === "held" ? 1 : 0;
  const reading = reader.endpoint(queuedName);
  const noQueue = !isFront || (slots === null ? readyIds.length > 0 : slots.length === 0);
  const queued = isFront && typeof reading === "number" ? reading : noQueue ? 0 : null;

  const whole = reader.endpoint(ongoing);
  const partial = running.length < readyIds.length || queued === null;
  if (partial && endpoint.pools.length === 1 && typeof whole === "number") {
    return { queued: Math.max(woken, whole), running: {}, partial: false };
  }
  if (running.length === 0 && queued === null && woken === 0) return null;
  if (running.length === 0 && readyIds.length > 0 && !queued) return null;
  return { queued: Math.max(woken, queued ?? 0), running: Object.fromEntries(running), partial };
}

/** The series that answer for Ray's two gauges. */
export const signalsOf = ({ metrics }: Endpoint) => ({
  ongoing: metrics["ongoing_requests"] ?? "in_flight",
  queued: metrics["queued_requests"] ?? "held",
});
