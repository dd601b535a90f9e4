import { type Int64, milliOf, parseQuantity } from "../hpa/index.ts";
import { KedaError, type TargetType } from "./words.ts";

/**
 * Thousandths of a trigger's value as KEDA hands it to the HPA: three decimals, NaN and the infinities as 0, below 0 as 0.
 * Source: pkg/scalers/scaler.go, GenerateMetricInMili, and the external metrics provider.
 */
export const metricMilli = (value: number): Int64 => (value > 0 ? milliOf(parseQuantity(quantityText(value))) : 0);

/** A number as a quantity with three decimals; what is not finite is 0. */
export function quantityText(value: number): string {
  if (!Number.isFinite(value)) return "0";
  // From 1e21 on, toFixed writes an exponent; a quantity takes that too.
  return Number.isInteger(value) ? String(value) : value.toFixed(3);
}

/** The trigger's metricType. @throws KedaError for `Utilization`, which only cpu and memory may have */
export function metricTargetType(metricType: string): TargetType {
  if (metricType === "" || metricType === "AverageValue") return "AverageValue";
  if (metricType === "Value") return "Value";
  throw new KedaError(`metricType is ${metricType}; external metrics take AverageValue or Value`);
}
