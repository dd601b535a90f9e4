import type { Ms, Observation, Replica, Sample } from "../../model/index.ts";
import type { Reader } from "../reading.ts";
import { type EngineFit, learnBatch, learnStretch } from "./capacity.ts";

/** Counters of each ready replica where its present stretch began, and its running batch summed over the looks since. */
export type Counters = {
  readonly [replica: string]: {
    readonly atMs: Ms;
    readonly prompt: number;
    readonly gen: number;
    readonly hits: number;
    readonly running: number;
    readonly looks: number;
    readonly lookedMs: Ms;
  };
};

/** One stretch gives one sample: the running batch is seen at moments only, and the mean of few moments is noise. */
const STRETCH_MS = 20_000;
/** Replicas looked at per decision, in the order of their ids: what they teach is the same for all. */
const MOST_REPLICAS = 16;

/** What ready replicas report: a sample of the engine's speed from each whose counters moved since the last look. */
export function learnFromReplicas(
  fit: EngineFit,
  counters: Counters,
  now: Observation,
  reader: Reader,
  ready: readonly Replica[],
): { readonly fit: EngineFit; readonly counters: Counters; readonly samples: number } {
  let [learned, samples] = [fit, 0];
  const kept: Record<string, Counters[string]> = {};
  const { fresh, samples: runningSamples } = ofReplicas(now);
  const numberOf = (name: string, id: string) => {
    const reading = reader.replica(name, id);
    return typeof reading === "number" ? reading : null;
  };
  for (const { id } of ready.toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, MOST_REPLICAS)) {
    const [running, waiting] = [numberOf("running", id), numberOf("waiting", id)];
    const full = waiting !== null && waiting >= 2 ? running : null;
    learned = learnBatch(
      learned,
      numberOf("kv_used", id),
      running,
      numberOf("max_running", id) ?? (learned.maxRunning === null ? full : null),
    );
    const [prompt, gen] = [numberOf("prompt_tokens", id), numberOf("gen_tokens", id)];
    const before = counters[id];
    if (prompt === null || gen === null) {
      if (before !== undefined) kept[id] = before;
      continue;
    }
    const atMs = fresh.get(id) ?? now.nowMs;
    const hits = numberOf("prefix_hits", id) ?? 0;
    const seen = { atMs, prompt, gen, hits, running: 0, looks: 0, lookedMs: atMs };
    if (before === undefined || gen < before.gen || prompt < before.prompt || running === null) {
      kept[id] = seen;
      continue;
    }
    const moments = atMs > before.lookedMs ? runningSince(runningSamples.get(id) ?? [], before.lookedMs, running) : [];
    const total = before.running + moments.reduce((sum, value) => sum + value, 0);
    const looks = before.looks + moments.length;
    if (atMs - before.atMs < STRETCH_MS || looks === 0) {
      kept[id] = { ...before, running: total, looks, lookedMs: atMs };
      continue;
    }
    kept[id] = seen;
    const elapsed = (atMs - before.atMs) / 1000;
    const prefill = Math.max(0, prompt - before.prompt - Math.max(0, hits - before.hits)) / elapsed;
    learned = learnStretch(learned, elapsed, looks, { running: total / looks, prefill, output: (gen - before.gen) / elapsed });
    samples++;
  }
  return { fit: learned, counters: kept, samples };
}

/** Of each replica: when its output counter was read, and the samples of its running batch. */
function ofReplicas(now: Observation) {
  const fresh = new Map<string, Ms>();
  const samples = new Map<string, readonly Sample[]>();
  for (const { name, subject, latest, samples: own } of now.series) {
    if (subject.kind !== "replica") continue;
    if (name === "gen_tokens" && latest !== null) fresh.set(subject.id, Math.max(latest.atMs, fresh.get(subject.id) ?? 0));
    else if (name === "running") samples.set(subject.id, [...(samples.get(subject.id) ?? []), ...own]);
  }
  return { fresh, samples };
}

/** What the running batch was at every sample since the last look; at least its newest value. */
function runningSince(samples: readonly Sample[], sinceMs: Ms, latest: number): readonly number[] {
  const values: number[] = [];
  for (const { atMs, value } of samples) if (atMs > sinceMs && typeof value === "number" && Number.isFinite(value)) values.push(value);
  return values.length === 0 ? [latest] : values.sort((a, b) => a - b);
}
