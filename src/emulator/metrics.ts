import { Counter, Gauge, Histogram, Registry, Summary } from "prom-client";
import { blockTokens } from "../engine/index.ts";
import type { Ms } from "../model/index.ts";
import type { FinishReason } from "./wire.ts";

const seconds = {
  ttft: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560],
  itl: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80],
  request: [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680],
  http: [0.1, 0.5, 1],
  httpFine: [0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60],
};
const iterationTokens = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];

/** 1, 2, 5, 10 … up to `top`, as vLLM's token histograms. */
function oneTwoFive(top: number): number[] {
  const bounds: number[] = [];
  for (let decade = 1; ; decade *= 10) {
    for (const factor of [1, 2, 5]) {
      if (factor * decade > top) return bounds;
      bounds.push(factor * decade);
    }
  }
}

/** What a replica's `cache_config_info` tells. */
export interface CacheConfig {
  readonly kvCapacityTokens: number;
  readonly maxModelLen: number;
  readonly prefixCaching: boolean;
}

/** vLLM's families under its own names, types, labels and buckets, as of 0.32. What the emulator has none of stays 0, as there. */
export class VllmMetrics {
  readonly #registry = new Registry();
  readonly #labels: Readonly<Record<string, string>>;
  readonly running;
  readonly waiting;
  readonly #waitingForCapacity;
  readonly kvUsed;
  readonly prefixQueries;
  readonly prefixHits;
  readonly preemptions;
  readonly promptTokens;
  readonly #computedTokens;
  readonly #hitTokens;
  readonly #cachedTokens;
  readonly #cachedOnDevice;
  readonly genTokens;
  readonly #success;
  readonly requestPrompt;
  readonly requestGeneration;
  readonly iterationTokens;
  readonly requestMostGeneration;
  readonly requestN;
  readonly requestMaxTokens;
  readonly ttft;
  readonly itl;
  readonly tpot;
  readonly e2e;
  readonly queue;
  readonly inference;
  readonly prefill;
  readonly decode;
  readonly requestPreemptions;
  readonly requestComputed;
  readonly #http;

  constructor(model: string, config: CacheConfig, startedMs: Ms) {
    this.#labels = { model_name: model, engine: "0" };
    const tokens = oneTwoFive(config.maxModelLen);
    for (const what of ["estimated_flops", "estimated_read_bytes", "estimated_write_bytes"])
      this.#counter(`${what}_per_gpu`, estimates[what]);
    this.running = this.#gauge("num_requests_running", "Number of requests in model execution batches.");
    this.waiting = this.#gauge("num_requests_waiting", "Number of requests waiting to be processed.");
    const waiting = this.#gauges("num_requests_waiting_by_reason", "Number of waiting requests by reason.", "reason", [
      "capacity",
      "deferred",
    ]);
    this.#waitingForCapacity = waiting("capacity");
    this.#gauges("engine_sleep_state", "Engine sleep state.", "sleep_state", ["awake", "weights_offloaded", "discard_all"])("awake").set(1);
    this.kvUsed = this.#gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.");
    this.prefixQueries = this.#counter("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.");
    this.prefixHits = this.#counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.");
    this.#counter("external_prefix_cache_queries", "External prefix cache queries, in terms of number of queried tokens.");
    this.#counter("external_prefix_cache_hits", "External prefix cache hits, in terms of number of cached tokens.");
    this.#counter("mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.");
    this.#counter("mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.");
    this.preemptions = this.#counter("num_preemptions", "Cumulative number of preemption from the engine.");
    this.promptTokens = this.#counter("prompt_tokens", "Number of prefill tokens processed.");
    const bySource = this.#counters("prompt_tokens_by_source", "Number of prompt tokens by source.", "source", [
      "local_compute",
      "local_cache_hit",
      "external_kv_transfer",
    ]);
    this.#computedTokens = bySource("local_compute");
    this.#hitTokens = bySource("local_cache_hit");
    this.#cachedTokens = this.#counter("prompt_tokens_cached", "Number of cached prompt tokens (local + external).");
    const tiers = ["device", "host", "p2p", "disk", "external_unspecified"];
    const byTier = this.#counters("prompt_tokens_cached_by_source", "Prefix-cache hit tokens by the tier they came from.", "source", tiers);
    this.#cachedOnDevice = byTier("device");
    this.genTokens = this.#counter("generation_tokens", "Number of generation tokens processed.");
    const reasons = ["stop", "length", "abort", "error", "repetition"];
    this.#success = this.#counters("request_success", "Count of successfully processed requests.", "finished_reason", reasons);
    const rejections = new Counter({
      name: "vllm:admission_rejections_total",
      help: "Number of admission attempts rejected by a queue limit, by reason.",
      labelNames: ["model_name", "reason"],
      registers: [this.#registry],
    });
    for (const reason of ["max_num_queued_reqs", "max_num_queued_tokens"]) rejections.labels({ model_name: model, reason }).inc(0);
    this.requestPrompt = this.#histogram("request_prompt_tokens", "Number of prefill tokens processed.", tokens);
    this.requestGeneration = this.#histogram("request_generation_tokens", "Number of generation tokens processed.", tokens);
    this.iterationTokens = this.#histogram("iteration_tokens_total", "Histogram of number of tokens per engine_step.", iterationTokens);
    this.requestMostGeneration = this.#histogram(
      "request_max_num_generation_tokens",
      "Histogram of maximum number of requested generation tokens.",
      tokens,
    );
    this.requestN = this.#histogram("request_params_n", "Histogram of the n request parameter.", [1, 2, 5, 10, 20]);
    this.requestMaxTokens = this.#histogram("request_params_max_tokens", "Histogram of the max_tokens request parameter.", tokens);
    this.ttft = this.#histogram("time_to_first_token_seconds", "Histogram of time to first token in seconds.", seconds.ttft);
    this.itl = this.#histogram("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", seconds.itl);
    this.tpot = this.#histogram(
      "request_time_per_output_token_seconds",
      "Histogram of time_per_output_token_seconds per request.",
      seconds.itl,
    );
    const phase = (name: string, what: string) => this.#histogram(name, `Histogram of ${what}.`, seconds.request);
    this.e2e = phase("e2e_request_latency_seconds", "e2e request latency in seconds");
    this.queue = phase("request_queue_time_seconds", "time spent in WAITING phase for request");
    this.inference = phase("request_inference_time_seconds", "time spent in RUNNING phase for request");
    this.prefill = phase("request_prefill_time_seconds", "time spent in PREFILL phase for request");
    this.decode = phase("request_decode_time_seconds", "time spent in DECODE phase for request");
    this.requestPreemptions = this.#histogram(
      "request_num_preemptions",
      "Histogram of the number of times a request was preempted.",
      [1, 2, 3, 4, 5, 10, 20],
    );
    this.requestComputed = this.#histogram(
      "request_prefill_kv_computed_tokens",
      "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
      tokens,
    );
    new Gauge({
      name: "process_start_time_seconds",
      help: "Start time of the process since unix epoch in seconds.",
      registers: [this.#registry],
    }).set(startedMs / 1000);
    const info = cacheConfigLabels(config);
    new Gauge({
      name: "vllm:cache_config_info",
      help: "Information of the LLMEngine CacheConfig",
      labelNames: Object.keys(info),
      registers: [this.#registry],
    })
      .labels(info)
      .set(1);
    this.#http = httpMetrics(this.#registry);
  }

  /** The newer of the two text formats, though nothing in the page needs it. */
  readonly contentType = "text/plain; version=1.0.0; charset=utf-8";

  setQueue(running: number, waiting: number): void {
    this.running.set(running);
    this.waiting.set(waiting);
    this.#waitingForCapacity.set(waiting);
  }

  /** A prefill is over, with so many of the prompt's tokens out of the cache. */
  prefilled(promptTokens: number, hitTokens: number): void {
    this.promptTokens.inc(promptTokens);
    this.#computedTokens.inc(promptTokens - hitTokens);
    this.#hitTokens.inc(hitTokens);
    this.#cachedTokens.inc(hitTokens);
    this.#cachedOnDevice.inc(hitTokens);
  }

  /** Of a client that left vLLM counts nothing, though it has a series for it. */
  finished(reason: FinishReason): void {
    this.#success(reason).inc();
  }

  /** An HTTP exchange is over. Sizes are what content-length said, 0 where it said nothing. */
  answered(exchange: HttpExchange): void {
    this.#http(exchange);
  }

  /** The page. Whole bounds are written as Python does, so that a query for `le="1.0"` finds them. */
  async page(): Promise<string> {
    return (await this.#registry.metrics()).replaceAll(/\ble="(\d+)"/g, 'le="$1.0"');
  }

  #gauge(name: string, help: string) {
    return new Gauge({ name: `vllm:${name}`, help, labelNames: Object.keys(this.#labels), registers: [this.#registry] }).labels(
      this.#labels,
    );
  }

  #counter(name: string, help = "") {
    const counter = new Counter({
      name: `vllm:${name}_total`,
      help,
      labelNames: Object.keys(this.#labels),
      registers: [this.#registry],
    }).labels(this.#labels);
    counter.inc(0);
    return counter;
  }

  #histogram(name: string, help: string, buckets: number[]) {
    const labelNames = Object.keys(this.#labels);
    return new Histogram({ name: `vllm:${name}`, help, labelNames, buckets, registers: [this.#registry] }).labels(this.#labels);
  }

  /** A series for each value of one more label, all there from the start. */
  #gauges(name: string, help: string, label: string, values: readonly string[]) {
    const labelNames = [...Object.keys(this.#labels), label];
    const family = new Gauge({ name: `vllm:${name}`, help, labelNames, registers: [this.#registry] });
    for (const value of values) family.labels({ ...this.#labels, [label]: value }).set(0);
    return (value: string) => family.labels({ ...this.#labels, [label]: value });
  }

  #counters(name: string, help: string, label: string, values: readonly string[]) {
    const labelNames = [...Object.keys(this.#labels), label];
    const family = new Counter({ name: `vllm:${name}_total`, help, labelNames, registers: [this.#registry] });
    for (const value of values) family.labels({ ...this.#labels, [label]: value }).inc(0);
    return (value: string) => family.labels({ ...this.#labels, [label]: value });
  }
}

const estimates: Readonly<Record<string, string>> = {
  estimated_flops: "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).",
  estimated_read_bytes: "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).",
  estimated_write_bytes: "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).",
};

/** Python's texts of every setting of the KV cache; those that this engine has none of are at vLLM's defaults. */
function cacheConfigLabels({ kvCapacityTokens, maxModelLen, prefixCaching }: CacheConfig): Record<string, string> {
  const blocks = Math.floor(kvCapacityTokens / blockTokens);
  return {
    engine: "0",
    block_size: String(blockTokens),
    effective_attention_block_size: String(blockTokens),
    _block_size_resolved: "True",
    user_specified_block_size: "False",
    num_gpu_blocks: String(blocks),
    num_gpu_blocks_override: "None",
    num_cpu_blocks: "None",
    kv_cache_size_tokens: String(blocks * blockTokens),
    kv_cache_max_concurrency: ((blocks * blockTokens) / maxModelLen).toFixed(1),
    kv_cache_memory_bytes: "None",
    gpu_memory_utilization: "0.92",
    cache_dtype: "auto",
    enable_prefix_caching: prefixCaching ? "True" : "False",
    prefix_caching_hash_algo: "sha256",
    prefix_cache_retention_interval: "0",
    prefix_match_unit: "None",
    hash_block_size: "None",
    cache_hit_alignment_tokens: "None",
    kv_cache_dtype_skip_layers: "[]",
    kv_cache_layout: "None",
    kv_offloading_backend: "native",
    kv_offloading_size: "None",
    kv_sharing_fast_prefill: "False",
    is_attention_free: "False",
    sliding_window: "None",
    skip_page_size_padded: "None",
    swa_bounded_replay: "True",
    enable_mamba_shared_prefix_checkpoint: "False",
    mamba_block_size: "None",
    mamba_cache_dtype: "auto",
    mamba_cache_mode: "none",
    mamba_page_size_padded: "None",
    mamba_ssm_cache_dtype: "auto",
    use_replayssm: "False",
    replayssm_buffer_len: "16",
    use_kda_recoverssm: "False",
  };
}

export interface HttpExchange {
  /** The route; `none` for a path that is no route, or has another method. */
  readonly handler: string;
  readonly method: string;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly seconds: number;
}

/** The families of the web server's instrumentation. */
function httpMetrics(registry: Registry): (exchange: HttpExchange) => void {
  const registers = [registry];
  const requests = new Counter({
    name: "http_requests_total",
    help: "Total number of requests by method, status and handler.",
    labelNames: ["handler", "method", "status"],
    registers,
  });
  const sizes = (what: string, direction: string) =>
    new Summary({
      name: `http_${what}_size_bytes`,
      help: `Content length of ${direction} by handler.`,
      labelNames: ["handler"],
      percentiles: [],
      registers,
    });
  const requestBytes = sizes("request", "incoming requests");
  const responseBytes = sizes("response", "outgoing responses");
  const fine = new Histogram({
    name: "http_request_duration_highr_seconds",
    help: "Latency with many buckets but no API specific labels.",
    buckets: seconds.httpFine,
    registers,
  });
  const byHandler = new Histogram({
    name: "http_request_duration_seconds",
    help: "Latency with only few buckets by handler.",
    labelNames: ["handler", "method"],
    buckets: seconds.http,
    registers,
  });
  return ({ handler, method, status, ...exchange }) => {
    requests.labels({ handler, method, status: `${Math.floor(status / 100)}xx` }).inc();
    requestBytes.labels({ handler }).observe(exchange.requestBytes);
    responseBytes.labels({ handler }).observe(exchange.responseBytes);
    fine.observe(exchange.seconds);
    byHandler.labels({ handler, method }).observe(exchange.seconds);
  };
}
