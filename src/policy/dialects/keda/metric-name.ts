import { KedaError } from "./words.ts";

/** Each of `/ . : % ( )` becomes `-`: what a metric of the HPA may be called. */
export const normalizeMetricName = (text: string): string => text.replace(/[/.:%()]/g, "-");

/** The index in `triggers` keeps two triggers' metrics apart. */
export const indexedMetricName = (triggerIndex: number, name: string): string => `s${triggerIndex}-${name}`;

/** The name as the external scaler gave it. @throws KedaError for a name without this trigger's index */
export function stripMetricIndex(triggerIndex: number, metricName: string): string {
  const prefix = `s${triggerIndex}-`;
  if (metricName.startsWith(prefix)) return metricName.slice(prefix.length);
  throw new KedaError(`metric name ${metricName} does not start with ${prefix}, the index of its trigger`);
}

export const COMPOSITE_METRIC = "composite-metric";
