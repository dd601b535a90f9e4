import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest, Observation } from "../../../model/index.ts";
import { ready, series, starting } from "../../plant.fixture.ts";
import { cloudEndpoint, cloudFleet, codesOf, MINUTE, type Report, START, shared, wantOf } from "../cloud.fixture.ts";
import { type AutoscalingPolicy, gcpDialect, groupSize, mostScaledIn, stabilizeSize, utilizationSize, type Vm } from "./index.ts";
import { gcpPolicy } from "./policy.ts";
import { signalsOf } from "./signals.ts";

const vm = (value: number | null, initializing = false): Vm => ({ value, initializing });

describe("utilization of the VMs", () => {
  it.each([
    ["n × mean / target, rounded up", [vm(0.8), vm(0.7)], 0.6, 2, 3],
    ["1.5 more are two more", [vm(0.9), vm(0.9), vm(0.9)], 0.6, 3, 5],
    ["1.5 fewer are one fewer", [vm(0.3), vm(0.3), vm(0.3)], 0.6, 3, 2],
    ["exactly at a whole number", [vm(0.7), vm(0.7), vm(0.7)], 0.3, 3, 7],
    ["idle", [vm(0), vm(0)], 0.6, 2, 0],
    ["a VM that initializes does not count on the way out", [vm(0.9), vm(0.9), vm(1, true)], 0.6, 3, 3],
    ["but on the way in its load does", [vm(0.1), vm(0.1), vm(1, true)], 0.6, 3, 2],
    ["more than the size by those that initialize alone is not asked for", [vm(1, true), vm(1, true)], 0.6, 2, 2],
    ["the mean stands for a VM without reading on the way out", [vm(0.9), vm(null)], 0.6, 2, 3],
    ["and nothing goes on the way in", [vm(0.1), vm(null)], 0.6, 2, 2],
    ["nothing is known", [vm(null)], 0.6, 3, 3],
    ["nothing runs", [], 0.6, 3, 3],
  ])("%s", (_, vms, target, current, size) => expect(utilizationSize(vms, target, current).size).toBe(size));
});

it.each([
  ["work divided among VMs", 101, { assignment: 10 }, 0, 11],
  ["no work", 0, { assignment: 10 }, 4, 0],
  ["a utilization of the group", 1.5, { target: 0.5, running: 3 }, 3, 9],
  ["no reading holds", null, { assignment: 10 }, 4, 4],
])("sizes by a metric of the group: %s", (_, value, by, current, size) => expect(groupSize(value, by, current).size).toBe(size));

describe("stabilization", () => {
  const policy = (over: Partial<AutoscalingPolicy> = {}) => ({ stabilizationPeriodSec: 600, ...over });
  const run = (of: Parameters<typeof stabilizeSize>[0], recommended: readonly number[]) => {
    let history: ReturnType<typeof stabilizeSize>["history"] = [];
    let current = recommended[0] ?? 0;
    return recommended.map((size, at) => {
      const found = stabilizeSize(of, history, at * MINUTE, size, current);
      history = found.history;
      current = found.size;
      return current;
    });
  };
  it("goes out at once, and in to the largest recommendation of ten minutes", () => {
    expect(run(policy(), [4, 9, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5])).toEqual([4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 3, 5]);
  });
  it("lets no more go than the scale-in control says, measured from the peak of its window", () => {
    const fixed = { maxScaledInReplicas: { fixed: 2 }, timeWindowSec: 180 };
    expect(run(policy({ stabilizationPeriodSec: 0, scaleInControl: fixed }), [10, 1, 1, 1, 1, 1])).toEqual([10, 8, 8, 1, 1, 1]);
    expect(run(policy({ stabilizationPeriodSec: 60, scaleInControl: fixed }), [10, 9, 8, 1, 1, 1])).toEqual([10, 9, 8, 7, 6, 1]);
  });
  it("takes a percentage of the peak, rounded to the nearest", () => {
    const control = (percent: number) => ({ maxScaledInReplicas: { percent }, timeWindowSec: 600 });
    expect([mostScaledIn(control(10), 14), mostScaledIn(control(10), 16), mostScaledIn(control(80), 150)]).toEqual([1, 2, 120]);
  });
});

const policyOf = (over: Record<string, Json> = {}): Manifest => ({
  name: "llm",
  namespace: "default",
  spec: {
    name: "llm",
    autoscalingPolicy: {
      minNumReplicas: 1,
      maxNumReplicas: 20,
      coolDownPeriodSec: 60,
      stabilizationPeriodSec: 600,
      mode: "ON",
      ...over,
    },
  },
});
const endpoint = cloudEndpoint({
  metrics: { cpuUtilization: "gpu_utilization", "custom/queue": "queue_depth", "custom/tokens": "gen_tokens" },
});
const cpu = { cpuUtilization: { utilizationTarget: 0.5, predictiveMethod: "NONE" } };
const fleetOf = (over: Record<string, Json>, options: Parameters<typeof cloudFleet>[1]) =>
  cloudFleet(gcpPolicy(endpoint, policyOf(over)), options);

describe("an autoscaler over a fleet", () => {
  it("looks once a minute, goes out at once and in after the stabilization period", () => {
    const policy = gcpPolicy(endpoint, policyOf(cpu));
    expect(policy.needs).toEqual([{ name: "gpu_utilization", per: "replica", sampleEveryMs: 10_000 }]);
    const fleet = cloudFleet(policy, { count: 4 });
    fleet.tick(50);
    expect(fleet.run(2 * MINUTE, () => shared(400))).toEqual([[0, 8]]);
    expect(fleet.run(14 * MINUTE, () => shared(100))).toEqual([[9, 2]]);
  });

  it("seeds its memory with the size it finds, and is CPU at 60 % where nothing is said", () => {
    const fleet = fleetOf({}, { count: 10 });
    expect(fleet.run(15 * MINUTE, () => shared(120))).toEqual([[10, 2]]);
  });

  it("takes the size for recommended after a pause of its own", () => {
    const fleet = fleetOf(cpu, { count: 8 });
    fleet.run(5 * MINUTE, () => shared(400));
    fleet.pause(60 * MINUTE);
    expect(fleet.run(15 * MINUTE, () => shared(100))).toEqual([[10, 2]]);
  });

  it("does not count VMs that initialize on the way out", () => {
    const fleet = fleetOf({ ...cpu, coolDownPeriodSec: 180 }, { count: 2, startMs: MINUTE });
    fleet.tick(50);
    fleet.tick(100);
    expect(fleet.wanted).toBe(4);
    // Two at 100 % are four VMs of work, however many still initialize.
    const young = fleet.tick(100);
    expect(young.steps[0]?.text).toBe("cpuUtilization is 1 on average against 0.5, from 4 of 4 running VMs, 2 of them initializing: 4.");
    fleet.tick(100);
    expect(fleet.wanted).toBe(4);
  });

  it("divides the work of a group, from nothing too", () => {
    const queue = {
      minNumReplicas: 0,
      customMetricUtilizations: [{ metric: "custom/queue", filter: 'resource.type = "pubsub_subscription"', singleInstanceAssignment: 10 }],
    };
    const fleet = fleetOf(queue, { count: 0, signal: "queue_depth", per: "endpoint" });
    expect(fleet.run(2 * MINUTE, () => 45)).toEqual([[1, 5]]);
    expect(fleet.run(12 * MINUTE, () => 0)).toEqual([[9, 0]]);
  });

  it("takes the rate of a counter, and a rate of ours as it is", () => {
    const custom = (metric: string, utilizationTargetType: string, utilizationTarget: number) => ({
      customMetricUtilizations: [{ metric, utilizationTargetType, utilizationTarget }],
    });
    const counted = fleetOf(custom("custom/tokens", "DELTA_PER_SECOND", 50), { count: 2, signal: "gen_tokens" });
    const blind = counted.tick(() => 0);
    expect(codesOf(blind)).toContain("no-data");
    expect(codesOf(counted.tick(() => 1_000))).toContain("no-data");
    counted.tick(() => 1_000 + 60 * 100);
    expect(counted.wanted).toBe(4);
    const reset = counted.tick(() => 10);
    expect(codesOf(reset)).toContain("signal-blind");
    const perMinute = signalsOf(
      endpoint,
      policyOf(custom("custom/output_tokens_per_second", "DELTA_PER_MINUTE", 1)).spec["autoscalingPolicy"] as never,
    );
    expect(perMinute).toMatchObject([{ signal: "output_tokens_per_second", scale: 60, type: "GAUGE", by: { kind: "vm", target: 1 } }]);
  });

  it("takes the largest of its signals, and does not shrink while one is missing", () => {
    const two = {
      ...cpu,
      customMetricUtilizations: [{ metric: "custom/queue", filter: 'resource.type = "global"', utilizationTarget: 10 }],
    };
    const policy = gcpPolicy(endpoint, policyOf({ ...two, stabilizationPeriodSec: 0 }));
    const decide = (load: number, queue: number | null) => {
      const seen: Observation = {
        seq: 1,
        nowMs: START,
        cause: "tick",
        pools: { default: { wanted: 4, reported: 4, otherWriter: false } },
        replicas: ["a", "b", "c", "d"].map((id) => ready(id)),
        series: [
          ...["a", "b", "c", "d"].map((id) => series("gpu_utilization", id, load, START)),
          ...(queue === null ? [] : [series("queue_depth", null, queue, START)]),
        ],
        slots: null,
      };
      const want = policy.decide(policy.start({ ...seen, nowMs: START - 3_600_000 }), seen).decision.wants["default"];
      return want?.kind === "scale" ? want.replicas : want?.kind;
    };
    expect([decide(100, 10), decide(50, 20), decide(10, 4), decide(10, null), decide(100, null)]).toEqual([8, 8, 2, 4, 8]);
  });

  it("keeps to its schedules while they last, the largest first, within the maximum", () => {
    const schedule = (over: Record<string, Json>): Json => ({
      minRequiredReplicas: 5,
      timeZone: "UTC",
      durationSec: 600,
      disabled: false,
      ...over,
    });
    const scalingSchedules = {
      // 22:13 UTC is 17:13 in New York.
      evening: schedule({ schedule: "15 17 * * *", timeZone: "America/New_York" }),
      rush: schedule({ schedule: "20 22 14 11 * 2023", minRequiredReplicas: 99, durationSec: 300 }),
      off: schedule({ schedule: "* * * * *", minRequiredReplicas: 20, disabled: true }),
    };
    const fleet = fleetOf({ ...cpu, scalingSchedules, stabilizationPeriodSec: 60, maxNumReplicas: 12 }, { count: 1 });
    expect(fleet.run(20 * MINUTE, () => 0)).toEqual([
      [2, 5],
      [7, 12],
      [12, 1],
    ]);
    const alone = fleetOf({ scalingSchedules }, { count: 1 });
    expect(codesOf(alone.tick(null))).toEqual(["limited", "desired"]);
  });

  it.each([
    ["ONLY_SCALE_OUT", 10, "only-out", [] as const],
    ["ONLY_UP", 10, "only-out", [] as const],
    ["OFF", 10, "off", [] as const],
  ])("in mode %s does not scale in", (mode, load, code, changes) => {
    const fleet = fleetOf({ ...cpu, mode }, { count: 10 });
    expect(fleet.run(15 * MINUTE, () => load)).toEqual(changes);
    expect(codesOf(fleet.tick(load))).toContain(code);
  });

  it("in mode OFF does not scale out either, and says what it would have", () => {
    const fleet = fleetOf({ ...cpu, mode: "OFF" }, { count: 2 });
    fleet.tick(100);
    const off = fleet.tick(100);
    expect(wantOf(off)).toEqual({ kind: "hold" });
    expect(off.steps.at(-1)).toMatchObject({ code: "off", numbers: { recommended: 4 } });
  });

  it("holds without readings", () => {
    const fleet = fleetOf(cpu, { count: 6 });
    fleet.tick(50);
    expect(fleet.run(20 * MINUTE, () => null)).toEqual([]);
    expect(wantOf(fleet.tick(null))).toEqual({ kind: "hold" });
  });

  it("sees a VM whose engine still loads as running and initializing, and one without a machine not at all", () => {
    const policy = gcpPolicy(endpoint, policyOf(cpu));
    const seen: Observation = {
      seq: 1,
      nowMs: START,
      cause: "tick",
      pools: { default: { wanted: 3, reported: 3, otherWriter: false } },
      replicas: [ready("a"), starting("b", 0, { stage: "load" }), starting("c", 0, { stage: "provision" })],
      series: [series("gpu_utilization", "a", 60, START)],
      slots: null,
    };
    expect(policy.decide(policy.start(seen), seen).decision.steps[0]?.text).toContain("from 1 of 2 running VMs, 1 of them initializing: 2");
  });

  it("gives and takes bounds", () => {
    expect(gcpDialect.bounds(policyOf())).toEqual({ min: 1, max: 20 });
    expect(gcpDialect.bounds(gcpDialect.withBounds(policyOf(), { min: 2, max: 3 }))).toEqual({ min: 2, max: 3 });
    const { minNumReplicas: _, ...rest } = policyOf().spec["autoscalingPolicy"] as unknown as AutoscalingPolicy;
    expect(gcpDialect.bounds({ ...policyOf(), spec: { autoscalingPolicy: rest as unknown as Json } })).toEqual({ min: 1, max: 20 });
  });
});

describe("for any load", () => {
  const limited = () =>
    gcpPolicy(
      endpoint,
      policyOf({
        ...cpu,
        minNumReplicas: 2,
        maxNumReplicas: 15,
        stabilizationPeriodSec: 120,
        scaleInControl: { maxScaledInReplicas: { fixed: 2 }, timeWindowSec: 300 },
      }),
    );
  const report = (load: number | null): Report => (load === null ? null : shared(load));

  it("keeps to its bounds and to its scale-in control in every window, and shrinks by nothing while it is blind", () => {
    const loads = fc.array(fc.oneof(fc.integer({ min: 0, max: 1_500 }), fc.constant(null)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(loads, fc.integer({ min: 2, max: 15 }), (all, first) => {
        const fleet = cloudFleet(limited(), { count: first });
        let blindFor = 0;
        for (const load of all) {
          const [before, nowMs] = [fleet.wanted, fleet.nowMs];
          fleet.tick(report(load));
          expect(fleet.wanted).toBeGreaterThanOrEqual(2);
          expect(fleet.wanted).toBeLessThanOrEqual(15);
          // As Google has it, from the peak of what was recommended, which the size itself may have lagged behind.
          const { history } = fleet.state() as unknown as { history: { atMs: number; high: number }[] };
          const peak = Math.max(...history.filter(({ atMs }) => atMs > nowMs - 5 * MINUTE).map(({ high }) => high));
          expect(fleet.wanted).toBeGreaterThanOrEqual(Math.min(before, peak - 2));
          blindFor = load === null ? blindFor + 1 : 0;
          if (blindFor > 0) expect(fleet.wanted).toBeGreaterThanOrEqual(before);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("wants no less for more load while all replicas exist and report", () => {
    const size = (count: number, load: number) =>
      utilizationSize(
        Array.from({ length: count }, () => vm(load)),
        0.6,
        count,
      ).size;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (count, a, b) => {
          expect(size(count, Math.max(a, b))).toBeGreaterThanOrEqual(size(count, Math.min(a, b)));
        },
      ),
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
          series: [series("gpu_utilization", "stranger", 99, seen.nowMs - 1), ...rotated(seen.series)],
        });
        const [plain, other] = [cloudFleet(limited(), { count: 4 }), cloudFleet(limited(), { count: 4 })];
        for (let at = 0; at < 8; at++) expect(other.tick(each, { change }).wants).toEqual(plain.tick(each).wants);
      }),
      { numRuns: 20 },
    );
  });
});
