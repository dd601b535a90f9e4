import type { Endpoint, Json, Ms, Policy } from "../../model/index.ts";
import { simulationOf } from "../compare/setup.ts";
import { durationAt } from "../distribution.ts";
import type { SimulationOptions } from "../options.ts";
import type { Scenario, ScenarioRun } from "../scenario/index.ts";
import { simulate } from "../simulation.ts";
import { met, plan } from "./clairvoyant.ts";
import { greatest, schedulePolicy, sized, smoothed, within } from "./schedule.ts";

/** What `peek` smooths arriving work over. */
const SMOOTH_MS: Ms = 30_000;
const READY_SHARE = 0.9;
/** Replicas beyond the work: `margin` × its root. */
const MARGINS = { least: 0, most: 4, halvings: 6 } as const;

/**
 * A policy that knows the work arriving from now until one cold start (its 90th percentile) and one interval later, and nothing beyond: it
 * asks for what the most of it needs. How far others are from it tells whether they lack information; how far it is from the clairvoyant,
 * what more there is to know. Bound to one run: it looks the work up by time.
 */
export function peek(
  scenario: Scenario,
  run: ScenarioRun,
  margin: number,
  simulation?: Partial<SimulationOptions>,
): { readonly policy: Policy<Json>; readonly options: SimulationOptions } {
  const base = baseOf(scenario, run, 1, simulation);
  return { policy: policyOf(scenario, run, base, margin), options: base };
}

/**
 * The least margin with which `peek` holds the objective in a run; that of the part to tune on is what it may bring to the part that is
 * reported. The greatest one where none holds.
 */
export function peekMargin(scenario: Scenario, run: ScenarioRun, seed: number, simulation?: Partial<SimulationOptions>): number {
  const base = baseOf(scenario, run, seed, simulation);
  const { wanted } = plan(scenario, run, base);
  let least: number = MARGINS.least;
  let enough: number = MARGINS.most;
  for (let left: number = MARGINS.halvings; left > 0; left--) {
    const margin = (least + enough) / 2;
    const result = simulate({ ...base, policy: policyOf(scenario, run, base, margin) });
    if (met(result.afterSplit ?? result.whole, wanted)) enough = margin;
    else least = margin;
  }
  return enough;
}

const baseOf = (scenario: Scenario, run: ScenarioRun, seed: number, simulation: Partial<SimulationOptions> = {}): SimulationOptions => ({
  ...simulationOf(scenario, { name: "peek", policy: { kind: "slo" } }, run, seed),
  ...simulation,
});

function policyOf(scenario: Scenario, run: ScenarioRun, base: SimulationOptions, margin: number): Policy<Json> {
  const { endpoint }: { readonly endpoint: Endpoint } = base;
  const { bounds, curve } = plan(scenario, run, base);
  const horizon = Math.ceil((durationAt(scenario.coldStart, READY_SHARE) + scenario.intervalMs) / curve.binMs);
  const need = greatest(smoothed(curve, SMOOTH_MS), 0, horizon);
  const counts = Int32Array.from(need, (work) => within(bounds, sized(work, { form: "root", margin })));
  // It decides at the scenario's interval: what it asked for lasts until then.
  const every = Math.max(1, Math.round(scenario.intervalMs / curve.binMs));
  const held = counts.map((_, at) => counts[at - (at % every)] as number);
  return { ...schedulePolicy(endpoint, { stepMs: curve.binMs, counts: held }), kind: "peek" };
}
