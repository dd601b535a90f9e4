import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type {
  Decision,
  Json,
  Observation,
  PolicySpec,
  Pool,
  Replica,
  ScalingRules,
  Series,
  SignalRule,
  SignalsPolicySpec,
} from "../model/index.ts";
import { DIALECT_KINDS } from "../model/index.ts";
import { createPolicy, POLICY_KINDS } from "./index.ts";
import { endpoint, observation, pool, ready, series, slo, starting } from "./plant.fixture.ts";

const nowMs = 1_000_000;
const free: ScalingRules = { stabilizationWindowMs: 0, selectPolicy: "Max", policies: [] };
const spec = (rules: readonly SignalRule[], over: Partial<SignalsPolicySpec> = {}): PolicySpec => ({
  kind: "signals",
  spec: { rules, tolerance: 0.1, intervalMs: 15_000, scaleUp: free, scaleDown: free, zeroAfterMs: null, ...over },
});
const gpu: SignalRule = { kind: "target", signal: "gpu_utilization", value: 75 };
const latency: SignalRule = { kind: "ceiling", signal: "ttft_p95", value: 2, maxStep: 0.5 };
const saturation: SignalRule = { kind: "saturation", throughput: "output_tokens_per_second", below: 0.8, waiting: 2, step: 0.25 };

const fleet = (count: number) => Array.from({ length: count }, (_, at) => ready(`r${at}`, at));
const each = (name: string, values: readonly number[], atMs = nowMs) => values.map((value, at) => series(name, `r${at}`, value, atMs));

/** Two looks, the first of which only fills the windows; the second one's Decision. */
function decide(
  policySpec: PolicySpec,
  now: Observation,
  pools: readonly Pool[] = [pool({ min: 1, max: 10 })],
  before: Observation = now,
): Decision {
  const policy = createPolicy(endpoint(policySpec, pools));
  const first = before === now ? policy.start(now) : policy.decide(policy.start(before), before).state;
  return policy.decide(first, now).decision;
}
const count = (decision: Decision, now: Observation) => {
  const want = decision.wants["default"];
  return want?.kind === "scale" ? want.replicas : (now.pools["default"]?.wanted ?? Number.NaN);
};
const codes = (decision: Decision) => decision.steps.map(({ code }) => code);

describe("rules", () => {
  it.each([
    { rule: "a target grows by the sum over the ready ones", rules: [gpu], values: [100, 100, 100], want: 4, code: "target" },
    { rule: "a target inside its tolerance holds", rules: [gpu], values: [80, 80, 80], want: 3, code: "hold" },
    { rule: "a target shrinks", rules: [gpu], values: [20, 20, 20], want: 1, code: "scale" },
    { rule: "a target never asks for zero", rules: [gpu], values: [0, 0, 0], want: 1, code: "scale" },
    { rule: "exactly n targets need n", rules: [{ ...gpu, value: 50 }], values: [100, 100], want: 4, code: "scale" },
  ])("$rule", ({ rules, values, want, code }) => {
    const now = observation({ replicas: fleet(values.length), series: each("gpu_utilization", values) });
    const decision = decide(spec(rules), now);
    expect(count(decision, now)).toBe(want);
    expect(codes(decision)).toContain(code);
  });

  it.each([
    { rule: "a ceiling raises over what the target asks for", ttft: 3, gpus: [50, 50, 50, 50], want: 6 },
    { rule: "a ceiling raises by at most maxStep of the count", ttft: 60, gpus: [75, 75, 75, 75], want: 6 },
    { rule: "a ceiling that is kept says nothing against shrinking", ttft: 0.2, gpus: [30, 30, 30, 30], want: 2 },
    { rule: "a ceiling that is nearly reached keeps the count", ttft: 1.9, gpus: [30, 30, 30, 30], want: 4 },
    { rule: "a target above the ceiling's wish wins", ttft: 2.1, gpus: [150, 150, 150, 150], want: 8 },
  ])("$rule", ({ ttft, gpus, want }) => {
    const now = observation({ replicas: fleet(4), series: [...each("gpu_utilization", gpus), series("ttft_p95", null, ttft, nowMs)] });
    expect(count(decide(spec([gpu, latency]), now), now)).toBe(want);
  });

  it("a ceiling alone never shrinks", () => {
    const now = observation({ replicas: fleet(4), series: [series("ttft_p95", null, 0.01, nowMs)] });
    expect(decide(spec([latency]), now).wants["default"]).toEqual({ kind: "hold" });
  });

  it("a ceiling counts from the ready ones, so that it does not run away while others load", () => {
    const now = observation({
      replicas: [...fleet(2), starting("s1", nowMs - 1_000), starting("s2", nowMs - 1_000)],
      series: [series("ttft_p95", null, 9, nowMs)],
    });
    expect(decide(spec([latency]), now).wants["default"]).toEqual({ kind: "hold" });
  });

  it("a latency of nobody is not missing", () => {
    const now = observation({
      replicas: fleet(2),
      slots: [],
      series: [...each("gpu_utilization", [0, 0])],
    });
    expect(codes(decide(spec([gpu, latency]), now))).not.toContain("blind");
  });

  it("tokens per second that fall while requests wait are saturation", () => {
    const at = (tokens: number, waiting: number, atMs: number) =>
      observation({
        nowMs: atMs,
        replicas: fleet(4),
        series: [series("output_tokens_per_second", null, tokens, atMs), ...each("waiting", [waiting, waiting, waiting, waiting], atMs)],
      });
    const run = (tokens: number, waiting: number) => {
      const now = at(tokens, waiting, nowMs);
      return count(decide(spec([saturation]), now, undefined, at(4_000, 0, nowMs - 15_000)), now);
    };
    expect(run(2_800, 5)).toBe(5);
    expect(run(2_800, 1)).toBe(4);
    expect(run(3_600, 5)).toBe(4);
  });

  it("an endpoint's request rate is shared out over the ready replicas", () => {
    const now = observation({ replicas: fleet(2), series: [series("request_rate", null, 25, nowMs)] });
    expect(count(decide(spec([{ kind: "target", signal: "request_rate", value: 5 }]), now), now)).toBe(5);
  });

  it("a share or a time of the endpoint is a mean already", () => {
    const now = observation({ replicas: fleet(4), series: [series("e2e_p50", null, 6, nowMs)] });
    expect(count(decide(spec([{ kind: "target", signal: "e2e_p50", value: 4 }]), now), now)).toBe(6);
  });
});

describe("guards", () => {
  it.each([
    { rule: "an absent reading holds", given: [] },
    { rule: "a stale reading holds", given: each("gpu_utilization", [10, 10, 10], nowMs - 30_001) },
    { rule: "one replica's missing reading holds", given: each("gpu_utilization", [10, 10]) },
  ])("$rule", ({ given }) => {
    const now = observation({ replicas: fleet(3), series: given });
    const decision = decide(spec([gpu]), now);
    expect(decision.wants["default"]).toEqual({ kind: "hold" });
    expect(codes(decision)).toContain("blind");
    expect(decision.conditions.find(({ type }) => type === "ScalingActive")?.status).toBe("False");
  });

  it("what can still be seen may grow the count", () => {
    const now = observation({ replicas: fleet(3), series: [series("ttft_p95", null, 4, nowMs)] });
    expect(count(decide(spec([gpu, latency]), now), now)).toBe(4);
  });

  it("shrinks only to the most asked for in its window", () => {
    const rules: ScalingRules = { ...free, stabilizationWindowMs: 300_000 };
    const at = (value: number, atMs: number) =>
      observation({ nowMs: atMs, replicas: fleet(4), series: each("gpu_utilization", [value, value, value, value], atMs) });
    const policy = createPolicy(endpoint(spec([gpu], { scaleDown: rules }), [pool({ min: 1, max: 10 })]));
    let state = policy.start(at(75, 0));
    const wants: unknown[] = [];
    for (let atMs = 0; atMs <= 315_000; atMs += 15_000) {
      const decided = policy.decide(state, at(atMs < 15_000 ? 75 : 20, atMs));
      state = decided.state;
      wants.push(decided.decision.wants["default"]?.kind);
    }
    expect(wants.indexOf("scale")).toBe(20);
  });

  it("does not shrink within one cold start of growing", () => {
    const policy = createPolicy(endpoint(spec([gpu]), [pool({ min: 1, max: 10 })]));
    const busy = observation({ nowMs: 0, replicas: fleet(2), series: each("gpu_utilization", [100, 100], 0) });
    let { state, decision } = policy.decide(policy.start(busy), busy);
    expect(decision.wants["default"]).toMatchObject({ replicas: 3 });
    state = policy.settle(state, { seq: 1, pool: "default", atMs: 0, result: "accepted" }).state;
    const calm = (atMs: number) =>
      observation({ seq: 2, nowMs: atMs, replicas: fleet(3), series: each("gpu_utilization", [5, 5, 5], atMs) });
    ({ state, decision } = policy.decide(state, calm(60_000)));
    expect(codes(decision)).toContain("no-reversal");
    ({ state, decision } = policy.decide(state, calm(120_000)));
    expect(decision.wants["default"]).toMatchObject({ kind: "scale", replicas: 1 });
  });

  it("a refused change does not count against rates or reversals", () => {
    const once: ScalingRules = { ...free, policies: [{ type: "Pods", value: 1, periodMs: 60_000 }] };
    const policy = createPolicy(endpoint(spec([gpu], { scaleUp: once }), [pool({ min: 1, max: 10 })]));
    const busy = (seq: number, atMs: number) =>
      observation({ seq, nowMs: atMs, replicas: fleet(2), series: each("gpu_utilization", [200, 200], atMs) });
    const first = policy.decide(policy.start(busy(1, 0)), busy(1, 0));
    const refused = policy.settle(first.state, { seq: 1, pool: "default", atMs: 0, result: "conflict" });
    expect(refused.conditions[0]).toMatchObject({ type: "AbleToScale", status: "False" });
    expect(policy.decide(refused.state, busy(2, 15_000)).decision.wants["default"]).toMatchObject({ replicas: 3 });
  });

  it("bounds hold whatever the readings say", () => {
    const above = observation({ replicas: fleet(12) });
    expect(decide(spec([gpu]), above).wants["default"]).toMatchObject({ replicas: 10 });
    const below = observation({ replicas: [], wanted: 0 });
    expect(decide(spec([gpu]), below).wants["default"]).toMatchObject({ replicas: 1 });
  });

  it("names the victims: broken, starting, least in flight, youngest", () => {
    const replicas: Replica[] = [
      ready("a", 1),
      ready("b", 2),
      ready("c", 3),
      ready("d", 4),
      { ...ready("e", 5), trouble: { code: "spot-notice", sinceMs: 0 } },
    ];
    const load: Series[] = [
      ["a", 4],
      ["b", 0],
      ["c", 1],
      ["d", 1],
      ["e", 9],
    ].map(([id, value]) => series("running", id as string, value as number, nowMs));
    const now = observation({ replicas, series: [...replicas.map(({ id }) => series("gpu_utilization", id, 10, nowMs)), ...load] });
    expect(decide(spec([gpu]), now).wants["default"]).toEqual({ kind: "scale", replicas: 1, drain: ["e", "b", "d", "c"] });
  });
});

describe("zero", () => {
  const toZero = spec([gpu], { zeroAfterMs: 60_000, scaleUp: { ...free, stabilizationWindowMs: 600_000, selectPolicy: "Disabled" } });
  const pools = [pool({ min: 0, max: 10 })];

  it("a held request wakes one replica at once, past windows and rates", () => {
    const now = observation({ replicas: [], wanted: 0, cause: "held" });
    const decision = decide(toZero, now, pools);
    expect(decision.wants["default"]).toMatchObject({ kind: "scale", replicas: 1 });
    expect(codes(decision)).toEqual(expect.arrayContaining(["woken", "wake"]));
  });

  it("stays at zero without requests", () => {
    const now = observation({ replicas: [], wanted: 0, slots: [] });
    expect(decide(toZero, now, pools).wants["default"]).toEqual({ kind: "hold" });
  });

  it("goes to zero only after zeroAfterMs of knowing that nothing happens", () => {
    const at = (atMs: number, slots: Observation["slots"]) =>
      observation({ nowMs: atMs, replicas: fleet(1), slots, series: each("gpu_utilization", [0], atMs) });
    const last = (slots: Observation["slots"], everyMs: number, untilMs: number) => {
      const policy = createPolicy(endpoint(toZero, pools));
      let state = policy.start(at(0, slots));
      let decision: Decision | undefined;
      for (let atMs = 0; atMs <= untilMs; atMs += everyMs) ({ state, decision } = policy.decide(state, at(atMs, slots)));
      return decision?.wants["default"];
    };
    expect(last([], 15_000, 45_000)).toEqual({ kind: "hold" });
    expect(last([], 15_000, 60_000)).toMatchObject({ kind: "scale", replicas: 0 });
    expect(last(null, 15_000, 600_000)).toEqual({ kind: "hold" });
  });
});

it("static wants what the config names", () => {
  const now = observation({ replicas: fleet(2) });
  expect(decide({ kind: "static", replicas: { default: 5 } }, now).wants["default"]).toMatchObject({ kind: "scale", replicas: 5 });
  const there = observation({ replicas: fleet(5) });
  expect(decide({ kind: "static", replicas: { default: 5 } }, there).wants["default"]).toEqual({ kind: "hold" });
});

it("knows its kinds", () => expect([...POLICY_KINDS].toSorted()).toEqual(["static", "signals", "slo", ...DIALECT_KINDS].toSorted()));

describe("properties", () => {
  const limits: ScalingRules = {
    stabilizationWindowMs: 0,
    selectPolicy: "Max",
    policies: [{ type: "Pods", value: 2, periodMs: 60_000 }],
  };
  const [min, max] = [1, 9];
  const policySpec = spec([gpu, latency], { scaleUp: limits, scaleDown: { ...limits, stabilizationWindowMs: 45_000 } });
  /** A look at the fleet: utilization per replica or nothing, latency or nothing. */
  const look = fc.record({
    gpu: fc.option(fc.integer({ min: 0, max: 300 }), { freq: 5 }),
    ttft: fc.option(fc.integer({ min: 0, max: 6_000 }), { freq: 5 }),
    accepted: fc.boolean(),
  });

  it("never leaves the bounds, never exceeds the rates, never shrinks blind, and is the same after JSON and in any order", () => {
    fc.assert(
      fc.property(fc.array(look, { minLength: 1, maxLength: 25 }), (looks) => {
        const policy = createPolicy(endpoint(policySpec, [pool({ min, max })]));
        let [wanted, state] = [3, null as Json];
        const grown: { readonly atMs: number; readonly by: number }[] = [];
        for (const [at, { gpu: value, ttft, accepted }] of looks.entries()) {
          const atMs = at * 15_000;
          const now = observation({
            seq: at,
            nowMs: atMs,
            replicas: fleet(wanted),
            series: [
              ...(value === null
                ? []
                : each(
                    "gpu_utilization",
                    Array.from({ length: wanted }, (_, of) => value + of * 0.1),
                    atMs,
                  )),
              ...(ttft === null ? [] : [series("ttft_p95", null, ttft / 1_000, atMs)]),
            ],
          });
          if (at === 0) state = policy.start(now);
          const turned = { ...now, replicas: now.replicas.toReversed(), series: now.series.toReversed() };
          const decided = policy.decide(state, now);
          const again = policy.decide(JSON.parse(JSON.stringify(state)) as Json, turned);
          expect(again).toEqual(decided);
          state = decided.state;
          const want = decided.decision.wants["default"];
          if (want?.kind !== "scale") continue;
          expect(want.replicas).toBeGreaterThanOrEqual(min);
          expect(want.replicas).toBeLessThanOrEqual(max);
          if (value === null || ttft === null) expect(want.replicas).toBeGreaterThan(wanted);
          const by = want.replicas - wanted;
          const sameWay = grown.filter((change) => change.atMs > atMs - 60_000).reduce((sum, change) => sum + change.by, by);
          expect(Math.abs(sameWay)).toBeLessThanOrEqual(2);
          state = policy.settle(state, { seq: at, pool: "default", atMs, result: accepted ? "accepted" : "refused" }).state;
          if (!accepted) continue;
          grown.push({ atMs, by });
          wanted = want.replicas;
        }
      }),
      { numRuns: 60 },
    );
  });

  it("more load never asks for fewer", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 400 }), (size, a, b) => {
        const of = (value: number) => {
          const now = observation({
            replicas: fleet(size),
            series: each(
              "gpu_utilization",
              Array.from({ length: size }, () => value),
            ),
          });
          return count(decide(spec([gpu]), now), now);
        };
        expect(of(Math.max(a, b))).toBeGreaterThanOrEqual(of(Math.min(a, b)));
      }),
    );
  });

  it("the slo policy, too, is the same after JSON and in any order", () => {
    const slot = {
      class: "default",
      promptBand: 2,
      prefixHitTokens: 0,
      failed: 0,
      cancelled: 0,
      rejected: 0,
      inFlightMean: 3,
      heldMean: 0,
    };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 2, maxLength: 12 }), (rates) => {
        const policy = createPolicy(endpoint(slo(), [pool({ min: 1, max: 9 })]));
        let state: Json = null;
        for (const [at, arrivals] of rates.entries()) {
          const atMs = at * 5_000;
          const slots = [0, 1, 2, 3, 4].flatMap((second) =>
            [1, 4].map((promptBand) => {
              const counts = {
                arrivals,
                promptTokens: arrivals * 700,
                completed: arrivals,
                outputTokens: arrivals * 90,
                withinObjective: arrivals,
              };
              return { ...slot, ...counts, promptBand, atMs: atMs - 5_000 + second * 1_000 };
            }),
          );
          const engines = [...each("running", [2, 5, 9], atMs), ...each("gen_tokens", [at * 997, at * 1_777, at * 311], atMs)];
          const now = observation({
            seq: at,
            nowMs: atMs,
            replicas: fleet(3),
            slots,
            series: [...engines, ...each("prompt_tokens", [at * 10, at * 999, at], atMs)],
          });
          if (at === 0) state = policy.start(now);
          const turned = { ...now, replicas: now.replicas.toReversed(), series: now.series.toReversed(), slots: slots.toReversed() };
          const decided = policy.decide(state, now);
          expect(policy.decide(JSON.parse(JSON.stringify(state)) as Json, turned)).toEqual(decided);
          state = decided.state;
        }
      }),
      { numRuns: 30 },
    );
  });
});
