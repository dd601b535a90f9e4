import type { Ms } from "../../model/index.ts";
import { DAY_MS, type Days, fileDays, highestBetween, noDays, SLOT_MS } from "./days.ts";
import { addMark, copyMarks, type Marks, type MutableMarks, noMarks } from "./marks.ts";
import { learnSurges, nextSurge, noSurges, type Surges } from "./surges.ts";
import { addRecent, projected, type Recent, STEP_MS } from "./trend.ts";

/** What the level is that a row remembers: the mean of some seconds, of some minutes, or the rise of minutes carried on. */
const ESTIMATORS = ["fast", "slow", "trend"] as const;
type Estimator = (typeof ESTIMATORS)[number];
export const MEMORIES_MS = [60_000, 300_000, 900_000, 2_700_000, 7_200_000, 21_600_000, 86_400_000, 1_209_600_000] as const;

/** One way of knowing what work will come. */
export type Row =
  /** The highest level of the last `memoryMs`, and of one cold start at least. */
  | { readonly kind: "hold"; readonly of: Estimator; readonly memoryMs: Ms }
  /** The present level and the largest rise within one cold start of the last `memoryMs`, up to the highest level of that time. */
  | { readonly kind: "rise"; readonly memoryMs: Ms }
  /** What was at this time a day or a week ago, or the last minutes if they are higher. */
  | { readonly kind: "season"; readonly periodMs: Ms }
  /** The peak of past surges while the next one may come, else the last minutes. */
  | { readonly kind: "recurrence" };

export const ROWS: readonly Row[] = [
  ...ESTIMATORS.flatMap((of) => MEMORIES_MS.map((memoryMs): Row => ({ kind: "hold", of, memoryMs }))),
  { kind: "rise", memoryMs: 21_600_000 },
  { kind: "rise", memoryMs: 1_209_600_000 },
  { kind: "season", periodMs: DAY_MS },
  { kind: "season", periodMs: 7 * DAY_MS },
  { kind: "recurrence" },
];
/** Rows of the fast level with the shortest memory, a short and the longest one. */
const SHORT = 0;
const SHORTISH = 1;
const LONG = MEMORIES_MS.length - 1;

/** What the rows know. Levels are work per second. */
export type Known = {
  /** Smoothed over some seconds and over some minutes. */
  readonly fast: number;
  readonly slow: number;
  readonly recent: Recent;
  /** Work since the last step. */
  readonly step: number;
  /** Of each row that remembers: its falling maxima. */
  readonly peaks: readonly Marks[];
  /** Of each row: the least that it wanted over the last cold start, which is what it has ready. */
  readonly ready: readonly Marks[];
  readonly days: Days;
  readonly surges: Surges;
  /** The highest level ever. */
  readonly record: number;
};

export const nothingKnown: Known = {
  fast: 0,
  slow: 0,
  recent: [],
  step: 0,
  peaks: ROWS.map(() => noMarks),
  ready: ROWS.map(() => noMarks),
  days: noDays,
  surges: noSurges,
  record: 0,
};

const FAST_MS: Ms = 15_000;
const SLOW_MS: Ms = 90_000;
/** A rise of the level by so much within a cold start, beyond all that was seen before, is a surprise. */
const SURPRISE = 1.5;
/** Levels are not remembered before this many seconds have been seen. */
const FIRST_SECONDS = 20;

/** The rows at work: second by second. `scale` converts what is known where the unit of work has changed. */
export function openRows(known: Known, scale: number, coldStartMs: Ms) {
  let fast = known.fast * scale;
  let slow = known.slow * scale;
  let step = known.step * scale;
  let record = known.record * scale;
  const recent = known.recent.map((value) => value * scale);
  const peaks = known.peaks.map((marks) => copyMarks(marks, scale));
  const ready = known.ready.map((marks) => copyMarks(marks, scale));
  const days = { untilMs: known.days.untilMs, highest: scale === 1 ? [...known.days.highest] : known.days.highest.map((v) => v * scale) };
  let surges =
    scale === 1
      ? known.surges
      : {
          ...known.surges,
          calm: known.surges.calm * scale,
          past: known.surges.past.map((surge) => ({ ...surge, peak: surge.peak * scale })),
        };
  const wants = (row: Row, at: number, nowMs: Ms) => wantedBy(row, at, { peaks, days, surges }, nowMs, coldStartMs);
  return {
    /** Takes in a second's work. @param seen seconds seen so far, with this one */
    add(work: number, seen: number): void {
      fast += Math.max(1 / seen, 1 - Math.exp(-1000 / FAST_MS)) * (work - fast);
      slow += Math.max(1 / seen, 1 - Math.exp(-1000 / SLOW_MS)) * (work - slow);
      step += work;
    },
    /** Remembers, every `STEP_MS`. @returns whether the level is a surprise to everybody */
    remember(nowMs: Ms, seen: number): boolean {
      addRecent(recent, step / (STEP_MS / 1000));
      step = 0;
      if (seen <= FIRST_SECONDS) return false;
      const before = ready[SHORT]?.value[0] ?? fast;
      const surprise = fast > record && fast > SURPRISE * before;
      record = Math.max(record, fast);
      surges = learnSurges(surges, nowMs, STEP_MS, fast);
      fileDays(days, nowMs, fast);
      const estimates: Readonly<Record<Estimator, number>> = { fast, slow, trend: projected(recent, coldStartMs) };
      for (const [at, row] of ROWS.entries()) {
        const marks = peaks[at] as MutableMarks;
        if (row.kind === "hold") addMark(marks, nowMs, estimates[row.of], Math.max(row.memoryMs, coldStartMs), 1);
        else if (row.kind === "rise") addMark(marks, nowMs, Math.max(0, fast - before), row.memoryMs, 1);
      }
      for (const [at, row] of ROWS.entries()) addMark(ready[at] as MutableMarks, nowMs, wants(row, at, nowMs), coldStartMs, -1);
      return surprise;
    },
    wants,
    has: (at: number): number => ready[at]?.value[0] ?? 0,
    close: (): Known => ({ fast, slow, recent, step, peaks, ready, days, surges, record }),
  };
}

/** The level that a row wants to be able to carry. `at`: its index. Whoever cannot know yet remembers all, not to be judged by ignorance. */
export function wantedBy(row: Row, at: number, known: Pick<Known, "peaks" | "days" | "surges">, nowMs: Ms, coldStartMs: Ms): number {
  const peakOf = (index: number) => known.peaks[index]?.value[0] ?? 0;
  switch (row.kind) {
    case "hold":
      return peakOf(at);
    case "rise":
      return Math.min(peakOf(MEMORIES_MS.indexOf(row.memoryMs as (typeof MEMORIES_MS)[number])), peakOf(SHORTISH) + peakOf(at));
    case "season": {
      const thenMs = nowMs - row.periodMs;
      const then = highestBetween(known.days, thenMs - SLOT_MS / 2, thenMs + coldStartMs + SLOT_MS);
      return then === null ? peakOf(LONG) : Math.max(peakOf(SHORTISH), then);
    }
    case "recurrence": {
      const next = nextSurge(known.surges);
      if (next === null) return peakOf(LONG);
      const comes = known.surges.open || (nowMs + coldStartMs >= next.fromMs && nowMs <= next.toMs);
      return comes ? Math.max(peakOf(SHORT), next.peak) : peakOf(SHORT);
    }
  }
}

/** How long a row remembers: what comes again later than that finds it as unprepared as the first time. */
export function memoryOf(row: Row): Ms {
  return row.kind === "recurrence" ? Number.POSITIVE_INFINITY : row.kind === "season" ? row.periodMs : row.memoryMs;
}

/**
 * How far a row is trusted before much was seen, as the share of late work that it is charged with: short memories and rows that do not look
 * ahead less than others. A memory is as long as what was seen at most.
 */
export const distrustOfHeadroom = (headroom: number): number => BASE_DISTRUST * Math.exp(-2.5 * (headroom - 1));
export function distrustOfRow(row: Row, seenMs: Ms): number {
  const memoryMs = Math.max(60_000, Math.min(seenMs, row.kind === "hold" || row.kind === "rise" ? row.memoryMs : 21_600_000));
  const ahead = row.kind === "hold" && row.of !== "trend" ? 1.3 : 1;
  return 0.9 ** (Math.log(memoryMs / 60_000) / Math.log(3.3)) * ahead;
}
const BASE_DISTRUST = 0.03;

/** The row in words, and the part of a row's kind for which a counterfactual is told. */
export function wordsOf(row: Row): string {
  const span = (ms: Ms) => (ms < 3_600_000 ? `${ms / 60_000} min` : ms < DAY_MS * 2 ? `${ms / 3_600_000} h` : `${ms / DAY_MS} days`);
  switch (row.kind) {
    case "hold":
      return `${{ fast: "the highest load", slow: "the highest mean load", trend: "the rise carried on" }[row.of]} of the last ${span(row.memoryMs)}`;
    case "rise":
      return `the present load and the largest rise of the last ${span(row.memoryMs)}`;
    case "season":
      return row.periodMs === DAY_MS ? "this time yesterday" : "this time a week ago";
    case "recurrence":
      return "surges that recur";
  }
}
