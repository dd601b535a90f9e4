import { type Ms, TidegateError } from "../model/index.ts";

/** A duration in ms: always the same, lognormal, or as often as each was measured. */
export type Distribution = Ms | { readonly medianMs: Ms; readonly sigma: number } | { readonly valuesMs: readonly Ms[] };

/**
 * The duration below which a share `u` in [0, 1) of draws lies. One uniform gives one duration, so that whoever draws in the same
 * order has the same luck, whatever the distribution is.
 */
export function durationAt(distribution: Distribution, u: number): Ms {
  if (typeof distribution === "number") return distribution;
  if ("valuesMs" in distribution) return distribution.valuesMs[Math.floor(u * distribution.valuesMs.length)] as Ms;
  return distribution.medianMs * Math.exp(distribution.sigma * normalAt(u));
}

/** @throws TidegateError `usage` naming `what` */
export function checkDistribution(distribution: Distribution, what: string): void {
  const values =
    typeof distribution === "number"
      ? [distribution]
      : "valuesMs" in distribution
        ? distribution.valuesMs
        : [distribution.medianMs, distribution.sigma];
  if (values.length > 0 && values.every((value) => Number.isFinite(value) && value >= 0)) return;
  throw new TidegateError(
    "usage",
    `${what} (${JSON.stringify(distribution)}) must be a duration of at least 0 ms, a median with a sigma of at least 0, or a list with at least one duration`,
  );
}

const ratio = (x: number, numerator: readonly number[], denominator: readonly number[]) => {
  const at = (of: readonly number[]) => of.reduceRight((sum, coefficient) => sum * x + coefficient, 0);
  return at(numerator) / at(denominator);
};

/** Standard normal quantile, to some 7 digits. Source: Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", 1988 (PPND7). */
export function normalAt(u: number): number {
  const p = Math.min(1 - 2 ** -53, Math.max(2 ** -53, u));
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    return (
      q * ratio(0.180625 - q * q, [3.3871327179, 50.434271938, 159.29113202, 59.10937472], [1, 17.895169469, 78.757757664, 67.1875636])
    );
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const tail =
    r <= 5
      ? ratio(r - 1.6, [1.4234372777, 2.75681539, 1.3067284816, 0.17023821103], [1, 0.7370016425, 0.12021132975])
      : ratio(r - 5, [6.657905115, 3.081226386, 0.42868294337, 0.017337203997], [1, 0.24197894225, 0.012258202635]);
  return q < 0 ? -tail : tail;
}
