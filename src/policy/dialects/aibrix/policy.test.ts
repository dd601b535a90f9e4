import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool, ready, series } from "../../plant.fixture.ts";
import { codesOf, type Look, type SeriesAt, type WorldOptions, world } from "../kpa/world.fixture.ts";
import {
  AIBRIX_VERSIONS,
  type AibrixOptions,
  aibrixDialect,
  aibrixPolicy,
  apa,
  asHpa,
  guardPending,
  kpa,
  settingsOf,
  stabilize,
} from "./index.ts";

const MINUTE = 60_000;
const START = Date.UTC(2026, 8, 7, 12, 0);
const METRIC = "gpu_cache_usage_perc";

const manifestOf = (
  strategy: "HPA" | "KPA" | "APA",
  spec: Manifest["spec"] = {},
  annotations: Readonly<Record<string, string>> = {},
): Manifest => ({
  name: "llama",
  namespace: "default",
  annotations,
  spec: {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "llama" },
    minReplicas: 1,
    maxReplicas: 10,
    metricsSources: [
      { metricSourceType: "pod", protocolType: "http", path: "/metrics", port: "8000", targetMetric: METRIC, targetValue: "50" },
    ],
    scalingStrategy: strategy,
    ...spec,
  },
});
const endpoint = endpointOf({ kind: "aibrix", manifest: manifestOf("APA") }, [pool({ min: 1, max: 10 })]);
const each =
  (value: (atMs: number, ids: readonly string[]) => number | null, name = METRIC): SeriesAt =>
  (atMs, ids) => {
    const reading = value(atMs, ids);
    return reading === null ? [] : ids.map((id) => series(name, id, reading, atMs));
  };
const run = (manifest: Manifest, options: WorldOptions, more: AibrixOptions = {}) =>
  world(aibrixPolicy(endpoint, manifest, more), { startMs: START, ...options });
const settings = settingsOf(manifestOf("KPA"));

describe("APA", () => {
  it.each([
    { rule: "follows the ratio", current: 4, average: 75, count: 6 },
    { rule: "rounds a partial replica up", current: 3, average: 56, count: 4 },
    { rule: "stays inside the tolerance", current: 4, average: 54, count: 4 },
    { rule: "stays at the edge of the tolerance", current: 4, average: 45, count: 4 },
    { rule: "grows no faster than its rate", current: 2, average: 500, count: 4 },
    { rule: "shrinks no faster than its rate", current: 8, average: 1, count: 4 },
    { rule: "never leaves zero", current: 0, average: 500, count: 0 },
  ])("$rule", ({ current, average, count }) => {
    expect(apa(current, average, 50, settings)).toBe(count);
  });
});

describe("KPA", () => {
  const released = { peak: 0, repaired: false };
  it("wants average / target replicas, however many there are", () => {
    expect([2, 3, 4].map((current) => kpa(current, { stable: 75, panic: 75 }, 50, settings, released).replicas)).toEqual([2, 2, 2]);
  });
  it("goes no further than its rates, and at least to one", () => {
    expect(kpa(10, { stable: 10, panic: 10 }, 50, settings, released).replicas).toBe(5);
    expect(kpa(2, { stable: 1000, panic: 1000 }, 50, settings, released).replicas).toBe(4);
    expect(kpa(0, { stable: 1000, panic: 1000 }, 50, settings, released).replicas).toBe(1);
  });
  it("panics over the threshold, and where the stable average is nothing", () => {
    expect(kpa(2, { stable: 50, panic: 101 }, 50, settings, released)).toMatchObject({ panicking: true, replicas: 3 });
    expect(kpa(2, { stable: 50, panic: 100 }, 50, settings, released)).toMatchObject({ panicking: false, replicas: 2 });
    expect(kpa(2, { stable: 0, panic: 0 }, 50, settings, released)).toMatchObject({ panicking: true, replicas: 1 });
  });
  it("holds the peak of a panic only where it is repaired", () => {
    const averages = { stable: 50, panic: 110 };
    expect(kpa(8, averages, 50, settings, { peak: 8, repaired: false }).replicas).toBe(8);
    const falling = { stable: 20, panic: 45 };
    expect(kpa(8, falling, 50, { ...settings, upTolerance: 0, downTolerance: 0 }, { peak: 8, repaired: false }).replicas).toBe(4);
    expect(kpa(8, falling, 50, { ...settings, upTolerance: 0, downTolerance: 0 }, { peak: 8, repaired: true }).replicas).toBe(8);
  });
});

describe("the cooldown windows", () => {
  const history = [
    { atMs: 0, replicas: 9 },
    { atMs: 100_000, replicas: 2 },
    { atMs: 200_000, replicas: 6 },
  ];
  const windows = { upCooldownMs: 150_000, downCooldownMs: 300_000 };
  it("take the largest on the way up and the smallest on the way down", () => {
    expect(stabilize(history, 240_000, 5, 4, windows).replicas).toBe(6);
    expect(stabilize(history, 240_000, 5, 8, windows).replicas).toBe(2);
    expect(stabilize(history, 240_000, 5, 5, windows).replicas).toBe(5);
  });
  it("forget what is as old as the window", () => {
    expect(stabilize(history, 400_000, 5, 8, windows).replicas).toBe(5);
  });
});

describe("pending replicas (newer releases)", () => {
  const of = (over: Partial<Parameters<typeof guardPending>[1]>) =>
    guardPending("APA", { current: 4, ready: 2, average: 90, target: 50, recommended: 8, ...over });
  it("count as idle on the way up, so that what is starting is not asked for again", () => {
    expect(of({})).toBe(4);
    expect(of({ average: 180 })).toBe(8);
  });
  it("count as busy on the way down", () => {
    expect(of({ average: 10, recommended: 2 })).toBe(3);
  });
  it("change nothing once all are ready", () => {
    expect(of({ ready: 4 })).toBe(8);
  });
});

describe("the loop", () => {
  it("looks every ten seconds", () => {
    const looks = run(manifestOf("APA"), { replicas: 2, series: each(() => 50) }).run(MINUTE);
    expect(looks.map(({ atMs }) => atMs - START)).toEqual([0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
  });
  it("grows with the pods' average and settles where it meets the target", () => {
    const fleet = run(manifestOf("APA", { observeWindowSeconds: 10 }), { replicas: 2, series: each((_, ids) => 300 / ids.length) });
    fleet.run(5 * MINUTE);
    expect(fleet.wanted).toBe(6);
  });
  it("starts a fleet that nobody has set at its minimum, and leaves one alone that somebody set to zero", () => {
    expect(run(manifestOf("APA"), {}).look().after).toBe(1);
    const off = run(manifestOf("APA"), { replicas: 1, series: each(() => 90) });
    off.look();
    off.wanted = 0;
    expect(codesOf(off.look())).toEqual(["disabled"]);
    expect(off.wanted).toBe(0);
  });
  it("goes straight to a bound", () => {
    expect(codesOf(run(manifestOf("KPA", { maxReplicas: 3 }), { replicas: 9, series: each(() => 500) }).look())).toEqual(["bound"]);
  });
  it("takes the largest of its metrics, and leaves out those that fail", () => {
    const sources = [
      { metricSourceType: "pod", targetMetric: METRIC, targetValue: "50" },
      { metricSourceType: "pod", targetMetric: "running", targetValue: "4" },
    ];
    const both: SeriesAt = (atMs, ids) => ids.flatMap((id) => [series(METRIC, id, 50, atMs), series("running", id, 6, atMs)]);
    expect(run(manifestOf("APA", { metricsSources: sources }), { replicas: 2, series: both }).look().after).toBe(3);
    const one = run(manifestOf("APA", { metricsSources: sources }), { replicas: 2, series: each(() => 6, "running") }).look();
    expect(one.after).toBe(3);
    expect(codesOf(one)).toContain("metric-failed");
  });
  it("holds while no metric has an answer", () => {
    const fleet = run(manifestOf("APA"), { replicas: 5, series: each((atMs) => (atMs < START + MINUTE ? 50 : null)) });
    const looks = fleet.run(30 * MINUTE);
    expect(looks.every(({ after }) => after === 5)).toBe(true);
    expect(codesOf(looks.at(-1) as Look)).toContain("no-data");
  });
  it("reads an external metric once for all, also at zero", () => {
    const spec = {
      minReplicas: 0,
      metricsSources: [{ metricSourceType: "external", targetMetric: "vllm:deployment_replicas", targetValue: "1" }],
    };
    const outside: SeriesAt = (atMs) => [
      { ...series("vllm:deployment_replicas", null, 7, atMs), subject: { kind: "external", labels: {} } },
    ];
    const fleet = run(manifestOf("KPA", spec), { replicas: 0, series: outside });
    expect(fleet.look().after).toBe(1);
    fleet.run(MINUTE);
    expect(fleet.wanted).toBe(7);
  });
  it("follows the schedule of the hour, in its own time zone", () => {
    const schedules = [
      { name: "day", timezone: "America/New_York", daysOfWeek: ["Mon"], startTime: "09:00", endTime: "17:00", minReplicas: 4 },
    ];
    // Monday, 12:00 UTC is 08:00 in New York.
    const fleet = run(manifestOf("APA", { schedules }), { replicas: 1, series: each(() => 50) });
    fleet.run(59 * MINUTE);
    expect(fleet.wanted).toBe(1);
    fleet.run(2 * MINUTE);
    expect(fleet.wanted).toBe(4);
    expect(fleet.run(10 * 60 * MINUTE).at(-1)?.after).toBe(4);
  });
  it("lets newer releases look at metrics outside the bounds too", () => {
    const fleet = run(manifestOf("APA", { maxReplicas: 3 }), { replicas: 9, series: each(() => 500) }, { features: AIBRIX_VERSIONS.main });
    expect(codesOf(fleet.look())).toContain("metric");
    expect(fleet.wanted).toBe(3);
  });
});

describe("strategy HPA", () => {
  it("makes the HorizontalPodAutoscaler of its rates and windows", () => {
    const manifest = manifestOf(
      "HPA",
      {},
      { "autoscaling.aibrix.ai/max-scale-up-rate": "3", "autoscaling.aibrix.ai/max-scale-down-rate": "4" },
    );
    expect(asHpa(manifest, settingsOf(manifest), { min: 1, max: 10 }).spec).toMatchObject({
      minReplicas: 1,
      maxReplicas: 10,
      metrics: [{ type: "Pods", pods: { metric: { name: METRIC }, target: { type: "AverageValue", averageValue: "50" } } }],
      behavior: {
        scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [{ type: "Percent", value: 200, periodSeconds: 60 }] },
        scaleDown: { stabilizationWindowSeconds: 300, selectPolicy: "Min", policies: [{ type: "Percent", value: 75, periodSeconds: 60 }] },
      },
    });
  });
  it("decides as that HorizontalPodAutoscaler does", () => {
    const fleet = run(manifestOf("HPA"), { replicas: 2, series: each(() => 75) });
    expect(fleet.look()).toMatchObject({ after: 3, decision: { nextAtMs: START + 15_000 } });
  });
});

describe("bounds", () => {
  const schedules = [{ name: "day", startTime: "09:00", endTime: "17:00", minReplicas: 4, maxReplicas: 20 }];
  it("are those of every hour together", () => {
    expect(aibrixDialect.bounds(manifestOf("APA", { schedules }))).toEqual({ min: 1, max: 20 });
  });
  it("narrowed keep to what is inside, and come back as set", () => {
    const narrowed = aibrixDialect.withBounds(manifestOf("APA", { schedules }), { min: 2, max: 12 });
    expect(narrowed.spec).toMatchObject({ minReplicas: 2, maxReplicas: 10, schedules: [{ minReplicas: 4, maxReplicas: 12 }] });
    expect(aibrixDialect.bounds(narrowed)).toEqual({ min: 2, max: 12 });
    expect(aibrixDialect.bounds(aibrixDialect.withBounds(manifestOf("APA"), { min: 0, max: 30 }))).toEqual({ min: 0, max: 30 });
  });
});

describe("for any load", () => {
  const strategies = fc.constantFrom("KPA" as const, "APA" as const);
  const loads = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 30 });

  it("keeps to the bounds and to its rates from look to look", () => {
    fc.assert(
      fc.property(strategies, loads, fc.integer({ min: 2, max: 10 }), (strategy, values, first) => {
        const value = (atMs: number) => values[Math.min(values.length - 1, Math.floor((atMs - START) / 10_000))] as number;
        // Without cooldown windows: those look back further than one step, which is the original's own doing.
        const annotations = { "autoscaling.aibrix.ai/scale-down-cooldown-window": "0s" };
        const fleet = run(manifestOf(strategy, { minReplicas: 2 }, annotations), { replicas: first, series: each(value) });
        for (const { before, after } of fleet.run(values.length * 10_000)) {
          expect(after).toBeGreaterThanOrEqual(2);
          expect(after).toBeLessThanOrEqual(10);
          expect(after).toBeLessThanOrEqual(before * 2);
          expect(after).toBeGreaterThanOrEqual(Math.floor(before / 2));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("wants no less for more load, all replicas being there (KPA: once out of its tolerance, which keeps a large fleet as it is)", () => {
    const wanted = (strategy: "KPA" | "APA", value: number, count: number) =>
      run(
        manifestOf(
          strategy,
          {},
          strategy === "KPA" ? { "autoscaling.aibrix.ai/scale-up-tolerance": "0", "autoscaling.aibrix.ai/scale-down-tolerance": "0" } : {},
        ),
        {
          replicas: count,
          series: each(() => value + 0.5),
        },
      ).look().after;
    fc.assert(
      fc.property(strategies, fc.integer({ min: 1, max: 10 }), fc.nat(300), fc.nat(300), (strategy, count, a, b) => {
        expect(wanted(strategy, Math.max(a, b), count)).toBeGreaterThanOrEqual(wanted(strategy, Math.min(a, b), count));
      }),
    );
  });

  it("decides the same whatever the order of replicas and series, and whatever else is reported", () => {
    fc.assert(
      fc.property(strategies, fc.array(fc.nat(100), { minLength: 2, maxLength: 8 }), fc.nat(), (strategy, values, turn) => {
        const ids = values.map((_, index) => `r${index}`);
        const rotated = <T>(list: readonly T[]) => [...list.slice(turn % list.length), ...list.slice(0, turn % list.length)];
        const decide = (order: <T>(list: readonly T[]) => readonly T[], noise: readonly ReturnType<typeof series>[]) => {
          const policy = aibrixPolicy(endpoint, manifestOf(strategy));
          const seen = observation({
            nowMs: START,
            replicas: order(ids).map((id) => ready(id)),
            series: [...noise, ...order(ids.map((id, at) => series(METRIC, id, values[at] as number, START)))],
          });
          return policy.decide(policy.start(seen), seen).decision;
        };
        const noise = [series(METRIC, "stranger", 99, START), series("running", "r0", 5, START)];
        expect(decide(rotated, noise)).toEqual(decide((list) => list, []));
      }),
    );
  });
});
