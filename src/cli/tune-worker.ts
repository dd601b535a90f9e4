import { type Endpoint, type ErrorCode, type Ms, TidegateError } from "../model/index.ts";
import { type Figures, type SimulationOptions, simulate } from "../simulator/index.ts";
import { endpointUnder, type Job, type Scored } from "../tuner/index.ts";
import type { SimulateFlags } from "./simulate-setup.ts";
import { lastArrivalMs, stageOptions, withFleetReady, withTraceHeld } from "./tune-stages.ts";

/** One run of one candidate, as it goes to a thread. */
export interface TuneTask {
  readonly files: readonly string[];
  /** Of the case: its trace is in them. */
  readonly flags: SimulateFlags;
  readonly metrics: Readonly<Record<string, string>>;
  readonly job: Job;
}

/** An error of ours loses its class on the way between threads, so that it is told as data. */
export type TuneAnswer = { readonly scored: Scored } | { readonly trouble: { readonly code: ErrorCode; readonly message: string } };

/** A thread reads each trace once. */
const held = new Map<string, Promise<{ readonly options: SimulationOptions; readonly endMs: Ms }>>();

async function setUp({ files, flags }: TuneTask): Promise<{ readonly options: SimulationOptions; readonly endMs: Ms }> {
  const { simulationOf } = await import("./simulate-setup.ts");
  const options = withFleetReady((await simulationOf(files, flags)).options);
  return { options: withTraceHeld(options), endMs: lastArrivalMs(options) };
}

export default async function run(task: TuneTask): Promise<TuneAnswer> {
  const { job, flags, metrics } = task;
  try {
    const known = held.get(flags.trace) ?? setUp(task);
    held.set(flags.trace, known);
    const { options, endMs } = await known;
    let endpoint: Endpoint;
    try {
      endpoint = endpointUnder(options.endpoint, job.document, metrics);
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      return { scored: { requests: 0, within: 0, gpuHours: 0, refused: error.message } };
    }
    const { whole } = simulate({ ...options, ...stageOptions(endMs, job.stage), endpoint, seed: job.seed });
    return { scored: scoreOf(whole) };
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    return { trouble: { code: error.code, message: error.message } };
  }
}

const scoreOf = ({ requests: { completed, failed, rejected }, withinObjective, gpuHours }: Figures): Scored => ({
  requests: completed + failed + rejected,
  within: withinObjective,
  gpuHours,
});
