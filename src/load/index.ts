/** Traffic: replays a trace against any OpenAI-compatible server and measures what a client sees. */
export type { Percentiles } from "./digest.ts";
export type { Failure, FailureKind, LoadProgress, LoadReport } from "./report.ts";
export { type LoadApi, type LoadOptions, runLoad } from "./run.ts";
export { openTrace } from "./trace-file.ts";
