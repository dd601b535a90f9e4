import { expect, it } from "vitest";
import { countOf, mergeHistograms, shareWithin } from "./index.ts";

it("merges over the bounds that all have, so that gateways and engines of different versions can be summed", () => {
  const fine = { bounds: [1, 2, 4], counts: [1, 2, 3, 4], sum: 20 };
  const coarse = { bounds: [2, 4], counts: [10, 20, 30], sum: 200 };
  expect(mergeHistograms([fine, coarse])).toEqual({ bounds: [2, 4], counts: [13, 23, 34], sum: 220 });
  expect(mergeHistograms([fine, fine])).toEqual({ bounds: [1, 2, 4], counts: [2, 4, 6, 8], sum: 40 });
  expect(countOf(fine)).toBe(10);
  expect(mergeHistograms([])).toBeNull();
});

it.each([
  { rule: "a bucket's bound is exact", bound: 2, expected: { least: 0.5, most: 0.5 } },
  { rule: "between two bounds it is somewhere in the bucket", bound: 3, expected: { least: 0.5, most: 0.8 } },
  { rule: "below the first bound", bound: 0.5, expected: { least: 0, most: 0.2 } },
  { rule: "above the last bound nothing is known of the rest", bound: 9, expected: { least: 0.8, most: 1 } },
])("says within what a share lies: $rule", ({ bound, expected }) =>
  expect(shareWithin({ bounds: [1, 2, 4], counts: [2, 3, 3, 2], sum: 30 }, bound)).toEqual(expected),
);

it("knows no share of nothing", () => expect(shareWithin({ bounds: [1], counts: [0, 0], sum: 0 }, 1)).toBeNull());
