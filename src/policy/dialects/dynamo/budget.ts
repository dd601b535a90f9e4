/** GPUs that all components may take together; a negative bound is none. */
export interface GpuBudget {
  readonly minGpus: number;
  readonly maxGpus: number;
}
/** One component's part in it. */
export interface Share {
  readonly replicas: number;
  readonly gpus: number;
  readonly minEndpoint: number;
}

/**
 * Whether so many GPUs are inside. With both bounds set the lower one is relaxed by `slack` (whole replicas cannot always meet it);
 * the upper one never is.
 */
const isInside = (total: number, { minGpus, maxGpus }: GpuBudget, slack: number): boolean =>
  (maxGpus < 0 || total <= maxGpus) && (minGpus < 0 || total >= minGpus - (maxGpus < 0 ? 0 : slack));

/**
 * Brings prefill and decode into the budget in proportion. Over the maximum: prefill gets its share rounded down, as far as decode's
 * minimum leaves room, decode the rest; both 0 where even the minima do not fit. Under the minimum: both grow in proportion
 * (from nothing in halves), unless that would break the maximum.
 * Source: Dynamo planner, core/budget.py, proportional_clamp_pair.
 */
export function clampPair(prefill: Share, decode: Share, budget: GpuBudget): readonly [number, number] {
  const { minGpus, maxGpus } = budget;
  const asked = [prefill.replicas, decode.replicas] as const;
  if ((minGpus < 0 && maxGpus < 0) || prefill.gpus <= 0 || decode.gpus <= 0) return asked;
  const total = prefill.replicas * prefill.gpus + decode.replicas * decode.gpus;
  if (isInside(total, budget, Math.max(prefill.gpus, decode.gpus))) return asked;
  if (maxGpus >= 0 && total > maxGpus) {
    if (maxGpus < prefill.minEndpoint * prefill.gpus + decode.minEndpoint * decode.gpus) return [0, 0];
    const most = Math.floor((maxGpus - decode.minEndpoint * decode.gpus) / prefill.gpus);
    const first = Math.max(prefill.minEndpoint, Math.min(most, Math.floor((prefill.replicas * maxGpus) / total)));
    return [first, Math.max(decode.minEndpoint, Math.floor((maxGpus - first * prefill.gpus) / decode.gpus))];
  }
  const part = total > 0 ? (prefill.replicas * minGpus) / total : minGpus / 2 / prefill.gpus;
  const first = Math.max(prefill.minEndpoint, Math.ceil(part));
  const second = Math.max(decode.minEndpoint, Math.ceil(Math.max(0, minGpus - first * prefill.gpus) / decode.gpus));
  return maxGpus >= 0 && first * prefill.gpus + second * decode.gpus > maxGpus ? asked : [first, second];
}

/** The same for one component alone. Source: as above, proportional_clamp_single. */
export function clampSingle({ replicas, gpus, minEndpoint }: Share, budget: GpuBudget): number {
  const { minGpus, maxGpus } = budget;
  if ((minGpus < 0 && maxGpus < 0) || gpus <= 0) return replicas;
  const total = replicas * gpus;
  if (isInside(total, budget, gpus)) return replicas;
  const most = maxGpus < minEndpoint * gpus ? 0 : Math.max(minEndpoint, Math.floor(maxGpus / gpus));
  if (maxGpus >= 0 && total > maxGpus) return most;
  const raised = Math.max(minEndpoint, Math.ceil(minGpus / gpus));
  return maxGpus >= 0 && raised * gpus > maxGpus ? most : raised;
}
