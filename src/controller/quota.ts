import type { Endpoint, Fleet } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";
import { type Claim, claimKey, shareQuota } from "../policy/index.ts";

/** Replicas by pool. */
export type Counts = Readonly<Record<string, number>>;

/** The fleet's GPU budget between the loops of one process: each asks before it acts, and is called when its share has changed. */
export interface Quota {
  /** null: there is no budget, and everybody may have what it asks for. What is held and asked for stays known. */
  configure(fleet: Fleet | null, endpoints: readonly Endpoint[]): void;
  /** What one endpoint's pools may have now of what they ask for. Nobody is granted what others still hold. */
  grant(endpoint: string, asked: Counts): Counts;
  /** What an endpoint holds: every replica that is not gone, or asked for. */
  holds(endpoint: string, status: PlatformStatus): void;
}

export function createQuota(wake: (endpoint: string) => void): Quota {
  let fleet: Fleet | null = null;
  const claims = new Map<string, Claim>();
  const held = new Map<string, number>();
  const gpus = () => fleet?.gpus ?? {};
  const sameBudget = (a: Claim, b: Claim) => typeof gpus() === "number" || a.gpu === b.gpu;
  const budgetOf = ({ gpu }: Claim) => {
    const budget = gpus();
    return typeof budget === "number" ? budget : (budget[gpu] ?? Number.POSITIVE_INFINITY);
  };
  const gpusHeldBeside = (claim: Claim) => {
    let gpus = 0;
    for (const [key, other] of claims)
      if (other !== claim && sameBudget(claim, other)) gpus += other.gpusPerReplica * (held.get(key) as number);
    return gpus;
  };
  /** Who is short of its share is called when somebody lets go; who holds more than its share is called to let go. */
  const callOthers = (endpoint: string | null, isConcerned: (claim: Claim, share: number) => boolean) => {
    if (fleet === null) return;
    const shares = shareQuota(fleet, [...claims.values()]);
    const concerned = new Set<string>();
    for (const [key, claim] of claims)
      if (claim.endpoint !== endpoint && isConcerned(claim, shares.get(key) as number)) concerned.add(claim.endpoint);
    for (const name of concerned) wake(name);
  };

  return {
    configure(next, endpoints) {
      fleet = next;
      const named = new Set<string>();
      for (const { name, pools } of endpoints)
        for (const { name: pool, gpu, gpusPerReplica, min } of pools) {
          const key = claimKey({ endpoint: name, pool });
          named.add(key);
          claims.set(key, { endpoint: name, pool, gpu, gpusPerReplica, min, asked: claims.get(key)?.asked ?? min });
          if (!held.has(key)) held.set(key, 0);
        }
      for (const key of [...claims.keys()]) if (!named.has(key) && claims.delete(key)) held.delete(key);
      callOthers(null, (claim, share) => (held.get(claimKey(claim)) as number) !== share);
    },
    grant(endpoint, asked) {
      if (fleet === null) return asked;
      let changed = false;
      for (const [pool, count] of Object.entries(asked)) {
        const key = claimKey({ endpoint, pool });
        const before = claims.get(key);
        if (before === undefined || before.asked === count) continue;
        claims.set(key, { ...before, asked: count });
        changed = true;
      }
      const shares = shareQuota(fleet, [...claims.values()]);
      if (changed) callOthers(endpoint, (claim, share) => (held.get(claimKey(claim)) as number) > share);
      return Object.fromEntries(
        Object.keys(asked).map((pool) => {
          const claim = claims.get(claimKey({ endpoint, pool }));
          if (claim === undefined || claim.gpusPerReplica === 0) return [pool, asked[pool] as number];
          const share = shares.get(claimKey(claim)) as number;
          const room = Math.floor((budgetOf(claim) - gpusHeldBeside(claim)) / claim.gpusPerReplica);
          return [pool, Math.min(share, Math.max(0, room))];
        }),
      );
    },
    holds(endpoint, status) {
      let letGo = false;
      for (const [pool, { wanted }] of Object.entries(status.pools)) {
        const key = claimKey({ endpoint, pool });
        const before = held.get(key);
        if (before === undefined) continue;
        const present = status.replicas.filter((replica) => replica.pool === pool && replica.state !== "gone").length;
        const now = Math.max(wanted, present);
        held.set(key, now);
        letGo ||= now < before;
      }
      if (letGo) callOthers(endpoint, (claim, share) => share > (held.get(claimKey(claim)) as number));
    },
  };
}
