import type { EngineKind, SignalName } from "../../model/index.ts";

/**
 * Where a number comes from on a page. `family` has no prefix and no `_total`. A fold joins the series of one family, such as
 * data-parallel ranks or finish reasons. `plus` needs its first part, the others count where they are there; `largest` needs
 * one; `product` needs all. `labels` multiplies the values of labels of an info metric: the first of the alternatives whose labels are all numbers.
 */
export type Source =
  | {
      readonly kind: "family";
      readonly family: string;
      readonly fold: "sum" | "max" | "mean";
      readonly where: Readonly<Record<string, readonly string[]>>;
      readonly scale: number;
    }
  | { readonly kind: "labels"; readonly family: string; readonly alternatives: readonly (readonly string[])[] }
  | { readonly kind: "plus" | "largest" | "product"; readonly of: readonly Source[] }
  | { readonly kind: "ratio"; readonly of: readonly [Source, Source] };

/** Signal → sources in order of preference: the first that the page has is read, never two. Histograms are family names. */
export interface Table {
  /** What names start with, cut off before they are looked up. */
  readonly prefix: RegExp;
  /** Of labels that are there, only these values count: ranks that repeat what another says. */
  readonly only: Readonly<Record<string, string>>;
  readonly gauges: Readonly<Partial<Record<SignalName, readonly Source[]>>>;
  readonly counters: Readonly<Partial<Record<SignalName, readonly Source[]>>>;
  readonly histograms: Readonly<Partial<Record<SignalName, readonly string[]>>>;
}

type Where = Readonly<Record<string, readonly string[]>>;
const family =
  (fold: "sum" | "max" | "mean") =>
  (name: string, where: Where = {}, scale = 1): Source => ({ kind: "family", family: name, fold, where, scale });
const sum = family("sum");
const max = family("max");
const mean = family("mean");
const plus = (...of: readonly Source[]): Source => ({ kind: "plus", of });
const largest = (...of: readonly Source[]): Source => ({ kind: "largest", of });
const product = (...of: readonly Source[]): Source => ({ kind: "product", of });
const ratio = (part: Source, whole: Source): Source => ({ kind: "ratio", of: [part, whole] });
const labels = (name: string, ...alternatives: readonly (readonly string[])[]): Source => ({ kind: "labels", family: name, alternatives });

/** Names of V1 (0.8 and later) and what they were called before; `vllm_` behind OpenTelemetry, `ray_vllm_` under Ray Serve LLM. */
const vllm: Table = {
  prefix: /^(?:ray_)?vllm[:_]/,
  only: {},
  gauges: {
    running: [sum("num_requests_running")],
    waiting: [sum("num_requests_waiting"), sum("num_requests_waiting_by_reason")],
    kv_used: [max("kv_cache_usage_perc"), max("gpu_cache_usage_perc")], // 0.9.2 renamed it
    kv_capacity_tokens: [labels("cache_config_info", ["kv_cache_size_tokens"], ["num_gpu_blocks", "block_size"])],
  },
  counters: {
    prompt_tokens: [sum("prompt_tokens")],
    gen_tokens: [sum("generation_tokens")],
    prefix_queries: [sum("prefix_cache_queries"), sum("gpu_prefix_cache_queries")],
    prefix_hits: [sum("prefix_cache_hits"), sum("gpu_prefix_cache_hits")],
    preemptions: [sum("num_preemptions")],
    finished: [sum("request_success")],
  },
  histograms: {
    ttft: ["time_to_first_token_seconds"],
    itl: ["inter_token_latency_seconds", "time_per_output_token_seconds"], // 0.10.2 renamed it; both hold the same until 0.12
    tpot: ["request_time_per_output_token_seconds"],
    e2e: ["e2e_request_latency_seconds"],
    queue_time: ["request_queue_time_seconds"],
    iteration_tokens: ["iteration_tokens_total"], // a histogram in spite of its name
  },
};

const sglang: Table = {
  prefix: /^sglang[:_]/,
  only: { tp_rank: "0", pp_rank: "0" },
  gauges: {
    running: [sum("num_running_reqs")],
    waiting: [
      plus(
        sum("num_queue_reqs"),
        sum("num_grammar_queue_reqs"),
        sum("num_prefill_prealloc_queue_reqs"),
        sum("num_prefill_inflight_queue_reqs"),
        sum("num_decode_prealloc_queue_reqs"),
        sum("num_decode_transfer_queue_reqs"),
      ),
    ],
    kv_used: [largest(max("token_usage"), max("full_token_usage"), max("swa_token_usage"), max("mamba_usage"))], // hybrid models
    kv_capacity_tokens: [
      sum("max_total_num_tokens"),
      product(sum("num_pages"), max("page_size")),
      labels("cache_config_info", ["num_pages", "page_size"]),
    ],
  },
  counters: {
    // The plain counters grow only when a request ends, so their rates lag long answers.
    prompt_tokens: [sum("realtime_tokens", { mode: ["prefill_compute", "prefill_cache"] }), sum("prompt_tokens")],
    gen_tokens: [sum("realtime_tokens", { mode: ["decode"] }), sum("generation_tokens")],
    prefix_queries: [sum("prompt_tokens")],
    prefix_hits: [sum("cached_tokens")],
    preemptions: [sum("num_retracted_requests")],
    finished: [plus(sum("num_requests"), sum("num_aborted_requests"))],
  },
  histograms: {
    ttft: ["time_to_first_token_seconds"],
    itl: ["inter_token_latency_seconds", "time_per_output_token_seconds"], // up to 0.4.4
    e2e: ["e2e_request_latency_seconds"],
    queue_time: ["queue_time_seconds"],
  },
};

/** Its KV use is only estimated from reservations and its time to first token only from three histograms: both stay absent. */
const tgi: Table = {
  prefix: /^tgi_/,
  only: {},
  gauges: { running: [sum("batch_current_size")], waiting: [sum("queue_size")] },
  counters: {
    prompt_tokens: [sum("request_input_length_sum")],
    gen_tokens: [sum("request_generated_tokens_sum")],
    finished: [plus(sum("request_success"), sum("request_failure"))],
  },
  histograms: {
    tpot: ["request_mean_time_per_token_duration"],
    e2e: ["request_duration"],
    queue_time: ["request_queue_duration"],
  },
};

/** trtllm-serve's `/prometheus/metrics`; gauges only with `enable_iter_perf_stats`. Block counts are turned into tokens. */
const trtllm: Table = {
  prefix: /^trtllm[:_]/,
  only: {},
  gauges: {
    running: [sum("num_requests_running")],
    waiting: [sum("num_requests_waiting")],
    kv_used: [max("kv_cache_utilization")],
    kv_capacity_tokens: [product(sum("kv_cache_max_blocks"), max("kv_cache_tokens_per_block"))],
  },
  counters: {
    prefix_hits: [product(sum("kv_cache_reused_blocks"), max("kv_cache_tokens_per_block"))],
    prefix_queries: [product(plus(sum("kv_cache_missed_blocks"), sum("kv_cache_reused_blocks")), max("kv_cache_tokens_per_block"))],
    finished: [sum("request_success")],
  },
  histograms: {
    ttft: ["time_to_first_token_seconds"],
    tpot: ["time_per_output_token_seconds"],
    e2e: ["e2e_request_latency_seconds"],
    queue_time: ["request_queue_time_seconds"],
  },
};

const requestType = (type: string) => sum("trt_llm_request_metrics", { request_type: [type] });
const block = (type: string, fold = sum) => fold("trt_llm_kv_cache_block_metrics", { kv_cache_block_type: [type] });

/** Triton with the TensorRT-LLM backend. An ensemble counts a request once per member, hence the largest and not the sum. */
const triton: Table = {
  prefix: /^nv_/,
  only: {},
  gauges: {
    running: [requestType("scheduled")],
    waiting: [requestType("waiting"), sum("inference_pending_request_count")],
    max_running: [requestType("max")],
    kv_used: [block("fraction", max)],
    kv_capacity_tokens: [product(block("max"), block("tokens_per", max))],
    gpu_utilization: [mean("gpu_utilization", {}, 100)],
    gpu_memory_used: [ratio(sum("gpu_memory_used_bytes"), sum("gpu_memory_total_bytes"))],
    gpu_power: [sum("gpu_power_usage")],
  },
  counters: { finished: [plus(max("inference_request_success"), max("inference_request_failure"))] },
  histograms: {},
};

/** Names without a prefix, as vLLM's were before the renames: `time_per_output_token_seconds` is the gap between tokens. */
const nim: Table = {
  prefix: /^/,
  only: {},
  gauges: {
    running: [sum("num_requests_running")],
    waiting: [sum("num_requests_waiting")],
    max_running: [sum("num_request_max")],
    kv_used: [max("gpu_cache_usage_perc")],
  },
  counters: {
    prompt_tokens: [sum("prompt_tokens")],
    gen_tokens: [sum("generation_tokens")],
    finished: [sum("request_finish"), plus(sum("request_success"), sum("request_failure"))],
  },
  histograms: {
    ttft: ["time_to_first_token_seconds"],
    itl: ["time_per_output_token_seconds"],
    e2e: ["e2e_request_latency_seconds"],
  },
};

const llamacpp: Table = {
  prefix: /^llamacpp[:_]/,
  only: {},
  gauges: { running: [sum("requests_processing")], waiting: [sum("requests_deferred")] },
  counters: { prompt_tokens: [sum("prompt_tokens")], gen_tokens: [sum("tokens_predicted")] },
  histograms: {},
};

const lmdeploy: Table = {
  prefix: /^lmdeploy[:_]/,
  only: {},
  gauges: {
    running: [sum("num_requests_running")],
    waiting: [plus(sum("num_requests_waiting"), sum("num_api_requests_waiting"))],
    kv_used: [max("gpu_cache_usage_perc")],
  },
  counters: {
    prompt_tokens: [sum("prompt_tokens")],
    gen_tokens: [sum("generation_tokens")],
    prefix_queries: [sum("prompt_tokens")],
    prefix_hits: [sum("cached_tokens")],
    finished: [sum("request_success")],
  },
  histograms: {
    ttft: ["time_to_first_token_seconds"],
    itl: ["iter_token_latency"],
    tpot: ["time_per_output_token_seconds"],
    e2e: ["e2e_request_latency_seconds"],
    queue_time: ["request_queue_time_seconds"],
  },
};

const tables: Readonly<Record<Exclude<EngineKind, "ollama" | "other">, Table>> = {
  vllm,
  sglang,
  tgi,
  trtllm,
  triton,
  nim,
  llamacpp,
  lmdeploy,
  emulated: vllm,
};

export const ENGINE_TABLES: readonly Table[] = [...new Set(Object.values(tables))];

/**
 * The table of an engine; null: it has no page (Ollama), or none that we know. Of kind "other", such as a serving layer around
 * an engine, the page itself shows by its prefixes whose names it speaks.
 */
export function tableOf(kind: EngineKind, text = ""): Table | null {
  if (kind === "ollama") return null;
  if (kind !== "other") return tables[kind];
  const found = engineOfPage(text);
  return found === null ? null : tables[found];
}

/** Whose metrics page it is, by its names' prefixes; null: no engine's that we know. */
export function engineOfPage(text: string): keyof typeof tables | null {
  const name = /^(?:ray_)?(vllm|sglang|tgi|trtllm|llamacpp|lmdeploy)[:_]|^(nv)_(?:trt_llm|inference)_/m.exec(text);
  if (name === null) return null;
  return name[2] === "nv" ? "triton" : (name[1] as keyof typeof tables);
}

/** Names of everything that a table reads, as they may be on the wire behind the prefix. */
export function wireNames(table: Table): ReadonlySet<string> {
  const names = new Set<string>();
  const walk = (source: Source): void => {
    if (source.kind === "family" || source.kind === "labels") names.add(source.family).add(`${source.family}_total`);
    else for (const part of source.of) walk(part);
  };
  for (const sources of [...Object.values(table.gauges), ...Object.values(table.counters)]) for (const source of sources) walk(source);
  for (const families of Object.values(table.histograms)) {
    for (const name of families) names.add(`${name}_bucket`).add(`${name}_sum`).add(`${name}_count`);
  }
  return names;
}
