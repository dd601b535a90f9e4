import type { Endpoint, Ms, Observation, Pool } from "../../../model/index.ts";
import { type Reader, sumOf } from "../../reading.ts";
import { type AutoscalingConfig, recordIntervalS, reportTimeoutS } from "./autoscaling-config.ts";
import { totalAt } from "./step-series.ts";

/** What handles count at one moment. `partial`: a running replica did not say, so that there is at least so much. */
export interface RequestSample {
  readonly atMs: Ms;
  readonly queued: number;
  readonly running: Readonly<Record<string, number>>;
  readonly partial: boolean;
}

/** The samples of a handle and when it last told the controller; `null` before the first time. */
export interface RequestGauge {
  readonly samples: readonly RequestSample[];
  readonly reportedMs: Ms | null;
  readonly nextSampleMs: Ms;
  readonly nextReportMs: Ms;
}

export const newGauge = (nowMs: Ms): RequestGauge => ({ samples: [], reportedMs: null, nextSampleMs: nowMs, nextReportMs: nowMs });

/**
 * Samples and reports when they are due. A request that is queued while nothing runs is reported at once, and sampled where no sample
 * has seen one yet, so that the report says so. Without a reading there is neither a sample nor a report.
 */
export function tend(
  gauge: RequestGauge,
  config: AutoscalingConfig,
  nowMs: Ms,
  reading: RequestSample | null,
  urgent: boolean,
): RequestGauge {
  const sampleMs = recordIntervalS(config) * 1000;
  const reportMs = config.metrics_interval_s * 1000;
  const [sampleDue, reportDue] = [nowMs >= gauge.nextSampleMs, nowMs >= gauge.nextReportMs];
  const kept = gauge.samples.filter((sample) => sample.atMs > nowMs - config.look_back_period_s * 1000);
  const unseen = (urgent && kept.every(({ queued }) => queued === 0)) || (reportDue && kept.length === 0);
  const takes = reading !== null && (sampleDue || unseen);
  const samples = takes ? [...kept, reading] : kept;
  const reports = reading !== null && (reportDue || urgent);
  return {
    samples,
    reportedMs: reports ? nowMs : gauge.reportedMs,
    nextSampleMs: sampleDue ? following(gauge.nextSampleMs, sampleMs, nowMs) : gauge.nextSampleMs,
    nextReportMs: reportDue ? following(gauge.nextReportMs, reportMs, nowMs) : gauge.nextReportMs,
  };
}

/** The first time after `nowMs` that is whole periods after `dueMs`. */
const following = (dueMs: Ms, periodMs: Ms, nowMs: Ms): Ms => dueMs + (Math.floor((nowMs - dueMs) / periodMs) + 1) * periodMs;

/** What the last report holds; null: there is none, or it is too old to count. */
export function reportOf(gauge: RequestGauge, config: AutoscalingConfig, nowMs: Ms): readonly RequestSample[] | null {
  const { reportedMs, samples } = gauge;
  if (reportedMs === null || nowMs - reportedMs >= reportTimeoutS(config) * 1000) return null;
  const report = samples.filter((sample) => sample.atMs <= reportedMs);
  return report.length === 0 ? null : report;
}

/**
 * The handle's own averages, in force until its next report: the mean of what was queued, and for each replica that runs now the sum
 * of its samples over the number of all samples, so that one which came midway counts less.
 */
export function averagedTotal(report: readonly RequestSample[], runningIds: readonly string[]): number {
  const queued = sumOf(report.map((sample) => sample.queued));
  const running = runningIds.map((id) => sumOf(report.map((sample) => sample.running[id] ?? 0)));
  return sumOf([queued, ...running]) / report.length;
}

/** The controller's own total of the raw series at `nowMs`. */
export function aggregatedTotal(
  report: readonly RequestSample[],
  runningIds: readonly string[],
  config: AutoscalingConfig,
  nowMs: Ms,
): number {
  const queued = report.map((sample) => ({ atS: sample.atMs / 1000, value: sample.queued }));
  const running = runningIds.toSorted().map((id) =>
    report.flatMap((sample) => {
      const value = sample.running[id];
      return value === undefined ? [] : [{ atS: sample.atMs / 1000, value }];
    }),
  );
  return totalAt([...running, queued], config.aggregation_function, nowMs / 1000);
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
): RequestSample | null {
  const { nowMs: atMs, cause, slots } = observation;
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
    return { atMs, queued: Math.max(woken, whole), running: {}, partial: false };
  }
  if (running.length === 0 && queued === null && woken === 0) return null;
  if (running.length === 0 && readyIds.length > 0 && !queued) return null;
  return { atMs, queued: Math.max(woken, queued ?? 0), running: Object.fromEntries(running), partial };
}

/** The series that answer for Ray's two gauges. */
export const signalsOf = ({ metrics }: Endpoint) => ({
  ongoing: metrics["ongoing_requests"] ?? "in_flight",
  queued: metrics["queued_requests"] ?? "held",
});
