import { join } from "node:path";
import { expect, it } from "vitest";
import { RUNNERS } from "./kinds.ts";
import { readCases, runCases } from "./vectors.ts";

const cases = readCases(join(import.meta.dirname, "vectors"));
const reports = runCases(cases, RUNNERS);

it("has a case of every kind, and a runner for every case", () => {
  expect(reports.map(({ kind }) => kind)).toEqual([...RUNNERS.keys()].toSorted());
  expect(cases.length).toBeGreaterThan(790);
});

it.each(reports.map((report) => ({ kind: report.kind, report })))("decides $kind as the system itself does", ({ report }) => {
  expect(report.failures).toEqual([]);
  expect(report.passed).toBeGreaterThan(0);
});

it("notices an answer that differs, and a failure that does not come", () => {
  const wrong = runCases(
    [
      {
        file: "a.json",
        vector: { name: "wrong", source: "", kind: "ceil-to-int32", input: { value: 1.1 }, expected: { result: 3 } },
      },
      {
        file: "a.json",
        vector: { name: "no error", source: "", kind: "quantity-parse", input: { text: "1" }, expected: { error: "invalid" } },
      },
      { file: "a.json", vector: { name: "other", source: "", kind: "no such kind", input: {}, expected: {} } },
    ],
    RUNNERS,
  );
  expect(wrong).toMatchObject([
    { kind: "ceil-to-int32", passed: 0, failures: [{ name: "wrong", differences: ["result: expected 3, got 2"] }] },
    { kind: "no such kind", passed: 0, skipped: 1, failures: [] },
    { kind: "quantity-parse", passed: 0, failures: [{ name: "no error" }] },
  ]);
});
