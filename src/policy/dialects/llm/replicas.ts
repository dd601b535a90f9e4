import { countOf, type Ms, type Observation, type Replica, type Series } from "../../../model/index.ts";
import { indexSeries, readSeries } from "../../reading.ts";

/** Counters of each replica when they were last taken, to know what was added since. */
export type CounterMemory = {
  readonly [replica: string]: {
    readonly atMs: Ms;
    readonly prompt: number;
    readonly gen: number;
    readonly finished: number | null;
    readonly hits: number;
  };
};

/** The sum and number of observations of a latency in one stretch of time, in seconds. */
export interface LatencySum {
  readonly sum: number;
  readonly count: number;
}

/** What one replica reported; null: absent or stale, which is never 0. */
export interface ReplicaReading {
  readonly id: string;
  readonly readyMs: Ms;
  readonly running: number | null;
  readonly waiting: number | null;
  /** 0 to 1. */
  readonly kvUsed: number | null;
  /** The most of the samples since the last look, the newest included. */
  readonly waitingPeak: number | null;
  readonly kvUsedPeak: number | null;
  readonly kvCapacityTokens: number | null;
  readonly maxRunning: number | null;
  /** What its counters grew by since the last look; null at the first look and after a restart. */
  readonly grown: {
    readonly seconds: number;
    readonly promptTokens: number;
    readonly outputTokens: number;
    readonly finished: number | null;
    readonly hitTokens: number;
  } | null;
  readonly ttft: LatencySum | null;
  readonly itl: LatencySum | null;
}

export const REPLICA_SERIES = [
  "running",
  "waiting",
  "kv_used",
  "kv_capacity_tokens",
  "max_running",
  "prompt_tokens",
  "gen_tokens",
  "finished",
  "prefix_hits",
  "ttft",
  "itl",
] as const;

/** Reads what `replicas` report, in the order of their ids. Counters count from one call to the next. */
export function readReplicas(
  memory: CounterMemory,
  now: Observation,
  maxAgeMs: Ms,
  replicas: readonly Replica[],
): { readonly memory: CounterMemory; readonly readings: readonly ReplicaReading[] } {
  const index = indexSeries(now);
  const kept: Record<string, CounterMemory[string]> = {};
  const readings = replicas
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map((replica): ReplicaReading => {
      const { id } = replica;
      const seriesOf = (name: string) => index.get(`${name} replica/${id}`);
      const latest = (name: string) => {
        const reading = readSeries(seriesOf(name), now.nowMs, maxAgeMs);
        return typeof reading === "number" ? reading : null;
      };
      const [waiting, kvUsed] = [latest("waiting"), latest("kv_used")];
      const [prompt, gen, finished] = [latest("prompt_tokens"), latest("gen_tokens"), latest("finished")];
      const before = memory[id];
      let grown: ReplicaReading["grown"] = null;
      if (prompt === null || gen === null) {
        if (before !== undefined) kept[id] = before;
      } else {
        const atMs = seriesOf("gen_tokens")?.latest?.atMs ?? now.nowMs;
        const seen = { atMs, prompt, gen, finished, hits: latest("prefix_hits") ?? 0 };
        kept[id] = before !== undefined && atMs <= before.atMs ? before : seen;
        const went = before !== undefined && atMs > before.atMs && prompt >= before.prompt && gen >= before.gen;
        if (went)
          grown = {
            seconds: (atMs - before.atMs) / 1000,
            promptTokens: prompt - before.prompt,
            outputTokens: gen - before.gen,
            finished: finished === null || before.finished === null || finished < before.finished ? null : finished - before.finished,
            hitTokens: Math.max(0, seen.hits - before.hits),
          };
      }
      return {
        id,
        readyMs: replica.entered.ready ?? now.nowMs,
        running: latest("running"),
        waiting,
        kvUsed,
        waitingPeak: peakOf(seriesOf("waiting"), waiting),
        kvUsedPeak: peakOf(seriesOf("kv_used"), kvUsed),
        kvCapacityTokens: positive(latest("kv_capacity_tokens")),
        maxRunning: positive(latest("max_running")),
        grown,
        ttft: sumOfHistograms(seriesOf("ttft")),
        itl: sumOfHistograms(seriesOf("itl")),
      };
    });
  return { memory: kept, readings };
}

const positive = (value: number | null) => (value !== null && value > 0 ? value : null);

function peakOf(series: Series | undefined, latest: number | null): number | null {
  if (latest === null) return null;
  const seen = (series?.samples ?? []).flatMap(({ value }) => (typeof value === "number" && Number.isFinite(value) ? [value] : []));
  return Math.max(latest, ...seen);
}

/** Over the samples since the last Observation, each of which speaks of its own stretch of time. */
function sumOfHistograms(series: Series | undefined): LatencySum | null {
  let [sum, count] = [0, 0];
  for (const { value } of series?.samples ?? []) {
    if (typeof value === "number") continue;
    sum += value.sum;
    count += countOf(value);
  }
  return count > 0 ? { sum, count } : null;
}

/** Mean in seconds over several; null without an observation. */
export function meanLatency(parts: readonly (LatencySum | null)[]): number | null {
  const known = parts.filter((part) => part !== null);
  const count = known.reduce((total, part) => total + part.count, 0);
  return count > 0 ? known.reduce((total, part) => total + part.sum, 0) / count : null;
}
