import type { Ms } from "./time.ts";

export type SignalKind = "gauge" | "counter" | "histogram";
export interface SignalInfo {
  readonly unit: "requests" | "tokens" | "ratio" | "percent" | "seconds" | "requests/s" | "tokens/s" | "watts" | "steps" | "1/s";
  readonly kind: SignalKind;
  readonly help: string;
}

/**
 * Every signal that Tidegate knows, in one list: the names in the config, in policies, on our own `/metrics` and in the docs.
 * The first group is what engines report as they are (names after `docs/signals.md`), the second the GPU's, the third what is
 * worked out from those or from the ledger. "ratio" runs from 0 to 1, "percent" from 0 to 100.
 */
export const SIGNALS = {
  running: { unit: "requests", kind: "gauge", help: "requests in the engine's running batch" },
  waiting: { unit: "requests", kind: "gauge", help: "requests queued inside the engine" },
  max_running: { unit: "requests", kind: "gauge", help: "most requests the engine batches at once" },
  kv_used: { unit: "ratio", kind: "gauge", help: "share of the KV cache in use" },
  kv_capacity_tokens: { unit: "tokens", kind: "gauge", help: "tokens that fit into the KV cache" },
  prompt_tokens: { unit: "tokens", kind: "counter", help: "prompt tokens processed, prefix-cache hits included" },
  gen_tokens: { unit: "tokens", kind: "counter", help: "output tokens generated" },
  prefix_queries: { unit: "tokens", kind: "counter", help: "tokens looked up in the prefix cache" },
  prefix_hits: { unit: "tokens", kind: "counter", help: "tokens found in the prefix cache" },
  preemptions: { unit: "requests", kind: "counter", help: "requests preempted for want of KV cache" },
  finished: { unit: "requests", kind: "counter", help: "requests finished, whatever the reason" },
  ttft: { unit: "seconds", kind: "histogram", help: "time to first token" },
  itl: { unit: "seconds", kind: "histogram", help: "gap between two tokens" },
  tpot: { unit: "seconds", kind: "histogram", help: "mean time per output token of a request" },
  e2e: { unit: "seconds", kind: "histogram", help: "end-to-end latency of a request" },
  queue_time: { unit: "seconds", kind: "histogram", help: "time a request waited inside the engine" },
  iteration_tokens: { unit: "tokens", kind: "histogram", help: "tokens per engine step" },

  gpu_utilization: { unit: "percent", kind: "gauge", help: "share of time in which a kernel ran (DCGM_FI_DEV_GPU_UTIL)" },
  gpu_memory_used: { unit: "ratio", kind: "gauge", help: "GPU memory in use (DCGM_FI_DEV_FB_USED over used + free)" },
  gr_active: { unit: "ratio", kind: "gauge", help: "graphics engine active (DCGM_FI_PROF_GR_ENGINE_ACTIVE)" },
  sm_active: { unit: "ratio", kind: "gauge", help: "streaming multiprocessors active (DCGM_FI_PROF_SM_ACTIVE)" },
  tensor_active: { unit: "ratio", kind: "gauge", help: "tensor pipe active (DCGM_FI_PROF_PIPE_TENSOR_ACTIVE)" },
  dram_active: { unit: "ratio", kind: "gauge", help: "GPU memory traffic (DCGM_FI_PROF_DRAM_ACTIVE)" },
  gpu_power: { unit: "watts", kind: "gauge", help: "power drawn (DCGM_FI_DEV_POWER_USAGE)" },

  request_rate: { unit: "requests/s", kind: "gauge", help: "requests arriving" },
  prompt_tokens_per_second: {
    unit: "tokens/s",
    kind: "gauge",
    help: "prompt tokens arriving, or processed where no gateway of ours sees them arrive",
  },
  output_tokens_per_second: { unit: "tokens/s", kind: "gauge", help: "output tokens generated" },
  queue_depth: { unit: "requests", kind: "gauge", help: "requests waiting: held or queued at the gateway, plus queued in engines" },
  in_flight: { unit: "requests", kind: "gauge", help: "requests accepted and not yet finished, held ones included" },
  held: { unit: "requests", kind: "gauge", help: "requests held at the gateway because no replica is ready" },
  ttft_p50: { unit: "seconds", kind: "gauge", help: "median time to first token" },
  ttft_p95: { unit: "seconds", kind: "gauge", help: "95th percentile of the time to first token" },
  ttft_p99: { unit: "seconds", kind: "gauge", help: "99th percentile of the time to first token" },
  tpot_p50: { unit: "seconds", kind: "gauge", help: "median time per output token" },
  tpot_p95: { unit: "seconds", kind: "gauge", help: "95th percentile of the time per output token" },
  tpot_p99: { unit: "seconds", kind: "gauge", help: "99th percentile of the time per output token" },
  e2e_p50: { unit: "seconds", kind: "gauge", help: "median end-to-end latency" },
  e2e_p95: { unit: "seconds", kind: "gauge", help: "95th percentile of the end-to-end latency" },
  e2e_p99: { unit: "seconds", kind: "gauge", help: "99th percentile of the end-to-end latency" },
} as const satisfies Readonly<Record<string, SignalInfo>>;

export type SignalName = keyof typeof SIGNALS;
export const SIGNAL_NAMES = Object.keys(SIGNALS) as readonly SignalName[];
export const isSignalName = (name: string): name is SignalName => Object.hasOwn(SIGNALS, name);

/** `bounds` are upper bounds in ascending order without +Inf; `counts` (not cumulative) has one more entry than `bounds`. */
export interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
}

/** `windowMs`: how long a time before `atMs` the value speaks of; 0 for one instant. */
export interface Sample {
  readonly atMs: Ms;
  readonly windowMs: Ms;
  readonly value: number | Histogram;
}

export type Subject =
  | { readonly kind: "endpoint" }
  | { readonly kind: "pool"; readonly pool: string }
  | { readonly kind: "replica"; readonly id: string; readonly container?: string }
  | { readonly kind: "object"; readonly ref: string }
  | { readonly kind: "external"; readonly labels: Readonly<Record<string, string>> };

/** One reading over time. A Series that is needed and missing, empty or old is absent or stale: never 0. */
export interface Series {
  /** One of `SIGNAL_NAMES`, or the name that a manifest gives to a metric of its own. */
  readonly name: string;
  readonly subject: Subject;
  /** New since the last Observation, oldest first. */
  readonly samples: readonly Sample[];
  readonly latest: Sample | null;
  readonly fault: { readonly code: string; readonly sinceMs: Ms } | null;
}
