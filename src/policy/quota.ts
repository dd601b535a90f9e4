import type { Fleet } from "../model/index.ts";

/** What one pool asks for under a fleet's quota. Counts are replicas. */
export interface Claim {
  readonly endpoint: string;
  readonly pool: string;
  readonly gpu: string;
  readonly gpusPerReplica: number;
  readonly min: number;
  /** What its policy wants. */
  readonly asked: number;
}

export const claimKey = ({ endpoint, pool }: Pick<Claim, "endpoint" | "pool">): string => `${endpoint}/${pool}`;

/**
 * Shares a fleet's GPUs among the pools that claim them. First every pool's minimum, then what is asked for, by the priority of the
 * endpoints: those of equal priority grow replica by replica, always the one whose claim is least fulfilled (then by name). Pools that
 * take no GPU get what they ask for. Minima that do not fit are cut in the same order.
 * @returns replicas by `claimKey`
 */
export function shareQuota(fleet: Fleet, claims: readonly Claim[]): ReadonlyMap<string, number> {
  const granted = new Map<string, number>(claims.map((claim) => [claimKey(claim), claim.gpusPerReplica > 0 ? 0 : claim.asked]));
  const left = new Map<string, number>();
  const roomOf = (gpu: string) => (typeof fleet.gpus === "number" ? "" : gpu);
  const budgetOf = (gpu: string) => (typeof fleet.gpus === "number" ? fleet.gpus : (fleet.gpus[gpu] ?? Number.POSITIVE_INFINITY));
  for (const { gpu } of claims) left.set(roomOf(gpu), budgetOf(gpu));

  const grow = (tier: readonly Claim[], upTo: (claim: Claim) => number) => {
    const open = new Set(tier.filter((claim) => claim.gpusPerReplica > 0 && upTo(claim) > (granted.get(claimKey(claim)) as number)));
    while (open.size > 0) {
      const [next] = [...open].sort(
        (a, b) =>
          (granted.get(claimKey(a)) as number) / upTo(a) - (granted.get(claimKey(b)) as number) / upTo(b) ||
          (claimKey(a) < claimKey(b) ? -1 : 1),
      );
      const claim = next as Claim;
      const key = claimKey(claim);
      const room = left.get(roomOf(claim.gpu)) as number;
      const has = granted.get(key) as number;
      if (room < claim.gpusPerReplica) {
        open.delete(claim);
        continue;
      }
      granted.set(key, has + 1);
      left.set(roomOf(claim.gpu), room - claim.gpusPerReplica);
      if (has + 1 >= upTo(claim)) open.delete(claim);
    }
  };
  const tiers = [...Map.groupBy(claims, ({ endpoint }) => priorityOf(fleet, endpoint))].toSorted(([a], [b]) => b - a);
  for (const [, tier] of tiers) grow(tier, ({ min }) => min);
  for (const [, tier] of tiers) grow(tier, ({ min, asked }) => Math.max(min, asked));
  return granted;
}

const priorityOf = ({ priorities }: Fleet, endpoint: string): number =>
  Object.hasOwn(priorities, endpoint) ? (priorities[endpoint] as number) : 0;
