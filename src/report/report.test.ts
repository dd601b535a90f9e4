import { expect, it } from "vitest";
import type { CellResult } from "../simulator/index.ts";
import { compareScenario } from "../simulator/index.ts";
import { html } from "./html.ts";
import { comparisonReport } from "./index.ts";
import { linear, logarithmic, nines } from "./scale.ts";
import { clock, timeText } from "./words.ts";

it("escapes every value, in text and attributes", () => {
  expect(html`<a title="${'"><script>'}">${"a & b"}${[html`<b>${1}</b>`, null]}</a>`.html).toBe(
    '<a title="&quot;&gt;&lt;script&gt;">a &amp; b<b>1</b></a>',
  );
});

it.each([
  [0, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  [7, [0, 2, 4, 6, 8]],
  [16, [0, 5, 10, 15, 20]],
  [100, [0, 20, 40, 60, 80, 100]],
  [0.03, [0, 0.01, 0.02, 0.03]],
])("has round ticks up to %d", (top, ticks) => {
  const scale = linear(top, 0, 100);
  expect(scale.ticks).toEqual(ticks);
  expect(scale(scale.ticks.at(-1) as number)).toBeCloseTo(100);
});

it("gives each tenth of the misses the same room, and begins at a round share", () => {
  const scale = nines(0.42, 0, 400);
  expect(scale.ticks[0]).toBe(0);
  expect(scale(0.99) - scale(0.9)).toBeCloseTo(scale(0.999) - scale(0.99));
  expect(nines(0.96, 0, 1).ticks).toEqual([0.95, 0.99, 0.999, 1]);
  expect(logarithmic(100, 10_000, 0, 100)(1000)).toBeCloseTo(50);
});

it.each([
  [null, "–"],
  [12.34, "12.3 ms"],
  [999, "999 ms"],
  [2000, "2 s"],
  [130_700, "2.18 min"],
])("says %s ms as %s", (ms, text) => expect(timeText(ms)).toBe(text));
it("says times of day as since the beginning", () => expect([clock(3_661_000), clock(90_000_000)]).toEqual(["01:01:01", "1 d 01:00:00"]));

const latency = { count: 10, meanMs: 200, p50Ms: 200, p95Ms: 900, p99Ms: 1500, maxMs: 1600 };
const cell = (cost: number, attainment: number): CellResult => ({
  figures: {
    fromMs: 0,
    toMs: 120_000,
    requests: { arrived: 10, completed: 10, failed: 0, cancelled: 0, rejected: 0, open: 0 },
    promptTokens: 100,
    outputTokens: 100,
    withinObjective: 10,
    attainment,
    ttft: latency,
    tpot: latency,
    e2e: latency,
    held: 0,
    retries: 0,
    gpuHours: cost,
    cost,
    readyMean: 1,
    scaleUps: 1,
    scaleDowns: 0,
    reversals: 0,
    violationMinutes: 0,
  },
  course: {
    stepMs: 60_000,
    atMs: [0, 60_000],
    demand: [0.5, 1.5],
    wanted: [1, 2],
    ready: [1, 1.4],
    billed: [1, 2],
    queue: [0, 3],
    attainment: [1, null],
  },
  changes: { count: 1, list: [{ atMs: 60_000, pool: "default", from: 1, to: 2, why: ["load <b>doubled</b> & more"] }] },
});
const comparison = compareScenario(
  { scenario: "step", describes: "a step", objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 } },
  [
    { policy: "good", cells: [cell(2, 1), cell(3, 0.995)] },
    { policy: "poor</script>", cells: [cell(1, 0.8), cell(1, 0.9)] },
  ],
);

it("is one page with nothing from elsewhere, and each point leads to its policy's reasons", async () => {
  const page = await comparisonReport({ title: "A & B", comparisons: [comparison] });
  expect(page).not.toMatch(/https?:\/\/|<link|src=|@import|url\(/);
  expect(page).toContain("<title>A &amp; B · Tidegate</title>");
  expect(page).toContain("load &lt;b&gt;doubled&lt;/b&gt; &amp; more");
  expect(page.match(/<\/script>/g)).toHaveLength(1);
  const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id as string);
  expect(targets.length).toBeGreaterThan(4);
  for (const id of targets) expect(page).toContain(`id="${id}"`);
  // Each picture says what it is, and has a table.
  expect(page.match(/<svg/g)?.length).toBe(page.match(/role="img" aria-label="/g)?.length);
  expect(page.match(/<caption>/g)?.length).toBe(3);
  expect(page).toContain("1 of 2 policies met the objective. The cheapest of them is good, for 2.50");
});

it("leaves out what one policy alone has no use for", async () => {
  const alone = compareScenario(comparison, [{ policy: "good", cells: [cell(2, 0.5)] }]);
  const page = await comparisonReport({ title: "x", comparisons: [alone] });
  expect(page).not.toContain('class="pareto"');
  expect(page).toContain("good missed the objective (50.00 %).");
});
