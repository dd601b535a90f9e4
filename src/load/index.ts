/** Traffic: replays a trace against any OpenAI-compatible server and measures what a client sees. */
export type { Percentiles } from "./digest.ts";
export { type Probe, type ProbeOptions, probe } from "./probe.ts";
export { findingsOf, type ProbeFindings } from "./probe-stretches.ts";
export type { Failure, FailureKind, LoadProgress, LoadReport } from "./report.ts";
export { type LoadApi, type LoadOptions, type RequestEnding, runLoad } from "./run.ts";
export { openTrace } from "./trace-file.ts";
