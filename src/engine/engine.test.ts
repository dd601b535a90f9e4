import fc from "fast-check";
import { expect, it } from "vitest";
import { createEngine, type EngineConfig, findProfile, iterationMs, PROFILES } from "./index.ts";

const profile = findProfile("8B");
const config: EngineConfig = {
  profile,
  maxNumSeqs: 256,
  maxNumBatchedTokens: 2048,
  kvCapacityTokens: profile.kvCapacityTokens,
  watermark: 0.01,
  overheadMs: 1.5,
};

/** Runs until nothing is left; gives the time of each token by request. */
function run(
  engine: ReturnType<typeof createEngine>,
  arrivals: readonly { atMs: number; id: number; prompt: number; output: number; hit?: number }[],
) {
  const times = new Map<number, number[]>();
  const kv: number[] = [];
  let nowMs = 0;
  let next = 0;
  for (let guard = 0; guard < 1_000_000; guard++) {
    for (let one = arrivals[next]; one !== undefined && one.atMs <= nowMs; one = arrivals[++next]) {
      expect(engine.submit({ id: one.id, promptTokens: one.prompt, outputTokens: one.output, prefixHitTokens: one.hit ?? 0 }, nowMs)).toBe(
        true,
      );
    }
    const begun = engine.begin(nowMs);
    if (begun === null) {
      const following = arrivals[next];
      if (following === undefined) return { times, nowMs, kv };
      nowMs = following.atMs;
      continue;
    }
    expect(begun.tokens).toBeLessThanOrEqual(config.maxNumBatchedTokens);
    kv.push(engine.kvUsed);
    nowMs += begun.durationMs;
    for (const { id, nth } of engine.finish()) {
      const list = times.get(id) ?? [];
      list.push(nowMs);
      times.set(id, list);
      expect(nth).toBe(list.length);
    }
  }
  throw new Error("never came to an end");
}

it("one request takes its prefill and one decode iteration a further token", () => {
  const { times } = run(createEngine(config), [{ atMs: 0, id: 1, prompt: 1000, output: 3 }]);
  const prefill = iterationMs(profile, { prefillTokens: 1000, seqs: 0, ctx: 0 }) + 1.5;
  const first = iterationMs(profile, { prefillTokens: 0, seqs: 1, ctx: 1000 }) + 1.5;
  const second = iterationMs(profile, { prefillTokens: 0, seqs: 1, ctx: 1001 }) + 1.5;
  expect(times.get(1)).toEqual([prefill, prefill + first, prefill + first + second].map((ms) => expect.closeTo(ms, 6)));
});

it("a prompt longer than the budget is cut into chunks, and its first token comes after the last", () => {
  const { times } = run(createEngine(config), [{ atMs: 0, id: 1, prompt: 5000, output: 1 }]);
  const chunk = (tokens: number) => iterationMs(profile, { prefillTokens: tokens, seqs: 0, ctx: 0 }) + 1.5;
  expect(times.get(1)).toEqual([expect.closeTo(2 * chunk(2048) + chunk(904), 6)]);
});

it("a batch decodes together: its tokens come at the same times", () => {
  const { times } = run(
    createEngine(config),
    Array.from({ length: 8 }, (_, id) => ({ atMs: 0, id, prompt: 100, output: 20 })),
  );
  for (const list of times.values()) expect(list).toEqual(times.get(0));
});

it("decodes go first: a prefill beside them gets what the budget leaves", () => {
  const engine = createEngine(config);
  for (let id = 0; id < 48; id++) engine.submit({ id, promptTokens: 10, outputTokens: 1000, prefixHitTokens: 0 }, 0);
  engine.begin(0);
  engine.finish();
  engine.submit({ id: 99, promptTokens: 10_000, outputTokens: 1, prefixHitTokens: 0 }, 1);
  expect(engine.begin(1)).toMatchObject({ tokens: 2048, prefillTokens: 2000 });
  expect(engine.finish()).toHaveLength(48);
});

it("prefix hits are not prefilled, but occupy the cache", () => {
  const engine = createEngine(config);
  engine.submit({ id: 1, promptTokens: 1600, outputTokens: 2, prefixHitTokens: 1024 }, 0);
  expect(engine.begin(0)).toMatchObject({ prefillTokens: 576 });
  expect(engine.kvUsed).toBeCloseTo(100 / Math.floor(config.kvCapacityTokens / 16), 9);
  expect(engine.counters.prefixHits).toBe(1024);
});

it("a full cache preempts the request admitted last, which computes all of it again", () => {
  const engine = createEngine({ ...config, kvCapacityTokens: 1600, watermark: 0 });
  const { times } = run(engine, [
    { atMs: 0, id: 1, prompt: 700, output: 300 },
    { atMs: 0, id: 2, prompt: 700, output: 300 },
  ]);
  expect(engine.counters.preemptions).toBeGreaterThan(0);
  expect(times.get(1)).toHaveLength(300);
  expect(times.get(2)).toHaveLength(300);
  expect((times.get(2) as number[]).at(-1)).toBeGreaterThan((times.get(1) as number[]).at(-1) as number);
});

it("a request that can never fit is refused", () => {
  expect(
    createEngine({ ...config, kvCapacityTokens: 160 }).submit({ id: 1, promptTokens: 150, outputTokens: 50, prefixHitTokens: 0 }, 0),
  ).toBe(false);
});

it("any mix of requests is served whole, within the cache, and leaves nothing behind; cancelled ones leave at once", () => {
  const request = fc.record({
    gapMs: fc.integer({ min: 0, max: 400 }),
    prompt: fc.integer({ min: 1, max: 3000 }),
    output: fc.integer({ min: 1, max: 120 }),
  });
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 25 }), fc.integer({ min: 3200, max: 9000 }), (requests, kvCapacityTokens) => {
      const engine = createEngine({ ...config, kvCapacityTokens, maxNumSeqs: 8 });
      let atMs = 0;
      const arrivals = requests.map(({ gapMs, prompt, output }, id) => {
        atMs += gapMs;
        return { atMs, id, prompt, output };
      });
      const { times, kv } = run(engine, arrivals);
      expect(Math.max(...kv)).toBeLessThanOrEqual(1);
      for (const { id, output } of arrivals) expect(times.get(id)).toHaveLength(output);
      expect(engine.counters.genTokens).toBe(requests.reduce((sum, { output }) => sum + output, 0));
      expect(engine.counters.promptTokens).toBe(requests.reduce((sum, { prompt }) => sum + prompt, 0));
      expect({ kv: engine.kvUsed, running: engine.running, waiting: engine.waiting }).toEqual({ kv: 0, running: 0, waiting: 0 });
      engine.submit({ id: 1000, promptTokens: 500, outputTokens: 9, prefixHitTokens: 0 }, 0);
      engine.begin(0);
      expect(engine.cancel(1000)).toBe(true);
      expect(engine.finish()).toEqual([]);
      expect(engine.kvUsed).toBe(0);
      expect(engine.cancel(1000)).toBe(false);
    }),
    { numRuns: 60 },
  );
});

it("profiles are found by short and full name, and an unknown one lists the choices", () => {
  expect(findProfile("llama-3.1-8b/H100-80g/1")).toMatchObject({ gpu: "h100-80g", source: "roofline" });
  expect(PROFILES.length).toBe(29);
  expect(() => findProfile("9B")).toThrow(/8B, 70B, .*Mixtral/);
});
