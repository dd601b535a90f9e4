/** Time of one iteration: alpha (ms) + beta (ms a token computed) + gamma (ms a token of KV cache read). */
export interface ServiceParams {
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
}
export interface RequestSize {
  readonly inputTokens: number;
  readonly outputTokens: number;
}
export interface QueueShape {
  readonly maxBatchSize: number;
  readonly maxQueueSize: number;
}
export interface LatencyTarget {
  readonly ttftMs: number;
  readonly itlMs: number;
  /** Tokens per second; not a target where absent or 0. */
  readonly tps?: number;
}

interface QueueMetrics {
  /** Requests per second that are served. */
  readonly throughput: number;
  readonly waitMs: number;
  /** Mean requests in service. */
  readonly inService: number;
  readonly ttftMs: number;
  readonly itlMs: number;
  /** inService / maxBatchSize. */
  readonly utilization: number;
}

/** Distance of the rates looked at from 0 and from the saturated service rate, relative. */
const EPSILON = 0.001;
/** A target of throughput is met with this share of the most that can be served. */
const STABLE_SHARE = 0.9;

/** T(n) = alpha + n·(beta·(I + O)/(O + 1) + gamma·(I + O/2)). */
function iterationMs({ alpha, beta, gamma }: ServiceParams, { inputTokens: i, outputTokens: o }: RequestSize, batch: number): number {
  return alpha + batch * (beta * ((i + o) / (o + 1)) + gamma * (i + o / 2));
}
/** T(n) + (beta + gamma)·I; 0 without a prompt. */
function prefillMs(params: ServiceParams, size: RequestSize, batch: number): number {
  return size.inputTokens === 0 ? 0 : iterationMs(params, size, batch) + (params.beta + params.gamma) * size.inputTokens;
}
/** T(n) + beta + gamma·(I + O/2). */
function decodeMs(params: ServiceParams, size: RequestSize, batch: number): number {
  return iterationMs(params, size, batch) + params.beta + params.gamma * (size.inputTokens + size.outputTokens / 2);
}

/**
 * One replica as a queue with state-dependent service: with n requests inside it serves µ(n) = n / (prefill(n) + O·decode(n)), and
 * no faster than µ(maxBatchSize) beyond; arrivals are lost once maxBatchSize + maxQueueSize are inside. Rates per second.
 * Source: llm-d workload variant autoscaler, pkg/analyzer ("inferno").
 */
export interface QueueModel {
  /** Rates that can be analyzed: just above 0 up to just under the saturated service rate. */
  readonly minRate: number;
  readonly maxRate: number;
  /** @returns null for a rate outside (0, maxRate] */
  analyze(rate: number): QueueMetrics | null;
  /** The largest rate at which the targets hold; null where not even the least rate meets them. */
  size(target: LatencyTarget): { readonly rate: number; readonly metrics: QueueMetrics } | null;
}

export function createQueueModel(params: ServiceParams, size: RequestSize, shape: QueueShape): QueueModel {
  const { maxBatchSize, maxQueueSize } = shape;
  /** Requests per ms with n inside, n from 1. */
  const service = Float64Array.from({ length: maxBatchSize }, (_, at) => {
    const batch = at + 1;
    return batch / (prefillMs(params, size, batch) + size.outputTokens * decodeMs(params, size, batch));
  });
  const saturated = service[maxBatchSize - 1] as number;
  const minRate = (service[0] as number) * EPSILON * 1000;
  const maxRate = saturated * (1 - EPSILON) * 1000;

  /** The stationary distribution by p(n + 1) = p(n)·λ/µ(n + 1), kept from overflowing by scaling what was summed so far. */
  function analyze(rate: number): QueueMetrics | null {
    if (!(rate > 0) || !(rate <= maxRate)) return null;
    const lambda = rate / 1000;
    const capacity = maxBatchSize + maxQueueSize;
    let [p, total, inside, inService] = [1, 1, 0, 0];
    for (let n = 1; n <= capacity; n++) {
      p *= lambda / (n <= maxBatchSize ? (service[n - 1] as number) : saturated);
      total += p;
      inside += n * p;
      inService += Math.min(n, maxBatchSize) * p;
      if (total > 1e200) [p, total, inside, inService] = [p / 1e200, total / 1e200, inside / 1e200, inService / 1e200];
    }
    [inside, inService] = [inside / total, inService / total];
    const throughput = lambda * (1 - p / total);
    const serviceMs = inService / throughput;
    const waitMs = Math.max(0, inside / throughput - serviceMs);
    const prefill = prefillMs(params, size, inService);
    const itlMs = (serviceMs - prefill) / size.outputTokens;
    return {
      throughput: throughput * 1000,
      waitMs,
      inService,
      ttftMs: waitMs + prefill + itlMs,
      itlMs,
      utilization: Math.min(1, inService / maxBatchSize),
    };
  }

  /** Latencies grow with the rate, so that the last one inside the target is found by bisection. */
  function largestRate(limit: number, of: (metrics: QueueMetrics) => number): number | null {
    if (!(limit > 0)) return maxRate;
    const at = (rate: number) => of(analyze(rate) as QueueMetrics);
    if (at(minRate) > limit) return null;
    if (at(maxRate) <= limit) return maxRate;
    let [low, high] = [minRate, maxRate];
    for (let step = 0; step < 60 && high - low > 1e-6 * high; step++) {
      const middle = (low + high) / 2;
      if (at(middle) <= limit) low = middle;
      else high = middle;
    }
    return low;
  }

  return {
    minRate,
    maxRate,
    analyze,
    size({ ttftMs, itlMs, tps = 0 }) {
      const rates = [
        largestRate(ttftMs, (metrics) => metrics.ttftMs),
        largestRate(itlMs, (metrics) => metrics.itlMs),
        tps > 0 ? maxRate * STABLE_SHARE : maxRate,
      ];
      if (rates.some((rate) => rate === null)) return null;
      const rate = Math.min(...(rates as number[]));
      return { rate, metrics: analyze(rate) as QueueMetrics };
    },
  };
}
