import { type Endpoint, isSignalName, type Need, type Observation, type Replica, type Sample, type Series } from "../../../model/index.ts";
import { type Reader, readerOf } from "../../reading.ts";
import type { MetricSources } from "./combine.ts";
import { type Int64, saturate64 } from "./int64.ts";
import { labelsPass } from "./selector.ts";
import {
  type Container,
  HpaError,
  type HpaSpec,
  type MetricIdentifier,
  type MetricSpec,
  type Pod,
  type PodSample,
  type ResourceSample,
} from "./words.ts";

/** The container that a replica without stated requests is taken to consist of. */
const ONLY_CONTAINER = "engine";

/** Thousandths of a reading, to the nearest: doubles are noisy where quantities are not. */
export function milliOfReading(value: number): Int64 {
  const milli = Math.round(value * 1000);
  return Number.isSafeInteger(milli) ? milli + 0 : saturate64(BigInt(milli));
}

/**
 * A replica as the HPA would see its pod; `null` for what is no pod of the scale (asleep, or gone). Where a platform never
 * stated readiness, the replica's state stands for it.
 */
export function podOf(replica: Replica): Pod | null {
  const { id, state, stage, entered, readiness } = replica;
  if (state === "gone" || state === "standby") return null;
  const containerAtMs = entered.load ?? entered.warmup ?? entered.wake;
  const pending = state === "starting" && stage !== "load" && stage !== "warmup" && stage !== "wake" && readiness?.status !== true;
  const startedMs = entered.pull ?? containerAtMs ?? entered.starting ?? entered.ready ?? null;
  return {
    name: id,
    phase: state === "failed" ? "Failed" : pending ? "Pending" : "Running",
    ready:
      readiness !== null
        ? { status: readiness.status === "unknown" ? "Unknown" : readiness.status ? "True" : "False", sinceMs: readiness.sinceMs }
        : state === "ready"
          ? { status: "True", sinceMs: entered.ready ?? startedMs ?? 0 }
          : startedMs === null
            ? null
            : { status: "False", sinceMs: startedMs },
    startedMs,
    deleting: state === "draining",
    labels: NOTHING,
    containers: replica.requests === undefined ? WITHOUT_REQUESTS : containersOf(replica.requests),
    initContainers: NONE,
    podRequests: NOTHING,
  };
}

// Shared by all pods that have none: they are only read.
const NOTHING = {};
const NONE: readonly never[] = [];
const WITHOUT_REQUESTS: readonly Container[] = [{ name: ONLY_CONTAINER, requests: NOTHING }];

function containersOf(requests: NonNullable<Replica["requests"]>): readonly Container[] {
  const containers = Object.entries(requests).map(([name, amounts]) => ({
    name,
    requests: Object.fromEntries(Object.entries(amounts).map(([resource, amount]) => [resource, milliOfReading(amount)])),
  }));
  return containers.length === 0 ? WITHOUT_REQUESTS : containers;
}

/** The series that answers for a metric of the manifest. */
const seriesName = (endpoint: Endpoint, metric: string): string =>
  Object.hasOwn(endpoint.metrics, metric) ? (endpoint.metrics[metric] as string) : metric;

function metricOf(spec: MetricSpec): string | null {
  if (spec.type === "Unknown") return null;
  return spec.type === "Resource" || spec.type === "ContainerResource" ? spec.name : spec.metric.name;
}

/** The series that the spec reads, once each, one sample per sync. */
export function needsOf(endpoint: Endpoint, spec: HpaSpec, sampleEveryMs: number): readonly Need[] {
  const needs = new Map<string, Need>();
  for (const metric of spec.metrics) {
    const named = metricOf(metric);
    if (named === null) continue;
    const name = seriesName(endpoint, named);
    const outer = metric.type === "Object" ? "object" : "external";
    const per = metric.type !== "Object" && metric.type !== "External" ? "replica" : isSignalName(name) ? "endpoint" : outer;
    needs.set(`${per}/${name}`, { name, per, sampleEveryMs });
  }
  return [...needs.values()];
}

/**
 * Metrics out of an Observation. A series that is absent, faulty or old is a pod without sample, or an error; never 0.
 * Object and External metrics come from series of that kind, else from the endpoint's own reading of that name.
 */
export function sourcesOf(endpoint: Endpoint, spec: HpaSpec, observation: Observation, pods: readonly Pod[]): MetricSources {
  const { nowMs } = observation;
  const names = new Set(spec.metrics.flatMap((metric) => metricOf(metric) ?? []).map((metric) => seriesName(endpoint, metric)));
  const byName = new Map<string, Series[]>();
  for (const series of observation.series) {
    if (!names.has(series.name)) continue;
    const known = byName.get(series.name);
    if (known === undefined) byName.set(series.name, [series]);
    else known.push(series);
  }
  const known = new Set(pods.map(({ name }) => name));
  const seriesOf = (metric: string): readonly Series[] => byName.get(seriesName(endpoint, metric)) ?? [];

  const isFresh = (sample: Sample | null): sample is Sample & { readonly value: number } =>
    sample !== null && typeof sample.value === "number" && Number.isFinite(sample.value) && nowMs - sample.atMs <= endpoint.staleAfterMs;

  let reader: Reader | null = null;
  const ownReading = (metric: string): Int64 => {
    reader ??= readerOf(observation, endpoint.staleAfterMs);
    const ready = pods.filter((pod) => !pod.deleting && pod.ready?.status === "True").map(({ name }) => name);
    const reading = reader.overall(seriesName(endpoint, metric), ready);
    if (typeof reading === "number") return milliOfReading(reading);
    throw new HpaError(reading === "stale" ? `its last reading is older than ${endpoint.staleAfterMs / 1000} s` : "no source has answered");
  };
  const valuesOf = (matching: readonly Series[]): readonly Int64[] =>
    matching.map(({ latest }) => {
      if (isFresh(latest)) return milliOfReading(latest.value);
      throw new HpaError(latest === null ? "a series has no reading" : `a reading is older than ${endpoint.staleAfterMs / 1000} s`);
    });

  return {
    resource(name) {
      const byPod = new Map<string, { atMs: number; windowMs: number; containers: { name: string; milli: Int64 | null }[] }>();
      for (const { subject, latest } of seriesOf(name)) {
        if (subject.kind !== "replica" || !known.has(subject.id) || latest === null) continue;
        const pod = byPod.get(subject.id) ?? { atMs: latest.atMs, windowMs: latest.windowMs, containers: [] };
        pod.atMs = Math.min(pod.atMs, latest.atMs);
        pod.containers.push({
          name: subject.container ?? ONLY_CONTAINER,
          milli: isFresh(latest) ? milliOfReading(latest.value) : null,
        });
        byPod.set(subject.id, pod);
      }
      return [...byPod].map(([pod, sample]): ResourceSample => ({ pod, ...sample }));
    },
    pods({ name }) {
      const samples = new Map<string, PodSample>();
      for (const { subject, latest } of seriesOf(name)) {
        if (subject.kind !== "replica" || !known.has(subject.id) || !isFresh(latest)) continue;
        const other = samples.get(subject.id);
        const milli = milliOfReading(latest.value);
        // Of several containers the busier one speaks for the pod, whatever their order.
        if (other !== undefined && other.milli >= milli) continue;
        samples.set(subject.id, { milli, atMs: latest.atMs, windowMs: latest.windowMs });
      }
      return samples;
    },
    object({ kind, name }, metric) {
      const matching = seriesOf(metric.name).filter(
        ({ subject }) => subject.kind === "object" && (subject.ref === `${kind}/${name}` || subject.ref === name),
      );
      return matching.length === 0 ? ownReading(metric.name) : (valuesOf(matching.slice(0, 1))[0] as Int64);
    },
    external(metric: MetricIdentifier) {
      const all = seriesOf(metric.name).filter(({ subject }) => subject.kind === "external");
      if (all.length === 0) return [ownReading(metric.name)];
      return valuesOf(all.filter(({ subject }) => subject.kind === "external" && labelsPass(metric.selector, subject.labels)));
    },
  };
}
