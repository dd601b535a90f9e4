import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest } from "../../../model/index.ts";
import { createFleet, llmEndpoint, llmPool, observe, runFleet, shuffled, silenced, slot } from "../llm/fleet.fixture.ts";
import { dynamoDialect, dynamoPolicy, PLANNER_DEFAULTS, type PlannerSpec } from "./index.ts";

const manifest = (over: Partial<PlannerSpec> = {}): Manifest => ({
  name: "planner",
  namespace: "default",
  spec: { ...PLANNER_DEFAULTS, enable_throughput_scaling: false, enable_load_scaling: true, max_gpu_budget: 40, ...over },
});
const sla = { optimization_target: "sla", ttft_ms: 1500, itl_ms: 40 } as const;
const agg = [llmPool("serve", { min: 1, max: 12 })];
const disagg = [llmPool("p", { role: "prefill", min: 1, max: 9 }), llmPool("d", { role: "decode", min: 1, max: 9 })];

const flavours = [
  { name: "static thresholds", spec: { mode: "agg" } },
  { name: "latency thresholds", spec: { mode: "agg", optimization_target: "latency" } },
  { name: "load by latency targets", spec: { mode: "agg", ...sla } },
  { name: "throughput", spec: { mode: "agg", ...sla, enable_load_scaling: false, enable_throughput_scaling: true } },
  { name: "both loops", spec: { mode: "agg", ...sla, enable_throughput_scaling: true, load_predictor: "kalman" } },
] as const satisfies readonly { name: string; spec: Partial<PlannerSpec> }[];

describe.each(flavours)("$name", ({ spec }) => {
  it("follows load up in a closed loop, inside its bounds", () => {
    const endpoint = llmEndpoint(agg);
    const fleet = createFleet(endpoint, {
      start: { serve: 2 },
      perReplica: 2,
      promptTokens: 3000,
      outputTokens: 400,
      kvCapacityTokens: 60_000,
    });
    const runs = runFleet(dynamoPolicy(endpoint, manifest(spec)), fleet, (second) => (second < 900 ? 14 : 1), 2400);
    const most = Math.max(...runs.map(({ wanted }) => wanted["serve"] as number));
    expect(most).toBeGreaterThanOrEqual(3);
    expect(most).toBeLessThanOrEqual(12);
    expect(runs.at(-1)?.wanted["serve"]).toBeLessThan(most);
  });

  it("keeps bounds whatever comes, its state goes through JSON, and order changes nothing", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            state: fc.constantFrom("ready", "ready", "ready", "starting", "draining"),
            running: fc.nat(60),
            waiting: fc.nat(30),
            kv_used: fc.double({ min: 0, max: 1, noNaN: true }),
            finished: fc.nat(1000),
          }),
          { maxLength: 6 },
        ),
        fc.array(fc.record({ wanted: fc.nat(14), arrivals: fc.nat(400) }), { minLength: 1, maxLength: 4 }),
        (replicas, rounds) => {
          const policy = dynamoPolicy(llmEndpoint(agg), manifest(spec));
          let [state, mirrored]: [Json, Json] = [policy.start(observe(0, [])), policy.start(observe(0, []))];
          for (const [round, { wanted, arrivals }] of rounds.entries()) {
            const nowMs = (round + 1) * 180_000;
            const fakes = replicas.map(({ state, ...page }, at) => {
              const finished = page.finished + 500 * round;
              return {
                id: `r${at}`,
                pool: "serve",
                state,
                page: { ...page, finished, kv_capacity_tokens: 100_000, prompt_tokens: 900 * finished, gen_tokens: 100 * finished },
              } as const;
            });
            const slots = [
              slot(nowMs - 2000, { arrivals, promptTokens: 900 * arrivals }),
              slot(nowMs - 1000, { completed: arrivals, outputTokens: 100 * arrivals }),
            ];
            const seen = observe(nowMs, fakes, { wanted: { serve: wanted }, slots });
            const [first, second] = [policy.decide(state, seen), policy.decide(mirrored, shuffled(seen))];
            expect(second.decision).toEqual(first.decision);
            state = JSON.parse(JSON.stringify(first.state));
            mirrored = JSON.parse(JSON.stringify(second.state));
            expect(state).toEqual(first.state);
            const want = first.decision.wants["serve"];
            if (want?.kind === "scale") expect(want.replicas >= 1 && want.replicas <= 12).toBe(true);
            else expect(wanted >= 1 && wanted <= 12).toBe(true);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it("does not shrink while replicas and ledger are silent", () => {
    const endpoint = llmEndpoint(agg);
    const runs = runFleet(dynamoPolicy(endpoint, manifest(spec)), createFleet(endpoint, { start: { serve: 6 } }), () => 1, 400, silenced);
    expect(runs.every(({ wanted }) => (wanted["serve"] as number) >= 6)).toBe(true);
  });

  it("gives no fewer replicas to more load", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.2, max: 12, noNaN: true }), fc.double({ min: 0, max: 8, noNaN: true }), (rate, more) => {
        const counts = [rate, rate + more].map((each) => {
          const endpoint = llmEndpoint(agg);
          // One look, on all replicas ready, at what `each` makes of four engines.
          const policy = dynamoPolicy(endpoint, manifest({ ...spec, load_predictor: "constant", load_adjustment_interval_seconds: 170 }));
          const fleet = createFleet(endpoint, { start: { serve: 4 }, perReplica: 2 });
          return runFleet(policy, fleet, () => each, 181).at(-1)?.wanted["serve"] as number;
        });
        expect(counts[1] as number).toBeGreaterThanOrEqual(counts[0] as number);
      }),
      { numRuns: 10 },
    );
  });
});

it.each(flavours.slice(0, 3))("changes one replica at a time in the load loop ($name)", ({ spec }) => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 3, maxLength: 3 }), (rates) => {
      const endpoint = llmEndpoint(agg);
      const fleet = createFleet(endpoint, { start: { serve: 3 }, perReplica: 2 });
      const policy = dynamoPolicy(endpoint, manifest(spec));
      const runs = runFleet(policy, fleet, (second) => rates[Math.floor(second / 200)] as number, 600);
      const counts = [3, ...runs.map(({ wanted }) => wanted["serve"] as number)];
      for (const [at, next] of counts.slice(1).entries()) expect(Math.abs(next - (counts[at] as number))).toBeLessThanOrEqual(1);
    }),
    { numRuns: 5 },
  );
});

describe("prefill and decode pools", () => {
  it("sizes each for its own work, within the GPUs of both", () => {
    const endpoint = llmEndpoint(disagg);
    const spec = {
      ...sla,
      enable_load_scaling: false,
      enable_throughput_scaling: true,
      load_predictor: "constant",
      max_gpu_budget: 12,
    } as const;
    const fleet = createFleet(endpoint, { perReplica: 40, promptTokens: 4000, outputTokens: 100 });
    const runs = runFleet(dynamoPolicy(endpoint, manifest(spec)), fleet, () => 12, 400);
    const last = runs.at(-1)?.wanted ?? {};
    expect(last["p"]).toBeGreaterThan(last["d"] as number);
    for (const { wanted } of runs) expect((wanted["p"] as number) + (wanted["d"] as number)).toBeLessThanOrEqual(12);
  });
  it("of 2025 corrects by observed latency", () => {
    const endpoint = llmEndpoint(disagg);
    const spec = { ...sla, version: "2025", load_predictor: "constant", throughput_adjustment_interval_seconds: 60 } as const;
    const runs = runFleet(
      dynamoPolicy(endpoint, manifest(spec)),
      createFleet(endpoint, { perReplica: 30, promptTokens: 3000 }),
      () => 8,
      400,
    );
    expect(runs.some(({ decision }) => decision.steps.some(({ code }) => code === "correction"))).toBe(true);
    expect(runs.at(-1)?.wanted["p"]).toBeGreaterThanOrEqual(1);
  });
  it("only observes a pool that is still on its way", () => {
    const policy = dynamoPolicy(llmEndpoint(disagg), manifest());
    const page = { running: 1, waiting: 50, kv_used: 0.99, kv_capacity_tokens: 1000, prompt_tokens: 0, gen_tokens: 0 };
    const seen = observe(
      1000,
      [
        { id: "p0", pool: "p", page },
        { id: "p1", pool: "p", state: "starting" },
        { id: "d0", pool: "d", page: { ...page, kv_used: 0.99, waiting: 9 } },
      ],
      { slots: [slot(0, { arrivals: 10, promptTokens: 9000 })] },
    );
    const { decision } = policy.decide(policy.start(observe(0, [])), seen);
    expect(decision.wants["p"]).toEqual({ kind: "scale", replicas: 2, drain: [] });
    expect(decision.wants["d"]).toEqual({ kind: "scale", replicas: 2, drain: [] });
    expect(decision.steps.map(({ code }) => code)).toContain("scaling-in-progress");
  });
  it("decides nothing while an engine is silent", () => {
    const policy = dynamoPolicy(llmEndpoint(disagg), manifest());
    const seen = observe(1000, [
      { id: "p0", pool: "p" },
      { id: "d0", pool: "d" },
    ]);
    expect(policy.decide(policy.start(observe(0, [])), seen).decision).toMatchObject({
      wants: { p: { kind: "hold" }, d: { kind: "hold" } },
      nextAtMs: 6000,
    });
  });
  it("starts the least number of endpoints, and only advises where it is told so", () => {
    const seen = observe(1000, [], { wanted: { p: 0, d: 0 } });
    const decide = (over: Partial<PlannerSpec>) => {
      const policy = dynamoPolicy(llmEndpoint(disagg), manifest({ prefill_min_endpoint: 2, ...over }));
      return policy.decide(policy.start(observe(0, [])), seen).decision;
    };
    expect(decide({}).wants).toEqual({ p: { kind: "scale", replicas: 2, drain: [] }, d: { kind: "scale", replicas: 1, drain: [] } });
    expect(decide({ advisory: true }).wants).toEqual({ p: { kind: "hold" }, d: { kind: "hold" } });
    expect(decide({ advisory: true }).steps.map(({ code }) => code)).toContain("advised");
  });
  it("states and takes bounds", () => {
    expect(dynamoDialect.bounds(manifest())).toBeNull();
    const one = manifest({ mode: "agg", max_gpu_budget: 9, decode_engine_num_gpu: 2 });
    expect(dynamoDialect.bounds(one)).toEqual({ min: 1, max: 4 });
    expect(dynamoDialect.bounds(dynamoDialect.withBounds(one, { min: 2, max: 7 }))).toEqual({ min: 2, max: 7 });
  });
});
