import { expect, it } from "vitest";
import { nearest } from "./index.ts";
import { editDistance } from "./suggest.ts";

it.each([
  ["", "abc", 3],
  ["replicas", "replicas", 0],
  ["replcas", "replicas", 1],
  ["modle", "model", 1],
  ["Kind", "kind", 0],
  ["kitten", "sitting", 3],
])("from %j to %j takes %d edits", (from, to, edits) => expect(editDistance(from, to)).toBe(edits));

it("suggests the nearest word, and none where nothing is near", () => {
  expect(nearest("gpu_utilisation", ["gpu_power", "gpu_utilization"])).toBe("gpu_utilization");
  expect(nearest("banana", ["gpu_power", "held"])).toBeUndefined();
});
