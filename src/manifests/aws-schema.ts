import { z } from "zod";
import {
  COMPARISONS,
  isTimeZone,
  mathOf,
  PREDEFINED,
  parseCron,
  parseDateTime,
  parseSchedule,
  STATISTICS,
  stepsIssue,
} from "../policy/dialects/aws/index.ts";

/**
 * What AWS's CLI prints and takes, field by field. Fields that decide nothing here are named and kept as they are.
 * Sources: EC2 Auto Scaling 2011-01-01, Application Auto Scaling 2016-02-06, CloudWatch 2010-08-01 (`describe-*` and `put-*`).
 */
const kept = z.unknown();
const count = z.int().min(0);
const seconds = z.int().min(0);
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
const dateTime = z
  .string()
  .refine((text) => parseDateTime(text, "UTC") !== undefined, "is no ISO 8601 date and time, such as 2026-01-31T08:00:00Z");
const timeZone = z.string().refine(isTimeZone, "is no IANA time zone, such as Europe/Berlin");

const dimension = z.strictObject({ Name: z.string(), Value: z.string() });
const statistic = z.enum(STATISTICS, { error: `is not known here; use one of ${STATISTICS.join(", ")}` });
const periods = z.union([z.literal(10), z.literal(20), z.literal(30), z.int().multipleOf(60).min(60)]);

const metricDataQuery = z.strictObject({
  Id: z.string().regex(/^[a-z]\w*$/, "begins with a lower-case letter, then letters, digits and _"),
  Expression: z.string().optional(),
  MetricStat: z
    .strictObject({
      Metric: z.strictObject({ Namespace: z.string().optional(), MetricName: z.string(), Dimensions: z.array(dimension).optional() }),
      Stat: statistic,
      Unit: z.string().optional(),
      Period: periods.optional(),
    })
    .optional(),
  Label: z.string().optional(),
  Period: periods.optional(),
  AccountId: z.string().optional(),
  ReturnData: z.boolean().default(true),
});

const metricMath = z.array(metricDataQuery).superRefine((queries, context) => {
  for (const [at, query] of queries.entries()) {
    if ((query.Expression === undefined) === (query.MetricStat === undefined)) {
      context.addIssue({ code: "custom", path: [at], message: "has exactly one of Expression and MetricStat" });
    }
  }
  const returned = queries.filter(({ ReturnData }) => ReturnData);
  if (returned.length !== 1) {
    context.addIssue({ code: "custom", path: [], message: `returns ${returned.length} entries; exactly one has ReturnData true` });
    return;
  }
  try {
    mathOf(queries as Parameters<typeof mathOf>[0], (returned[0] as { Id: string }).Id);
  } catch (error) {
    context.addIssue({ code: "custom", path: [], message: `its expression ${messageOf(error)}` });
  }
});

const customizedMetric = z
  .strictObject({
    MetricName: z.string().optional(),
    Namespace: z.string().optional(),
    Dimensions: z.array(dimension).optional(),
    Statistic: statistic.optional(),
    Unit: z.string().optional(),
    Period: z.union([z.literal(10), z.literal(30), z.literal(60)]).optional(),
    Metrics: metricMath.optional(),
  })
  .superRefine((metric, context) => {
    const plain = metric.MetricName !== undefined && metric.Statistic !== undefined && metric.Namespace !== undefined;
    if (metric.Metrics === undefined ? !plain : metric.MetricName !== undefined) {
      context.addIssue({ code: "custom", path: [], message: "has MetricName, Namespace and Statistic, or Metrics instead of them" });
    }
  });

const tracking = {
  PredefinedMetricSpecification: z
    .strictObject({
      PredefinedMetricType: z.string().refine((type) => Object.hasOwn(PREDEFINED, type), {
        error: `is no metric of replicas; use one of ${Object.keys(PREDEFINED).join(", ")}`,
      }),
      ResourceLabel: z.string().optional(),
    })
    .optional(),
  CustomizedMetricSpecification: customizedMetric.optional(),
  TargetValue: z.number().positive(),
  DisableScaleIn: z.boolean().default(false),
};
const oneMetric = (
  value: { readonly PredefinedMetricSpecification?: unknown; readonly CustomizedMetricSpecification?: unknown },
  context: z.RefinementCtx,
) => {
  if ((value.PredefinedMetricSpecification === undefined) === (value.CustomizedMetricSpecification === undefined)) {
    const message = "has exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification";
    context.addIssue({ code: "custom", path: [], message });
  }
};
const groupTracking = z.strictObject(tracking).superRefine(oneMetric);
const cooldowns = { ScaleOutCooldown: seconds.optional(), ScaleInCooldown: seconds.optional() };
const targetTracking = z.strictObject({ ...tracking, ...cooldowns }).superRefine(oneMetric);

/** The file of `--target-tracking-configuration`; with cool-downs it is Application Auto Scaling's. */
export const trackingFile = targetTracking;

const stepAdjustments = z
  .array(
    z.strictObject({
      MetricIntervalLowerBound: z.number().optional(),
      MetricIntervalUpperBound: z.number().optional(),
      ScalingAdjustment: z.int(),
    }),
  )
  .superRefine((steps, context) => {
    // The CLI prints an empty list for policies of other types.
    if (steps.length === 0) return;
    const issue = stepsIssue(steps as Parameters<typeof stepsIssue>[0]);
    if (issue !== null) context.addIssue({ code: "custom", path: [], message: `the steps ${issue}` });
  });
const adjustmentType = z.enum(["ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity"]);
const aggregation = z.enum(["Average", "Minimum", "Maximum"]);
const alarms = z.array(z.strictObject({ AlarmName: z.string(), AlarmARN: z.string().optional() })).optional();

const predictive = z.strictObject({
  MetricSpecifications: z
    .array(
      z.strictObject({
        TargetValue: z.number(),
        PredefinedMetricPairSpecification: kept.optional(),
        PredefinedScalingMetricSpecification: kept.optional(),
        PredefinedLoadMetricSpecification: kept.optional(),
        CustomizedScalingMetricSpecification: kept.optional(),
        CustomizedLoadMetricSpecification: kept.optional(),
        CustomizedCapacityMetricSpecification: kept.optional(),
      }),
    )
    .length(1),
  Mode: z.enum(["ForecastOnly", "ForecastAndScale"]).default("ForecastOnly"),
  SchedulingBufferTime: z.int().min(0).max(3600).default(300),
  MaxCapacityBreachBehavior: z.enum(["HonorMaxCapacity", "IncreaseMaxCapacity"]).default("HonorMaxCapacity"),
  MaxCapacityBuffer: z.int().min(0).max(100).optional(),
});

export const groupPolicy = z
  .strictObject({
    AutoScalingGroupName: z.string().min(1),
    PolicyName: z.string().min(1),
    PolicyARN: z.string().optional(),
    PolicyType: z.enum(["TargetTrackingScaling", "StepScaling", "SimpleScaling", "PredictiveScaling"]).default("SimpleScaling"),
    Enabled: z.boolean().default(true),
    AdjustmentType: adjustmentType.optional(),
    MinAdjustmentStep: z.int().optional(),
    MinAdjustmentMagnitude: z.int().min(0).optional(),
    ScalingAdjustment: z.int().optional(),
    Cooldown: seconds.optional(),
    MetricAggregationType: aggregation.optional(),
    StepAdjustments: stepAdjustments.optional().transform((steps) => (steps?.length === 0 ? undefined : steps)),
    EstimatedInstanceWarmup: seconds.optional(),
    Alarms: alarms,
    TargetTrackingConfiguration: groupTracking.optional(),
    PredictiveScalingConfiguration: predictive.optional(),
  })
  .superRefine((policy, context) => {
    const { PolicyType: type, AdjustmentType } = policy;
    const need = (field: keyof typeof policy, of: readonly (typeof type)[]) => {
      if (of.includes(type) === (policy[field] === undefined)) {
        const message = of.includes(type) ? `is missing: a ${type} policy has one` : `does not belong to a ${type} policy; remove it`;
        context.addIssue({ code: "custom", path: [field], message });
      }
    };
    need("AdjustmentType", ["StepScaling", "SimpleScaling"]);
    need("StepAdjustments", ["StepScaling"]);
    need("ScalingAdjustment", ["SimpleScaling"]);
    need("TargetTrackingConfiguration", ["TargetTrackingScaling"]);
    need("PredictiveScalingConfiguration", ["PredictiveScaling"]);
    const onlyFor = (field: keyof typeof policy, of: readonly (typeof type)[]) => {
      if (policy[field] !== undefined && !of.includes(type)) need(field, of);
    };
    onlyFor("Cooldown", ["SimpleScaling"]);
    onlyFor("MetricAggregationType", ["StepScaling"]);
    onlyFor("EstimatedInstanceWarmup", ["StepScaling", "TargetTrackingScaling"]);
    checkAdjustment(AdjustmentType, policy.MinAdjustmentMagnitude ?? policy.MinAdjustmentStep, context);
    if (AdjustmentType === "ExactCapacity")
      checkExact([policy.ScalingAdjustment, ...(policy.StepAdjustments ?? []).map((s) => s.ScalingAdjustment)], context);
  });

function checkAdjustment(type: string | undefined, magnitude: number | undefined, context: z.RefinementCtx): void {
  if (magnitude === undefined || type === "PercentChangeInCapacity") return;
  context.addIssue({ code: "custom", path: ["MinAdjustmentMagnitude"], message: "belongs to PercentChangeInCapacity only; remove it" });
}
function checkExact(amounts: readonly (number | undefined)[], context: z.RefinementCtx): void {
  const negative = amounts.find((amount) => amount !== undefined && amount < 0);
  if (negative === undefined) return;
  context.addIssue({ code: "custom", path: [], message: `sets an exact capacity of ${negative}; it is 0 or more` });
}

/** Namespaces whose capacity is a number of replicas. */
const SERVICES = ["sagemaker", "ecs", "ec2", "custom-resource"] as const;
const scalable = {
  ServiceNamespace: z.enum(SERVICES, { error: `is no service of replicas; use one of ${SERVICES.join(", ")}` }),
  ResourceId: z.string().min(1),
  ScalableDimension: z.string().min(1),
};

export const targetPolicy = z
  .strictObject({
    PolicyARN: z.string().optional(),
    PolicyName: z.string().min(1),
    ...scalable,
    PolicyType: z.enum(["TargetTrackingScaling", "StepScaling", "PredictiveScaling"]).default("StepScaling"),
    TargetTrackingScalingPolicyConfiguration: targetTracking.optional(),
    StepScalingPolicyConfiguration: z
      .strictObject({
        AdjustmentType: adjustmentType,
        StepAdjustments: stepAdjustments.min(1, "is empty; a step policy has at least one step"),
        MinAdjustmentMagnitude: z.int().min(0).optional(),
        Cooldown: seconds.optional(),
        MetricAggregationType: aggregation.default("Average"),
      })
      .superRefine((step, context) => {
        checkAdjustment(step.AdjustmentType, step.MinAdjustmentMagnitude, context);
        if (step.AdjustmentType === "ExactCapacity")
          checkExact(
            step.StepAdjustments.map((s) => s.ScalingAdjustment),
            context,
          );
      })
      .optional(),
    PredictiveScalingPolicyConfiguration: kept.optional(),
    Alarms: alarms,
    CreationTime: kept.optional(),
  })
  .superRefine((policy, context) => {
    const field = {
      TargetTrackingScaling: "TargetTrackingScalingPolicyConfiguration",
      StepScaling: "StepScalingPolicyConfiguration",
      PredictiveScaling: "PredictiveScalingPolicyConfiguration",
    } as const;
    const wanted = field[policy.PolicyType];
    for (const name of Object.values(field)) {
      if (name === wanted && policy[name] === undefined) {
        context.addIssue({ code: "custom", path: [name], message: `is missing: a ${policy.PolicyType} policy has one` });
      } else if (name !== wanted && policy[name] !== undefined) {
        context.addIssue({ code: "custom", path: [name], message: `does not belong to a ${policy.PolicyType} policy; remove it` });
      }
    }
  });

const minBelowMax = (min: number, max: number, names: readonly [string, string], context: z.RefinementCtx) => {
  if (min > max) context.addIssue({ code: "custom", path: [names[0]], message: `(${min}) is above ${names[1]} (${max}); lower it` });
};

const ofGroup = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, kept.optional()]));
const group = z
  .strictObject({
    AutoScalingGroupName: z.string().min(1),
    MinSize: count,
    MaxSize: count,
    DesiredCapacity: count.optional(),
    DefaultCooldown: seconds.default(300),
    DefaultInstanceWarmup: z.int().min(-1).optional(),
    DesiredCapacityType: z.literal("units", { error: "counts weights; only units are replicas" }).optional(),
    SuspendedProcesses: z.array(z.strictObject({ ProcessName: z.string(), SuspensionReason: z.string() }).partial()).optional(),
    ...(ofGroup(
      `AutoScalingGroupARN LaunchConfigurationName LaunchTemplate MixedInstancesPolicy PredictedCapacity AvailabilityZones
      AvailabilityZoneIds LoadBalancerNames TargetGroupARNs HealthCheckType HealthCheckGracePeriod Instances CreatedTime PlacementGroup
      VPCZoneIdentifier EnabledMetrics Status Tags TerminationPolicies NewInstancesProtectedFromScaleIn ServiceLinkedRoleARN
      MaxInstanceLifetime CapacityRebalance WarmPoolConfiguration WarmPoolSize Context TrafficSources InstanceMaintenancePolicy
      DeletionProtection AvailabilityZoneDistribution AvailabilityZoneImpairmentPolicy SkipZonalShiftValidation
      CapacityReservationSpecification InstanceLifecyclePolicy`.split(/\s+/),
    ) as Record<string, z.ZodOptional<z.ZodUnknown>>),
  })
  .superRefine(({ MinSize, MaxSize }, context) => minBelowMax(MinSize as number, MaxSize as number, ["MinSize", "MaxSize"], context));

const scalableTarget = z
  .strictObject({
    ...scalable,
    MinCapacity: count,
    MaxCapacity: count,
    SuspendedState: z
      .strictObject({
        DynamicScalingInSuspended: z.boolean(),
        DynamicScalingOutSuspended: z.boolean(),
        ScheduledScalingSuspended: z.boolean(),
      })
      .partial()
      .optional(),
    PredictedCapacity: kept.optional(),
    RoleARN: kept.optional(),
    CreationTime: kept.optional(),
    ScalableTargetARN: kept.optional(),
  })
  .superRefine(({ MinCapacity, MaxCapacity }, context) => minBelowMax(MinCapacity, MaxCapacity, ["MinCapacity", "MaxCapacity"], context));

/** `Time` is the older name of `StartTime`; the CLI prints both. */
const scheduledGroupAction = z
  .strictObject({
    AutoScalingGroupName: z.string().min(1),
    ScheduledActionName: z.string().min(1),
    ScheduledActionARN: kept.optional(),
    Time: dateTime.optional(),
    StartTime: dateTime.optional(),
    EndTime: dateTime.optional(),
    Recurrence: z.string().optional(),
    TimeZone: timeZone.optional(),
    MinSize: count.optional(),
    MaxSize: count.optional(),
    DesiredCapacity: count.optional(),
  })
  .transform(({ Time, ...action }) => (action.StartTime === undefined && Time !== undefined ? { ...action, StartTime: Time } : action))
  .superRefine((action, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (action.MinSize === undefined && action.MaxSize === undefined && action.DesiredCapacity === undefined) {
      context.addIssue({ code: "custom", path: [], message: "sets none of MinSize, MaxSize and DesiredCapacity; give at least one" });
    }
    if (action.Recurrence === undefined) {
      if (action.StartTime === undefined) issue("StartTime", "is missing: without a Recurrence the action is due once, at its start");
      return;
    }
    try {
      parseCron(action.Recurrence, { kind: "unix", withYear: false });
    } catch (error) {
      issue("Recurrence", messageOf(error));
    }
  });

const scheduledTargetAction = z
  .strictObject({
    ScheduledActionName: z.string().min(1),
    ScheduledActionARN: kept.optional(),
    ...scalable,
    Schedule: z.string(),
    Timezone: timeZone.optional(),
    StartTime: dateTime.optional(),
    EndTime: dateTime.optional(),
    ScalableTargetAction: z.strictObject({ MinCapacity: count, MaxCapacity: count }).partial().optional(),
    CreationTime: kept.optional(),
  })
  .superRefine(({ Schedule, Timezone }, context) => {
    try {
      parseSchedule(Schedule, Timezone ?? "UTC", 0);
    } catch (error) {
      context.addIssue({ code: "custom", path: ["Schedule"], message: messageOf(error) });
    }
  });

const metricAlarm = z
  .strictObject({
    AlarmName: z.string().min(1),
    ActionsEnabled: z.boolean().default(true),
    AlarmActions: z.array(z.string()).optional(),
    MetricName: z.string().optional(),
    Namespace: z.string().optional(),
    Statistic: statistic.optional(),
    Dimensions: z.array(dimension).optional(),
    Period: periods.optional(),
    Unit: z.string().optional(),
    Metrics: metricMath.optional(),
    EvaluationPeriods: z.int().min(1),
    DatapointsToAlarm: z.int().min(1).optional(),
    Threshold: z.number({ error: "is missing: an alarm on an anomaly band has no place here" }),
    ComparisonOperator: z.enum(COMPARISONS),
    TreatMissingData: z.enum(["missing", "ignore", "breaching", "notBreaching"]).default("missing"),
    ...(ofGroup(
      `AlarmArn AlarmDescription AlarmConfigurationUpdatedTimestamp OKActions InsufficientDataActions StateValue StateReason
      StateReasonData StateUpdatedTimestamp StateTransitionedTimestamp EvaluationState EvaluateLowSampleCountPercentile Tags`.split(/\s+/),
    ) as Record<string, z.ZodOptional<z.ZodUnknown>>),
  })
  .superRefine((alarm, context) => {
    const { DatapointsToAlarm: m, EvaluationPeriods: n } = alarm as { DatapointsToAlarm?: number; EvaluationPeriods: number };
    if (m !== undefined && m > n) {
      context.addIssue({ code: "custom", path: ["DatapointsToAlarm"], message: `(${m}) is above EvaluationPeriods (${n}); lower it` });
    }
    if ((alarm.Metrics === undefined) === (alarm.MetricName === undefined || alarm.Statistic === undefined)) {
      context.addIssue({ code: "custom", path: [], message: "has MetricName and Statistic, or Metrics instead of them" });
    }
  });

const paging = { NextToken: kept.optional() };
export const groupDocument = z.strictObject({
  AutoScalingGroups: z.array(group).optional(),
  ScalingPolicies: z.array(groupPolicy).default([]),
  ScheduledUpdateGroupActions: z.array(scheduledGroupAction).optional(),
  MetricAlarms: z.array(metricAlarm).optional(),
  CompositeAlarms: z.array(kept).optional(),
  ...paging,
});
export const targetDocument = z.strictObject({
  ScalableTargets: z.array(scalableTarget).optional(),
  ScalingPolicies: z.array(targetPolicy).default([]),
  ScheduledActions: z.array(scheduledTargetAction).optional(),
  MetricAlarms: z.array(metricAlarm).optional(),
  CompositeAlarms: z.array(kept).optional(),
  ...paging,
});
