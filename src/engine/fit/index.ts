/** An engine's profile from what was measured of it. */
export { type FitError, fitProfile, type ProfileFacts, type ProfileFit, type Residual } from "./fit.ts";
export { parseStretches, type Stretch } from "./stretch.ts";
