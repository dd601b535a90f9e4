import { beforeAll, describe, expect, it } from "vitest";
import { simulationOf } from "../compare/setup.ts";
import type { SimulationResult } from "../result.ts";
import { parseScenarios, type Scenario, type ScenarioRun, scenarioRun } from "../scenario/index.ts";
import { simulate } from "../simulation.ts";
import { type Clairvoyant, clairvoyant, lowerBound, peek, peekMargin } from "./index.ts";
import { greatest, schedulePolicy, smoothed } from "./schedule.ts";

const [scenario] = parseScenarios({
  file: "tiny.yaml",
  text: `scenarios:
  tiny: { shape: step, from: 5/s, to: 18/s, lead: 2m, hold: 2m, tail: 1m, coldStart: { median: 20s, sigma: 0.1 }, replicas: { min: 1, max: 8 } }`,
}) as [Scenario];
const runOf = async (part: "tune" | "report") => (await scenarioRun(scenario, part, 1, () => Promise.resolve([])))[0] as ScenarioRun;
const scored = ({ whole, afterSplit }: SimulationResult) => afterSplit ?? whole;
const figuresOf = (run: ScenarioRun, replicas: number) =>
  scored(simulate(simulationOf(scenario, { name: "static", policy: { kind: "static", replicas } }, run, 1)));

describe("references of one scenario", () => {
  let run: ScenarioRun;
  let found: Clairvoyant;
  beforeAll(async () => {
    run = await runOf("report");
    found = clairvoyant(scenario, run, 1, { runs: 16 });
  }, 30_000);

  it("are in order: the bound, the clairvoyant, the best fixed count", () => {
    const counts = [1, 2, 3, 4, 5, 6, 7, 8];
    const best = counts.map((count) => figuresOf(run, count)).find(({ attainment }) => (attainment ?? 0) >= 0.99);
    const bound = lowerBound(scenario, run).gpuHours;
    expect(bound).toBeGreaterThan(0);
    expect(found.holds).toBe(true);
    expect(found.figures.gpuHours).toBeGreaterThan(bound);
    expect(found.figures.gpuHours).toBeLessThan(best?.gpuHours ?? 0);
  });

  it("are achievable: the schedule, run as a policy, has the figures that are told", () => {
    const options = simulationOf(scenario, { name: "x", policy: { kind: "slo" } }, run, 1);
    const figures = scored(simulate({ ...options, policy: schedulePolicy(options.endpoint, found.schedule) }));
    expect(figures).toEqual(found.figures);
    expect(figures.attainment).toBeGreaterThanOrEqual(0.99);
  });

  it("are the same for the same arguments, and keep to their number of runs", () => {
    const again = clairvoyant(scenario, run, 1, { runs: 16 });
    expect(again).toEqual(found);
    expect(again.runs).toBeLessThanOrEqual(16);
  });

  it("peek with the margin of the part to tune on serves the other part", async () => {
    const margin = peekMargin(scenario, await runOf("tune"), 1);
    const { policy, options } = peek(scenario, run, margin);
    const { attainment, gpuHours } = scored(simulate({ ...options, policy }));
    expect(attainment).toBeGreaterThan(0.95);
    expect(gpuHours).toBeGreaterThan(lowerBound(scenario, run).gpuHours);
  });
});

it("asks for no more work of an empty stretch than the minimum's", () => {
  const run: ScenarioRun = { rows: [], fromMs: 0, untilMs: 3_600_000, beginMs: 0 };
  expect(lowerBound(scenario, run)).toEqual({ gpuHours: 1, busyReplicas: 0 });
});

it("peek knows nothing beyond one cold start: traffic after it changes nothing before", async () => {
  const run = await runOf("report");
  const rows = [...(run.rows as Iterable<{ arrivalMs: number; promptTokens: number; outputTokens: number }>)];
  const short = { ...run, rows: rows.filter(({ arrivalMs }) => arrivalMs < 100_000) };
  const countsOf = (of: ScenarioRun) => {
    const { policy } = peek(scenario, of, 1);
    const counts: unknown[] = [];
    for (let nowMs = 0; nowMs < 60_000; nowMs += 5_000) {
      const observation = { seq: 1, nowMs, cause: "tick", pools: {}, replicas: [], series: [], slots: null } as const;
      counts.push(policy.decide(policy.start(observation), observation).decision.wants["default"]);
    }
    return counts;
  };
  expect(countsOf(short)).toEqual(countsOf(run));
});

it.each([
  ["ahead", 0, 2, [3, 5, 5, 5, 1, 1]],
  ["behind", 1, 0, [1, 3, 3, 5, 5, 1]],
  ["nowhere", 0, 0, [1, 3, 2, 5, 1, 1]],
])("greatest looks %s", (_, behind, ahead, expected) => {
  expect([...greatest([1, 3, 2, 5, 1, 1], behind, ahead)]).toEqual(expected);
});

it("smooths over the time before", () => {
  expect([...smoothed({ binMs: 1000, replicas: Float64Array.of(4, 0, 0, 2) }, 2000)]).toEqual([2, 2, 0, 1]);
});
