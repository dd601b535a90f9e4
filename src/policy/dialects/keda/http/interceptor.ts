/** What the interceptors count for one route, summed over their pods. */
export interface RouteCount {
  /** Requests in flight, those held for a cold start included. */
  readonly concurrency: number;
  /** Requests per granule over the window. */
  readonly requestRate: number;
}

export type HttpMetric = keyof RouteCount;
const HTTP_METRICS = ["concurrency", "requestRate"] as const satisfies readonly HttpMetric[];

/** `scalingMetric` of a route; both may be set on an InterceptorRoute, and the HPA then takes the larger. */
export type ScalingMetric = { readonly [M in HttpMetric]?: { readonly targetValue: number } };

const configured = (metric: ScalingMetric): readonly HttpMetric[] => HTTP_METRICS.filter((name) => metric[name] !== undefined);

/** The target of each metric that the scaler offers. */
export const httpTargets = (metric: ScalingMetric): Readonly<Partial<Record<HttpMetric, number>>> =>
  Object.fromEntries(configured(metric).map((name) => [name, metric[name]?.targetValue]));

/** The values asked for: `filter` "" is all, an unknown name is none. */
export const httpValues = (metric: ScalingMetric, count: RouteCount, filter: string): Readonly<Partial<Record<HttpMetric, number>>> =>
  Object.fromEntries(
    configured(metric)
      .filter((name) => filter === "" || filter === name)
      .map((name) => [name, count[name]]),
  );

/** Any traffic at all: there is no activation threshold. */
export const isHttpActive = (metric: ScalingMetric, count: RouteCount): boolean => configured(metric).some((name) => count[name] > 0);

/** An HTTPScaledObject reports whole numbers, a rate rounded up. */
export const httpScaledObjectValue = (value: number): number => Math.ceil(value);
