import type { Endpoint, Need, Observation } from "../../../model/index.ts";
import { isSignalName } from "../../../model/index.ts";
import { type Reader, readerOf, sumOf } from "../../reading.ts";

/** The series that answers for a metric of a manifest. */
export const signalOf = (endpoint: Endpoint, metric: string): string =>
  Object.hasOwn(endpoint.metrics, metric) ? (endpoint.metrics[metric] as string) : metric;

export function needOf(endpoint: Endpoint, metric: string, of: "replica" | "outside", sampleEveryMs: number): Need {
  const name = signalOf(endpoint, metric);
  return { name, per: of === "replica" ? "replica" : isSignalName(name) ? "endpoint" : "external", sampleEveryMs };
}

export interface Readings {
  /** What each replica that answered says. */
  perReplica(metric: string, ids: readonly string[]): readonly number[];
  /** One number from outside the replicas; undefined: nobody answers, or two disagree. */
  outside(metric: string, ids: readonly string[]): number | undefined;
}

export function readingsOf(endpoint: Endpoint, observation: Observation): Readings {
  const reader: Reader = readerOf(observation, endpoint.staleAfterMs);
  return {
    perReplica: (metric, ids) =>
      ids.map((id) => reader.replica(signalOf(endpoint, metric), id)).filter((reading): reading is number => typeof reading === "number"),
    outside(metric, ids) {
      const name = signalOf(endpoint, metric);
      const external = observation.series.filter((series) => series.name === name && series.subject.kind === "external");
      if (external.length === 0) {
        const reading = reader.overall(name, ids);
        return typeof reading === "number" ? reading : undefined;
      }
      const latest = external.length === 1 ? external[0]?.latest : null;
      const isFresh = latest !== null && latest !== undefined && observation.nowMs - latest.atMs <= endpoint.staleAfterMs;
      return isFresh && typeof latest.value === "number" && Number.isFinite(latest.value) ? latest.value : undefined;
    },
  };
}

export const meanOf = (values: readonly number[]): number => sumOf(values) / values.length;
