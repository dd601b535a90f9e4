import type { Ms } from "../model/index.ts";
import { busyMs, heldRows, type Scenario, type ScenarioRun, type SimulationOptions, scenarioRun } from "../simulator/index.ts";
import type { TraceRequest } from "../traces/index.ts";
import type { DataFacts, Stage } from "../tuner/index.ts";
import { heldTraces } from "./held-traces.ts";

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
export const withTraceHeld = (options: SimulationOptions): SimulationOptions => ({
  ...options,
  trace: heldRows(rowsOf(options), KEPT_ROWS),
});

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

/** Share of what is before a scenario's split that is tuned on; the rest of it chooses. */
const TRAIN_SHARE = 2 / 3;
/** Lucks of siblings that choose, away from those that are tuned on. */
const VALIDATION_SEED = 1_000;

/** What of a scenario's runs counts for a stage; nothing stated: all of what the run itself counts. */
type Stretch = Partial<Pick<SimulationOptions, "warmupMs" | "durationMs" | "splitMs">>;

/**
 * A scenario's requests for a stage. With a split: what is before it, or before `untilMs`, is tuned on and chooses, what is after the split
 * tests; without: siblings of the shape, of other luck to choose than to tune on, and the shape itself to test.
 */
export async function scenarioStage(
  scenario: Scenario,
  stage: Stage,
  seed: number,
  traces: string,
  untilMs: Ms | null,
): Promise<{ readonly runs: readonly ScenarioRun[]; readonly stretch: Stretch }> {
  const { splitMs } = scenario;
  if (stage === "test") return { runs: await scenarioRun(scenario, "report", seed, heldTraces(traces)), stretch: {} };
  if (splitMs === null) {
    const own = stage === "validation" ? seed + VALIDATION_SEED : seed;
    return { runs: await scenarioRun(scenario, "tune", own, heldTraces(traces)), stretch: {} };
  }
  const endMs = Math.min(splitMs, untilMs ?? splitMs);
  const middleMs = endMs * TRAIN_SHARE;
  const warmupMs = stage === "train" ? Math.min(WARMUP_MS, WARMUP_SHARE * endMs) : middleMs;
  const durationMs = stage === "train" ? middleMs : endMs;
  return { runs: await scenarioRun(scenario, "tune", seed, heldTraces(traces)), stretch: { warmupMs, durationMs, splitMs: null } };
}

/** A stage's run with its rows at hand, and how many of them count. */
export interface HeldRun {
  readonly run: ScenarioRun;
  readonly requests: number;
}

/** Stages whose rows a thread keeps; tasks come scenario by scenario. */
const STAGES_HELD = 4;
const heldStages = new Map<string, ReturnType<typeof holdStage>>();

/** The same for every candidate, so that its rows are made but once. */
export function heldStage(
  scenario: Scenario,
  stage: Stage,
  seed: number,
  traces: string,
  untilMs: Ms | null,
): ReturnType<typeof holdStage> {
  const key = JSON.stringify([scenario, stage, seed, traces, untilMs]);
  const known = heldStages.get(key) ?? holdStage(scenario, stage, seed, traces, untilMs);
  heldStages.delete(key);
  heldStages.set(key, known);
  const [oldest] = heldStages.keys();
  if (heldStages.size > STAGES_HELD && oldest !== undefined) heldStages.delete(oldest);
  return known;
}

async function holdStage(
  scenario: Scenario,
  stage: Stage,
  seed: number,
  traces: string,
  untilMs: Ms | null,
): Promise<{ readonly runs: readonly HeldRun[]; readonly stretch: Stretch }> {
  const { runs, stretch } = await scenarioStage(scenario, stage, seed, traces, untilMs);
  return {
    stretch,
    runs: runs.map((run) => ({
      run: { ...run, rows: heldRows(before(run.rows, stretch.durationMs ?? run.untilMs), KEPT_ROWS) },
      requests: countIn(run, stretch).requests,
    })),
  };
}

const before = (rows: Iterable<TraceRequest>, endMs: Ms | null): Iterable<TraceRequest> => ({
  *[Symbol.iterator]() {
    for (const row of rows) {
      if (endMs !== null && row.arrivalMs > endMs) return;
      yield row;
    }
  },
});

function countIn({ rows, fromMs, untilMs }: ScenarioRun, stretch: Stretch): DataFacts {
  const [from, to] = [stretch.warmupMs ?? fromMs, stretch.durationMs ?? untilMs ?? Number.POSITIVE_INFINITY];
  let requests = 0;
  let lengthMs = 0;
  for (const { arrivalMs } of rows) {
    if (arrivalMs >= to) break;
    if (arrivalMs >= from) requests++;
    lengthMs = Math.max(lengthMs, arrivalMs - from);
  }
  return { requests, lengthMs };
}

/** @param tests whether the last stage will be looked at: going through all of a long scenario takes its time */
export async function scenarioFacts(
  scenario: Scenario,
  traces: string,
  untilMs: Ms | null,
  tests: boolean,
): Promise<Readonly<Record<Stage, DataFacts>>> {
  const factsFor = async (stage: Stage): Promise<DataFacts> => {
    const { runs, stretch } = await scenarioStage(scenario, stage, 1, traces, untilMs);
    const each = runs.map((run) => countIn(run, stretch));
    return {
      requests: each.reduce((sum, { requests }) => sum + requests, 0),
      lengthMs: Math.max(0, ...each.map(({ lengthMs }) => lengthMs)),
    };
  };
  return {
    train: await factsFor("train"),
    validation: await factsFor("validation"),
    test: tests ? await factsFor("test") : { requests: 0, lengthMs: 0 },
  };
}
