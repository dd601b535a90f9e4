import type { SaturationConfig } from "./spec.ts";
import type { CapacityBalance, ReplicaMetrics, VariantCapacity, VariantRole, VariantState } from "./words.ts";

/** Tokens in use seen while a queue stood, newest last, by accelerator, GPUs and output length. */
type ComputeHistory = { readonly [key: string]: readonly number[] };
/** Capacity of one replica of a variant when it was last seen, for when none runs. */
type KnownCapacities = { readonly [variant: string]: number };
export type SaturationMemory = { readonly history: ComputeHistory; readonly known: KnownCapacities };
export const noSaturationMemory: SaturationMemory = { history: {}, known: {} };

/** How replicas of a variant were started. */
export interface EngineParams {
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  /** Of the engine's profile, for replicas that do not say how much KV cache they have; null: unknown. */
  readonly kvCapacityTokens: number | null;
}

/** What waits before any replica. */
export interface SchedulerQueue {
  readonly size: number;
  readonly bytes: number;
}

const KEPT = 10;
const BYTES_PER_TOKEN = 4;

/** Where the compute-bound capacity comes from. */
type K2Source = "observed" | "historical" | "derived" | "k1";

interface ReplicaCapacity {
  readonly podName: string;
  readonly variantName: string;
  /** Bounds by memory and by compute, in tokens; the smaller one is the capacity. */
  readonly k1: number;
  readonly k2: number;
  readonly k2Source: K2Source;
  readonly capacity: number;
  readonly demand: number;
}

const outputBucket = (avgOutputTokens: number): "short" | "medium" | "long" =>
  avgOutputTokens < 100 ? "short" : avgOutputTokens < 500 ? "medium" : "long";

/**
 * Tokens in use in a steady state that the token budget B and the sequence limit allow: N·(I + O/2) with
 * N = min(B·O/(I + O), sequences). 0 where the workload is not known.
 */
export function derivedCapacity(params: EngineParams, avgInputTokens: number, avgOutputTokens: number): number {
  if (params.maxNumBatchedTokens <= 0 || avgOutputTokens <= 0) return 0;
  const steady = Math.min((params.maxNumBatchedTokens * avgOutputTokens) / (avgInputTokens + avgOutputTokens), params.maxNumSeqs);
  return Math.trunc(steady * (avgInputTokens + avgOutputTokens / 2));
}

/**
 * What one replica carries and what it has to: demand = tokens in use + queue × mean input; k1 = KV capacity × threshold;
 * k2 = tokens in use while the queue is at its threshold (remembered), else the mean of the last ten such, else derived, else k1.
 * @returns null where it is not known how many tokens fit
 */
function replicaCapacity(
  replica: ReplicaMetrics,
  config: SaturationConfig,
  state: Pick<VariantState, "acceleratorName" | "gpusPerReplica">,
  params: EngineParams,
  history: ComputeHistory,
): { readonly capacity: ReplicaCapacity; readonly history: ComputeHistory } | null {
  const { podName, variantName, queueLength, tokensInUse, avgInputTokens, avgOutputTokens } = replica;
  const total = replica.totalKvCapacityTokens ?? params.kvCapacityTokens;
  if (total === null || total <= 0) return null;
  const demand = tokensInUse + (avgInputTokens > 0 ? queueLength * avgInputTokens : 0);
  const k1 = Math.trunc(total * config.kvCacheThreshold);
  const key = `${state.acceleratorName}|${state.gpusPerReplica}|${outputBucket(avgOutputTokens)}`;
  const past = history[key] ?? [];
  const done = (k2: number, k2Source: K2Source, kept: ComputeHistory) => ({
    capacity: { podName, variantName, k1, k2, k2Source, capacity: Math.min(k1, k2), demand },
    history: kept,
  });
  if (queueLength >= config.queueLengthThreshold && tokensInUse > 0)
    return done(Math.trunc(tokensInUse), "observed", { ...history, [key]: [...past, tokensInUse].slice(-KEPT) });
  const mean = past.reduce((sum, tokens) => sum + tokens, 0) / past.length;
  if (mean > 0) return done(Math.trunc(mean), "historical", history);
  const derived = derivedCapacity(params, avgInputTokens, avgOutputTokens);
  return derived > 0 ? done(derived, "derived", history) : done(k1, "k1", history);
}

/** Median of whole tokens, the mean of the two middle ones rounded down; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return 0;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return Math.trunc(((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2);
}

export interface SaturationResult {
  readonly variants: readonly VariantCapacity[];
  readonly balances: readonly CapacityBalance[];
  readonly replicas: readonly ReplicaCapacity[];
  readonly memory: SaturationMemory;
}

/**
 * Capacity and demand of a model in tokens. A variant's capacity per replica is the median of its replicas'; one without replicas
 * keeps what was last seen of it, or is derived from its engine and the model's workload, bounded by its k1.
 * Source: llm-d workload variant autoscaler, internal/engines/analyzers/saturation_v2.
 */
export function analyzeTokens(
  replicas: readonly ReplicaMetrics[],
  states: readonly VariantState[],
  queue: SchedulerQueue,
  config: SaturationConfig,
  paramsOf: (variant: string) => EngineParams,
  memory: SaturationMemory,
): SaturationResult {
  let { history } = memory;
  const seen: ReplicaCapacity[] = [];
  for (const replica of replicas) {
    const state = states.find(({ variantName }) => variantName === replica.variantName);
    if (state === undefined) continue;
    const one = replicaCapacity(replica, config, state, paramsOf(state.variantName), history);
    if (one === null) continue;
    seen.push(one.capacity);
    history = one.history;
  }
  const workload = workloadOf(replicas);
  const known: Record<string, number> = { ...memory.known };
  const variants = states.map((state): VariantCapacity => {
    const { variantName, role, cost, currentReplicas, pendingReplicas } = state;
    const own = seen.filter((one) => one.variantName === variantName);
    const params = paramsOf(variantName);
    let perReplicaCapacity = known[variantName] ?? 0;
    if (own.length > 0) {
      perReplicaCapacity = median(own.map(({ capacity }) => capacity));
      known[variantName] = (own.at(-1) as ReplicaCapacity).capacity;
    } else if (perReplicaCapacity === 0) {
      const k1 = Math.trunc((params.kvCapacityTokens ?? 0) * config.kvCacheThreshold);
      const derived = workload === null ? 0 : derivedCapacity(params, workload.input, workload.output);
      perReplicaCapacity = derived > 0 && k1 > 0 ? Math.min(derived, k1) : derived > 0 ? derived : k1;
    }
    const demand = own.map((one) => one.demand).reduce((sum, tokens) => sum + tokens, 0);
    const readyReplicas = Math.max(0, currentReplicas - pendingReplicas);
    return { variantName, role, cost, readyReplicas, pendingReplicas, perReplicaCapacity, demand };
  });
  const { input, output, hits } = workload ?? { input: 0, output: 0, hits: 0 };
  const queued = Math.max(queue.bytes / BYTES_PER_TOKEN, queue.size * input) * (1 - hits);
  const queuedOf = (role: VariantRole) => (role === "prefill" ? queued : queued + queue.size * output);
  return { variants, balances: balancesOf(variants, queuedOf, config), replicas: seen, memory: { history, known } };
}

function workloadOf(
  replicas: readonly ReplicaMetrics[],
): { readonly input: number; readonly output: number; readonly hits: number } | null {
  const busy = replicas.filter(({ avgInputTokens, avgOutputTokens }) => avgInputTokens > 0 || avgOutputTokens > 0);
  if (busy.length === 0) return null;
  const mean = (of: (replica: ReplicaMetrics) => number) => busy.reduce((sum, replica) => sum + of(replica), 0) / busy.length;
  return {
    input: mean(({ avgInputTokens }) => avgInputTokens),
    output: mean(({ avgOutputTokens }) => avgOutputTokens),
    hits: mean(({ prefixCacheHitRate }) => prefixCacheHitRate),
  };
}

/**
 * One balance per role where prefill and decode are apart, else one of all: required = demand / scaleUpThreshold - supply of
 * ready and pending replicas; spare = supply of ready ones - demand / scaleDownBoundary.
 */
function balancesOf(
  variants: readonly VariantCapacity[],
  queuedOf: (role: VariantRole) => number,
  { scaleUpThreshold, scaleDownBoundary }: Pick<SaturationConfig, "scaleUpThreshold" | "scaleDownBoundary">,
): readonly CapacityBalance[] {
  const roles = [...new Set(variants.map(({ role }) => role))].sort();
  return roles.map((role) => {
    const own = variants.filter((variant) => variant.role === role);
    const sum = (of: (variant: VariantCapacity) => number) => own.reduce((total, variant) => total + of(variant), 0);
    const demand = sum((variant) => variant.demand) + queuedOf(role);
    const supply = sum(({ readyReplicas, perReplicaCapacity }) => readyReplicas * perReplicaCapacity);
    const anticipated = sum(
      ({ readyReplicas, pendingReplicas, perReplicaCapacity }) => (readyReplicas + pendingReplicas) * perReplicaCapacity,
    );
    return {
      role,
      demand,
      supply,
      anticipated,
      required: Math.max(0, demand / scaleUpThreshold - anticipated),
      spare: Math.max(0, supply - demand / scaleDownBoundary),
    };
  });
}
