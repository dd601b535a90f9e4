import type { Policy } from "../../model/index.ts";
import { clairvoyant, lowerBound, peek, peekMargin, schedulePolicy } from "../references/index.ts";
import type { SimulationResult } from "../result.ts";
import { heldRows } from "../rows.ts";
import { type OpenTrace, type Scenario, type ScenarioRun, scenarioRun } from "../scenario/index.ts";
import { simulate } from "../simulation.ts";
import { reportedCourse } from "./cell.ts";
import type { CellResult, References } from "./comparison.ts";
import { sumOf } from "./outcome.ts";
import { simulationOf } from "./setup.ts";

export interface ReferenceOptions {
  readonly learnFirst?: boolean;
  /** Most runs of the simulator in the search for the clairvoyant's schedule. */
  readonly runs: number;
  readonly onProgress?: (share: number) => void;
}

/** What those who know the future need with the luck of one seed. */
export interface ReferenceCell {
  readonly references: References;
  readonly peek: CellResult;
  readonly clairvoyant: CellResult;
  /** The fixed count that would have been right. */
  readonly fixed: CellResult;
}

/** Rows that are held while one run is tried many times. */
const HELD_ROWS = 4_000_000;

const held = (run: ScenarioRun): ScenarioRun => ({ ...run, rows: heldRows(run.rows, HELD_ROWS) });

/** Of several endpoints each has its own, and they are summed. `peek` brings its margin from the part that policies are tuned on. */
export async function runReferences(
  scenario: Scenario,
  seed: number,
  open: OpenTrace,
  { learnFirst = false, runs: most, onProgress }: ReferenceOptions,
): Promise<ReferenceCell> {
  const reported = (await scenarioRun(scenario, "report", seed, open, { learnFirst })).map(held);
  const tuned = (await scenarioRun(scenario, "tune", seed, open)).map(held);
  let bound = 0;
  let holds = true;
  const peeks: SimulationResult[] = [];
  const schedules: SimulationResult[] = [];
  const fixed: SimulationResult[] = [];
  for (const [at, run] of reported.entries()) {
    const rerun = (policy: Policy) => simulate({ ...options, policy });
    const options = simulationOf(scenario, { name: "reference", policy: { kind: "slo" } }, run, seed);
    bound += lowerBound(scenario, run).gpuHours;
    const found = clairvoyant(scenario, run, seed, {
      runs: most,
      onRun: (done) => onProgress?.((at + (0.9 * done) / most) / reported.length),
    });
    holds &&= found.holds;
    schedules.push(rerun(schedulePolicy(options.endpoint, found.schedule)));
    const contender = { name: "fixed", policy: { kind: "static", replicas: found.fixed } };
    fixed.push(simulate(simulationOf(scenario, contender, run, seed)));
    const margin = peekMargin(scenario, tuned[at] ?? run, seed);
    peeks.push(rerun(peek(scenario, run, margin).policy));
  }
  const cellOf = (results: readonly SimulationResult[]): CellResult => ({
    figures: sumOf(results),
    course: drawn(scenario, reported, results, seed),
    changes: null,
  });
  const seen = cellOf(schedules);
  return {
    references: { lowerBoundGpuHours: bound, clairvoyantGpuHours: holds ? seen.figures.gpuHours : null },
    peek: cellOf(peeks),
    clairvoyant: seen,
    fixed: cellOf(fixed),
  };
}

/** The first seed is the one that pictures show. */
const drawn = (scenario: Scenario, runs: readonly ScenarioRun[], results: readonly SimulationResult[], seed: number) =>
  seed === 1 ? reportedCourse(scenario, runs, results) : null;
