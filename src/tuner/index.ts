/**
 * Finds better settings for any policy on recorded traffic, and says honestly what they are worth on traffic that was not tuned on.
 * Pure: whoever calls runs the simulations, on as many threads as there are. Families are the defaults of other systems.
 */
export { endpointUnder } from "./endpoint.ts";
export { explainTuned } from "./explain.ts";
export { FAMILIES, type Family, familyOf, type Situation } from "./families.ts";
export type { Knob, PolicyDocument } from "./knob.ts";
export { type KnobsOf, knobsOf } from "./knobs.ts";
export type { Outcome, Scored } from "./outcome.ts";
export { type Ablation, type Job, STAGES, type Stage, type Tuned, type TuneOptions, type TuneProgress, tune } from "./tune.ts";
export type { DataFacts } from "./warn.ts";
