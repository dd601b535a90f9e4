import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EXTRA_PERIODS } from "./alarm.ts";
import {
  type AlarmRule,
  type AlarmState,
  adjust,
  CLASSIC,
  combine,
  evaluateAlarm,
  mathOf,
  type Proposal,
  parseSchedule,
  roundPercentChange,
  scaleInCapacity,
  scaleOutCapacity,
  stepFor,
  stepsIssue,
} from "./index.ts";
import { evaluateExpression } from "./metric-math.ts";
import type { MetricDataQuery, StepAdjustment } from "./words.ts";

describe("adjustments", () => {
  it.each([
    [12.7, 12],
    [-6.67, -6],
    [0.67, 1],
    [-0.58, -1],
    [0, 0],
    [1, 1],
    [-1, -1],
    [2.9999999999999996, 3],
  ])("rounds a percentage change of %d to %d", (change, rounded) => expect(roundPercentChange(change)).toBe(rounded));

  it.each([
    ["adds a count", 4, { type: "ChangeInCapacity", amount: 3, minMagnitude: 0 }, 7],
    ["never goes below zero", 2, { type: "ChangeInCapacity", amount: -5, minMagnitude: 0 }, 0],
    ["sets a count", 4, { type: "ExactCapacity", amount: 9, minMagnitude: 0 }, 9],
    ["adds a percentage, rounded down", 11, { type: "PercentChangeInCapacity", amount: 25, minMagnitude: 0 }, 13],
    ["adds one at least", 3, { type: "PercentChangeInCapacity", amount: 10, minMagnitude: 0 }, 4],
    ["adds no less than the least magnitude", 10, { type: "PercentChangeInCapacity", amount: 10, minMagnitude: 3 }, 13],
    ["removes no less than the least magnitude", 10, { type: "PercentChangeInCapacity", amount: -10, minMagnitude: 3 }, 7],
    ["leaves it at 0 %, whatever the magnitude", 10, { type: "PercentChangeInCapacity", amount: 0, minMagnitude: 3 }, 10],
    ["adds the least magnitude to nothing", 0, { type: "PercentChangeInCapacity", amount: 50, minMagnitude: 2 }, 2],
    ["10 % of 110 is 11", 110, { type: "PercentChangeInCapacity", amount: 10, minMagnitude: 0 }, 121],
  ] as const)("%s", (_, current, adjustment, capacity) => expect(adjust(current, adjustment)).toBe(capacity));
});

const step = (lower: number | null, upper: number | null, amount: number): StepAdjustment => ({
  ...(lower === null ? {} : { MetricIntervalLowerBound: lower }),
  ...(upper === null ? {} : { MetricIntervalUpperBound: upper }),
  ScalingAdjustment: amount,
});

describe("steps", () => {
  const up = [step(0, 10, 0), step(10, 20, 10), step(20, null, 30)];
  const down = [step(-10, 0, 0), step(-20, -10, -10), step(null, -20, -30)];
  it.each([
    ["a positive lower bound is inside", up, 10, 10],
    ["a positive upper bound is outside", up, 20, 30],
    ["just below it is the step before", up, 19.99, 10],
    ["the threshold itself is in the first step", up, 0, 0],
    ["without an upper bound there is no end", up, 1e9, 30],
    ["a negative upper bound is inside", down, -10, -10],
    ["a negative lower bound is outside", down, -20, -30],
    ["just above it is the step before", down, -19.99, -10],
    ["the threshold itself, from below", down, 0, 0],
    ["without a lower bound there is no end", down, -1e9, -30],
    ["a step below the first", up, -1, null],
    ["a step above the last", down, 1, null],
  ] as const)("%s", (_, steps, difference, amount) => expect(stepFor(steps, difference)?.ScalingAdjustment ?? null).toBe(amount));

  it("puts every difference into exactly one step", () => {
    const bounds = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(bounds, fc.integer({ min: -120, max: 120 }), (cuts, tenths) => {
        const sorted = [null, ...cuts.toSorted((a, b) => a - b), null];
        const steps = sorted.slice(1).map((upper, at) => step(sorted[at] as number | null, upper as number | null, at));
        expect(stepsIssue(steps)).toBeNull();
        expect(stepFor(steps, tenths / 2)).not.toBeNull();
      }),
    );
  });

  it.each([
    ["no steps", [], /are missing/],
    ["neither bound", [step(null, null, 1)], /neither bound/],
    ["upside down", [step(10, 0, 1), step(10, null, 2)], /upper bound is above/],
    ["a gap", [step(0, 10, 1), step(15, null, 2)], /leave a gap between \[0, 10\] and \[15, \]/],
    ["an overlap", [step(0, 10, 1), step(5, null, 2)], /overlap/],
    ["no end above", [step(0, 10, 1)], /above 0 one step has no upper bound/],
    ["no end below", [step(-10, 0, -1)], /below 0 one step has no lower bound/],
  ])("refuses %s", (_, steps, issue) => expect(stepsIssue(steps)).toMatch(issue));
});

/** X breaches, 0 does not, - is missing: the newest at the right, as CloudWatch's guide draws them. */
const values = (text: string) => text.split(" ").map((mark) => (mark === "X" ? 100 : mark === "0" ? 1 : null));
const rule = (m: number, n: number, treatMissing: AlarmRule["treatMissing"]): AlarmRule => ({
  comparison: "GreaterThanThreshold",
  threshold: 50,
  evaluationPeriods: n,
  datapointsToAlarm: m,
  treatMissing,
});

describe("alarms", () => {
  const treatments = ["missing", "ignore", "breaching", "notBreaching"] as const;
  const [OK, ALARM, BLIND, same] = ["OK", "ALARM", "INSUFFICIENT_DATA", "same"] as const;
  it.each([
    [3, 3, "0 - X - X", [OK, OK, OK, OK]],
    [3, 3, "- - - - 0", [OK, OK, OK, OK]],
    [3, 3, "- - - - -", [BLIND, same, ALARM, OK]],
    [3, 3, "0 X X - X", [ALARM, ALARM, ALARM, ALARM]],
    [3, 3, "- - X - -", [ALARM, same, ALARM, OK]],
    [2, 3, "0 - X - X", [ALARM, ALARM, ALARM, ALARM]],
    [2, 3, "0 0 X 0 X", [ALARM, ALARM, ALARM, ALARM]],
    [2, 3, "0 - X - -", [OK, OK, ALARM, OK]],
    [2, 3, "- - - - 0", [OK, OK, ALARM, OK]],
    [2, 3, "- - - X -", [ALARM, same, ALARM, OK]],
    // A single young breach is too little for an alarm.
    [3, 3, "- - - - X", [same, same, ALARM, OK]],
    [3, 3, "0 X X X 0", [OK, OK, OK, OK]],
    [1, 1, "0 0 X", [ALARM, ALARM, ALARM, ALARM]],
  ] as const)("%d of %d over %s", (m, n, drawn, states) => {
    const before: AlarmState = "INSUFFICIENT_DATA";
    expect(treatments.map((treat) => evaluateAlarm(rule(m, n, treat), values(drawn), before))).toEqual(
      states.map((state) => (state === "same" ? before : state)),
    );
    expect(values(drawn)).toHaveLength(n + EXTRA_PERIODS);
  });

  it.each([
    ["GreaterThanThreshold", [false, false, true]],
    ["GreaterThanOrEqualToThreshold", [false, true, true]],
    ["LessThanThreshold", [true, false, false]],
    ["LessThanOrEqualToThreshold", [true, true, false]],
  ] as const)("compares by %s", (comparison, expected) => {
    const state = (value: number) => evaluateAlarm({ ...rule(1, 1, "missing"), comparison }, [null, null, value], "OK");
    expect([49, 50, 51].map((value) => state(value) === "ALARM")).toEqual(expected);
  });
});

describe("target tracking", () => {
  it.each([
    ["in proportion, rounded up", 4, 61, 50, 5],
    ["many at once", 4, 400, 50, 32],
    ["exactly at a whole number", 3, 0.7, 0.3, 7],
    ["at the target", 4, 50, 50, 4],
    ["from nothing nothing", 0, 100, 50, 0],
  ])("scales out %s", (_, working, metric, target, capacity) => expect(scaleOutCapacity(working, metric, target)).toBe(capacity));

  it.each([
    ["one of a few", 4, 10, 50, 3],
    ["a tenth of many", 40, 10, 50, 36],
    ["with a margin left: 10 × 40 / 9 would be 44.4, at most 45", 10, 40, 50, 9],
    ["not where the margin would be gone: 10 × 41 / 9 is 45.6", 10, 41, 50, 10],
    ["not when above", 10, 60, 50, 10],
    ["to nothing when idle", 1, 0, 50, 0],
  ])("scales in %s", (_, current, metric, target, capacity) => expect(scaleInCapacity(current, metric, target, CLASSIC)).toBe(capacity));

  it("leaves the load of those that stay under the margin, for any load", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.double({ min: 0, max: 100, noNaN: true }), (current, metric) => {
        const capacity = scaleInCapacity(current, metric, 60, CLASSIC);
        expect(capacity).toBeLessThanOrEqual(current);
        if (capacity < current && capacity > 0) expect((metric * current) / capacity).toBeLessThanOrEqual(60 * CLASSIC.inMargin * 1.0001);
      }),
    );
  });
});

describe("several policies", () => {
  const proposal = (kind: Proposal["kind"], verdict: Proposal["verdict"], capacity: number): Proposal => ({
    policy: `${kind} ${capacity}`,
    kind,
    verdict,
    capacity,
    code: "",
    text: "",
    numbers: {},
  });
  it.each([
    ["the largest out wins", [proposal("target", "out", 12), proposal("step", "out", 15)], 15],
    ["one that wants out wins over all that want in", [proposal("target", "out", 11), proposal("target", "in", 5)], 11],
    ["in only when all target tracking policies agree", [proposal("target", "in", 5), proposal("target", "hold", 10)], 10],
    ["a blind one does not agree", [proposal("target", "in", 5), proposal("target", "blind", 10)], 10],
    ["one with its scale-in disabled is not asked", [proposal("target", "in", 5), proposal("target", "silent", 10)], 5],
    ["all agree: the least removal", [proposal("target", "in", 5), proposal("target", "in", 8)], 8],
    ["a step policy's alarm goes in by itself", [proposal("step", "in", 7), proposal("target", "hold", 10)], 7],
    ["of a step and target tracking that both go in the larger", [proposal("step", "in", 7), proposal("target", "in", 9)], 9],
    ["nobody wants anything", [proposal("target", "hold", 10), proposal("step", "silent", 10)], 10],
  ])("%s", (_, proposals, capacity) => expect(combine(proposals, 10).capacity).toBe(capacity));
});

describe("metric math", () => {
  const stat = (Id: string): MetricDataQuery => ({
    Id,
    MetricStat: { Metric: { MetricName: Id }, Stat: "Average" },
    ReturnData: false,
  });
  const value = (Expression: string, known: Readonly<Record<string, number | null>>, more: readonly MetricDataQuery[] = []) => {
    const queries = [...Object.keys(known).map(stat), ...more, { Id: "e1", Expression, ReturnData: true }];
    return evaluateExpression(mathOf(queries, "e1"), (id) => known[id] ?? null);
  };
  it.each([
    ["m1 / m2", 15],
    ["m1 + m2 * 2", 34],
    ["(m1 + m2) * 2", 64],
    ["m1 - m2 - 8", 20],
    ["2 ^ 3 ^ 2", 512],
    ["-m2 ^ 2", -4],
    ["SUM([m1, m2])", 32],
    ["AVG(METRICS())", 16],
    ["MAX([m1, m2]) - MIN([m1, m2])", 28],
    ["FILL(m3, 7)", 7],
    ["m3 + 1", null],
    ["SUM([m1, m3])", 30],
    ["METRIC_COUNT(METRICS())", 2],
    ["IF(m1 > m2 AND m2 >= 2, 100, 200)", 100],
    ["IF(m1 == m2 || m1 < 0, 100, CEIL(2.1))", 3],
    ["m1 / (m2 - 2)", null],
  ])("%s", (expression, expected) => expect(value(expression, { m1: 30, m2: 2, m3: null })).toBe(expected));

  it("fills in expressions that an expression names", () => {
    expect(value("e0 * 2", { m1: 3 }, [{ Id: "e0", Expression: "m1 + 1", ReturnData: false }])).toBe(8);
    expect(() => value("e0", { m1: 3 }, [{ Id: "e0", Expression: "e1", ReturnData: false }])).toThrow(/circle/);
  });

  it.each([
    ["m1 +", /ends in the middle/],
    ["m9", /names m9/],
    ["RATE(m1)", /calls RATE/],
    ["SUM(m1, m1)", /2 arguments instead of 1/],
    ["m1 m1", /goes on after its end/],
    ["(m1", /has its end where \) belongs/],
    ["m1 $ 2", /\$ 2/],
  ])("refuses %s", (expression, message) => expect(() => value(expression, { m1: 1 })).toThrow(message));
});

it.each([
  ["at(2026-01-01)", "once"],
  ["at(2026-01-01T08:00:00)", "once"],
  ["rate(5 minutes)", "every"],
  ["rate(1 day)", "every"],
  ["cron(0 8 ? * MON-FRI *)", "cron"],
])("reads the schedule %s", (text, kind) => expect(parseSchedule(text, "UTC", 0).kind).toBe(kind));
it.each(["every day", "rate(0 minutes)", "at(noon)"])("refuses the schedule %s", (text) =>
  expect(() => parseSchedule(text, "UTC", 0)).toThrow(/write at\(/),
);
