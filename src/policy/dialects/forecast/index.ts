/** Small forecasters that several dialects share. */
export { type ArimaOrders, fitArima, forecastArima, kpss, ordersOf, updateArima } from "./arima.ts";
export { fitLinear, solve } from "./linear.ts";
export { advanceTrend, correctTrend, type LocalTrend, startTrend } from "./local-trend.ts";
