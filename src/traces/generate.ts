import type { Ms } from "../model/index.ts";
import { TidegateError } from "../model/index.ts";
import { randomStreams, type Uniform, unitGamma } from "./random.ts";
import type { TokenSizes, TraceRequest } from "./trace.ts";

/** How the rate of arrivals (requests per second) moves over time. Times without a default are from the start of the trace. */
export type Shape =
  | { readonly kind: "steady"; readonly rps: number; readonly durationMs: Ms }
  /** `from` for `leadMs`, a straight line to `to` in `overMs`, and `to` for `holdMs`. */
  | { readonly kind: "ramp"; readonly from: number; readonly to: number; readonly overMs: Ms; readonly leadMs: Ms; readonly holdMs: Ms }
  /** `from` for `leadMs`, at once `to` for `holdMs`, then `from` for `tailMs`. */
  | { readonly kind: "step"; readonly from: number; readonly to: number; readonly leadMs: Ms; readonly holdMs: Ms; readonly tailMs: Ms }
  /** `base`, within `riseMs` up to `peak` for `holdMs`, then back to `base` with the time constant `decayMs`, seen out for `tailMs`. */
  | {
      readonly kind: "flash";
      readonly base: number;
      readonly peak: number;
      readonly leadMs: Ms;
      readonly riseMs: Ms;
      readonly holdMs: Ms;
      readonly decayMs: Ms;
      readonly tailMs: Ms;
    }
  /** `burst` for `forMs` once in each `everyMs`, begun half a period in, moved by up to `jitterMs` either way; `base` between. */
  | {
      readonly kind: "on-off";
      readonly base: number;
      readonly burst: number;
      readonly everyMs: Ms;
      readonly forMs: Ms;
      readonly jitterMs: Ms;
      readonly durationMs: Ms;
    }
  /**
   * A sine a day, lowest at 04:00 and highest at 16:00; the trace begins at 00:00 on a Monday. Week-end days are multiplied by
   * `weekends`. `burstsPerDay` bursts (in the mean, at random times) of 5 to 15 minutes raise the rate by half.
   */
  | {
      readonly kind: "diurnal";
      readonly low: number;
      readonly high: number;
      readonly durationMs: Ms;
      readonly weekends: number;
      readonly burstsPerDay: number;
    };

/** Gaps between arrivals: exponential, or gamma with a coefficient of variation (1 is Poisson, above it bursty, below it even). */
export type GapSpec = { readonly kind: "poisson" } | { readonly kind: "gamma"; readonly cv: number };

export interface GenerateOptions {
  readonly seed: number;
  readonly gaps?: GapSpec;
  /** Drawn from with equal chances, prompt and output together. */
  readonly sizes: readonly TokenSizes[];
  /** Prompts are `times` as long for arrivals in [fromMs, toMs). */
  readonly longPrompts?: { readonly times: number; readonly fromMs: Ms; readonly toMs: Ms };
}

/** A stretch in which the rate is a straight line, from `fromMs` to the next stretch's. */
interface Stretch {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly fromRps: number;
  readonly toRps: number;
}
const dayMs: Ms = 86_400_000;

/**
 * A trace in the given shape. Gaps are drawn in operational time (mean 1) and mapped through the inverse of the summed rate, so a
 * Poisson process stays exactly Poisson under any shape and gamma gaps keep their variation at each rate. Lazy; same seed, same
 * rows. Throws `usage` on rates, durations or sizes that cannot be.
 */
export function* generate(shape: Shape, options: GenerateOptions): Generator<TraceRequest> {
  check(shape, options);
  const [gapRandom, sizeRandom, shapeRandom] = randomStreams(options.seed, 3) as [Uniform, Uniform, Uniform];
  const gaps = options.gaps ?? { kind: "poisson" };
  const gammaShape = gaps.kind === "poisson" ? 1 : 1 / gaps.cv ** 2;
  const { sizes, longPrompts } = options;
  let left = unitGamma(gapRandom, gammaShape);
  for (const stretch of stretches(shape, shapeRandom)) {
    const lengthS = (stretch.toMs - stretch.fromMs) / 1000;
    if (lengthS <= 0) continue;
    const slope = (stretch.toRps - stretch.fromRps) / lengthS;
    const whole = ((stretch.fromRps + stretch.toRps) / 2) * lengthS;
    let done = 0;
    while (done + left <= whole) {
      done += left;
      left = unitGamma(gapRandom, gammaShape);
      const atMs = Math.min(stretch.toMs, stretch.fromMs + 1000 * inverse(done, stretch.fromRps, slope));
      const size = sizes[Math.floor(sizeRandom() * sizes.length)]!;
      const times = longPrompts !== undefined && atMs >= longPrompts.fromMs && atMs < longPrompts.toMs ? longPrompts.times : 1;
      yield {
        arrivalMs: Math.round(atMs * 1000) / 1000,
        promptTokens: Math.max(1, Math.round(size.promptTokens * times)),
        outputTokens: size.outputTokens,
      };
    }
    left -= whole - done;
  }
}

/** The t for which `rate·t + slope·t²/2 = area`, without cancellation. */
function inverse(area: number, rate: number, slope: number): number {
  return (2 * area) / (rate + Math.sqrt(Math.max(0, rate * rate + 2 * slope * area)));
}

function* stretches(shape: Shape, random: Uniform): Generator<Stretch> {
  let fromMs = 0;
  const line = (lengthMs: Ms, fromRps: number, toRps = fromRps): Stretch => {
    const stretch = { fromMs, toMs: fromMs + lengthMs, fromRps, toRps };
    fromMs += lengthMs;
    return stretch;
  };
  switch (shape.kind) {
    case "steady":
      yield line(shape.durationMs, shape.rps);
      return;
    case "ramp":
      yield line(shape.leadMs, shape.from);
      yield line(shape.overMs, shape.from, shape.to);
      yield line(shape.holdMs, shape.to);
      return;
    case "step":
      yield line(shape.leadMs, shape.from);
      yield line(shape.holdMs, shape.to);
      yield line(shape.tailMs, shape.from);
      return;
    case "flash": {
      yield line(shape.leadMs, shape.base);
      yield line(shape.riseMs, shape.base, shape.peak);
      yield line(shape.holdMs, shape.peak);
      const at = (ms: Ms) => shape.base + (shape.peak - shape.base) * Math.exp(-ms / shape.decayMs);
      for (let ms = 0; ms < shape.tailMs; ms += 1000) {
        const lengthMs = Math.min(1000, shape.tailMs - ms);
        yield line(lengthMs, at(ms), at(ms + lengthMs));
      }
      return;
    }
    case "on-off":
      for (let startMs = 0; startMs < shape.durationMs; startMs += shape.everyMs) {
        const wantedMs = startMs + shape.everyMs / 2 + (2 * random() - 1) * shape.jitterMs;
        const onMs = Math.min(shape.durationMs, Math.max(fromMs, wantedMs));
        yield line(onMs - fromMs, shape.base);
        yield line(Math.max(0, Math.min(shape.durationMs, onMs + shape.forMs) - fromMs), shape.burst);
      }
      yield line(Math.max(0, shape.durationMs - fromMs), shape.base);
      return;
    case "diurnal": {
      const gapMs = () => (-Math.log1p(-random()) * dayMs) / shape.burstsPerDay;
      let burst = { fromMs: shape.burstsPerDay === 0 ? Number.POSITIVE_INFINITY : gapMs(), toMs: 0 };
      burst.toMs = burst.fromMs + (5 + 10 * random()) * 60_000;
      const rate = (ms: Ms) => {
        const mean = (shape.low + shape.high) / 2;
        const wave = mean - ((shape.high - shape.low) / 2) * Math.cos((2 * Math.PI * (ms - dayMs / 6)) / dayMs);
        return wave * (Math.floor(ms / dayMs) % 7 >= 5 ? shape.weekends : 1);
      };
      const stepMs = 60_000;
      while (fromMs < shape.durationMs) {
        while (fromMs >= burst.toMs) {
          const startMs = burst.toMs + gapMs();
          burst = { fromMs: startMs, toMs: startMs + (5 + 10 * random()) * 60_000 };
        }
        const times = fromMs >= burst.fromMs ? 1.5 : 1;
        const endMs = Math.min(shape.durationMs, (Math.floor(fromMs / stepMs) + 1) * stepMs, times === 1 ? burst.fromMs : burst.toMs);
        // the rate just before the end, so that midnight before a week-end is a step
        yield line(endMs - fromMs, times * rate(fromMs), times * rate(endMs - 1e-3));
      }
      return;
    }
  }
}

function check(shape: Shape, { sizes, gaps, longPrompts }: GenerateOptions): void {
  for (const [name, value] of Object.entries(shape)) {
    if (typeof value === "number" && (!Number.isFinite(value) || value < 0)) {
      throw new TidegateError("usage", `${name} (${value}) of the ${shape.kind} shape must be a finite number from 0 on`);
    }
  }
  if (shape.kind === "on-off" && shape.everyMs <= 0) throw new TidegateError("usage", "everyMs (0) of the on-off shape must be above 0");
  if (shape.kind === "flash" && shape.decayMs <= 0) throw new TidegateError("usage", "decayMs (0) of the flash shape must be above 0");
  if (sizes.length === 0) throw new TidegateError("usage", "the table of token sizes is empty; give at least one prompt and output length");
  if (gaps?.kind === "gamma" && !(gaps.cv > 0 && gaps.cv <= 50)) {
    throw new TidegateError("usage", `the variation of gaps (${gaps.cv}) must be above 0 and at most 50; 1 is Poisson`);
  }
  if (longPrompts !== undefined && !(longPrompts.times > 0)) {
    throw new TidegateError("usage", `long prompts (${longPrompts.times} times) must be a factor above 0`);
  }
}
