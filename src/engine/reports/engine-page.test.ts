import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { EngineKind } from "../../model/index.ts";
import { foldGpus, parseEnginePage, parseGpuPage } from "./index.ts";

const page = (name: string) => readFileSync(new URL(`fixtures/${name}.txt`, import.meta.url), "utf8");
const read = (kind: EngineKind, name: string) => {
  const { gauges, counters, histograms, startedAtMs } = parseEnginePage(kind, page(name), 1000);
  const values = Object.fromEntries(Object.entries(counters).map(([signal, counter]) => [signal, counter.value]));
  return { gauges, counters: values, histograms, startedAtMs };
};

it("reads vLLM: sums over ranks, the fullest KV cache, one name of each pair", () => {
  const { gauges, counters, histograms, startedAtMs } = read("vllm", "vllm");
  expect(gauges).toEqual({ running: 7, waiting: 1, kv_used: 0.5, kv_capacity_tokens: 32_000 });
  expect(counters).toEqual({ prompt_tokens: 3000, gen_tokens: 1200, finished: 10, preemptions: 2, prefix_queries: 900, prefix_hits: 300 });
  expect(histograms.ttft).toMatchObject({ bounds: [0.1, 0.25], counts: [5, 9, 11], sum: 2.55 });
  expect(histograms.iteration_tokens).toMatchObject({ bounds: [8], counts: [5, 6], sum: 42 });
  expect(histograms).not.toHaveProperty("tpot");
  expect(startedAtMs).toBe(1.7e12);
});

it("reads what older vLLM called otherwise, and keeps absent what is not a number", () => {
  const { gauges, counters, histograms } = read("vllm", "vllm-0.9.1");
  expect(gauges).toEqual({ running: 2, waiting: 0, kv_used: 0.125 });
  expect(counters).toEqual({ prefix_queries: 10, prefix_hits: 4 });
  expect(histograms.itl).toMatchObject({ counts: [1, 3] });
});

it("reads a page recorded from vLLM 0.32", () => {
  const { gauges, counters, histograms, startedAtMs } = read("vllm", "vllm-0.32.0");
  expect(gauges).toEqual({ running: 0, waiting: 0, kv_used: 0, kv_capacity_tokens: 1_048_576 });
  expect(counters).toEqual({ prompt_tokens: 64, gen_tokens: 92, finished: 33, preemptions: 0, prefix_queries: 64, prefix_hits: 0 });
  for (const signal of ["ttft", "tpot", "e2e", "queue_time"] as const) expect(histograms[signal]?.counts.at(-1)).toBe(33);
  expect(histograms.itl?.counts.at(-1)).toBe(59);
  expect(histograms.iteration_tokens).toMatchObject({ sum: 156 });
  expect(startedAtMs).toBeGreaterThan(1.7e12);
});

it.each([
  ["vllm_", "vllm_num_requests_running 2\n"],
  ["the emulated engine", "vllm:num_requests_running 2\n"],
  ["two spellings on one page, once", "vllm:num_requests_running 2\nvllm_num_requests_running 2\n"],
])("reads %s", (_, text) => {
  expect(parseEnginePage("emulated", text, 0).gauges).toEqual({ running: 2 });
});

it("reads vLLM under Ray, also where the engine's kind is not told", () => {
  const expected = { running: 5, waiting: 6, kv_used: 0.75 };
  expect(read("vllm", "ray-vllm")).toMatchObject({ gauges: expected, counters: { gen_tokens: 99 } });
  expect(read("other", "ray-vllm").gauges).toEqual(expected);
  expect(read("other", "triton").gauges).toMatchObject({ running: 6 });
  expect(read("other", "nim").gauges).toEqual({});
});

it("reads SGLang: first tensor-parallel rank only, realtime tokens before those of ended requests", () => {
  const { gauges, counters, histograms } = read("sglang", "sglang");
  expect(gauges).toEqual({ running: 3, waiting: 3, kv_used: 0.5, kv_capacity_tokens: 64_000 });
  expect(counters).toEqual({ prompt_tokens: 2000, gen_tokens: 300, prefix_queries: 1000, prefix_hits: 400, preemptions: 1, finished: 17 });
  expect(histograms.ttft?.counts).toEqual([4, 5]);
});

it("reads TGI", () => {
  const { gauges, counters, histograms } = read("tgi", "tgi");
  expect(gauges).toEqual({ running: 4, waiting: 7 });
  expect(counters).toEqual({ prompt_tokens: 1200, gen_tokens: 340, finished: 18 });
  expect(histograms.e2e).toMatchObject({ counts: [10, 17], sum: 9.5 });
});

it("reads trtllm-serve, blocks as tokens", () => {
  const { gauges, counters, histograms } = read("trtllm", "trtllm");
  expect(gauges).toEqual({ running: 2, waiting: 3, kv_used: 0.5, kv_capacity_tokens: 3200 });
  expect(counters).toEqual({ prefix_hits: 320, prefix_queries: 1280, finished: 8 });
  expect(histograms.tpot?.counts).toEqual([6, 8]);
});

it("reads Triton, counting an ensemble's request once", () => {
  const { gauges, counters } = read("triton", "triton");
  expect(gauges).toEqual({
    running: 6,
    waiting: 5,
    max_running: 64,
    kv_used: 0.25,
    kv_capacity_tokens: 32_000,
    gpu_utilization: 75,
    gpu_memory_used: 0.625,
    gpu_power: 300,
  });
  expect(counters).toEqual({ finished: 11 });
});

it("reads NIM, llama.cpp and LMDeploy", () => {
  expect(read("nim", "nim")).toMatchObject({
    gauges: { running: 3, waiting: 2, max_running: 256, kv_used: 0.125 },
    counters: { prompt_tokens: 100, gen_tokens: 50, finished: 4 },
  });
  expect(read("llamacpp", "llamacpp")).toMatchObject({
    gauges: { running: 1, waiting: 2 },
    counters: { prompt_tokens: 120, gen_tokens: 340 },
    histograms: {},
  });
  expect(read("lmdeploy", "lmdeploy")).toMatchObject({
    gauges: { running: 3, waiting: 3, kv_used: 0.5 },
    counters: { prompt_tokens: 70, gen_tokens: 80, prefix_queries: 70, prefix_hits: 20, finished: 5 },
  });
});

it("has nothing of Ollama", () => {
  expect(parseEnginePage("ollama", "", 0)).toMatchObject({ gauges: {}, counters: {}, histograms: {} });
});

it.each([
  ["NaN", "vllm:num_requests_running NaN"],
  ["infinite", "vllm:num_requests_running +Inf"],
  ["negative", "vllm:num_requests_running -1"],
  ["a ratio above 1", "vllm:kv_cache_usage_perc 45"],
  ["missing", "vllm:something_else 4"],
  ["one rank of two is NaN", 'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_running{engine="1"} NaN'],
  ["a histogram without +Inf", 'vllm:time_to_first_token_seconds_bucket{le="1"} 2\nvllm:time_to_first_token_seconds_sum 1'],
])("leaves absent what is %s", (_, text) => {
  expect(parseEnginePage("vllm", `${text}\n`, 0)).toMatchObject({ gauges: {}, counters: {}, histograms: {} });
});

it("reads DCGM by pod, dropping blanks", () => {
  const { devices } = parseGpuPage(page("dcgm"), 5);
  const of = (pod: string | null) => foldGpus(devices.filter((device) => device.pod === pod));
  expect(of("chat-0")).toEqual({ gpu_utilization: 80, gpu_power: 501, dram_active: 0.5, gpu_memory_used: 0.75 });
  expect(of("chat-1")).toEqual({ gpu_utilization: 10 });
  expect(of("chat-2")).toEqual({ gpu_utilization: 55 }); // exported_pod goes before the exporter's own pod
  expect(of(null)).toEqual({ gpu_utilization: 0 });
  expect(of("elsewhere")).toEqual({});
});

it("tells MIG slices apart", () => {
  const text =
    'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",GPU_I_ID="1",pod="a"} 0.5\nDCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",GPU_I_ID="2",pod="a"} 1\n';
  const { devices } = parseGpuPage(text, 0);
  expect(devices.map(({ gpu }) => gpu)).toEqual(["0.1", "0.2"]);
  expect(foldGpus(devices)).toEqual({ gr_active: 0.75 });
});
