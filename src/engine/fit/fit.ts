import { type Ms, TidegateError } from "../../model/index.ts";
import { attentionShape } from "../iteration.ts";
import type { EngineProfile } from "../profiles.ts";
import { type Equation, nonNegative, toldApart } from "./least-squares.ts";
import { isDecodeOnly, type Stretch } from "./stretch.ts";

/** What iteration times do not tell. */
export interface ProfileFacts {
  readonly model: string;
  readonly gpu: string;
  readonly tp: number;
  readonly kvCapacityTokens: number;
  readonly limits?: EngineProfile["limits"];
}

/** How far the fit is from what was measured, as a share of the measured time. */
export interface FitError {
  readonly stretches: number;
  readonly median: number;
  readonly p95: number;
}

export interface Residual {
  readonly stretch: Stretch;
  readonly fittedMs: Ms;
}

export interface ProfileFit {
  readonly profile: EngineProfile;
  /** Coefficients that the measurements leave open, with where their values come from. */
  readonly assumed: readonly string[];
  readonly error: { readonly decode: FitError | null; readonly mixed: FitError | null };
  /** The same of stretches that a fit to the others had to foretell; null of too few. */
  readonly heldOut: FitError | null;
  readonly residuals: readonly Residual[];
}

const NAMES = ["iterations", "prefillTokens", "seqs", "ctx", "attentionPairs"] as const;
const [ITERATIONS, PREFILL, SEQS, CTX, PAIRS] = [0, 1, 2, 3, 4] as const;
type Weights = readonly number[];

/** A residual beyond this many times the typical one counts by its size, not by its square: Huber's, for stalls and hiccups. */
const huber = 1.345;
const rounds = 12;
const folds = 5;

const termsOf = (stretch: Stretch): readonly number[] => NAMES.map((name) => stretch[name]);
const dot = (weights: Weights, terms: readonly number[]) => terms.reduce((sum, term, at) => sum + term * weights[at]!, 0);

interface Coefficients {
  readonly decode: Weights;
  readonly mixed: Weights;
  readonly assumed: readonly string[];
}

/**
 * Fits the two forms of `EngineProfile` to measured stretches: first decode-only ones, then those with prefill; relative errors count, no
 * coefficient is below 0, and outliers are held down. What stretches with prefill do not tell (how much decoding beside it costs) is taken
 * from decoding alone. Times are those between the ends of iterations, so that the engine's own overhead is in them and is 0 apart.
 *
 * `kinds: "one"` is for sums that hold both kinds of iteration in unknown shares, such as a minute of counters: both forms get the same
 * coefficients.
 * @throws TidegateError `engine/profile` where a kind of stretch is missing
 */
export function fitProfile(
  stretches: readonly Stretch[],
  facts: ProfileFacts,
  options: { readonly kinds?: "two" | "one" } = {},
): ProfileFit {
  const solve = options.kinds === "one" ? together : apart;
  const fitted = solve(stretches);
  const predict = (of: Coefficients, stretch: Stretch) => dot(isDecodeOnly(stretch) ? of.decode : of.mixed, termsOf(stretch));
  const residuals = stretches.map((stretch) => ({ stretch, fittedMs: predict(fitted, stretch) }));
  const { decode, mixed } = fitted;
  const msPerPair = mixed[PAIRS]!;
  return {
    profile: {
      model: facts.model,
      gpu: facts.gpu,
      tp: facts.tp,
      decAMs: decode[ITERATIONS]!,
      decCUsPerSeq: decode[SEQS]! * 1e3,
      decDUsPer1kCtx: decode[CTX]! * 1e6,
      mixAMs: mixed[ITERATIONS]!,
      mixBUsPerPrefillToken: mixed[PREFILL]! * 1e3,
      mixCUsPerSeq: mixed[SEQS]! * 1e3,
      mixDUsPer1kCtx: mixed[CTX]! * 1e6,
      kvCapacityTokens: facts.kvCapacityTokens,
      source: "measured",
      overheadMs: 0,
      ...attentionShape(msPerPair, facts.tp),
      ...(facts.limits === undefined ? {} : { limits: facts.limits }),
    },
    assumed: fitted.assumed,
    error: {
      decode: errorOf(residuals.filter(({ stretch }) => isDecodeOnly(stretch))),
      mixed: errorOf(residuals.filter(({ stretch }) => !isDecodeOnly(stretch))),
    },
    heldOut: foretold(stretches, solve, predict),
    residuals,
  };
}

function apart(stretches: readonly Stretch[]): Coefficients {
  const [decoding, prefilling] = [stretches.filter(isDecodeOnly), stretches.filter((stretch) => !isDecodeOnly(stretch))];
  const missing = decoding.length === 0 ? "without" : prefilling.length === 0 ? "with" : null;
  if (missing !== null) {
    throw new TidegateError(
      "engine/profile",
      `${stretches.length} measured stretches hold none ${missing} prefill; a profile takes both kinds, so measure answers of some length and prompts of some length`,
    );
  }
  const decode = robust(decoding, [ITERATIONS, SEQS, CTX], new Array(NAMES.length).fill(0));
  const open = [ITERATIONS, PREFILL, SEQS, CTX, PAIRS];
  // Where every mixed stretch is alike, what it has beside its prompt tokens is as in decoding.
  const told = toldApart(weighed(prefilling), [PREFILL, ITERATIONS, SEQS, CTX, PAIRS]);
  const fixed = NAMES.map((_, at) => (told.includes(at) || at === PAIRS || at === PREFILL ? 0 : decode.weights[at]!));
  const mixed = robust(prefilling, told, fixed);
  return {
    decode: decode.weights,
    mixed: mixed.weights,
    assumed: [
      ...(decode.told.includes(SEQS) ? [] : ["decCUsPerSeq: 0, as every decode had the same number of sequences"]),
      ...(decode.told.includes(CTX) ? [] : ["decDUsPer1kCtx: 0, as contexts went with the number of sequences"]),
      ...open.flatMap((at) => {
        const name = { [ITERATIONS]: "mixAMs", [SEQS]: "mixCUsPerSeq", [CTX]: "mixDUsPer1kCtx" }[at as 0 | 2 | 3];
        return name === undefined || told.includes(at) ? [] : [`${name}: that of decode-only iterations, as no mixed one told it apart`];
      }),
    ],
  };
}

function together(stretches: readonly Stretch[]): Coefficients {
  if (!stretches.some(({ seqs }) => seqs > 0) || stretches.length < 3) {
    throw new TidegateError(
      "engine/profile",
      `${stretches.length} stretches with decoding are too few to fit; take a longer time or a shorter step`,
    );
  }
  const { weights, told } = robust(stretches, [ITERATIONS, PREFILL, SEQS, CTX], new Array(NAMES.length).fill(0));
  const names = { [PREFILL]: "mixBUsPerPrefillToken", [SEQS]: "decCUsPerSeq", [CTX]: "decDUsPer1kCtx" } as const;
  return {
    decode: weights.map((weight, at) => (at === PREFILL ? 0 : weight)),
    mixed: weights,
    assumed: [
      "mixAMs, mixCUsPerSeq, mixDUsPer1kCtx: those of decode-only iterations, as sums do not tell the two kinds apart",
      ...([PREFILL, SEQS, CTX] as const).flatMap((at) =>
        told.includes(at) ? [] : [`${names[at]}: 0, as what it would multiply never moved by itself`],
      ),
    ],
  };
}

/** Every stretch counts by its relative error. */
const weighed = (stretches: readonly Stretch[]): readonly Equation[] =>
  stretches.map((stretch) => ({ terms: termsOf(stretch), value: stretch.durationMs, weight: stretch.durationMs ** -2 }));

/** Iteratively reweighted: by the time expected and not by the one seen, whose noise would favour short ones. */
function robust(
  stretches: readonly Stretch[],
  among: readonly number[],
  fixed: Weights,
): { readonly weights: Weights; readonly told: readonly number[] } {
  const told = toldApart(weighed(stretches), among);
  const offset = stretches.map((stretch) => dot(fixed, termsOf(stretch)));
  let equations: readonly Equation[] = weighed(stretches).map((equation, at) => ({ ...equation, value: equation.value - offset[at]! }));
  let weights = fixed;
  for (let round = 0; round < rounds; round++) {
    const found = nonNegative(equations, told);
    weights = fixed.map((value, at) => value + found[at]!);
    const expected = stretches.map((stretch) => Math.max(dot(weights, termsOf(stretch)), stretch.durationMs / 10));
    const off = stretches.map(({ durationMs }, at) => Math.abs(durationMs / expected[at]! - 1));
    const limit = huber * Math.max(1.4826 * quantile(off, 0.5), 1e-6);
    equations = equations.map((equation, at) => ({
      ...equation,
      weight: Math.min(1, limit / Math.max(off[at]!, 1e-12)) / expected[at]! ** 2,
    }));
  }
  return { weights, told };
}

function foretold(
  stretches: readonly Stretch[],
  solve: (of: readonly Stretch[]) => Coefficients,
  predict: (of: Coefficients, stretch: Stretch) => Ms,
): FitError | null {
  if (stretches.length < 4 * NAMES.length) return null;
  const residuals: Residual[] = [];
  for (let fold = 0; fold < folds; fold++) {
    const rest = stretches.filter((_, at) => at % folds !== fold);
    if (!rest.some(isDecodeOnly) || rest.every(isDecodeOnly)) {
      if (solve === apart) return null;
    }
    const fitted = solve(rest);
    stretches.forEach((stretch, at) => {
      if (at % folds === fold) residuals.push({ stretch, fittedMs: predict(fitted, stretch) });
    });
  }
  return errorOf(residuals);
}

function errorOf(residuals: readonly Residual[]): FitError | null {
  if (residuals.length === 0) return null;
  const off = residuals.map(({ stretch, fittedMs }) => Math.abs(fittedMs / stretch.durationMs - 1));
  return { stretches: residuals.length, median: quantile(off, 0.5), p95: quantile(off, 0.95) };
}

/** Nearest rank. */
function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
