import { readFileSync } from "node:fs";
import { heldTraces } from "../src/cli/held-traces.ts";
import {
  createSimulation,
  parseScenarios,
  reportedFigures,
  type Scenario,
  type ScenarioRun,
  scenarioRun,
  simulationOf,
} from "../src/simulator/index.ts";

/** GPU-minutes that a wake-up is taken to be worth. */
const PENALTIES = [0.1, 1, 10, 100];
const IDLE_TIMES = ["15s", "1m", "2m", "5m", "10m", "15m", "1h", "2h", "4h"];

interface Outcome {
  readonly gpuHours: number;
  readonly wakeUps: number;
}

/** GPU-hours after the split, and how often a fleet at zero was asked for a replica then. */
function outcomeOf(scenario: Scenario, run: ScenarioRun, policy: Readonly<Record<string, unknown>>): Outcome {
  let wakeUps = 0;
  const simulation = createSimulation({
    ...simulationOf(scenario, { name: "slo", policy: { kind: "slo", ...policy } }, run, 1),
    onDecision: ({ observation, orders }) => {
      if (observation.nowMs < run.fromMs) return;
      wakeUps += orders.filter(({ to, from }) => from === 0 && to > 0).length;
    },
  });
  while (simulation.step(50_000));
  return { gpuHours: reportedFigures(simulation.result()).gpuHours, wakeUps };
}

/**
 * `npm run bench -- wake-ups SCENARIOS TRACES [SCENARIO] [CLIENTS]`: what the learned idle time costs beside fixed ones, by the price of a wake-up: GPU-hours after the split
 * and the price of each wake-up. `CLIENTS`: only so many of the endpoints.
 */
export async function bench([scenarios, traces, name = "sparse-7d", clients = "Infinity"]: readonly string[]): Promise<void> {
  if (scenarios === undefined || traces === undefined) throw new Error("give the scenarios file and the folder of the traces");
  const scenario = parseScenarios({ file: scenarios, text: readFileSync(scenarios, "utf8") }).find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`${scenarios} has no scenario ${name}`);
  const runs = (await scenarioRun(scenario, "report", 1, heldTraces(traces))).slice(0, Number(clients));
  const sumOf = (policy: Readonly<Record<string, unknown>>): Outcome => {
    const all = runs.map((run) => outcomeOf(scenario, run, policy));
    const sum = (of: (one: Outcome) => number) => all.reduce((total, one) => total + of(one), 0);
    const outcome = { gpuHours: sum((one) => one.gpuHours), wakeUps: sum((one) => one.wakeUps) };
    process.stderr.write(`${JSON.stringify(policy)}: ${outcome.gpuHours.toFixed(1)} GPU-hours, ${outcome.wakeUps} wake-ups\n`);
    return outcome;
  };
  const fixed = IDLE_TIMES.map((zeroAfter) => ({ zeroAfter, ...sumOf({ zeroAfter }) }));
  for (const penalty of PENALTIES) {
    const priceOf = ({ gpuHours, wakeUps }: Outcome) => gpuHours + (penalty * wakeUps) / 60;
    const learned = priceOf(sumOf({ wakeUpPenalty: penalty }));
    const [best] = fixed.toSorted((a, b) => priceOf(a) - priceOf(b)) as [(typeof fixed)[number]];
    process.stdout.write(
      `a wake-up at ${penalty} GPU-minutes: learned ${learned.toFixed(1)}, best fixed ${priceOf(best).toFixed(1)} (${best.zeroAfter}): ${(learned / priceOf(best)).toFixed(3)}\n`,
    );
  }
}
