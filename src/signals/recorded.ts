import type { Ms } from "../model/index.ts";
import { TidegateError } from "../model/index.ts";
import type { RecordedSizes, RecordedStretch } from "../traces/index.ts";
import type { PrometheusClient, PrometheusSeries } from "./prometheus.ts";

/** What to ask for; `{step}` stands for the step as PromQL writes it. */
export interface RecordedQueries {
  /** One value: requests that ended or arrived within a step. */
  readonly requests: string;
  /** Series by `le`: requests by prompt tokens within a step. */
  readonly promptTokens: string;
  readonly outputTokens: string;
}

/** vLLM's own metrics, summed over replicas. Requests are counted when they end, so a trace of them lags by an answer's length. */
export const VLLM_QUERIES: RecordedQueries = {
  requests: "sum(increase(vllm:request_success_total[{step}]))",
  promptTokens: "sum by (le) (increase(vllm:request_prompt_tokens_bucket[{step}]))",
  outputTokens: "sum by (le) (increase(vllm:request_generation_tokens_bucket[{step}]))",
};

/** Prometheus refuses answers of more points than this. */
const mostPoints = 11_000;

/**
 * Recorded traffic of a Prometheus server as `resample` takes it, a stretch for each step; steps without data are stretches without
 * requests. @throws what the client throws; `signal/malformed` when the requests query gives more than one series or none at all
 */
export async function* recordedByPrometheus(
  client: PrometheusClient,
  queries: RecordedQueries,
  range: { readonly startMs: Ms; readonly endMs: Ms; readonly stepMs: Ms },
): AsyncGenerator<RecordedStretch> {
  const { stepMs } = range;
  const step = `${Math.round(stepMs / 1000)}s`;
  const told = (query: string) => query.replaceAll("{step}", step);
  let any = false;
  // A value at t speaks of the step before t.
  for (let fromMs = range.startMs + stepMs; fromMs <= range.endMs; fromMs += mostPoints * stepMs) {
    const window = { startMs: fromMs, endMs: Math.min(range.endMs, fromMs + (mostPoints - 1) * stepMs), stepMs };
    const [requests, prompts, outputs] = await Promise.all(
      [queries.requests, queries.promptTokens, queries.outputTokens].map((query) => client.queryRange(told(query), window)),
    );
    const [series, ...others] = requests?.series ?? [];
    if (others.length > 0)
      throw new TidegateError("signal/malformed", `${told(queries.requests)} gives ${others.length + 1} series; wrap it in sum(…)`);
    const promptsAt = sizesByTime(prompts?.series ?? []);
    const outputsAt = sizesByTime(outputs?.series ?? []);
    for (const { atMs, value } of series?.points ?? []) {
      if (!(value > 0)) continue;
      const promptTokens = promptsAt.get(atMs);
      const outputTokens = outputsAt.get(atMs);
      if (promptTokens === undefined || outputTokens === undefined) continue;
      any = true;
      yield { atMs: atMs - stepMs, durationMs: stepMs, requests: value, promptTokens, outputTokens };
    }
  }
  if (!any) {
    const asked = [queries.requests, queries.promptTokens, queries.outputTokens].map(told).join(", ");
    throw new TidegateError("signal/malformed", `Prometheus has no requests with sizes in that range; asked for ${asked}`);
  }
}

/** Cumulative buckets by `le` → a histogram for each time that has all of them. */
function sizesByTime(series: readonly PrometheusSeries[]): ReadonlyMap<Ms, RecordedSizes> {
  const bounds = series
    .map(({ labels }) => (labels["le"] === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels["le"])))
    .map((bound, at) => ({ bound, at }))
    .filter(({ bound }) => !Number.isNaN(bound))
    .sort((a, b) => a.bound - b.bound);
  const finite = bounds.filter(({ bound }) => Number.isFinite(bound)).map(({ bound }) => bound);
  const byTime = new Map<Ms, number[]>();
  bounds.forEach(({ at }, rank) => {
    for (const { atMs, value } of series[at]?.points ?? []) {
      const cumulative = byTime.get(atMs) ?? [];
      cumulative[rank] = value;
      byTime.set(atMs, cumulative);
    }
  });
  const sizes = new Map<Ms, RecordedSizes>();
  for (const [atMs, cumulative] of byTime) {
    const whole = cumulative.length === bounds.length && Object.keys(cumulative).length === bounds.length;
    const total = cumulative.at(-1) ?? 0;
    if (!whole || !(total > 0)) continue;
    // increase() is extrapolated and may dip by a hair from one bucket to the next.
    const counts = cumulative.map((value, rank) => Math.max(0, value - (rank === 0 ? 0 : (cumulative[rank - 1] as number))));
    sizes.set(atMs, { kind: "histogram", bounds: finite, counts, sum: Number.NaN });
  }
  return sizes;
}
