import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openHistory } from "../history/index.ts";
import { reportedFigures } from "../simulator/index.ts";
import { builtinSizes, generate } from "../traces/index.ts";
import { shadowReport } from "./report.ts";
import { ours, profile, recordOf, theirs, world } from "./truth.fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-truth-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const minute = 60_000;
const durationMs = 62 * minute;
const shape = { kind: "on-off", base: 2, burst: 9, everyMs: 30 * minute, forMs: 10 * minute, jitterMs: 3 * minute, durationMs } as const;

/** A world that is known to the last request, recorded as shadow would, and worked out again from the record alone. */
it("comes from the record alone to what the world would really have cost under slo", { timeout: 240_000 }, async () => {
  const trace = [...generate(shape, { seed: 3, sizes: builtinSizes() })];
  const { chat, rules, result } = recordOf(trace, { durationMs, initial: 2, atMs: Date.parse("2026-11-23T08:00:00Z") });
  const history = openHistory(folder);
  history.append("chat", chat);
  history.append("chat@hpa", rules);
  const [report] = await shadowReport({ history, endpoint: null, profileOf: () => profile, seeds: 3 });
  history.close();
  if (report === undefined || report.simulated === null) throw new Error(report?.simulatedWhy ?? "no report");
  if (process.env["TIDEGATE_SHADOW_HTML"] !== undefined) {
    const { writeFileSync } = await import("node:fs");
    writeFileSync(`${process.env["TIDEGATE_SHADOW_HTML"]}.json`, JSON.stringify(report));
  }
  const near = (value: number | null | undefined, truth: number, share: number) =>
    expect(Math.abs((value ?? Number.NaN) - truth) / truth, `${value} instead of ${truth}`).toBeLessThan(share);

  // What was: counted and billed as it was.
  const real = reportedFigures(result);
  near(report.measured.gpuHours, real.gpuHours, 0.02);
  near(report.measured.readyMean, real.readyMean, 0.02);
  near(report.traffic.requests, real.requests.arrived, 0.02);
  near(report.traffic.promptTokens, real.promptTokens, 0.03);
  near(report.traffic.outputTokens, real.outputTokens, 0.03);
  expect(report.measured.attainment?.least).toBeLessThanOrEqual((real.attainment as number) + 0.005);
  expect(report.measured.attainment?.most).toBeGreaterThanOrEqual((real.attainment as number) - 0.005);
  expect(report.agreement).toMatchObject({ compared: report.agreement?.same });

  // What would have been: the same world under slo, and under the HPA with other luck.
  const seeds = [11, 12, 13];
  const mean = (of: (seed: number) => number) => seeds.reduce((sum, seed) => sum + of(seed), 0) / seeds.length;
  const truth = (endpoint: typeof ours) => seeds.map((seed) => reportedFigures(world(endpoint, trace, seed, { durationMs, initial: 2 })));
  const [slo, hpa] = [truth(ours), truth(theirs)];
  const at = (figures: typeof slo, seed: number) => figures[seeds.indexOf(seed)] as (typeof slo)[0];
  const guessed = (name: "recorded" | "rules" | "slo") => report.simulated?.contenders.find((one) => one.name === name)?.figures;
  near(guessed("recorded")?.gpuHours.mean, real.gpuHours, 0.03);
  near(
    guessed("slo")?.gpuHours.mean,
    mean((seed) => at(slo, seed).gpuHours),
    0.1,
  );
  near(
    guessed("rules")?.gpuHours.mean,
    mean((seed) => at(hpa, seed).gpuHours),
    0.1,
  );
  expect(Math.abs((guessed("slo")?.attainment.mean as number) - mean((seed) => at(slo, seed).attainment as number))).toBeLessThan(0.03);
  expect(report.checks.filter(({ isNear }) => !isNear).map(({ what }) => what)).toEqual([]);
  expect(report.tooLittle).toEqual([]);
  expect(report.verdict).toMatch(/both miss the objective of 99 %. The simulation of what they did is near/);
});
