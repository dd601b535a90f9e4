import fc from "fast-check";
import { expect, it } from "vitest";
import { quantileOf } from "../model/index.ts";
import { emptyHistogram, LATENCY_BOUNDS, latencyBucket } from "./index.ts";

const of = (values: readonly number[]) => {
  const histogram = { ...emptyHistogram(), counts: [...emptyHistogram().counts] };
  for (const value of values) histogram.counts[latencyBucket(value)]! += 1;
  return { ...histogram, sum: values.reduce((sum, value) => sum + value, 0) };
};

it("puts every latency between the bounds of its bucket", () => {
  fc.assert(
    fc.property(fc.oneof(fc.double({ min: 0, max: 2000, noNaN: true }), fc.constantFrom(...LATENCY_BOUNDS)), (seconds) => {
      const at = latencyBucket(seconds);
      expect(seconds).toBeLessThanOrEqual(LATENCY_BOUNDS[at] ?? Number.POSITIVE_INFINITY);
      if (at > 0) expect(seconds).toBeGreaterThan(LATENCY_BOUNDS[at - 1] as number);
    }),
  );
});

it("reads a quantile within 12.3 % of the true one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.0002, max: 900, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 0.95, 0.99, 1),
      (values, q) => {
        const sorted = [...values].sort((a, b) => a - b);
        const rank = Math.max(0, Math.ceil(q * sorted.length - 1e-9) - 1);
        const exact = sorted[rank] as number;
        expect(Math.abs((quantileOf(of(values), q) as number) / exact - 1)).toBeLessThanOrEqual(0.123);
      },
    ),
  );
});

it.each([
  { rule: "null of nothing", counts: [0, 0, 0], q: 0.5, value: null },
  { rule: "linear inside a bucket", counts: [0, 4, 0], q: 0.5, value: 1.5 },
  { rule: "from zero in the first", counts: [4, 0, 0], q: 0.25, value: 0.25 },
  { rule: "the largest bound in the open last one", counts: [0, 0, 3], q: 0.5, value: 2 },
])("quantile: $rule", ({ counts, q, value }) => {
  expect(quantileOf({ bounds: [1, 2], counts, sum: 0 }, q)).toBe(value);
});
