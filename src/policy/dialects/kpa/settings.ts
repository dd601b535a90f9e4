import type { Ms } from "../../../model/index.ts";
import type { Aggregation, KpaAnnotations } from "./annotations.ts";
import type { DeciderSpec, ScalingMetric } from "./decider.ts";

/** The ConfigMaps `config-autoscaler` and, for the last one, `config-deployment`. Percentages as fractions. */
export interface KpaConfig {
  readonly containerConcurrencyTargetFraction: number;
  readonly containerConcurrencyTargetDefault: number;
  readonly rpsTargetDefault: number;
  /** Of requests per second; no key of the ConfigMap sets it. */
  readonly targetUtilization: number;
  readonly targetBurstCapacity: number;
  readonly stableWindowMs: Ms;
  readonly panicWindowPercentage: number;
  readonly panicThresholdPercentage: number;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  readonly enableScaleToZero: boolean;
  readonly scaleToZeroGracePeriodMs: Ms;
  readonly scaleToZeroPodRetentionMs: Ms;
  readonly scaleDownDelayMs: Ms;
  readonly activatorCapacity: number;
  readonly initialScale: number;
  readonly allowZeroInitialScale: boolean;
  readonly minScale: number;
  readonly maxScale: number;
  /** Most that any revision may set as its maximum; 0: no limit. */
  readonly maxScaleLimit: number;
  readonly progressDeadlineMs: Ms;
}

/** As knative-v1.23 ships them. */
export const KPA_DEFAULTS: KpaConfig = {
  containerConcurrencyTargetFraction: 0.7,
  containerConcurrencyTargetDefault: 100,
  rpsTargetDefault: 200,
  targetUtilization: 0.7,
  targetBurstCapacity: 211,
  stableWindowMs: 60_000,
  panicWindowPercentage: 10,
  panicThresholdPercentage: 200,
  maxScaleUpRate: 1_000,
  maxScaleDownRate: 2,
  enableScaleToZero: true,
  scaleToZeroGracePeriodMs: 30_000,
  scaleToZeroPodRetentionMs: 0,
  scaleDownDelayMs: 0,
  activatorCapacity: 100,
  initialScale: 1,
  allowZeroInitialScale: false,
  minScale: 0,
  maxScale: 0,
  maxScaleLimit: 0,
  progressDeadlineMs: 600_000,
};

export type Reachability = "" | "Reachable" | "Unreachable";

/** One revision's scaling: annotations over the cluster's config. */
export interface KpaSettings extends DeciderSpec {
  readonly panicWindowMs: Ms;
  readonly aggregation: Aggregation;
  readonly minScale: number;
  /** 0: no limit. */
  readonly maxScale: number;
  readonly initialScale: number;
  readonly podRetentionMs: Ms;
  readonly gracePeriodMs: Ms;
  readonly enableScaleToZero: boolean;
  readonly progressDeadlineMs: Ms;
}

export function resolveSettings(
  annotations: KpaAnnotations,
  { containerConcurrency, reachability }: { readonly containerConcurrency: number; readonly reachability: Reachability },
  config: KpaConfig = KPA_DEFAULTS,
): KpaSettings {
  const scalingMetric = annotations.metric ?? "concurrency";
  const { target, total } = resolveTarget({ metric: scalingMetric, containerConcurrency, ...annotations }, config);
  const stableWindowMs = annotations.windowMs ?? config.stableWindowMs;
  const panicWindow = (stableWindowMs * (annotations.panicWindowPercentage ?? config.panicWindowPercentage)) / 100;
  const reachable = reachability !== "Unreachable";
  const maxScale = annotations.maxScale ?? config.maxScale;
  const starting = initialScale(annotations.initialScale, config);
  return {
    scalingMetric,
    target,
    total,
    targetBurstCapacity: annotations.targetBurstCapacity ?? config.targetBurstCapacity,
    activatorCapacity: config.activatorCapacity,
    maxScaleUpRate: config.maxScaleUpRate,
    maxScaleDownRate: config.maxScaleDownRate,
    panicThreshold: (annotations.panicThresholdPercentage ?? config.panicThresholdPercentage) / 100,
    stableWindowMs,
    panicWindowMs: Math.max(1_000, Math.round(panicWindow / 1_000) * 1_000),
    aggregation: annotations.aggregation ?? "linear",
    scaleDownDelayMs: annotations.scaleDownDelayMs ?? config.scaleDownDelayMs,
    activationScale: annotations.activationScale ?? 1,
    reachable,
    minScale: reachable ? (annotations.minScale ?? config.minScale) : 0,
    maxScale,
    // Where somebody made the maximum smaller than what a revision starts with, the maximum holds.
    initialScale: maxScale === 0 ? starting : Math.min(starting, maxScale),
    // Nobody is routed to an unreachable revision, so its last pod is not kept.
    podRetentionMs: reachable ? (annotations.podRetentionMs ?? config.scaleToZeroPodRetentionMs) : 0,
    gracePeriodMs: config.scaleToZeroGracePeriodMs,
    enableScaleToZero: config.enableScaleToZero,
    progressDeadlineMs: annotations.progressDeadlineMs ?? config.progressDeadlineMs,
  };
}

const MIN_TARGET = 0.01;

/** `total`: what a pod can take; `target` = max(0.01, total × utilization) is aimed for. A hard limit bounds the annotation. */
export function resolveTarget(
  {
    metric,
    containerConcurrency,
    target,
    utilizationPercentage,
  }: {
    readonly metric: ScalingMetric;
    readonly containerConcurrency: number;
    readonly target?: number | undefined;
    readonly utilizationPercentage?: number | undefined;
  },
  config: Pick<
    KpaConfig,
    "containerConcurrencyTargetFraction" | "containerConcurrencyTargetDefault" | "rpsTargetDefault" | "targetUtilization"
  >,
): { readonly target: number; readonly total: number } {
  const limit = metric === "concurrency" && containerConcurrency !== 0 ? containerConcurrency : Number.POSITIVE_INFINITY;
  const byDefault = metric === "rps" ? config.rpsTargetDefault : config.containerConcurrencyTargetDefault;
  const total = target === undefined ? (Number.isFinite(limit) ? limit : byDefault) : Math.min(target, limit);
  const ownUtilization = metric === "rps" ? config.targetUtilization : config.containerConcurrencyTargetFraction;
  const utilization = utilizationPercentage === undefined ? ownUtilization : utilizationPercentage / 100;
  return { target: Math.max(MIN_TARGET, total * utilization), total };
}

/** The annotation's, or the cluster's; an annotation of 0 counts only where the cluster allows it. */
export function initialScale(
  annotation: number | undefined,
  { initialScale, allowZeroInitialScale }: Pick<KpaConfig, "initialScale" | "allowZeroInitialScale">,
): number {
  return annotation === undefined || (annotation === 0 && !allowZeroInitialScale) ? initialScale : annotation;
}
