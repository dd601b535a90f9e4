import { isSignalName, type SignalName } from "../../model/index.ts";
import { DCGM_SIGNALS } from "./gpu-page.ts";
import { ENGINE_TABLES } from "./tables.ts";

/** What adapters and exporters are often told to call these, in any spelling. */
const EVERYDAY: Readonly<Record<string, SignalName>> = {
  dcgm_gpu_utilization: "gpu_utilization",
  gpu_util: "gpu_utilization",
  duty_cycle: "gpu_utilization",
  http_requests_per_second: "request_rate",
  requests_per_second: "request_rate",
  concurrency: "in_flight",
};

/**
 * Our signal that a metric's name in somebody's manifest stands for, as far as the name alone tells it: an engine's gauge (`:` or
 * `_` behind its prefix), a DCGM field, or an everyday name. undefined: only its owner knows.
 */
export function signalOfMetric(metric: string): SignalName | undefined {
  const gpu = DCGM_SIGNALS[metric.toUpperCase()];
  if (gpu !== undefined) return gpu;
  for (const { prefix, gauges } of ENGINE_TABLES) {
    if (!prefix.test(metric)) continue;
    const name = metric.replace(prefix, "");
    for (const [signal, sources] of Object.entries(gauges)) {
      if (sources.some((source) => source.kind === "family" && source.family === name && source.scale === 1)) return signal as SignalName;
    }
  }
  // `custom.googleapis.com/gpu_utilization`: what stands before the last slash is whose namespace it is in.
  const last = metric.slice(metric.lastIndexOf("/") + 1);
  return isSignalName(last) ? last : EVERYDAY[last.toLowerCase()];
}
