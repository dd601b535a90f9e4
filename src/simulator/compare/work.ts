import type { EngineProfile } from "../../engine/index.ts";
import type { Ms } from "../../model/index.ts";
import type { TokenSizes, TraceRequest } from "../../traces/index.ts";

/** Sequences that share a step of a replica that is well used; at twice as many a token costs a fifth less. */
const BATCH = 64;

/** Time that a request takes of one replica that is kept busy: its prompt's share of mixed steps, its answer's of full ones. */
export function busyMs(profile: EngineProfile, { promptTokens, outputTokens }: TokenSizes): Ms {
  const contextTokens = promptTokens + outputTokens / 2;
  const perToken = profile.decAMs / BATCH + profile.decCUsPerSeq / 1e3 + (profile.decDUsPer1kCtx / 1e6) * contextTokens;
  return (promptTokens * profile.mixBUsPerPrefillToken) / 1e3 + outputTokens * perToken;
}

/** Mean replicas kept busy by what arrives in the first `forMs`. */
export function busyReplicas(profile: EngineProfile, rows: Iterable<TraceRequest>, forMs: Ms): number {
  let sumMs = 0;
  for (const row of rows) {
    if (row.arrivalMs >= forMs) break;
    sumMs += busyMs(profile, row);
  }
  return sumMs / forMs;
}
