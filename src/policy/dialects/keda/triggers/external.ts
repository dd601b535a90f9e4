import { indexedMetricName } from "../metric-name.ts";
import { HTTP_DEFAULTS } from "../version.ts";
import { KedaError } from "../words.ts";
import { parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

/** As GetMetricSpec of the external scaler answers; the whole number is the older field. */
export interface ExternalMetricSpec {
  readonly metricName: string;
  readonly targetSize?: number;
  readonly targetSizeFloat?: number;
}

/** The float counts where it is above 0, so that a float of 0 with a whole number of 5 reads as 5. */
const preferFloat = (float: number | undefined, whole: number | undefined): number =>
  float !== undefined && float > 0 ? float : (whole ?? 0);

/** The metrics of an external scaler. @throws KedaError where it offers none */
export function externalMetrics(index: number, specs: readonly ExternalMetricSpec[]): readonly Omit<TriggerMetric, "activation">[] {
  if (specs.length === 0) throw new KedaError("the external scaler offers no metric");
  return specs.map(({ metricName, targetSize, targetSizeFloat }) => ({
    name: indexedMetricName(index, metricName),
    target: preferFloat(targetSizeFloat, targetSize),
  }));
}

/** All values that GetMetrics answers count for the metric asked for, whatever names they bear. */
export const externalValue = (values: readonly { readonly metricValue?: number; readonly metricValueFloat?: number }[]): number =>
  values.reduce((sum, { metricValue, metricValueFloat }) => sum + preferFloat(metricValueFloat, metricValue), 0);

/** The HTTP add-on's scaler, told by what its triggers name. */
export const isHttpScaler = (metadata: TriggerConfig["metadata"]): boolean =>
  ["interceptorRoute", "httpScaledObject", "interceptorTargetPendingRequests"].some((name) => Object.hasOwn(metadata, name));

const TARGETS = ["targetValue", "targetSize", "threshold", "interceptorTargetPendingRequests"] as const;

/**
 * Without the scaler itself its metric's name and target are not known. Metadata may say them (`metricName`, and `targetValue`,
 * `targetSize` or `threshold`), as scalers commonly do; without them the target is 1 per replica, or the HTTP add-on's default.
 */
export const externalTrigger: TriggerKind = {
  types: ["external", "external-push"],
  metric(config: TriggerConfig, type): TriggerMetric {
    const parameters = parametersOf(type, config);
    parameters.required("scalerAddress");
    const named = TARGETS.find((name) => parameters.has(name));
    return {
      name: indexedMetricName(config.index, parameters.text("metricName", type)),
      target: named === undefined ? (isHttpScaler(config.metadata) ? HTTP_DEFAULTS.targetValue : 1) : parameters.float(named, 1),
      activation: 0,
    };
  },
};
