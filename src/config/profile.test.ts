import { expect, it } from "vitest";
import { stringify } from "yaml";
import { findProfile, fitProfile, isProfileFile, iterationMs, prefillAttentionMs, type Stretch } from "../engine/index.ts";
import { parseProfile, profileDocument } from "./index.ts";

const truth = findProfile("8B");
const stretch = (prefillTokens: number, seqs: number, ctx: number, before: number): Stretch => ({
  durationMs: iterationMs(truth, { prefillTokens, seqs, ctx }) + prefillAttentionMs(truth, prefillTokens, before),
  iterations: 1,
  prefillTokens,
  seqs,
  ctx,
  attentionPairs: prefillTokens * before,
  from: "test",
});
const stretches = [1, 8, 32].flatMap((seqs) =>
  [300, 2000].flatMap((each) => [0, 256, 2048].map((prefill) => stretch(prefill, seqs, seqs * each, prefill * (each === 300 ? 0 : 2)))),
);
const facts = { model: "m", gpu: "a100-80g", tp: 2, kvCapacityTokens: 9000, limits: { maxNumSeqs: 4, maxNumBatchedTokens: 512 } };
const fit = fitProfile(stretches, facts);
const document = profileDocument(fit, { name: "m", from: "a test", at: "2026-11-24T00:00:00Z", notes: ["one"] });
const text = stringify(document);

it("a fitted profile reads back from its file, to six digits", () => {
  const back = parseProfile({ file: "m.yaml", text });
  expect(back).toMatchObject({ source: "measured", tp: 2, gpu: "a100-80g", kvCapacityTokens: 9000, limits: facts.limits, overheadMs: 0 });
  const work = { prefillTokens: 700, seqs: 20, ctx: 9000 };
  expect(iterationMs(back, work) / iterationMs(truth, work)).toBeCloseTo(1, 4);
  expect(prefillAttentionMs(back, 700, 5000) / prefillAttentionMs(truth, 700, 5000)).toBeCloseTo(1, 4);
});

it.each([
  ["a coefficient below 0", text.replace(/baseMs: .*/, "baseMs: -1"), /p\.yaml:10:\d+ spec\.decode\.baseMs: is below 0/],
  ["a key that is none", text.replace("kvCapacityTokens", "kvTokens"), /spec\.kvTokens: is not a known key/],
  ["another kind of document", "kind: Endpoint", /kind/],
])("names %s by line", (_, wrong, message) => expect(() => parseProfile({ file: "p.yaml", text: wrong })).toThrow(message));

it("tells a file from a name by its ending", () => {
  expect(["./p.yaml", "p.json", "/x/p.YML"].map(isProfileFile)).toEqual([true, true, true]);
  expect(["8B", "Llama-3.1-8B/h100-80g/1"].map(isProfileFile)).toEqual([false, false]);
});
