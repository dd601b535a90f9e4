import type { Json } from "../../../model/index.ts";

/** `autoscaling_config` of a deployment, defaulted. Names are Ray's own; `_s` is seconds. */
export interface AutoscalingConfig {
  readonly min_replicas: number;
  readonly max_replicas: number;
  /** Where a deployment starts, and starts again when its config changes; null: where it is. */
  readonly initial_replicas: number | null;
  /** Queued and running requests per replica to aim for. */
  readonly target_ongoing_requests: number;
  /** How often handles and replicas report. */
  readonly metrics_interval_s: number;
  /** Over how long their samples are averaged. */
  readonly look_back_period_s: number;
  readonly smoothing_factor: number;
  readonly upscale_smoothing_factor: number | null;
  readonly downscale_smoothing_factor: number | null;
  readonly upscaling_factor: number | null;
  readonly downscaling_factor: number | null;
  readonly upscale_delay_s: number;
  readonly downscale_delay_s: number;
  /** Only for the step from 1 to 0; null: `downscale_delay_s`. */
  readonly downscale_to_zero_delay_s: number | null;
  readonly aggregation_function: AggregationFunction;
  readonly policy: { readonly policy_function: string; readonly policy_kwargs: { readonly [key: string]: Json | undefined } };
}

export type AggregationFunction = "mean" | "max" | "min";

const DEFAULT_POLICY_FUNCTION = "ray.serve.autoscaling_policy:default_autoscaling_policy";

/** Policies that ship with Ray and mean the default one. */
export const QUEUE_LENGTH_POLICIES: readonly string[] = [
  DEFAULT_POLICY_FUNCTION,
  "ray.serve.autoscaling_policy:replica_queue_length_autoscaling_policy",
];
export const ASYNC_INFERENCE_POLICY = "ray.serve.async_inference_autoscaling_policy:AsyncInferenceAutoscalingPolicy";

/** Source: ray 2.58.0, python/ray/serve/config.py. */
export const AUTOSCALING_DEFAULTS: AutoscalingConfig = {
  min_replicas: 1,
  max_replicas: 1,
  initial_replicas: null,
  target_ongoing_requests: 2,
  metrics_interval_s: 10,
  look_back_period_s: 30,
  smoothing_factor: 1,
  upscale_smoothing_factor: null,
  downscale_smoothing_factor: null,
  upscaling_factor: null,
  downscaling_factor: null,
  upscale_delay_s: 30,
  downscale_delay_s: 600,
  downscale_to_zero_delay_s: null,
  aggregation_function: "mean",
  policy: { policy_function: DEFAULT_POLICY_FUNCTION, policy_kwargs: {} },
};

/** Beneath what the user sets where a deployment says `num_replicas: auto`. */
export const AUTO_DEFAULTS: Partial<AutoscalingConfig> = { target_ongoing_requests: 2, min_replicas: 1, max_replicas: 100 };

/** The factor that counts: the newest of its three names that is set. */
export const upscalingFactor = (config: AutoscalingConfig): number =>
  config.upscaling_factor ?? config.upscale_smoothing_factor ?? config.smoothing_factor;
export const downscalingFactor = (config: AutoscalingConfig): number =>
  config.downscaling_factor ?? config.downscale_smoothing_factor ?? config.smoothing_factor;

/** Handles and replicas sample this often, in seconds. Source: RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR, 0.2. */
export const recordIntervalS = (config: AutoscalingConfig): number => Math.min(config.look_back_period_s * 0.2, config.metrics_interval_s);

/** A handle's report older than this, in seconds, no longer counts. Source: RAY_SERVE_MIN_HANDLE_METRICS_TIMEOUT_S, 10. */
export const reportTimeoutS = (config: AutoscalingConfig): number => Math.max(2 * config.metrics_interval_s, 10);
