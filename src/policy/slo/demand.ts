import { type Ms, PROMPT_BANDS, type Slot } from "../../model/index.ts";

/** Work that arrives per second: requests, prompt tokens that are not in a prefix cache, output tokens to be expected of them. */
export type Rate = { readonly requests: number; readonly prefill: number; readonly output: number };

/** One closed second of arrivals. `prefill2`: sum of squared prompt lengths, for the spread. */
type Second = {
  readonly atMs: Ms;
  readonly requests: number;
  readonly prefill: number;
  readonly output: number;
  readonly prefill2: number;
};

/** Per prompt band: requests that ended and their output tokens, both fading. */
type Outputs = { readonly ended: number; readonly tokens: number };

/** `seconds` holds the last `KEPT_SECONDS`; seconds without an entry had no arrivals, since `fromMs`. */
export type Demand = {
  readonly fromMs: Ms | null;
  readonly toMs: Ms | null;
  readonly seconds: readonly Second[];
  /** Requests that were open when the last slot reported ended: as long as there are any, every second has a slot. */
  readonly open: number;
  readonly reportedMs: Ms | null;
  readonly outputs: readonly Outputs[];
  /** Mean request of the recent past, for sizing a queue and for an endpoint that has just woken. */
  readonly mix: { readonly prefill: number; readonly output: number; readonly prefill2: number; readonly weight: number };
};

const KEPT_SECONDS = 64;
/** Whoever reports nothing for so long has forgotten the requests that seem to be open. */
const LONGEST_SILENCE_MS: Ms = 300_000;
/** The plain mean's window, and the fast ones that see a jump early (lower confidence bounds keep them from seeing noise). */
const MEAN_SECONDS = 45;
const FAST_SECONDS = [3, 8, 20] as const;
const CONFIDENCE = 2.5;
/** Output length assumed before anything ended, and how many requests' worth of evidence a band needs to leave the endpoint's mean. */
const OUTPUT_PRIOR = 200;
const BAND_PRIOR = 8;
const OUTPUT_MEMORY = 2_000;
const MIX_MEMORY = 1_000;

export const noDemand: Demand = {
  fromMs: null,
  toMs: null,
  seconds: [],
  open: 0,
  reportedMs: null,
  outputs: PROMPT_BANDS.map(() => ({ ended: 0, tokens: 0 })),
  mix: { prefill: 0, output: 0, prefill2: 0, weight: 0 },
};

/** Output tokens to expect of a request of that band: its own mean, drawn towards the endpoint's while few ended. */
export function expectedOutput(demand: Demand, band: number): number {
  let [ended, tokens] = [0, 0];
  for (const one of demand.outputs) {
    ended += one.ended;
    tokens += one.tokens;
  }
  const overall = (tokens + BAND_PRIOR * OUTPUT_PRIOR) / (ended + BAND_PRIOR);
  const own = demand.outputs[band] ?? { ended: 0, tokens: 0 };
  return (own.tokens + BAND_PRIOR * overall) / (own.ended + BAND_PRIOR);
}

/** Adds closed slots. After a stretch in which nobody reported (`slots` null before), older seconds do not count as empty. */
export function addSlots(demand: Demand, slots: readonly Slot[], nowMs: Ms, gap: boolean): Demand {
  const sorted = slots.toSorted(
    (a, b) => a.atMs - b.atMs || a.promptBand - b.promptBand || (a.class < b.class ? -1 : a.class > b.class ? 1 : 0),
  );
  const outputs = demand.outputs.map((one, band) => {
    const rows = sorted.filter((slot) => slot.promptBand === band);
    const ended = one.ended + rows.reduce((sum, slot) => sum + slot.completed + slot.cancelled, 0);
    const tokens = one.tokens + rows.reduce((sum, slot) => sum + slot.outputTokens, 0);
    const fade = ended > OUTPUT_MEMORY ? OUTPUT_MEMORY / ended : 1;
    return { ended: ended * fade, tokens: tokens * fade };
  });
  const learned = { ...demand, outputs };
  const bySecond = new Map<Ms, Second>();
  for (const second of gap ? [] : demand.seconds) bySecond.set(second.atMs, second);
  let { prefill, output, prefill2, weight } = demand.mix;
  for (const slot of sorted) {
    if (slot.arrivals <= 0) continue;
    const own = Math.max(0, slot.promptTokens - slot.prefixHitTokens);
    const out = slot.arrivals * expectedOutput(learned, slot.promptBand);
    const squared = (own * own) / slot.arrivals;
    const before = bySecond.get(slot.atMs) ?? { atMs: slot.atMs, requests: 0, prefill: 0, output: 0, prefill2: 0 };
    bySecond.set(slot.atMs, {
      atMs: slot.atMs,
      requests: before.requests + slot.arrivals,
      prefill: before.prefill + own,
      output: before.output + out,
      prefill2: before.prefill2 + squared,
    });
    const total = Math.min(MIX_MEMORY, weight + slot.arrivals);
    const share = slot.arrivals / Math.max(slot.arrivals, total);
    prefill += share * (own / slot.arrivals - prefill);
    output += share * (out / slot.arrivals - output);
    prefill2 += share * (squared / slot.arrivals - prefill2);
    weight = total;
  }
  const { open, reportedMs } = openAfter(gap ? noDemand : demand, sorted);
  // While requests are open silence means that the report lags: what is not reported yet is not empty.
  const isLate = open > 0 && reportedMs !== null && nowMs - reportedMs < LONGEST_SILENCE_MS;
  const silentMs = isLate ? 0 : Math.floor(nowMs / 1000) * 1000 - 1000;
  const closedMs = Math.max(demand.toMs ?? 0, reportedMs ?? 0, silentMs);
  const firstMs = sorted[0]?.atMs ?? closedMs;
  return {
    fromMs: gap || demand.fromMs === null ? firstMs : Math.max(demand.fromMs, closedMs - KEPT_SECONDS * 1000),
    toMs: closedMs,
    seconds: [...bySecond.values()].filter((second) => second.atMs >= closedMs - KEPT_SECONDS * 1000).sort((a, b) => a.atMs - b.atMs),
    open: isLate ? open : 0,
    reportedMs,
    outputs,
    mix: { prefill, output, prefill2, weight },
  };
}

/** Requests open at the end of what is reported. Ends of requests whose arrival nobody reported count for nothing. */
function openAfter(before: Demand, sorted: readonly Slot[]): Pick<Demand, "open" | "reportedMs"> {
  let { open, reportedMs } = before;
  for (let at = 0; at < sorted.length; ) {
    const { atMs } = sorted[at] as Slot;
    let change = 0;
    for (; sorted[at]?.atMs === atMs; at++) {
      const slot = sorted[at] as Slot;
      change += slot.arrivals - slot.completed - slot.failed - slot.cancelled - slot.rejected;
    }
    open = Math.max(0, open + change);
    reportedMs = Math.max(reportedMs ?? 0, atMs + 1000);
  }
  return { open, reportedMs };
}

/** Takes rates that engines or a Prometheus server state, where no ledger is; they replace what seconds would say. */
export function addRate(demand: Demand, rate: Rate): Demand {
  if (rate.requests <= 0) return demand;
  const share = 0.1;
  const seen = { prefill: rate.prefill / rate.requests, output: rate.output / rate.requests };
  const first = demand.mix.weight === 0;
  return {
    ...demand,
    mix: {
      prefill: first ? seen.prefill : demand.mix.prefill + share * (seen.prefill - demand.mix.prefill),
      output: first ? seen.output : demand.mix.output + share * (seen.output - demand.mix.output),
      // Nobody states the spread of prompts here: taken as that of an exponential.
      prefill2: 2 * (first ? seen.prefill : demand.mix.prefill) ** 2,
      weight: Math.min(MIX_MEMORY, demand.mix.weight + 1),
    },
  };
}

/** Mean over the last 45 s, or over what was seen if that is less. */
export function meanRate(demand: Demand): Rate {
  return meanOf(demand, MEAN_SECONDS);
}

function meanOf(demand: Demand, windowSeconds: number): Rate {
  const { fromMs, toMs } = demand;
  if (fromMs === null || toMs === null) return { requests: 0, prefill: 0, output: 0 };
  const startMs = Math.max(fromMs, toMs - windowSeconds * 1000);
  const length = Math.max(1, (toMs - startMs) / 1000);
  let [requests, prefill, output] = [0, 0, 0];
  for (const second of demand.seconds) {
    if (second.atMs < startMs) continue;
    requests += second.requests;
    prefill += second.prefill;
    output += second.output;
  }
  return { requests: requests / length, prefill: prefill / length, output: output / length };
}

/** The largest lower confidence bound (mean − 2.5 sd of a compound Poisson stream) of work in the fast windows. */
export function fastWork(demand: Demand, work: (rate: Rate) => number): { readonly work: number; readonly windowSeconds: number } {
  let best = { work: 0, windowSeconds: MEAN_SECONDS as number };
  const { fromMs, toMs } = demand;
  if (fromMs === null || toMs === null) return best;
  for (const windowSeconds of FAST_SECONDS) {
    if (toMs - fromMs < windowSeconds * 1000) continue;
    let [sum, squares] = [0, 0];
    for (const second of demand.seconds) {
      if (second.atMs < toMs - windowSeconds * 1000 || second.requests === 0) continue;
      const own = work(second);
      sum += own;
      squares += (own * own) / second.requests;
    }
    const bound = (sum - CONFIDENCE * Math.sqrt(squares)) / windowSeconds;
    if (bound > best.work) best = { work: bound, windowSeconds };
  }
  return best;
}
