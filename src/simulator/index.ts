/**
 * A fleet in virtual time: any policy on any trace. Engine, routing and ledger are the live ones, and the policy is called as the
 * controller calls it. Pure: the same options give the same result to the last bit.
 */
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
export { columnsOf, type Rows, type TraceColumns } from "./rows.ts";
export { createSimulation, type Simulation, simulate } from "./simulation.ts";
