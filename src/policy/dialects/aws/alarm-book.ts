import type { Endpoint, Ms, Observation } from "../../../model/index.ts";
import { collectDatapoints, type Datapoints, NO_DATAPOINTS, newestDatapoints, samplerOf, scopeOf } from "../datapoints.ts";
import { type AlarmState, EXTRA_PERIODS, evaluateAlarm } from "./alarm.ts";
import type { Alarm, CompiledGroup, ScalingPolicy } from "./group.ts";
import { valueOfQuery } from "./metrics.ts";
import type { AlarmReading } from "./propose.ts";

/** JSON: `datapoints` by signal, period and warm-up; `states` by policy and alarm. */
export interface AlarmBook {
  readonly datapoints: Readonly<Record<string, Datapoints>>;
  readonly states: Readonly<Record<string, AlarmState>>;
}
export const EMPTY_BOOK: AlarmBook = { datapoints: {}, states: {} };

/** One signal as it is collected for alarms of one period, without replicas that are younger than `warmUpMs`. */
export interface Collected {
  readonly key: string;
  readonly signal: string;
  readonly periodMs: Ms;
  readonly warmUpMs: Ms;
  readonly keepMs: Ms;
}

const keyOf = (signal: string, periodMs: Ms, warmUpMs: Ms) => `${signal}/${periodMs}/${warmUpMs}`;
const warmUpOf = (policy: ScalingPolicy): Ms => ("settling" in policy && policy.settling.kind === "warm-up" ? policy.settling.ms : 0);
export const alarmsOf = (policy: ScalingPolicy): readonly Alarm[] =>
  policy.kind === "target" ? [policy.high, policy.low] : policy.kind === "idle" ? [] : policy.alarms;

export function collectedOf(group: CompiledGroup): readonly Collected[] {
  const found = new Map<string, Collected>();
  for (const policy of group.policies) {
    const warmUpMs = warmUpOf(policy);
    for (const { query, rule } of alarmsOf(policy)) {
      const { periodMs } = query;
      for (const { signal } of query.reads) {
        if (signal === null) continue;
        const key = keyOf(signal, periodMs, warmUpMs);
        const keepMs = Math.max((rule.evaluationPeriods + EXTRA_PERIODS + 1) * periodMs, found.get(key)?.keepMs ?? 0);
        found.set(key, { key, signal, periodMs, warmUpMs, keepMs });
      }
    }
  }
  return [...found.values()];
}

/** Replicas of a pool that have been ready for `forMs` or longer. */
export function readyIds(observation: Observation, pool: string, forMs: Ms): readonly string[] {
  const isReady = ({ pool: of, state, entered }: Observation["replicas"][number]) =>
    of === pool && state === "ready" && (forMs === 0 || observation.nowMs - (entered.ready ?? 0) >= forMs);
  return observation.replicas.filter(isReady).map(({ id }) => id);
}

/** Adds the new samples to the datapoints. */
export function recordSamples(
  book: AlarmBook,
  endpoint: Endpoint,
  pool: string,
  collected: readonly Collected[],
  observation: Observation,
): AlarmBook {
  const sample = samplerOf(observation, endpoint.staleAfterMs);
  const datapoints: Record<string, Datapoints> = {};
  for (const { key, signal, periodMs, warmUpMs, keepMs } of collected) {
    const ids = readyIds(observation, pool, warmUpMs);
    const options = { nowMs: observation.nowMs, periodMs, keepMs, replicas: ids.length };
    const before = book.datapoints[key] ?? NO_DATAPOINTS;
    datapoints[key] = collectDatapoints(before, sample(signal, scopeOf(endpoint, signal), ids), options);
  }
  return { ...book, datapoints };
}

/** Evaluates every alarm on the periods that are over. */
export function readAlarms(
  book: AlarmBook,
  group: CompiledGroup,
  nowMs: Ms,
): { readonly book: AlarmBook; readonly readings: ReadonlyMap<Alarm, AlarmReading> } {
  const states: Record<string, AlarmState> = {};
  const readings = new Map<Alarm, AlarmReading>();
  for (const policy of group.policies) {
    const warmUpMs = warmUpOf(policy);
    for (const alarm of alarmsOf(policy)) {
      const { query, rule } = alarm;
      const count = rule.evaluationPeriods + EXTRA_PERIODS;
      const series = new Map(
        query.reads.flatMap(({ signal }) => {
          if (signal === null) return [];
          const known = book.datapoints[keyOf(signal, query.periodMs, warmUpMs)] ?? NO_DATAPOINTS;
          return [[signal, newestDatapoints(known, nowMs, query.periodMs, count)] as const];
        }),
      );
      const values = Array.from({ length: count }, (_, at) => valueOfQuery(query, (signal) => series.get(signal)?.[at] ?? null));
      const key = `${policy.name}/${alarm.name}`;
      const state = evaluateAlarm(rule, values, book.states[key] ?? "INSUFFICIENT_DATA");
      states[key] = state;
      readings.set(alarm, { state, values });
    }
  }
  return { book: { ...book, states }, readings };
}
