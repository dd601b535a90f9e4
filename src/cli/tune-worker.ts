import { type Ms, TidegateError } from "../model/index.ts";
import { type Figures, type Scenario, type SimulationOptions, simulate, simulationOf } from "../simulator/index.ts";
import { endpointUnder, type Job, type Scored } from "../tuner/index.ts";
import type { SimulateFlags } from "./simulate-setup.ts";
import type { Trouble } from "./thread-pool.ts";
import { lastArrivalMs, scenarioStage, stageOptions, withFleetReady, withTraceHeld } from "./tune-stages.ts";

/** What candidates are tried on: a trace under an endpoint, or a scenario, whose trace files are in the folder `traces`. */
export type TuneCase =
  | { readonly kind: "trace"; readonly files: readonly string[]; readonly flags: SimulateFlags }
  | { readonly kind: "scenario"; readonly scenario: Scenario; readonly traces: string };

/** One run of one candidate, as it goes to a thread. */
export interface TuneTask {
  readonly on: TuneCase;
  readonly metrics: Readonly<Record<string, string>>;
  readonly job: Job;
}

/** A thread reads each trace once. */
const held = new Map<string, Promise<{ readonly options: SimulationOptions; readonly endMs: Ms }>>();

async function setUp({
  files,
  flags,
}: Extract<TuneCase, { kind: "trace" }>): Promise<{ readonly options: SimulationOptions; readonly endMs: Ms }> {
  const { simulationOf } = await import("./simulate-setup.ts");
  const options = withFleetReady((await simulationOf(files, flags)).options);
  return { options: withTraceHeld(options), endMs: lastArrivalMs(options) };
}

export default async function run({ on, job, metrics }: TuneTask): Promise<Scored | Trouble> {
  try {
    return await (on.kind === "trace" ? onTrace(on, job, metrics) : onScenario(on, job, metrics));
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    // A document that the config refuses is a bad candidate; anything else stops the search.
    if (error.code === "config/invalid") return { requests: 0, within: 0, gpuHours: 0, refused: error.message };
    return { trouble: { code: error.code, message: error.message } };
  }
}

async function onTrace(on: Extract<TuneCase, { kind: "trace" }>, job: Job, metrics: TuneTask["metrics"]): Promise<Scored> {
  const known = held.get(on.flags.trace) ?? setUp(on);
  held.set(on.flags.trace, known);
  const { options, endMs } = await known;
  const endpoint = endpointUnder(options.endpoint, job.document, metrics);
  return scoreOf([simulate({ ...options, ...stageOptions(endMs, job.stage), endpoint, seed: job.seed }).whole]);
}

async function onScenario(
  { scenario, traces }: Extract<TuneCase, { kind: "scenario" }>,
  { document, stage, seed }: Job,
  metrics: TuneTask["metrics"],
): Promise<Scored> {
  const { runs, stretch } = await scenarioStage(scenario, stage, seed, traces);
  const contender = { name: String(document["kind"]), policy: document, metrics };
  return scoreOf(
    runs.map((run) => {
      const { whole, afterSplit } = simulate({ ...simulationOf(scenario, contender, run, seed), ...stretch });
      return afterSplit ?? whole;
    }),
  );
}

const scoreOf = (figures: readonly Figures[]): Scored =>
  figures.reduce(
    (sum, { requests: { completed, failed, rejected }, withinObjective, gpuHours }) => ({
      requests: sum.requests + completed + failed + rejected,
      within: sum.within + withinObjective,
      gpuHours: sum.gpuHours + gpuHours,
    }),
    { requests: 0, within: 0, gpuHours: 0 },
  );
