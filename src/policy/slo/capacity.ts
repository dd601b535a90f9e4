import type { Objective } from "../../model/index.ts";

/**
 * The time of one engine iteration in seconds: `base` + `perPrefill` × prompt tokens in it + `perSequence` × running sequences.
 * A running sequence gets one token per iteration, so running / (output tokens per second) is that time: counters alone show it.
 */
export type Coefficients = { readonly base: number; readonly perPrefill: number; readonly perSequence: number };

/** Fading sums of the weighted least squares fit, of the scale against the prior, and of what limits the batch. */
export type EngineFit = {
  readonly moments: readonly number[];
  readonly weight: number;
  readonly logScale: number;
  readonly kvPerSequence: number | null;
  readonly maxRunning: number | null;
  /** Stretches that are too short to be a sample each, summed; `looks`: moments at which the running batch was seen. */
  readonly pending: {
    readonly seconds: number;
    readonly running: number;
    readonly prefill: number;
    readonly output: number;
    readonly looks: number;
  };
};

/** What one ready replica, or the fleet's average one, was seen doing. Rates per second. */
export interface EngineSample {
  readonly running: number;
  readonly prefill: number;
  readonly output: number;
}

/** An 8B model on one A100 (`perPrefill`: 62 µs a token), the scale of which the first samples correct. */
const PRIOR: Coefficients = { base: 0.012, perPrefill: 62e-6, perSequence: 80e-6 };
const PRIOR_WEIGHT = 4;
/** Samples remembered, in effect. */
const MEMORY = 400;
const SCALE_BOUND = Math.log(200);
/** No coefficient leaves the scaled prior by more than this factor. */
const SHAPE_BOUND = 30;

const NO_PENDING = { seconds: 0, running: 0, prefill: 0, output: 0, looks: 0 };
/** Running sequences that must have been counted before a mean of them is worth anything: its error is one over the root of it. */
const LEAST_COUNTED = 30;

export const noFit: EngineFit = {
  moments: [0, 0, 0, 0, 0, 0, 0, 0, 0],
  weight: 0,
  logScale: 0,
  kvPerSequence: null,
  maxRunning: null,
  pending: NO_PENDING,
};

/**
 * Takes in a stretch of one replica. The running batch is seen at moments only, so that stretches are joined, over replicas and time,
 * until enough sequences were counted: a mean of few moments is noise, and one that is taken only where it is not 0 is biased.
 */
export function learnStretch(fit: EngineFit, seconds: number, looks: number, sample: EngineSample): EngineFit {
  const before = fit.pending;
  const pending = {
    seconds: before.seconds + seconds,
    running: before.running + sample.running * seconds,
    prefill: before.prefill + sample.prefill * seconds,
    output: before.output + sample.output * seconds,
    looks: before.looks + looks,
  };
  if ((pending.running / pending.seconds) * pending.looks < LEAST_COUNTED) return { ...fit, pending };
  const each = (sum: number) => sum / pending.seconds;
  return learnEngine(
    { ...fit, pending: NO_PENDING },
    { running: each(pending.running), prefill: each(pending.prefill), output: each(pending.output) },
  );
}

/**
 * Takes one sample in. Robust: a sample more than a factor of 2 from what is expected counts as at that factor once 20 are in, so
 * that a stall moves little and a real change moves all of it within some samples.
 */
export function learnEngine(fit: EngineFit, sample: EngineSample): EngineFit {
  const { prefill, output } = sample;
  if (!(sample.running > 0) || !(output > 0) || !(prefill >= 0)) return fit;
  const seen = sample.running / output;
  // An engine with nothing to run does not iterate: what is seen over all time happens in the busy part of it alone.
  const busy = 1 - Math.exp(-sample.running);
  const running = sample.running / busy;
  if (!(seen > 1e-4 && seen < 30)) return fit;
  const before = coefficients(fit);
  const expected = iteration(before, running, (prefill * seen) / busy);
  const time = fit.weight > 20 ? Math.min(2 * expected, Math.max(expected / 2, seen)) : seen;
  const perIteration = (prefill * time) / busy;
  const scale = Math.log(time / iteration(PRIOR, running, perIteration));
  const keep = 1 - 1 / MEMORY;
  const gain = Math.max(1 / (fit.weight + 1), 1 / 50);
  // Relative errors: every sample is divided by the time expected (not the one seen, whose noise would favour short ones). The
  // columns are scaled to the prior, so that the sums are alike.
  const unit = fit.weight > 5 ? expected : time;
  const x = [PRIOR.base / unit, (PRIOR.perPrefill * perIteration) / unit, (PRIOR.perSequence * running) / unit] as const;
  const y = time / unit;
  const added = [x[0] * x[0], x[0] * x[1], x[0] * x[2], x[1] * x[1], x[1] * x[2], x[2] * x[2], x[0] * y, x[1] * y, x[2] * y];
  return {
    ...fit,
    moments: fit.moments.map((sum, at) => sum * keep + (added[at] as number)),
    weight: fit.weight * keep + 1,
    logScale: Math.max(-SCALE_BOUND, Math.min(SCALE_BOUND, fit.logScale + gain * (scale - fit.logScale))),
  };
}

/** Learns how many sequences fit: KV-cache share per running one, and the engine's own limit. */
export function learnBatch(fit: EngineFit, kvUsed: number | null, running: number | null, maxRunning: number | null): EngineFit {
  let { kvPerSequence } = fit;
  if (kvUsed !== null && running !== null && running >= 2 && kvUsed > 0.02) {
    const each = kvUsed / running;
    kvPerSequence = kvPerSequence === null ? each : kvPerSequence + 0.05 * (each - kvPerSequence);
  }
  return { ...fit, kvPerSequence, maxRunning: maxRunning !== null && maxRunning > 0 ? maxRunning : fit.maxRunning };
}

/** The fit: least squares drawn towards the prior at the scale that the samples show; bounded, so collinear samples do no harm. */
export function coefficients(fit: EngineFit): Coefficients {
  const scale = Math.exp(fit.logScale);
  const m = fit.moments as [number, number, number, number, number, number, number, number, number];
  // Ridge towards `scale` in units of the prior. Its weights are of the size that a sample at the prior has.
  const ridge = PRIOR_WEIGHT / (scale * scale * 9);
  const a = [
    [m[0] + ridge, m[1], m[2]],
    [m[1], m[3] + ridge, m[4]],
    [m[2], m[4], m[5] + ridge],
  ];
  const b = [m[6] + ridge * scale, m[7] + ridge * scale, m[8] + ridge * scale];
  const factors = solveBounded(a, b, scale / SHAPE_BOUND, scale * SHAPE_BOUND);
  return {
    base: PRIOR.base * (factors[0] as number),
    perPrefill: PRIOR.perPrefill * (factors[1] as number),
    perSequence: PRIOR.perSequence * (factors[2] as number),
  };
}

/** Least squares within [low, high] for each unknown, by coordinate descent: the matrix is positive definite, so it converges. */
function solveBounded(a: readonly (readonly number[])[], b: readonly number[], low: number, high: number): readonly number[] {
  const x = b.map(() => Math.sqrt(low * high));
  for (let round = 0; round < 60; round++) {
    for (let row = 0; row < x.length; row++) {
      let rest = b[row] as number;
      for (let column = 0; column < x.length; column++) if (column !== row) rest -= (a[row]?.[column] as number) * (x[column] as number);
      x[row] = Math.min(high, Math.max(low, rest / (a[row]?.[row] as number)));
    }
  }
  return x;
}

const iteration = (c: Coefficients, running: number, prefillTokens: number) =>
  c.base + c.perPrefill * prefillTokens + c.perSequence * running;

/** Replica-seconds that work costs in a full batch. `share`: which part of it (prefill and decode may live in pools of their own). */
export function workOf(c: Coefficients, rate: { readonly prefill: number; readonly output: number }, share: Share = "both"): number {
  return (share === "decode" ? 0 : c.perPrefill * rate.prefill) + (share === "prefill" ? 0 : c.perSequence * rate.output);
}
export type Share = "both" | "prefill" | "decode";

/** What one replica carries inside the objective, as its utilization in (0, 1), and which limit says so. */
export interface SafeLoad {
  readonly utilization: number;
  readonly bound: "time to first token" | "time per output token" | "batch size" | "utilization";
  /** Why even one request alone misses the objective; null where it can be met. */
  readonly infeasible: string | null;
}

/** Highest utilization that is ever planned for: beyond it, small errors become long queues. */
const MOST = 0.9;
const LEAST = 0.1;

/**
 * At utilization u an iteration takes base / (1 − u). Limits: that time under the bound on time per output token; sequences in
 * flight (Little) within the batch; and a prompt's own prefill plus its wait for others' (M/G/1, at the quantile of the
 * objective) plus two iterations under the bound on time to first token.
 */
export function safeLoad(
  c: Coefficients,
  mix: { readonly prefill: number; readonly output: number; readonly prefill2: number },
  objective: Objective,
  mostRunning: number | null,
  share: Share = "both",
): SafeLoad {
  const perRequest = workOf(c, mix, share);
  const prefillSeconds = c.perPrefill * mix.prefill;
  const [firstSeconds, tokenSeconds] = [objective.timeToFirstTokenMs / 1000, objective.timePerOutputTokenMs / 1000];
  const tail = Math.log(1 / (1 - objective.attainment));
  if (share !== "prefill" && c.base + c.perSequence >= tokenSeconds)
    return {
      utilization: 0.5,
      bound: "time per output token",
      infeasible: infeasible("one sequence alone takes", c.base + c.perSequence, "per output token", tokenSeconds),
    };
  if (share !== "decode" && prefillSeconds + c.base >= firstSeconds)
    return {
      utilization: 0.5,
      bound: "time to first token",
      infeasible: infeasible("one mean prompt alone takes", prefillSeconds + c.base, "to its first token", firstSeconds),
    };
  const broken = (u: number): SafeLoad["bound"] | null => {
    const step = c.base / (1 - u);
    if (share !== "prefill" && step > tokenSeconds) return "time per output token";
    const rate = perRequest > 0 ? u / perRequest : 0;
    if (share !== "prefill" && mostRunning !== null && rate * mix.output * step > 0.95 * mostRunning) return "batch size";
    if (share !== "decode") {
      const busy = Math.min(0.999, rate * prefillSeconds);
      const residual = prefillSeconds > 0 ? (c.perPrefill * Math.max(mix.prefill2, mix.prefill ** 2)) / (2 * mix.prefill) : 0;
      // P(wait > t) ≈ busy × exp(−t (1 − busy) / residual), stretched because decoding shares the engine.
      const stretch = 1 / Math.max(0.05, 1 - (u - busy));
      const wait = busy > 0 ? (Math.max(0, tail + Math.log(busy)) * residual * stretch) / (1 - busy) : 0;
      if (prefillSeconds * stretch + wait + 2 * step > firstSeconds) return "time to first token";
    }
    return null;
  };
  let [low, high] = [0, MOST];
  let bound: SafeLoad["bound"] = "utilization";
  if (broken(MOST) === null) low = MOST;
  else
    for (let round = 0; round < 24; round++) {
      const middle = (low + high) / 2;
      const broke = broken(middle);
      if (broke === null) low = middle;
      else [high, bound] = [middle, broke];
    }
  return { utilization: Math.max(LEAST, low), bound, infeasible: null };
}

const infeasible = (what: string, takes: number, of: string, allowed: number) =>
  `${what} ${(takes * 1000).toFixed(0)} ms ${of} on this engine, the objective allows ${(allowed * 1000).toFixed(0)} ms`;

/** Sequences that one replica may run at once, as far as it is known. */
export function mostRunning(fit: EngineFit): number | null {
  const byMemory = fit.kvPerSequence === null ? null : 0.9 / fit.kvPerSequence;
  if (byMemory === null) return fit.maxRunning;
  return fit.maxRunning === null ? byMemory : Math.min(byMemory, fit.maxRunning);
}
