import type { Stretch } from "../engine/index.ts";
import { type Ms, TidegateError } from "../model/index.ts";
import type { PrometheusClient } from "../signals/index.ts";

export interface RecordedStretches {
  readonly stretches: readonly Stretch[];
  readonly kvTokens: number | null;
  readonly replicas: number;
  readonly passedOver: number;
}

/** With fewer sequences than this on average an engine stands still for part of the time, and its counters tell no iteration's length. */
const fewestRunning = 1;

/**
 * A stretch for each replica and step, of vLLM's own counters: in an iteration every running sequence gets one token, so that the tokens of a
 * step divided by the sequences running are its iterations. Context comes from the KV cache's use. Prefix hits were not computed, so they
 * are not counted as prefill.
 * @param kvTokens of each replica's KV cache; null: as `vllm:cache_config_info` says
 * @throws TidegateError `signal/…` of the server, `engine/profile` where it has nothing of the kind
 */
export async function recordedStretches(
  client: Pick<PrometheusClient, "query" | "queryRange">,
  selector: string,
  { startMs, endMs, stepMs }: { readonly startMs: Ms; readonly endMs: Ms; readonly stepMs: Ms },
  kvTokens: number | null,
): Promise<RecordedStretches> {
  const step = `${Math.round(stepMs)}ms`;
  const by = (inner: string) => `sum by (instance, pod, model_name) (${inner})`;
  const metric = (name: string) => `${name}{${selector}}`;
  const increase = (name: string) => by(`increase(${metric(name)}[${step}])`);
  const range = { startMs: startMs + stepMs, endMs, stepMs };
  const read = async (query: string) => byReplica(await client.queryRange(query, range));
  const [running, output, prompt, hits, used] = await Promise.all([
    read(by(`avg_over_time(${metric("vllm:num_requests_running")}[${step}])`)),
    read(increase("vllm:generation_tokens_total")),
    read(increase("vllm:prompt_tokens_total")),
    read(increase("vllm:prefix_cache_hits_total")),
    read(by(`avg_over_time(${metric("vllm:kv_cache_usage_perc")}[${step}])`)),
  ]);
  const capacity = kvTokens ?? (await capacityOf(client, metric("vllm:cache_config_info"), endMs));
  const stretches: Stretch[] = [];
  let passedOver = 0;
  for (const [replica, points] of running) {
    for (const [atMs, sequences] of points) {
      const tokens = output.get(replica)?.get(atMs);
      const prompts = prompt.get(replica)?.get(atMs);
      const share = used.get(replica)?.get(atMs);
      // What the server has no value of is not known to be 0.
      if (tokens === undefined || prompts === undefined || !(tokens > 0)) continue;
      if (!(sequences >= fewestRunning)) {
        passedOver++;
        continue;
      }
      const iterations = tokens / sequences;
      stretches.push({
        durationMs: stepMs,
        iterations,
        prefillTokens: Math.max(0, prompts - (hits.get(replica)?.get(atMs) ?? 0)),
        seqs: tokens,
        ctx: share === undefined || capacity === null ? 0 : iterations * share * capacity,
        attentionPairs: 0,
        from: `${replica} at ${new Date(atMs).toISOString()}`,
      });
    }
  }
  if (stretches.length === 0)
    throw new TidegateError(
      "engine/profile",
      `Prometheus has no minute of vLLM replicas${selector === "" ? "" : ` with {${selector}}`} at work in that time; check --selector, --last and that vllm:num_requests_running and vllm:generation_tokens_total are scraped`,
    );
  return { stretches, kvTokens: capacity, replicas: running.size, passedOver };
}

type Points = ReadonlyMap<string, ReadonlyMap<Ms, number>>;

function byReplica({ series }: Awaited<ReturnType<PrometheusClient["queryRange"]>>): Points {
  return new Map(
    series.map(({ labels, points }) => [
      labels["pod"] ?? labels["instance"] ?? "replica",
      new Map(points.filter(({ value }) => Number.isFinite(value)).map(({ atMs, value }) => [atMs, value])),
    ]),
  );
}

/** Blocks × their size, the smallest of all replicas. */
async function capacityOf(client: Pick<PrometheusClient, "query">, query: string, atMs: Ms): Promise<number | null> {
  const { series } = await client.query(query, { atMs });
  const sizes = series
    .map(({ labels }) => Number(labels["num_gpu_blocks"]) * Number(labels["block_size"]))
    .filter((size) => Number.isFinite(size) && size > 0);
  return sizes.length === 0 ? null : Math.min(...sizes);
}
