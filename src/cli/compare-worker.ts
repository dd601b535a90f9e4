import { TidegateError } from "../model/index.ts";
import {
  type CellResult,
  heldRows,
  type ReferenceCell,
  runCell,
  runReferences,
  type Scenario,
  type ScenarioRun,
  scenarioRun,
} from "../simulator/index.ts";
import { contenderIn, type PolicyChoice } from "./compare-policies.ts";
import { heldTraces } from "./held-traces.ts";
import type { Trouble } from "./thread-pool.ts";

/** One run, as it goes to a thread. */
export interface CellTask {
  readonly scenario: Scenario;
  /** null: the references, with at most so many runs each. */
  readonly policy: PolicyChoice | null;
  readonly referenceRuns: number;
  readonly seed: number;
  /** The folder that trace files are in. */
  readonly traces: string;
  readonly learnFirst: boolean;
  readonly keepChanges: number;
  /** Two numbers of each task: how far it is, from 0 to 1, and when it began, in ms of the Unix epoch; `at` is this one's place. */
  readonly progress: Float64Array;
  readonly at: number;
}

export interface CellAnswer {
  readonly result: CellResult | ReferenceCell;
  /** Wall-clock, for estimates of what is left. */
  readonly tookMs: number;
}

/** Most rows of a scenario that a thread holds for the next policy. */
const ROWS_HELD = 4_000_000;
let last: { readonly key: string; readonly runs: Promise<readonly ScenarioRun[]> } | null = null;

/** What every policy meets in a scenario with the luck of one seed: tasks come so that those of one are together. */
function reportedRuns({ scenario, seed, traces, learnFirst }: CellTask): Promise<readonly ScenarioRun[]> {
  const key = JSON.stringify([scenario, seed, traces, learnFirst]);
  if (last?.key !== key) {
    last = null;
    const made = scenarioRun(scenario, "report", seed, heldTraces(traces), { learnFirst });
    last = { key, runs: made.then((runs) => runs.map((one) => ({ ...one, rows: heldRows(one.rows, ROWS_HELD) }))) };
  }
  return last.runs;
}

export default async function run(task: CellTask): Promise<CellAnswer | Trouble> {
  const { scenario, policy, seed, traces, learnFirst, referenceRuns, keepChanges, progress, at } = task;
  const beganMs = performance.now();
  progress[2 * at + 1] = performance.timeOrigin + beganMs;
  try {
    const open = heldTraces(traces);
    const onProgress = (share: number) => {
      progress[2 * at] = share;
    };
    const result =
      policy === null
        ? await runReferences(scenario, seed, open, { learnFirst, runs: referenceRuns, onProgress })
        : await runCell(scenario, contenderIn(policy, scenario), seed, open, {
            learnFirst,
            keepChanges,
            onProgress,
            runs: await reportedRuns(task),
          });
    return { result, tookMs: performance.now() - beganMs };
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    return { trouble: { code: error.code, message: `${scenario.name}: ${error.message}` } };
  }
}
