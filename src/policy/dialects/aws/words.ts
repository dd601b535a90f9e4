/**
 * The documents of AWS Auto Scaling as its CLI prints them, with the fields that decide. Names are the API's.
 * Sources: EC2 Auto Scaling 2011-01-01, Application Auto Scaling 2016-02-06, CloudWatch 2010-08-01.
 */

export type AdjustmentType = "ChangeInCapacity" | "ExactCapacity" | "PercentChangeInCapacity";

/** Bounds are relative to the alarm's threshold; absent: without end. */
export interface StepAdjustment {
  readonly MetricIntervalLowerBound?: number;
  readonly MetricIntervalUpperBound?: number;
  readonly ScalingAdjustment: number;
}

interface Dimension {
  readonly Name: string;
  readonly Value: string;
}

export const STATISTICS = ["Average", "Minimum", "Maximum", "Sum", "SampleCount"] as const;
export type Statistic = (typeof STATISTICS)[number];

/** One entry of a list of metric math: a metric, or an expression over other entries' Ids. */
export interface MetricDataQuery {
  readonly Id: string;
  readonly Expression?: string;
  readonly MetricStat?: {
    readonly Metric: { readonly Namespace?: string; readonly MetricName: string; readonly Dimensions?: readonly Dimension[] };
    readonly Stat: Statistic;
    readonly Unit?: string;
    /** Seconds. */
    readonly Period?: number;
  };
  readonly Label?: string;
  readonly Period?: number;
  readonly ReturnData: boolean;
}

export interface PredefinedMetric {
  readonly PredefinedMetricType: string;
  readonly ResourceLabel?: string;
}

export interface CustomizedMetric {
  readonly MetricName?: string;
  readonly Namespace?: string;
  readonly Dimensions?: readonly Dimension[];
  readonly Statistic?: Statistic;
  readonly Unit?: string;
  /** Seconds. */
  readonly Period?: number;
  readonly Metrics?: readonly MetricDataQuery[];
}

export interface TargetTracking {
  readonly PredefinedMetricSpecification?: PredefinedMetric;
  readonly CustomizedMetricSpecification?: CustomizedMetric;
  readonly TargetValue: number;
  readonly DisableScaleIn: boolean;
  /** Application Auto Scaling only, seconds. */
  readonly ScaleOutCooldown?: number;
  readonly ScaleInCooldown?: number;
}

export interface AlarmReference {
  readonly AlarmName: string;
  readonly AlarmARN?: string;
}

/** Of an EC2 Auto Scaling group. */
export interface GroupPolicy {
  readonly AutoScalingGroupName: string;
  readonly PolicyName: string;
  readonly PolicyARN?: string;
  readonly PolicyType: "TargetTrackingScaling" | "StepScaling" | "SimpleScaling" | "PredictiveScaling";
  readonly Enabled: boolean;
  readonly AdjustmentType?: AdjustmentType;
  /** The older name of `MinAdjustmentMagnitude`. */
  readonly MinAdjustmentStep?: number;
  readonly MinAdjustmentMagnitude?: number;
  readonly ScalingAdjustment?: number;
  readonly Cooldown?: number;
  readonly MetricAggregationType?: "Average" | "Minimum" | "Maximum";
  readonly StepAdjustments?: readonly StepAdjustment[];
  readonly EstimatedInstanceWarmup?: number;
  readonly Alarms?: readonly AlarmReference[];
  readonly TargetTrackingConfiguration?: TargetTracking;
}

/** Of a scalable target of Application Auto Scaling, such as a variant of a SageMaker endpoint. */
export interface TargetPolicy {
  readonly PolicyName: string;
  readonly PolicyARN?: string;
  readonly ServiceNamespace: string;
  readonly ResourceId: string;
  readonly ScalableDimension: string;
  readonly PolicyType: "TargetTrackingScaling" | "StepScaling" | "PredictiveScaling";
  readonly TargetTrackingScalingPolicyConfiguration?: TargetTracking;
  readonly StepScalingPolicyConfiguration?: {
    readonly AdjustmentType: AdjustmentType;
    readonly StepAdjustments: readonly StepAdjustment[];
    readonly MinAdjustmentMagnitude?: number;
    readonly Cooldown?: number;
    readonly MetricAggregationType: "Average" | "Minimum" | "Maximum";
  };
  readonly Alarms?: readonly AlarmReference[];
}

interface Group {
  readonly AutoScalingGroupName: string;
  readonly MinSize: number;
  readonly MaxSize: number;
  readonly DesiredCapacity?: number;
  readonly DefaultCooldown: number;
  /** Seconds; absent or -1: not set. */
  readonly DefaultInstanceWarmup?: number;
  readonly SuspendedProcesses?: readonly { readonly ProcessName?: string; readonly SuspensionReason?: string }[];
}

interface ScalableTarget {
  readonly ServiceNamespace: string;
  readonly ResourceId: string;
  readonly ScalableDimension: string;
  readonly MinCapacity: number;
  readonly MaxCapacity: number;
  readonly SuspendedState?: {
    readonly DynamicScalingInSuspended?: boolean;
    readonly DynamicScalingOutSuspended?: boolean;
    readonly ScheduledScalingSuspended?: boolean;
  };
}

export interface ScheduledGroupAction {
  readonly AutoScalingGroupName: string;
  readonly ScheduledActionName: string;
  readonly StartTime?: string;
  readonly EndTime?: string;
  readonly Recurrence?: string;
  readonly TimeZone?: string;
  readonly MinSize?: number;
  readonly MaxSize?: number;
  readonly DesiredCapacity?: number;
}

export interface ScheduledTargetAction {
  readonly ScheduledActionName: string;
  readonly ServiceNamespace: string;
  readonly ResourceId: string;
  readonly ScalableDimension: string;
  /** `at(…)`, `rate(…)` or `cron(…)`. */
  readonly Schedule: string;
  readonly Timezone?: string;
  readonly StartTime?: string;
  readonly EndTime?: string;
  readonly ScalableTargetAction?: { readonly MinCapacity?: number; readonly MaxCapacity?: number };
}

export const COMPARISONS = [
  "GreaterThanOrEqualToThreshold",
  "GreaterThanThreshold",
  "LessThanThreshold",
  "LessThanOrEqualToThreshold",
] as const;
export type Comparison = (typeof COMPARISONS)[number];
export type TreatMissingData = "missing" | "ignore" | "breaching" | "notBreaching";

export interface MetricAlarm {
  readonly AlarmName: string;
  readonly ActionsEnabled: boolean;
  readonly AlarmActions?: readonly string[];
  readonly MetricName?: string;
  readonly Namespace?: string;
  readonly Statistic?: Statistic;
  readonly Dimensions?: readonly Dimension[];
  readonly Period?: number;
  readonly Unit?: string;
  readonly Metrics?: readonly MetricDataQuery[];
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm?: number;
  readonly Threshold: number;
  readonly ComparisonOperator: Comparison;
  readonly TreatMissingData: TreatMissingData;
}

/** One group or one scalable target with all that scales it: the CLI's outputs, merged into one document. */
export type AwsDocument =
  | {
      readonly AutoScalingGroups?: readonly Group[];
      readonly ScalingPolicies: readonly GroupPolicy[];
      readonly ScheduledUpdateGroupActions?: readonly ScheduledGroupAction[];
      readonly MetricAlarms?: readonly MetricAlarm[];
    }
  | {
      readonly ScalableTargets?: readonly ScalableTarget[];
      readonly ScalingPolicies: readonly TargetPolicy[];
      readonly ScheduledActions?: readonly ScheduledTargetAction[];
      readonly MetricAlarms?: readonly MetricAlarm[];
    };
