import type { Endpoint, Ms, Observation, Pool } from "../../../model/index.ts";
import { type CounterMemory, meanLatency, meanOutput, meanPrompt, type ReplicaReading, readReplicas, type Traffic } from "../llm/index.ts";
import type { Workload } from "./queueing.ts";
import { LLMD_DEFAULTS, type LlmdSpec } from "./spec.ts";
import type { ReplicaMetrics, VariantState } from "./words.ts";

/** The collector's metrics are the most of this time. */
const PEAK_WINDOW_MS: Ms = 60_000;

/** KV use and queue of each replica at each look of the last minute. */
type Peaks = { readonly [replica: string]: readonly { readonly atMs: Ms; readonly kv: number; readonly queue: number }[] };
/** Mean request of a replica when it last finished some. */
type Sizes = { readonly [replica: string]: { readonly input: number; readonly output: number; readonly hits: number } };

export type Collected = { readonly counters: CounterMemory; readonly peaks: Peaks; readonly sizes: Sizes };
export const nothingCollected: Collected = { counters: {}, peaks: {}, sizes: {} };

/** What one ready replica of a variant says; `metrics` is null where KV use or queue is absent or stale. */
export interface Pod {
  readonly reading: ReplicaReading;
  readonly metrics: ReplicaMetrics | null;
  readonly workload: Workload;
}

/** The variant that a pool is: the resource of its name, or that scales it, or the only one there is for the only pool. */
function variantOf(endpoint: Endpoint, spec: LlmdSpec, pool: Pool) {
  const own = spec.variants.find(({ name, scaleTargetRef }) => name === pool.name || scaleTargetRef.name === pool.name);
  return own ?? (endpoint.pools.length === 1 && spec.variants.length === 1 ? spec.variants[0] : undefined);
}

export function stateOf(endpoint: Endpoint, spec: LlmdSpec, pool: Pool, now: Observation): VariantState | null {
  const status = now.pools[pool.name];
  if (status === undefined) return null;
  const variant = variantOf(endpoint, spec, pool);
  const ready = now.replicas.filter((replica) => replica.pool === pool.name && replica.state === "ready").length;
  const price = pool.pricePerReplicaHour > 0 ? pool.pricePerReplicaHour : Number(LLMD_DEFAULTS.variantCost);
  const maxReplicas = Math.min(pool.max, variant?.maxReplicas ?? spec.maxReplicas ?? pool.max);
  return {
    variantName: pool.name,
    role: pool.role === "serve" ? "both" : pool.role,
    acceleratorName: pool.gpu,
    gpusPerReplica: pool.gpusPerReplica,
    cost: variant === undefined ? price : Number(variant.variantCost),
    currentReplicas: status.reported,
    pendingReplicas: Math.max(0, status.reported - ready),
    desiredReplicas: status.wanted,
    minReplicas: Math.min(maxReplicas, Math.max(pool.min, variant?.minReplicas ?? spec.minReplicas ?? 0)),
    maxReplicas,
  };
}

/** Reads the ready replicas of a pool. Arrivals are `totalRate` shared out by what each finished, else what each finished. */
export function collect(
  before: Collected,
  endpoint: Endpoint,
  pools: readonly Pool[],
  now: Observation,
  traffic: Traffic,
): { readonly collected: Collected; readonly pods: ReadonlyMap<string, readonly Pod[]> } {
  const live = now.replicas.filter(({ state }) => state === "ready");
  const { memory, readings } = readReplicas(before.counters, now, endpoint.staleAfterMs, live);
  const poolOf = new Map(live.map(({ id, pool }) => [id, pool]));
  const peaks: Record<string, Peaks[string]> = {};
  const sizes: Record<string, Sizes[string]> = {};
  const overall = { input: meanPrompt(traffic), output: meanOutput(traffic) };
  const arrived = traffic.toMs > traffic.fromMs && !traffic.partial ? (1000 * traffic.requests) / (traffic.toMs - traffic.fromMs) : null;

  const pods = readings.map((reading): Pod & { readonly pool: string } => {
    const { id, grown, waitingPeak, kvUsedPeak, kvUsed } = reading;
    const known = before.sizes[id];
    const finished = grown?.finished ?? null;
    const size =
      grown !== null && finished !== null && finished > 0
        ? {
            input: grown.promptTokens / finished,
            output: grown.outputTokens / finished,
            hits: grown.promptTokens > 0 ? Math.min(1, grown.hitTokens / grown.promptTokens) : 0,
          }
        : (known ?? (overall.input !== null && overall.output !== null ? { input: overall.input, output: overall.output, hits: 0 } : null));
    if (size !== null) sizes[id] = size;
    let metrics: ReplicaMetrics | null = null;
    if (waitingPeak !== null && kvUsedPeak !== null && kvUsed !== null) {
      const seen = { atMs: now.nowMs, kv: kvUsedPeak, queue: waitingPeak };
      const recent = [...(before.peaks[id] ?? []).filter(({ atMs }) => atMs > now.nowMs - PEAK_WINDOW_MS), seen];
      peaks[id] = recent;
      const kv = Math.max(...recent.map((peak) => peak.kv));
      metrics = {
        podName: id,
        variantName: poolOf.get(id) as string,
        kvCacheUsage: kv,
        queueLength: Math.max(...recent.map(({ queue }) => queue)),
        totalKvCapacityTokens: reading.kvCapacityTokens,
        tokensInUse: reading.kvCapacityTokens === null ? 0 : Math.trunc(kv * reading.kvCapacityTokens),
        avgInputTokens: size?.input ?? 0,
        avgOutputTokens: size?.output ?? 0,
        prefixCacheHitRate: size?.hits ?? 0,
      };
    }
    const [ttft, itl] = [meanLatency([reading.ttft]), meanLatency([reading.itl])];
    const workload: Workload = {
      arrivalRate: finished !== null && grown !== null && grown.seconds > 0 ? finished / grown.seconds : 0,
      inputTokens: size?.input ?? 0,
      outputTokens: size?.output ?? 0,
      ttftMs: (ttft ?? 0) * 1000,
      itlMs: (itl ?? 0) * 1000,
    };
    return { reading, metrics, workload, pool: poolOf.get(id) as string };
  });

  const byPool = new Map<string, readonly Pod[]>();
  for (const { name, role } of pools) {
    const own = pods.filter(({ pool }) => pool === name);
    // Each request passes one replica of every role; those of one role share the arrivals.
    const peers = pods.filter(({ pool }) => pools.find((one) => one.name === pool)?.role === role);
    const share = shareOf(peers);
    byPool.set(
      name,
      arrived === null ? own : own.map((pod) => ({ ...pod, workload: { ...pod.workload, arrivalRate: arrived * share(pod) } })),
    );
  }
  return { collected: { counters: memory, peaks, sizes }, pods: byPool };
}

/** By requests finished, else by tokens generated, else all alike. */
function shareOf(peers: readonly Pod[]): (pod: Pod) => number {
  for (const amount of [({ reading }: Pod) => reading.grown?.finished ?? 0, ({ reading }: Pod) => reading.grown?.outputTokens ?? 0]) {
    const total = peers.reduce((sum, pod) => sum + amount(pod), 0);
    if (total > 0) return (pod) => amount(pod) / total;
  }
  return () => 1 / Math.max(1, peers.length);
}
