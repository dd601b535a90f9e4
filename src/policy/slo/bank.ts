import type { Ms } from "../../model/index.ts";
import { FULL, type Lateness, ON_TIME } from "./lateness.ts";
import { type Known, memoryOf, nothingKnown, openRows, ROWS } from "./rows.ts";
import { STEP_MS } from "./trend.ts";

/**
 * A bank of shadow policies. Each wants `headroom` × a level of work that it remembers or expects, and is replayed in a fluid model of the
 * fleet: a replica serves one cold start after it was wanted, work beyond what the ready ones carry queues, and what waits longer than
 * the objective allows is late. What each would have cost, and how much of the work would have been late, says which one to follow.
 */
export type Bank = {
  readonly atMs: Ms | null;
  /** By what work was reckoned when the values below were filed: they are rescaled when it is learned anew. null: nothing is filed. */
  readonly filedBy: Reckoning | null;
  readonly known: Known;
  /** Work per second over an answer's length: what sets the time per output token. */
  readonly load: number;
  /** By row and headroom, then by fixed count, in columns: work that waits, replicas that drain it, late work, replica-seconds wanted. */
  readonly queue: readonly number[];
  readonly extra: readonly number[];
  readonly late: readonly number[];
  readonly cost: readonly number[];
  /** Work that arrived and seconds that passed, fading as late work does; and seconds that fade as costs do. */
  readonly arrived: number;
  readonly seconds: number;
  readonly costSeconds: number;
  /** Seconds replayed, not fading. */
  readonly seen: number;
  /** Until when no row answers for anything, and until when a surprise goes on. */
  readonly excusedUntilMs: Ms;
  readonly surprisedUntilMs: Ms;
  readonly chosen: number | null;
};

export const HEADROOMS = [1.02, 1.1, 1.2, 1.3, 1.45, 1.65, 1.9, 2.3, 3, 4, 6] as const;
export const KNOWING = ROWS.length * HEADROOMS.length;
/** Fleets of a fixed count: never surprised, so that the record shows which would have done all the time. */
export const COUNTS: readonly number[] = Array.from({ length: 44 }, (_, at) => Math.max(at + 1, Math.round(1.13 ** (at + 1))));
export const SHADOWS = KNOWING + COUNTS.length;

/** What happened so long ago counts half. */
const HALF_LIFE_MS: Ms = 2 * 86_400_000;
/** What a way costs is a matter of the present level, so that it is forgotten much sooner than what it missed. */
const COST_HALF_LIFE_MS: Ms = 1_800_000;
/** Longer stretches without a report are not replayed: nobody knows what arrived. */
const LONGEST_GAP_MS: Ms = 600_000;
/** Digits that are kept of sums: the state is stored with every decision. */
const GRAIN = 1e5;

/** Replica-seconds of a prompt token and of an output token. */
export type Reckoning = { readonly perPrefill: number; readonly perSequence: number };
const workBy = ({ perPrefill, perSequence }: Reckoning, { prefill, output }: Plant["mix"]) => perPrefill * prefill + perSequence * output;

export interface Plant {
  readonly lateness: Lateness;
  readonly coldStartMs: Ms;
  /** How long an answer takes: its mean time per output token is that of so long. */
  readonly answerMs: Ms;
  /** The gateway lets late requests wait behind those that can still be on time. */
  readonly lateLast: boolean;
  /** Longest wait that is not late yet. */
  readonly toleratedMs: Ms;
  readonly min: number;
  readonly max: number;
  /** Of all replicas, how many can be woken within seconds. */
  readonly standby: number;
  /** How work is reckoned now, and the mean request at which that is compared with how it was: heavier requests are more work, not another measure. */
  readonly reckoning: Reckoning;
  readonly mix: { readonly prefill: number; readonly output: number };
}

const zeros = () => new Array<number>(SHADOWS).fill(0);
export const noBank: Bank = {
  atMs: null,
  filedBy: null,
  known: nothingKnown,
  load: 0,
  queue: zeros(),
  extra: zeros(),
  late: zeros(),
  cost: zeros(),
  arrived: 0,
  seconds: 0,
  costSeconds: 0,
  seen: 0,
  excusedUntilMs: 0,
  surprisedUntilMs: 0,
  chosen: null,
};

/** Replicas that `work` per second takes; a fiftieth of one more is not worth another. */
export const replicasFor = (work: number): number => Math.ceil(work / FULL - 0.02);

/** How soon a queue is to be gone once new replicas are there: half a cold start keeps the extra ones few. */
export const drainMs = (coldStartMs: Ms): Ms => Math.max(15_000, coldStartMs / 2);

/** Replays the seconds from where the bank stands to `toMs`. @param workAt work that arrived in the second that begins then */
export function learnBank(bank: Bank, toMs: Ms, workAt: (secondMs: Ms) => number, plant: Plant): Bank {
  const { coldStartMs, toleratedMs, min, max, lateness, standby, lateLast } = plant;
  const startMs = bank.atMs ?? toMs - 1000;
  // At first, and after a stretch that nobody saw, no row can be ready for what comes: all are excused for one cold start.
  if (toMs - startMs > LONGEST_GAP_MS) return { ...bank, atMs: toMs, excusedUntilMs: toMs + coldStartMs };
  if (toMs - startMs < 1000) return bank.atMs === null ? { ...bank, atMs: toMs } : bank;
  const { reckoning, mix } = plant;
  const drift = bank.filedBy === null ? 1 : workBy(reckoning, mix) / Math.max(1e-12, workBy(bank.filedBy, mix));
  const scale = Math.abs(drift - 1) > 0.01 ? drift : 1;
  const column = (values: readonly number[], by: number) => {
    const made = new Float64Array(SHADOWS);
    for (let at = 0; at < SHADOWS; at++) made[at] = (values[at] as number) * by;
    return made;
  };
  const rows = openRows(bank.known, scale, coldStartMs);
  const queue = column(bank.queue, scale);
  const extra = column(bank.extra, 1);
  const late = column(bank.late, scale);
  const cost = column(bank.cost, 1);
  const wanted = new Float64Array(SHADOWS);
  const serving = new Float64Array(SHADOWS);
  /** By count of replicas: the share that misses at this second's load. NaN: not asked for yet. */
  const missing = new Float64Array(max + 1);
  const lateNow = new Float64Array(SHADOWS);
  let waits = bank.queue.some((work) => work > 0);
  let load = bank.load * scale;
  let arrived = bank.arrived * scale;
  let { seconds, costSeconds, seen } = bank;
  const excusedUntilMs = bank.atMs === null ? startMs + coldStartMs : bank.excusedUntilMs;
  let { surprisedUntilMs } = bank;

  const within = (count: number) => Math.min(max, Math.max(min, count));
  const settle = (nowMs: Ms) => {
    for (const [row, of] of ROWS.entries()) {
      const wants = rows.wants(of, row, nowMs);
      const has = rows.has(row);
      for (let at = 0; at < HEADROOMS.length; at++) {
        const headroom = HEADROOMS[at] as number;
        const shadow = row * HEADROOMS.length + at;
        const there = within(replicasFor(has * headroom));
        const want = within(replicasFor(wants * headroom));
        wanted[shadow] = want;
        serving[shadow] = standby > 0 ? Math.max(there, Math.min(want, there + standby)) : there;
      }
    }
    for (const [at, fixed] of COUNTS.entries()) {
      wanted[KNOWING + at] = within(fixed);
      serving[KNOWING + at] = within(fixed);
    }
  };
  settle(startMs);
  const drainSeconds = drainMs(coldStartMs) / 1000;
  const lag = 1 - Math.exp(-1000 / coldStartMs);
  const keep = 0.5 ** (1000 / HALF_LIFE_MS);
  const keepCost = 0.5 ** (1000 / COST_HALF_LIFE_MS);
  const gain = 1 - Math.exp(-1000 / plant.answerMs);
  for (let secondMs = startMs; secondMs + 1000 <= toMs; secondMs += 1000) {
    const work = workAt(secondMs);
    seen++;
    load += Math.max(1 / seen, gain) * (work - load);
    rows.add(work, seen);
    if (secondMs % STEP_MS < 1000) {
      if (rows.remember(secondMs, seen)) surprisedUntilMs = secondMs + coldStartMs;
      settle(secondMs);
    }
    arrived = arrived * keep + work;
    seconds = seconds * keep + 1;
    costSeconds = costSeconds * keepCost + 1;
    if (work === 0 && !waits) {
      for (let shadow = 0; shadow < SHADOWS; shadow++) {
        extra[shadow] = (extra[shadow] as number) * (1 - lag);
        late[shadow] = (late[shadow] as number) * keep;
        cost[shadow] = (cost[shadow] as number) * keepCost + Math.min(max, (wanted[shadow] as number) + (extra[shadow] as number));
      }
      continue;
    }
    waits = false;
    const excused = secondMs < excusedUntilMs;
    const surprised = secondMs < surprisedUntilMs;
    missing.fill(Number.NaN);
    let least = Number.POSITIVE_INFINITY;
    for (let shadow = 0; shadow < SHADOWS; shadow++) {
      const there = serving[shadow] as number;
      let miss = missing[there] as number;
      if (Number.isNaN(miss)) {
        miss = there > 0 ? lateness(load / (there * FULL), there) : 1;
        missing[there] = miss;
      }
      const carried = Math.min(max, there + (extra[shadow] as number)) * FULL;
      const allowed = (carried * toleratedMs) / 1000;
      let after = Math.max(0, (queue[shadow] as number) + work - carried);
      let excess = after - allowed;
      if (lateLast && excess > 0) {
        // Who would be late waits behind, and keeps nobody: only what is beyond what can be on time is late.
        after = Math.min(allowed, Math.max(0, (queue[shadow] as number) + work - ON_TIME * carried));
        excess = (queue[shadow] as number) + work - ON_TIME * carried - allowed;
      }
      queue[shadow] = after;
      if (after > 0) waits = true;
      let beyond = miss * work;
      let draining = 0;
      if (excess > 0) {
        // Of this second's work, what arrived behind more than can be worked off in time.
        beyond = Math.max(beyond, Math.min(work, excess));
        // What the fleet has to spare drains too.
        if (shadow < KNOWING) draining = Math.max(0, after / drainSeconds - Math.max(0, (wanted[shadow] as number) * FULL - work)) / FULL;
      }
      extra[shadow] = (extra[shadow] as number) + lag * (Math.min(draining, there) - (extra[shadow] as number));
      lateNow[shadow] = beyond;
      if (beyond < least) least = beyond;
    }
    const cause = surprised && !excused ? ROWS.map((row) => answersFor(memoryOf(row), seen)) : [];
    for (let shadow = 0; shadow < SHADOWS; shadow++) {
      const share = excused ? 0 : surprised ? (cause[Math.floor(shadow / HEADROOMS.length)] ?? 1) : 1;
      late[shadow] = (late[shadow] as number) * keep + share * ((lateNow[shadow] as number) - least);
      // What nobody could have avoided says nothing of anybody, and neither does the queue that it left.
      if (excused || surprised || least > 0.5 * work) queue[shadow] = 0;
      cost[shadow] = (cost[shadow] as number) * keepCost + Math.min(max, (wanted[shadow] as number) + (extra[shadow] as number));
    }
  }
  return {
    atMs: startMs + Math.floor((toMs - startMs) / 1000) * 1000,
    filedBy: scale === 1 ? (bank.filedBy ?? reckoning) : reckoning,
    known: rows.close(),
    load,
    queue: rounded(queue),
    extra: rounded(extra),
    late: rounded(late),
    cost: rounded(cost),
    arrived,
    seconds,
    costSeconds,
    seen,
    excusedUntilMs,
    surprisedUntilMs,
    chosen: bank.chosen,
  };
}

function rounded(column: Float64Array): readonly number[] {
  const made = new Array<number>(SHADOWS);
  for (let at = 0; at < SHADOWS; at++) made[at] = Math.round((column[at] as number) * GRAIN) / GRAIN;
  return made;
}

/**
 * What a row answers for when a surprise comes: the chance that its like comes again only after the row has forgotten it. Of a thing seen
 * once in `seen` seconds the next gap exceeds `memoryMs` with seen / (seen + memory), whatever the scale (Jeffreys' prior on the rate).
 */
function answersFor(memoryMs: Ms, seen: number): number {
  return (seen * 1000) / (seen * 1000 + memoryMs);
}
