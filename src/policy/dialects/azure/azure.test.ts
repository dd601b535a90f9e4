import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest, Observation } from "../../../model/index.ts";
import { series } from "../../plant.fixture.ts";
import { cloudEndpoint, cloudFleet, codesOf, MINUTE, type Report, START, shared, wantOf } from "../cloud.fixture.ts";
import {
  type AutoscaleProfile,
  actionCount,
  activeProfile,
  azureDialect,
  compare,
  compileProfile,
  type Evaluation,
  evaluate,
  formatIsoDuration,
  guardFlapping,
  type MetricTrigger,
  parseIsoDuration,
  type Rule,
  type RuleReading,
  type ScaleRule,
  zoneOfWindows,
} from "./index.ts";
import { azurePolicy } from "./policy.ts";
import { WINDOWS_ZONES } from "./windows-zones.ts";

const scaleRule = (
  direction: "Increase" | "Decrease" | "None",
  operator: MetricTrigger["operator"],
  threshold: number,
  action: Partial<ScaleRule["scaleAction"]> = {},
  trigger: Partial<MetricTrigger> = {},
): ScaleRule => ({
  metricTrigger: {
    metricName: "load",
    metricResourceUri: "/vmss",
    timeGrain: "PT1M",
    statistic: "Average",
    timeWindow: "PT5M",
    timeAggregation: "Average",
    operator,
    threshold,
    dividePerInstance: false,
    ...trigger,
  },
  scaleAction: { direction, type: "ChangeCount", value: "1", cooldown: "PT5M", ...action },
});
const profileOf = (rules: readonly ScaleRule[], over: Partial<AutoscaleProfile> = {}): AutoscaleProfile => ({
  name: "default",
  capacity: { minimum: "1", maximum: "10", default: "3" },
  rules,
  ...over,
});
const compiled = (rule: ScaleRule): Rule => compileProfile(profileOf([rule])).rules[0] as Rule;
const bounds = { min: 1, max: 10, default: 3 };
const readings = (...pairs: readonly (readonly [ScaleRule, number | null])[]): readonly RuleReading[] =>
  pairs.map(([rule, value]) => ({ rule: compiled(rule), value }));
const outcome = ({ outcome: of, count }: Evaluation) => [of, count];

const out = (threshold: number, value = "1") => scaleRule("Increase", "GreaterThan", threshold, { value });
const into = (threshold: number, value = "1") => scaleRule("Decrease", "LessThan", threshold, { value });
const never = Number.POSITIVE_INFINITY;

describe("one pass of the engine", () => {
  it.each([
    ["below the minimum goes there, whatever the rules say", readings([out(70), 10]), 0, ["below-minimum", 1]],
    ["above the maximum goes there, whatever the rules say", readings([out(70), 90]), 12, ["above-maximum", 10]],
    ["any scale-out rule is enough", readings([out(70), 10], [out(50, "2"), 60]), 4, ["scale-out", 6]],
    ["of several that are true the largest count wins", readings([out(70, "1"), 90], [out(50, "3"), 90]), 4, ["scale-out", 7]],
    ["the maximum limits", readings([out(70, "5"), 90]), 8, ["scale-out", 10]],
    ["no scale-in while one scale-out rule is true", readings([out(70), 90], [into(30), 10]), 4, ["scale-out", 5]],
    ["scale-in only when every scale-in rule is true", readings([into(30), 10], [into(30), 40]), 4, ["unchanged", 4]],
    ["the smallest of several removals", readings([into(30, "3"), 10], [into(30, "1"), 10]), 6, ["scale-in", 5]],
    ["the minimum limits", readings([into(30, "5"), 10]), 4, ["scale-in", 1]],
    ["a metric is missing below the default: the default", readings([out(70), null]), 2, ["default", 3]],
    ["a metric is missing at or above it: nothing", readings([out(70), null], [into(30), 10]), 5, ["no-data", 5]],
    ["another metric's scale-out still acts", readings([out(70), null], [out(70), 90]), 5, ["scale-out", 6]],
    ["and to no less than the default", readings([out(70), null], [out(70), 90]), 1, ["scale-out", 3]],
    ["no rule without direction acts", readings([scaleRule("None", "GreaterThan", 10), 90]), 4, ["unchanged", 4]],
    ["without rules nothing moves", [], 4, ["unchanged", 4]],
  ])("%s", (_, given, current, expected) => expect(outcome(evaluate(bounds, given, current, never))).toEqual(expected));

  it("waits for each rule's own cool-down", () => {
    const slow = scaleRule("Increase", "GreaterThan", 70, { value: "3", cooldown: "PT10M" });
    const given = readings([slow, 90], [out(70), 90]);
    expect(outcome(evaluate(bounds, given, 4, 4 * MINUTE))).toEqual(["cool-down", 4]);
    expect(outcome(evaluate(bounds, given, 4, 5 * MINUTE))).toEqual(["scale-out", 5]);
    expect(outcome(evaluate(bounds, given, 4, 10 * MINUTE))).toEqual(["scale-out", 7]);
    expect(outcome(evaluate(bounds, readings([into(30), 10]), 4, 4 * MINUTE))).toEqual(["cool-down", 4]);
  });
});

describe("the guard against flapping", () => {
  it.each([
    ["575 on 3 would be 862.5 on 2, above 600: skipped", scaleRule("Increase", "GreaterThanOrEqual", 600), 575, 3, 2, 3],
    ["60 on 3 would be 90 on 2, above 80: skipped", scaleRule("Increase", "GreaterThanOrEqual", 80), 60, 3, 2, 3],
    ["50 on 3 would be 75 on 2, below 80: allowed", scaleRule("Increase", "GreaterThanOrEqual", 80), 50, 3, 2, 2],
    ["28 on 2 would be 56 on 1, above 50: skipped", scaleRule("Increase", "GreaterThan", 50), 28, 2, 1, 2],
    ["a smaller step is taken where it fits", scaleRule("Increase", "GreaterThan", 70), 30, 10, 3, 5],
    ["nothing to share out may go to zero", scaleRule("Increase", "GreaterThan", 70), 0, 3, 0, 0],
    ["but a load may not", scaleRule("Increase", "GreaterThan", 70), 1, 3, 0, 1],
    ["a total does not grow as instances go", scaleRule("Increase", "GreaterThan", 600, {}, { timeAggregation: "Total" }), 575, 3, 2, 2],
    [
      "a total that is divided does",
      scaleRule("Increase", "GreaterThan", 600, {}, { timeAggregation: "Total", dividePerInstance: true }),
      575,
      3,
      2,
      3,
    ],
  ])("%s", (_, rule, value, current, wanted, count) => expect(guardFlapping(readings([rule, value]), current, wanted)).toBe(count));

  it("is told from a scale-in that is let through", () => {
    const given = (value: number) => readings([scaleRule("Increase", "GreaterThanOrEqual", 80), value], [into(65), value]);
    expect(outcome(evaluate(bounds, given(60), 3, never))).toEqual(["flapping", 3]);
    expect(outcome(evaluate(bounds, given(50), 3, never))).toEqual(["scale-in", 2]);
  });
});

it.each([
  ["adds a percentage, rounded up", scaleRule("Increase", "Equals", 0, { type: "PercentChangeCount", value: "25" }), 5, 7],
  ["removes a percentage, rounded down", scaleRule("Decrease", "Equals", 0, { type: "PercentChangeCount", value: "25" }), 5, 4],
  ["removes nothing of less than one", scaleRule("Decrease", "Equals", 0, { type: "PercentChangeCount", value: "10" }), 5, 5],
  ["10 % of 110 is 11", scaleRule("Increase", "Equals", 0, { type: "PercentChangeCount", value: "10" }), 110, 121],
  ["sets a count", scaleRule("Increase", "Equals", 0, { type: "ExactCount", value: "8" }), 5, 8],
  ["sets no count against its direction", scaleRule("Increase", "Equals", 0, { type: "ExactCount", value: "3" }), 5, 5],
  ["sets a lower count", scaleRule("Decrease", "Equals", 0, { type: "ExactCount", value: "3" }), 5, 3],
  ["takes the next value", scaleRule("Decrease", "Equals", 0, { type: "ServiceAllowedNextValue" }), 5, 4],
  ["never goes below zero", scaleRule("Decrease", "Equals", 0, { value: "9" }), 5, 0],
])("an action %s", (_, rule, current, count) => expect(actionCount(current, compiled(rule))).toBe(count));

it.each([
  ["Equals", [false, true, false]],
  ["NotEquals", [true, false, true]],
  ["GreaterThan", [false, false, true]],
  ["GreaterThanOrEqual", [false, true, true]],
  ["LessThan", [true, false, false]],
  ["LessThanOrEqual", [true, true, false]],
] as const)("compares by %s", (operator, expected) => expect([1, 2, 3].map((value) => compare(operator, value, 2))).toEqual(expected));

describe("the profile that holds", () => {
  const named = (name: string, over: Partial<AutoscaleProfile> = {}) => compileProfile(profileOf([], { name, ...over }));
  const weekly = (name: string, days: readonly string[], hour: number, timeZone = "UTC") =>
    named(name, { recurrence: { frequency: "Week", schedule: { timeZone, days, hours: [hour], minutes: [0] } } });
  const dates = (name: string, start: string, end: string, timeZone = "UTC") => named(name, { fixedDate: { timeZone, start, end } });
  const at = (profiles: readonly ReturnType<typeof named>[], when: string) => activeProfile(profiles, Date.parse(when))?.name ?? null;

  const usual = named("usual");
  const office = weekly("office", ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"], 8, "W. Europe Standard Time");
  const night = weekly("night", ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"], 18, "W. Europe Standard Time");
  const sale = dates("sale", "2026-11-27T00:00:00", "2026-11-27T23:59:00", "Eastern Standard Time");
  const all = [usual, office, night, sale];

  it.each([
    ["recurring before the one without dates", "2026-11-24T12:00Z", "office"],
    ["in its time zone: eight in Berlin is seven in UTC", "2026-11-24T07:00Z", "office"],
    ["until another starts", "2026-11-24T17:30Z", "night"],
    ["over the weekend the last that started", "2026-11-22T12:00Z", "night"],
    ["fixed dates before all others", "2026-11-27T12:00Z", "sale"],
    ["fixed dates in their time zone", "2026-11-28T04:30Z", "sale"],
    ["and no longer", "2026-11-28T05:00Z", "night"],
  ])("%s", (_, when, name) => expect(at(all, when)).toBe(name));

  it("is the one without dates where no other holds, or none", () => {
    expect(at([usual, sale], "2026-11-24T12:00Z")).toBe("usual");
    expect(at([sale], "2026-11-24T12:00Z")).toBeNull();
  });
});

it("knows durations and Windows' time zones", () => {
  expect(["PT1M", "PT1H30M", "P1D", "P1W", "PT0.5S", "00:05:00", "1.00:00:00"].map(parseIsoDuration)).toEqual([
    60_000, 5_400_000, 86_400_000, 604_800_000, 500, 300_000, 86_400_000,
  ]);
  expect(["5m", "PT", "P", "", "P1Y"].map(parseIsoDuration)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  for (const text of ["PT1M", "PT1H30M", "P1D", "P7D", "PT0S", "P1DT1S"])
    expect(formatIsoDuration(parseIsoDuration(text) as number)).toBe(text);
  for (const zone of Object.values(WINDOWS_ZONES)) expect(() => new Intl.DateTimeFormat("en", { timeZone: zone })).not.toThrow();
  expect(zoneOfWindows("pacific standard time")).toBe("America/Los_Angeles");
  expect(zoneOfWindows("Europe/Berlin")).toBeUndefined();
});

const manifest = (profiles: readonly AutoscaleProfile[], over: Record<string, Json> = {}): Manifest => ({
  name: "llm",
  namespace: "default",
  spec: { properties: { targetResourceUri: "/vmss", enabled: true, profiles: profiles as unknown as Json, ...over } },
});
const endpoint = cloudEndpoint();
const policyOf = (...rules: readonly ScaleRule[]) => azurePolicy(endpoint, manifest([profileOf(rules)]));

describe("a setting over a fleet", () => {
  it("looks once a minute at the mean of its window", () => {
    const policy = policyOf(out(70), into(30));
    expect(policy.needs).toEqual([{ name: "gpu_utilization", per: "replica", sampleEveryMs: 10_000 }]);
    const fleet = cloudFleet(policy, { count: 4 });
    // Five minutes of 60, then 100: the mean of five grains is above 70 with the second.
    expect(fleet.run(6 * MINUTE, () => 60)).toEqual([]);
    expect(fleet.run(4 * MINUTE, () => 100)).toEqual([[1, 5]]);
  });

  it("acts no more than once a cool-down, which begins when the action is done", () => {
    const fleet = cloudFleet(policyOf(out(70)), { count: 2 });
    expect(fleet.run(20 * MINUTE, () => 90)).toEqual([
      [1, 3],
      // Done at 2; five minutes later it acts again.
      [7, 4],
      [13, 5],
      [19, 6],
    ]);
  });

  it("lets an action be under way for an hour, and counts it as failed then", () => {
    const fleet = cloudFleet(policyOf(out(70)), { count: 2 });
    const stuck = { change: (seen: Observation) => ({ ...seen, pools: { default: { wanted: 3, reported: 2, otherWriter: false } } }) };
    fleet.tick(90);
    fleet.tick(90);
    for (let at = 0; at < 60; at++) expect(codesOf(fleet.tick(90, stuck))).toContain("cool-down");
    for (let at = 0; at < 4; at++) fleet.tick(90, stuck);
    expect(wantOf(fleet.tick(90, stuck))).toEqual({ kind: "scale", replicas: 4, drain: [] });
  });

  it("begins no cool-down with an action that was refused", () => {
    const fleet = cloudFleet(policyOf(out(70)), { count: 2 });
    fleet.tick(90);
    fleet.tick(90, { result: "refused" });
    expect(wantOf(fleet.tick(90))).toEqual({ kind: "scale", replicas: 3, drain: [] });
  });

  it("goes from nothing to the minimum, then without metrics to the default, and holds there", () => {
    const fleet = cloudFleet(policyOf(out(70), into(30)), { count: 0 });
    expect(codesOf(fleet.tick(null))).toEqual(["below-minimum"]);
    // What was reported before the first whole grain is not known; that is no missing metric yet.
    expect(codesOf(cloudFleet(policyOf(out(70)), { count: 2 }).tick(null))).toContain("no-data");
    expect(codesOf(fleet.tick(null))).toContain("default");
    expect(fleet.wanted).toBe(3);
    const blind = fleet.tick(null);
    expect(wantOf(blind)).toEqual({ kind: "hold" });
    expect(codesOf(blind)).toEqual(["rule-blind", "rule-blind", "no-data"]);
  });

  it("takes no pause of its own for a missing metric", () => {
    const fleet = cloudFleet(policyOf(out(70)), { count: 2 });
    fleet.run(5 * MINUTE, () => 50);
    fleet.pause(30 * MINUTE);
    expect(codesOf(fleet.tick(50))).toContain("no-data");
    expect(codesOf(fleet.tick(50))).toContain("unchanged");
    expect(fleet.wanted).toBe(2);
  });

  it("divides what the whole endpoint has by the instance count", () => {
    const queue = scaleRule("Increase", "GreaterThan", 20, {}, { metricName: "queue", dividePerInstance: true });
    const fleet = cloudFleet(policyOf(queue), { count: 4, signal: "queue_depth", per: "endpoint" });
    expect(fleet.run(7 * MINUTE, () => 90)).toEqual([[1, 5]]);
    expect(fleet.tick(90).steps[0]?.text).toBe("Out when queue is above 20: it is 18, not true.");
  });

  it.each([
    ["Average", 50],
    ["Minimum", 30],
    ["Maximum", 70],
    ["Total", 250],
    ["Count", 5],
    ["Last", 70],
  ] as const)("aggregates the grains of a window by %s", (timeAggregation, value) => {
    const fleet = cloudFleet(policyOf(scaleRule("None", "GreaterThan", 0, {}, { timeAggregation })), { count: 2 });
    fleet.tick(null);
    for (const load of [30, 40, 50, 60]) fleet.tick(load);
    expect(fleet.tick(70).steps[0]?.numbers["value"]).toBe(value);
  });

  it.each([
    ["Average", 50],
    ["Min", 20],
    ["Max", 80],
    ["Sum", 150],
    ["Count", 3],
  ] as const)("takes the %s over instances", (statistic, value) => {
    const fleet = cloudFleet(policyOf(scaleRule("None", "GreaterThan", 0, {}, { statistic })), { count: 3 });
    fleet.tick(null);
    expect(fleet.tick((id) => [20, 50, 80][Number(id.slice(1))] as number).steps[0]?.numbers["value"]).toBe(value);
  });

  it("says which profile holds, and moves into its bounds", () => {
    const evening = profileOf([], {
      name: "evening",
      capacity: { minimum: "5", maximum: "8", default: "5" },
      recurrence: { frequency: "Week", schedule: { timeZone: "UTC", days: ["Tuesday"], hours: [22], minutes: [15] } },
    });
    const usual = profileOf([out(70)], {
      name: "usual",
      recurrence: { frequency: "Week", schedule: { timeZone: "UTC", days: ["Tuesday"], hours: [6], minutes: [0] } },
    });
    const fleet = cloudFleet(azurePolicy(endpoint, manifest([usual, evening])), { count: 2 });
    expect(fleet.tick(50).steps[0]?.text).toBe('The profile "usual" holds: 1 to 10.');
    expect(fleet.run(3 * MINUTE, () => 50)).toEqual([[1, 5]]);
  });

  it("does nothing while it is not enabled, and follows no forecast", () => {
    const off = cloudFleet(azurePolicy(endpoint, manifest([profileOf([out(70)])], { enabled: false })), { count: 2 });
    expect(off.run(5 * MINUTE, () => 90)).toEqual([]);
    const ahead = azurePolicy(endpoint, manifest([profileOf([out(70)])], { predictiveAutoscalePolicy: { scaleMode: "Enabled" } }));
    expect(codesOf(cloudFleet(ahead, { count: 2 }).tick(50))).toContain("no-forecast");
  });

  it("gives bounds over all profiles, and narrows each", () => {
    const two = manifest([profileOf([]), profileOf([], { name: "b", capacity: { minimum: "4", maximum: "30", default: "6" } })]);
    expect(azureDialect.bounds(two)).toEqual({ min: 1, max: 30 });
    const narrow = azureDialect.withBounds(two, { min: 2, max: 5 });
    expect(azureDialect.bounds(narrow)).toEqual({ min: 2, max: 5 });
    const properties = narrow.spec["properties"] as unknown as { profiles: AutoscaleProfile[] };
    expect(properties.profiles[1]?.capacity).toEqual({ minimum: "4", maximum: "5", default: "5" });
  });
});

describe("for any load", () => {
  const usual = () => policyOf(out(70, "2"), into(30));
  const report = (load: number | null): Report => (load === null ? null : shared(load));

  it("keeps to its bounds, to one action a cool-down, and shrinks by nothing while it is blind", () => {
    const loads = fc.array(fc.oneof(fc.integer({ min: 0, max: 1_500 }), fc.constant(null)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(loads, fc.integer({ min: 3, max: 10 }), (all, count) => {
        const fleet = cloudFleet(usual(), { count });
        let lastMs = Number.NEGATIVE_INFINITY;
        for (const load of all) {
          const [before, nowMs] = [fleet.wanted, fleet.nowMs];
          fleet.tick(report(load));
          expect(fleet.wanted).toBeGreaterThanOrEqual(1);
          expect(fleet.wanted).toBeLessThanOrEqual(10);
          // Only going to the default without metrics waits for no cool-down.
          if (fleet.wanted !== before && load !== null) {
            expect(nowMs - lastMs).toBeGreaterThan(5 * MINUTE);
            lastMs = nowMs;
          }
          if (load === null) expect(fleet.wanted).toBeGreaterThanOrEqual(before);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("wants no less for more load while all replicas exist and report", () => {
    const count = (current: number, load: number) =>
      evaluate(bounds, readings([out(70, "2"), load], [into(30), load]), current, never).count;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }), (current, a, b) => {
        expect(count(current, Math.max(a, b))).toBeGreaterThanOrEqual(count(current, Math.min(a, b)));
      }),
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
        const [plain, other] = [cloudFleet(usual(), { count: 4 }), cloudFleet(usual(), { count: 4 })];
        for (let at = 0; at < 8; at++) expect(other.tick(each, { change })).toEqual(plain.tick(each));
      }),
      { numRuns: 20 },
    );
  });
});

it("starts where the tests say it does", () => expect(new Date(START).toISOString()).toBe("2023-11-14T22:13:00.000Z"));
