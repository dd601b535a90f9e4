import type { Json, Manifest } from "../../../model/index.ts";

type PlannerMode = "disagg" | "prefill" | "decode" | "agg";
export type OptimizationTarget = "throughput" | "latency" | "load" | "sla";
export type PredictorKind = "constant" | "arima" | "kalman";

/**
 * A PlannerConfig under its own names, defaults filled in, with one field more: `version`, which of two planners decides.
 * - "2026": forecasts, a performance model learned from the engines, a load loop; correction factors are gone
 * - "2025": forecasts, a profile, and correction factors of observed against expected latency
 */
export interface PlannerSpec {
  readonly version: "2025" | "2026";
  readonly mode: PlannerMode;
  readonly optimization_target: OptimizationTarget;
  readonly enable_throughput_scaling: boolean;
  readonly enable_load_scaling: boolean;
  readonly throughput_adjustment_interval_seconds: number;
  readonly load_adjustment_interval_seconds: number;
  /** Most replicas by which one throughput decision changes a component. */
  readonly max_throughput_scaling_replicas: number;
  /** GPUs of all components together; -1: no limit. */
  readonly max_gpu_budget: number;
  readonly min_gpu_budget: number;
  readonly min_endpoint: number;
  readonly prefill_min_endpoint: number | null;
  readonly decode_min_endpoint: number | null;
  /** null: as many as the pool's replicas have. */
  readonly prefill_engine_num_gpu: number | null;
  readonly decode_engine_num_gpu: number | null;
  readonly ttft_ms: number;
  readonly itl_ms: number;
  readonly load_predictor: PredictorKind;
  readonly load_predictor_log1p: boolean;
  readonly kalman_q_level: number;
  readonly kalman_q_trend: number;
  readonly kalman_r: number;
  readonly kalman_min_points: number;
  readonly pre_deployment_sweeping_mode: "none" | "rapid" | "thorough";
  readonly max_num_fpm_samples: number;
  readonly fpm_sample_bucket_size: number;
  /** 0 never shrinks, 100 uses the target to the full. */
  readonly load_scaling_down_sensitivity: number;
  readonly load_min_observations: number;
  readonly prefill_scale_up_queue_tokens: number | null;
  readonly prefill_scale_down_queue_tokens: number | null;
  /** Percent. */
  readonly decode_scale_up_kv_rate: number | null;
  readonly decode_scale_down_kv_rate: number | null;
  /** Computes and says, but does not scale. */
  readonly advisory: boolean;
  readonly no_correction: boolean;
  /** What the planner knows besides and a policy has no use for. */
  readonly [other: string]: Json | undefined;
}

/** Source: ai-dynamo/dynamo, components/src/dynamo/planner/config/defaults.py, 2026. */
export const PLANNER_DEFAULTS = {
  version: "2026",
  mode: "disagg",
  optimization_target: "throughput",
  enable_throughput_scaling: true,
  enable_load_scaling: false,
  throughput_adjustment_interval_seconds: 180,
  load_adjustment_interval_seconds: 5,
  max_throughput_scaling_replicas: 8,
  max_gpu_budget: 8,
  min_gpu_budget: -1,
  min_endpoint: 1,
  prefill_min_endpoint: null,
  decode_min_endpoint: null,
  prefill_engine_num_gpu: null,
  decode_engine_num_gpu: null,
  ttft_ms: 500,
  itl_ms: 50,
  load_predictor: "arima",
  load_predictor_log1p: false,
  kalman_q_level: 1,
  kalman_q_trend: 0.1,
  kalman_r: 10,
  kalman_min_points: 5,
  pre_deployment_sweeping_mode: "rapid",
  max_num_fpm_samples: 64,
  fpm_sample_bucket_size: 16,
  load_scaling_down_sensitivity: 80,
  load_min_observations: 5,
  prefill_scale_up_queue_tokens: null,
  prefill_scale_down_queue_tokens: null,
  decode_scale_up_kv_rate: null,
  decode_scale_down_kv_rate: null,
  advisory: false,
  no_correction: false,
} as const satisfies PlannerSpec;

/** The reader has made sure of this shape. */
export const plannerSpecOf = (manifest: Manifest): PlannerSpec => manifest.spec as unknown as PlannerSpec;

/** Fewest endpoints of a component; a role's own number goes before the common one, except in aggregated mode. */
export function minEndpoint(spec: PlannerSpec, component: "prefill" | "decode"): number {
  if (spec.mode === "agg") return spec.min_endpoint;
  return (component === "prefill" ? spec.prefill_min_endpoint : spec.decode_min_endpoint) ?? spec.min_endpoint;
}
