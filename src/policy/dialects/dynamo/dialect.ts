import type { Dialect } from "../dialect.ts";
import { dynamoPolicy } from "./policy.ts";
import { plannerSpecOf } from "./spec.ts";

export const dynamoDialect: Dialect = {
  kind: "dynamo",
  follows: "NVIDIA Dynamo planner, spring 2026 (and that of 2025)",
  countsPools: true,
  policy: dynamoPolicy,
  /** Of aggregated engines only: the budget of prefill and decode together is no count of either. */
  bounds(manifest) {
    const { mode, min_endpoint: min, max_gpu_budget: gpus, decode_engine_num_gpu: each } = plannerSpecOf(manifest);
    return mode !== "agg" || gpus < 0 ? null : { min, max: Math.floor(gpus / (each ?? 1)) };
  },
  /** GPUs per engine become part of the manifest, so that the budget stays this many replicas whatever the pool has. */
  withBounds(manifest, { min, max }) {
    const { mode, prefill_engine_num_gpu: prefill, decode_engine_num_gpu: decode } = plannerSpecOf(manifest);
    const engines = { prefill_engine_num_gpu: prefill ?? 1, decode_engine_num_gpu: decode ?? 1 };
    const { prefill_engine_num_gpu: first, decode_engine_num_gpu: second } = engines;
    const gpus = mode === "agg" || mode === "decode" ? second : mode === "prefill" ? first : first + second;
    const endpoints = { min_endpoint: min, prefill_min_endpoint: null, decode_min_endpoint: null };
    return { ...manifest, spec: { ...manifest.spec, ...engines, ...endpoints, min_gpu_budget: -1, max_gpu_budget: max * gpus } };
  },
};
