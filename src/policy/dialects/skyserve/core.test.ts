import { describe, expect, it } from "vitest";
import { pool, ready, starting } from "../../plant.fixture.ts";
import {
  chooseToScaleDown,
  follow,
  type Hysteresis,
  mixSpot,
  qpsOfPool,
  type ReplicaPolicy,
  replicaPolicyOf,
  targetForMixedRate,
  targetForRate,
  thresholdOf,
} from "./index.ts";

const policy = (over: Partial<ReplicaPolicy> = {}): ReplicaPolicy => ({
  ...replicaPolicyOf({ name: "", namespace: "", spec: { service: { replica_policy: { min_replicas: 0, max_replicas: 10 } } } }),
  ...over,
});

it.each([
  { rule: "rounds a part of a replica up", qps: 5.1, each: 2.5, count: 3 },
  { rule: "is exact at a whole number", qps: 5, each: 2.5, count: 2 },
  { rule: "is zero without requests", qps: 0, each: 2.5, count: 0 },
  { rule: "ends at the maximum", qps: 500, each: 2.5, count: 10 },
])("a target for a rate $rule", ({ qps, each, count }) => expect(targetForRate(qps, each, policy())).toBe(count));

it.each([
  { rule: "counts the strongest first until they carry more", qps: 4, capacities: [1, 3, 2], count: 2 },
  { rule: "takes one more where they carry just the rate", qps: 5, capacities: [1, 3, 2], count: 3 },
  { rule: "adds of the strongest alive for the rest", qps: 13, capacities: [1, 3], count: 5 },
  { rule: "adds of the strongest configured with none alive", qps: 9, capacities: [], count: 2 },
  { rule: "keeps one of what is alive without requests", qps: 0, capacities: [3, 3], count: 1 },
  { rule: "wants none with none alive and no requests", qps: 0, capacities: [], count: 0 },
])("a target for replicas that differ $rule", ({ qps, capacities, count }) =>
  expect(targetForMixedRate(qps, capacities, 8, policy())).toBe(count),
);

describe("hysteresis", () => {
  const at = (target: number): Hysteresis => ({ target, upscaleCounter: 0, downscaleCounter: 0 });
  const walk = (start: number, wishes: readonly number[], over: Partial<ReplicaPolicy> = {}) => {
    let memory = at(start);
    return wishes.map((wanted) => {
      memory = follow(memory, wanted, policy(over));
      return memory.target;
    });
  };
  it("counts decisions of 20 s: 15 up and 60 down by default", () => {
    expect([thresholdOf(300), thresholdOf(1200), thresholdOf(39), thresholdOf(0)]).toEqual([15, 60, 1, 0]);
  });
  it.each([
    {
      rule: "rises on the last of its decisions, to what that one asks",
      wishes: [3, 5, 4],
      over: { upscale_delay_seconds: 60 },
      targets: [2, 2, 4],
    },
    { rule: "starts over on the opposite wish", wishes: [3, 1, 3, 3], over: { upscale_delay_seconds: 40 }, targets: [2, 2, 2, 3] },
    { rule: "starts over when nothing is wished", wishes: [3, 2, 3, 3], over: { upscale_delay_seconds: 40 }, targets: [2, 2, 2, 3] },
    { rule: "falls after its own delay", wishes: [1, 1], over: { downscale_delay_seconds: 40 }, targets: [2, 1] },
    { rule: "does not wait for a delay under one decision", wishes: [4], over: { upscale_delay_seconds: 0 }, targets: [4] },
  ])("$rule", ({ wishes, over, targets }) => expect(walk(2, wishes, over)).toEqual(targets));
  it("does not wait at zero", () => expect(walk(0, [3])).toEqual([3]));
});

it.each([
  {
    rule: "keeps the base on demand and the rest spot",
    target: 5,
    ready: 4,
    over: { base_ondemand_fallback_replicas: 1 },
    mix: { spot: 4, onDemand: 1 },
  },
  {
    rule: "stands in for spot that is not ready",
    target: 5,
    ready: 1,
    over: { dynamic_ondemand_fallback: true },
    mix: { spot: 5, onDemand: 4 },
  },
  {
    rule: "does both",
    target: 5,
    ready: 1,
    over: { base_ondemand_fallback_replicas: 2, dynamic_ondemand_fallback: true },
    mix: { spot: 3, onDemand: 4 },
  },
  {
    rule: "never stands in for overprovision",
    target: 2,
    ready: 0,
    over: { num_overprovision: 3, dynamic_ondemand_fallback: true },
    mix: { spot: 5, onDemand: 2 },
  },
  {
    rule: "wants nothing of a base beyond the target",
    target: 1,
    ready: 0,
    over: { base_ondemand_fallback_replicas: 3 },
    mix: { spot: 0, onDemand: 1 },
  },
  {
    rule: "has nothing to give back with more spot ready than wanted",
    target: 1,
    ready: 4,
    over: { dynamic_ondemand_fallback: true },
    mix: { spot: 1, onDemand: 0 },
  },
])("a spot mix $rule", ({ target, ready, over, mix }) => expect(mixSpot(target, ready, policy(over))).toEqual(mix));

it.each([
  { rule: "of its type and number", gpu: "a100-80g", gpus: 2, qps: 6 },
  { rule: "of its type where the number is not listed", gpu: "l4-24g", gpus: 4, qps: 1 },
  { rule: "of another number of its type, where only that is listed", gpu: "a100-80g", gpus: 8, qps: 3 },
  { rule: "the least for a type that is not listed", gpu: "h200-141g", gpus: 1, qps: 1 },
])("a pool's rate is $rule", ({ gpu, gpus, qps }) =>
  expect(qpsOfPool(pool({ gpu, gpusPerReplica: gpus }), { "A100:1": 3, "A100:2": 6, L4: 1 })).toBe(qps),
);

it("lets go of what has come least far, then the weakest, then the youngest", () => {
  const replicas = [
    ready("old", 0, { entered: { starting: 0, ready: 1 } }),
    ready("young", 0, { entered: { starting: 50, ready: 60 } }),
    ready("weak", 0, { entered: { starting: 0, ready: 1 } }),
    ready("unready", 0, { readiness: { status: false, sinceMs: 9 } }),
    starting("loading", 0, { stage: "load" }),
    starting("pulling", 0, { stage: "pull" }),
    starting("pending", 0, { stage: "schedule" }),
    ready("draining", 0, { state: "draining" }),
  ];
  const order = chooseToScaleDown(replicas, 99, ({ id }) => (id === "weak" ? 1 : 2)).map(({ id }) => id);
  expect(order).toEqual(["pending", "pulling", "loading", "unready", "weak", "young", "old"]);
});
