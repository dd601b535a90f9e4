import { createQueueModel, type LatencyTarget, type ServiceParams } from "./queue-model.ts";
import type { QueueingConfig } from "./spec.ts";
import { type Environment, type Tuned, type Tuning, tune } from "./tuner.ts";
import type { CapacityBalance, VariantCapacity, VariantState } from "./words.ts";

/** What one busy replica did. Rates per second, latencies in ms. */
export interface Workload {
  readonly arrivalRate: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly ttftMs: number;
  readonly itlMs: number;
}
export interface VariantWorkload extends Workload {
  /** Of all its busy replicas. */
  readonly totalRate: number;
  readonly busy: number;
}

const FALLBACK_HEADROOM = 1.5;
const FALLBACK_MOST = { ttftMs: 10_000, itlMs: 500 };
const MAX_QUEUE_SIZE = 100;
export const DEFAULT_MAX_BATCH_SIZE = 256;

/** Means over replicas with arrivals, weighted by them; null of none. */
export function workloadOf(replicas: readonly Workload[]): VariantWorkload | null {
  const busy = replicas.filter(({ arrivalRate }) => arrivalRate > 0);
  const totalRate = busy.reduce((sum, { arrivalRate }) => sum + arrivalRate, 0);
  if (!(totalRate > 0)) return null;
  const mean = (of: (replica: Workload) => number) => busy.reduce((sum, one) => sum + one.arrivalRate * of(one), 0) / totalRate;
  return {
    arrivalRate: totalRate / busy.length,
    inputTokens: mean(({ inputTokens }) => inputTokens),
    outputTokens: mean(({ outputTokens }) => outputTokens),
    ttftMs: mean(({ ttftMs }) => ttftMs),
    itlMs: mean(({ itlMs }) => itlMs),
    totalRate,
    busy: busy.length,
  };
}

/**
 * Latencies at the utilization 1 - 1/k: an iteration may take k·alpha, and the request's own work comes on top at its true cost.
 * TTFT = k·alpha + (beta + gamma)·I; ITL = k·alpha + beta + gamma·(I + (O + 1)/2).
 */
export function inferredTarget(
  { alpha, beta, gamma }: ServiceParams,
  { inputTokens: i, outputTokens: o }: Pick<Workload, "inputTokens" | "outputTokens">,
  k: number,
): LatencyTarget {
  return { ttftMs: k * alpha + (beta + gamma) * i, itlMs: k * alpha + beta + gamma * (i + (o + 1) / 2) };
}

/** The stated target; else the largest that learned parameters infer; else 1.5 times what is observed, within caps; null: none yet. */
export function latencyTarget(config: QueueingConfig, tuned: readonly Tuned[], workload: Workload | null): LatencyTarget | null {
  if (config.target !== null) return config.target;
  if (workload === null) return null;
  if (tuned.length > 0) {
    const targets = tuned.map(({ params }) => inferredTarget(params, workload, config.sloMultiplier));
    return { ttftMs: Math.max(...targets.map(({ ttftMs }) => ttftMs)), itlMs: Math.max(...targets.map(({ itlMs }) => itlMs)) };
  }
  if (!(workload.ttftMs > 0 && workload.itlMs > 0)) return null;
  return {
    ttftMs: Math.min(workload.ttftMs * FALLBACK_HEADROOM, FALLBACK_MOST.ttftMs),
    itlMs: Math.min(workload.itlMs * FALLBACK_HEADROOM, FALLBACK_MOST.itlMs),
  };
}

export interface VariantInput {
  readonly state: VariantState;
  readonly workload: VariantWorkload | null;
  readonly maxBatchSize: number;
  /** Whether the workload may teach: replicas young enough to be warming up do not. */
  readonly settled: boolean;
}

export interface QueueingResult {
  readonly target: LatencyTarget | null;
  readonly variants: readonly VariantCapacity[];
  readonly balances: readonly CapacityBalance[];
  readonly tuned: Readonly<Record<string, Tuned>>;
  readonly tunings: Readonly<Record<string, Tuning>>;
}

/**
 * Requests per second that each variant's replicas carry inside the latency target, and what is missing or left: replicas come to
 * ceil(arrivals / λ*) for one variant. A variant without traffic, or whose model cannot meet the target, has capacity 0 and stays
 * as it is; where that is so for all, nobody can judge.
 *
 * The published code counts as a variant's supply what its *wanted* replicas would carry, which hides every shortage; here it is
 * what its ready and pending ones carry, as its documentation has it.
 */
export function analyzeQueueing(
  inputs: readonly VariantInput[],
  config: QueueingConfig,
  before: Readonly<Record<string, Tuned>>,
): QueueingResult {
  const tuned: Record<string, Tuned> = { ...before };
  const tunings: Record<string, Tuning> = {};
  for (const { state, workload, maxBatchSize, settled } of inputs) {
    if (!config.tuningEnabled || workload === null || !settled) continue;
    if (!(workload.ttftMs > 0 && workload.itlMs > 0 && workload.outputTokens > 0)) continue;
    const environment: Environment = { ...workload, maxBatchSize };
    const tuning = tune(tuned[state.variantName] ?? null, environment);
    tunings[state.variantName] = tuning;
    tuned[state.variantName] = tuning.tuned;
  }
  const learned = inputs.flatMap(({ state }) => tuned[state.variantName] ?? []);
  const overall = workloadOf(
    inputs.flatMap(({ workload }) => (workload === null ? [] : [{ ...workload, arrivalRate: workload.totalRate }])),
  );
  const target = latencyTarget(config, learned, overall);
  const variants = inputs.map(({ state, workload, maxBatchSize }): VariantCapacity => {
    const { variantName, role, cost, currentReplicas, pendingReplicas } = state;
    const params = tuned[variantName]?.params;
    const sized =
      workload === null || params === undefined || target === null || !(workload.outputTokens > 0)
        ? null
        : createQueueModel(params, workload, { maxBatchSize, maxQueueSize: MAX_QUEUE_SIZE }).size(target);
    return {
      variantName,
      role,
      cost,
      readyReplicas: Math.max(0, currentReplicas - pendingReplicas),
      pendingReplicas,
      perReplicaCapacity: sized?.metrics.throughput ?? 0,
      demand: sized === null ? 0 : (workload?.totalRate ?? 0),
    };
  });
  const roles = [...new Set(variants.map(({ role }) => role))].sort();
  const balances = roles.map((role): CapacityBalance => {
    const own = variants.filter((variant) => variant.role === role);
    const sum = (of: (variant: VariantCapacity) => number) => own.reduce((total, variant) => total + of(variant), 0);
    const demand = sum((variant) => variant.demand);
    const supply = sum((one) => one.readyReplicas * one.perReplicaCapacity);
    const anticipated = sum((one) => (one.readyReplicas + one.pendingReplicas) * one.perReplicaCapacity);
    return { role, demand, supply, anticipated, required: Math.max(0, demand - anticipated), spare: Math.max(0, supply - demand) };
  });
  return { target, variants, balances, tuned, tunings };
}
