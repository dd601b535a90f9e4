import type { Ms } from "../../model/index.ts";
import { simulationOf } from "../compare/setup.ts";
import { durationAt } from "../distribution.ts";
import type { SimulationOptions } from "../options.ts";
import type { Figures, SimulationResult } from "../result.ts";
import type { Scenario, ScenarioRun } from "../scenario/index.ts";
import { simulate } from "../simulation.ts";
import { greatest, type Schedule, type Sizing, schedulePolicy, sized, smoothed, within } from "./schedule.ts";
import { type WorkCurve, workCurve } from "./work.ts";

export interface ClairvoyantOptions {
  /** Most runs of the simulator; 60 unless told. Fewer give a dearer schedule, never one that misses where another was found. */
  readonly runs?: number;
  /** Added to every simulation, such as a warm-up; what is tried must be scored as the contenders are. */
  readonly simulation?: Partial<SimulationOptions>;
  readonly onRun?: (done: number) => void;
}

export interface Clairvoyant {
  readonly schedule: Schedule;
  /** Of the stretch that figures are of, in the simulator. */
  readonly figures: Figures;
  /** False: nothing that was tried holds the objective, not even the most replicas; then it is what misses it least. */
  readonly holds: boolean;
  /** The least fixed count that holds the objective, or the most there may be: what sizing right would have been. */
  readonly fixed: number;
  readonly runs: number;
}

const STEP_MS: Ms = 5_000;

/** How a schedule is made of the work to come. */
interface Shape extends Sizing {
  readonly smoothMs: Ms;
  /** Share of cold starts that are over by when a replica is needed. */
  readonly readyShare: number;
  /** So much longer is a count kept. */
  readonly holdMs: Ms;
}

interface Tried {
  readonly schedule: Schedule;
  readonly result: SimulationResult;
  readonly figures: Figures;
}

/**
 * The cheapest schedule found that holds the objective, by someone who knows every request beforehand: replicas are asked for one cold
 * start ahead, and each candidate is run in the simulator. Candidates are the best fixed count; then shapes that follow arriving work
 * (its smoothing, its margin by share or by root, how early, how long), each with the least margin that holds; then the best one is bent,
 * with less where nothing was late and more where something was. An upper bound of the true optimum, and achievable.
 */
export function clairvoyant(scenario: Scenario, run: ScenarioRun, seed: number, options: ClairvoyantOptions = {}): Clairvoyant {
  const most = options.runs ?? 60;
  const base: SimulationOptions = {
    ...simulationOf(scenario, { name: "clairvoyant", policy: { kind: "slo" } }, run, seed),
    ...options.simulation,
  };
  const { bounds, curve, wanted } = plan(scenario, run, base);
  let runs = 0;
  let best: Tried | null = null;

  const attempt = (schedule: Schedule): Tried | null => {
    if (runs >= most) return null;
    const result = simulate({ ...base, policy: schedulePolicy(base.endpoint, schedule) });
    runs++;
    options.onRun?.(runs);
    const tried = { schedule, result, figures: result.afterSplit ?? result.whole };
    if (best === null || isBetter(tried.figures, best.figures, wanted)) best = tried;
    return tried;
  };
  const holds = (tried: Tried) => met(tried.figures, wanted);

  // The best fixed count.
  let low = Math.max(0, bounds.min);
  let high = bounds.max;
  while (low < high) {
    const middle = (low + high) >> 1;
    const tried = attempt(constant(middle));
    if (tried === null) break;
    if (holds(tried)) high = middle;
    else low = middle + 1;
  }
  attempt(constant(low));

  // Shapes: the least margin of each that holds.
  const leastMargin = (shape: Shape, from: number, to: number, halvings: number): Shape | null => {
    let [least, enough] = [from, to];
    let found: Shape | null = null;
    for (let left = halvings; left > 0; left--) {
      const margin = (least + enough) / 2;
      const tried = attempt(scheduleOf(scenario, curve, bounds, { ...shape, margin }));
      if (tried === null) break;
      if (holds(tried)) {
        enough = margin;
        found = { ...shape, margin };
      } else least = margin;
    }
    return found;
  };
  // Work is that of batches of a usual size: larger ones need less, so that margins may be below none.
  const range = { root: [-1, 4], share: [0.6, 4] } as const;
  let chosen: { shape: Shape; hours: number } | null = null;
  const consider = (shape: Shape, from: number, to: number, halvings: number) => {
    const before = best;
    const found = leastMargin(shape, from, to, halvings);
    if (found !== null && best !== null && (chosen === null || best !== before)) chosen = { shape: found, hours: best.figures.gpuHours };
  };
  const start: Omit<Shape, "form" | "margin"> = { smoothMs: 30_000, readyShare: 0.9, holdMs: 0 };
  for (const form of ["root", "share"] as const) consider({ ...start, form, margin: 0 }, range[form][0], range[form][1], 6);
  const vary = (change: Partial<Shape>) => {
    if (chosen === null) return;
    const { shape } = chosen;
    const width = shape.form === "root" ? 1 : 0.4;
    consider({ ...shape, ...change }, Math.max(range[shape.form][0], shape.margin - width), shape.margin + width / 4, 4);
  };
  for (const smoothMs of [10_000, 90_000]) vary({ smoothMs });
  for (const readyShare of [0.6, 0.99]) vary({ readyShare });
  for (const holdMs of [30_000, 120_000]) vary({ holdMs });

  // Bend it: a factor for each block of time, down where all was well and up where something was late.
  if (chosen !== null) {
    const { shape } = chosen as { shape: Shape };
    const blockMs = Math.max(120_000, durationAt(scenario.coldStart, 0.5));
    let factors = new Float64Array(Math.ceil((curve.replicas.length * curve.binMs) / blockMs)).fill(1);
    for (let step = 0.12; step > 0.02 && runs < most; ) {
      const from: Tried = best as unknown as Tried;
      const bent = bend(factors, from, wanted, blockMs, step);
      const tried = attempt(scheduleOf(scenario, curve, bounds, shape, { factors: bent, blockMs }));
      if (tried !== null && (best as Tried | null) === tried) factors = bent;
      else step *= 0.6;
    }
  }

  const { schedule, figures } = best as unknown as Tried;
  return { schedule, figures, holds: met(figures, wanted), fixed: low, runs };
}

export const met = (figures: Pick<Figures, "attainment">, wanted: number): boolean => (figures.attainment ?? 1) >= wanted;

/** Of two that hold the cheaper one, of two that miss the one that misses less. */
export function isBetter(
  a: Pick<Figures, "attainment" | "gpuHours">,
  b: Pick<Figures, "attainment" | "gpuHours">,
  wanted: number,
): boolean {
  if (met(a, wanted) !== met(b, wanted)) return met(a, wanted);
  return met(a, wanted) ? a.gpuHours < b.gpuHours : (a.attainment ?? 1) > (b.attainment ?? 1);
}

export function plan(scenario: Scenario, run: ScenarioRun, { pools, endpoint, trace }: SimulationOptions) {
  const { engine } = pools["default"] as NonNullable<(typeof pools)[string]>;
  return {
    bounds: scenario.replicas,
    curve: workCurve(engine, trace, run.untilMs, STEP_MS),
    wanted: endpoint.objective.attainment,
  };
}

const constant = (count: number): Schedule => ({ stepMs: 86_400_000, counts: Int32Array.of(count) });

function scheduleOf(
  scenario: Scenario,
  curve: WorkCurve,
  bounds: Scenario["replicas"],
  shape: Shape,
  bent?: { readonly factors: Float64Array; readonly blockMs: Ms },
): Schedule {
  const { binMs } = curve;
  const steps = (ms: Ms) => Math.ceil(ms / binMs);
  const lead = steps(durationAt(scenario.coldStart, shape.readyShare));
  const need = Float64Array.from(smoothed(curve, shape.smoothMs), (work, at) => {
    const factor = bent === undefined ? 1 : (bent.factors[Math.floor((at * binMs) / bent.blockMs)] as number);
    return sized(work, shape) * factor;
  });
  // Asked for a cold start before it is needed. A dip that is shorter than that is not worth a new start, and so is filled by itself.
  const asked = greatest(need, steps(shape.holdMs), lead);
  return { stepMs: binMs, counts: Int32Array.from(asked, (count) => within(bounds, count)) };
}

function bend(factors: Float64Array, { result }: Tried, wanted: number, blockMs: Ms, step: number): Float64Array<ArrayBuffer> {
  const { atMs, attainment, arrivals } = result.minutes;
  const late = new Float64Array(factors.length);
  const all = new Float64Array(factors.length);
  for (let minute = 0; minute < atMs.length; minute++) {
    const block = Math.min(factors.length - 1, Math.floor((atMs[minute] as number) / blockMs));
    const share = attainment[minute];
    if (share === null || share === undefined) continue;
    const count = arrivals[minute] as number;
    all[block] = (all[block] as number) + count;
    late[block] = (late[block] as number) + count * (1 - share);
  }
  return Float64Array.from(factors, (factor, block) => {
    const share = (all[block] as number) === 0 ? 0 : (late[block] as number) / (all[block] as number);
    const budget = 1 - wanted;
    // What misses many times its share is not bought back a little at a time.
    const change = share > 4 * budget ? step : share > budget ? step / 2 : share > budget / 4 ? 0 : -step;
    return factor * (1 + change);
  });
}
