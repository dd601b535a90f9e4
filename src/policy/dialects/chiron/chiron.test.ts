import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest } from "../../../model/index.ts";
import { createFleet, llmEndpoint, llmPool, observe, runFleet, shuffled, silenced, slot } from "../llm/fleet.fixture.ts";
import {
  advanceGroups,
  batchBackpressure,
  batchWaitSeconds,
  CHIRON_DEFAULTS,
  CHIRON_VERSIONS,
  type ChironSpec,
  chironDialect,
  chironPolicy,
  instancesForBackpressure,
  instancesForGroups,
  interactiveBackpressure,
  kindOf,
  nextBatchSize,
  stepBatch,
  stepInteractive,
} from "./index.ts";

describe("interactive backpressure", () => {
  it.each([
    { rule: "one more above the threshold", busy: 7, total: 10, change: 1, instances: 10 },
    { rule: "one fewer at it: there is no band", busy: 6, total: 10, change: -1, instances: 10 },
    { rule: "none below the least", busy: 0, total: 2, change: 0, instances: 2 },
    { rule: "one where there is none", busy: 0, total: 0, change: 1, instances: 0 },
  ])("$rule", ({ busy, total, change, instances }) => {
    expect(stepInteractive(interactiveBackpressure(busy, total), 0.6, instances, 2)).toBe(change);
  });
  it("of the paper comes to the threshold at once", () => {
    expect([instancesForBackpressure(6, 0.6), instancesForBackpressure(7, 0.6), instancesForBackpressure(0, 0.6)]).toEqual([10, 12, 0]);
  });
});

describe("batch backpressure", () => {
  const speed = { promptTime: 10, decodeThroughput: 100 };
  const queue = (pendingRequests: number, pendingTokens: number) => ({ pendingRequests, pendingTokens });
  it("waits for prompts one by one, and for tokens of all instances", () => {
    expect(batchWaitSeconds(queue(3, 1000), speed, 2)).toBe(30 + 5);
    expect(batchWaitSeconds(queue(3, 1000), speed, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(batchWaitSeconds(queue(0, 0), speed, 0)).toBe(0);
  });
  it.each([
    { rule: "one more where the wait breaks the objective", pending: queue(3, 9000), instances: 1, change: 1 },
    { rule: "none where it holds", pending: queue(3, 1000), instances: 1, change: 0 },
    { rule: "one from none", pending: queue(1, 1), instances: 0, change: 1 },
    { rule: "one fewer where nothing waits", pending: queue(0, 0), instances: 3, change: -1 },
    { rule: "none of none", pending: queue(0, 0), instances: 0, change: 0 },
  ])("$rule", ({ pending, instances, change }) => {
    expect(stepBatch(pending, speed, 60, instances)).toBe(change);
  });
  const groups = [
    { arrivedMs: 0, requests: 10, tokens: 6000 },
    { arrivedMs: 10_000, requests: 10, tokens: 6000 },
    { arrivedMs: 20_000, requests: 5, tokens: 3000 },
  ];
  it("counts groups that would start after their deadline", () => {
    // Waits of 0, 60 and 120 s on one instance, against deadlines 100, 110 and 120 s after now.
    expect(batchBackpressure(groups, 1, 100, 100, 0)).toBe(0);
    expect(batchBackpressure(groups, 1, 100, 95, 0)).toBe(1);
    expect(batchBackpressure(groups, 0, 100, 100, 0)).toBe(3);
  });
  it("takes the fewest instances that help", () => {
    expect(instancesForGroups(groups, 100, 95, 0, 9)).toBe(2);
    expect(instancesForGroups(groups, 100, 100, 0, 9)).toBe(1);
    expect(instancesForGroups([], 100, 100, 0, 9)).toBe(0);
    // Late already: no number of instances helps that one.
    expect(instancesForGroups([{ arrivedMs: -1e9, requests: 1, tokens: 10 }], 100, 95, 0, 9)).toBe(1);
  });
  it("keeps requests in order: what ends is the oldest", () => {
    const after = advanceGroups(groups, { requests: 4, tokens: 400 }, 12, 85_000, 60_000);
    expect(after).toEqual([
      { arrivedMs: 10_000, requests: 8, tokens: 4800 },
      { arrivedMs: 20_000, requests: 5, tokens: 3000 },
      { arrivedMs: 85_000, requests: 4, tokens: 400 },
    ]);
    expect(advanceGroups(after, { requests: 1, tokens: 50 }, 0, 90_000, 60_000).at(-1)).toEqual({
      arrivedMs: 85_000,
      requests: 5,
      tokens: 450,
    });
    expect(advanceGroups([], { requests: 4, tokens: 400 }, 4, 0, 60_000)).toEqual([]);
  });
});

it("the local loop grows a batch under its objective and cuts it above, at most twofold", () => {
  const seen = (itlMs: number, throughput = 100, lastThroughput = 80) => ({ itlMs, throughput, lastThroughput });
  expect(nextBatchSize(16, seen(25), 50)).toBe(20);
  expect(nextBatchSize(16, seen(100), 50)).toBe(8);
  expect(nextBatchSize(16, seen(25, 50, 100), 50)).toBe(8);
  expect(nextBatchSize(16, seen(1, 100, 1), 50)).toBe(32);
});

it("tells pools by what is stated, else by their names", () => {
  const spec = { ...CHIRON_DEFAULTS, instances: { x: "batch" } } as const;
  expect(["x", "llama-p", "interactive", "llama-d", "batch-1", "llama"].map((name) => kindOf(spec, llmPool(name)))).toEqual([
    "batch",
    "interactive",
    "interactive",
    "batch",
    "batch",
    "mixed",
  ]);
});

const manifest = (over: Partial<ChironSpec> = {}): Manifest => ({
  name: "c",
  namespace: "default",
  spec: { ...CHIRON_DEFAULTS, tick_seconds: 15, ...over } as unknown as Manifest["spec"],
});
const one = [llmPool("llm", { min: 1, max: 9 })];
const split = [llmPool("llm-p", { min: 1, max: 6 }), llmPool("llm", { min: 1, max: 6 }), llmPool("llm-d", { min: 0, max: 4 })];

describe.each(CHIRON_VERSIONS)("%s over a fleet", (version) => {
  it("follows load up and down in a closed loop", () => {
    const endpoint = llmEndpoint(one);
    const runs = runFleet(
      chironPolicy(endpoint, manifest({ version })),
      createFleet(endpoint, { start: { llm: 2 } }),
      (second) => (second < 900 ? 12 : 0),
      1800,
    );
    const at = (second: number) => runs.findLast(({ atMs }) => atMs <= second * 1000)?.wanted["llm"] as number;
    expect(at(890)).toBeGreaterThanOrEqual(3);
    expect(at(1790)).toBe(2);
    expect(runs.every(({ wanted }) => (wanted["llm"] as number) >= 2 && (wanted["llm"] as number) <= 9)).toBe(true);
  });
  it("does not shrink while replicas and ledger are silent", () => {
    const endpoint = llmEndpoint(split);
    const runs = runFleet(
      chironPolicy(endpoint, manifest({ version })),
      createFleet(endpoint, { start: { "llm-p": 3, llm: 3, "llm-d": 2 } }),
      () => 0,
      300,
      silenced,
    );
    expect(runs.at(-1)?.wanted).toEqual({ "llm-p": 3, llm: 3, "llm-d": 2 });
  });
  it("brings batch instances where a queue would be late, and sends all away once it is empty", () => {
    const policy = chironPolicy(llmEndpoint(split), manifest({ version, batch_ttft_slo: 60, group_seconds: 10 }));
    let state: Json = policy.start(observe(0, []));
    let [wanted, most] = [0, 0];
    for (let round = 1; round <= 12; round++) {
      const slots = [slot(round * 15_000 - 1000, { class: "batch", arrivals: round <= 3 ? 200 : 0, completed: round === 6 ? 600 : 0 })];
      const page = { running: 0 };
      const replicas = ["llm-p", "llm"].flatMap((pool) => ["0", "1"].map((at) => ({ id: `${pool}${at}`, pool, page })));
      const result = policy.decide(state, observe(round * 15_000, replicas, { slots, wanted: { "llm-d": wanted } }));
      state = JSON.parse(JSON.stringify(result.state));
      const want = result.decision.wants["llm-d"];
      if (want?.kind === "scale") wanted = want.replicas;
      most = Math.max(most, wanted);
    }
    expect(most).toBe(4);
    expect(wanted).toBe(0);
  });
  it("keeps bounds whatever comes, its state goes through JSON, and order changes nothing", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            pool: fc.constantFrom("llm-p", "llm", "llm-d"),
            state: fc.constantFrom("ready", "ready", "starting", "draining"),
            running: fc.nat(3),
          }),
          { maxLength: 8 },
        ),
        fc.array(fc.record({ p: fc.nat(8), m: fc.nat(8), d: fc.nat(6), batch: fc.nat(50), done: fc.nat(50) }), {
          minLength: 1,
          maxLength: 6,
        }),
        (replicas, rounds) => {
          const policy = chironPolicy(llmEndpoint(split), manifest({ version, batch_ttft_slo: 30 }));
          let [state, mirrored]: [Json, Json] = [policy.start(observe(0, [])), policy.start(observe(0, []))];
          for (const [round, { p, m, d, batch, done }] of rounds.entries()) {
            const nowMs = (round + 1) * 15_000;
            const fakes = replicas.map(
              ({ pool, state, running }, at) =>
                ({ id: `r${at}`, pool, state, page: { running, prompt_tokens: 10 * round, gen_tokens: 7 * round * at } }) as const,
            );
            const slots = [
              slot(nowMs - 2000, { class: "batch", arrivals: batch }),
              slot(nowMs - 1000, { class: "batch", completed: done, outputTokens: 9 * done }),
              slot(nowMs - 1000, { arrivals: 1, inFlightMean: 1 }),
            ];
            const seen = observe(nowMs, fakes, { wanted: { "llm-p": p, llm: m, "llm-d": d }, slots });
            const [first, second] = [policy.decide(state, seen), policy.decide(mirrored, shuffled(seen))];
            expect(second.decision).toEqual(first.decision);
            state = JSON.parse(JSON.stringify(first.state));
            mirrored = JSON.parse(JSON.stringify(second.state));
            expect(state).toEqual(first.state);
            for (const [name, least, most, current] of [
              ["llm-p", 2, 6, p],
              ["llm", 2, 6, m],
              ["llm-d", 0, 4, d],
            ] as const) {
              const want = first.decision.wants[name];
              const count = want?.kind === "scale" ? want.replicas : current;
              expect(count >= least && count <= most).toBe(true);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });
  it("gives no fewer replicas to more busy ones", () => {
    fc.assert(
      fc.property(fc.nat(5), fc.nat(3), (busy, more) => {
        const wantOf = (running: number) => {
          const policy = chironPolicy(llmEndpoint(one), manifest({ version }));
          const replicas = Array.from({ length: 8 }, (_, at) => ({ id: `r${at}`, pool: "llm", page: { running: at < running ? 4 : 0 } }));
          const want = policy.decide(policy.start(observe(0, [])), observe(1000, replicas)).decision.wants["llm"];
          return want?.kind === "scale" ? want.replicas : 8;
        };
        expect(wantOf(busy + more)).toBeGreaterThanOrEqual(wantOf(busy));
      }),
    );
  });
});

it("states and takes bounds", () => {
  expect(chironDialect.bounds(manifest())).toBeNull();
  expect(chironDialect.bounds(chironDialect.withBounds(manifest(), { min: 3, max: 8 }))).toEqual({ min: 3, max: 8 });
});
