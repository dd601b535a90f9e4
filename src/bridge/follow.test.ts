import fc from "fast-check";
import { expect, it } from "vitest";
import { HPA_VERSIONS } from "../policy/dialects/hpa/index.ts";
import { followCondition, HONOURED, honoursTolerance, IGNORED, isSwallowed, swallowedSteps } from "./follow.ts";

it.each([
  { from: 9, to: 10, swallowed: false },
  { from: 10, to: 11, swallowed: true },
  { from: 11, to: 10, swallowed: true },
  { from: 10, to: 9, swallowed: true },
  { from: 9, to: 8, swallowed: false },
  { from: 20, to: 21, swallowed: true },
  { from: 20, to: 22, swallowed: true },
  { from: 20, to: 23, swallowed: false },
  { from: 0, to: 1, swallowed: false },
])("a tolerance of 10 % swallows $from→$to: $swallowed", ({ from, to, swallowed }) => {
  expect(isSwallowed({ from, to }, IGNORED)).toBe(swallowed);
  expect(isSwallowed({ from, to }, HONOURED)).toBe(false);
});

it("names every single step between the bounds, both ways", () => {
  expect(swallowedSteps(8, 12, IGNORED)).toEqual([
    { from: 10, to: 11 },
    { from: 11, to: 12 },
    { from: 10, to: 9 },
    { from: 11, to: 10 },
    { from: 12, to: 11 },
  ]);
  expect(swallowedSteps(1, 50, HONOURED)).toEqual([]);
});

it("from the first swallowed step on, all are: a range says them", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), (min, more) => {
      const max = min + more;
      const up = swallowedSteps(min, max, IGNORED).filter(({ from, to }) => to > from);
      expect(up.map(({ from }) => from)).toEqual(Array.from({ length: up.length }, (_, at) => max - up.length + at));
    }),
  );
});

it.each([
  { minor: "34", honoured: false },
  { minor: "35", honoured: true },
  { minor: "36+", honoured: true },
  { minor: "", honoured: null },
])("version 1.$minor honours tolerance: $honoured", ({ minor, honoured }) => {
  expect(honoursTolerance({ major: "1", minor })).toBe(honoured);
});

it("agrees with the dialect's releases", () => {
  for (const [version, features] of Object.entries(HPA_VERSIONS)) {
    const [major = "", minor = ""] = version.split(".");
    expect(honoursTolerance({ major, minor }), version).toBe(features.HPAConfigurableTolerance);
  }
});

it.each([
  { max: 9, honoured: false, status: "True", reason: "ToleranceSmall" },
  { max: 40, honoured: true, status: "True", reason: "ToleranceHonoured" },
  { max: 40, honoured: false, status: "False", reason: "ToleranceIgnored" },
  { max: 40, honoured: null, status: "Unknown", reason: "VersionUnknown" },
])("up to $max replicas, tolerance honoured $honoured: $status", ({ max, honoured, status, reason }) => {
  const condition = followCondition(1, max, honoured);
  expect(condition).toMatchObject({ status, reason });
  if (status !== "True") expect(condition.message).toContain("10→11 … 39→40, 10→9 … 40→39");
});
