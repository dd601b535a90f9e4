import type { Replica } from "../../../model/index.ts";

/** How far a replica has come, in the order in which SkyServe lets replicas go; null: it does not count among the living. */
function stageOf({ state, stage, readiness }: Replica): number | null {
  if (state === "ready") return readiness?.status === false ? 3 : 4;
  if (state !== "starting") return null;
  if (stage === undefined || stage === "schedule") return 0;
  return stage === "provision" || stage === "pull" ? 1 : 2;
}

/** SkyServe's nonterminal replicas. */
export const isLive = (replica: Replica): boolean => stageOf(replica) !== null;
/** Those whose capacity counts: waiting to be scheduled, or failing its probe, a replica has none. */
export const hasCapacity = (replica: Replica): boolean => [1, 2, 4].includes(stageOf(replica) ?? 0);

/** The first `count` to go: those that have come least far, then the weakest, then those asked for last. */
export function chooseToScaleDown(
  replicas: readonly Replica[],
  count: number,
  qpsOf: (replica: Replica) => number = () => 0,
): readonly Replica[] {
  const bornMs = ({ entered }: Replica) => entered.starting ?? entered.ready ?? 0;
  return replicas
    .filter(isLive)
    .toSorted(
      (a, b) =>
        (stageOf(a) ?? 0) - (stageOf(b) ?? 0) || qpsOf(a) - qpsOf(b) || bornMs(b) - bornMs(a) || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0),
    )
    .slice(0, Math.max(0, count));
}
