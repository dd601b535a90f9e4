/** A Kalman filter of a level that drifts by a trend which drifts itself: x = (level, trend), F = [[1, 1], [0, 1]], H = [1, 0]. */
export type LocalTrend = {
  readonly level: number;
  readonly trend: number;
  /** Covariance of (level, trend): level's variance, the covariance, trend's variance. */
  readonly p: readonly [number, number, number];
};

export interface TrendNoise {
  readonly qLevel: number;
  readonly qTrend: number;
  readonly r: number;
}

/** The first observation is the level; of the trend nothing is known (variance 1000). */
export const startTrend = (first: number): LocalTrend => ({ level: first, trend: 0, p: [1000, 0, 1000] });

/** One step ahead: the level moves by the trend, the uncertainty grows by the process noise. */
export function advanceTrend({ level, trend, p: [ll, lt, tt] }: LocalTrend, { qLevel, qTrend }: TrendNoise): LocalTrend {
  return {
    level: level + trend,
    trend,
    p: [ll + 2 * lt + tt + Math.max(1e-12, qLevel), lt + tt, tt + Math.max(1e-12, qTrend)],
  };
}

/** Takes an observation of the level in. */
export function correctTrend({ level, trend, p: [ll, lt, tt] }: LocalTrend, seen: number, noise: TrendNoise): LocalTrend {
  const s = ll + Math.max(1e-9, noise.r);
  const [gainLevel, gainTrend] = [ll / s, lt / s];
  const surprise = seen - level;
  return {
    level: level + gainLevel * surprise,
    trend: trend + gainTrend * surprise,
    p: [(1 - gainLevel) * ll, (1 - gainLevel) * lt, tt - gainTrend * lt],
  };
}
