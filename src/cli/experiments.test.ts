import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openTrace } from "../load/index.ts";
import { runCell, type Scenario, scenarioRun } from "../simulator/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import { contenderIn, type PolicyChoice, policyNames, readChoice } from "./compare-policies.ts";
import { readScenarios } from "./scenario-files.ts";

// The experiments of docs/experiments.md in a short form: every scenario and every policy of theirs runs for its first minutes.
const folder = fileURLToPath(new URL("../../examples/experiments/", import.meta.url));
const shortMs = 8 * 60_000;
const policiesOf: Readonly<Record<string, readonly string[]>> = {
  "metrics.yaml": [`${folder}metrics`],
  "windows.yaml": [`${folder}windows`],
  "scale-to-zero.yaml": [`${folder}zero`, "slo"],
  "cold-start.yaml": ["hpa-running"],
  "uneven.yaml": ["requests-per-second", "running", "output-tokens"].map((name) => `${folder}metrics/${name}.yaml`),
};

async function openBeside(file: string): Promise<readonly TraceRequest[]> {
  const rows: TraceRequest[] = [];
  for await (const row of openTrace(`${folder}${file}`)) rows.push(row);
  return rows;
}

async function shortRun(scenario: Scenario, choice: PolicyChoice) {
  const runs = await scenarioRun(scenario, "report", 1, openBeside);
  const cut = runs.map((run) => ({
    ...run,
    rows: [...run.rows].filter(({ arrivalMs }) => arrivalMs < shortMs),
    fromMs: 0,
    untilMs: shortMs,
  }));
  return {
    arrived: cut.reduce((sum, { rows }) => sum + rows.length, 0),
    ...(await runCell(scenario, contenderIn(choice, scenario), 1, openBeside, { runs: cut })),
  };
}

it("has every file of scenarios that is there", () => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  expect(files.toSorted()).toEqual(Object.keys(policiesOf).toSorted());
});

describe.each(Object.entries(policiesOf))("%s", (file, policies) => {
  it("runs under each of its policies", async () => {
    const { scenarios } = await readScenarios({ file: `${folder}${file}`, only: undefined, traces: undefined, profile: undefined });
    for (const choice of await Promise.all((await policyNames(policies)).map(readChoice))) {
      for (const scenario of scenarios) {
        const { arrived, figures } = await shortRun(scenario, choice);
        expect(figures.requests.arrived).toBe(arrived);
        expect(figures.requests.completed + figures.requests.open).toBe(arrived);
        expect(figures.gpuHours).toBeGreaterThan(0);
      }
    }
  }, 60_000);
});

it("sizes of uneven requests have the mean of even ones", () => {
  const means = ["sizes-even.csv", "sizes-uneven.csv"].map((file) => {
    const rows = readFileSync(`${folder}${file}`, "utf8").trim().split("\n").slice(1);
    const mean = (column: number) => rows.reduce((sum, row) => sum + Number(row.split(",")[column]), 0) / rows.length;
    return [Math.round(mean(1)), Math.round(mean(2))];
  });
  expect(means[1]).toEqual(means[0]);
});
