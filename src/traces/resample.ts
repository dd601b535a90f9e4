import type { Histogram, Ms } from "../model/index.ts";
import { randomStreams, type Uniform } from "./random.ts";
import type { TraceRequest } from "./trace.ts";

/** How many tokens requests had: their mean, or a histogram of them (upper bounds in tokens). */
export type RecordedSizes =
  /** `spread`: of the tokens about their mean, where something is known or assumed of it. */
  | { readonly kind: "mean"; readonly tokens: number; readonly spread?: "none" | "exponential" }
  | ({ readonly kind: "histogram" } & Histogram);

/** A stretch of recorded traffic of which only sums are known. */
export interface RecordedStretch {
  readonly atMs: Ms;
  readonly durationMs: Ms;
  /** Arrivals in it; a fraction is a rate that was measured, not counted. */
  readonly requests: number;
  readonly promptTokens: RecordedSizes;
  readonly outputTokens: RecordedSizes;
  readonly class?: string;
  /** Of each prompt, what the prefix cache held. */
  readonly prefixHitShare?: number;
}

/**
 * Requests that add up to the recorded stretches: as many arrivals, at uniform times within each, with sizes drawn from what was
 * recorded of them. A whole count is kept exactly; a fraction is rounded up or down at random. Of sizes known by their mean only,
 * prompts are the mean itself and answers exponential about it, which is nearer to real answers than all alike. What is smaller than
 * a stretch (the order within it, bursts shorter than it) is not in the record and is lost.
 * @param stretches by start, several may share one; the trace begins at the first one's start. Lazy: holds one start's requests.
 */
export function* resample(stretches: Iterable<RecordedStretch>, seed: number): Generator<TraceRequest> {
  const [counts, times, sizes] = randomStreams(seed, 3) as [Uniform, Uniform, Uniform];
  let startMs: Ms | null = null;
  let atMs: Ms = 0;
  let open: TraceRequest[] = [];
  for (const stretch of stretches) {
    startMs ??= stretch.atMs;
    if (stretch.atMs !== atMs) {
      yield* sorted(open);
      open = [];
      atMs = stretch.atMs;
    }
    const count = Math.floor(stretch.requests) + (counts() < stretch.requests % 1 ? 1 : 0);
    for (let at = 0; at < count; at++) {
      const arrivalMs = Math.round((stretch.atMs - startMs + times() * stretch.durationMs) * 1000) / 1000;
      const promptTokens = draw(stretch.promptTokens, sizes, "none");
      const prefixHitTokens = Math.floor(promptTokens * (stretch.prefixHitShare ?? 0));
      open.push({
        arrivalMs,
        promptTokens,
        outputTokens: draw(stretch.outputTokens, sizes, "exponential"),
        ...(stretch.class === undefined || stretch.class === "" ? {} : { class: stretch.class }),
        ...(prefixHitTokens > 0 ? { prefixHitTokens } : {}),
      });
    }
  }
  yield* sorted(open);
}

const sorted = (requests: readonly TraceRequest[]): readonly TraceRequest[] => requests.toSorted((a, b) => a.arrivalMs - b.arrivalMs);

/** @param unlessTold the spread of a mean that states none */
function draw(sizes: RecordedSizes, uniform: Uniform, unlessTold: "none" | "exponential"): number {
  if (sizes.kind === "mean") {
    const isExact = (sizes.spread ?? unlessTold) === "none";
    return Math.max(1, Math.round(isExact ? sizes.tokens : -Math.log1p(-uniform()) * sizes.tokens));
  }
  const total = sizes.counts.reduce((sum, count) => sum + count, 0);
  let left = uniform() * total;
  const bucket = sizes.counts.findIndex((count) => {
    left -= count;
    return left < 0;
  });
  const at = bucket < 0 ? sizes.counts.length - 1 : bucket;
  const low = at === 0 ? 0 : (sizes.bounds[at - 1] as number);
  // Above the last bound nothing is known but that it is more: twice as much at most.
  const high = sizes.bounds[at] ?? 2 * low;
  return Math.max(1, Math.round(low + uniform() * (high - low)));
}
