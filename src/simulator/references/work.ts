import type { EngineConfig } from "../../engine/index.ts";
import type { Ms } from "../../model/index.ts";
import type { TraceRequest } from "../../traces/index.ts";
import { busyMs } from "../compare/work.ts";
import { cursorOf, type Rows } from "../rows.ts";

/** Work arriving per bin of time, in replicas that it would keep busy through the bin. */
export interface WorkCurve {
  readonly binMs: Ms;
  readonly replicas: Float64Array;
}

/** Of all rows before `untilMs`, or of all there are. */
export function workCurve({ profile }: EngineConfig, rows: Rows, untilMs: Ms | null, binMs: Ms): WorkCurve {
  const bins: number[] = [];
  const cursor = cursorOf(rows);
  while (cursor.next() && (untilMs === null || cursor.arrivalMs < untilMs)) {
    const at = Math.floor(cursor.arrivalMs / binMs);
    while (bins.length <= at) bins.push(0);
    bins[at] = (bins[at] as number) + busyMs(profile, cursor) / binMs;
  }
  if (untilMs !== null) while (bins.length < Math.ceil(untilMs / binMs)) bins.push(0);
  return { binMs, replicas: Float64Array.from(bins) };
}

/**
 * Least time of one replica that a request can take, whatever shares its steps. A step costs a base, and more for each prompt token and
 * each sequence: every prompt token costs its own, every further token its sequence and its context, and of the base the smallest share
 * that the engine's limits allow: one in `maxNumSeqs`, or what its context is of the KV cache.
 */
export function leastWorkMs(
  { profile, maxNumSeqs, kvCapacityTokens, overheadMs }: EngineConfig,
  { promptTokens, outputTokens, prefixHitTokens = 0 }: Pick<TraceRequest, "promptTokens" | "outputTokens" | "prefixHitTokens">,
): { readonly own: Ms; readonly bySequences: Ms; readonly byMemory: Ms } {
  const steps = outputTokens - 1;
  // The context of every step after the first token, summed.
  const contexts = steps * promptTokens + (steps * outputTokens) / 2;
  const base = Math.min(profile.decAMs, profile.mixAMs) + overheadMs;
  const perSequence = Math.min(profile.decCUsPerSeq, profile.mixCUsPerSeq) / 1e3;
  const perContext = Math.min(profile.decDUsPer1kCtx, profile.mixDUsPer1kCtx) / 1e6;
  return {
    own:
      ((promptTokens - Math.min(prefixHitTokens, promptTokens - 1)) * profile.mixBUsPerPrefillToken) / 1e3 +
      steps * perSequence +
      contexts * perContext,
    bySequences: (steps * base) / maxNumSeqs,
    byMemory: (contexts * base) / kvCapacityTokens,
  };
}
