import type { Ms } from "../../model/index.ts";
import { type Bank, COUNTS, HEADROOMS, KNOWING, SHADOWS } from "./bank.ts";
import { FULL } from "./lateness.ts";
import { distrustOfHeadroom, distrustOfRow, MEMORIES_MS, ROWS, type Row, wantedBy, wordsOf } from "./rows.ts";

export interface Choice {
  readonly index: number;
  readonly headroom: number;
  /** What is remembered or expected, in words. */
  readonly by: string;
  /** Share of work that would have been late, and mean replicas. */
  readonly late: number;
  readonly replicas: number;
  /** Work per second that it wants to be able to carry. */
  readonly work: number;
  /** It is the safest one, and not even that would have held the objective. */
  readonly tooLate: boolean;
}

/** Until so much was seen, a shadow is also judged by what its headroom and memory are worth in general. */
const PRIOR_SECONDS = 2400;
const DISTRUST = HEADROOMS.map(distrustOfHeadroom);
/** A fixed count is trusted as one that holds the highest load ever seen, with what it has beyond that. */
const RECORD_ROW: Row = { kind: "hold", of: "fast", memoryMs: MEMORIES_MS.at(-1) as Ms };
/** A shadow must be so much cheaper than the one followed to be followed instead. */
const WORTH_CHANGING = 0.98;

/**
 * The cheapest shadow that would have kept the share of late work within `allowed`; the safest where none would. `correction` multiplies
 * the shares replayed. `without`: rows of a kind that are left out, for a counterfactual.
 */
export function choose(
  bank: Bank,
  allowed: number,
  correction: number,
  nowMs: Ms,
  coldStartMs: Ms,
  without: Row["kind"] | "fixed" | null = null,
): Choice {
  const prior = (PRIOR_SECONDS * bank.arrived) / Math.max(1, bank.seconds);
  const seenMs = bank.seen * 1000;
  const ofRow = ROWS.map((row) => distrustOfRow(row, seenMs));
  const ofRecord = distrustOfRow(RECORD_ROW, seenMs);
  const lateOf = (shadow: number) => {
    const distrust =
      shadow >= KNOWING
        ? ofRecord * distrustOfHeadroom(((COUNTS[shadow - KNOWING] as number) * FULL) / Math.max(1e-9, bank.known.record))
        : (ofRow[Math.floor(shadow / HEADROOMS.length)] as number) * (DISTRUST[shadow % HEADROOMS.length] as number);
    return (correction * (bank.late[shadow] as number) + distrust * prior) / Math.max(1e-12, bank.arrived + prior);
  };
  let [best, bestCost] = [-1, Number.POSITIVE_INFINITY];
  let [safest, least, safestCost] = [0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let shadow = 0; shadow < SHADOWS; shadow++) {
    if (without !== null && kindOf(shadow) === without) continue;
    const late = lateOf(shadow);
    const cost = (bank.cost[shadow] as number) * (shadow === bank.chosen ? WORTH_CHANGING : 1);
    if (late <= allowed && cost < bestCost) [best, bestCost] = [shadow, cost];
    // A tenth less late is worth no price at all: what nobody holds is not held by the dearest either.
    if (late < 0.9 * least || (late <= least && cost < safestCost)) [safest, least, safestCost] = [shadow, late, cost];
  }
  const index = best >= 0 ? best : safest;
  const shared = { index, late: lateOf(index), tooLate: best < 0 };
  if (index >= KNOWING) {
    const fixed = COUNTS[index - KNOWING] as number;
    return { ...shared, headroom: 1, by: `a fixed count of ${fixed}`, replicas: fixed, work: fixed * FULL };
  }
  const at = Math.floor(index / HEADROOMS.length);
  const row = ROWS[at] as Row;
  const headroom = HEADROOMS[index % HEADROOMS.length] as number;
  return {
    ...shared,
    headroom,
    by: wordsOf(row),
    replicas: (bank.cost[index] as number) / Math.max(1, bank.costSeconds),
    work: headroom * wantedBy(row, at, bank.known, nowMs, coldStartMs),
  };
}

export const kindOf = (shadow: number): Row["kind"] | "fixed" =>
  shadow >= KNOWING ? "fixed" : (ROWS[Math.floor(shadow / HEADROOMS.length)] as Row).kind;
