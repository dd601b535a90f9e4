import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { GpuFacts } from "../engine/index.ts";

const seconds = {
  ttft: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560],
  itl: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80],
  request: [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680],
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

/** vLLM's families under its own names, types, labels and buckets (V1 engine, as of 0.10 to 0.28). */
export function vllmMetrics(model: string, maxModelLen: number) {
  const registry = new Registry();
  const registers = [registry];
  const labels = { model_name: model, engine: "0" };
  const names = ["model_name", "engine"];
  const gauge = (name: string, help: string) => new Gauge({ name: `vllm:${name}`, help, labelNames: names, registers });
  const counter = (name: string, help: string, more: string[] = []) =>
    new Counter({ name: `vllm:${name}_total`, help, labelNames: [...names, ...more], registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: `vllm:${name}`, help, labelNames: names, buckets, registers }).labels(labels);
  const tokens = oneTwoFive(maxModelLen);
  const running = gauge("num_requests_running", "Number of requests in model execution batches.").labels(labels);
  const waiting = gauge("num_requests_waiting", "Number of requests waiting to be processed.").labels(labels);
  const kv = gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.").labels(labels);
  const prompt = counter("prompt_tokens", "Number of prefill tokens processed.");
  const generation = counter("generation_tokens", "Number of generation tokens processed.");
  const preemptions = counter("num_preemptions", "Cumulative number of preemption from the engine.");
  const queries = counter("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.");
  const hits = counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.");
  const success = counter("request_success", "Count of successfully processed requests.", ["finished_reason"]);
  for (const one of [prompt, generation, preemptions, queries, hits]) one.labels(labels).inc(0);
  for (const finished_reason of ["stop", "length", "abort"]) success.labels({ ...labels, finished_reason }).inc(0);
  const cacheConfig = new Gauge({
    name: "vllm:cache_config_info",
    help: "Information of the LLMEngine CacheConfig",
    labelNames: ["engine", "block_size", "num_gpu_blocks", "gpu_memory_utilization", "enable_prefix_caching"],
    registers,
  });
  return {
    registry,
    running,
    waiting,
    kv,
    add: {
      promptTokens: (by: number) => prompt.labels(labels).inc(by),
      genTokens: (by: number) => generation.labels(labels).inc(by),
      preemptions: (by: number) => preemptions.labels(labels).inc(by),
      prefixQueries: (by: number) => queries.labels(labels).inc(by),
      prefixHits: (by: number) => hits.labels(labels).inc(by),
    },
    finished: (finished_reason: string) => success.labels({ ...labels, finished_reason }).inc(),
    cacheConfig: (blockSize: number, blocks: number) =>
      cacheConfig
        .labels({
          engine: "0",
          block_size: String(blockSize),
          num_gpu_blocks: String(blocks),
          gpu_memory_utilization: "0.9",
          enable_prefix_caching: "True",
        })
        .set(1),
    ttft: histogram("time_to_first_token_seconds", "Histogram of time to first token in seconds.", seconds.ttft),
    itl: histogram("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", seconds.itl),
    tpot: histogram("request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.", seconds.itl),
    e2e: histogram("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", seconds.request),
    queue: histogram("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", seconds.request),
    prefill: histogram("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", seconds.request),
    decode: histogram("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", seconds.request),
    inference: histogram("request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", seconds.request),
    iterationTokens: histogram("iteration_tokens_total", "Histogram of number of tokens per engine_step.", iterationTokens),
    requestPrompt: histogram("request_prompt_tokens", "Number of prefill tokens processed.", tokens),
    requestGeneration: histogram("request_generation_tokens", "Number of generation tokens processed.", tokens),
    requestMaxTokens: histogram("request_params_max_tokens", "Histogram of the max_tokens request parameter.", tokens),
  };
}

/** A DCGM exporter's page for the GPUs of one replica, under the exporter's names. */
export function dcgmMetrics(facts: GpuFacts, hostname: string, pod: string, gpus: number) {
  const registry = new Registry();
  const labelNames = ["gpu", "UUID", "device", "modelName", "Hostname", "container", "namespace", "pod"];
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames, registers: [registry] });
  const util = gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).");
  const used = gauge("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).");
  const free = gauge("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).");
  const power = gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).");
  const active = gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time the graphics engine is active.");
  const tensor = gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles the tensor (HMMA) pipe is active.");
  const dram = gauge("DCGM_FI_PROF_DRAM_ACTIVE", "Ratio of cycles the device memory interface is active sending or receiving data.");
  return {
    registry,
    /**
     * `busy`: share of the last second in which a step ran; `prefill`: share of the tokens of that second that were prefill. Memory
     * is reserved up front once weights are loaded. Power: 0.45 of TDP while decoding, toward all of it while prefilling.
     */
    set(at: { busy: number; prefill: number; loaded: boolean }) {
      const usedMiB = Math.round(facts.memoryMiB * (at.loaded ? 0.9 : 0.01));
      const idleW = 0.17 * facts.tdpWatts;
      for (let gpu = 0; gpu < gpus; gpu++) {
        const labels = {
          gpu: String(gpu),
          UUID: `GPU-${pod}-${gpu}`,
          device: `nvidia${gpu}`,
          modelName: facts.name,
          Hostname: hostname,
          container: "engine",
          namespace: "default",
          pod,
        };
        util.labels(labels).set(Math.round(100 * at.busy));
        used.labels(labels).set(usedMiB);
        free.labels(labels).set(facts.memoryMiB - usedMiB);
        power.labels(labels).set(Math.round(idleW + at.busy * ((0.45 + 0.55 * at.prefill) * facts.tdpWatts - idleW)));
        active.labels(labels).set(at.busy);
        tensor.labels(labels).set(at.busy * (0.1 + 0.6 * at.prefill));
        dram.labels(labels).set(at.busy * (0.75 - 0.4 * at.prefill));
      }
    },
  };
}
