import { coldStartMs, type Ms, type Replica, STAGES, type Stage, stageDurations } from "../model/index.ts";

/** One start that was seen from request to ready. */
export interface MeasuredStart {
  readonly totalMs: Ms;
  readonly stages: Readonly<Partial<Record<Stage, Ms>>>;
}

/** Every cold start that the replicas of these looks went through, each once; wakes are none. */
export function measuredStarts(looks: Iterable<readonly Replica[]>): readonly MeasuredStart[] {
  const starts = new Map<string, MeasuredStart>();
  for (const replicas of looks) {
    for (const replica of replicas) {
      const key = `${replica.pool} ${replica.id} ${replica.entered.starting}`;
      const totalMs = coldStartMs(replica);
      if (totalMs === null || totalMs <= 0 || replica.entered.wake !== undefined || starts.has(key)) continue;
      starts.set(key, { totalMs, stages: stageDurations(replica, replica.entered.ready ?? 0) });
    }
  }
  return [...starts.values()];
}

/** Share of the mean start that each stage takes, in order; what no stage accounts for is not in it. */
export function stageShares(starts: readonly MeasuredStart[]): readonly { readonly stage: Stage; readonly share: number }[] {
  const total = starts.reduce((sum, { totalMs }) => sum + totalMs, 0);
  return STAGES.flatMap((stage) => {
    const ms = starts.reduce((sum, { stages }) => sum + (stages[stage] ?? 0), 0);
    return ms > 0 && total > 0 ? [{ stage, share: ms / total }] : [];
  });
}

/** Starts as they would have been with a stage shorter by `savedMs`, which is no more than the stage itself took. */
export function withFaster(starts: readonly MeasuredStart[], stage: Stage, savedMs: Ms): readonly MeasuredStart[] {
  return starts.map(({ totalMs, stages }) => {
    const saved = Math.min(savedMs, stages[stage] ?? 0);
    return { totalMs: totalMs - saved, stages: { ...stages, [stage]: (stages[stage] ?? 0) - saved } };
  });
}

/** What a way of running came to, means over seeds. */
export interface Ran {
  /** null where nothing ended. */
  readonly attainment: number | null;
  readonly cost: number;
}

/** Shares of requests that differ by less are the same. */
const sameAttainment = 0.0005;

/**
 * What `other` saves against the cheapest way to its attainment that there is without it, as a share of that way's cost. The ways without it
 * are today's settings with a larger floor of replicas, and what lies between two of them.
 * @returns null where no floor reaches that attainment, or nothing ended
 */
export function savingOf(other: Ran, floors: readonly Ran[]): number | null {
  const without = costFor(other.attainment, floors);
  return without === null || without <= 0 ? null : 1 - other.cost / without;
}

export function costFor(attainment: number | null, floors: readonly Ran[]): number | null {
  if (attainment === null) return null;
  const ways = floors.flatMap((way) => (way.attainment === null ? [] : [{ attainment: way.attainment, cost: way.cost }]));
  let least: number | null = null;
  const take = (cost: number) => {
    if (least === null || cost < least) least = cost;
  };
  for (const way of ways) {
    if (way.attainment >= attainment - sameAttainment) take(way.cost);
    for (const better of ways) {
      if (!(way.attainment < attainment && better.attainment > attainment && better.cost > way.cost)) continue;
      const share = (attainment - way.attainment) / (better.attainment - way.attainment);
      take(way.cost + share * (better.cost - way.cost));
    }
  }
  return least;
}
