/** What was observed, decided and done, kept: explain and replay give the same answer as the loop gave. */
export { engineTraffic } from "./engine-traffic.ts";
export { type Explanation, explain, sentences } from "./explain.ts";
export { type Difference, type ReplayReport, replay } from "./replay.ts";
export { type Action, type AutoscalerStatus, type Entry, type History, openHistory, type Saved } from "./store.ts";
export { recordedTraffic } from "./traffic.ts";
