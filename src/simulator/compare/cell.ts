import type { Ms } from "../../model/index.ts";
import type { SimulationResult } from "../result.ts";
import { type OpenTrace, type Scenario, type ScenarioRun, scenarioRun } from "../scenario/index.ts";
import { createSimulation } from "../simulation.ts";
import { Changes } from "./changes.ts";
import type { CellResult } from "./comparison.ts";
import { type Course, courseOf, sumOf } from "./outcome.ts";
import { type Contender, profileOf, simulationOf } from "./setup.ts";
import { busyMs } from "./work.ts";

export interface CellOptions {
  readonly learnFirst?: boolean;
  /** What `scenarioRun` gives to report on, where somebody holds it: it is the same for every contender. */
  readonly runs?: readonly ScenarioRun[];
  /** Keep what a picture shows: the course, and at most so many changes with their reasons; 0: nothing. */
  readonly keepChanges?: number;
  /** How far the cell is, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** Rows between two words on how far a run is. */
const STRIDE = 20_000;

/** Runs one contender in one scenario with the luck of one seed; a scenario of several endpoints runs each, and sums. */
export async function runCell(
  scenario: Scenario,
  contender: Contender,
  seed: number,
  open: OpenTrace,
  { learnFirst = false, keepChanges = 0, onProgress, ...held }: CellOptions = {},
): Promise<CellResult> {
  const runs = held.runs ?? (await scenarioRun(scenario, "report", seed, open, { learnFirst }));
  const changes = new Changes(keepChanges, runs[0]?.fromMs ?? 0);
  const results = runs.map((run, at) => {
    const simulation = createSimulation({
      ...simulationOf(scenario, contender, run, seed),
      ...(keepChanges === 0 ? {} : { onDecision: (record) => changes.add(record) }),
    });
    while (simulation.step(STRIDE)) onProgress?.((at + shareOf(simulation.nowMs, run)) / runs.length);
    onProgress?.((at + 1) / runs.length);
    return simulation.result();
  });
  const figures = sumOf(results);
  return {
    figures,
    course: keepChanges === 0 ? null : reportedCourse(scenario, runs, results),
    changes: keepChanges === 0 ? null : { count: changes.count, list: changes.list },
  };
}

const shareOf = (nowMs: Ms, { untilMs }: ScenarioRun) => (untilMs === null || untilMs === 0 ? 0.5 : Math.min(1, nowMs / untilMs));

/** From where figures count. */
export function reportedCourse(scenario: Scenario, runs: readonly ScenarioRun[], results: readonly SimulationResult[]): Course {
  const profile = profileOf(scenario);
  const from = Math.floor((runs[0]?.fromMs ?? 0) / 60_000);
  const cut = results.map(({ minutes, ...rest }) => ({
    ...rest,
    minutes: Object.fromEntries(
      Object.entries(minutes).map(([name, column]) => [name, (column as readonly unknown[]).slice(from)]),
    ) as unknown as SimulationResult["minutes"],
  }));
  const course = courseOf(cut, (requests, promptTokens, outputTokens) =>
    requests === 0 ? 0 : requests * busyMs(profile, { promptTokens: promptTokens / requests, outputTokens: outputTokens / requests }),
  );
  return { ...course, atMs: course.atMs.map((atMs) => atMs + from * 60_000) };
}
