import fc from "fast-check";
import { expect, it } from "vitest";
import { type RecordedStretch, resample } from "./index.ts";

const mean = (tokens: number) => ({ kind: "mean" as const, tokens });
const stretch = (atMs: number, requests: number, more: Partial<RecordedStretch> = {}): RecordedStretch => ({
  atMs,
  durationMs: 1000,
  requests,
  promptTokens: mean(100),
  outputTokens: mean(20),
  ...more,
});

it("keeps counts, order, classes and mean sizes, and begins at 0", () => {
  const rows = [...resample([stretch(5000, 300, { class: "a" }), stretch(5000, 200), stretch(7000, 500)], 1)];
  expect(rows).toHaveLength(1000);
  expect(rows.filter((row) => row.class === "a")).toHaveLength(300);
  expect(rows.filter((row) => row.arrivalMs >= 2000 && row.arrivalMs < 3000)).toHaveLength(500);
  expect(rows.filter((row) => row.arrivalMs >= 1000 && row.arrivalMs < 2000)).toHaveLength(0);
  expect(rows.every((row, at) => at === 0 || row.arrivalMs >= rows[at - 1]!.arrivalMs)).toBe(true);
  expect(new Set(rows.map((row) => row.promptTokens))).toEqual(new Set([100]));
  const output = rows.reduce((sum, row) => sum + row.outputTokens, 0) / rows.length;
  expect(Math.abs(output - 20)).toBeLessThan(3);
});

it("turns a measured rate into as many arrivals in the mean", () => {
  const rows = [
    ...resample(
      Array.from({ length: 2000 }, (_, at) => stretch(at * 1000, 0.3)),
      7,
    ),
  ];
  expect(Math.abs(rows.length - 600)).toBeLessThan(75);
});

it("draws sizes from a histogram's buckets, the open one bounded by twice its bound", () => {
  const promptTokens = { kind: "histogram" as const, bounds: [10, 100], counts: [1, 0, 1], sum: 0 };
  const sizes = [...resample([stretch(0, 4000, { promptTokens })], 3)].map((row) => row.promptTokens);
  expect(sizes.every((tokens) => (tokens >= 1 && tokens <= 10) || (tokens >= 100 && tokens <= 200))).toBe(true);
  expect(Math.abs(sizes.filter((tokens) => tokens <= 10).length - 2000)).toBeLessThan(200);
});

it("gives the same rows for the same seed, and always whole tokens from 1 on", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 99 }),
      fc.array(fc.double({ min: 0, max: 5, noNaN: true }), { maxLength: 20 }),
      (seed, counts) => {
        const stretches = counts.map((requests, at) => stretch(at * 1000, requests, { outputTokens: mean(0.2) }));
        const rows = [...resample(stretches, seed)];
        expect([...resample(stretches, seed)]).toEqual(rows);
        for (const row of rows) expect(row.outputTokens).toBeGreaterThanOrEqual(1);
      },
    ),
    { numRuns: 50 },
  );
});
