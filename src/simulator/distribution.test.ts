import { expect, it } from "vitest";
import { checkDistribution, durationAt, normalAt } from "./distribution.ts";

it.each([
  [0.5, 0],
  [0.841344746, 1],
  [0.158655254, -1],
  [0.975, 1.959963985],
  [0.999, 3.090232306],
  [1e-9, -5.997807015],
  [1e-13, -7.348796103],
])("the normal quantile of %d is %d", (u, z) => {
  expect(normalAt(u)).toBeCloseTo(z, 5);
});

it.each([
  { rule: "a constant is itself", of: 90_000, u: 0.9, ms: 90_000 },
  { rule: "a lognormal's median is its median", of: { medianMs: 90_000, sigma: 0.25 }, u: 0.5, ms: 90_000 },
  { rule: "one sigma up is a factor of its exponential", of: { medianMs: 1000, sigma: 0.5 }, u: 0.841344746, ms: 1000 * Math.exp(0.5) },
  { rule: "a list gives each value its share", of: { valuesMs: [1, 2, 3, 4] }, u: 0.74, ms: 3 },
] as const)("$rule", ({ of, u, ms }) => {
  expect(durationAt(of, u)).toBeCloseTo(ms, 2);
});

it.each([-1, Number.NaN, { valuesMs: [] }, { medianMs: 1, sigma: -1 }])("refuses %j by name", (wrong) => {
  expect(() => checkDistribution(wrong, "pools.x.coldStart")).toThrow(/pools\.x\.coldStart/);
});
