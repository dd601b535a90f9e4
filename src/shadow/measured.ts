import type { AutoscalerStatus, Entry } from "../history/index.ts";
import {
  coldStartMs,
  type Histogram,
  type Ms,
  mergeHistograms,
  type Objective,
  quantileOf,
  type Replica,
  shareWithin,
} from "../model/index.ts";
import { type Said, wantedBy } from "./agreement.ts";

export interface Quantiles {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

/** What was seen, without any model: from pods' own times, engines' own histograms, and the autoscaler's own words. */
export interface Measured {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly decisions: number;
  /** Stretches of more than a minute without a look, in all. */
  readonly unseenMs: Ms;
  readonly gpuHours: number;
  readonly cost: number;
  readonly readyMean: number;
  readonly ups: number;
  readonly downs: number;
  readonly coldStartsMs: readonly Ms[];
  /** Of all requests that ended; null where the engines tell none. */
  readonly ttft: Quantiles | null;
  readonly tpot: Quantiles | null;
  /**
   * Within which the share of requests inside the objective lies: engines count times to first token and times per token apart and in
   * buckets, so that both at once is not known; null where one is missing.
   */
  readonly attainment: { readonly least: number; readonly most: number } | null;
  /** Ready and paid for replicas, and the counts asked for, as they changed. */
  readonly fleet: readonly { readonly atMs: Ms; readonly wanted: number; readonly ready: number; readonly billed: number }[];
  /** What `slo` wanted beside it, given their fleet; null: nothing it could say. */
  readonly ours: readonly Said[];
  /** Of the autoscaler itself. */
  readonly stated: readonly { readonly atMs: Ms; readonly status: AutoscalerStatus }[];
}

const gapMs: Ms = 60_000;

interface Life {
  readonly bornMs: Ms;
  readyMs: Ms | null;
  endMs: Ms | null;
  lastSeenMs: Ms;
}

/** @param price of a replica-hour @returns null where nothing was decided yet */
export function measure(
  entries: Iterable<Entry>,
  objective: Objective,
  of: { readonly gpus: number; readonly price: number },
): Measured | null {
  let fromMs: Ms | null = null;
  let toMs: Ms = 0;
  let decisions = 0;
  let unseenMs = 0;
  const lives = new Map<string, Life>();
  const histograms: { ttft: Histogram[]; tpot: Histogram[]; itl: Histogram[] } = { ttft: [], tpot: [], itl: [] };
  const wantedAt: { atMs: Ms; wanted: number }[] = [];
  const ours: Said[] = [];
  const stated: { atMs: Ms; status: AutoscalerStatus }[] = [];
  for (const entry of entries) {
    if (entry.kind === "autoscaler") {
      const { kind: _, atMs, ...status } = entry;
      stated.push({ atMs, status });
    }
    if (entry.kind !== "decision") continue;
    const { observation } = entry;
    const { nowMs } = observation;
    if (fromMs === null) fromMs = nowMs;
    else if (nowMs - toMs > gapMs) unseenMs += nowMs - toMs;
    toMs = nowMs;
    decisions++;
    for (const replica of observation.replicas) live(lives, replica, nowMs);
    for (const { name, subject, samples } of observation.series) {
      if (subject.kind !== "endpoint" || !(name === "ttft" || name === "tpot" || name === "itl")) continue;
      for (const { value } of samples) if (typeof value === "object") histograms[name].push(value);
      // Merged as they come: a week has many.
      if (histograms[name].length > 500) histograms[name] = [mergeHistograms(histograms[name]) as Histogram];
    }
    const wanted = Object.values(observation.pools).reduce((sum, pool) => sum + pool.wanted, 0);
    if (wantedAt.at(-1)?.wanted !== wanted) wantedAt.push({ atMs: nowMs, wanted });
    const said = wantedBy(entry);
    const replicas = said.replicas ?? (Object.values(entry.decision.wants).some(({ kind }) => kind === "hold") ? wanted : null);
    if (ours.at(-1)?.replicas !== replicas) ours.push({ atMs: nowMs, replicas });
  }
  if (fromMs === null) return null;

  const until = ({ endMs, lastSeenMs }: Life) => Math.min(toMs, endMs ?? (lastSeenMs < toMs ? lastSeenMs : toMs));
  const all = [...lives.values()];
  const from = fromMs;
  const billedMs = all.reduce((sum, life) => sum + Math.max(0, until(life) - Math.max(from, life.bornMs)), 0);
  const readyMs = all.reduce((sum, life) => sum + (life.readyMs === null ? 0 : Math.max(0, until(life) - Math.max(from, life.readyMs))), 0);
  const ttft = mergeHistograms(histograms.ttft);
  const tpot = mergeHistograms(histograms.tpot.length > 0 ? histograms.tpot : histograms.itl);
  const first = ttft === null ? null : shareWithin(ttft, objective.timeToFirstTokenMs / 1000);
  const each = tpot === null ? null : shareWithin(tpot, objective.timePerOutputTokenMs / 1000);
  return {
    ...{ fromMs, toMs, decisions, unseenMs, ours, stated },
    gpuHours: (billedMs / 3_600_000) * of.gpus,
    cost: (billedMs / 3_600_000) * of.price,
    readyMean: toMs === fromMs ? 0 : readyMs / (toMs - fromMs),
    ups: wantedAt.filter(({ wanted }, at) => at > 0 && wanted > (wantedAt[at - 1]?.wanted as number)).length,
    downs: wantedAt.filter(({ wanted }, at) => at > 0 && wanted < (wantedAt[at - 1]?.wanted as number)).length,
    coldStartsMs: all.flatMap(({ bornMs, readyMs: ready }) => (ready === null || bornMs < from ? [] : [ready - bornMs])),
    ttft: quantilesOf(ttft),
    tpot: quantilesOf(tpot),
    attainment:
      first === null || each === null ? null : { least: Math.max(0, first.least + each.least - 1), most: Math.min(first.most, each.most) },
    fleet: courseOfLives(all, until, wantedAt, from, toMs),
  };
}

function live(lives: Map<string, Life>, replica: Replica, nowMs: Ms): void {
  const times = Object.values(replica.entered).filter((atMs) => atMs !== undefined);
  // A name may come again, as in a StatefulSet.
  const bornMs = replica.entered.starting ?? Math.min(nowMs, ...times);
  const key = `${replica.id} ${bornMs}`;
  const life = lives.get(key) ?? { bornMs, readyMs: null, endMs: null, lastSeenMs: nowMs };
  lives.set(key, life);
  const readyMs = coldStartMs(replica);
  if (readyMs !== null) life.readyMs = bornMs + readyMs;
  else life.readyMs ??= replica.entered.ready ?? null;
  const isOver = replica.state === "gone" || replica.state === "failed";
  if (isOver) life.endMs ??= replica.entered[replica.state] ?? nowMs;
  else {
    life.lastSeenMs = nowMs;
    life.endMs = null;
  }
}

const quantilesOf = (histogram: Histogram | null): Quantiles | null => {
  if (histogram === null) return null;
  const ms = (q: number) => {
    const seconds = quantileOf(histogram, q);
    return seconds === null ? null : seconds * 1000;
  };
  return { count: histogram.counts.reduce((a, b) => a + b, 0), p50Ms: ms(0.5), p95Ms: ms(0.95), p99Ms: ms(0.99) };
};

function courseOfLives(
  lives: readonly Life[],
  until: (life: Life) => Ms,
  wantedAt: readonly { readonly atMs: Ms; readonly wanted: number }[],
  fromMs: Ms,
  toMs: Ms,
): Measured["fleet"] {
  const changes: { atMs: Ms; ready: number; billed: number; wanted: number | null }[] = wantedAt.map(({ atMs, wanted }) => ({
    atMs,
    ready: 0,
    billed: 0,
    wanted,
  }));
  for (const life of lives) {
    const endMs = until(life);
    if (endMs < fromMs) continue;
    changes.push({ atMs: Math.max(fromMs, life.bornMs), ready: 0, billed: 1, wanted: null });
    if (life.readyMs !== null && life.readyMs <= endMs) {
      changes.push({ atMs: Math.max(fromMs, life.readyMs), ready: 1, billed: 0, wanted: null });
      if (endMs < toMs) changes.push({ atMs: endMs, ready: -1, billed: 0, wanted: null });
    }
    if (endMs < toMs) changes.push({ atMs: endMs, ready: 0, billed: -1, wanted: null });
  }
  changes.sort((a, b) => a.atMs - b.atMs);
  const course: { atMs: Ms; wanted: number; ready: number; billed: number }[] = [];
  let now = { wanted: wantedAt[0]?.wanted ?? 0, ready: 0, billed: 0 };
  for (const { atMs, ready, billed, wanted } of changes) {
    now = { wanted: wanted ?? now.wanted, ready: now.ready + ready, billed: now.billed + billed };
    if (course.at(-1)?.atMs === atMs) course.pop();
    course.push({ atMs, ...now });
  }
  return course;
}
