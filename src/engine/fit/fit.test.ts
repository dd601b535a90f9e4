import fc from "fast-check";
import { expect, it } from "vitest";
import { iterationMs, prefillAttentionMs } from "../iteration.ts";
import { type EngineProfile, findProfile } from "../profiles.ts";
import { fitProfile, parseStretches, type Stretch } from "./index.ts";

const facts = { model: "m", gpu: "g", tp: 1, kvCapacityTokens: 1000 };
const truth = findProfile("8B");

/** One iteration as an engine of this profile has it. */
const iteration = (profile: EngineProfile, prefillTokens: number, seqs: number, ctx: number, before = 0, noise = 1): Stretch => ({
  durationMs: noise * (iterationMs(profile, { prefillTokens, seqs, ctx }) + prefillAttentionMs(profile, prefillTokens, before)),
  iterations: 1,
  prefillTokens,
  seqs,
  ctx,
  attentionPairs: prefillTokens * before,
  from: "test",
});
const grid = (profile: EngineProfile, noise: () => number = () => 1) => [
  ...[1, 4, 16, 64].flatMap((seqs) => [100, 1000, 4000].map((each) => iteration(profile, 0, seqs, seqs * each, 0, noise()))),
  ...[64, 512, 2048].flatMap((prefill) =>
    [0, 8, 32].flatMap((seqs) =>
      [200, 2000].map((each) => iteration(profile, prefill, seqs, seqs * each, each === 2000 ? 4096 : 0, noise())),
    ),
  ),
];
const coefficients = ({
  decAMs,
  decCUsPerSeq,
  decDUsPer1kCtx,
  mixAMs,
  mixBUsPerPrefillToken,
  mixCUsPerSeq,
  mixDUsPer1kCtx,
}: EngineProfile) => [decAMs, decCUsPerSeq, decDUsPer1kCtx, mixAMs, mixBUsPerPrefillToken, mixCUsPerSeq, mixDUsPer1kCtx];

it("finds the coefficients of any engine from exact iteration times, attention to earlier chunks included", () => {
  const positive = (max: number) => fc.double({ min: max / 100, max, noNaN: true });
  fc.assert(
    fc.property(
      fc.tuple(positive(40), positive(100), positive(200), positive(40), positive(100), positive(100), positive(200)),
      ([decAMs, decCUsPerSeq, decDUsPer1kCtx, mixAMs, mixBUsPerPrefillToken, mixCUsPerSeq, mixDUsPer1kCtx]) => {
        const profile = { ...truth, decAMs, decCUsPerSeq, decDUsPer1kCtx, mixAMs, mixBUsPerPrefillToken, mixCUsPerSeq, mixDUsPer1kCtx };
        const { profile: found, error } = fitProfile(grid(profile), facts);
        for (const [at, value] of coefficients(found).entries()) expect(value).toBeCloseTo(coefficients(profile)[at]!, 3);
        expect(prefillAttentionMs(found, 512, 3000)).toBeCloseTo(prefillAttentionMs(profile, 512, 3000), 5);
        expect(error.decode!.p95).toBeLessThan(1e-6);
      },
    ),
    { numRuns: 40 },
  );
});

it("a stall in one of twenty stretches moves it by little, and shows in p95 and not in the median", () => {
  let turn = 0;
  const { profile, error } = fitProfile(
    grid(truth, () => (++turn % 11 === 0 ? 3 : 1 + 0.02 * Math.sin(turn))),
    facts,
  );
  expect(
    Math.abs(
      iterationMs(profile, { prefillTokens: 0, seqs: 20, ctx: 20_000 }) / iterationMs(truth, { prefillTokens: 0, seqs: 20, ctx: 20_000 }) -
        1,
    ),
  ).toBeLessThan(0.03);
  expect(error.mixed!.median).toBeLessThan(0.03);
  expect(error.mixed!.p95).toBeGreaterThan(0.3);
});

it("tells by stretches left out how well it foretells", () => {
  expect(fitProfile(grid(truth), facts).heldOut).toMatchObject({ stretches: 30 });
  expect(fitProfile(grid(truth), facts).heldOut!.p95).toBeLessThan(1e-6);
  expect(
    fitProfile(
      grid(truth).filter((_, at) => at % 2 === 0),
      facts,
    ).heldOut,
  ).toBeNull();
});

it("what mixed iterations do not tell apart is as in decoding, and is named", () => {
  const prompts = [64, 512, 2048].map((prefill) => iteration(truth, prefill, 0, 0));
  const { profile, assumed } = fitProfile([...grid(truth).slice(0, 12), ...prompts], facts);
  expect(profile.mixCUsPerSeq).toBeCloseTo(truth.decCUsPerSeq, 6);
  expect(profile.mixAMs).toBeCloseTo(truth.mixAMs, 6);
  expect(assumed.join("; ")).toMatch(/mixCUsPerSeq.*mixDUsPer1kCtx/);
});

it("one number of sequences leaves their cost open instead of guessing", () => {
  const { assumed } = fitProfile([...[100, 1000].map((ctx) => iteration(truth, 0, 4, ctx)), iteration(truth, 512, 0, 0)], facts);
  expect(assumed[0]).toContain("decCUsPerSeq");
});

it("sums that hold both kinds get one form, by which both are told", () => {
  const minutes = [2, 5, 9, 14].flatMap((seqs) =>
    [0, 4000, 20_000].map((prefill): Stretch => {
      const ctx = seqs * (300 + prefill / 10);
      return {
        durationMs: 1000 * (12 + 0.05 * seqs + 1e-4 * ctx) + 0.08 * prefill,
        iterations: 1000,
        prefillTokens: prefill,
        seqs: 1000 * seqs,
        ctx: 1000 * ctx,
        attentionPairs: 0,
        from: "minute",
      };
    }),
  );
  const { profile } = fitProfile(minutes, facts, { kinds: "one" });
  expect(profile.decAMs).toBeCloseTo(12, 4);
  expect(profile.mixAMs).toBeCloseTo(12, 4);
  expect(profile.mixBUsPerPrefillToken).toBeCloseTo(80, 3);
  expect(profile.decCUsPerSeq).toBeCloseTo(50, 3);
  expect(profile.decDUsPer1kCtx).toBeCloseTo(100, 3);
});

it.each([
  ["without prefill", grid(truth).slice(12)],
  ["with prefill", grid(truth).slice(0, 12)],
])("refuses measurements that hold none %s", (missing, stretches) => {
  expect(() => fitProfile(stretches, facts)).toThrow(`hold none ${missing}`);
});

it("reads iteration times of a CSV in any order of columns, and names what is wrong by line", () => {
  const text = "# ours\nseqs,ctx_tokens,duration_ms,gpu,prefill_tokens\n2,300,11.5,a100,0\r\n\n0,0,40,a100,512\n";
  expect(parseStretches(text, "t.csv")).toEqual([
    { durationMs: 11.5, iterations: 1, prefillTokens: 0, seqs: 2, ctx: 300, attentionPairs: 0, from: "line 3" },
    { durationMs: 40, iterations: 1, prefillTokens: 512, seqs: 0, ctx: 0, attentionPairs: 0, from: "line 5" },
  ]);
  expect(() => parseStretches("", "t.csv")).toThrow("t.csv:1: is empty");
  expect(() => parseStretches("seqs,duration_ms\n", "t.csv")).toThrow("t.csv:1: has no column prefill_tokens, ctx_tokens");
  expect(() => parseStretches("duration_ms,prefill_tokens,seqs,ctx_tokens\n1,x,1,1", "t.csv")).toThrow('t.csv:2: prefill_tokens is "x"');
  expect(() => parseStretches("duration_ms,prefill_tokens,seqs,ctx_tokens\n0,1,1,1", "t.csv")).toThrow("t.csv:2: duration_ms is 0");
});
