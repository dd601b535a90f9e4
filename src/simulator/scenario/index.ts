/** Situations that policies are compared in: traffic, engine, objective, cold start, faults. Pure: whoever calls opens the traces. */
export { parseScenarios, type Scenario, type Traffic } from "./scenario.ts";
export { type OpenTrace, type Part, type ScenarioRun, type ScenarioRunOptions, scenarioRun } from "./traffic.ts";
