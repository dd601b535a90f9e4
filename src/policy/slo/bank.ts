import type { Ms } from "../../model/index.ts";
import { FULL, type Lateness } from "./lateness.ts";
import { addMark, copyMarks, type Marks, noMarks } from "./marks.ts";
import { learnSurges, nextSurge, noSurges, type Surges } from "./surges.ts";

/**
 * A bank of shadow policies. Each wants `headroom` × a level of work that it remembers or expects, and is replayed in a fluid model of the
 * fleet: a replica serves one cold start after it was wanted, work beyond what the ready ones carry queues, and what waits longer than
 * the objective allows is late. What each would have cost, and how much of the work would have been late, says which one to follow.
 */
export type Bank = {
  readonly atMs: Ms | null;
  /** Work of a mean request when the values below were filed: they are rescaled when it is learned anew. */
  readonly unit: number;
  /** Work per second, smoothed with each of `TIME_CONSTANTS_MS`, and over an answer's length; a young one is the mean of what it saw. */
  readonly levels: readonly number[];
  /** Of each row that remembers: its falling maxima. */
  readonly peaks: readonly Marks[];
  /** Of each row: the least that it wanted over the last cold start, which is what it has ready. */
  readonly ready: readonly Marks[];
  /** Highest level of each ten minutes of the last eight days, oldest first, and the end of the last one. */
  readonly days: { readonly untilMs: Ms; readonly highest: readonly number[] };
  readonly surges: Surges;
  /** By row and headroom, in columns: work that waits, replicas that drain it, work that was late, replica-seconds wanted. */
  readonly queue: readonly number[];
  readonly extra: readonly number[];
  readonly late: readonly number[];
  readonly cost: readonly number[];
  /** Work that arrived and seconds that passed, fading as the scores do; `lost`: work that was late for every shadow. */
  readonly arrived: number;
  readonly lost: number;
  readonly seconds: number;
  /** Seconds replayed, not fading. */
  readonly seen: number;
  /** The highest level ever, and until when nobody is blamed for having been surprised by it. */
  readonly record: number;
  readonly excusedMs: Ms;
  readonly chosen: number | null;
};

const TIME_CONSTANTS_MS = [15_000, 90_000, 45_000, 180_000] as const;
const TOKEN_LEVEL = TIME_CONSTANTS_MS.length;
const MEMORIES_MS = [60_000, 300_000, 900_000, 2_700_000, 7_200_000, 21_600_000, 86_400_000, 1_209_600_000] as const;
const HEADROOMS = [1.02, 1.1, 1.2, 1.3, 1.45, 1.65, 1.9, 2.3, 3, 4, 6] as const;
/** What the level is that a row remembers: the fast mean, the slow one, or the trend of the middle ones one cold start on. */
const ESTIMATORS = ["fast", "slow", "trend"] as const;
type Estimator = (typeof ESTIMATORS)[number];

/** One way of knowing what will be wanted. */
type Row =
  | { readonly kind: "hold"; readonly of: Estimator; readonly memoryMs: Ms }
  /** What was at this time a day or a week ago, and five minutes' memory. */
  | { readonly kind: "season"; readonly periodMs: Ms }
  /** The usual peak while the next surge may come, and a minute's memory. */
  | { readonly kind: "recurrence" };
const DAY_MS: Ms = 86_400_000;
const ROWS: readonly Row[] = [
  ...ESTIMATORS.flatMap((of) => MEMORIES_MS.map((memoryMs): Row => ({ kind: "hold", of, memoryMs }))),
  { kind: "season", periodMs: DAY_MS },
  { kind: "season", periodMs: 7 * DAY_MS },
  { kind: "recurrence" },
];
const KNOWING = ROWS.length * HEADROOMS.length;
/** Fleets of a fixed count: never surprised, so that the record shows which would have done all the time. */
const COUNTS: readonly number[] = Array.from({ length: 44 }, (_, at) => Math.max(at + 1, Math.round(1.13 ** (at + 1))));
const SHADOWS = KNOWING + COUNTS.length;
/** Rows of the fast level with a memory of a minute, of five, and of all. */
const SHORT = 0;
const SHORTISH = 1;
const LONG = MEMORIES_MS.length - 1;

const STEP_MS: Ms = 5_000;
/** What happened so long ago counts half. */
const HALF_LIFE_MS: Ms = 2 * DAY_MS;
/** Longer stretches without a report are not replayed: nobody knows what arrived. */
const LONGEST_GAP_MS: Ms = 600_000;
/** A rise by so much within a cold start is a jump. */
const JUMP = 1.5;
const SLOT_MS: Ms = 600_000;
const SLOTS = 8 * 144;
/** Levels are not remembered before this many seconds have been seen. */
const FIRST_SECONDS = 20;

export interface Plant {
  readonly lateness: Lateness;
  /** What replicas do of what was thought: 1 unless observed misses say otherwise. */
  readonly margin: number;
  readonly coldStartMs: Ms;
  /** How long an answer takes: its mean time per output token is that of so long. */
  readonly answerMs: Ms;
  /** Longest wait that is not late yet. */
  readonly toleratedMs: Ms;
  readonly min: number;
  readonly max: number;
  /** Work of a mean request. */
  readonly unit: number;
}

const zeros = () => new Array<number>(SHADOWS).fill(0);
export const noBank: Bank = {
  atMs: null,
  unit: 0,
  levels: [...TIME_CONSTANTS_MS.map(() => 0), 0],
  peaks: ROWS.map(() => noMarks),
  ready: ROWS.map(() => noMarks),
  days: { untilMs: 0, highest: [] },
  surges: noSurges,
  queue: zeros(),
  extra: zeros(),
  late: zeros(),
  cost: zeros(),
  arrived: 0,
  lost: 0,
  seconds: 0,
  seen: 0,
  record: 0,
  excusedMs: 0,
  chosen: null,
};

/** Replays the seconds from where the bank stands to `toMs`. @param workAt work that arrived in the second that begins then */
export function learnBank(bank: Bank, toMs: Ms, workAt: (secondMs: Ms) => number, plant: Plant): Bank {
  const startMs = bank.atMs ?? toMs - 1000;
  if (toMs - startMs > LONGEST_GAP_MS) return { ...bank, atMs: toMs };
  if (toMs - startMs < 1000) return bank.atMs === null ? { ...bank, atMs: toMs } : bank;
  const drift = bank.unit > 0 && plant.unit > 0 ? plant.unit / bank.unit : 1;
  const scale = Math.abs(drift - 1) > 0.01 ? drift : 1;
  const scaled = (values: readonly number[]) => (scale === 1 ? [...values] : values.map((value) => value * scale));
  const { margin, coldStartMs, toleratedMs, min, max, lateness } = plant;
  const perReplica = FULL * margin;
  const levels = scaled(bank.levels);
  const peaks = bank.peaks.map((marks) => copyMarks(marks, scale));
  const ready = bank.ready.map((marks) => copyMarks(marks, scale));
  let { untilMs } = bank.days;
  const highest = scaled(bank.days.highest);
  let surges =
    scale === 1
      ? bank.surges
      : { ...bank.surges, calm: bank.surges.calm * scale, past: bank.surges.past.map((surge) => ({ ...surge, peak: surge.peak * scale })) };
  const queue = scaled(bank.queue);
  const extra = [...bank.extra];
  const late = scaled(bank.late);
  const cost = [...bank.cost];
  const wanted = zeros();
  const serving = zeros();
  const missing = new Map<number, number>();
  const lateNow = zeros();
  let arrived = bank.arrived * scale;
  let lost = bank.lost * scale;
  let record = bank.record * scale;
  let { seconds, seen, excusedMs } = bank;

  const count = (level: number, headroom: number) => Math.min(max, Math.max(min, Math.ceil((level * headroom) / perReplica - 0.02)));
  const settle = (nowMs: Ms, moved: boolean) => {
    const fast = levels[0] as number;
    if (moved) {
      const estimates: Readonly<Record<Estimator, number>> = { fast, slow: levels[1] as number, trend: trendOf(levels, coldStartMs) };
      // A jump beyond all that was ever seen: nobody can be blamed for what happens until new replicas could be there.
      if (fast > record && fast > JUMP * (ready[SHORT]?.value[0] ?? 0)) excusedMs = nowMs + coldStartMs;
      record = Math.max(record, fast);
      surges = learnSurges(surges, nowMs, STEP_MS, fast);
      untilMs = fileDays(highest, untilMs, nowMs, fast);
      ROWS.forEach((row, at) => {
        if (row.kind === "hold") addMark(peaks[at] as Peaks, nowMs, estimates[row.of], row.memoryMs, 1);
        addMark(ready[at] as Peaks, nowMs, levelOf(row, at, peaks, { highest, untilMs }, surges, nowMs, coldStartMs), coldStartMs, -1);
      });
    }
    for (let row = 0; row < ROWS.length; row++) {
      const wants = levelOf(ROWS[row] as Row, row, peaks, { highest, untilMs }, surges, nowMs, coldStartMs);
      const has = ready[row]?.value[0] ?? 0;
      for (let at = 0; at < HEADROOMS.length; at++) {
        const shadow = row * HEADROOMS.length + at;
        const there = count(has, HEADROOMS[at] as number);
        wanted[shadow] = count(wants, HEADROOMS[at] as number);
        serving[shadow] = there;
      }
    }
    COUNTS.forEach((fixed, at) => {
      wanted[KNOWING + at] = Math.min(max, Math.max(min, fixed));
      serving[KNOWING + at] = Math.min(max, Math.max(min, fixed));
    });
  };
  settle(startMs, false);
  const drainSeconds = drainMs(coldStartMs) / 1000;
  const lag = 1 - Math.exp(-1000 / coldStartMs);
  const keep = 0.5 ** (1000 / HALF_LIFE_MS);
  for (let secondMs = startMs; secondMs + 1000 <= toMs; secondMs += 1000) {
    const work = workAt(secondMs);
    seen++;
    for (let at = 0; at < levels.length; at++) {
      const constantMs = at === TOKEN_LEVEL ? plant.answerMs : (TIME_CONSTANTS_MS[at] as Ms);
      const gain = Math.max(1 / seen, 1 - Math.exp(-1000 / constantMs));
      levels[at] = (levels[at] as number) + gain * (work - (levels[at] as number));
    }
    if (secondMs % STEP_MS === 0 && seen > FIRST_SECONDS) settle(secondMs, true);
    arrived = arrived * keep + work;
    seconds = seconds * keep + 1;
    const recent = levels[TOKEN_LEVEL] as number;
    missing.clear();
    let least = Number.POSITIVE_INFINITY;
    for (let shadow = 0; shadow < SHADOWS; shadow++) {
      const there = serving[shadow] as number;
      let miss = missing.get(there);
      if (miss === undefined) {
        miss = there > 0 ? lateness(recent / (there * perReplica), there) : 1;
        missing.set(there, miss);
      }
      const carried = Math.min(max, there + (extra[shadow] as number)) * perReplica;
      const after = Math.max(0, (queue[shadow] as number) + work - carried);
      queue[shadow] = after;
      const allowed = (carried * toleratedMs) / 1000;
      // Of this second's work, what arrived behind more than can be worked off in time.
      const behind = after > allowed ? Math.min(work, after - allowed) : 0;
      const beyond = Math.max(miss * work, behind);
      const draining = shadow < KNOWING && after > allowed ? after / (perReplica * drainSeconds) : 0;
      extra[shadow] = (extra[shadow] as number) + lag * (draining - (extra[shadow] as number));
      lateNow[shadow] = beyond;
      if (beyond < least) least = beyond;
    }
    const excused = secondMs < excusedMs;
    lost = lost * keep + (excused ? 0 : least);
    for (let shadow = 0; shadow < SHADOWS; shadow++) {
      // What nobody could have avoided says nothing of anybody, and neither does the queue that it left.
      if (excused || least > 0.5 * work) queue[shadow] = 0;
      late[shadow] = (late[shadow] as number) * keep + (excused ? 0 : (lateNow[shadow] as number) - least);
      cost[shadow] = (cost[shadow] as number) * keep + Math.min(max, (wanted[shadow] as number) + (extra[shadow] as number));
    }
  }
  return {
    atMs: startMs + Math.floor((toMs - startMs) / 1000) * 1000,
    unit: scale === 1 ? bank.unit || plant.unit : plant.unit,
    levels,
    peaks,
    ready,
    days: { untilMs, highest },
    surges,
    queue,
    extra,
    late,
    cost,
    arrived,
    lost,
    seconds,
    seen,
    record,
    excusedMs,
    chosen: bank.chosen,
  };
}
type Peaks = { atMs: Ms[]; value: number[] };

/** How soon a queue is to be gone once new replicas are there: half a cold start keeps the extra ones few. */
export const drainMs = (coldStartMs: Ms): Ms => Math.max(15_000, coldStartMs / 2);

/** The middle level carried on along its slope to when a replica wanted now could serve; a falling one stays where it is. */
function trendOf(levels: readonly number[], coldStartMs: Ms): number {
  const [middle, slower] = [levels[2] as number, levels[3] as number];
  const slope = (middle - slower) / (TIME_CONSTANTS_MS[3] - TIME_CONSTANTS_MS[2]);
  return middle + Math.max(0, slope) * (coldStartMs + TIME_CONSTANTS_MS[2]);
}

function levelOf(row: Row, at: number, peaks: readonly Marks[], days: Bank["days"], surges: Surges, nowMs: Ms, coldStartMs: Ms): number {
  switch (row.kind) {
    case "hold":
      return peaks[at]?.value[0] ?? 0;
    // Whoever cannot know yet remembers all, so that it is not judged by what it did in ignorance.
    case "season": {
      const then = nowMs - row.periodMs;
      if (days.untilMs - days.highest.length * SLOT_MS > then) return peaks[LONG]?.value[0] ?? 0;
      return Math.max(peaks[SHORTISH]?.value[0] ?? 0, highestBetween(days, then - SLOT_MS / 2, then + coldStartMs + SLOT_MS));
    }
    case "recurrence": {
      const next = nextSurge(surges);
      const now = peaks[SHORT]?.value[0] ?? 0;
      if (next === null) return peaks[LONG]?.value[0] ?? 0;
      if (nowMs + coldStartMs < next.fromMs || nowMs > next.toMs) return now;
      return Math.max(now, next.peak);
    }
  }
}

function fileDays(highest: number[], untilMs: Ms, nowMs: Ms, level: number): Ms {
  let until = untilMs;
  if (until === 0 || nowMs - until > SLOTS * SLOT_MS) {
    highest.length = 0;
    until = Math.floor(nowMs / SLOT_MS) * SLOT_MS;
  }
  while (nowMs >= until) {
    highest.push(0);
    until += SLOT_MS;
  }
  if (highest.length > SLOTS) highest.splice(0, highest.length - SLOTS);
  highest[highest.length - 1] = Math.max(highest.at(-1) as number, level);
  return until;
}

function highestBetween({ untilMs, highest }: Bank["days"], fromMs: Ms, toMs: Ms): number {
  const first = Math.max(0, highest.length - Math.ceil((untilMs - fromMs) / SLOT_MS));
  const last = highest.length - Math.ceil((untilMs - toMs) / SLOT_MS);
  let most = 0;
  for (let at = first; at <= last && at < highest.length; at++) most = Math.max(most, highest[at] as number);
  return untilMs - fromMs > highest.length * SLOT_MS && first === 0 && last < 0 ? 0 : most;
}

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
}

/** Until so much was seen, a shadow is also judged by what its headroom and memory are worth in general. */
const PRIOR_SECONDS = 1200;

/** The cheapest shadow that would have kept the share of late work within `allowed`; the safest where none would. */
export function choose(bank: Bank, allowed: number, nowMs: Ms, coldStartMs: Ms): Choice {
  const mean = bank.arrived / Math.max(1, bank.seconds);
  const lateOf = (shadow: number) => {
    if (shadow >= KNOWING)
      return ((bank.late[shadow] as number) + 0.003 * PRIOR_SECONDS * mean) / Math.max(1e-12, bank.arrived + PRIOR_SECONDS * mean);
    const headroom = HEADROOMS[shadow % HEADROOMS.length] as number;
    const row = ROWS[Math.floor(shadow / HEADROOMS.length)] as Row;
    const remembers = row.kind === "hold" ? 0.9 ** MEMORIES_MS.indexOf(row.memoryMs as (typeof MEMORIES_MS)[number]) : 1;
    const prior = 0.02 * Math.exp(-2.5 * (headroom - 1)) * remembers;
    return ((bank.late[shadow] as number) + prior * PRIOR_SECONDS * mean) / Math.max(1e-12, bank.arrived + PRIOR_SECONDS * mean);
  };
  let [best, bestCost] = [-1, Number.POSITIVE_INFINITY];
  let [safest, least] = [0, Number.POSITIVE_INFINITY];
  for (let shadow = 0; shadow < SHADOWS; shadow++) {
    const late = lateOf(shadow);
    const cost = bank.cost[shadow] as number;
    const own = cost * (shadow === bank.chosen ? 0.98 : 1);
    if (late <= allowed && own < bestCost) [best, bestCost] = [shadow, own];
    if (late < least - 1e-9 || (late <= least + 1e-9 && cost < (bank.cost[safest] as number))) [safest, least] = [shadow, late];
  }
  const index = best >= 0 ? best : safest;
  if (index >= KNOWING) {
    const fixed = COUNTS[index - KNOWING] as number;
    return { index, headroom: 1, by: `a fixed count of ${fixed}`, late: lateOf(index), replicas: fixed, work: fixed * FULL };
  }
  const at = Math.floor(index / HEADROOMS.length);
  const row = ROWS[at] as Row;
  const headroom = HEADROOMS[index % HEADROOMS.length] as number;
  return {
    index,
    headroom,
    by: wordsOf(row),
    late: lateOf(index),
    replicas: (bank.cost[index] as number) / Math.max(1, bank.seconds),
    work: headroom * levelOf(row, at, bank.peaks, bank.days, bank.surges, nowMs, coldStartMs),
  };
}

function wordsOf(row: Row): string {
  switch (row.kind) {
    case "hold":
      return `${row.of} level of ${row.memoryMs / 60_000} min`;
    case "season":
      return row.periodMs === DAY_MS ? "this time yesterday" : "this time a week ago";
    case "recurrence":
      return "surges that recur";
  }
}
