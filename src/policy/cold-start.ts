import { coldStartMs, type Ms, type Observation } from "../model/index.ts";

/** Cold starts measured so far, newest last; `seenMs`: replicas that became ready up to then are in. */
export type ColdStarts = { readonly samplesMs: readonly Ms[]; readonly seenMs: Ms };

const KEPT = 24;

export const noColdStarts: ColdStarts = { samplesMs: [], seenMs: Number.MIN_SAFE_INTEGER };

/** Adds replicas that became ready since the last look. Woken standbys are no cold starts. */
export function learnColdStarts(known: ColdStarts, observation: Observation): ColdStarts {
  const fresh = observation.replicas
    .flatMap((replica) => {
      const durationMs = coldStartMs(replica);
      const readyMs = replica.entered.ready;
      if (durationMs === null || readyMs === undefined || readyMs <= known.seenMs || replica.entered.wake !== undefined) return [];
      return durationMs > 0 ? [{ readyMs, durationMs }] : [];
    })
    .sort((a, b) => a.readyMs - b.readyMs || a.durationMs - b.durationMs);
  const last = fresh.at(-1);
  if (last === undefined) return known;
  return { samplesMs: [...known.samplesMs, ...fresh.map((start) => start.durationMs)].slice(-KEPT), seenMs: last.readyMs };
}

/** The 90th percentile (nearest rank) of those measured; `assumedMs` before the first one. */
export function coldStartP90(known: ColdStarts, assumedMs: Ms): Ms {
  const sorted = known.samplesMs.toSorted((a, b) => a - b);
  return sorted[Math.ceil(0.9 * sorted.length) - 1] ?? assumedMs;
}
