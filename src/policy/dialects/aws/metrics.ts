import type { Endpoint, Ms } from "../../../model/index.ts";
import { type Datapoint, type Fold, foldDatapoint, signalOf } from "../datapoints.ts";
import { type Expression, evaluateExpression, parseExpression } from "./metric-math.ts";
import type { CustomizedMetric, MetricAlarm, MetricDataQuery, PredefinedMetric, Statistic } from "./words.ts";

/** One metric of CloudWatch as a signal of ours; without one it is the number of replicas that were ready. */
interface MetricRead {
  readonly id: string;
  readonly signal: string | null;
  readonly fold: Fold;
  /** Divided by the replicas that were ready. */
  readonly perReplica: boolean;
}

/** A metric, or metric math over several, by the period. */
export interface MetricQuery {
  /** For people. */
  readonly name: string;
  readonly periodMs: Ms;
  readonly reads: readonly MetricRead[];
  readonly expression: Expression | null;
}

interface Predefined {
  /** What it is of ours where `endpoint.metrics` does not say. */
  readonly signal?: string;
  readonly fold: Fold;
  readonly perReplica: boolean;
  readonly periodMs: Ms;
}
const average: Predefined = { fold: "Average", perReplica: false, periodMs: 60_000 };
const cpu: Predefined = { ...average, signal: "cpu" };
const requestsPerMinute: Predefined = { signal: "request_rate", fold: "Sum", perReplica: true, periodMs: 60_000 };
const concurrent: Predefined = { signal: "in_flight", fold: "Sum", perReplica: true, periodMs: 10_000 };

/** Predefined metrics of everything whose capacity is a number of replicas. */
export const PREDEFINED: Readonly<Record<string, Predefined>> = {
  ASGAverageCPUUtilization: cpu,
  ASGAverageNetworkIn: average,
  ASGAverageNetworkOut: average,
  ALBRequestCountPerTarget: requestsPerMinute,
  ECSServiceAverageCPUUtilization: cpu,
  ECSServiceAverageMemoryUtilization: { ...average, signal: "memory" },
  EC2SpotFleetRequestAverageCPUUtilization: cpu,
  EC2SpotFleetRequestAverageNetworkIn: average,
  EC2SpotFleetRequestAverageNetworkOut: average,
  SageMakerVariantInvocationsPerInstance: requestsPerMinute,
  SageMakerInferenceComponentInvocationsPerCopy: requestsPerMinute,
  SageMakerVariantConcurrentRequestsPerModelHighResolution: concurrent,
  SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution: concurrent,
};

const FOLDS: Readonly<Record<Statistic, Fold>> = {
  Average: "Average",
  Minimum: "Minimum",
  Maximum: "Maximum",
  Sum: "Sum",
  SampleCount: "Count",
};

/** Counts of the group itself, as metric math divides by them. */
const COUNTS: readonly string[] = ["GroupInServiceInstances", "GroupInServiceCapacity", "RunningTaskCount"];

/** Metrics of SageMaker's variants are divided by the service already. */
const PER_INSTANCE = /Per(Instance|Copy|Model|Target)$/;

function readOf(endpoint: Endpoint, id: string, namespace: string | undefined, name: string, statistic: Statistic): MetricRead {
  if (COUNTS.includes(name)) return { id, signal: null, fold: "Average", perReplica: false };
  const signal = signalOf(endpoint, `${namespace ?? ""}/${name}`, name);
  return { id, signal, fold: FOLDS[statistic], perReplica: statistic === "Sum" && PER_INSTANCE.test(name) };
}

export function predefinedQuery(endpoint: Endpoint, { PredefinedMetricType: type }: PredefinedMetric): MetricQuery | null {
  const known = Object.hasOwn(PREDEFINED, type) ? (PREDEFINED[type] as Predefined) : null;
  if (known === null) return null;
  const { fold, perReplica, periodMs } = known;
  const signal = known.signal === undefined ? signalOf(endpoint, type) : signalOf(endpoint, type, known.signal);
  return { name: type, periodMs, reads: [{ id: "m", signal, fold, perReplica }], expression: null };
}

const DEFAULT_PERIOD_SECONDS = 60;

/** A customized metric of target tracking, or what an alarm watches. */
export function customizedQuery(
  endpoint: Endpoint,
  { MetricName, Namespace, Statistic: statistic, Period, Metrics }: CustomizedMetric | MetricAlarm,
): MetricQuery | null {
  if (Metrics !== undefined) return mathQuery(endpoint, Metrics);
  if (MetricName === undefined) return null;
  return {
    name: MetricName,
    periodMs: (Period ?? DEFAULT_PERIOD_SECONDS) * 1000,
    reads: [readOf(endpoint, "m", Namespace, MetricName, statistic ?? "Average")],
    expression: null,
  };
}

/** @throws Error where an expression is not understood */
function mathQuery(endpoint: Endpoint, queries: readonly MetricDataQuery[]): MetricQuery | null {
  const returned = queries.find(({ ReturnData }) => ReturnData) ?? (queries.length === 1 ? queries[0] : undefined);
  if (returned === undefined) return null;
  const reads = queries.flatMap(({ Id, MetricStat: stat }) =>
    stat === undefined ? [] : [readOf(endpoint, Id, stat.Metric.Namespace, stat.Metric.MetricName, stat.Stat)],
  );
  const period = queries.map(({ Period, MetricStat }) => MetricStat?.Period ?? Period).find((seconds) => seconds !== undefined);
  return {
    name: returned.Label ?? returned.Expression ?? returned.MetricStat?.Metric.MetricName ?? returned.Id,
    periodMs: (period ?? DEFAULT_PERIOD_SECONDS) * 1000,
    reads,
    expression: mathOf(queries, returned.Id),
  };
}

/** The expression of an Id with the expressions that it names filled in. @throws Error where it is not understood */
export function mathOf(queries: readonly MetricDataQuery[], id: string): Expression {
  const metrics = queries.filter(({ MetricStat }) => MetricStat !== undefined).map(({ Id }) => Id);
  const ids = queries.map(({ Id }) => Id);
  const expressions = new Map<string, Expression>();
  const resolve = (wanted: string, inside: readonly string[]): Expression => {
    const known = expressions.get(wanted);
    if (known !== undefined) return known;
    if (inside.includes(wanted)) throw new Error(`goes in a circle: ${[...inside, wanted].join(" → ")}`);
    const text = queries.find(({ Id }) => Id === wanted)?.Expression;
    if (text === undefined) return (numberOf) => numberOf(wanted);
    const own = parseExpression(text, ids, metrics);
    const names = ids.filter((other) => new RegExp(`\\b${other}\\b`).test(text));
    const inner = new Map(names.map((name) => [name, resolve(name, [...inside, wanted])]));
    const full: Expression = (numberOf) =>
      own((name) => {
        const part = inner.get(name);
        return part === undefined ? numberOf(name) : evaluateExpression(part, numberOf);
      });
    expressions.set(wanted, full);
    return full;
  };
  return resolve(id, []);
}

/** A query's value in one period; `datapoint` gives each signal's. `null`: nothing was reported. */
export function valueOfQuery(query: MetricQuery, datapoint: (signal: string) => Datapoint | null): number | null {
  const anyPoint = () =>
    query.reads.map(({ signal }) => (signal === null ? null : datapoint(signal))).find((point) => point !== null) ?? null;
  const numberOf = (id: string): number | null => {
    const read = query.reads.find((one) => one.id === id);
    const point = read === undefined ? null : read.signal === null ? anyPoint() : datapoint(read.signal);
    if (read === undefined || point === null) return null;
    if (read.signal === null) return point.replicas;
    const value = foldDatapoint(point, read.fold, read.signal, query.periodMs);
    if (!read.perReplica) return value;
    return point.replicas > 0 ? value / point.replicas : null;
  };
  const only = query.reads[0];
  if (query.expression === null) return only === undefined ? null : numberOf(only.id);
  return evaluateExpression(query.expression, numberOf);
}
