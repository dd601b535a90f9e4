import { signalOfMetric } from "../../../engine/index.ts";
import { type Endpoint, isSignalName, type Manifest, type SignalName } from "../../../model/index.ts";
import { isAdditive } from "../../reading.ts";
import { isHttpScaler } from "./triggers/external.ts";
import type { Trigger } from "./words.ts";

/** `sum(x)`, `avg(x)` or `x`, with labels: what one metric's name says the whole query means. */
const SIMPLE_QUERY = /^\s*(?:(sum|avg)\s*\(\s*([a-zA-Z_:][\w:]*)\s*(?:\{[^{}]*\})?\s*\)|([a-zA-Z_:][\w:]*)\s*(?:\{[^{}]*\})?)\s*$/;
const METRIC_NAMES = /[a-zA-Z_:][\w:]*/g;

/** A query that is one of our signals by itself: an engine's gauge, summed where it adds up and averaged where it does not. */
export function signalOfQuery(query: string): SignalName | null {
  const found = SIMPLE_QUERY.exec(query);
  const metric = found?.[2] ?? found?.[3];
  const signal = metric === undefined ? undefined : signalOfMetric(metric);
  if (signal === undefined) return null;
  const aggregate = found?.[1];
  return aggregate === undefined || aggregate === (isAdditive(signal) ? "sum" : "avg") ? signal : null;
}

/**
 * Under which name a trigger's value is looked up, through `endpoint.metrics`: its `name`, `metadata.metricName`,
 * `metadata.query` and generated metric name are tried in this order,
 * 1. as a key of `endpoint.metrics`, then as a metric inside the query that is such a key;
 * 2. as a signal of ours, then as a query that is one by itself; the HTTP add-on's scaler reads requests in flight;
 * 3. else the name, or the generated metric name, stands for a series of its own.
 */
export function seriesKey(
  metrics: Endpoint["metrics"],
  { name, metadata }: Pick<Trigger, "name" | "metadata">,
  metricName: string,
): string {
  const { query = "", metricName: declared = "" } = metadata;
  const candidates = [name, declared, query, metricName].filter((candidate) => candidate !== "");
  const isMapped = (candidate: string) => Object.hasOwn(metrics, candidate);
  const inside = query.match(METRIC_NAMES) ?? [];
  return (
    candidates.find(isMapped) ??
    inside.find(isMapped) ??
    candidates.find(isSignalName) ??
    signalOfQuery(query) ??
    (isHttpScaler(metadata) ? "in_flight" : undefined) ??
    (name === "" ? metricName : name)
  );
}

/** Which of KEDA's objects a manifest is: only a ScaledJob has a job template, only an HTTPScaledObject no triggers. */
export function kedaKind({ spec }: Manifest): "ScaledObject" | "ScaledJob" | "HTTPScaledObject" {
  if (spec["jobTargetRef"] !== undefined) return "ScaledJob";
  return spec["triggers"] !== undefined ? "ScaledObject" : "HTTPScaledObject";
}
