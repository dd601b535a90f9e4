import { expect, it } from "vitest";
import { createEngine, type EngineSequence, findProfile, fitProfile, iterationMs } from "../engine/index.ts";
import type { ProbeCell, SeenRequest } from "./probe.ts";
import { findingsOf } from "./probe-stretches.ts";

const profile = findProfile("8B");
const config = { profile, maxNumSeqs: 24, maxNumBatchedTokens: 1024, kvCapacityTokens: 200_000, watermark: 0, overheadMs: 0 };

type Ask = { readonly atMs: number; readonly promptTokens: number; readonly outputTokens: number };
/** What clients see of an engine that gives each token at the end of its iteration. */
function seen(asks: readonly Ask[]): readonly SeenRequest[] {
  const engine = createEngine(config);
  const open: { readonly ask: Ask; readonly sequence: EngineSequence; readonly tokensAtMs: number[] }[] = [];
  let next = 0;
  for (;;) {
    const atMs = Math.min(engine.nextIterationMs() ?? Number.POSITIVE_INFINITY, asks[next]?.atMs ?? Number.POSITIVE_INFINITY);
    if (!Number.isFinite(atMs)) break;
    engine.advance(atMs, {});
    for (const { sequence, tokensAtMs } of open) while (tokensAtMs.length < engine.generated(sequence)) tokensAtMs.push(atMs);
    for (let ask = asks[next]; ask !== undefined && ask.atMs <= atMs; ask = asks[++next])
      open.push({ ask, sequence: engine.submit({ ...ask, prefixHitTokens: 0 }, atMs) as EngineSequence, tokensAtMs: [] });
  }
  return open.map(({ ask, tokensAtMs }) => ({ promptTokens: ask.promptTokens, startedMs: ask.atMs, tokensAtMs }));
}

const many = (level: number, promptTokens: number, outputTokens: number) =>
  Array.from({ length: level }, () => ({ atMs: 0, promptTokens, outputTokens }));
const together = (level: number, promptTokens: number): ProbeCell => ({
  kind: level === 1 ? "alone" : "together",
  level,
  streams: seen(many(level, promptTokens, 40)),
  prompts: [],
});
const beside = (level: number, promptTokens: number): ProbeCell => {
  const all = seen([...many(level, 64, 200), { atMs: 701.3, promptTokens, outputTokens: 2 }]);
  return { kind: "beside", level, streams: all.slice(0, level), prompts: all.slice(level) };
};
const cells = [
  ...[64, 512, 3000].map((prompt) => together(1, prompt)),
  ...[4, 16].flatMap((level) => [64, 512].map((prompt) => together(level, prompt))),
  ...[1, 4, 16].flatMap((level) => [64, 512, 3000].map((prompt) => beside(level, prompt))),
];

it("finds the engine again that clients saw", () => {
  const found = findingsOf({ cells });
  expect(found).toMatchObject({ maxNumBatchedTokens: 1024, maxNumSeqs: null, mostAtOnce: 16 });
  const { profile: fitted, error } = fitProfile(found.stretches, { model: "m", gpu: "", tp: 1, kvCapacityTokens: 1 });
  for (const work of [
    { prefillTokens: 0, seqs: 8, ctx: 4000 },
    { prefillTokens: 600, seqs: 8, ctx: 4000 },
  ])
    expect(Math.abs(iterationMs(fitted, work) / iterationMs(profile, work) - 1)).toBeLessThan(0.02);
  expect(error.decode!.p95).toBeLessThan(0.01);
});

it("sees how many run at once where more were asked for", () => {
  expect(findingsOf({ cells: [together(16, 64), together(40, 64)] }).maxNumSeqs).toBe(24);
});

it("a stream that ended before a prompt had its token shows nothing of it", () => {
  const cell = beside(1, 64);
  const cut = { ...cell, streams: cell.streams.map((stream) => ({ ...stream, tokensAtMs: stream.tokensAtMs.slice(0, 5) })) };
  expect(findingsOf({ cells: [cut] }).stretches).toEqual([]);
});
