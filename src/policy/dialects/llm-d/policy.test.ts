import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest } from "../../../model/index.ts";
import { createFleet, llmEndpoint, llmPool, observe, runFleet, shuffled, silenced, slot } from "../llm/fleet.fixture.ts";
import { ANALYZERS, type LlmdSpec, llmdDialect, llmdPolicy } from "./index.ts";

const manifest = (over: Partial<LlmdSpec> = {}): Manifest => ({
  name: "llama",
  namespace: "default",
  spec: {
    analyzer: "saturation-v1",
    optimizationInterval: "60s",
    saturation: { default: {} },
    queueingModel: { default: {} },
    scaleToZero: {},
    variants: [],
    ...over,
  } as unknown as Manifest["spec"],
});
const pools = [llmPool("a", { min: 1, max: 9, pricePerReplicaHour: 1 }), llmPool("b", { min: 0, max: 4, pricePerReplicaHour: 3 })];
const one = [llmPool("a", { min: 1, max: 12 })];

describe.each(ANALYZERS)("%s", (analyzer) => {
  it("follows load up and down in a closed loop, inside its bounds", () => {
    const endpoint = llmEndpoint(one);
    const policy = llmdPolicy(endpoint, manifest({ analyzer, queueingModel: { default: { sloMultiplier: 3 } } }));
    const fleet = createFleet(endpoint, { start: { a: 2 } });
    const runs = runFleet(policy, fleet, (second) => (second < 1800 ? 18 : 3), 5400);
    const at = (second: number) => runs.findLast(({ atMs }) => atMs <= second * 1000)?.wanted["a"] as number;
    expect(at(1790)).toBeGreaterThanOrEqual(4);
    expect(at(5390)).toBeLessThan(at(1790));
    for (const { wanted } of runs) expect(wanted["a"] as number).toBeGreaterThanOrEqual(1);
    for (const { wanted } of runs) expect(wanted["a"] as number).toBeLessThanOrEqual(12);
  });

  it("keeps bounds whatever comes, its state goes through JSON, and order changes nothing", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            pool: fc.constantFrom("a", "b"),
            state: fc.constantFrom("ready", "ready", "ready", "starting", "draining", "failed"),
            running: fc.nat(60),
            waiting: fc.nat(30),
            kv_used: fc.double({ min: 0, max: 1, noNaN: true }),
            finished: fc.nat(1000),
          }),
          { maxLength: 8 },
        ),
        fc.array(fc.record({ a: fc.nat(12), b: fc.nat(6), arrivals: fc.nat(40) }), { minLength: 1, maxLength: 4 }),
        (replicas, rounds) => {
          const policy = llmdPolicy(llmEndpoint(pools), manifest({ analyzer }));
          let [state, mirrored]: [Json, Json] = [policy.start(observe(0, [])), policy.start(observe(0, []))];
          for (const [round, { a, b, arrivals }] of rounds.entries()) {
            const nowMs = (round + 1) * 60_000;
            const fakes = replicas.map(
              ({ pool, state, ...page }, at) =>
                ({
                  id: `r${at}`,
                  pool,
                  state,
                  page: {
                    ...page,
                    finished: page.finished + 500 * round,
                    kv_capacity_tokens: 100_000,
                    prompt_tokens: 900 * (page.finished + 500 * round),
                    gen_tokens: 100 * (page.finished + 500 * round),
                  },
                }) as const,
            );
            const seen = observe(nowMs, fakes, {
              wanted: { a, b },
              slots: [slot(nowMs - 1000, { arrivals, promptTokens: 900 * arrivals })],
            });
            const [first, second] = [policy.decide(state, seen), policy.decide(mirrored, shuffled(seen))];
            expect(second.decision).toEqual(first.decision);
            state = JSON.parse(JSON.stringify(first.state));
            mirrored = JSON.parse(JSON.stringify(second.state));
            expect(state).toEqual(first.state);
            const { a: wantA, b: wantB } = first.decision.wants;
            if (wantA?.kind === "scale") expect(wantA.replicas >= 1 && wantA.replicas <= 9).toBe(true);
            if (wantB?.kind === "scale") expect(wantB.replicas >= 0 && wantB.replicas <= 4).toBe(true);
            if (wantA?.kind === "hold") expect(a >= 1 && a <= 9).toBe(true);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("does not shrink while replicas are silent", () => {
    const endpoint = llmEndpoint(one);
    const policy = llmdPolicy(endpoint, manifest({ analyzer }));
    const fleet = createFleet(endpoint, { start: { a: 6 } });
    const runs = runFleet(policy, fleet, () => 1, 1200, silenced);
    expect(runs.every(({ wanted }) => (wanted["a"] as number) >= 6)).toBe(true);
  });

  it("gives no fewer replicas to more load", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.2, max: 30, noNaN: true }), fc.double({ min: 0, max: 10, noNaN: true }), (load, more) => {
        const counts = [load, load + more].map((rate) => {
          const endpoint = llmEndpoint(one);
          const fleet = createFleet(endpoint, { start: { a: 4 } });
          const policy = llmdPolicy(
            endpoint,
            manifest({ analyzer, queueingModel: { default: {}, m: { model_id: endpoint.model, targetTTFT: 500, targetITL: 25 } } }),
          );
          // One decision on a fleet where all are ready; what an online fit made of it does not count (the queueing model learns).
          return runFleet(policy, fleet, () => rate, analyzer === "queueing-model" ? 1 : 121).at(-1)?.wanted["a"] as number;
        });
        expect(counts[1] as number).toBeGreaterThanOrEqual(counts[0] as number);
      }),
      { numRuns: 25 },
    );
  });
});

it("changes one replica at a time by spare capacity (saturation-v1)", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { minLength: 3, maxLength: 3 }), (rates) => {
      const endpoint = llmEndpoint(one);
      const fleet = createFleet(endpoint, { start: { a: 3 } });
      const runs = runFleet(llmdPolicy(endpoint, manifest()), fleet, (second) => rates[Math.floor(second / 400)] as number, 1200);
      const counts = [3, ...runs.map(({ wanted }) => wanted["a"] as number)];
      for (const [at, next] of counts.slice(1).entries()) expect(Math.abs(next - (counts[at] as number))).toBeLessThanOrEqual(1);
    }),
    { numRuns: 10 },
  );
});

describe("variants and zero", () => {
  const scaleToZero = { default: { enable_scale_to_zero: true, retention_period: "10m" } };
  const resting = [llmPool("a", { min: 0, max: 5 })];
  it("goes to zero after the retention period without a request, and wakes at once", () => {
    const endpoint = llmEndpoint(resting);
    const policy = llmdPolicy(endpoint, manifest({ scaleToZero }));
    const fleet = createFleet(endpoint, { start: { a: 2 } });
    const runs = runFleet(policy, fleet, (second) => (second === 1200 ? 1 : 0), 1210);
    const zeroAt = runs.find(({ wanted }) => wanted["a"] === 0)?.atMs;
    expect(zeroAt).toBeGreaterThanOrEqual(600_000);
    expect(zeroAt).toBeLessThanOrEqual(722_000);
    expect(runs.find(({ atMs, wanted }) => atMs > 1_200_000 && wanted["a"] === 1)?.atMs).toBe(1_201_000);
  });
  it("keeps one where scale to zero is off, on the cheapest variant", () => {
    const policy = llmdPolicy(
      llmEndpoint([llmPool("a", { pricePerReplicaHour: 9 }), llmPool("b", { pricePerReplicaHour: 2 })]),
      manifest(),
    );
    const { decision } = policy.decide(policy.start(observe(0, [])), observe(0, [], { wanted: { a: 0, b: 0 } }));
    expect(decision.wants).toEqual({ a: { kind: "hold" }, b: { kind: "scale", replicas: 1, drain: [] } });
  });
  it("takes costs and bounds of VariantAutoscaling resources", () => {
    const variants = [
      { name: "a", scaleTargetRef: { kind: "Deployment", name: "x" }, modelID: "m", variantCost: "80", maxReplicas: 2 },
      { name: "v", scaleTargetRef: { kind: "Deployment", name: "b" }, modelID: "m", variantCost: "5" },
    ];
    const policy = llmdPolicy(llmEndpoint(pools), manifest({ variants }));
    const page = { running: 30, waiting: 9, kv_used: 0.95 };
    const seen = observe(0, [
      { id: "1", pool: "a", page },
      { id: "2", pool: "b", page },
    ]);
    const { decision } = policy.decide(policy.start(seen), seen);
    expect(decision.wants["b"]).toEqual({ kind: "scale", replicas: 2, drain: [] });
    expect(decision.steps.map(({ code }) => code)).toContain("saturation");
  });
  it("holds a pool of which the platform says nothing", () => {
    const policy = llmdPolicy(llmEndpoint(pools), manifest());
    const seen = observe(0, [], { wanted: { a: 1 } });
    expect(policy.decide(policy.start(seen), seen).decision.wants["b"]).toEqual({ kind: "hold" });
  });
  it("states and takes bounds", () => {
    expect(llmdDialect.bounds(manifest())).toBeNull();
    expect(llmdDialect.bounds(llmdDialect.withBounds(manifest(), { min: 2, max: 7 }))).toEqual({ min: 2, max: 7 });
  });
});
