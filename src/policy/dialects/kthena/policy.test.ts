import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Manifest, Observation, Want } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool, ready, series, starting } from "../../plant.fixture.ts";
import { codesOf, type SeriesAt, type WorldOptions, world } from "../kpa/world.fixture.ts";
import {
  byExternal,
  byPods,
  correct,
  DEFAULTS,
  dealOut,
  EMPTY_MEMORY,
  enforceRatio,
  kthenaDialect,
  kthenaPolicy,
  recommend,
  scalingOrder,
  settingsOf,
} from "./index.ts";

const START = 1_000_000_000_000;
const MINUTE = 60_000;
const METRIC = "running";

interface Shape {
  readonly up?: object;
  readonly down?: object;
  readonly panic?: object;
}
const behaviorOf = ({ up, down, panic }: Shape) => ({
  scaleUp: {
    stablePolicy: { ...DEFAULTS.stable, stabilizationWindow: DEFAULTS.upWindow, ...up },
    panicPolicy: { ...DEFAULTS.panic, ...panic },
  },
  scaleDown: { ...DEFAULTS.stable, stabilizationWindow: DEFAULTS.downWindow, ...down },
});
const target = (name: string, source: object = { pod: {} }) => ({
  targetRef: { kind: "ModelServing", name },
  metricSources: { [METRIC]: source },
});
const manifestOf = (spec: object, shape: Shape = {}): Manifest => ({
  name: "llama",
  namespace: "default",
  spec: {
    tolerancePercent: 10,
    metrics: [{ name: METRIC, targetValue: "10" }],
    behavior: behaviorOf(shape),
    ...spec,
  } as unknown as Manifest["spec"],
});
const one = (shape: Shape = {}, bounds: object = {}, source?: object) =>
  manifestOf({ homogeneousTarget: { minReplicas: 1, maxReplicas: 20, target: target("llama", source), ...bounds } }, shape);
const endpoint = endpointOf({ kind: "kthena", manifest: one() }, [pool({ min: 1, max: 20 })]);
const each =
  (value: (atMs: number, ids: readonly string[]) => number | null): SeriesAt =>
  (atMs, ids) => {
    const reading = value(atMs, ids);
    return reading === null ? [] : ids.map((id) => series(METRIC, id, reading, atMs));
  };
const run = (manifest: Manifest, options: WorldOptions) => world(kthenaPolicy(endpoint, manifest), { startMs: START, ...options });
const pods = (over: Partial<Parameters<typeof byPods>[3]> = {}) => ({ sum: 40, reporters: 4, missing: 0, unready: 0, ...over });

describe("a metric's recommendation", () => {
  it.each([
    { rule: "mean over target, times those who report", at: pods({ sum: 60 }), count: 6 },
    { rule: "nothing inside the tolerance", at: pods({ sum: 43 }), count: 4 },
    { rule: "counts silent pods as on target on the way down", at: pods({ sum: 6, reporters: 3, missing: 1 }), count: 2 },
    { rule: "counts silent pods as idle on the way up", at: pods({ sum: 60, reporters: 3, missing: 1 }), count: 6 },
    { rule: "counts unready pods as idle on the way up", at: pods({ sum: 30, reporters: 2, unready: 2 }), count: 4 },
    { rule: "stays where the silent ones would turn the direction", at: pods({ sum: 12, reporters: 1, missing: 3 }), count: 4 },
    { rule: "leaves unready pods out on the way down", at: pods({ sum: 5, reporters: 2, unready: 2 }), count: 1 },
  ])("$rule", ({ at, count }) => {
    expect(byPods(4, 0.1, 10, at)).toBe(count);
  });
  it("is none where nobody reports", () => {
    expect(byPods(4, 0.1, 10, pods({ reporters: 0 }))).toBeNull();
  });
  it("is total over target for one number from outside, also at zero", () => {
    expect([byExternal(4, 0.1, 10, 60), byExternal(4, 0.1, 10, 43), byExternal(0, 0.1, 10, 3), byExternal(0, 0.1, 10, 0)]).toEqual([
      6, 4, 1, 0,
    ]);
  });
  it("gives way to the bounds, and the largest of several counts", () => {
    const limits = { min: 2, max: 8, tolerance: 0.1 };
    const external = (name: string, value: number) => ({ name, target: 10, reading: { kind: "external" as const, value } });
    expect(recommend(1, limits, [])).toMatchObject({ replicas: 2, toBound: true });
    expect(recommend(9, limits, [])).toMatchObject({ replicas: 8, toBound: true });
    expect(recommend(4, limits, [external("a", 30), external("b", 60)])).toMatchObject({ replicas: 6, byMetric: { a: 3, b: 6 } });
    expect(recommend(4, limits, [external("a", 900)])).toMatchObject({ replicas: 8 });
    expect(recommend(4, limits, [{ name: "a", target: 10, reading: { kind: "none" } }])).toMatchObject({ replicas: null });
  });
});

describe("behavior", () => {
  const settled = (shape: Shape) => settingsOf(one(shape)).behavior;
  const quiet = { panicModeHold: "0s" };
  const at = (nowMs: number, current: number, recommended: number) => ({ min: 0, max: 100, current, recommended, nowMs });

  it("lets a rise double in a period, or add one, whichever is more; And takes the lesser", () => {
    const or = settled({ panic: quiet, up: { period: "60s" } });
    expect(correct(EMPTY_MEMORY, or, at(START, 4, 50)).replicas).toBe(8);
    expect(correct(EMPTY_MEMORY, or, at(START, 0, 50)).replicas).toBe(1);
    expect(correct(EMPTY_MEMORY, settled({ panic: quiet, up: { period: "60s", selectPolicy: "And" } }), at(START, 4, 50)).replicas).toBe(5);
  });
  it("counts a rise from the lowest count of its period", () => {
    const rules = settled({ panic: quiet, up: { period: "60s" } });
    const first = correct(EMPTY_MEMORY, rules, at(START, 4, 50));
    expect(first.replicas).toBe(8);
    const second = correct(first.memory, rules, at(START + 15_000, 8, 50));
    expect(second.replicas).toBe(16);
    const third = correct(second.memory, rules, at(START + 30_000, 16, 50));
    expect(third.replicas).toBe(16);
  });
  it("waits with a fall for the highest recommendation of its window", () => {
    const rules = settled({ panic: quiet });
    const first = correct(EMPTY_MEMORY, rules, at(START, 8, 8));
    const second = correct(first.memory, rules, at(START + 60_000, 8, 2));
    expect(second).toMatchObject({ stabilized: 8, replicas: 8 });
    expect(correct(second.memory, rules, at(START + 301_000, 8, 2)).replicas).toBeLessThan(8);
  });
  it("panics at the threshold, rises at once and does not fall until the hold is over", () => {
    const rules = settled({ panic: { panicThresholdPercent: 150, panicModeHold: "5m" }, up: { stabilizationWindow: "1m" } });
    const first = correct(EMPTY_MEMORY, rules, at(START, 4, 40));
    expect(first).toMatchObject({ panicking: true, replicas: 40 });
    const second = correct(first.memory, rules, at(START + 60_000, 40, 2));
    expect(second).toMatchObject({ panicking: true, replicas: 40 });
    expect(correct(second.memory, rules, at(START + 301_000, 40, 2)).panicking).toBe(false);
  });
  it("limits a panic by its percent of the lowest count of its period", () => {
    const rules = settled({ panic: { percent: 50, period: "1m" } });
    expect(correct(EMPTY_MEMORY, rules, at(START, 4, 40)).replicas).toBe(6);
  });
});

describe("groups of different cost", () => {
  const unit = (name: string, min: number, max: number, cost: number) => ({ name, min, max, cost, metrics: [] });
  const units = [unit("h100", 0, 4, 100), unit("a100", 1, 8, 60)];

  it("are cut into blocks that double, in the order of what a block costs", () => {
    expect(scalingOrder(units, 200)).toEqual([
      { unit: 1, replicas: 1, cost: 60 },
      { unit: 0, replicas: 1, cost: 100 },
      { unit: 0, replicas: 1, cost: 100 },
      { unit: 1, replicas: 2, cost: 120 },
      { unit: 0, replicas: 2, cost: 200 },
      { unit: 1, replicas: 4, cost: 240 },
    ]);
  });
  it("are one block each, at the price of one replica, at 100 %", () => {
    expect(scalingOrder(units, 100)).toEqual([
      { unit: 1, replicas: 7, cost: 60 },
      { unit: 0, replicas: 4, cost: 100 },
    ]);
  });
  it("get their minimum and then their share along the order", () => {
    const order = scalingOrder(units, 200);
    expect([1, 2, 3, 5, 9, 12].map((total) => dealOut(units, order, total))).toEqual([
      [0, 1],
      [0, 2],
      [1, 2],
      [2, 3],
      [4, 5],
      [4, 8],
    ]);
  });

  const manifest = manifestOf(
    {
      heterogeneousTarget: {
        costExpansionRatePercent: 200,
        params: [
          { minReplicas: 0, maxReplicas: 4, cost: 100, target: target("h100") },
          { minReplicas: 1, maxReplicas: 8, cost: 60, target: target("a100") },
        ],
      },
    },
    { panic: { panicModeHold: "0s" } },
  );
  const pools = [pool({ name: "h100", max: 4 }), pool({ name: "a100", min: 1, max: 8 })];
  const both = { ...endpoint, pools };
  const seen = (counts: readonly [number, number], load: number): Observation => {
    const ids = ["h100", "a100"].flatMap((name, at) =>
      Array.from({ length: counts[at] as number }, (_, index) => ({ id: `${name}-${index}`, name })),
    );
    return observation({
      nowMs: START,
      pools: {
        h100: { wanted: counts[0], reported: counts[0], otherWriter: false },
        a100: { wanted: counts[1], reported: counts[1], otherWriter: false },
      },
      replicas: ids.map(({ id, name }) => ready(id, 0, { pool: name })),
      series: ids.map(({ id }) => series(METRIC, id, load / ids.length, START)),
    });
  };
  const wantsOf = (observed: Observation): Readonly<Record<string, Want>> => {
    const policy = kthenaPolicy(both, manifest);
    return policy.decide(policy.start(observed), observed).decision.wants;
  };

  it("are counted as one, and the total is dealt out", () => {
    expect(wantsOf(seen([1, 2], 60))).toMatchObject({ h100: { replicas: 2 }, a100: { replicas: 4 } });
    expect(wantsOf(seen([0, 1], 20))).toMatchObject({ h100: { replicas: 0 }, a100: { replicas: 2 } });
  });
  it("all hold while the metric is missing", () => {
    expect(wantsOf({ ...seen([1, 2], 60), series: [] })).toEqual({ h100: { kind: "hold" }, a100: { kind: "hold" } });
  });
  it("keep to each group's bounds at any total", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ min: fc.nat(4), more: fc.nat(12), cost: fc.nat(200) }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(50, 100, 150, 200, 400),
        fc.nat(80),
        (list, expansion, total) => {
          const groups = list.map(({ min, more, cost }, at) => unit(`u${at}`, min, min + more, cost));
          const counts = dealOut(groups, scalingOrder(groups, expansion), total);
          for (const [at, count] of counts.entries()) {
            expect(count).toBeGreaterThanOrEqual(groups[at]?.min ?? 0);
            expect(count).toBeLessThanOrEqual(groups[at]?.max ?? 0);
          }
        },
      ),
    );
  });
});

describe("roles", () => {
  const rule = (minMilli: number, maxMilli: number) => ({ numerator: "prefill", denominator: "decode", minMilli, maxMilli });
  const side = (replicas: number, min = 0, max = 10) => ({ replicas, min, max });

  it.each([
    { name: "inside the ratio stay", at: rule(500, 2000), top: side(2), bottom: side(3), counts: [2, 3] },
    { name: "both at zero stay", at: rule(500, 2000), top: side(0), bottom: side(0), counts: [0, 0] },
    { name: "one alone at zero becomes one", at: rule(100, 2000), top: side(0), bottom: side(3), counts: [1, 3] },
    { name: "too few of the one grow", at: rule(500, 2000), top: side(1), bottom: side(6), counts: [3, 6] },
    { name: "too many of the one let the other grow", at: rule(500, 2000), top: side(8), bottom: side(2), counts: [8, 4] },
    { name: "shrink only where the bounds leave no other way", at: rule(500, 2000), top: side(8), bottom: side(2, 0, 3), counts: [6, 3] },
  ])("$name", ({ at, top, bottom, counts }) => {
    const fitted = enforceRatio(at, top, bottom);
    expect([fitted?.numerator, fitted?.denominator]).toEqual(counts);
  });
  it("have no answer where no pair fits", () => {
    expect(enforceRatio(rule(3000, 4000), side(1, 0, 2), side(1, 1, 10))).toBeNull();
  });

  it("are counted by metrics of their own and fixed ones are left alone", () => {
    const manifest = manifestOf({
      disaggregatedTarget: {
        targetRef: { name: "llama" },
        roles: {
          prefill: {
            minReplicas: 1,
            maxReplicas: 8,
            metrics: [{ name: "waiting", targetValue: "5" }],
            metricSources: { waiting: { pod: {} } },
          },
          decode: { minReplicas: 3, maxReplicas: 3 },
        },
        ratioConstraint: { numeratorRole: "prefill", denominatorRole: "decode", minRatio: "500m", maxRatio: "1" },
      },
    });
    const roles = { ...endpoint, pools: [pool({ name: "p", role: "prefill" }), pool({ name: "d", role: "decode" })] };
    const observed = observation({
      nowMs: START,
      pools: { p: { wanted: 2, reported: 2, otherWriter: false }, d: { wanted: 3, reported: 3, otherWriter: false } },
      replicas: [ready("p0", 0, { pool: "p" }), ready("p1", 0, { pool: "p" })],
      series: [series("waiting", "p0", 20, START), series("waiting", "p1", 20, START)],
    });
    const policy = kthenaPolicy(roles, manifest);
    const { decision } = policy.decide(policy.start(observed), observed);
    expect(decision.wants).toMatchObject({ p: { replicas: 3 }, d: { replicas: 3 } });
    expect(decision.steps.map(({ code }) => code)).toContain("ratio");
  });
});

describe("the loop", () => {
  it("looks every fifteen seconds", () => {
    const looks = run(one(), { replicas: 2, series: each(() => 10) }).run(MINUTE);
    expect(looks.map(({ atMs }) => atMs - START)).toEqual([0, 15_000, 30_000, 45_000, 60_000]);
  });
  it("starts at the minimum and follows the load", () => {
    const fleet = run(one(), { series: each((_, ids) => 120 / ids.length) });
    expect(codesOf(fleet.look())).toContain("bound");
    fleet.run(5 * MINUTE);
    expect(fleet.wanted).toBe(12);
  });
  it("holds while nobody answers, and while a replica has failed", () => {
    const blind = run(one(), { replicas: 6, series: each((atMs) => (atMs < START + MINUTE ? 10 : null)) });
    expect(blind.run(20 * MINUTE).every(({ after }) => after === 6)).toBe(true);
    const policy = kthenaPolicy(endpoint, one());
    const observed = observation({
      nowMs: START,
      replicas: [ready("a"), { ...ready("b"), state: "failed" }],
      series: [series(METRIC, "a", 90, START)],
    });
    expect(policy.decide(policy.start(observed), observed).decision.wants).toEqual({ default: { kind: "hold" } });
  });
  it("does not ask again for what is starting", () => {
    const policy = kthenaPolicy(endpoint, one());
    const observed = observation({
      nowMs: START,
      replicas: [ready("a"), ready("b"), starting("c"), starting("d")],
      series: [series(METRIC, "a", 20, START), series(METRIC, "b", 20, START)],
    });
    expect(policy.decide(policy.start(observed), observed).decision.wants).toMatchObject({ default: { replicas: 4 } });
  });
  it("wakes from zero by a number from outside", () => {
    const manifest = one({}, { minReplicas: 0 }, { prometheus: { serverURL: "http://prometheus:9090", query: "sum(rps)" } });
    const fleet = run(manifest, { replicas: 0, series: (atMs) => [series(METRIC, null, 25, atMs)] });
    expect(fleet.look().after).toBe(3);
  });
  it("finds a metric by the policy's key or by what the pods call it", () => {
    const called = (key: string) =>
      manifestOf({
        metrics: [{ name: key, targetValue: "10" }],
        homogeneousTarget: {
          minReplicas: 1,
          maxReplicas: 20,
          target: { targetRef: { name: "llama" }, metricSources: { [key]: { pod: { name: "vllm:num_requests_running" } } } },
        },
      });
    const look = (manifest: Manifest, metrics: Readonly<Record<string, string>>) =>
      world(kthenaPolicy({ ...endpoint, metrics }, manifest), { startMs: START, replicas: 2, series: each(() => 20) }).look().after;
    expect(look(called("running"), {})).toBe(4);
    expect(look(called("load"), { load: "running" })).toBe(4);
    expect(look(called("load"), { "vllm:num_requests_running": "running" })).toBe(4);
    expect(look(called("load"), {})).toBe(2);
  });
  it("gives and takes bounds", () => {
    expect(kthenaDialect.bounds(one())).toEqual({ min: 1, max: 20 });
    expect(kthenaDialect.bounds(kthenaDialect.withBounds(one(), { min: 2, max: 4 }))).toEqual({ min: 2, max: 4 });
  });
});

describe("for any load", () => {
  const loads = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 40 });

  it("keeps to the bounds, and rises no faster than its limits in any period", () => {
    fc.assert(
      fc.property(loads, fc.integer({ min: 1, max: 20 }), (values, first) => {
        const value = (atMs: number) => values[Math.min(values.length - 1, Math.floor((atMs - START) / 15_000))] as number;
        const fleet = run(one({ panic: { panicModeHold: "0s" }, down: { stabilizationWindow: "0s" } }), {
          replicas: first,
          series: each(value),
        });
        for (const { before, after } of fleet.run(values.length * 15_000)) {
          expect(after).toBeGreaterThanOrEqual(1);
          expect(after).toBeLessThanOrEqual(20);
          expect(after).toBeLessThanOrEqual(Math.max(before * 2, before + 1));
        }
      }),
      { numRuns: 60 },
    );
  });
  it("wants no less for more load, all replicas being there", () => {
    const wanted = (load: number, count: number) => run(one(), { replicas: count, series: each(() => load / 7) }).look().after;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(400), fc.nat(400), (count, a, b) => {
        expect(wanted(Math.max(a, b), count)).toBeGreaterThanOrEqual(wanted(Math.min(a, b), count));
      }),
    );
  });
  it("decides the same whatever the order of replicas and series, and whatever else is reported", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { minLength: 2, maxLength: 8 }), fc.nat(), (values, turn) => {
        const ids = values.map((_, index) => `r${index}`);
        const rotated = <T>(list: readonly T[]) => [...list.slice(turn % list.length), ...list.slice(0, turn % list.length)];
        const decide = (order: <T>(list: readonly T[]) => readonly T[], noise: readonly ReturnType<typeof series>[]) => {
          const policy = kthenaPolicy(endpoint, one());
          const seen = observation({
            nowMs: START,
            replicas: order(ids).map((id) => ready(id)),
            series: [...noise, ...order(ids.map((id, at) => series(METRIC, id, values[at] as number, START)))],
          });
          return policy.decide(policy.start(seen), seen).decision;
        };
        const noise = [series(METRIC, "stranger", 99, START), series("waiting", "r0", 5, START)];
        expect(decide(rotated, noise)).toEqual(decide((list) => list, []));
      }),
    );
  });
});
