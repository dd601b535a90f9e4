import { describe, expect, it } from "vitest";
import {
  AUTOSCALING_DEFAULTS,
  type AutoscalingConfig,
  applyBounds,
  boundsOf,
  type CapacityDirection,
  capacityAdjusted,
  capacityDirection,
  coldStartReplicas,
  decideApplication,
  decideReplicas,
  downscalingFactor,
  NO_POLICY_STATE,
  RAY_SERVE_VERSIONS,
  recordIntervalS,
  reportTimeoutS,
  type StepSeries,
  totalAt,
  upscalingFactor,
  versionFor,
} from "./index.ts";

// What the conformance vectors do not reach.
const config = (over: Partial<AutoscalingConfig> = {}): AutoscalingConfig => ({ ...AUTOSCALING_DEFAULTS, max_replicas: 20, ...over });

it.each([
  { rule: "the newest name of three", over: { upscaling_factor: 3, upscale_smoothing_factor: 2, smoothing_factor: 5 }, factor: 3 },
  { rule: "the deprecated one of its direction", over: { upscale_smoothing_factor: 2, smoothing_factor: 5 }, factor: 2 },
  { rule: "the deprecated one of both directions", over: { smoothing_factor: 5 }, factor: 5 },
  { rule: "1 where none is stated", over: {}, factor: 1 },
])("the factor that counts is $rule", ({ over, factor }) => expect(upscalingFactor(config(over))).toBe(factor));
it("each direction has its own factor", () => expect(downscalingFactor(config({ upscaling_factor: 3, smoothing_factor: 2 }))).toBe(2));

it.each([
  { n: 5, capacity: null, adjusted: 5 },
  { n: 5, capacity: 100, adjusted: 5 },
  { n: 5, capacity: 50, adjusted: 3 },
  { n: 4, capacity: 60, adjusted: 2 },
  { n: 1, capacity: 1, adjusted: 1 },
  { n: 0, capacity: 50, adjusted: 0 },
  { n: 9, capacity: 0, adjusted: 0 },
])("$n at a capacity of $capacity % is $adjusted", ({ n, capacity, adjusted }) => expect(capacityAdjusted(n, capacity)).toBe(adjusted));

it.each<{
  rule: string;
  apps: readonly string[];
  from: number | null;
  to: number | null;
  was: CapacityDirection;
  direction: CapacityDirection;
}>([
  { rule: "none without a capacity", apps: ["b"], from: 50, to: null, was: "up", direction: null },
  { rule: "up with other applications", apps: ["b"], from: null, to: 50, was: null, direction: "up" },
  { rule: "down from none", apps: ["a"], from: null, to: 50, was: null, direction: "down" },
  { rule: "none to none", apps: ["a"], from: 50, to: null, was: "down", direction: null },
  { rule: "up to more", apps: ["a"], from: 50, to: 60, was: "down", direction: "up" },
  { rule: "down to less", apps: ["a"], from: 50, to: 40, was: "up", direction: "down" },
  { rule: "what it was while it stays", apps: ["a"], from: 50, to: 50, was: "up", direction: "up" },
])("a capacity's direction is $rule", ({ apps, from, to, was, direction }) => {
  const before = { applications: ["a"], targetCapacity: from, direction: was };
  expect(capacityDirection(before, { applications: apps, targetCapacity: to })).toBe(direction);
});
it("the first capacity counts as growing", () => {
  expect(capacityDirection(null, { applications: ["a"], targetCapacity: 20 })).toBe("up");
});

it("while capacity grows the lower bound is initial_replicas", () => {
  const stated = config({ min_replicas: 1, initial_replicas: 8, max_replicas: 10 });
  expect(boundsOf(stated, 50, "up")).toEqual({ lower: 4, upper: 5 });
  expect(boundsOf(stated, 50, "down")).toEqual({ lower: 1, upper: 5 });
  expect(applyBounds(0, boundsOf(stated, 0, "up"))).toBe(0);
});

it.each([
  { rayVersion: "2.46.0", version: "2.58.0" },
  { rayVersion: "2.58.0", version: "2.58.0" },
  { rayVersion: "2.58.1", version: "after 2.58.0" },
  { rayVersion: "3.0.0.dev0", version: "after 2.58.0" },
  { rayVersion: "nightly", version: "2.58.0" },
  { rayVersion: undefined, version: "2.58.0" },
])("a cluster of $rayVersion is followed as $version", ({ rayVersion, version }) => expect(versionFor(rayVersion)).toBe(version));

it("samples and reports by Ray's own intervals", () => {
  expect([recordIntervalS(config()), recordIntervalS(config({ look_back_period_s: 100 }))]).toEqual([6, 10]);
  expect([reportTimeoutS(config()), reportTimeoutS(config({ metrics_interval_s: 1 }))]).toEqual([20, 10]);
});

describe("with nothing running", () => {
  const asked = (over: object) => ({ config: config(), currentNumReplicas: 0, targetNumReplicas: 4, totalNumRequests: 0, ...over });
  it("requests bring back the target, or the factor where that is more", () => {
    expect(coldStartReplicas(asked({ totalNumRequests: 0.1 }))).toBe(4);
    expect(coldStartReplicas(asked({ totalNumRequests: 9, config: config({ upscaling_factor: 5.5 }) }))).toBe(6);
    expect(coldStartReplicas(asked({}))).toBeNull();
    expect(coldStartReplicas(asked({ totalNumRequests: 9, currentNumReplicas: 1 }))).toBeNull();
  });
  it.each([
    { version: "2.58.0" as const, rule: "a lower count is taken at once", decision: 2 },
    { version: "after 2.58.0" as const, rule: "a lower count waits for its delay", decision: 4 },
  ])("$rule in $version", ({ version, decision }) => {
    expect(decideReplicas(() => 2, asked({}), NO_POLICY_STATE, 0, RAY_SERVE_VERSIONS[version]).decision).toBe(decision);
  });
});

it("an application's policy leaves out what it does not name, and each deployment waits by itself", () => {
  const one = (over: Partial<AutoscalingConfig>) => ({
    config: config(over),
    currentNumReplicas: 2,
    targetNumReplicas: 2,
    totalNumRequests: 1,
  });
  const contexts = new Map([
    ["slow", one({})],
    ["quick", one({ upscale_delay_s: 0 })],
    ["other", one({})],
  ]);
  const verdicts = decideApplication(
    () =>
      new Map([
        ["slow", 6],
        ["quick", 6],
      ]),
    contexts,
    new Map(),
    0,
    RAY_SERVE_VERSIONS["2.58.0"],
  );
  expect([...verdicts].map(([name, { decision }]) => [name, decision])).toEqual([
    ["slow", 2],
    ["quick", 6],
  ]);
});

describe("the controller's total", () => {
  const series = (...points: readonly (readonly [number, number])[]): StepSeries => points.map(([atS, value]) => ({ atS, value }));
  it.each([
    { rule: "is 0 of nothing", all: [series()], how: "mean" as const, nowS: 9, total: 0 },
    { rule: "holds the last value until now", all: [series([0, 2], [4, 6])], how: "mean" as const, nowS: 8, total: 4 },
    { rule: "starts where every series has begun", all: [series([0, 2]), series([4, 6])], how: "mean" as const, nowS: 8, total: 8 },
    { rule: "so for the least, too", all: [series([0, 2]), series([4, 6])], how: "min" as const, nowS: 8, total: 8 },
    { rule: "lets a value that has just come count for 1 ms", all: [series([5, 7])], how: "mean" as const, nowS: 5, total: 7 },
  ])("$rule", ({ all, how, nowS, total }) => expect(totalAt(all, how, nowS)).toBeCloseTo(total, 9));
});
