import type { EngineProfile } from "../engine/index.ts";
import type { Endpoint, Json, Ms, Policy } from "../model/index.ts";
import {
  busyMs,
  type Course,
  courseOf,
  createSimulation,
  type Distribution,
  defaultEngine,
  type Estimate,
  estimate,
  FIGURE_NAMES,
  FIGURES,
  type FigureName,
  type Figures,
  reportedFigures,
} from "../simulator/index.ts";
import { type RecordedStretch, resample, type TraceRequest } from "../traces/index.ts";
import type { Measured } from "./measured.ts";

/** Of whom a simulated run is. */
export type ContenderName = "recorded" | "rules" | "slo";

export interface Simulated {
  readonly seeds: number;
  readonly coldStart: { readonly distribution: Distribution; readonly from: "measured" | "assumed" };
  readonly profile: { readonly model: string; readonly gpu: string; readonly tp: number; readonly source: EngineProfile["source"] };
  readonly contenders: readonly {
    readonly name: ContenderName;
    readonly figures: Readonly<Record<FigureName, Estimate>>;
    /** Of the first seed. */
    readonly course: Course;
  }[];
  /** `slo` less the recorded counts, seed by seed with the same luck. */
  readonly difference: Readonly<Record<"gpuHours" | "cost" | "attainment", Estimate>>;
}

export interface SimulatedInput {
  readonly ours: Endpoint;
  /** null: their rules cannot be followed. */
  readonly theirs: Endpoint | null;
  readonly measured: Measured;
  readonly stretches: readonly RecordedStretch[];
  readonly profile: EngineProfile;
  /** Used where no cold start was measured. */
  readonly coldStart: Distribution;
  readonly seeds: number;
  readonly onProgress: (share: number) => void;
}

/** Rows between two words on how far it is. */
const STRIDE = 20_000;
/** As many cold starts say more than an assumption. */
const enoughColdStarts = 3;

/**
 * The recorded demand again, in virtual time, under the counts that were recorded, under the other's rules, and under ours: all by the
 * code of `tidegate simulate`. Every seed draws arrivals within the recorded stretches, sizes and cold starts anew, the same for all three. Lets signals through as it runs.
 */
export async function simulateBeside(input: SimulatedInput): Promise<Simulated> {
  const { ours, theirs, measured, stretches, profile, seeds } = input;
  const [pool] = ours.pools;
  if (pool === undefined || ours.pools.length > 1) throw new RangeError("shadow simulates endpoints of one pool");
  const known = measured.coldStartsMs.length >= enoughColdStarts;
  const coldStart: Distribution = known ? { valuesMs: measured.coldStartsMs } : input.coldStart;
  const most = Math.max(pool.max, ...measured.fleet.map(({ wanted }) => wanted));
  const first = measured.fleet[0];
  const initial = Math.min(most, Math.max(0, first?.billed ?? pool.min));
  const schedule = measured.fleet.map(({ atMs, wanted }) => ({ atMs: atMs - measured.fromMs, wanted }));
  const widened: Endpoint = { ...ours, pools: [{ ...pool, min: 0, max: most }] };
  // What only watched has to act here.
  const acting = (endpoint: Endpoint): Endpoint => ({ ...endpoint, dryRun: false });
  const runs: readonly { readonly name: ContenderName; readonly endpoint: Endpoint; readonly policy?: Policy }[] = [
    { name: "recorded", endpoint: acting(widened), policy: asRecorded(pool.name, schedule) },
    ...(theirs === null ? [] : [{ name: "rules" as const, endpoint: acting(theirs) }]),
    { name: "slo", endpoint: acting(ours) },
  ];
  const figures = new Map<ContenderName, Figures[]>(runs.map(({ name }) => [name, []]));
  const courses = new Map<ContenderName, Course>();
  const durationMs = Math.max(1_000, measured.toMs - measured.fromMs);
  const busyMsOf = (requests: number, promptTokens: number, outputTokens: number) =>
    requests === 0 ? 0 : requests * busyMs(profile, { promptTokens: promptTokens / requests, outputTokens: outputTokens / requests });
  for (let seed = 1; seed <= seeds; seed++) {
    const trace: readonly TraceRequest[] = [...resample(stretches, seed)];
    for (const [at, { name, endpoint, policy }] of runs.entries()) {
      const simulation = createSimulation({
        ...{ endpoint, trace, seed, durationMs, ledgerSeen: false, prefixCache: "fleet" as const },
        pools: {
          [pool.name]: {
            engine: defaultEngine(profile),
            coldStart: { total: coldStart },
            initial: Math.min(initial, endpoint.pools[0]?.max ?? initial),
          },
        },
        ...(policy === undefined ? {} : { policy }),
      });
      const done = (seed - 1) * runs.length + at;
      while (simulation.step(STRIDE)) {
        input.onProgress((done + Math.min(1, simulation.nowMs / durationMs)) / (seeds * runs.length));
        await new Promise((resolve) => setImmediate(resolve));
      }
      const result = simulation.result();
      figures.get(name)?.push(reportedFigures(result));
      if (seed === 1) courses.set(name, courseOf([result], busyMsOf));
    }
  }
  const valuesOf = (name: ContenderName, figure: FigureName) => (figures.get(name) ?? []).map((one) => FIGURES[figure](one));
  const difference = (figure: "gpuHours" | "cost" | "attainment") => {
    const theirValues = valuesOf("recorded", figure);
    return estimate(
      valuesOf("slo", figure).map((value, at) => {
        const other = theirValues[at] ?? null;
        return value === null || other === null ? null : value - other;
      }),
    );
  };
  return {
    seeds,
    coldStart: { distribution: coldStart, from: known ? "measured" : "assumed" },
    profile: { model: profile.model, gpu: profile.gpu, tp: profile.tp, source: profile.source },
    contenders: runs.map(({ name }) => ({
      name,
      figures: Object.fromEntries(FIGURE_NAMES.map((figure) => [figure, estimate(valuesOf(name, figure))])) as Record<FigureName, Estimate>,
      course: courses.get(name) as Course,
    })),
    difference: { gpuHours: difference("gpuHours"), cost: difference("cost"), attainment: difference("attainment") },
  };
}

/** Wants what was wanted at that time. */
export function asRecorded(pool: string, schedule: readonly { readonly atMs: Ms; readonly wanted: number }[]): Policy {
  const decide = (state: Json, { seq, nowMs }: { readonly seq: number; readonly nowMs: Ms }) => {
    const at = schedule.findLastIndex(({ atMs }) => atMs <= nowMs);
    const replicas = schedule[Math.max(0, at)]?.wanted ?? 0;
    const text = `${replicas} replicas were asked for at this time.`;
    const nextAtMs = schedule[at + 1]?.atMs ?? Number.MAX_SAFE_INTEGER;
    return {
      state,
      decision: {
        seq,
        wants: { [pool]: { kind: "scale" as const, replicas, drain: [] } },
        steps: [{ code: "recorded", text, pool, numbers: { replicas } }],
        conditions: [],
        nextAtMs,
      },
    };
  };
  return { kind: "static", needs: [], wakesOn: [], start: () => null, decide, settle: (state) => ({ state, conditions: [] }) };
}
