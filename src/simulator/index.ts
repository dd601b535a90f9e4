/**
 * A fleet in virtual time: any policy on any trace. Engine, routing and ledger are the live ones, and the policy is called as the
 * controller calls it. Pure: the same options give the same result to the last bit.
 *
 *   const { whole, afterSplit, minutes } = simulate({
 *     endpoint,                                     // as the config gives it: pools, prices, objective, policy, limits at the door
 *     trace: columnsOf(rows),                       // or any iterable of rows, however long
 *     seed: 1,
 *     pools: { default: { engine: defaultEngine(findProfile("8B")), coldStart: { total: { medianMs: 90_000, sigma: 0.25 } } } },
 *     splitMs: 15 * 60_000,
 *   });
 *
 * `createSimulation` is the same in steps, for whoever shows progress; `policy` takes any Policy in place of the endpoint's own, and
 * `onDecision` hands out every Observation and Decision as it comes.
 */
export {
  BUILTIN_SCENARIOS,
  busyMs,
  type CellOptions,
  type CellResult,
  type Change,
  Changes,
  type Contender,
  type Course,
  compareScenario,
  courseOf,
  describeScenario,
  type Estimate,
  endpointOf,
  estimate,
  FIGURE_NAMES,
  FIGURES,
  type FigureName,
  isMet,
  type ReferenceCell,
  type References,
  reportedFigures,
  runCell,
  runReferences,
  type ScenarioComparison,
  type Standing,
  simulationOf,
} from "./compare/index.ts";
export type { Distribution } from "./distribution.ts";
export type { Fault } from "./faults.ts";
export { quantileRelativeError } from "./log-histogram.ts";
export {
  type ColdStart,
  type DecisionRecord,
  defaultEngine,
  type KvTransfer,
  type NodeSpec,
  type PrefixCache,
  type SimulatedPool,
  type SimulationOptions,
} from "./options.ts";
export type { Figures, LatencySummary, Minutes, RequestCounts, SimulationResult } from "./result.ts";
export { columnsOf, heldRows, type Rows, type TraceColumns } from "./rows.ts";
export {
  type OpenTrace,
  parseScenarios,
  type Scenario,
  type ScenarioRun,
  scenarioRun,
} from "./scenario/index.ts";
export { createSimulation, type Simulation, simulate } from "./simulation.ts";
