import { decodeRate, type EngineRate, type EngineShape, type IterationTime, mixedRate, prefillRate } from "../llm/index.ts";

/** What is expected of the next interval. */
export interface Forecast {
  readonly requestsPerSecond: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Share of prompt tokens found in a prefix cache. */
  readonly hitShare: number;
}
export interface Targets {
  readonly ttftMs: number;
  readonly itlMs: number;
}

/** Whole replicas, a rounding error aside. */
const wholeUp = (value: number) => Math.max(0, Math.ceil(value - 1e-9));

/** What one component needs: `rate` is null where its engines cannot be sized yet. */
export interface Sized {
  readonly replicas: number | null;
  readonly rate: EngineRate | null;
}
const sizedBy = (rate: EngineRate | null, requestsPerSecond: number): Sized => ({
  rate,
  replicas: rate === null || !(rate.perSecond > 0) ? null : wholeUp(requestsPerSecond / rate.perSecond),
});

/** Prefill engines for the demand; prefix hits shorten the prompt. */
export const sizePrefill = (time: IterationTime, shape: EngineShape, forecast: Forecast, targets: Targets): Sized =>
  sizedBy(prefillRate(time, shape, forecast.promptTokens * (1 - forecast.hitShare), targets.ttftMs), forecast.requestsPerSecond);

/** Decode engines for the demand, at a mean context of the prompt and half the answer. */
export const sizeDecode = (
  time: IterationTime,
  shape: EngineShape,
  { promptTokens, outputTokens, requestsPerSecond }: Forecast,
  targets: Targets,
): Sized => sizedBy(decodeRate(time, shape, promptTokens + outputTokens / 2, outputTokens, targets.itlMs), requestsPerSecond);

/** Engines that do both, inside both targets. */
export const sizeAggregated = (time: IterationTime, shape: EngineShape, forecast: Forecast, targets: Targets): Sized =>
  sizedBy(mixedRate(time, shape, forecast, targets), forecast.requestsPerSecond);

/** No further than `limit` from where it is. Source: Dynamo planner, max_throughput_scaling_replicas. */
export const capChange = (desired: number, current: number, limit: number): number =>
  Math.min(current + limit, Math.max(desired, Math.max(0, current - limit)));

/** Factors by which the planner of 2025 bent its profile: observed over expected latency. */
export interface Corrections {
  readonly prefill: number;
  readonly decode: number;
}
export const NO_CORRECTION: Corrections = { prefill: 1, decode: 1 };

export interface Observed {
  readonly ttftMs: number;
  readonly itlMs: number;
  readonly requestsPerSecond: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly decodeReplicas: number;
}

/**
 * - prefill: TTFT observed over that of a prompt alone
 * - decode: ITL observed over that of a batch as large as Little's law has it (a request's duration being TTFT + output × ITL)
 * Source: Dynamo planner of 2025, planner_core.py (from memory: its decode part was not read again).
 */
export function corrections(prefillTime: IterationTime, decodeTime: IterationTime, shape: EngineShape, seen: Observed): Corrections | null {
  const alone = prefillRate(prefillTime, shape, seen.promptTokens, Number.POSITIVE_INFINITY);
  if (alone === null || !(seen.decodeReplicas > 0)) return null;
  const durationSeconds = (seen.ttftMs + seen.outputTokens * seen.itlMs) / 1000;
  const batch = (seen.requestsPerSecond * durationSeconds) / seen.decodeReplicas;
  const expected = decodeTime({ prefillTokens: 0, requests: batch, kvTokens: batch * (seen.promptTokens + seen.outputTokens / 2) });
  const prefill = seen.ttftMs / (alone.ttftMs as number);
  const decode = seen.itlMs / expected;
  return Number.isFinite(prefill) && Number.isFinite(decode) ? { prefill, decode } : null;
}

/**
 * The planner of 2025: prefill for the prompt tokens per second × min(1, correction), decode for the output tokens per second at the
 * ITL target divided by its correction.
 */
export function sizeCorrected(
  prefillTime: IterationTime,
  decodeTime: IterationTime,
  shapes: { readonly prefill: EngineShape; readonly decode: EngineShape },
  forecast: Forecast,
  targets: Targets,
  factors: Corrections,
): { readonly prefill: Sized; readonly decode: Sized } {
  const one = prefillRate(prefillTime, shapes.prefill, forecast.promptTokens, targets.ttftMs);
  const itlMs = factors.decode > 0 ? targets.itlMs / factors.decode : targets.itlMs;
  return {
    prefill: sizedBy(one, forecast.requestsPerSecond * Math.min(1, factors.prefill)),
    decode: sizeDecode(decodeTime, shapes.decode, forecast, { ...targets, itlMs }),
  };
}
