import { type EngineProfile, GPUS, PROFILES } from "../../../engine/index.ts";
import type { Endpoint, Pool } from "../../../model/index.ts";

/**
 * The profile of the endpoint's model on a pool's GPU: the one of as many GPUs as a replica has, else of the fewest. A model is
 * known by its family and size, whatever its publisher and tuning ("meta-llama/Llama-3.1-8B-Instruct" is Llama-3.1-8B).
 * @returns null where there is none
 */
export function profileOf(endpoint: Endpoint, pool: Pool): EngineProfile | null {
  const model = endpoint.model.toLowerCase();
  const gpu = pool.gpu.toLowerCase();
  const known = PROFILES.filter((profile) => profile.gpu === gpu && model.includes(profile.model.toLowerCase()));
  return known.find(({ tp }) => tp === pool.gpusPerReplica) ?? known.toSorted((a, b) => a.tp - b.tp)[0] ?? null;
}

/** How an engine was started, as far as its batching depends on it. */
export interface EngineLimits {
  /** Token budget of one iteration. */
  readonly maxNumBatchedTokens: number;
  /** Most sequences that run at once. */
  readonly maxNumSeqs: number;
  /** Longest context in tokens; null: not stated. */
  readonly maxModelLen: number | null;
}

/**
 * Limits of the replicas' command line (`--max-num-seqs 64` or `--max-num-seqs=64`), else vLLM's defaults: 8192 tokens and 1024
 * sequences on GPUs of at least 70 GiB other than A100, 2048 and 256 on the rest. Source: vLLM's engine arguments.
 */
export function engineLimits(endpoint: Endpoint, pool: Pool): EngineLimits {
  const command = endpoint.platform.kind === "process" ? endpoint.platform.command.flatMap((part) => part.split("=")) : [];
  const stated = (flag: string) => {
    const value = Number(command[command.indexOf(flag) + 1]);
    return command.includes(flag) && Number.isFinite(value) && value > 0 ? value : null;
  };
  const gpu = pool.gpu.toLowerCase();
  const large = (GPUS[gpu]?.memoryMiB ?? 0) >= 70 * 1024 && !gpu.startsWith("a100");
  return {
    maxNumBatchedTokens: stated("--max-num-batched-tokens") ?? (large ? 8192 : 2048),
    maxNumSeqs: stated("--max-num-seqs") ?? (large ? 1024 : 256),
    maxModelLen: stated("--max-model-len"),
  };
}
