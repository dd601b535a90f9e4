import type { Ms } from "../model/index.ts";
import type { SimulationOptions } from "../simulator/index.ts";
import { busyMs, columnsOf } from "../simulator/index.ts";
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

function stretch(endMs: Ms, stage: Stage): readonly [Ms, Ms] {
  const [from, to] = ENDS[stage];
  return [stage === "train" ? Math.min(WARMUP_MS, WARMUP_SHARE * endMs) : from * endMs, to * endMs];
}

/** What of a run counts for a stage. */
export function stageOptions(endMs: Ms, stage: Stage): Pick<SimulationOptions, "warmupMs" | "durationMs" | "splitMs"> {
  const [warmupMs, durationMs] = stretch(endMs, stage);
  return { warmupMs, durationMs, splitMs: null };
}

export function lastArrivalMs(options: SimulationOptions): Ms {
  let last = 0;
  for (const { arrivalMs } of rowsOf(options)) last = arrivalMs;
  return last;
}

export function factsOf(options: SimulationOptions): Readonly<Record<Stage, DataFacts>> {
  const endMs = lastArrivalMs(options);
  const arrivals: Record<Stage, number> = { train: 0, validation: 0, test: 0 };
  const stages = (Object.keys(ENDS) as Stage[]).map((stage) => ({ stage, stretch: stretch(endMs, stage) }));
  for (const { arrivalMs } of rowsOf(options)) {
    for (const {
      stage,
      stretch: [fromMs, toMs],
    } of stages)
      if (arrivalMs >= fromMs && arrivalMs < toMs) arrivals[stage]++;
  }
  return Object.fromEntries(
    stages.map(({ stage, stretch: [fromMs, toMs] }) => [stage, { requests: arrivals[stage], lengthMs: toMs - fromMs }]),
  ) as Record<Stage, DataFacts>;
}

/** Rows that are kept as columns: laying copies of a trace over each other anew for every run would cost a third of its time. */
const KEPT_ROWS = 4_000_000;

/** The same trace, held as columns where it is not too long for that. */
export function withTraceHeld(options: SimulationOptions): SimulationOptions {
  const rows: TraceRequest[] = [];
  for (const row of rowsOf(options)) {
    if (rows.length >= KEPT_ROWS) return options;
    rows.push(row);
  }
  return { ...options, trace: columnsOf(rows) };
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
