/** What engines and GPU exporters say on their metrics pages, in our words. Pure: text in, readings out. */
export { type Derived, derive, quantileSignals, RATE_NAMES } from "./derive.ts";
export { type CounterReading, type CumulativeHistogram, type EngineReport, parseEnginePage } from "./engine-page.ts";
export { type PageSample, parseExposition } from "./exposition.ts";
export { foldGpus, type GpuDevice, type GpuReport, parseGpuPage } from "./gpu-page.ts";
export { signalOfMetric } from "./signal-of.ts";
export { engineOfPage } from "./tables.ts";
