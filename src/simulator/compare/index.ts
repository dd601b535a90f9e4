/** Policies against each other, in one situation after another, with the same luck. Pure: threads and files are the caller's. */
export { BUILTIN_SCENARIOS } from "./builtin.ts";
export { type CellOptions, runCell } from "./cell.ts";
export { type Change, Changes } from "./changes.ts";
export {
  type CellResult,
  compareScenario,
  FIGURE_NAMES,
  FIGURES,
  type FigureName,
  type References,
  type ScenarioComparison,
  type Standing,
} from "./comparison.ts";
export { describeScenario } from "./describe.ts";
export { type Course, courseOf, isMet, reportedFigures } from "./outcome.ts";
export { type ReferenceCell, runReferences } from "./reference-cell.ts";
export { type Contender, endpointOf, simulationOf } from "./setup.ts";
export { type Estimate, estimate, studentQuantile } from "./statistics.ts";
export { busyMs } from "./work.ts";
