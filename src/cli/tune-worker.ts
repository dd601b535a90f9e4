import { type Ms, TidegateError } from "../model/index.ts";
import { createSimulation, type Scenario, type SimulationOptions, simulationOf } from "../simulator/index.ts";
import { endpointUnder, type Job, type Scored, type Stage } from "../tuner/index.ts";
import type { SimulateFlags } from "./simulate-setup.ts";
import type { Trouble } from "./thread-pool.ts";
import { factsOf, heldStage, lastArrivalMs, stageOptions, withFleetReady, withTraceHeld } from "./tune-stages.ts";

/** What candidates are tried on: a trace under an endpoint, or a scenario, whose trace files are in the folder `traces`. */
export type TuneCase =
  | { readonly kind: "trace"; readonly files: readonly string[]; readonly flags: SimulateFlags }
  | {
      readonly kind: "scenario";
      readonly scenario: Scenario;
      readonly traces: string;
      /** Nothing from there on is tuned on; null: all that may be. */
      readonly untilMs: Ms | null;
    };

/** One run of one candidate, as it goes to a thread. */
export interface TuneTask {
  readonly on: TuneCase;
  readonly metrics: Readonly<Record<string, string>>;
  readonly job: Job;
}

/** A thread reads each trace once. */
interface Held {
  readonly options: SimulationOptions;
  readonly endMs: Ms;
  readonly requests: Readonly<Record<Stage, number>>;
}
const held = new Map<string, Promise<Held>>();

async function setUp({ files, flags }: Extract<TuneCase, { kind: "trace" }>): Promise<Held> {
  const { simulationOf } = await import("./simulate-setup.ts");
  const options = withFleetReady((await simulationOf(files, flags)).options);
  const facts = factsOf(options);
  const requests = { train: facts.train.requests, validation: facts.validation.requests, test: facts.test.requests };
  return { options: withTraceHeld(options), endMs: lastArrivalMs(options), requests };
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
  const { options, endMs, requests } = await known;
  const endpoint = endpointUnder(options.endpoint, job.document, metrics);
  return scored({ ...options, ...stageOptions(endMs, job.stage), endpoint, seed: job.seed }, job.mayBreakOff ? requests[job.stage] : null);
}

async function onScenario(
  { scenario, traces, untilMs }: Extract<TuneCase, { kind: "scenario" }>,
  { document, stage, seed, mayBreakOff }: Job,
  metrics: TuneTask["metrics"],
): Promise<Scored> {
  const { runs, stretch } = await heldStage(scenario, stage, seed, traces, untilMs);
  const contender = { name: String(document["kind"]), policy: document, metrics };
  return runs
    .map(({ run, requests }) =>
      scored({ ...simulationOf(scenario, contender, run, seed), ...stretch }, mayBreakOff && runs.length === 1 ? requests : null),
    )
    .reduce((sum, { requests, within, gpuHours }) => ({
      requests: sum.requests + requests,
      within: sum.within + within,
      gpuHours: sum.gpuHours + gpuHours,
    }));
}

/** Late requests, as a share of all that will come, after which a run is broken off: far from every objective. */
const LOST = 0.1;
/** Rows between two looks at that. */
const STRIDE = 2000;

/** @param expected requests of the stretch that counts, where a hopeless run may be broken off; null: it runs to its end */
function scored(options: SimulationOptions, expected: number | null): Scored {
  const simulation = createSimulation(options);
  while (simulation.step(expected === null ? 1_000_000 : STRIDE)) {
    if (expected === null) continue;
    const { judged, within, gpuHours } = simulation.soFar();
    if (judged - within <= LOST * expected) continue;
    const [fromMs, toMs] = [options.splitMs ?? options.warmupMs ?? 0, options.durationMs ?? Number.NaN];
    const share = (simulation.nowMs - fromMs) / (toMs - fromMs);
    return { requests: judged, within, gpuHours: Number.isFinite(share) ? gpuHours / share : gpuHours, isBrokenOff: true };
  }
  const { whole, afterSplit } = simulation.result();
  const { requests, withinObjective, gpuHours } = afterSplit ?? whole;
  return { requests: requests.completed + requests.failed + requests.rejected, within: withinObjective, gpuHours };
}
