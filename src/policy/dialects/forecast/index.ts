/** Small forecasters that several dialects share. */
export { type Arima, type ArimaOrders, fitArima, forecastArima, kpss, ordersOf, updateArima } from "./arima.ts";
export { fitLinear, type LinearFit, solve } from "./linear.ts";
export { advanceTrend, correctTrend, type LocalTrend, startTrend, type TrendNoise } from "./local-trend.ts";
