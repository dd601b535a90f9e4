import fc from "fast-check";
import { expect, it } from "vitest";
import { LogHistogram, quantileRelativeError } from "./log-histogram.ts";

it("gives each quantile within its stated relative error of the nearest-rank value", () => {
  const values = fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, q) => {
      const histogram = new LogHistogram();
      for (const value of all) histogram.add(value);
      const sorted = [...all].sort((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] as number;
      expect(Math.abs((histogram.quantile(q) as number) - exact) / exact).toBeLessThanOrEqual(quantileRelativeError + 1e-9);
    }),
  );
});

it("is the same for two halves merged as for all at once", () => {
  const [whole, one, other] = [new LogHistogram(), new LogHistogram(), new LogHistogram()];
  for (let at = 1; at <= 1000; at++) {
    whole.add(at);
    (at % 2 === 0 ? one : other).add(at);
  }
  one.merge(other);
  expect([one.count, one.sum, one.max, one.quantile(0.95)]).toEqual([whole.count, whole.sum, whole.max, whole.quantile(0.95)]);
});

it("knows nothing of no values, and the extremes of any", () => {
  const histogram = new LogHistogram();
  expect([histogram.quantile(0.5), histogram.mean]).toEqual([null, null]);
  histogram.add(0);
  histogram.add(1e12);
  expect([histogram.quantile(0), histogram.quantile(1), histogram.max]).toEqual([1e-4, expect.any(Number), 1e12]);
});
