/** What implementers of HPA usually get wrong, one test each; the numbers in the names are those of our notes on the controller. */
import { describe, expect, it } from "vitest";
import type { Condition, Json } from "../../../model/index.ts";
import {
  averageReplicas,
  CONTROLLER_DEFAULTS,
  commitRescale,
  compileRules,
  compileSpec,
  defaultRules,
  defaultSpec,
  EMPTY_MEMORY,
  HPA_VERSIONS,
  HpaError,
  type HpaFeatures,
  type HpaMemory,
  type Int64,
  isWithin,
  limitWithBehavior,
  limitWithoutBehavior,
  type MetricSources,
  type Pod,
  type PodSample,
  planSync,
  podRequests,
  reconcile,
  resourceSamples,
  scaleDownLimit,
  scaleUpLimit,
  selectPods,
  stabilizeWithBehavior,
  stabilizeWithoutBehavior,
  storeScaleEvent,
  utilizationReplicas,
} from "./index.ts";

const NOW = 10_000_000_000;
const features = HPA_VERSIONS["1.37"];
const tolerances = { scaleUp: 0.1, scaleDown: 0.1 };
const grouping = {
  cpuInitializationPeriodMs: 300_000,
  initialReadinessDelayMs: 30_000,
  ignoreSucceededPods: true,
  podLevelResources: true,
};
const LONG_AGO = 0;

const pod = (name: string, change: Partial<Pod> = {}): Pod => ({
  name,
  phase: "Running",
  ready: { status: "True", sinceMs: LONG_AGO },
  startedMs: LONG_AGO,
  deleting: false,
  labels: {},
  containers: [{ name: "engine", requests: { cpu: 1000 } }],
  initContainers: [],
  podRequests: {},
  ...change,
});
const pods = (count: number) => Array.from({ length: count }, (_, at) => pod(`p${at}`));
const sample = (milli: Int64, atMs = NOW): PodSample => ({ milli, atMs, windowMs: 30_000 });
const samples = (...millis: Int64[]) => new Map(millis.map((milli, at) => [`p${at}`, sample(milli)]));

const metricInput = (current: number, listed: readonly Pod[], values: ReadonlyMap<string, PodSample>, resource = "") => ({
  currentReplicas: current,
  pods: listed,
  samples: values,
  resource,
  tolerances,
  settings: grouping,
  nowMs: NOW,
});
const average = (current: number, listed: readonly Pod[], values: ReadonlyMap<string, PodSample>, target: Int64) =>
  averageReplicas(metricInput(current, listed, values), target).replicas;
const utilization = (current: number, listed: readonly Pod[], values: ReadonlyMap<string, PodSample>, target: number) =>
  utilizationReplicas(metricInput(current, listed, values, "cpu"), null, target);

const external = (name: string, target: Json): Json => ({ type: "External", external: { metric: { name }, target } });
const value = (amount: string) => ({ type: "Value", value: amount });
const averageValue = (amount: string) => ({ type: "AverageValue", averageValue: amount });

interface Plant {
  readonly spec: { readonly [key: string]: Json | undefined };
  readonly current: number;
  readonly status?: number;
  readonly pods?: readonly Pod[];
  readonly metrics?: Readonly<Record<string, readonly Int64[]>>;
  readonly memory?: Partial<HpaMemory>;
  readonly features?: HpaFeatures;
}
const syncInput = (plant: Plant) => {
  const absent = () => {
    throw new HpaError("no answer");
  };
  const sources: MetricSources = {
    resource: absent,
    pods: absent,
    object: absent,
    external: ({ name }) => plant.metrics?.[name] ?? absent(),
  };
  return {
    nowMs: NOW,
    spec: compileSpec(defaultSpec({ maxReplicas: 100, ...plant.spec })),
    selection: { kind: "selected" as const, pods: plant.pods ?? pods(plant.current) },
    sources,
    features: plant.features ?? features,
    settings: CONTROLLER_DEFAULTS,
  };
};
const sync = (plant: Plant) =>
  planSync(
    { ...EMPTY_MEMORY, recommendations: [], ...plant.memory },
    { ...syncInput(plant), scale: { specReplicas: plant.current, statusReplicas: plant.status ?? plant.current } },
  );
const reasons = (conditions: readonly Condition[]) => conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`);
const asleep: Condition = { type: "ScaledToZero", status: "True", reason: "ScaledToZero", sinceMs: 0 };

const rulesOf = (direction: "scaleUp" | "scaleDown", rules: Json) => compileRules(defaultRules(direction, rules));
const behaviorOf = (scaleUp: Json, scaleDown: Json) => ({
  scaleUp: rulesOf("scaleUp", scaleUp),
  scaleDown: rulesOf("scaleDown", scaleDown),
});
const noEvents = { scaleUp: [], scaleDown: [] };
const event = (replicaChange: number, ageSeconds: number, outdated = false) => ({ replicaChange, atMs: NOW - ageSeconds * 1000, outdated });

describe("replica counts", () => {
  it("1: only averages of outer metrics use status.replicas", () => {
    const plant = { current: 3, status: 5, pods: pods(3), metrics: { a: [10_400] } };
    expect(sync({ ...plant, spec: { metrics: [external("a", averageValue("2"))] } }).desiredReplicas).toBe(5);
    expect(sync({ ...plant, spec: { metrics: [external("a", value("5.2"))] } }).desiredReplicas).toBe(6);
  });

  it("2: truncates utilization to a whole percent, and averages, before anything else", () => {
    expect(utilization(1, pods(1), samples(1109), 100)).toMatchObject({ utilization: 110, replicas: 1 });
    expect(utilization(1, pods(1), samples(1110), 100)).toMatchObject({ utilization: 111, replicas: 2 });
    expect(average(2, pods(2), samples(11, 11), 10)).toBe(2);
    expect(average(2, pods(2), samples(11, 12), 10)).toBe(2);
  });

  it("3: includes both ends of the tolerance, and applies it to each metric before the largest wins", () => {
    expect(isWithin(1.1, tolerances)).toBe(true);
    expect(isWithin(0.9, tolerances)).toBe(true);
    expect(isWithin(1.1000001, tolerances)).toBe(false);
    expect([Number.NaN, Number.POSITIVE_INFINITY].map((ratio) => isWithin(ratio, tolerances))).toEqual([false, false]);
    const metrics = [external("a", value("10")), external("b", value("10"))];
    expect(sync({ spec: { metrics }, current: 4, metrics: { a: [10_900], b: [1000] } }).desiredReplicas).toBe(4);
  });

  it("4: multiplies by ready pods, and after filling in by samples, strangers' included", () => {
    const [first, second] = pods(2) as [Pod, Pod];
    expect(average(5, [first, second], samples(200, 200), 100)).toBe(4);
    const withStranger = new Map([...samples(200), ["stranger", sample(200)] as const]);
    // One missing pod counts as 0: (200 + 200 + 0) / 3 over 100, times three samples.
    expect(average(2, [first, second], withStranger, 100)).toBe(4);
  });

  it("5: takes a missing pod for max(100 %, target) of its request, or for the target, and for nothing at ratio 1", () => {
    // 40 % of 50 with one pod missing at 100 %: (400 + 400 + 1000) / 3000 = 60 %, over the target: no change.
    expect(utilization(3, pods(3), samples(400, 400), 50).replicas).toBe(3);
    expect(average(4, pods(4), samples(10, 10, 10), 100)).toBe(2);
    expect(average(9, pods(2), samples(100), 100)).toBe(9);
  });

  it("6: takes unready pods for idle on the way up and leaves them out on the way down; Pending apart, only for cpu", () => {
    const starting = pod("p1", { ready: { status: "False", sinceMs: NOW }, startedMs: NOW });
    expect(utilization(2, [pod("p0"), starting], samples(2000, 2000), 100).replicas).toBe(2);
    expect(utilization(4, [pod("p0"), starting], samples(200, 200), 100).replicas).toBe(1);
    expect(average(2, [pod("p0"), starting], samples(2000, 2000), 1000)).toBe(4);
    expect(average(2, [pod("p0"), pod("p1", { phase: "Pending" })], samples(2000, 2000), 1000)).toBe(2);
  });

  it("7: never lets filling in turn the direction round, neither by ratio nor by count", () => {
    expect(average(3, pods(3), samples(150), 100)).toBe(3);
    expect(average(2, pods(6), samples(90, 80, 80, 80, 80), 100)).toBe(2);
  });

  it("23: saturates at int32, so that a huge metric ends at maxReplicas", () => {
    expect(average(3, pods(3), samples(1_500_000_000, 1_500_000_000, 1_500_000_000), 1)).toBe(2_147_483_647);
    const plant = { spec: { metrics: [external("a", value("1m"))], maxReplicas: 7 }, current: 5 };
    expect(sync({ ...plant, metrics: { a: [9_223_372_036_854_775_807n, 1] } }).desiredReplicas).toBe(7);
  });

  it("25: ignores succeeded pods, and a pod that lacks the container is one without a sample", () => {
    expect(average(1, [pod("p0"), pod("p1", { phase: "Succeeded" })], samples(300, 300), 100)).toBe(3);
    const answer = [
      { pod: "p0", atMs: NOW, windowMs: 0, containers: [{ name: "engine", milli: 5 }] },
      { pod: "p1", atMs: NOW, windowMs: 0, containers: [{ name: "other", milli: 5 }] },
    ];
    expect([...resourceSamples(answer, "engine", false).keys()]).toEqual(["p0"]);
    expect(() => resourceSamples(answer, "engine", true)).toThrow("container engine not present in metrics for pod p1");
    expect(() => podRequests(pods(1), "cpu", "sidecar", true)).toThrow("container sidecar not found in Pod p0");
  });
});

describe("several metrics", () => {
  const metrics = [external("a", value("10")), external("gone", value("1"))];

  it("8: a metric that fails blocks shrinking, but neither growing nor staying, and is an error either way", () => {
    const shrinking = sync({ spec: { metrics }, current: 4, metrics: { a: [1000] } });
    expect(shrinking).toMatchObject({ rescale: false, desiredReplicas: 4, error: { kind: "internal" } });
    expect(reasons(shrinking.memory.conditions)).toContain("ScalingActive=False/FailedGetExternalMetric");
    expect(shrinking.reason).toContain("invalid metrics (1 invalid out of 2), first error is:");
    const growing = sync({ spec: { metrics }, current: 4, metrics: { a: [20_000] } });
    expect(growing).toMatchObject({ rescale: true, desiredReplicas: 8, error: { kind: "internal" } });
    expect(sync({ spec: { metrics }, current: 4, metrics: { a: [10_000] } }).error).not.toBeNull();
  });

  it("8: the reason is the first failing metric's", () => {
    const odd = sync({ spec: { metrics: [{ type: "Bogus" }, external("gone", value("1"))] }, current: 4 });
    expect(reasons(odd.memory.conditions)).toContain("ScalingActive=False/InvalidMetricSourceType");
  });

  it("22: sums external series, and takes an empty answer for an error", () => {
    const metric = { spec: { metrics: [external("a", averageValue("10"))] }, current: 1 };
    expect(sync({ ...metric, metrics: { a: [10_000, 15_000] } }).desiredReplicas).toBe(3);
    expect(sync({ ...metric, metrics: { a: [] } }).branch.kind).toBe("failed");
  });
});

describe("stabilization", () => {
  it("9: starts its history with the current count, so that a first sync never shrinks", () => {
    const plant = { spec: { metrics: [external("a", value("10"))] }, current: 4, metrics: { a: [1000] } };
    expect(sync({ ...plant, memory: { recommendations: null } }).desiredReplicas).toBe(4);
    expect(sync({ ...plant, memory: { recommendations: [] } }).desiredReplicas).toBe(1);
  });

  it("10: counts a recommendation exactly as old as the window only without behavior", () => {
    const past = [{ replicas: 9, atMs: NOW - 300_000 }];
    expect(stabilizeWithoutBehavior(1, past, 300_000, NOW).replicas).toBe(9);
    expect(stabilizeWithBehavior(9, 1, past, { upMs: 0, downMs: 300_000 }, NOW).replicas).toBe(1);
  });

  it("11: reuses the last outdated slot, prunes nothing, and stores the raw recommendation", () => {
    const old = [1, 2, 3].map((replicas) => ({ replicas, atMs: NOW - 400_000 - replicas }));
    const young = { replicas: 8, atMs: NOW - 1000 };
    const { replicas, recommendations } = stabilizeWithoutBehavior(4, [...old, young], 300_000, NOW);
    expect(replicas).toBe(8);
    expect(recommendations.map((past) => past.replicas)).toEqual([1, 2, 4, 8]);
    const rules = rulesOf("scaleUp", { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] });
    const events = storeScaleEvent([event(1, 100), event(2, 90), event(3, 10)], 7, rules, NOW);
    expect(events.map(({ replicaChange, outdated }) => [replicaChange, outdated])).toEqual([
      [1, true],
      [7, false],
      [3, false],
    ]);
  });
});

describe("limits", () => {
  it("12: an empty behavior is not the same as none", () => {
    const plant = { current: 5, metrics: { a: [1_000_000] } };
    const metrics = [external("a", value("10"))];
    const memory = { scaleUpEvents: [event(5, 10)] };
    expect(sync({ ...plant, memory, spec: { metrics } }).desiredReplicas).toBe(10);
    expect(sync({ ...plant, memory, spec: { metrics, behavior: {} } }).desiredReplicas).toBe(5);
  });

  it("13: rounds a percentage up on the way up and truncates it on the way down, in doubles", () => {
    const percent = (value: number) => ({ policies: [{ type: "Percent", value, periodSeconds: 60 }] });
    expect(scaleUpLimit(100, noEvents, rulesOf("scaleUp", percent(10)), NOW)).toBe(111);
    expect(scaleDownLimit(100, noEvents, rulesOf("scaleDown", percent(90)), NOW)).toBe(9);
  });

  it("14: events of both directions move the start of both limits' periods", () => {
    const events = { scaleUp: [event(3, 10)], scaleDown: [event(1, 10)] };
    const policies = { policies: [{ type: "Pods", value: 2, periodSeconds: 60 }] };
    expect(scaleUpLimit(10, events, rulesOf("scaleUp", policies), NOW)).toBe(10);
    expect(scaleDownLimit(10, events, rulesOf("scaleDown", policies), NOW)).toBe(6);
  });

  it("15: a limit on the wrong side of the current count holds it, with the same reason", () => {
    const behavior = behaviorOf({ policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] }, {});
    const input = { currentReplicas: 10, desiredReplicas: 20, minReplicas: 1, maxReplicas: 50, behavior, nowMs: NOW };
    expect(limitWithBehavior({ ...input, events: { scaleUp: [event(8, 5)], scaleDown: [] } })).toEqual({
      replicas: 10,
      reason: "ScaleUpLimit",
    });
  });

  it("16: a bound that equals the limit gives the bound's reason", () => {
    const behavior = behaviorOf({}, {});
    const input = { currentReplicas: 10, behavior, events: noEvents, nowMs: NOW };
    expect(limitWithBehavior({ ...input, desiredReplicas: 50, minReplicas: 1, maxReplicas: 20 }).reason).toBe("TooManyReplicas");
    expect(limitWithBehavior({ ...input, desiredReplicas: -1, minReplicas: 0, maxReplicas: 20 }).reason).toBe("TooFewReplicas");
    expect(limitWithoutBehavior(3, 9, 1, 6)).toEqual({ replicas: 6, reason: "TooManyReplicas" });
  });

  it("17: outside of the bounds it jumps to the bound, reading no metric and leaving ScalingActive alone", () => {
    const spec = { metrics: [external("gone", value("1"))], minReplicas: 3, maxReplicas: 10, behavior: {} };
    const above = sync({ spec, current: 40 });
    expect(above).toMatchObject({ desiredReplicas: 10, rescale: true, error: null, branch: { kind: "bound" } });
    expect(reasons(above.memory.conditions)).toEqual(["AbleToScale=True/SucceededGetScale"]);
    expect(above.memory.recommendations).toEqual([]);
    expect(sync({ spec, current: 1 }).desiredReplicas).toBe(3);
  });

  it("20: a disabled direction reports its limit as any other", () => {
    const behavior = behaviorOf({ selectPolicy: "Disabled" }, { selectPolicy: "Disabled" });
    const input = { currentReplicas: 5, minReplicas: 1, maxReplicas: 20, behavior, events: noEvents, nowMs: NOW };
    expect(limitWithBehavior({ ...input, desiredReplicas: 9 })).toEqual({ replicas: 5, reason: "ScaleUpLimit" });
    expect(limitWithBehavior({ ...input, desiredReplicas: 2 })).toEqual({ replicas: 5, reason: "ScaleDownLimit" });
  });

  it("21: ScalingLimited compares with the stabilized count, not the raw one", () => {
    const held = sync({
      spec: { metrics: [external("a", value("10"))] },
      current: 8,
      metrics: { a: [1000] },
      memory: { recommendations: [{ replicas: 8, atMs: NOW - 1000 }] },
    });
    expect(reasons(held.memory.conditions)).toEqual([
      "AbleToScale=True/ScaleDownStabilized",
      "ScalingActive=True/ValidMetricFound",
      "ScalingLimited=False/DesiredWithinRange",
    ]);
  });

  it("24: the time of the last scaling holds nothing back", () => {
    const plant = { spec: { metrics: [external("a", value("10"))] }, current: 4, metrics: { a: [20_000] } };
    expect(sync({ ...plant, memory: { lastScaleMs: NOW - 1 } }).desiredReplicas).toBe(8);
  });
});

describe("zero", () => {
  const spec = { metrics: [external("a", value("1"))], minReplicas: 0 };

  it("18: a manual zero pauses, even with minReplicas 0; only what the controller put to sleep wakes", () => {
    const plant = { spec, current: 0, metrics: { a: [9000] } };
    const manual = sync(plant);
    expect(manual).toMatchObject({ rescale: false, desiredReplicas: 0, branch: { kind: "disabled" } });
    expect(reasons(manual.memory.conditions)).toContain("ScalingActive=False/ScalingDisabled");
    expect(sync({ ...plant, memory: { conditions: [asleep] } }).desiredReplicas).toBe(4);
    expect(sync({ ...plant, memory: { conditions: [asleep] }, features: HPA_VERSIONS["1.36"] }).branch.kind).toBe("disabled");
    expect(sync({ ...plant, features: HPA_VERSIONS["1.35"] }).desiredReplicas).toBe(4);
  });

  it("18: going to zero sets the condition, any other scaling clears it, and staying leaves it", () => {
    const compiled = compileSpec(defaultSpec({ maxReplicas: 5, ...spec }));
    const down = commitRescale(EMPTY_MEMORY, { from: 2, to: 0 }, compiled, features, NOW);
    expect(reasons(down.conditions)).toContain("ScaledToZero=True/ScaledToZero");
    const up = commitRescale(down, { from: 0, to: 1 }, compiled, features, NOW);
    expect(reasons(up.conditions)).toContain("ScaledToZero=False/NotScaledToZero");
    expect(commitRescale(down, { from: 0, to: 1 }, compiled, HPA_VERSIONS["1.36"], NOW).conditions).toHaveLength(1);
  });

  it("19: from zero there is no tolerance and no pod list, but limits hold, and a raised minReplicas is reached at once", () => {
    const plant = { spec, current: 0, memory: { conditions: [asleep] } };
    expect(sync({ ...plant, metrics: { a: [1000] } }).desiredReplicas).toBe(1);
    expect(sync({ ...plant, metrics: { a: [90_000] } }).desiredReplicas).toBe(4);
    expect(sync({ ...plant, spec: { ...spec, minReplicas: 9 }, metrics: { a: [1000] } }).desiredReplicas).toBe(9);
    const percent = { scaleUp: { policies: [{ type: "Percent", value: 900, periodSeconds: 60 }] } };
    expect(sync({ ...plant, spec: { ...spec, behavior: percent }, metrics: { a: [9000] } }).desiredReplicas).toBe(0);
  });
});

describe("the scale itself", () => {
  const labelled = pods(2).map((entry) => ({ ...entry, labels: { app: "llm" } }));

  it("26: two autoscalers that select one pod are both stopped, however their selectors are written", () => {
    expect(selectPods("app=llm", labelled, [{ name: "other", selector: "app in (llm, x)" }])).toMatchObject({ kind: "AmbiguousSelector" });
    expect(selectPods("app=llm", labelled, [{ name: "other", selector: "app!=llm" }])).toMatchObject({ kind: "selected", pods: labelled });
    expect(selectPods("", labelled, []).kind).toBe("InvalidSelector");
    expect(selectPods("cheddar cheese", labelled, []).kind).toBe("InvalidSelector");
    expect(selectPods("app,!gone", labelled, [])).toMatchObject({ kind: "selected", pods: labelled });
  });

  const plant: Plant = {
    spec: { metrics: [external("a", value("10"))], behavior: {} },
    current: 4,
    metrics: { a: [20_000] },
  };
  const scale = { specReplicas: 4, statusReplicas: 4 };

  it("retries a conflict, and gives up on a write that fails: no event, and the count wanted before stays", () => {
    let conflicts = 2;
    const retried = reconcile(EMPTY_MEMORY, syncInput(plant), { read: () => scale, write: () => (conflicts-- > 0 ? "conflict" : "ok") });
    expect(retried).toMatchObject({ rescaledTo: 8, memory: { scaleUpEvents: [{ replicaChange: 4 }], lastScaleMs: NOW } });
    for (const answer of ["conflict", "failed"] as const) {
      const failed = reconcile({ ...EMPTY_MEMORY, desiredReplicas: 4 }, syncInput(plant), { read: () => scale, write: () => answer });
      expect(failed).toMatchObject({ rescaledTo: null, desiredReplicas: 4, error: { kind: "internal" }, memory: { scaleUpEvents: [] } });
      expect(reasons(failed.memory.conditions)[0]).toBe("AbleToScale=False/FailedUpdateScale");
    }
  });

  it("says that a scale cannot be read", () => {
    const client = {
      read: () => {
        throw new HpaError("malformed apiVersion", "spec");
      },
      write: () => "ok" as const,
    };
    const unread = reconcile({ ...EMPTY_MEMORY, desiredReplicas: 3 }, syncInput(plant), client);
    expect(unread).toMatchObject({ desiredReplicas: 3, rescaledTo: null, error: { kind: "spec" } });
    expect(reasons(unread.memory.conditions)).toEqual(["AbleToScale=False/FailedGetScale"]);
  });
});
