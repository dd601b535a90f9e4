import { type Endpoint, isSignalName, type Ms, type Observation, type Replica, SIGNALS } from "../../../model/index.ts";
import { indexSeries, type Reader, subjectKey } from "../../reading.ts";
import { isRate, signalOf } from "../datapoints.ts";
import type { AutoscalingPolicy, UtilizationTargetType } from "./words.ts";

/** The names by which `endpoint.metrics` may say what these signals are of ours. */
const CPU_METRIC = "cpuUtilization";
export const LOAD_BALANCING_METRIC = "loadBalancingUtilization";
export const DEFAULT_CPU_TARGET = 0.6;

/** One signal of a policy: utilization of each VM, of the group, or work to be divided among VMs. */
export interface Signal {
  readonly metric: string;
  readonly signal: string;
  readonly by: { readonly kind: "vm" | "group"; readonly target: number } | { readonly kind: "assignment"; readonly assignment: number };
  readonly type: UtilizationTargetType;
  /** What a reading is multiplied by to be in the target's unit. */
  readonly scale: number;
}

/** Without any signal, and without schedules, it is CPU at 60 %. */
export function signalsOf(endpoint: Endpoint, policy: AutoscalingPolicy): readonly Signal[] {
  const { cpuUtilization: cpu, loadBalancingUtilization: balancing, customMetricUtilizations: custom = [], scalingSchedules } = policy;
  const ofVm = (metric: string, target: number, ...others: readonly string[]): Signal => {
    const signal = signalOf(endpoint, metric, ...others);
    const scale = isSignalName(signal) && SIGNALS[signal].unit === "percent" ? 0.01 : 1;
    return { metric, signal, by: { kind: "vm", target }, type: "GAUGE", scale };
  };
  const found: Signal[] = [];
  if (cpu !== undefined) found.push(ofVm(CPU_METRIC, cpu.utilizationTarget, "cpu"));
  if (balancing !== undefined) found.push(ofVm(LOAD_BALANCING_METRIC, balancing.utilizationTarget));
  for (const { metric, filter, utilizationTarget, utilizationTargetType = "GAUGE", singleInstanceAssignment: assignment } of custom) {
    const ending = metric.split("/").at(-1) as string;
    const signal = isSignalName(ending) ? signalOf(endpoint, metric, ending) : signalOf(endpoint, metric);
    // A gauge of ours that is per second already is the rate that a delta asks for.
    const scale = isRate(signal) && utilizationTargetType === "DELTA_PER_MINUTE" ? 60 : 1;
    const type = isRate(signal) ? "GAUGE" : utilizationTargetType;
    const by: Signal["by"] =
      assignment !== undefined
        ? { kind: "assignment", assignment }
        : { kind: isGroupMetric(filter) ? "group" : "vm", target: utilizationTarget as number };
    found.push({ metric, signal, by, type, scale });
  }
  const scheduled = Object.keys(scalingSchedules ?? {}).length > 0;
  return found.length === 0 && !scheduled ? [ofVm(CPU_METRIC, DEFAULT_CPU_TARGET, "cpu")] : found;
}

/** A filter on a resource other than a VM means one time series for the whole group. */
export function isGroupMetric(filter: string | undefined): boolean {
  const type = /resource\.type\s*=\s*"?([\w.]+)"?/.exec(filter ?? "")?.[1];
  return type !== undefined && type !== "gce_instance";
}

/** JSON: the newest count of each counter, and how fast it grew up to then. */
export type Rates = Readonly<Record<string, { readonly atMs: Ms; readonly count: number; readonly perSecond: number | null }>>;

/** Counters seen so far with those of this Observation; one that went back starts anew. */
export function learnRates(before: Rates, observation: Observation, signals: readonly Signal[]): Rates {
  const names = new Set(signals.filter(({ type }) => type !== "GAUGE").map(({ signal }) => signal));
  if (names.size === 0) return before;
  const rates: Record<string, Rates[string]> = {};
  for (const [key, { name, latest }] of indexSeries(observation)) {
    if (!names.has(name) || latest === null || typeof latest.value !== "number") continue;
    const known = before[key];
    const { atMs, value: count } = latest;
    if (known === undefined || count < known.count) rates[key] = { atMs, count, perSecond: null };
    else if (atMs <= known.atMs) rates[key] = known;
    else rates[key] = { atMs, count, perSecond: ((count - known.count) * 1000) / (atMs - known.atMs) };
  }
  return rates;
}

/** The readings of a signal in its target's unit; `null`: missing or stale. */
export function signalReader(signal: Signal, reader: Reader, rates: Rates) {
  const { signal: name, type, scale } = signal;
  const inUnit = (reading: number | null) => (reading === null ? null : reading * scale);
  const rateOf = (key: string): number | null => {
    const perSecond = rates[`${name} ${key}`]?.perSecond ?? null;
    return perSecond === null ? null : perSecond * (type === "DELTA_PER_MINUTE" ? 60 : 1);
  };
  const known = (reading: ReturnType<Reader["endpoint"]>, key: string) =>
    typeof reading !== "number" ? null : type === "GAUGE" ? reading : rateOf(key);
  return {
    vm: ({ id }: Replica) => inUnit(known(reader.replica(name, id), subjectKey({ kind: "replica", id }))),
    /** The endpoint's own; of counters of VMs the sum. */
    group: (ids: readonly string[]): number | null => {
      const own = known(reader.endpoint(name), subjectKey({ kind: "endpoint" }));
      if (own !== null || type === "GAUGE") {
        const reading = own ?? reader.overall(name, ids);
        return typeof reading === "number" ? inUnit(reading) : null;
      }
      const parts = ids.map((id) => known(reader.replica(name, id), subjectKey({ kind: "replica", id })));
      if (parts.length === 0 || parts.includes(null)) return null;
      return inUnit((parts as number[]).toSorted((a, b) => a - b).reduce((sum, part) => sum + part, 0));
    },
  };
}
