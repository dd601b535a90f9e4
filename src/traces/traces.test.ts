import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import {
  builtinSizes,
  builtinTrace,
  generate,
  overlay,
  overlayEach,
  overlayStream,
  parseTrace,
  type Shape,
  slice,
  summarize,
  type TraceRequest,
} from "./index.ts";

const published = new URL("../../../shared/traces/", import.meta.url);
const there = existsSync(published);
const load = (name: string) => {
  const raw = readFileSync(new URL(name, published));
  return parseTrace((name.endsWith(".gz") ? gunzipSync(raw) : raw).toString(), name);
};
const near = (value: number | null, wanted: number, digits: number) =>
  expect(Math.abs(value! - wanted)).toBeLessThanOrEqual(0.6 * 10 ** -digits);

it.skipIf(!there)("summarizes as the table beside the published traces says", () => {
  const table = readFileSync(new URL("README.md", published), "utf8");
  const names = [
    "aibrix-up-and-down-8min.csv",
    "azure2023-code-a.csv",
    "azure2023-conv-a.csv",
    "mooncake-conversation-a.csv",
    "mooncake-synthetic-a.csv",
    "servegen-sparse-tenants-7d-a.csv",
    "servegen-mm-image-12h-a.csv.gz",
  ];
  for (const name of names) {
    const cells = table
      .split("\n")
      .find((line) => line.startsWith(`| \`${name}\``))!
      .split("|")
      .map((cell) => cell.trim());
    const numbers = (cell: string) => [...cell.matchAll(/[\d.]+/g)].map(Number);
    const summary = summarize(load(name));
    expect(summary.requests, name).toBe(Number(cells[3]!.replaceAll(",", "")));
    // the table states the hours of a window, which ends after its last arrival
    expect(Math.abs(summary.durationMs / 3_600_000 - Number(cells[4]))).toBeLessThan(0.02);
    near(summary.meanRps, Number(cells[5]), 3);
    const [second, minute, tenMinutes] = numbers(cells[6]!) as [number, number, number];
    near(summary.peakRps.second, second, 0);
    near(summary.peakRps.minute, minute, 2);
    near(summary.peakRps.tenMinutes, tenMinutes, 2);
    near(summary.gapCv, Number(cells[7]), 2);
    near(summary.idcMinute, Number(cells[8]), 1);
    for (const [cell, of] of [
      [cells[9]!, summary.prompt],
      [cells[10]!, summary.output],
    ] as const) {
      const [mean, p50, p90, p99] = numbers(cell) as [number, number, number, number];
      near(of.mean, mean, 0);
      // the table cuts its quantiles, or rounds them: up to one token
      for (const [value, wanted] of [
        [of.p50, p50],
        [of.p90, p90],
        [of.p99, p99],
      ] as const)
        expect(Math.abs(value - wanted)).toBeLessThan(1);
    }
  }
});

it("says nothing where there is nothing to say", () => {
  expect(summarize([])).toMatchObject({ requests: 0, meanRps: null, gapCv: null, idcMinute: null, prefixHitRatio: null });
});

const trace: TraceRequest[] = [...generate({ kind: "steady", rps: 5, durationMs: 1_200_000 }, { seed: 7, sizes: builtinSizes() })].map(
  (row, at) => ({
    ...row,
    sessionId: `s${at}`,
  }),
);
const isSorted = (rows: readonly TraceRequest[]) => rows.every((row, at) => at === 0 || row.arrivalMs >= rows[at - 1]!.arrivalMs);

it("overlays shifted copies with the sizes of neighbours", async () => {
  expect(overlay(trace, 1, 3)).toEqual(trace);
  const five = overlay(trace, 5, 3);
  expect(five).toHaveLength(5 * trace.length);
  expect(isSorted(five)).toBe(true);
  expect(five.filter(({ sessionId }) => !sessionId!.includes("#"))).toEqual(trace);
  const rowOf = new Map(trace.map((row, at) => [row.sessionId!, at]));
  for (let copy = 1; copy < 5; copy++) {
    const own = five.filter(({ sessionId }) => sessionId!.endsWith(`#${copy}`));
    expect(own).toHaveLength(trace.length);
    const offsetMs = own[0]!.arrivalMs - trace[0]!.arrivalMs;
    expect(offsetMs).toBeGreaterThanOrEqual(0);
    expect(offsetMs).toBeLessThan(60_000);
    own.forEach((request, at) => {
      expect(request.arrivalMs).toBe(trace[at]!.arrivalMs + offsetMs);
      const from = rowOf.get(request.sessionId!.split("#")[0]!)!;
      expect(Math.abs(from - at)).toBeLessThanOrEqual(16);
      expect(request.promptTokens).toBe(trace[from]!.promptTokens);
    });
  }
  expect(overlay(trace, 5, 3)).toEqual(five);
  expect(overlay(trace, 5, 4)).not.toEqual(five);
  expect([...overlayEach(trace.values(), 5, 3)]).toEqual(five);
  const streamed: TraceRequest[] = [];
  for await (const request of overlayStream(trace, 5, 3)) streamed.push(request);
  expect(streamed).toEqual(five);
  expect(overlay([], 5, 3)).toEqual([]);
});

it("thins by a broken factor", () => {
  expect(overlay(trace, 0.5, 3).length / trace.length).toBeCloseTo(0.5, 1);
  expect(overlay(trace, 2.25, 3).length / trace.length).toBeCloseTo(2.25, 1);
  for (const k of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => overlay(trace, k, 1)).toThrow(/must be above 0/);
});

it("slices", () => {
  const cut = slice(trace, 60_000, 120_000);
  expect(cut.length).toBe(trace.filter(({ arrivalMs }) => arrivalMs >= 60_000 && arrivalMs < 120_000).length);
  expect(cut[0]!.arrivalMs).toBeLessThan(5000);
  expect(slice(trace, 60_000, 120_000, false)[0]!.arrivalMs).toBeGreaterThanOrEqual(60_000);
});

const sizes = [
  { promptTokens: 100, outputTokens: 10 },
  { promptTokens: 300, outputTokens: 30 },
];
const made = (shape: Shape, more: Partial<Parameters<typeof generate>[1]> = {}) => [...generate(shape, { seed: 5, sizes, ...more })];
const rateIn = (rows: readonly TraceRequest[], fromMs: number, toMs: number) => (slice(rows, fromMs, toMs).length * 1000) / (toMs - fromMs);
const minute = 60_000;

it("generates Poisson and bursty arrivals at the rate asked for", () => {
  const poisson = summarize(made({ kind: "steady", rps: 20, durationMs: 60 * minute }));
  expect(poisson.meanRps).toBeCloseTo(20, 0);
  expect(poisson.gapCv).toBeCloseTo(1, 1);
  expect(poisson.prompt.mean).toBeCloseTo(200, -1);
  const bursty = summarize(made({ kind: "steady", rps: 20, durationMs: 120 * minute }, { gaps: { kind: "gamma", cv: 3 } }));
  expect(bursty.meanRps! / 20).toBeCloseTo(1, 1);
  expect(bursty.gapCv! / 3).toBeCloseTo(1, 1);
  const even = summarize(made({ kind: "steady", rps: 20, durationMs: 60 * minute }, { gaps: { kind: "gamma", cv: 0.3 } }));
  expect(even.gapCv).toBeCloseTo(0.3, 1);
});

it("generates every shape", () => {
  const ramp = made({ kind: "ramp", from: 10, to: 50, leadMs: 10 * minute, overMs: 10 * minute, holdMs: 10 * minute });
  expect(rateIn(ramp, 0, 10 * minute) / 10).toBeCloseTo(1, 1);
  expect(rateIn(ramp, 14 * minute, 16 * minute) / 30).toBeCloseTo(1, 1);
  expect(rateIn(ramp, 20 * minute, 30 * minute) / 50).toBeCloseTo(1, 1);
  const step = made({ kind: "step", from: 5, to: 40, leadMs: 10 * minute, holdMs: 10 * minute, tailMs: 10 * minute });
  expect(rateIn(step, 600_000, 610_000) / 40).toBeCloseTo(1, 0);
  expect(rateIn(step, 10 * minute, 20 * minute) / 40).toBeCloseTo(1, 1);
  expect(rateIn(step, 20 * minute, 30 * minute) / 5).toBeCloseTo(1, 1);
  const flash = made({
    kind: "flash",
    base: 5,
    peak: 50,
    leadMs: 10 * minute,
    riseMs: minute,
    holdMs: 10 * minute,
    decayMs: 200_000,
    tailMs: 20 * minute,
  });
  expect(rateIn(flash, 11 * minute, 21 * minute) / 50).toBeCloseTo(1, 1);
  expect(rateIn(flash, 21 * minute + 195_000, 21 * minute + 205_000)).toBeGreaterThan(15);
  expect(rateIn(flash, 21 * minute + 195_000, 21 * minute + 205_000)).toBeLessThan(29);
  expect(rateIn(flash, 38 * minute, 41 * minute)).toBeLessThan(7);
  const onOff = made({ kind: "on-off", base: 5, burst: 40, everyMs: 40 * minute, forMs: 8 * minute, jitterMs: 0, durationMs: 80 * minute });
  expect(rateIn(onOff, 20 * minute, 28 * minute) / 40).toBeCloseTo(1, 1);
  expect(rateIn(onOff, 28 * minute, 60 * minute) / 5).toBeCloseTo(1, 1);
  expect(rateIn(onOff, 60 * minute, 68 * minute) / 40).toBeCloseTo(1, 1);
  const jittered = made({
    kind: "on-off",
    base: 5,
    burst: 40,
    everyMs: 40 * minute,
    forMs: 8 * minute,
    jitterMs: 4 * minute,
    durationMs: 800 * minute,
  });
  expect(rateIn(jittered, 0, 800 * minute) / (5 + 35 / 5)).toBeCloseTo(1, 1);
  const hour = 60 * minute;
  const diurnal = made({ kind: "diurnal", low: 1, high: 9, durationMs: 7 * 24 * hour, weekends: 0.5, burstsPerDay: 0 });
  expect(rateIn(diurnal, 3.5 * hour, 4.5 * hour)).toBeLessThan(1.3);
  expect(rateIn(diurnal, 15 * hour, 17 * hour) / 9).toBeCloseTo(1, 1);
  expect(rateIn(diurnal, 5 * 24 * hour, 6 * 24 * hour) / 2.5).toBeCloseTo(1, 1);
  const withBursts = made({ kind: "diurnal", low: 1, high: 9, durationMs: 7 * 24 * hour, weekends: 0.5, burstsPerDay: 12 });
  expect(withBursts.length / diurnal.length).toBeGreaterThan(1.02);
  for (const rows of [ramp, step, flash, onOff, jittered, diurnal, withBursts]) expect(isSorted(rows)).toBe(true);
});

it("lengthens prompts for a while", () => {
  const rows = made(
    { kind: "steady", rps: 20, durationMs: 30 * minute },
    { longPrompts: { times: 4, fromMs: 10 * minute, toMs: 20 * minute } },
  );
  const mean = (fromMs: number, toMs: number) => summarize(slice(rows, fromMs, toMs)).prompt.mean;
  expect(mean(10 * minute, 20 * minute) / mean(0, 10 * minute)).toBeCloseTo(4, 0);
});

it("refuses what cannot be", () => {
  expect(() => made({ kind: "steady", rps: -1, durationMs: 1 })).toThrow("rps (-1) of the steady shape must be");
  expect(() => made({ kind: "steady", rps: 1, durationMs: 1 }, { sizes: [] })).toThrow("table of token sizes is empty");
  expect(() => made({ kind: "steady", rps: 1, durationMs: 1 }, { gaps: { kind: "gamma", cv: 0 } })).toThrow("variation of gaps (0)");
});

it("brings a demo with a start from nothing, a burst, a long silence and a wake", () => {
  const rows = builtinTrace();
  expect(rows).toEqual(builtinTrace());
  expect(isSorted(rows)).toBe(true);
  expect(rows.length).toBeLessThan(6000);
  expect(rows.at(-1)!.arrivalMs).toBeLessThan(900_000);
  expect(rateIn(rows, 0, minute)).toBeLessThan(1.2);
  expect(rateIn(rows, 230_000, 310_000)).toBeGreaterThan(4);
  expect(rateIn(rows, 325_000, 410_000)).toBeGreaterThan(9);
  expect(rateIn(rows, 325_000, 410_000)).toBeLessThan(12.5);
  const gaps = rows.slice(1).map((row, at) => row.arrivalMs - rows[at]!.arrivalMs);
  expect(Math.max(...gaps)).toBeGreaterThan(100_000);
  expect(rateIn(rows, 790_000, 880_000)).toBeGreaterThan(0.4);
});

it.skipIf(!there)("draws the built-in sizes from the published rows, unchanged", () => {
  const rows = load("azure2023-conv-a.csv").slice(700, 1400);
  expect(builtinSizes()).toEqual(rows.map(({ promptTokens, outputTokens }) => ({ promptTokens, outputTokens })));
});
