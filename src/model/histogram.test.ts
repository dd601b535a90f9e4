import { expect, it } from "vitest";
import { countOf, mergeHistograms } from "./index.ts";

it("merges over the bounds that all have, so that gateways and engines of different versions can be summed", () => {
  const fine = { bounds: [1, 2, 4], counts: [1, 2, 3, 4], sum: 20 };
  const coarse = { bounds: [2, 4], counts: [10, 20, 30], sum: 200 };
  expect(mergeHistograms([fine, coarse])).toEqual({ bounds: [2, 4], counts: [13, 23, 34], sum: 220 });
  expect(mergeHistograms([fine, fine])).toEqual({ bounds: [1, 2, 4], counts: [2, 4, 6, 8], sum: 40 });
  expect(countOf(fine)).toBe(10);
  expect(mergeHistograms([])).toBeNull();
});
