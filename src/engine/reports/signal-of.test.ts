import { expect, it } from "vitest";
import { signalOfMetric } from "./index.ts";

it.each([
  ["vllm:num_requests_waiting", "waiting"],
  ["vllm_num_requests_running", "running"],
  ["vllm:gpu_cache_usage_perc", "kv_used"],
  ["llamacpp:requests_processing", "running"],
  ["DCGM_FI_DEV_GPU_UTIL", "gpu_utilization"],
  ["dcgm_gpu_utilization", "gpu_utilization"],
  ["http_requests_per_second", "request_rate"],
  ["vllm:prompt_tokens_total", undefined],
  ["custom.googleapis.com/gpu_utilization", "gpu_utilization"],
  ["orders_open", undefined],
])("knows %s as %s", (metric, signal) => expect(signalOfMetric(metric)).toBe(signal));
