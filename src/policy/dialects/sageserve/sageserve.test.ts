import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest } from "../../../model/index.ts";
import { createFleet, llmEndpoint, llmPool, observe, runFleet, shuffled, silenced, slot } from "../llm/fleet.fixture.ts";
import {
  addMinutes,
  arbitrate,
  forecastMinutes,
  type InstanceKind,
  noMinutes,
  planInstances,
  SAGESERVE_DEFAULTS,
  type SageServeSpec,
  STRATEGIES,
  type Strategy,
  sageserveDialect,
  sageservePolicy,
} from "./index.ts";

const kind = (name: string, over: Partial<InstanceKind> = {}): InstanceKind => ({
  name,
  current: 2,
  tokensPerSecond: 100,
  gpuCost: 10,
  startupCost: 150,
  min: 0,
  max: 50,
  ...over,
});

describe("the integer programme", () => {
  it.each([
    { rule: "one kind: as many as carry the demand", kinds: [kind("a")], demand: 701, counts: { a: 8 } },
    { rule: "one kind: exactly enough is enough", kinds: [kind("a")], demand: 700, counts: { a: 7 } },
    { rule: "gives back what is not needed", kinds: [kind("a", { current: 9 })], demand: 150, counts: { a: 2 } },
    { rule: "keeps the least", kinds: [kind("a", { current: 9, min: 3 })], demand: 0, counts: { a: 3 } },
    { rule: "takes all where all are too few", kinds: [kind("a", { max: 4 })], demand: 9999, counts: { a: 4 } },
    {
      rule: "rather keeps a running one than starts a cheaper one",
      kinds: [kind("a", { current: 4, gpuCost: 20 }), kind("b", { current: 0 })],
      demand: 400,
      counts: { a: 4, b: 0 },
    },
    {
      rule: "starts where tokens are cheapest",
      kinds: [kind("a", { current: 0 }), kind("b", { current: 0, tokensPerSecond: 300, gpuCost: 20 })],
      demand: 600,
      counts: { a: 0, b: 2 },
    },
    {
      rule: "leaves a kind of unknown speed alone",
      kinds: [kind("a"), kind("b", { current: 5, tokensPerSecond: 0 })],
      demand: 300,
      counts: { a: 3, b: 5 },
    },
  ])("$rule", ({ kinds, demand, counts }) => {
    expect(planInstances(kinds, demand)).toEqual(counts);
  });
  it("is as good as trying everything", () => {
    const small = fc.record({
      current: fc.nat(4),
      tokensPerSecond: fc.integer({ min: 1, max: 9 }),
      gpuCost: fc.nat(20),
      startupCost: fc.nat(40),
      min: fc.nat(1),
      max: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(small, { minLength: 1, maxLength: 3 }), fc.nat(40), (specs, demand) => {
        const kinds = specs.map((one, at) => ({ name: `k${at}`, ...one }));
        const costOf = (counts: readonly number[]) =>
          kinds.reduce(
            (sum, { current, gpuCost, startupCost }, at) =>
              sum + ((counts[at] as number) - current) * gpuCost + Math.max(0, (counts[at] as number) - current) * startupCost,
            0,
          );
        const carried = (counts: readonly number[]) =>
          kinds.reduce((sum, { tokensPerSecond }, at) => sum + (counts[at] as number) * tokensPerSecond, 0);
        const all = kinds.reduce<number[][]>(
          (some, { min, max }) => some.flatMap((counts) => Array.from({ length: max - min + 1 }, (_, more) => [...counts, min + more])),
          [[]],
        );
        const feasible = all.filter((counts) => carried(counts) >= demand);
        const planned = kinds.map(({ name }) => planInstances(kinds, demand)[name] as number);
        if (feasible.length === 0) expect(planned).toEqual(kinds.map(({ max }) => max));
        else {
          expect(carried(planned)).toBeGreaterThanOrEqual(demand);
          expect(costOf(planned)).toBe(Math.min(...feasible.map(costOf)));
        }
      }),
    );
  });
});

describe("minutes and their forecast", () => {
  const minute = 60_000;
  it("closes whole minutes, spreads what spans several, and begins anew after a gap", () => {
    let minutes = addMinutes(noMinutes, 100, 10_000, 10);
    minutes = addMinutes(minutes, 50, 50_000, 10);
    expect(minutes).toMatchObject({ tokens: [], openTokens: 150 });
    minutes = addMinutes(minutes, 30, minute + 1, 10);
    expect(minutes.tokens).toEqual([180]);
    minutes = addMinutes(minutes, 90, 4 * minute, 10);
    expect(minutes.tokens).toEqual([180, 30, 30, 30]);
    minutes = addMinutes(addMinutes(minutes, null, 4 * minute + 1, 10), 7, 5 * minute, 10);
    expect(minutes).toMatchObject({ tokens: [], endMs: 5 * minute });
  });
  it("says the most seen before half an hour, and nothing of nothing", () => {
    expect(forecastMinutes([], 3, 0)).toEqual([]);
    expect(forecastMinutes([5, 9, 7], 2, 0)).toEqual([9, 9]);
  });
  it("knows the season once it saw two of them", () => {
    const wave = (at: number) => 1000 + 800 * Math.sin((2 * Math.PI * at) / 60);
    const forecast = forecastMinutes(
      Array.from({ length: 180 }, (_, at) => wave(at)),
      60,
      60,
    );
    for (const [step, value] of forecast.entries()) expect(value).toBeCloseTo(wave(180 + step), 0);
  });
});

describe("the short-term arbiter", () => {
  const at = (memoryUtilization: number, instances = 5, ratio: number | null = 1) => ({ memoryUtilization, instances, ratio });
  it.each([
    { rule: "reactive: up above a half", strategy: "reactive", pending: 0, reading: at(0.51), change: 1, left: 0 },
    { rule: "reactive: not at a half", strategy: "reactive", pending: 0, reading: at(0.5), change: 0, left: 0 },
    { rule: "reactive: down below a quarter", strategy: "reactive", pending: 0, reading: at(0.24), change: -1, left: 0 },
    { rule: "reactive: never below the least", strategy: "reactive", pending: 0, reading: at(0, 2), change: 0, left: 0 },
    { rule: "LT-I: none", strategy: "lt-i", pending: 3, reading: at(0.99), change: 0, left: 3 },
    { rule: "LT-U: toward the plan where memory asks for it", strategy: "lt-u", pending: 3, reading: at(0.6), change: 1, left: 2 },
    { rule: "LT-U: not yet", strategy: "lt-u", pending: 3, reading: at(0.4), change: 0, left: 3 },
    { rule: "LT-U: gives back one at a time", strategy: "lt-u", pending: -2, reading: at(0.2), change: -1, left: -1 },
    { rule: "LT-U: not while in use", strategy: "lt-u", pending: -2, reading: at(0.3), change: 0, left: -2 },
    { rule: "LT-U: beyond the plan only when nearly full", strategy: "lt-u", pending: 0, reading: at(0.91), change: 1, left: -1 },
    { rule: "LT-U: not beyond for less", strategy: "lt-u", pending: 0, reading: at(0.9, 5, 99), change: 0, left: 0 },
    {
      rule: "LT-UA: beyond the plan by five times the forecast",
      strategy: "lt-ua",
      pending: 0,
      reading: at(0.1, 5, 5.1),
      change: 1,
      left: -1,
    },
    { rule: "LT-UA: not beyond for memory", strategy: "lt-ua", pending: 0, reading: at(0.99, 5, 5), change: 0, left: 0 },
    { rule: "LT-UA: not without a forecast", strategy: "lt-ua", pending: 0, reading: at(0.99, 5, null), change: 0, left: 0 },
  ] as const)("$rule", ({ strategy, pending, reading, change, left }) => {
    expect(arbitrate(strategy, SAGESERVE_DEFAULTS, pending, reading)).toMatchObject({ change, pending: left });
  });
});

const manifest = (strategy: Strategy, over: Partial<SageServeSpec> = {}): Manifest => ({
  name: "s",
  namespace: "default",
  spec: { ...SAGESERVE_DEFAULTS, strategy, tick_seconds: 15, ...over } as unknown as Manifest["spec"],
});
const pools = [llmPool("a", { min: 1, max: 9 })];

describe.each(STRATEGIES)("%s over a fleet", (strategy) => {
  it("follows load up and down in a closed loop", () => {
    const endpoint = llmEndpoint(pools);
    const fleet = createFleet(endpoint, { start: { a: 2 } });
    const policy = sageservePolicy(
      endpoint,
      manifest(strategy, { long_term_scaling_interval: 600, forecast_window: [60, 600], model_tps: 4000 }),
    );
    const runs = runFleet(policy, fleet, (second) => (second < 2400 ? 10 : 1), 6000);
    const at = (second: number) => runs.findLast(({ atMs }) => atMs <= second * 1000)?.wanted["a"] as number;
    expect(at(2390)).toBeGreaterThanOrEqual(3);
    expect(at(5990)).toBeLessThan(at(2390));
    expect(runs.every(({ wanted }) => (wanted["a"] as number) >= 2 && (wanted["a"] as number) <= 9)).toBe(true);
  });
  it("keeps one action in flight", () => {
    if (strategy === "lt-i") return;
    const endpoint = llmEndpoint(pools);
    const runs = runFleet(
      sageservePolicy(endpoint, manifest(strategy, { model_tps: 500 })),
      createFleet(endpoint, { start: { a: 2 } }),
      () => 60,
      1500,
    );
    const changes = runs.filter(({ wanted }, at) => at > 0 && wanted["a"] !== runs[at - 1]?.wanted["a"]).map(({ atMs }) => atMs);
    for (const [at, change] of changes.entries()) if (at > 0) expect(change - (changes[at - 1] as number)).toBeGreaterThanOrEqual(155_000);
  });
  it("does not shrink while replicas and ledger are silent", () => {
    const endpoint = llmEndpoint(pools);
    const runs = runFleet(
      sageservePolicy(endpoint, manifest(strategy, { model_tps: 4000 })),
      createFleet(endpoint, { start: { a: 6 } }),
      () => 0.1,
      900,
      silenced,
    );
    expect(runs.every(({ wanted }) => (wanted["a"] as number) >= 6)).toBe(true);
  });
  it("keeps bounds whatever comes, its state goes through JSON, and order changes nothing", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            state: fc.constantFrom("ready", "ready", "starting", "draining"),
            kv_used: fc.double({ min: 0, max: 1, noNaN: true }),
          }),
          { maxLength: 6 },
        ),
        fc.array(fc.record({ wanted: fc.nat(12), tokens: fc.nat(100_000) }), { minLength: 1, maxLength: 12 }),
        (replicas, rounds) => {
          const policy = sageservePolicy(llmEndpoint(pools), manifest(strategy, { model_tps: 300 }));
          let [state, mirrored]: [Json, Json] = [policy.start(observe(0, [])), policy.start(observe(0, []))];
          for (const [round, { wanted, tokens }] of rounds.entries()) {
            const nowMs = (round + 1) * 60_000;
            const fakes = replicas.map(
              ({ state, kv_used }, at) => ({ id: `r${at}`, pool: "a", state, page: { kv_used, kv_capacity_tokens: 1000 + at } }) as const,
            );
            const slots = [
              slot(nowMs - 1000, { arrivals: 9, promptTokens: tokens }),
              slot(nowMs - 1000, { class: "batch", arrivals: 1, promptTokens: tokens }),
            ];
            const seen = observe(nowMs, fakes, { wanted: { a: wanted }, slots });
            const [first, second] = [policy.decide(state, seen), policy.decide(mirrored, shuffled(seen))];
            expect(second.decision).toEqual(first.decision);
            state = JSON.parse(JSON.stringify(first.state));
            mirrored = JSON.parse(JSON.stringify(second.state));
            expect(state).toEqual(first.state);
            const want = first.decision.wants["a"];
            if (want?.kind === "scale") expect(want.replicas >= 2 && want.replicas <= 9).toBe(true);
            else expect(wanted >= 2 && wanted <= 9).toBe(true);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
  it("gives no fewer replicas to more load", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 12, noNaN: true }), fc.double({ min: 0, max: 10, noNaN: true }), (rate, more) => {
        const counts = [rate, rate + more].map((each) => {
          const endpoint = llmEndpoint(pools);
          // One plan, or one look, on a fleet where all are ready.
          const policy = sageservePolicy(endpoint, manifest(strategy, { model_tps: 2000, tick_seconds: 330 }));
          return runFleet(policy, createFleet(endpoint, { start: { a: 4 } }), () => each, 340).at(-1)?.wanted["a"] as number;
        });
        expect(counts[1] as number).toBeGreaterThanOrEqual(counts[0] as number);
      }),
      { numRuns: 15 },
    );
  });
});

it("learns what an instance carries from the engine's profile where nothing is stated", () => {
  const endpoint = llmEndpoint(pools);
  const runs = runFleet(sageservePolicy(endpoint, manifest("lt-i")), createFleet(endpoint, { start: { a: 2 } }), () => 30, 900);
  expect(runs.flatMap(({ decision }) => decision.steps).find(({ code }) => code === "plan")?.text).toMatch(
    /\d+ of a \(\d+ tokens\/s each\)/,
  );
});
it("states and takes bounds", () => {
  expect(sageserveDialect.bounds(manifest("lt-i"))).toBeNull();
  expect(sageserveDialect.bounds(sageserveDialect.withBounds(manifest("lt-i"), { min: 3, max: 8 }))).toEqual({ min: 3, max: 8 });
});
