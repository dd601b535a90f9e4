/**
 * What a scenario's traffic costs those who know more than any policy can: a bound that nobody reaches, a schedule that is achievable with
 * all of the future known, and a policy that knows one cold start of it. A run is one of those that `scenarioRun` gives for a scenario,
 * part and seed; the same arguments give the same answer.
 *
 *   const [run] = await scenarioRun(scenario, "report", seed, open);
 *   lowerBound(scenario, run).gpuHours
 *   clairvoyant(scenario, run, seed).figures.gpuHours
 *   const margin = peekMargin(scenario, tuneRun, seed);
 *   simulate({ ...options, policy: peek(scenario, run, margin).policy })
 */
export { type Clairvoyant, type ClairvoyantOptions, clairvoyant } from "./clairvoyant.ts";
export { type LowerBound, lowerBound } from "./lower-bound.ts";
export { peek, peekMargin } from "./peek.ts";
export { type Schedule, schedulePolicy } from "./schedule.ts";
