import type { Ms, Observation, Sample } from "../model/index.ts";
import type { RecordedStretch } from "../traces/index.ts";
import type { Entry } from "./store.ts";

/** Counts are spread evenly over the time between two readings of a page, and stated in stretches of this length. */
const binMs: Ms = 5_000;
/** Sizes are means over so many stretches. */
const sizeBins = 12;
/** For how long a rate speaks that none came after. */
const longestRateMs: Ms = 60_000;
/** A stretch of sizes with fewer requests than this takes the mean of all. */
const enoughRequests = 3;

const counterNames = ["finished", "prompt_tokens", "gen_tokens", "prefix_hits"] as const;
const gaugeNames = ["running", "waiting"] as const;
type Name = (typeof counterNames)[number] | (typeof gaugeNames)[number];
type Reading = Partial<Record<Name, number>>;

interface Counted {
  requests: number;
  finished: number;
  promptTokens: number;
  outputTokens: number;
  hitTokens: number;
}
const nothing = (): Counted => ({ requests: 0, finished: 0, promptTokens: 0, outputTokens: 0, hitTokens: 0 });

/**
 * The traffic that engines' own counters tell, where no gateway of ours was in the path: what finished, and what more was in flight than
 * before, has arrived. Counters bridge a time in which nothing could be read; a counter that fell began anew. Not in it: what waited
 * outside the engines or was refused there, and the last seconds of a replica that went. Sizes are known by their mean over a minute; prompts, too, are taken as exponential about it, which is nearer to real ones than all alike.
 * Where no replica says anything, the endpoint's own rates are taken, as of queries to a Prometheus server.
 * @param entries gives the same entries each time it is called
 * @returns one stretch for each 5 s from the first decision on, those without requests included
 */
export function engineTraffic(entries: () => Iterable<Entry>): readonly RecordedStretch[] {
  const bins = new Map<number, Counted>();
  const last = new Map<string, { atMs: Ms; reading: Reading }>();
  let startMs: Ms | null = null;
  let endMs: Ms = 0;

  const add = (fromMs: Ms, toMs: Ms, counted: Counted) => {
    const first = startMs as Ms;
    const from = Math.max(first, fromMs);
    const lengthMs = toMs - from;
    for (let bin = Math.floor((from - first) / binMs); first + bin * binMs < toMs; bin++) {
      const overlapMs = Math.min(toMs, first + (bin + 1) * binMs) - Math.max(from, first + bin * binMs);
      const share = lengthMs > 0 ? overlapMs / lengthMs : 1;
      const into = bins.get(bin) ?? nothing();
      for (const key of Object.keys(into) as (keyof Counted)[]) into[key] += counted[key] * share;
      bins.set(bin, into);
    }
  };

  for (const entry of entries()) {
    if (entry.kind !== "decision") continue;
    const { observation } = entry;
    startMs ??= observation.nowMs;
    endMs = observation.nowMs;
    for (const [id, readings] of readingsOf(observation)) {
      for (const [atMs, reading] of [...readings].sort(([a], [b]) => a - b)) {
        if (reading.running === undefined && reading.waiting === undefined) continue;
        const before = last.get(id) ?? bornAt(observation, id, startMs);
        if (before !== null && atMs <= before.atMs) continue;
        last.set(id, { atMs, reading });
        if (before !== null) add(before.atMs, atMs, difference(before.reading, reading));
      }
    }
  }
  if (startMs !== null && last.size === 0) addRates(entries(), add);
  return startMs === null ? [] : stretches(bins, startMs, endMs);
}

/** The endpoint's own rates, as a Prometheus server gives them: each speaks of the time since the one before, of a minute at most. */
function addRates(entries: Iterable<Entry>, add: (fromMs: Ms, toMs: Ms, counted: Counted) => void): void {
  let beforeMs: Ms | null = null;
  for (const entry of entries) {
    if (entry.kind !== "decision") continue;
    const { nowMs, series } = entry.observation;
    const rate = (name: string): number | null => {
      const one = series.find(({ name: signal, subject }) => signal === name && subject.kind === "endpoint");
      const isNew = one?.latest !== null && one?.latest !== undefined && one.fault === null && one.latest.atMs > nowMs - longestRateMs;
      return isNew && typeof one.latest?.value === "number" ? one.latest.value : null;
    };
    const fromMs = Math.max(beforeMs ?? nowMs, nowMs - longestRateMs);
    beforeMs = nowMs;
    const requests = rate("request_rate");
    if (requests === null || fromMs === nowMs) continue;
    const seconds = (nowMs - fromMs) / 1000;
    add(fromMs, nowMs, {
      requests: requests * seconds,
      finished: requests * seconds,
      promptTokens: (rate("prompt_tokens_per_second") ?? 0) * seconds,
      outputTokens: (rate("output_tokens_per_second") ?? 0) * seconds,
      hitTokens: 0,
    });
  }
}

/** Of each replica, what one look at its page said: samples of one look have one time. */
function readingsOf({ series }: Observation): ReadonlyMap<string, ReadonlyMap<Ms, Reading>> {
  const all = new Map<string, Map<Ms, Reading>>();
  for (const { name, subject, samples } of series) {
    if (subject.kind !== "replica" || !([...counterNames, ...gaugeNames] as readonly string[]).includes(name)) continue;
    const readings = all.get(subject.id) ?? new Map<Ms, Reading>();
    all.set(subject.id, readings);
    for (const { atMs, value } of samples as readonly Sample[]) {
      if (typeof value !== "number") continue;
      readings.set(atMs, { ...readings.get(atMs), [name]: value });
    }
  }
  return all;
}

/** A replica that became ready while we watched had counted nothing by then. */
function bornAt({ replicas }: Observation, id: string, startMs: Ms): { atMs: Ms; reading: Reading } | null {
  const readyMs = replicas.find((replica) => replica.id === id)?.entered.ready;
  return readyMs === undefined || readyMs <= startMs ? null : { atMs: readyMs, reading: {} };
}

function difference(before: Reading, after: Reading): Counted {
  const restarted = counterNames.some((name) => (after[name] ?? 0) < (before[name] ?? 0));
  const grown = (name: (typeof counterNames)[number]) => (after[name] ?? 0) - (restarted ? 0 : (before[name] ?? 0));
  const inFlight = (reading: Reading) => (reading.running ?? 0) + (reading.waiting ?? 0);
  const finished = grown("finished");
  return {
    requests: finished + inFlight(after) - (restarted ? 0 : inFlight(before)),
    finished,
    promptTokens: grown("prompt_tokens"),
    outputTokens: grown("gen_tokens"),
    hitTokens: grown("prefix_hits"),
  };
}

function stretches(bins: ReadonlyMap<number, Counted>, startMs: Ms, endMs: Ms): readonly RecordedStretch[] {
  const sum = (from: number, to: number) => {
    const total = nothing();
    for (let bin = from; bin < to; bin++)
      for (const [key, value] of Object.entries(bins.get(bin) ?? {}) as [keyof Counted, number][]) total[key] += value;
    return total;
  };
  const count = Math.max(1, Math.ceil((endMs - startMs) / binMs), ...[...bins.keys()].map((bin) => bin + 1));
  const whole = sum(0, count);
  const ratio = (part: number, of: number, otherwise: number) => (of > 0 ? part / of : otherwise);
  const meanPrompt = ratio(whole.promptTokens, whole.requests, 1);
  const meanOutput = ratio(whole.outputTokens, Math.max(whole.finished, whole.requests), 1);
  const result: { stretch: RecordedStretch; prompt: number; output: number }[] = [];
  let owed = 0;
  for (let window = 0; window < count; window += sizeBins) {
    const within = sum(window, window + sizeBins);
    const prompt = within.requests >= enoughRequests && within.promptTokens > 0 ? within.promptTokens / within.requests : meanPrompt;
    const output = within.finished >= enoughRequests && within.outputTokens > 0 ? within.outputTokens / within.finished : meanOutput;
    for (let bin = window; bin < Math.min(count, window + sizeBins); bin++) {
      owed += bins.get(bin)?.requests ?? 0;
      // A page is not read in one instant, so that a request may be in neither count, and in the next.
      const requests = Math.max(0, Math.floor(owed + 1e-6));
      owed -= requests;
      const stretch: RecordedStretch = {
        ...{ atMs: startMs + bin * binMs, durationMs: binMs, requests },
        promptTokens: { kind: "mean", tokens: prompt, spread: "exponential" },
        outputTokens: { kind: "mean", tokens: output },
        ...(whole.hitTokens > 0 ? { prefixHitShare: Math.min(1, ratio(within.hitTokens, within.promptTokens, 0)) } : {}),
      };
      result.push({ stretch, prompt: prompt * requests, output: output * requests });
    }
  }
  // Prompts are counted when they are read and answers as they come, a little after they arrived: the sums are made right here.
  const scale = (of: "prompt" | "output", tokens: number) =>
    ratio(
      tokens,
      result.reduce((total, one) => total + one[of], 0),
      1,
    );
  const [prompts, outputs] = [scale("prompt", whole.promptTokens), scale("output", whole.outputTokens)];
  const scaled = (sizes: RecordedStretch["promptTokens"], by: number) =>
    sizes.kind === "mean" ? { ...sizes, tokens: sizes.tokens * by } : sizes;
  return result.map(({ stretch }) => ({
    ...stretch,
    promptTokens: scaled(stretch.promptTokens, prompts),
    outputTokens: scaled(stretch.outputTokens, outputs),
  }));
}
