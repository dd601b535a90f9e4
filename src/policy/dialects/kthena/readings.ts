import { type Endpoint, isSignalName, type Observation, type Replica } from "../../../model/index.ts";
import { sumOf } from "../../reading.ts";
import { type Readings, readingsOf, signalOf } from "../aibrix/index.ts";
import type { MetricReading } from "./recommend.ts";
import type { Metric } from "./settings.ts";

/** The endpoint's name for a metric: the policy's key or what the pods call it, whichever it maps or is a signal of ours. */
export function metricName(endpoint: Endpoint, { name, scrapeName }: Pick<Metric, "name" | "scrapeName">): string {
  const called = [name, scrapeName];
  return called.find((one) => Object.hasOwn(endpoint.metrics, one)) ?? called.find(isSignalName) ?? scrapeName;
}

/** Metrics whose values over several units are averaged by replicas; others add up. */
const RATIO_SUFFIXES = ["_utilization", "_usage", "_ratio", "_percent", "_saturation"];
const isRatio = (name: string): boolean => RATIO_SUFFIXES.some((suffix) => name.toLowerCase().endsWith(suffix));

/** What one pool's replicas are to the collector; a failed one spoils the reading, as the original leaves the whole group out. */
function podsOf(replicas: readonly Replica[]): { readonly ready: readonly string[]; readonly unready: number; readonly failed: boolean } {
  return {
    ready: replicas.filter(({ state }) => state === "ready").map(({ id }) => id),
    unready: replicas.filter(({ state }) => state === "starting").length,
    failed: replicas.some(({ state }) => state === "failed"),
  };
}

export interface MetricReader {
  /** Of a metric over one or several pools together. */
  read(metric: Metric, pools: readonly string[]): MetricReading;
}

export function metricReader(endpoint: Endpoint, observation: Observation): MetricReader {
  const readings = readingsOf(endpoint, observation);
  const of = (pool: string) => podsOf(observation.replicas.filter((replica) => replica.pool === pool));
  return {
    read(metric, pools) {
      if (metric.source === null) return { kind: "none" };
      const groups = pools.map(of);
      if (metric.source === "prometheus")
        return external(
          endpoint,
          observation,
          readings,
          metric,
          pools,
          groups.flatMap(({ ready }) => ready),
        );
      const parts = groups.filter(({ failed }) => !failed);
      const name = metricName(endpoint, metric);
      const values = parts.map(({ ready }) => readings.perReplica(name, ready));
      const reporters = values.reduce((sum, list) => sum + list.length, 0);
      const [ready, unready] = [parts.flatMap((part) => part.ready).length, parts.reduce((sum, part) => sum + part.unready, 0)];
      return { kind: "pods", pods: { sum: sumOf(values.flat()), reporters, missing: ready - reporters, unready } };
    },
  };
}

/** One number for all, or one for each pool, put together as its name asks for. */
function external(
  endpoint: Endpoint,
  observation: Observation,
  readings: Readings,
  metric: Metric,
  pools: readonly string[],
  ids: readonly string[],
): MetricReading {
  const name = metricName(endpoint, metric);
  const series = signalOf(endpoint, name);
  const parts = observation.series.flatMap(({ name: called, subject, latest }) => {
    if (called !== series || subject.kind !== "pool" || !pools.includes(subject.pool) || latest === null) return [];
    if (typeof latest.value !== "number" || observation.nowMs - latest.atMs > endpoint.staleAfterMs) return [];
    return [{ value: latest.value, replicas: observation.pools[subject.pool]?.wanted ?? 0 }];
  });
  if (parts.length === 0) {
    const value = readings.outside(name, ids);
    return value === undefined ? { kind: "none" } : { kind: "external", value };
  }
  const values = parts.map(({ value }) => value);
  if (!isRatio(metric.name)) return { kind: "external", value: sumOf(values) };
  const replicas = parts.reduce((sum, part) => sum + part.replicas, 0);
  if (replicas === 0) return { kind: "external", value: sumOf(values) / values.length };
  return { kind: "external", value: sumOf(parts.map((part) => part.value * part.replicas)) / replicas };
}
