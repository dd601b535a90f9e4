import { hashText, rendezvousScore } from "./rendezvous.ts";

/** A replica that may take a request. */
export interface Candidate {
  readonly id: string;
  readonly inFlight: number;
  /** Work given and not yet done, in the unit of `workOf`. */
  readonly outstanding: number;
}

export interface RoutingRequest {
  /** What should come to the same replica again: a session, or a prompt's beginning. Breaks ties too. */
  readonly key: string;
  /** Counts requests: the place in the round. */
  readonly turn: number;
  /** Replicas that have failed this request. */
  readonly excluded?: ReadonlySet<string>;
}

export const ROUTINGS = ["least-work", "least-in-flight", "round-robin", "affinity"] as const;
/**
 * - `least-work`: least outstanding work.
 * - `least-in-flight`: fewest requests in flight.
 * - `round-robin`: in turn, ordered by name.
 * - `affinity`: the replica of the key by rendezvous hashing, as long as its work is not above `affinityBound` times the mean;
 *   else the next in the key's order. Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
 */
export type Routing = (typeof ROUTINGS)[number];

/** How far above the mean a replica may be loaded for the sake of its cache. */
const affinityBound = 1.25;

/** An output token costs a share of a whole engine step; prompt tokens are worked off many at once. */
const outputTokenWeight = 4;

/** Work of a request in prompt tokens: what is to prefill, and what is expected to be generated, weighted. */
export const workOf = (work: { readonly promptTokens: number; readonly outputTokens: number }): number =>
  work.promptTokens + outputTokenWeight * work.outputTokens;

/**
 * The replica that takes the request; null where none is left. The same arguments give the same answer, in whatever order the
 * candidates come: ties go to the highest rendezvous score.
 */
export function pickReplica<C extends Candidate>(
  candidates: readonly C[],
  request: RoutingRequest,
  routing: Routing = "least-work",
): C | null {
  const { excluded } = request;
  const free = excluded === undefined || excluded.size === 0 ? candidates : candidates.filter((candidate) => !excluded.has(candidate.id));
  const only = free[0];
  if (only === undefined) return null;
  if (free.length === 1) return only;
  switch (routing) {
    case "least-work":
      return least(free, (candidate) => candidate.outstanding, request);
    case "least-in-flight":
      return least(free, (candidate) => candidate.inFlight, request);
    case "round-robin":
      return [...free].sort((a, b) => (a.id < b.id ? -1 : 1))[request.turn % free.length] as C;
    case "affinity": {
      const total = free.reduce((sum, candidate) => sum + candidate.outstanding, 0);
      const bound = (affinityBound * total) / free.length;
      const within = free.filter((candidate) => candidate.outstanding <= bound);
      return least(within.length > 0 ? within : free, () => 0, request);
    }
  }
}

function least<C extends Candidate>(candidates: readonly C[], cost: (candidate: C) => number, request: RoutingRequest): C {
  let best = candidates[0] as C;
  let bestCost = cost(best);
  let keyHash: number | null = null;
  let bestScore = -1;
  for (let at = 1; at < candidates.length; at++) {
    const candidate = candidates[at] as C;
    const own = cost(candidate);
    if (own > bestCost) continue;
    if (own === bestCost) {
      keyHash ??= hashText(request.key);
      if (bestScore < 0) bestScore = rendezvousScore(keyHash, hashText(best.id));
      const score = rendezvousScore(keyHash, hashText(candidate.id));
      if (score < bestScore || (score === bestScore && candidate.id > best.id)) continue;
      bestScore = score;
    } else bestScore = -1;
    best = candidate;
    bestCost = own;
  }
  return best;
}
