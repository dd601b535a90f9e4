/**
 * Autoscale settings of Azure Monitor, `Microsoft.Insights/autoscaleSettings` (2022-10-01), as ARM writes them.
 * Durations are ISO 8601 texts, counts are texts.
 */
export const OPERATORS = ["Equals", "NotEquals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual"] as const;
export type Operator = (typeof OPERATORS)[number];
/** Across instances, within a grain. */
export const STATISTICS = ["Average", "Min", "Max", "Sum", "Count"] as const;
export type Statistic = (typeof STATISTICS)[number];
/** Across the grains of a window. */
export const AGGREGATIONS = ["Average", "Minimum", "Maximum", "Total", "Count", "Last"] as const;
type TimeAggregation = (typeof AGGREGATIONS)[number];

export interface MetricTrigger {
  readonly metricName: string;
  readonly metricNamespace?: string;
  readonly metricResourceUri: string;
  readonly metricResourceLocation?: string;
  readonly timeGrain: string;
  readonly statistic: Statistic;
  readonly timeWindow: string;
  readonly timeAggregation: TimeAggregation;
  readonly operator: Operator;
  readonly threshold: number;
  readonly dimensions?: readonly {
    readonly DimensionName: string;
    readonly Operator: "Equals" | "NotEquals";
    readonly Values: readonly string[];
  }[];
  readonly dividePerInstance: boolean;
}

export const ACTION_TYPES = ["ChangeCount", "PercentChangeCount", "ExactCount", "ServiceAllowedNextValue"] as const;
interface ScaleAction {
  readonly direction: "None" | "Increase" | "Decrease";
  readonly type: (typeof ACTION_TYPES)[number];
  readonly value: string;
  readonly cooldown: string;
}

export interface ScaleRule {
  readonly metricTrigger: MetricTrigger;
  readonly scaleAction: ScaleAction;
}

interface RecurrentSchedule {
  /** A Windows name. */
  readonly timeZone: string;
  readonly days: readonly string[];
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
}

export interface AutoscaleProfile {
  readonly name: string;
  readonly capacity: { readonly minimum: string; readonly maximum: string; readonly default: string };
  readonly rules: readonly ScaleRule[];
  readonly fixedDate?: { readonly timeZone: string; readonly start: string; readonly end: string };
  readonly recurrence?: { readonly frequency: "Week"; readonly schedule: RecurrentSchedule };
}

interface AutoscaleProperties {
  readonly name?: string;
  readonly targetResourceUri: string;
  readonly targetResourceLocation?: string;
  readonly enabled: boolean;
  readonly profiles: readonly AutoscaleProfile[];
  readonly predictiveAutoscalePolicy?: {
    readonly scaleMode: "Disabled" | "ForecastOnly" | "Enabled";
    readonly scaleLookAheadTime?: string;
  };
}

export interface AutoscaleSetting {
  readonly name?: string;
  readonly properties: AutoscaleProperties;
}

/** What a scale set calls its CPU utilization. */
export const CPU_METRIC = "Percentage CPU";
