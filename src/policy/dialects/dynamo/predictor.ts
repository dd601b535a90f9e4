import {
  type ArimaOrders,
  advanceTrend,
  correctTrend,
  fitArima,
  forecastArima,
  type LocalTrend,
  ordersOf,
  startTrend,
} from "../forecast/index.ts";
import type { PlannerSpec, PredictorKind } from "./spec.ts";

/** What a predictor needs of the planner's config. */
export interface PredictorConfig {
  readonly kind: PredictorKind;
  readonly log1p: boolean;
  readonly qLevel: number;
  readonly qTrend: number;
  readonly r: number;
}
export const predictorConfig = (spec: PlannerSpec): PredictorConfig => ({
  kind: spec.load_predictor,
  log1p: spec.load_predictor_log1p,
  qLevel: spec.kalman_q_level,
  qTrend: spec.kalman_q_trend,
  r: spec.kalman_r,
});

/**
 * One series (requests of an interval, their mean prompt, their mean answer) and what was fitted to it.
 * - `seen`: values so far, the last `KEPT` of them; `count`: how many there have been
 * - `arima`: the orders in use, of log(1 + value) where `logged`, and at what count they were chosen
 */
export type Predictor = {
  readonly seen: readonly number[];
  readonly count: number;
  readonly varied: boolean;
  readonly arima: {
    readonly p: number;
    readonly d: number;
    readonly q: number;
    readonly logged: boolean;
    readonly chosenAt: number;
  } | null;
  readonly trend: LocalTrend | null;
};
export const noPredictor: Predictor = { seen: [], count: 0, varied: false, arima: null, trend: null };

/** Before it there is nothing to fit. */
const LEAST_POINTS = 5;
/** A fit looks no further back; 512 intervals of 180 s are a day. */
const KEPT = 512;

const into = (logged: boolean, value: number) => (logged ? Math.log1p(Math.max(0, value)) : value);
const outOf = (logged: boolean, value: number) => Math.max(0, logged ? Math.expm1(value) : value);

/** Takes a value in. Zeros before the first other value are the time before the service was used, and are left out; what is no number is 0. */
export function observe(predictor: Predictor, value: number, config: PredictorConfig): Predictor {
  const point = Number.isFinite(value) ? Math.max(0, value) : 0;
  if (point === 0 && predictor.seen.length === 0) return predictor;
  const logged = into(config.log1p, point);
  return {
    seen: [...predictor.seen, point].slice(-KEPT),
    count: predictor.count + 1,
    varied: predictor.varied || (predictor.seen.length > 0 && point !== predictor.seen[0]),
    arima: predictor.arima,
    trend: predictor.trend === null ? startTrend(logged) : correctTrend(advanceTrend(predictor.trend, config), logged, config),
  };
}

/**
 * The next value, at least 0, and the predictor with what was fitted for it.
 * - constant: the last value
 * - ARIMA: the last value before five points, the value itself while it never changed; then a model whose orders are chosen once
 *   and whose coefficients follow each later value. Where the plain fit sees nothing (orders 0, d, 0) it is made of log(1 + value).
 * - Kalman: one step of level and trend
 * Source: Dynamo planner, core/load/predictors.py. Its auto-ARIMA is pmdarima's; ours is `fitArima`, an approximation, which
 * moreover chooses its orders anew whenever the series has doubled: what five points show need not be so for ever.
 */
export function predictNext(predictor: Predictor, config: PredictorConfig): { readonly value: number; readonly predictor: Predictor } {
  const { seen, count } = predictor;
  const last = seen.at(-1) ?? 0;
  switch (config.kind) {
    case "constant":
      return { value: last, predictor };
    case "kalman":
      return { value: predictor.trend === null ? last : outOf(config.log1p, advanceTrend(predictor.trend, config).level), predictor };
    case "arima": {
      if (seen.length < LEAST_POINTS || !predictor.varied) return { value: last, predictor };
      const fitOf = (logged: boolean, orders?: ArimaOrders) =>
        fitArima(
          seen.map((value) => into(logged, value)),
          orders,
        );
      const kept = predictor.arima !== null && count < 2 * predictor.arima.chosenAt ? predictor.arima : null;
      let logged = kept?.logged ?? config.log1p;
      let model = fitOf(logged, kept ?? undefined);
      if (kept === null && !logged && model.ar.length + model.ma.length === 0) [logged, model] = [true, fitOf(true)];
      const value = forecastArima(model, 1)[0] as number;
      const arima = kept ?? { ...ordersOf(model), logged, chosenAt: count };
      return { value: Number.isFinite(value) ? outOf(logged, value) : last, predictor: { ...predictor, arima } };
    }
  }
}
