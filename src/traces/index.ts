/** Reading, writing, generating, scaling traces of requests. Pure: text in, text out; files are the caller's. */
export { builtinSizes, builtinTrace } from "./builtin.ts";
export { type GapSpec, type GenerateOptions, generate, type Shape } from "./generate.ts";
export { overlay, overlayEach, overlayStream, slice } from "./overlay.ts";
export { parseTrace, readTrace, readTraceRows, TraceParser } from "./parse.ts";
export { randomStreams, type Uniform } from "./random.ts";
export { type RecordedSizes, type RecordedStretch, resample } from "./resample.ts";
export { summarize, type TokenSummary, TraceSummarizer, type TraceSummary } from "./summarize.ts";
export type { TokenSizes, TraceRequest } from "./trace.ts";
export { csvHeader, csvLine, formatCsvTrace, jsonLine, type OptionalColumn, optionalColumns } from "./write.ts";
