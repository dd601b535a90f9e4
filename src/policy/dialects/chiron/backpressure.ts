import type { Ms } from "../../../model/index.ts";

/** Share of instances that serve interactive requests; 1 where there is none to serve them. */
export const interactiveBackpressure = (busy: number, total: number): number => (total > 0 ? busy / total : 1);

/** The artifact's rule: one more above the threshold, else one fewer, down to the least. There is no band between. */
export function stepInteractive(backpressure: number, threshold: number, instances: number, least: number): -1 | 0 | 1 {
  if (backpressure > threshold) return 1;
  return instances > least ? -1 : 0;
}

/** The paper's: as many as bring the share of busy ones to the threshold, from either side. */
export const instancesForBackpressure = (busy: number, threshold: number): number => Math.max(0, Math.ceil(busy / threshold - 1e-9));

export interface BatchQueue {
  readonly pendingRequests: number;
  readonly pendingTokens: number;
}
export interface BatchSpeed {
  /** Of one request, in seconds. */
  readonly promptTime: number;
  /** Tokens per second of one instance. */
  readonly decodeThroughput: number;
}

/** Seconds until a batch queue is worked off, as the artifact has it; without an instance never. */
export function batchWaitSeconds(
  { pendingRequests, pendingTokens }: BatchQueue,
  { promptTime, decodeThroughput }: BatchSpeed,
  instances: number,
): number {
  if (pendingRequests <= 0) return 0;
  return instances > 0 ? pendingRequests * promptTime + pendingTokens / (decodeThroughput * instances) : Number.POSITIVE_INFINITY;
}

/** The artifact's rule for batch instances: one more where the wait breaks the objective, one fewer where nothing waits. */
export function stepBatch(queue: BatchQueue, speed: BatchSpeed, objectiveSeconds: number, instances: number): -1 | 0 | 1 {
  if (queue.pendingRequests <= 0) return instances > 0 ? -1 : 0;
  return batchWaitSeconds(queue, speed, instances) > objectiveSeconds ? 1 : 0;
}

/** Batch requests that arrived together and have the same deadline; oldest first in a queue. */
export type RequestGroup = { readonly arrivedMs: Ms; readonly requests: number; readonly tokens: number };

/**
 * The paper's batch backpressure: how many groups would start after their deadline, each waiting for the tokens before it.
 */
export function batchBackpressure(
  groups: readonly RequestGroup[],
  instances: number,
  decodeThroughput: number,
  objectiveSeconds: number,
  nowMs: Ms,
): number {
  let [ahead, late] = [0, 0];
  for (const { arrivedMs, tokens } of groups) {
    const waitSeconds =
      ahead === 0 && instances > 0 ? 0 : instances > 0 ? ahead / (decodeThroughput * instances) : Number.POSITIVE_INFINITY;
    if (nowMs / 1000 + waitSeconds > arrivedMs / 1000 + objectiveSeconds) late++;
    ahead += tokens;
  }
  return late;
}

/**
 * The fewest instances at which no group would be late, at most `most`; 0 where nothing waits. A group whose deadline is over asks
 * for no more: none would help it.
 */
export function instancesForGroups(
  groups: readonly RequestGroup[],
  decodeThroughput: number,
  objectiveSeconds: number,
  nowMs: Ms,
  most: number,
): number {
  if (groups.length === 0 || most <= 0) return 0;
  const late = (instances: number) => batchBackpressure(groups, instances, decodeThroughput, objectiveSeconds, nowMs);
  const unavoidable = groups.filter(({ arrivedMs }) => nowMs > arrivedMs + 1000 * objectiveSeconds).length;
  let [low, high] = [1, most];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (late(middle) <= unavoidable) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Takes what ended off the oldest groups and adds what arrived to the youngest, or as a new one after `groupMs`. */
export function advanceGroups(
  groups: readonly RequestGroup[],
  arrived: { readonly requests: number; readonly tokens: number },
  ended: number,
  nowMs: Ms,
  groupMs: Ms,
): readonly RequestGroup[] {
  let left = ended;
  const waiting = groups.flatMap((group) => {
    const done = Math.min(left, group.requests);
    left -= done;
    const requests = group.requests - done;
    return requests <= 1e-9 ? [] : [{ ...group, requests, tokens: (group.tokens * requests) / group.requests }];
  });
  const requests = arrived.requests - left;
  if (requests <= 1e-9) return waiting;
  const tokens = (arrived.tokens * requests) / arrived.requests;
  const youngest = waiting.at(-1);
  if (youngest === undefined || nowMs - youngest.arrivedMs >= groupMs) return [...waiting, { arrivedMs: nowMs, requests, tokens }];
  return [...waiting.slice(0, -1), { ...youngest, requests: youngest.requests + requests, tokens: youngest.tokens + tokens }];
}

/**
 * The paper's local loop: how an instance's largest batch should go on. Backpressure is the larger one of ITL over its objective and
 * of the last throughput over the present one; the batch grows while it is below 1 and is cut above, by that factor, at most twofold.
 */
export function nextBatchSize(
  batch: number,
  seen: { readonly itlMs: number; readonly throughput: number; readonly lastThroughput: number },
  itlObjectiveMs: number,
): number {
  const pressure = Math.max(seen.itlMs / itlObjectiveMs, seen.throughput > 0 ? seen.lastThroughput / seen.throughput : 0);
  const factor = Math.min(2, Math.max(0.5, pressure > 0 ? 1 / pressure : 2));
  return Math.max(1, factor > 1 ? Math.ceil(batch * factor) : Math.floor(batch * factor));
}
