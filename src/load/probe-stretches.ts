import type { Stretch } from "../engine/index.ts";
import type { Ms } from "../model/index.ts";
import type { Probe, ProbeCell, SeenRequest } from "./probe.ts";

/** What a probe shows of an engine. */
export interface ProbeFindings {
  readonly stretches: readonly Stretch[];
  /** Streams that were answered at once where more were asked for; null: every level was. */
  readonly maxNumSeqs: number | null;
  /** Tokens of one iteration; null: no prompt came in more than one chunk. */
  readonly maxNumBatchedTokens: number | null;
  readonly mostAtOnce: number;
  readonly longestPrompt: number;
}

/** A token that came so small a share of a gap early came with the iteration that it is next to. */
const nearness = 0.25;
const fewestGaps = 4;
/** Below this share of the last one, an iteration is one without a chunk of the prompt. */
const shorter = 0.9;

/**
 * Stretches of iterations from what clients saw: between two tokens of a stream lies one iteration, in which every running stream got a
 * token; while a prompt waits for its first token, its chunks are in those iterations. Pure.
 */
export function findingsOf({ cells }: Pick<Probe, "cells">): ProbeFindings {
  const beside = cells.filter(({ kind }) => kind === "beside").flatMap((cell) => cell.prompts.flatMap((prompt) => besideOf(cell, prompt)));
  const budget = budgetOf(beside);
  const chunkBeside = ({ prefillTokens, iterations, seqs }: Stretch) =>
    budget === null ? Math.ceil(prefillTokens / iterations) : budget - seqs / iterations;
  const alone = cells.filter(({ kind }) => kind === "alone");
  return {
    stretches: [
      ...cells.flatMap(decodingOf),
      ...alone.flatMap(({ streams }) => streams.flatMap((seen) => aloneOf(seen, budget))),
      ...beside.map((stretch) => ({ ...stretch, attentionPairs: pairsOf(stretch.prefillTokens, chunkBeside(stretch)) })),
    ],
    maxNumSeqs: mostSeen(cells),
    maxNumBatchedTokens: budget,
    mostAtOnce: Math.max(0, ...cells.map(atOnce)),
    longestPrompt: Math.max(
      0,
      ...cells.flatMap(({ streams, prompts }) => [...streams, ...prompts]).map(({ promptTokens }) => promptTokens),
    ),
  };
}

const firstOf = ({ tokensAtMs }: SeenRequest): Ms => tokensAtMs[0] ?? Number.POSITIVE_INFINITY;
const lastOf = ({ tokensAtMs }: SeenRequest): Ms => tokensAtMs.at(-1) ?? Number.NEGATIVE_INFINITY;
const named = (level: number, tokens: number) => `${level} at once, ${tokens}-token prompts`;

/** The time in which all streams of a cell, and nothing else, were being decoded; by the stream that shows most of it. */
function decodingOf({ kind, streams, level }: ProbeCell): readonly Stretch[] {
  if (kind === "beside" || streams.length === 0) return [];
  const [fromMs, toMs] = [Math.max(...streams.map(firstOf)), Math.min(...streams.map(lastOf))];
  const shown = streams
    .map(({ tokensAtMs }) => tokensAtMs.filter((atMs) => atMs >= fromMs && atMs <= toMs))
    .reduce((most, times) => (times.length > most.length ? times : most), []);
  const iterations = shown.length - 1;
  if (iterations < fewestGaps) return [];
  const startMs = shown[0]!;
  const context = contextAt(streams, startMs);
  return [
    {
      durationMs: shown.at(-1)! - startMs,
      iterations,
      prefillTokens: 0,
      seqs: iterations * streams.length,
      ctx: iterations * context + (streams.length * iterations * (iterations - 1)) / 2,
      attentionPairs: 0,
      from: named(level, streams[0]!.promptTokens),
    },
  ];
}

/** Context tokens of the iteration that begins at `atMs`: the newest token of each stream is not in yet. */
const contextAt = (streams: readonly SeenRequest[], atMs: Ms): number =>
  streams.reduce(
    (sum, { promptTokens, tokensAtMs }) => sum + promptTokens + Math.max(0, tokensAtMs.filter((token) => token <= atMs).length - 1),
    0,
  );

function aloneOf(seen: SeenRequest, budget: number | null): readonly Stretch[] {
  const { promptTokens, startedMs, tokensAtMs } = seen;
  if (tokensAtMs.length === 0) return [];
  const iterations = budget === null ? 1 : Math.ceil(promptTokens / budget);
  return [
    {
      durationMs: firstOf(seen) - startedMs,
      iterations,
      prefillTokens: promptTokens,
      seqs: 0,
      ctx: 0,
      attentionPairs: pairsOf(promptTokens, budget ?? promptTokens),
      from: `${promptTokens}-token prompt alone`,
    },
  ];
}

/** Tokens × tokens before them, over the chunks of a prompt. */
function pairsOf(promptTokens: number, chunk: number): number {
  let pairs = 0;
  for (let before = Math.max(1, chunk); before < promptTokens; before += Math.max(1, chunk))
    pairs += Math.min(chunk, promptTokens - before) * before;
  return pairs;
}

/**
 * The iterations that a prompt was prefilled in, by a stream beside it. The one under way as it came is left out: the prompt was not in it; nor
 * was it in the next if it came to the engine a moment too late, which shows in that one being shorter than the last: of chunks only the
 * last may be short.
 */
function besideOf({ streams, level }: ProbeCell, prompt: SeenRequest): readonly Stretch[] {
  const firstMs = firstOf(prompt);
  const running = streams.filter((stream) => firstOf(stream) <= prompt.startedMs && lastOf(stream) >= firstMs);
  if (running.length < streams.length || running.length === 0) return [];
  const { tokensAtMs } = running[0]!;
  const underWay = tokensAtMs.findIndex((atMs) => atMs > prompt.startedMs);
  const gaps = tokensAtMs.slice(1).map((atMs, at) => atMs - tokensAtMs[at]!);
  const usualMs = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0;
  const last = tokensAtMs.findIndex((atMs) => atMs >= firstMs - nearness * usualMs);
  if (underWay < 0 || last <= underWay) return [];
  let start = underWay;
  while (start + 1 < last && gaps[start]! < shorter * gaps[last - 1]!) start++;
  const iterations = last - start;
  const startMs = tokensAtMs[start]!;
  const durationMs = tokensAtMs[last]! - startMs;
  if (!(durationMs > 0)) return [];
  return [
    {
      durationMs,
      iterations,
      prefillTokens: prompt.promptTokens,
      seqs: iterations * running.length,
      ctx: iterations * contextAt(running, startMs) + (running.length * iterations * (iterations - 1)) / 2,
      attentionPairs: 0,
      from: `${prompt.promptTokens}-token prompt beside ${level}`,
    },
  ];
}

/** k chunks of n tokens beside s streams: the budget is at least n / k + s and below n / (k − 1) + s. A power of two in there is taken. */
function budgetOf(beside: readonly Stretch[]): number | null {
  const chunked = beside.filter(({ iterations }) => iterations > 1);
  const several = groupBy(chunked, ({ from }) => from).filter((group) => group.length > 0);
  let [least, most] = [0, Number.POSITIVE_INFINITY];
  for (const group of several) {
    const sorted = group.toSorted((a, b) => a.iterations - b.iterations);
    const { iterations, prefillTokens, seqs } = sorted[Math.floor(sorted.length / 2)]!;
    // One stretch in which a stall looked like a chunk does not count.
    if (group.length < beside.filter(({ from }) => from === group[0]!.from).length / 2) continue;
    const streams = seqs / iterations;
    least = Math.max(least, prefillTokens / iterations + streams);
    most = Math.min(most, prefillTokens / (iterations - 1) + streams);
  }
  if (least === 0) return null;
  const power = 2 ** Math.ceil(Math.log2(least * 0.97));
  return power < most * 1.03 ? power : Math.ceil(least);
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value]);
  return [...groups.values()];
}

/** Most streams of a cell that were being answered at one moment. */
function atOnce({ streams }: ProbeCell): number {
  return streams.reduce((most, one) => {
    const atMs = firstOf(one);
    return Math.max(most, streams.filter((other) => firstOf(other) <= atMs && lastOf(other) >= atMs).length);
  }, 0);
}

function mostSeen(cells: readonly ProbeCell[]): number | null {
  const together = cells.filter(({ kind }) => kind === "together");
  const most = Math.max(0, ...together.map(atOnce));
  const level = Math.max(0, ...together.map((cell) => cell.level));
  return most < level && most > 0 ? most : null;
}
