import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Uniform in [0, 1). */
export type Uniform = () => number;

/** `count` independent streams of one seed, one per concern, so that drawing more from one leaves the others as they were. */
export function randomStreams(seed: number, count: number): readonly Uniform[] {
  const root = xoroshiro128plus(seed);
  return Array.from({ length: count }, () => {
    const own = root.clone();
    root.jump();
    return () => uniformFloat64(own);
  });
}

/** Standard normal, by the polar method. */
function normal(uniform: Uniform): number {
  for (;;) {
    const x = 2 * uniform() - 1;
    const y = 2 * uniform() - 1;
    const s = x * x + y * y;
    if (s > 0 && s < 1) return x * Math.sqrt((-2 * Math.log(s)) / s);
  }
}

/** Gamma with the given shape and mean 1. Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. */
export function unitGamma(uniform: Uniform, shape: number): number {
  if (shape === 1) return -Math.log1p(-uniform());
  const boosted = shape < 1 ? shape + 1 : shape;
  const d = boosted - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(uniform);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log1p(-uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
      const boost = shape < 1 ? (1 - uniform()) ** (1 / shape) : 1;
      return (d * v * boost) / shape;
    }
  }
}
