import { describe, expect, it } from "vitest";
import { requestScale, type ScaleRequest } from "./executor.ts";
import { type FallbackInput, withFallback } from "./fallback.ts";
import { hpaSpec } from "./hpa-spec.ts";
import { metricMilli } from "./metric-value.ts";
import { combineJobScalers, effectiveMaxScale, jobBounds, jobDecision, jobsToStart } from "./scaled-job.ts";
import { compileScaledObject } from "./scaled-object.ts";
import { seriesKey, signalOfQuery } from "./series.ts";
import type { Fallback } from "./words.ts";

const SCALE_IN = { "autoscaling.keda.sh/paused-scale-in": "true" };

describe("executor", () => {
  const base: ScaleRequest = {
    nowMs: 1_000_000,
    currentReplicas: 3,
    isActive: false,
    isError: false,
    activeTriggers: ["s0-a", "s1-b"],
    minReplicaCount: null,
    idleReplicaCount: null,
    annotations: null,
    fallback: null,
    createdMs: 0,
    lastActiveMs: null,
    cooldownMs: 300_000,
    initialCooldownMs: 0,
  };
  const at = (change: Partial<ScaleRequest>) => requestScale({ ...base, ...change });

  it.each<[string, Partial<ScaleRequest>, string, number | null]>([
    ["an unreadable count does nothing", { currentReplicas: null, isActive: true }, "unreadable", null],
    ["zero alone is enough to activate, idle or not", { currentReplicas: 0, isActive: true }, "activated", 1],
    ["activation goes to the minimum", { currentReplicas: 0, isActive: true, minReplicaCount: 4 }, "activated", 4],
    ["below the minimum counts only with an idle count", { currentReplicas: 2, isActive: true, minReplicaCount: 4 }, "active", null],
    ["from idle to the minimum", { currentReplicas: 1, isActive: true, minReplicaCount: 4, idleReplicaCount: 1 }, "activated", 4],
    ["activation comes before a partial error", { currentReplicas: 0, isActive: true, isError: true }, "activated", 1],
    ["a partial error leaves everything", { isActive: true, isError: true }, "partial-error", null],
    ["an error waits for the fallback", { isError: true, fallback: { replicas: 2 } }, "awaiting-fallback", null],
    ["an error without fallback freezes, also below the minimum", { isError: true, minReplicaCount: 5 }, "trigger-error", null],
    ["an error with a fallback of 0 deactivates", { isError: true, fallback: { replicas: 0 } }, "deactivated", 0],
    ["inactive goes to zero", {}, "deactivated", 0],
    ["inactive goes to idle", { minReplicaCount: 2, idleReplicaCount: 1 }, "deactivated", 1],
    ["inactive above the minimum is the HPA's", { minReplicaCount: 2 }, "idle", null],
    [
      "inactive below the minimum is raised, without cooldown",
      { currentReplicas: 1, minReplicaCount: 2, lastActiveMs: 999_999 },
      "raised-to-min",
      2,
    ],
    ["also while scaling in is paused", { currentReplicas: 1, minReplicaCount: 2, annotations: SCALE_IN }, "raised-to-min", 2],
    ["the cooldown ends strictly after its time", { lastActiveMs: 700_000 }, "cooling-down", null],
    ["and then it is over", { lastActiveMs: 699_999 }, "deactivated", 0],
    ["the initial cooldown counts from the creation", { initialCooldownMs: 1_000_000 }, "cooling-down", null],
    ["and not once something was active", { initialCooldownMs: 9_000_000, lastActiveMs: 1 }, "deactivated", 0],
  ])("%s", (_, change, branch, replicas) => {
    expect(at(change)).toMatchObject({ branch, replicas });
  });

  it("renews the last activity where it is active, but not on a partial error", () => {
    expect(at({ isActive: true }).marksActive).toBe(true);
    expect(at({ isActive: true, isError: true }).marksActive).toBe(false);
    expect(at({ isActive: true, currentReplicas: 0 }).marksActive).toBe(true);
    expect(at({}).marksActive).toBe(false);
  });

  it("records who triggered an activation, unless an annotation did", () => {
    const event = { type: "Normal", reason: "KEDAScaleTargetActivated", fromReplicas: 0, toReplicas: 1 };
    expect(at({ isActive: true, currentReplicas: 0 }).event).toEqual({ ...event, triggers: ["s0-a", "s1-b"] });
    const annotations = { "autoscaling.keda.sh/force-activation": "true" };
    expect(at({ currentReplicas: 0, annotations }).event).toEqual({ ...event, triggers: [] });
  });
});

describe("fallback", () => {
  const fallback: Fallback = { failureThreshold: 0, replicas: 6, behavior: "static" };
  const failed: FallbackInput = {
    fallback,
    modifiers: null,
    health: null,
    metric: { error: "gone" },
    target: { type: "AverageValue", value: 2.5 },
    currentReplicas: 4,
    readyReplicas: 4,
  };
  const outcome = (change: Partial<FallbackInput>) => withFallback({ ...failed, ...change }).outcome;

  it.each<[string, Partial<FallbackInput>, unknown]>([
    ["static", {}, { kind: "fallback", milli: 15_000, replicas: 6 }],
    [
      "the higher",
      { fallback: { ...fallback, behavior: "currentReplicasIfHigher" }, currentReplicas: 9 },
      { kind: "fallback", milli: 22_500, replicas: 9 },
    ],
    [
      "the lower",
      { fallback: { ...fallback, behavior: "currentReplicasIfLower" }, currentReplicas: 9 },
      { kind: "fallback", milli: 15_000, replicas: 6 },
    ],
    ["the current", { fallback: { ...fallback, behavior: "currentReplicas" } }, { kind: "fallback", milli: 10_000, replicas: 4 }],
    [
      "the current, unreadable",
      { fallback: { ...fallback, behavior: "currentReplicas" }, currentReplicas: null },
      { kind: "error", message: "gone" },
    ],
    [
      "a Value target, by ready pods",
      { target: { type: "Value", value: 10 }, readyReplicas: 4 },
      { kind: "fallback", milli: 15_000, replicas: 6 },
    ],
    ["nil in a formula", { fallback: { ...fallback, behavior: "scalingModifiers" } }, { kind: "placeholder" }],
  ])("stands in by %s", (_, change, expected) => {
    expect(outcome(change)).toEqual(expected);
  });

  it("has no Value without a ready replica, and with a formula takes its target, which must be a whole number", () => {
    expect(outcome({ target: { type: "Value", value: 10 }, readyReplicas: 0 })).toMatchObject({ kind: "error" });
    const modifiers = { formula: "a", target: "3", activationTarget: "", metricType: "" };
    expect(outcome({ modifiers })).toMatchObject({ milli: 18_000 });
    expect(withFallback({ ...failed, modifiers: { ...modifiers, target: "2.5" } })).toEqual({
      health: null,
      outcome: { kind: "error", message: "gone" },
    });
  });
});

describe("jobs", () => {
  const strategy = (name: string, percentage = "") => ({
    strategy: name,
    customScalingQueueLengthDeduction: 1,
    customScalingRunningJobPercentage: percentage,
  });
  const counts = { maxScale: 5, scaleTo: 8, runningJobCount: 3, pendingJobCount: 1, maxReplicaCount: 6 };

  it.each<[string, string, number, number]>([
    ["default", "", 2, 8],
    ["custom", "0.5", 3, 8],
    ["custom", "half", 2, 8],
    ["accurate", "", 3, 8],
    ["eager", "", 2, 6],
  ])("%s (%s) may start %d for %d", (name, percentage, maxScale, scaleTo) => {
    expect(effectiveMaxScale(strategy(name, percentage), counts)).toEqual({ maxScale, scaleTo });
  });

  it("keeps the minimum out of the strategies' sight, and never starts less than none", () => {
    expect(jobBounds(2, 10)).toEqual({ min: 2, room: 8 });
    expect(jobBounds(12, 10)).toEqual({ min: 10, room: 10 });
    expect(jobBounds(2, null)).toEqual({ min: 2, room: 100 });
    expect(jobDecision(strategy("default"), 2, counts)).toEqual({ maxScale: 4, scaleTo: 8 });
    expect(jobsToStart({ maxScale: -3, scaleTo: 8 }, true)).toBe(0);
    expect(jobsToStart({ maxScale: 3, scaleTo: 8 }, false)).toBe(0);
  });

  it("does not count an active but empty queue for max, and takes the next one for min", () => {
    const scalers = [0, 7].map((queueLength) => ({ queueLength, targetAverageValue: 2, isActive: true }));
    expect(combineJobScalers("max", scalers.slice(0, 1), 0, 10)).toEqual({ isActive: false, queueLength: 0, maxValue: 0 });
    expect(combineJobScalers("min", scalers, 0, 10)).toEqual({ isActive: true, queueLength: 7, maxValue: 4 });
    expect(combineJobScalers("avg", scalers, 0, 10)).toEqual({ isActive: true, queueLength: 4, maxValue: 2 });
    expect(combineJobScalers("sum", [], 1, 10)).toEqual({ isActive: true, queueLength: 0, maxValue: 0 });
  });
});

it("makes the HPA that KEDA makes: sorted metrics, a composite in the place of all, pauses as disabled rules", () => {
  const triggers = [
    { type: "memory", metricType: "AverageValue", metadata: { value: "1Gi", containerName: "engine" } },
    { type: "prometheus", name: "a", metadata: { serverAddress: "s", query: "q", threshold: "0.0005" } },
    { type: "cpu", metricType: "Utilization", metadata: { value: "60" } },
    { type: "kafka", metricType: "Value", metadata: { bootstrapServers: "b", consumerGroup: "g", topic: "t" } },
  ];
  const manifest = (advanced: object, annotations = {}) => ({
    name: "llm",
    namespace: "d",
    annotations,
    spec: { triggers, minReplicaCount: 0, maxReplicaCount: 7, advanced: advanced as never },
  });
  const plain = hpaSpec(compileScaledObject(manifest({})));
  expect(plain).toMatchObject({
    minReplicas: 1,
    maxReplicas: 7,
    behavior: null,
    metrics: [
      { type: "ContainerResource", container: "engine" },
      { type: "External", metric: { name: "s1-prometheus" }, target: { averageValueMilli: 1 } },
      { type: "External", metric: { name: "s3-kafka-t" }, target: { valueMilli: 10_000 } },
      { type: "Resource", name: "cpu" },
    ],
  });
  const composed = hpaSpec(compileScaledObject(manifest({ scalingModifiers: { formula: "a * 2", target: "4.5" } }, SCALE_IN)));
  expect(composed.metrics).toMatchObject([
    { type: "External", metric: { name: "composite-metric" }, target: { averageValueMilli: 4500 } },
    { type: "Resource", name: "cpu" },
  ]);
  expect(composed.behavior).toMatchObject({ scaleDown: { selectPolicy: "Disabled" }, scaleUp: { selectPolicy: "Max" } });
});

it.each([
  [0.0004, 0],
  [0.0005, 1],
  [1.2346, 1235],
  [-3, 0],
  [Number.NaN, 0],
  [1e21, 9223372036854775807n],
])("hands %d to the HPA as %d thousandths", (value, milli) => {
  expect(metricMilli(value)).toBe(milli);
});

describe("a trigger's series", () => {
  it.each<[string, string | null]>([
    ["sum(vllm:num_requests_waiting)", "waiting"],
    ['sum(vllm:num_requests_running{model="m"})', "running"],
    ["avg(DCGM_FI_DEV_GPU_UTIL)", "gpu_utilization"],
    ["sum(DCGM_FI_DEV_GPU_UTIL)", null],
    ["avg(vllm:num_requests_waiting)", null],
    ["sum(rate(http_requests_total[1m]))", null],
    ["vector(1)", null],
  ])("of %s is %s", (query, signal) => {
    expect(signalOfQuery(query)).toBe(signal);
  });

  it("is looked up by name, metricName, query and generated name, first in endpoint.metrics", () => {
    const trigger = { name: "mine", metadata: { query: "sum(rate(my_total[1m]))", metricName: "old" } };
    expect(seriesKey({ "s0-prometheus": "waiting" }, trigger, "s0-prometheus")).toBe("s0-prometheus");
    expect(seriesKey({ "s0-prometheus": "waiting", old: "running" }, trigger, "s0-prometheus")).toBe("old");
    expect(seriesKey({ my_total: "request_rate" }, trigger, "s0-prometheus")).toBe("my_total");
    expect(seriesKey({}, { ...trigger, name: "held" }, "s0-prometheus")).toBe("held");
    expect(seriesKey({}, { name: "", metadata: { query: "sum(vllm:num_requests_waiting)" } }, "s0-prometheus")).toBe("waiting");
    expect(seriesKey({}, trigger, "s0-prometheus")).toBe("mine");
    expect(seriesKey({}, { name: "", metadata: { interceptorRoute: "chat" } }, "s0-external-push")).toBe("in_flight");
    expect(seriesKey({}, { name: "", metadata: {} }, "s0-prometheus")).toBe("s0-prometheus");
  });
});
