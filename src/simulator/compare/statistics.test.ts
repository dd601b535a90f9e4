import { expect, it } from "vitest";
import { estimate, studentQuantile } from "./index.ts";

// Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of Student's t.
it.each([
  [1, 0.95, 12.706],
  [2, 0.95, 4.303],
  [3, 0.95, 3.182],
  [4, 0.95, 2.776],
  [9, 0.95, 2.262],
  [10, 0.9, 1.812],
  [29, 0.95, 2.045],
  [30, 0.99, 2.75],
  [100, 0.95, 1.984],
])("%i degrees of freedom: %d of all values lie within %d", (freedom, share, t) => {
  expect(studentQuantile(freedom, share)).toBeCloseTo(t, 3);
});

it.each([
  { rule: "of no value there is nothing", values: [], mean: null, halfWidth: null },
  { rule: "one value has no interval", values: [3], mean: 3, halfWidth: null },
  { rule: "equal values have none to speak of", values: [2, 2, 2], mean: 2, halfWidth: 0 },
  { rule: "two values: 12.706 times the standard error", values: [1, 3], mean: 2, halfWidth: 12.706 },
  { rule: "runs without a value are left out", values: [1, null, 3, 5], mean: 3, halfWidth: (4.3027 * 2) / Math.sqrt(3) },
])("$rule", ({ values, mean, halfWidth }) => {
  const found = estimate(values);
  expect(found.values).toBe(values);
  expect(found.mean).toBe(mean);
  if (halfWidth === null) expect(found.halfWidth).toBeNull();
  else expect(found.halfWidth).toBeCloseTo(halfWidth, 3);
});
