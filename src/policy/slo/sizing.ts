import type { Ms, Pool } from "../../model/index.ts";
import { drainMs } from "./bank.ts";
import type { Share } from "./capacity.ts";

export interface SizingInput {
  /** Work per second, in replica-seconds: present, and what is to be carried over the horizon. */
  readonly workNow: number;
  readonly workAhead: number;
  /** Work that queues already, in replica-seconds. */
  readonly backlog: number;
  /** Work per second that one replica carries inside the objective. */
  readonly perReplica: number;
  readonly ready: number;
  /** Of each starting replica, how long until it is likely ready. */
  readonly startingInMs: readonly Ms[];
  readonly horizonMs: Ms;
  /** A queue shorter than this is none: it is worked off inside the objective. */
  readonly toleratedMs: Ms;
}

export interface Sizing {
  /** Not rounded: what arriving work needs, and what draining the rest of the queue adds. */
  readonly forDemand: number;
  readonly forBacklog: number;
  /** Queue that is left when a replica asked for now could be ready, after ready and starting ones did their part. */
  readonly backlogThen: number;
  readonly drainMs: Ms;
}

const STEPS = 24;

/**
 * Replicas for the work that arrives, plus those that drain what will still queue when a replica asked for now is ready. Replicas
 * already ready or starting work on the queue until then, so a queue is not answered twice, and so does what is spare afterwards.
 */
export function size(input: SizingInput): Sizing {
  const { workNow, workAhead, perReplica, ready, startingInMs, horizonMs, toleratedMs } = input;
  const stepSeconds = horizonMs / STEPS / 1000;
  let queue = input.backlog;
  for (let step = 0; step < STEPS; step++) {
    const atMs = (step / STEPS) * horizonMs;
    const serving = ready + startingInMs.filter((inMs) => inMs <= atMs).length;
    queue = Math.max(0, queue + (workNow - serving * perReplica) * stepSeconds);
  }
  // New replicas pay only once they are there; draining within half the horizon keeps the extra ones few.
  const withinMs = Math.max(toleratedMs, drainMs(horizonMs));
  const tolerated = (Math.max(workNow, perReplica) * toleratedMs) / 1000;
  const forDemand = Math.max(workNow, workAhead) / perReplica;
  const left = queue > tolerated ? queue : 0;
  // What is there beyond the work that arrives drains too; and no queue is worth more than a second fleet.
  const spare = forDemand - workNow / perReplica;
  const forBacklog = Math.min(forDemand, Math.max(0, left / ((perReplica * withinMs) / 1000) - spare));
  return { forDemand, forBacklog, backlogThen: left, drainMs: withinMs };
}

/** Pools that share one kind of work. Where pools serve whole requests, ones for a single phase stay at their minimum. */
export function groupsOf(pools: readonly Pool[]) {
  const of = (role: string) => pools.filter((pool) => pool.role === role);
  const serve = of("serve");
  const groups: readonly { readonly share: Share; readonly pools: readonly Pool[] }[] =
    serve.length > 0
      ? [{ share: "both", pools: serve }]
      : [
          { share: "prefill", pools: of("prefill") },
          { share: "decode", pools: of("decode") },
        ];
  return groups.filter((group) => group.pools.length > 0);
}

/** Shares a need out over pools: every `min` first, then the cheapest per replica first. Equal pools go by name. */
export function allocate(pools: readonly Pool[], need: number): ReadonlyMap<string, number> {
  const counts = new Map(pools.map((pool) => [pool.name, pool.min]));
  let left = need - pools.reduce((sum, pool) => sum + pool.min, 0);
  const order = pools.toSorted((a, b) => a.pricePerReplicaHour - b.pricePerReplicaHour || (a.name < b.name ? -1 : 1));
  for (const [at, pool] of order.entries()) {
    if (left <= 0) break;
    // What is above every maximum stays with the last pool, where the bounds guard says so.
    const room = at === order.length - 1 ? left : Math.min(left, Math.max(0, pool.max - pool.min));
    counts.set(pool.name, pool.min + room);
    left -= room;
  }
  return counts;
}
