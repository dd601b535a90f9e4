import type { Ms } from "../model/index.ts";
import type { SimulationOptions } from "../simulator/index.ts";
import { busyMs } from "../simulator/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import type { DataFacts, Stage } from "../tuner/index.ts";

/** Where stages end, as shares of the trace's time. What comes before a stage is run through, so that memories are what they would be. */
const ENDS: Readonly<Record<Stage, readonly [number, number]>> = { train: [0, 0.5], validation: [0.5, 0.75], test: [0.75, 1] };
/** The beginning counts for nobody, since no fleet has found its size yet: a twentieth of the trace, or as long as this. */
const WARMUP_MS: Ms = 600_000;
const WARMUP_SHARE = 0.05;
/** What comes in it tells how many replicas there are at the beginning. */
const FIRST_MS: Ms = 300_000;
const FIRST_UTILIZATION = 0.7;

const rowsOf = ({ trace }: SimulationOptions): Iterable<TraceRequest> => trace as Iterable<TraceRequest>;

const ends = new WeakMap<object, Ms>();

function endMs(options: SimulationOptions): Ms {
  const known = ends.get(options.trace);
  if (known !== undefined) return known;
  let last = 0;
  for (const { arrivalMs } of rowsOf(options)) last = arrivalMs;
  ends.set(options.trace, last);
  return last;
}

function stretch(options: SimulationOptions, stage: Stage): readonly [Ms, Ms] {
  const end = endMs(options);
  const [from, to] = ENDS[stage];
  return [stage === "train" ? Math.min(WARMUP_MS, WARMUP_SHARE * end) : from * end, to * end];
}

/** What of a run counts for a stage. */
export function stageOptions(options: SimulationOptions, stage: Stage): Pick<SimulationOptions, "warmupMs" | "durationMs" | "splitMs"> {
  const [warmupMs, durationMs] = stretch(options, stage);
  return { warmupMs, durationMs, splitMs: null };
}

export function factsOf(options: SimulationOptions, stage: Stage): DataFacts {
  const [fromMs, toMs] = stretch(options, stage);
  let requests = 0;
  for (const { arrivalMs } of rowsOf(options)) if (arrivalMs >= fromMs && arrivalMs < toMs) requests++;
  return { requests, lengthMs: toMs - fromMs };
}

/** Every candidate begins with as many replicas as the first minutes need. */
export function withFleetReady(options: SimulationOptions): SimulationOptions {
  const [pool] = options.endpoint.pools;
  const simulated = pool === undefined ? undefined : options.pools[pool.name];
  if (pool === undefined || simulated === undefined || simulated.initial !== undefined) return options;
  let busy = 0;
  for (const row of rowsOf(options)) {
    if (row.arrivalMs >= FIRST_MS) break;
    busy += busyMs(simulated.engine.profile, row);
  }
  const initial = Math.min(pool.max, Math.max(pool.min, Math.ceil(busy / FIRST_MS / FIRST_UTILIZATION)));
  return { ...options, pools: { ...options.pools, [pool.name]: { ...simulated, initial } } };
}
