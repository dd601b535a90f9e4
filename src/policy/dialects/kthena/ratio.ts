import type { RatioRule } from "./settings.ts";

interface Side {
  readonly replicas: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The nearest pair of counts whose ratio the rule allows, growing rather than shrinking: from the wanted denominator upwards (from
 * where the wanted numerator would fit, if that is more), then downwards. Both at zero stay there; one alone at zero becomes one.
 * Source: volcano-sh/kthena `pkg/autoscaler/algorithm/disaggregated_ratio.go`. @returns null where no pair within the bounds fits
 */
export function enforceRatio(
  { minMilli, maxMilli }: RatioRule,
  numerator: Side,
  denominator: Side,
): { readonly numerator: number; readonly denominator: number; readonly adjusted: boolean } | null {
  if (numerator.replicas === 0 && denominator.replicas === 0) return { numerator: 0, denominator: 0, adjusted: false };
  const seeded = ({ replicas, min, max }: Side) => (replicas === 0 ? Math.min(Math.max(1, min), max) : replicas);
  const [top, bottom] = [seeded(numerator), seeded(denominator)];
  const adjusted = top !== numerator.replicas || bottom !== denominator.replicas;
  // top / bottom against a ratio in thousandths, without a fraction.
  const [below, above] = [top * 1000 < minMilli * bottom, top * 1000 > maxMilli * bottom];
  if (bottom > 0 && !below && !above) return { numerator: top, denominator: bottom, adjusted };

  const least = Math.max(1, denominator.min, Math.ceil((numerator.min * 1000) / maxMilli));
  const most = minMilli > 0 ? Math.min(denominator.max, Math.floor((numerator.max * 1000) / minMilli)) : denominator.max;
  if (least > most) return null;
  const numeratorFor = (candidate: number): number | null => {
    const low = Math.max(numerator.min, Math.ceil((minMilli * candidate) / 1000));
    const high = Math.min(numerator.max, Math.floor((maxMilli * candidate) / 1000));
    return low > high ? null : Math.min(Math.max(top, low), high);
  };
  const start = Math.min(Math.max(bottom, least, above ? Math.ceil((top * 1000) / maxMilli) : 0), most);
  const pair = (candidate: number) => {
    const fitting = numeratorFor(candidate);
    return fitting === null ? null : { numerator: fitting, denominator: candidate, adjusted: true };
  };
  for (let candidate = start; candidate <= most; candidate++) {
    const found = pair(candidate);
    if (found !== null) return found;
  }
  for (let candidate = start - 1; candidate >= least; candidate--) {
    const found = pair(candidate);
    if (found !== null) return found;
  }
  return null;
}
