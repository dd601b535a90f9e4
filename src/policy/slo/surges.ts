import type { Ms } from "../../model/index.ts";

/** A stretch of work well above what came before it. */
type Surge = { readonly startMs: Ms; readonly peak: number };

/** What is known of surges: those that ended or go on, the level between them, and whether one goes on now. */
export type Surges = {
  readonly past: readonly Surge[];
  readonly calm: number;
  readonly open: boolean;
};

export const noSurges: Surges = { past: [], calm: 0, open: false };

/** A surge begins so far above the calm level, and ends when work is back near it. */
const BEGINS = 1.6;
const ENDS = 1.25;
const CALM_MS: Ms = 600_000;
/** What lasts so long is no surge but a new level. */
const LONGEST_MS: Ms = 2 * 3_600_000;
const KEPT = 24;
const RECENT_PEAKS = 8;
/** Gaps that must have been seen before a next surge is expected at all. */
const LEAST_GAPS = 3;
/** Relative spread of gaps assumed, and how many gaps' worth of evidence that is: three alike gaps prove little. */
const PRIOR_SPREAD = 0.1;
const PRIOR_GAPS = 3;
/** Standard deviations before the mean gap from which on a surge may come: one in two hundred comes earlier. */
const EARLIEST = 2.6;
/** Surges that are overdue are waited for until so many mean gaps have gone by. */
const OVERDUE = 2;

/** Takes in the level of work at `nowMs`, `sinceMs` after the last one. */
export function learnSurges(surges: Surges, nowMs: Ms, sinceMs: Ms, level: number): Surges {
  const { past, calm, open } = surges;
  if (calm === 0) return { past, calm: level, open: false };
  const gain = 1 - Math.exp(-sinceMs / CALM_MS);
  const last = past.at(-1);
  if (open && last !== undefined) {
    const over = level < ENDS * calm;
    if (!over && nowMs - last.startMs < LONGEST_MS) {
      if (level <= last.peak) return surges;
      return { past: [...past.slice(0, -1), { ...last, peak: level }], calm, open };
    }
    return { past: over ? past : past.slice(0, -1), calm: over ? calm : level, open: false };
  }
  if (level > BEGINS * calm) return { past: [...past, { startMs: nowMs, peak: level }].slice(-KEPT), calm, open: true };
  return { past, calm: calm + gain * (level - calm), open: false };
}

/** When the next surge is to be expected, counted from the start of the last one, and how high it gets; null: nobody can tell. */
export interface NextSurge {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly peak: number;
}

export function nextSurge({ past }: Surges): NextSurge | null {
  const gaps = past.slice(1).map((surge, at) => surge.startMs - (past[at] as Surge).startMs);
  const last = past.at(-1);
  if (last === undefined || gaps.length < LEAST_GAPS) return null;
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const squares = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) + PRIOR_GAPS * (PRIOR_SPREAD * mean) ** 2;
  const spread = Math.sqrt(squares / (gaps.length + PRIOR_GAPS - 1));
  return {
    fromMs: last.startMs + Math.max(0, mean - EARLIEST * spread),
    toMs: last.startMs + OVERDUE * mean,
    peak: Math.max(...past.slice(-RECENT_PEAKS).map(({ peak }) => peak)),
  };
}
