import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest, Observation } from "../../../model/index.ts";
import { series } from "../../plant.fixture.ts";
import { cloudEndpoint, cloudFleet, codesOf, MINUTE, type Report, START, shared, wantOf } from "../cloud.fixture.ts";
import { awsDialect } from "./index.ts";
import { awsPolicy } from "./policy.ts";

const endpoint = cloudEndpoint();
const group = (over: Record<string, Json> = {}) => ({
  AutoScalingGroupName: "llm",
  MinSize: 1,
  MaxSize: 20,
  DefaultCooldown: 300,
  DefaultInstanceWarmup: 0,
  ...over,
});
const tracking = (over: Record<string, Json> = {}, target = 50, name = "target"): Json => ({
  AutoScalingGroupName: "llm",
  PolicyName: name,
  PolicyType: "TargetTrackingScaling",
  Enabled: true,
  TargetTrackingConfiguration: {
    CustomizedMetricSpecification: { MetricName: "load", Namespace: "NS", Statistic: "Average" },
    TargetValue: target,
    DisableScaleIn: false,
    ...over,
  },
});
const alarm = (name: string, over: Record<string, Json> = {}): Json => ({
  AlarmName: name,
  ActionsEnabled: true,
  MetricName: "load",
  Namespace: "NS",
  Statistic: "Average",
  Period: 60,
  EvaluationPeriods: 1,
  Threshold: 50,
  ComparisonOperator: "GreaterThanOrEqualToThreshold",
  TreatMissingData: "missing",
  ...over,
});
const step = (name: string, alarmName: string, over: Record<string, Json> = {}): Json => ({
  AutoScalingGroupName: "llm",
  PolicyName: name,
  PolicyType: "StepScaling",
  Enabled: true,
  AdjustmentType: "PercentChangeInCapacity",
  MetricAggregationType: "Average",
  StepAdjustments: [
    { MetricIntervalLowerBound: 0, MetricIntervalUpperBound: 10, ScalingAdjustment: 0 },
    { MetricIntervalLowerBound: 10, MetricIntervalUpperBound: 20, ScalingAdjustment: 10 },
    { MetricIntervalLowerBound: 20, ScalingAdjustment: 30 },
  ],
  Alarms: [{ AlarmName: alarmName }],
  ...over,
});
const manifest = (spec: Record<string, Json>): Manifest => ({
  name: "llm",
  namespace: "default",
  spec: { AutoScalingGroups: [group()], ScalingPolicies: [], ...spec },
});
const tracked = (over: Record<string, Json> = {}, ofGroup: Record<string, Json> = {}) =>
  awsPolicy(endpoint, manifest({ AutoScalingGroups: [group(ofGroup)], ScalingPolicies: [tracking(over)] }));

describe("target tracking", () => {
  it("says what it reads and asks at the end of each period", () => {
    const policy = tracked();
    expect(policy.needs).toEqual([{ name: "gpu_utilization", per: "replica", sampleEveryMs: 10_000 }]);
    expect(cloudFleet(policy, { count: 4, nowMs: START + 12_345 }).tick(50).nextAtMs).toBe(START + MINUTE);
    const quick = tracked({ CustomizedMetricSpecification: { MetricName: "load", Namespace: "NS", Statistic: "Average", Period: 10 } });
    expect(cloudFleet(quick, { count: 4, nowMs: START + 12_345 }).tick(50).nextAtMs).toBe(START + 20_000);
  });

  it("scales out after three datapoints above the target, in proportion", () => {
    const fleet = cloudFleet(tracked(), { count: 4 });
    expect(fleet.run(10 * MINUTE, () => shared(400))).toEqual([[3, 8]]);
  });

  it("scales in after fifteen datapoints below nine tenths of it, a little at a time", () => {
    const fleet = cloudFleet(tracked(), { count: 20 });
    expect(fleet.run(20 * MINUTE, () => shared(400))).toEqual([
      [15, 18],
      [16, 17],
      [17, 16],
      [18, 15],
      [19, 14],
    ]);
  });

  it("neither below the margin: between nine tenths and the target nothing moves", () => {
    expect(cloudFleet(tracked(), { count: 10 }).run(30 * MINUTE, () => shared(460))).toEqual([]);
    expect(cloudFleet(tracked(), { count: 10 }).run(30 * MINUTE, () => shared(440))).toEqual([]);
  });

  it("counts what warms up towards the capacity, but neither its metric nor a second breach twice", () => {
    const warm = tracked({}, { DefaultInstanceWarmup: 180 });
    const fleet = cloudFleet(warm, { count: 4, startMs: 2 * MINUTE });
    const changes = fleet.run(3 * MINUTE, () => shared(400));
    expect(changes).toEqual([]);
    const out = fleet.tick(shared(400));
    expect(wantOf(out)).toEqual({ kind: "scale", replicas: 8, drain: [] });
    const pending = fleet.tick(() => 100);
    expect(codesOf(pending)).toContain("pending");
    expect(fleet.wanted).toBe(8);
    // A larger breach only adds the difference.
    const more = fleet.tick(() => 150);
    expect(more.steps[0]?.text).toBe("target: load is 150 against 50 on 4 replicas that count: 12 instead of 8.");
    expect(fleet.wanted).toBe(12);
  });

  it("does not scale in while something warms up", () => {
    const fleet = cloudFleet(tracked({}, { DefaultInstanceWarmup: 3_600 }), { count: 10 });
    fleet.tick(20);
    fleet.set(11);
    fleet.run(20 * MINUTE, () => 20);
    expect(fleet.wanted).toBe(11);
    expect(codesOf(fleet.tick(20))).toContain("settling");
  });

  it("holds without data, in both directions, and says so", () => {
    const fleet = cloudFleet(tracked(), { count: 10 });
    fleet.run(14 * MINUTE, () => 10);
    expect(fleet.run(10 * MINUTE, () => null)).toEqual([]);
    const blind = fleet.tick(null);
    expect(wantOf(blind)).toEqual({ kind: "hold" });
    expect(codesOf(blind)).toEqual(["no-data", "unchanged"]);
  });

  it("leaves scale-in to others where it is disabled", () => {
    expect(cloudFleet(tracked({ DisableScaleIn: true }), { count: 10 }).run(30 * MINUTE, () => 10)).toEqual([]);
  });

  it("takes the settings of its own alarms from the file, 2 of 3 datapoints for one", () => {
    const high = alarm("TargetTracking-llm-AlarmHigh-1", {
      EvaluationPeriods: 3,
      DatapointsToAlarm: 2,
      ComparisonOperator: "GreaterThanThreshold",
    });
    const policy = { ...(tracking() as object), Alarms: [{ AlarmName: "TargetTracking-llm-AlarmHigh-1" }] } as Json;
    const fleet = cloudFleet(awsPolicy(endpoint, manifest({ ScalingPolicies: [policy], MetricAlarms: [high] })), { count: 4 });
    expect(fleet.run(6 * MINUTE, (atMs) => (atMs <= START + 3 * MINUTE ? shared(400) : shared(100)))).toEqual([[2, 8]]);
  });

  it("holds work per instance: a metric divided by the instances in service", () => {
    const stat = (Id: string, Namespace: string, MetricName: string) => ({
      Id,
      MetricStat: { Metric: { Namespace, MetricName }, Stat: "Average" },
      ReturnData: false,
    });
    const Metrics = [
      stat("m1", "NS", "queue"),
      stat("m2", "AWS/AutoScaling", "GroupInServiceInstances"),
      { Id: "e1", Expression: "m1 / m2", ReturnData: true },
    ];
    const policy = tracked({ CustomizedMetricSpecification: { Metrics }, TargetValue: 10 });
    expect(policy.needs).toMatchObject([{ name: "queue_depth", per: "endpoint" }]);
    const fleet = cloudFleet(policy, { count: 4, signal: "queue_depth", per: "endpoint" });
    expect(fleet.run(5 * MINUTE, () => 75)).toEqual([[3, 8]]);
  });

  it("counts requests per target and minute out of the arrival rate", () => {
    const policy = tracked({
      CustomizedMetricSpecification: undefined as never,
      PredefinedMetricSpecification: { PredefinedMetricType: "ALBRequestCountPerTarget" },
      TargetValue: 60,
    });
    const fleet = cloudFleet(policy, { count: 2, signal: "request_rate", per: "endpoint" });
    expect(fleet.run(5 * MINUTE, () => 6.5)).toEqual([[3, 7]]);
  });
});

describe("several target tracking policies", () => {
  const two = awsPolicy(
    cloudEndpoint({ metrics: { load: "gpu_utilization", cache: "kv_used" } }),
    manifest({
      ScalingPolicies: [
        tracking(),
        tracking({ CustomizedMetricSpecification: { MetricName: "cache", Namespace: "NS", Statistic: "Maximum" } }, 0.5, "cache"),
      ],
    }),
  );
  const both = (load: number, cache: number | null) => ({
    change: (seen: Observation): Observation => ({
      ...seen,
      series: [
        ...seen.replicas.flatMap(({ id }) => [series("gpu_utilization", id, load, seen.nowMs - 1)]),
        ...(cache === null ? [] : seen.replicas.flatMap(({ id }) => [series("kv_used", id, cache, seen.nowMs - 1)])),
      ],
    }),
  });
  const countAfter = (minutes: number, load: number, cache: number | null) => {
    const fleet = cloudFleet(two, { count: 10 });
    for (let at = 0; at < minutes; at++) fleet.tick(null, both(load, cache));
    return fleet.wanted;
  };
  it("scale out by the largest, and in only when both agree", () => {
    expect(countAfter(3, 75, 0.6)).toBe(15);
    expect(countAfter(17, 10, 0.1)).toBeLessThan(10);
    expect(countAfter(25, 10, 0.48)).toBe(10);
    expect(countAfter(25, 10, null)).toBe(10);
  });
});

describe("step scaling", () => {
  it("follows AWS's own example: 60 adds one of ten, then 70 while that one warms up adds two more", () => {
    const policy = awsPolicy(
      endpoint,
      manifest({
        AutoScalingGroups: [group({ DefaultInstanceWarmup: 300 })],
        ScalingPolicies: [step("out", "high")],
        MetricAlarms: [alarm("high")],
      }),
    );
    const fleet = cloudFleet(policy, { count: 10, startMs: MINUTE });
    fleet.tick(null);
    fleet.tick(60);
    expect(fleet.wanted).toBe(11);
    const more = fleet.tick(70);
    expect(fleet.wanted).toBe(13);
    expect(more.steps[0]?.text).toBe("out: high: load is 70 against 50, a step of +30 % from the 10 that count: 13 instead of 11.");
    expect(codesOf(fleet.tick(70))).toContain("pending");
  });

  it("steps in below the threshold, not before a scale-out has warmed up", () => {
    const down = step("in", "low", {
      StepAdjustments: [
        { MetricIntervalLowerBound: -10, MetricIntervalUpperBound: 0, ScalingAdjustment: 0 },
        { MetricIntervalUpperBound: -10, ScalingAdjustment: -10 },
      ],
    });
    const low = alarm("low", { ComparisonOperator: "LessThanOrEqualToThreshold" });
    const policy = awsPolicy(
      endpoint,
      manifest({ AutoScalingGroups: [group({ DefaultInstanceWarmup: 120 })], ScalingPolicies: [down], MetricAlarms: [low] }),
    );
    const fleet = cloudFleet(policy, { count: 10 });
    fleet.tick(null);
    fleet.set(12);
    expect(codesOf(fleet.tick(40))).toContain("settling");
    expect(codesOf(fleet.tick(40))).toContain("settling");
    fleet.tick(40);
    expect(fleet.wanted).toBe(11);
  });

  it("aggregates the datapoints of the alarm's periods", () => {
    const of = (MetricAggregationType: string) => {
      const policy = step("out", "high", { MetricAggregationType, AdjustmentType: "ChangeInCapacity" });
      const fleet = cloudFleet(
        awsPolicy(endpoint, manifest({ ScalingPolicies: [policy], MetricAlarms: [alarm("high", { EvaluationPeriods: 2 })] })),
        { count: 2 },
      );
      for (const load of [null, 60, 80]) fleet.tick(load);
      return fleet.wanted;
    };
    expect([of("Minimum"), of("Average"), of("Maximum")]).toEqual([12, 20, 20]);
  });

  it("holds on a gap although its alarm bridges it: no value is left to pick a step by", () => {
    const low = alarm("low", { ComparisonOperator: "LessThanThreshold", Threshold: 30 });
    const down = step("in", "low", {
      AdjustmentType: "ChangeInCapacity",
      StepAdjustments: [{ MetricIntervalUpperBound: 0, ScalingAdjustment: -1 }],
    });
    for (const TreatMissingData of ["missing", "ignore", "breaching", "notBreaching"]) {
      const policy = awsPolicy(endpoint, manifest({ ScalingPolicies: [down], MetricAlarms: [{ ...(low as object), TreatMissingData }] }));
      const fleet = cloudFleet(policy, { count: 10 });
      fleet.tick(null);
      fleet.tick(10);
      expect(fleet.run(10 * MINUTE, () => null)).toEqual([]);
    }
  });

  it("does nothing without an alarm in the file, and says what to add", () => {
    const fleet = cloudFleet(awsPolicy(endpoint, manifest({ ScalingPolicies: [step("out", "high")] })), { count: 3 });
    const decision = fleet.tick(99);
    expect(decision.steps[0]?.text).toContain("aws cloudwatch describe-alarms");
    expect(wantOf(decision)).toEqual({ kind: "scale", replicas: 3, drain: [] });
  });
});

describe("simple scaling", () => {
  const simple = (over: Record<string, Json> = {}): Json => ({
    AutoScalingGroupName: "llm",
    PolicyName: "simple",
    PolicyType: "SimpleScaling",
    Enabled: true,
    AdjustmentType: "ChangeInCapacity",
    ScalingAdjustment: 2,
    Cooldown: 180,
    Alarms: [{ AlarmName: "high" }],
    ...over,
  });
  const policy = awsPolicy(endpoint, manifest({ ScalingPolicies: [simple()], MetricAlarms: [alarm("high")] }));

  it("adjusts once, then waits for its cool-down after the change was done", () => {
    expect(cloudFleet(policy, { count: 2 }).run(12 * MINUTE, () => 90)).toEqual([
      [1, 4],
      // Done when seen at 2; three minutes on it acts again.
      [5, 6],
      [9, 8],
    ]);
  });

  it("does as its alarm says, which bridges a gap of two periods: the one place where a blind group shrinks, as AWS's does", () => {
    const low = alarm("high", { ComparisonOperator: "LessThanThreshold", Threshold: 30 });
    const down = awsPolicy(endpoint, manifest({ ScalingPolicies: [simple({ ScalingAdjustment: -1, Cooldown: 0 })], MetricAlarms: [low] }));
    const fleet = cloudFleet(down, { count: 10 });
    fleet.tick(null);
    fleet.tick(10);
    expect(fleet.run(10 * MINUTE, () => null)).toEqual([
      [0, 8],
      [1, 7],
    ]);
  });

  it("has no cool-down after a change that was refused", () => {
    const fleet = cloudFleet(policy, { count: 2 });
    fleet.tick(90);
    fleet.tick(90, { result: "refused" });
    expect(wantOf(fleet.tick(90))).toEqual({ kind: "scale", replicas: 4, drain: [] });
  });
});

describe("the group", () => {
  it("starts a fleet that nobody has set with its desired capacity, and leaves one that somebody stopped to its minimum", () => {
    const policy = tracked({}, { DesiredCapacity: 5, MinSize: 2 });
    expect(codesOf(cloudFleet(policy, { count: 0 }).tick(null))).toEqual(["first-start"]);
    const fresh = cloudFleet(policy, { count: 0 });
    fresh.tick(null);
    expect(fresh.wanted).toBe(5);
    const stopped = cloudFleet(policy, { count: 3 });
    stopped.tick(null);
    stopped.set(0);
    expect(wantOf(stopped.tick(null))).toEqual({ kind: "scale", replicas: 2, drain: [] });
  });

  it("goes to its bounds at once", () => {
    const fleet = cloudFleet(tracked({}, { MaxSize: 6 }), { count: 9 });
    expect(codesOf(fleet.tick(90))).toEqual(["bounds"]);
    expect(fleet.wanted).toBe(6);
  });

  it("is limited by the pool as well", () => {
    const narrow = cloudEndpoint({ pools: endpoint.pools.map((pool) => ({ ...pool, max: 6 })) });
    const fleet = cloudFleet(awsPolicy(narrow, manifest({ ScalingPolicies: [tracking()] })), { count: 4 });
    fleet.run(5 * MINUTE, () => 100);
    expect(fleet.wanted).toBe(6);
  });

  it.each([
    ["Launch", 100],
    ["Terminate", 5],
    ["AlarmNotification", 100],
  ])("does not scale while %s is suspended", (ProcessName, load) => {
    const fleet = cloudFleet(tracked({}, { SuspendedProcesses: [{ ProcessName }] }), { count: 5 });
    expect(fleet.run(20 * MINUTE, () => load)).toEqual([]);
    expect(codesOf(fleet.tick(load))).toContain("suspended");
  });

  it("does as scheduled actions say, once, in their time zone, and lets policies go on from there", () => {
    const action = (ScheduledActionName: string, over: Record<string, Json>): Json => ({
      AutoScalingGroupName: "llm",
      ScheduledActionName,
      ...over,
    });
    const policy = awsPolicy(
      endpoint,
      manifest({
        ScalingPolicies: [tracking()],
        ScheduledUpdateGroupActions: [
          // 22:13 UTC is 23:13 in Berlin.
          action("grow", { Recurrence: "15 23 * * *", TimeZone: "Europe/Berlin", MinSize: 6, DesiredCapacity: 8 }),
          action("once", { StartTime: "2023-11-14T22:40:00Z", MinSize: 1, MaxSize: 5 }),
          action("over", { Recurrence: "* * * * *", EndTime: "2023-11-14T00:00:00Z", DesiredCapacity: 20 }),
        ],
      }),
    );
    const fleet = cloudFleet(policy, { count: 2 });
    expect(fleet.run(30 * MINUTE, () => 10)).toEqual([
      [2, 8],
      [15, 7],
      [16, 6],
      [27, 5],
      [28, 4],
      [29, 3],
    ]);
  });

  it("asks again for a scheduled capacity that the platform refused", () => {
    const action = { AutoScalingGroupName: "llm", ScheduledActionName: "grow", StartTime: "2023-11-14T22:14:00Z", DesiredCapacity: 6 };
    const fleet = cloudFleet(awsPolicy(endpoint, manifest({ ScheduledUpdateGroupActions: [action] })), { count: 2 });
    fleet.tick(null);
    fleet.tick(null, { result: "refused" });
    fleet.tick(null);
    expect(fleet.wanted).toBe(6);
    fleet.set(3);
    fleet.tick(null);
    expect(fleet.wanted).toBe(3);
  });

  it("asks a policy once a period of its alarm, however often another one makes it look", () => {
    const quick = tracking(
      { CustomizedMetricSpecification: { MetricName: "cache", Namespace: "NS", Statistic: "Average", Period: 10 }, DisableScaleIn: true },
      1_000,
      "quick",
    );
    const policy = awsPolicy(
      endpoint,
      manifest({
        AutoScalingGroups: [group({ MaxSize: 100 })],
        ScalingPolicies: [quick, step("out", "high", { AdjustmentType: "ChangeInCapacity" })],
        MetricAlarms: [alarm("high")],
      }),
    );
    const changes = cloudFleet(policy, { count: 2 }).run(4 * MINUTE, () => 65);
    expect(changes).toEqual([
      [1, 12],
      [2, 22],
      [3, 32],
    ]);
  });
});

describe("Application Auto Scaling", () => {
  const variant = {
    ServiceNamespace: "sagemaker",
    ResourceId: "endpoint/llm/variant/blue",
    ScalableDimension: "sagemaker:variant:DesiredInstanceCount",
  };
  const target = (over: Record<string, Json> = {}): Manifest => ({
    name: "blue",
    namespace: "default",
    spec: {
      ScalableTargets: [{ ...variant, MinCapacity: 1, MaxCapacity: 20 }],
      ScalingPolicies: [
        {
          PolicyName: "concurrency",
          ...variant,
          PolicyType: "TargetTrackingScaling",
          TargetTrackingScalingPolicyConfiguration: {
            TargetValue: 5,
            PredefinedMetricSpecification: { PredefinedMetricType: "SageMakerVariantConcurrentRequestsPerModelHighResolution" },
            DisableScaleIn: false,
            ScaleOutCooldown: 120,
            ScaleInCooldown: 600,
            ...over,
          },
        },
      ],
    },
  });
  const inFlight = (over?: Record<string, Json>) =>
    cloudFleet(awsPolicy(endpoint, target(over)), { count: 4, signal: "in_flight", per: "endpoint" });

  it("decides every ten seconds by a metric of high resolution, and counts no scale-out twice during its cool-down", () => {
    const fleet = inFlight();
    const changes = fleet.run(4 * MINUTE, () => 40);
    expect(changes.map(([, count]) => count)).toEqual([8]);
    expect(changes[0]?.[0]).toBe(0.5);
  });

  it("waits for its cool-down between two scale-ins", () => {
    const changes = inFlight({ ScaleInCooldown: 600 }).run(40 * MINUTE, () => 1);
    expect(changes.map(([, count]) => count)).toEqual([3, 2, 1]);
    for (const [at, [minutes]] of changes.slice(1).entries()) expect(minutes - (changes[at]?.[0] ?? 0)).toBeGreaterThanOrEqual(10);
  });
});

it("gives and takes bounds", () => {
  const grouped = manifest({});
  expect(awsDialect.bounds(grouped)).toEqual({ min: 1, max: 20 });
  expect(awsDialect.bounds(awsDialect.withBounds(grouped, { min: 2, max: 3 }))).toEqual({ min: 2, max: 3 });
  expect(awsDialect.bounds({ ...grouped, spec: { ScalingPolicies: [] } })).toBeNull();
});

describe("for any load", () => {
  const loads = fc.array(fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.constant(null)), { minLength: 1, maxLength: 60 });
  const report = (load: number | null): Report => (load === null ? null : shared(load));

  it("keeps to its bounds, removes no more than a tenth at once, and changes nothing while it is blind", () => {
    fc.assert(
      fc.property(loads, fc.integer({ min: 2, max: 12 }), fc.integer({ min: 0, max: 400_000 }), (all, count, startMs) => {
        const fleet = cloudFleet(tracked({}, { MinSize: 2, MaxSize: 12, DefaultInstanceWarmup: 120 }), { count, startMs });
        for (const load of all) {
          const before = fleet.wanted;
          fleet.tick(report(load));
          expect(fleet.wanted).toBeGreaterThanOrEqual(2);
          expect(fleet.wanted).toBeLessThanOrEqual(12);
          expect(before - fleet.wanted).toBeLessThanOrEqual(Math.max(1, before / 10));
          if (load === null) expect(fleet.wanted).toBe(before);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("wants no less for more load while all replicas exist and report", () => {
    const wanted = (count: number, load: number) => {
      const fleet = cloudFleet(tracked(), { count });
      for (let at = 0; at < 16; at++) fleet.tick(load, { result: "refused" });
      const want = wantOf(fleet.tick(load, { result: "refused" }));
      return want?.kind === "scale" ? want.replicas : -1;
    };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 200 }), (count, a, b) => {
        expect(wanted(count, Math.max(a, b))).toBeGreaterThanOrEqual(wanted(count, Math.min(a, b)));
      }),
      { numRuns: 40 },
    );
  });

  it("decides the same whatever the order of replicas and series, and whatever else is reported", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 4, maxLength: 4 }), fc.nat(3), (tenths, turn) => {
        const each: Report = (id) => (tenths[Number(id.slice(1))] ?? 0) / 10;
        const rotated = <T>(list: readonly T[]) => [...list.slice(turn), ...list.slice(0, turn)];
        const change = (seen: Observation): Observation => ({
          ...seen,
          replicas: rotated(seen.replicas),
          series: [
            series("gpu_utilization", "stranger", 99, seen.nowMs - 1),
            ...rotated(seen.series),
            series("running", "r0", 9, seen.nowMs - 1),
          ],
        });
        const [plain, other] = [cloudFleet(tracked(), { count: 4 }), cloudFleet(tracked(), { count: 4 })];
        for (let at = 0; at < 17; at++) expect(other.tick(each, { change })).toEqual(plain.tick(each));
      }),
      { numRuns: 20 },
    );
  });
});
