import type { Manifest } from "../../../model/index.ts";

/** How the hourly plan is carried out: at once, paced by utilization, the same with a check of the forecast; or no plan at all. */
export const STRATEGIES = ["lt-i", "lt-u", "lt-ua", "reactive"] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** Parameters under the names of the released simulator, where it has one. Times in seconds. */
export interface SageServeSpec {
  readonly strategy: Strategy;
  readonly long_term_scaling_interval: number;
  /** The plan provides for the largest forecast from the first to the second of these, counted from now. */
  readonly forecast_window: readonly [number, number];
  /** What the series repeats after, in minutes, once two such spans are known; 0: nothing. */
  readonly season_minutes: number;
  /** Share of the largest recent non-interactive load that the plan provides for on top. */
  readonly non_interactive_share: number;
  readonly non_interactive_classes: readonly string[];
  /** Input tokens per second of one instance, by pool or the same for all; null: learned. */
  readonly model_tps: number | Readonly<Record<string, number>> | null;
  /** Share of it that the plan counts on. */
  readonly tps_share: number;
  /** By pool or the same for all; null: 10, in proportion to the pools' prices where they have any. */
  readonly gpu_cost: number | Readonly<Record<string, number>> | null;
  readonly startup_cost: number;
  readonly scale_up_utilization: number;
  readonly scale_down_utilization: number;
  /** Memory utilization above which LT-U goes beyond its plan. */
  readonly overshoot_utilization: number;
  /** Last minute's tokens over the forecast of them, above which LT-UA goes beyond its plan. */
  readonly arima_checking_scaling_threshold: number;
  readonly overheads: { readonly spin_up: number; readonly spin_down: number; readonly reclaim_spot: number };
  /** Least time between two actions of one endpoint; -1: none. */
  readonly scaling_interval: number;
  /** The original decides at every request; here at this interval. */
  readonly tick_seconds: number;
  readonly min_instances: number;
  /** null: as many as the pool may have. */
  readonly max_instances: number | null;
}

/** Source: kjain1810/SageServe (the authors' simulator), configs and arbiters; thresholds are in its code. */
export const SAGESERVE_DEFAULTS: SageServeSpec = {
  strategy: "lt-ua",
  long_term_scaling_interval: 3600,
  forecast_window: [1200, 3600],
  season_minutes: 1440,
  non_interactive_share: 0.1,
  non_interactive_classes: ["batch", "dev", "non-interactive"],
  model_tps: null,
  tps_share: 0.5,
  gpu_cost: null,
  startup_cost: 150,
  scale_up_utilization: 0.5,
  scale_down_utilization: 0.25,
  overshoot_utilization: 0.9,
  arima_checking_scaling_threshold: 5,
  overheads: { spin_up: 155, spin_down: 0, reclaim_spot: 65 },
  scaling_interval: -1,
  tick_seconds: 5,
  min_instances: 2,
  max_instances: null,
};

/** The reader has made sure of this shape. */
export const sageserveSpecOf = (manifest: Manifest): SageServeSpec => manifest.spec as unknown as SageServeSpec;
