import type { Ms } from "../../../../model/index.ts";
import { indexedMetricName } from "../metric-name.ts";
import { KedaError } from "../words.ts";
import { type Parameters, parametersOf, type TriggerConfig, type TriggerKind, type TriggerMetric } from "./trigger.ts";

export interface CloudwatchTrigger extends TriggerMetric {
  readonly minMetricValue: number;
  readonly ignoreNullValues: boolean;
  readonly metricStatPeriodSeconds: number;
  readonly metricCollectionTimeSeconds: number;
  readonly metricEndTimeOffsetSeconds: number;
}

const STATISTICS = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"] as const;

/** @throws KedaError */
function parseCloudwatch(config: TriggerConfig): CloudwatchTrigger {
  const type = "aws-cloudwatch";
  const parameters = parametersOf(type, config);
  const refuse = (what: string) => new KedaError(`trigger ${type}: ${what}`);
  if (!parameters.has("expression")) checkMetric(parameters, refuse);
  const period = parameters.integer("metricStatPeriod", 300);
  const collection = parameters.integer("metricCollectionTime", 300);
  parameters.oneOf("metricStat", STATISTICS, "Average");
  parameters.required("awsRegion", "TA");
  if (!(period <= 60 ? [1, 5, 10, 30, 60].includes(period) : period % 60 === 0)) {
    throw refuse(`metricStatPeriod is ${period}; use 1, 5, 10, 30, 60 or a multiple of 60`);
  }
  if (collection < 0 || collection % period !== 0) {
    throw refuse(`metricCollectionTime is ${collection}; use a multiple of metricStatPeriod (${period})`);
  }
  return {
    name: indexedMetricName(config.index, type),
    target: parameters.float("targetMetricValue", config.asMetricSource === true ? 0 : null),
    activation: parameters.float("activationTargetMetricValue", 0),
    minMetricValue: parameters.float("minMetricValue", null),
    ignoreNullValues: parameters.bool("ignoreNullValues", true),
    metricStatPeriodSeconds: period,
    metricCollectionTimeSeconds: collection,
    metricEndTimeOffsetSeconds: parameters.integer("metricEndTimeOffset", 0),
  };
}

export const cloudwatchTrigger: TriggerKind = { types: ["aws-cloudwatch"], metric: parseCloudwatch };

function checkMetric(parameters: Parameters, refuse: (what: string) => KedaError): void {
  parameters.required("namespace");
  parameters.required("metricName");
  const names = parameters.text("dimensionName", "").split(";");
  const values = parameters.text("dimensionValue", "").split(";");
  if (names.length !== values.length) throw refuse("dimensionName and dimensionValue need equally many entries, split by ;");
}

/** Go truncates to multiples of a duration since the year 1. */
const ZERO_TIME_MS = -62_135_596_800_000;

/** The window of the query: its end is cut down to a whole period. */
export function cloudwatchWindow(
  nowMs: Ms,
  trigger: Pick<CloudwatchTrigger, "metricStatPeriodSeconds" | "metricEndTimeOffsetSeconds" | "metricCollectionTimeSeconds">,
): { readonly startMs: Ms; readonly endMs: Ms } {
  const periodMs = trigger.metricStatPeriodSeconds * 1000;
  const lastMs = nowMs - trigger.metricEndTimeOffsetSeconds * 1000;
  const endMs = ZERO_TIME_MS + Math.floor((lastMs - ZERO_TIME_MS) / periodMs) * periodMs;
  return { startMs: endMs - trigger.metricCollectionTimeSeconds * 1000, endMs };
}

/**
 * The first value of the first result, which is the newest. An empty first result is minMetricValue, or, where null values are
 * not ignored, an error; no result at all is minMetricValue always. @throws KedaError
 */
export function cloudwatchValue(
  results: readonly (readonly number[])[] | null,
  trigger: Pick<CloudwatchTrigger, "ignoreNullValues" | "minMetricValue">,
): number {
  const first = results?.[0];
  const value = first?.[0];
  if (value !== undefined) return value;
  if (first !== undefined && !trigger.ignoreNullValues) {
    throw new KedaError(
      `CloudWatch gives no data; with ignoreNullValues: "true" that counts as minMetricValue (${trigger.minMetricValue})`,
    );
  }
  return trigger.minMetricValue;
}
