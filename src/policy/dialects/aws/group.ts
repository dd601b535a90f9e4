import type { Endpoint, Manifest, Ms } from "../../../model/index.ts";
import type { AlarmRule } from "./alarm.ts";
import type { Adjustment } from "./capacity.ts";
import { customizedQuery, type MetricQuery, predefinedQuery } from "./metrics.ts";
import { groupChange, type ScheduledChange, targetChange } from "./scheduled.ts";
import { CLASSIC, type TargetTrackingModel } from "./target-tracking.ts";
import type { AlarmReference, AwsDocument, GroupPolicy, MetricAlarm, StepAdjustment, TargetPolicy, TargetTracking } from "./words.ts";

/** An alarm with the metric that it watches. */
export interface Alarm {
  readonly name: string;
  readonly rule: AlarmRule;
  readonly query: MetricQuery;
}

/**
 * How a policy keeps from counting a change twice: EC2's groups by instances that are younger than a warm-up, Application Auto Scaling
 * by the time since the last change.
 */
export type Settling =
  | { readonly kind: "warm-up"; readonly ms: Ms }
  | { readonly kind: "cool-down"; readonly outMs: Ms; readonly inMs: Ms };

export type ScalingPolicy =
  | {
      readonly kind: "target";
      readonly name: string;
      readonly query: MetricQuery;
      readonly target: number;
      readonly scaleIn: boolean;
      readonly high: Alarm;
      readonly low: Alarm;
      readonly settling: Settling;
      readonly model: TargetTrackingModel;
    }
  | {
      readonly kind: "step";
      readonly name: string;
      readonly alarms: readonly Alarm[];
      readonly steps: readonly StepAdjustment[];
      readonly adjustment: Omit<Adjustment, "amount">;
      readonly aggregation: "Average" | "Minimum" | "Maximum";
      readonly settling: Settling;
    }
  | {
      readonly kind: "simple";
      readonly name: string;
      readonly alarms: readonly Alarm[];
      readonly adjustment: Adjustment;
      readonly cooldownMs: Ms;
    }
  /** What never acts here, and why. */
  | { readonly kind: "idle"; readonly name: string; readonly why: string };

/** A group or scalable target, ready to be evaluated. */
export interface CompiledGroup {
  /** `null`: the file says nothing of the group. */
  readonly bounds: { readonly min: number; readonly max: number } | null;
  /** The count that a group begins with. */
  readonly desired: number | null;
  readonly policies: readonly ScalingPolicy[];
  readonly scheduled: readonly ScheduledChange[];
  readonly suspended: { readonly out: boolean; readonly in: boolean; readonly dynamic: boolean; readonly scheduled: boolean };
}

const DEFAULT_COOLDOWN_SECONDS = 300;

/** Expects a document that the reader has validated. */
export function compileGroup(endpoint: Endpoint, manifest: Manifest): CompiledGroup {
  const document = manifest.spec as unknown as AwsDocument;
  return isTargetDocument(document) ? compileTarget(endpoint, document) : compileAsg(endpoint, document);
}

type TargetDocument = Extract<AwsDocument, { readonly ScalableTargets?: unknown }>;
type AsgDocument = Exclude<AwsDocument, TargetDocument>;
const isTargetDocument = (document: AwsDocument): document is TargetDocument =>
  "ScalableTargets" in document || "ScheduledActions" in document || document.ScalingPolicies.some((policy) => "ResourceId" in policy);

function compileAsg(endpoint: Endpoint, document: AsgDocument): CompiledGroup {
  const group = document.AutoScalingGroups?.[0];
  const suspended = new Set(group?.SuspendedProcesses?.map(({ ProcessName }) => ProcessName));
  return {
    bounds: group === undefined ? null : { min: group.MinSize, max: group.MaxSize },
    desired: group?.DesiredCapacity ?? null,
    policies: document.ScalingPolicies.map((policy) => groupPolicy(endpoint, document, policy)),
    scheduled: (document.ScheduledUpdateGroupActions ?? []).map(groupChange),
    suspended: {
      out: suspended.has("Launch"),
      in: suspended.has("Terminate"),
      dynamic: suspended.has("AlarmNotification"),
      scheduled: suspended.has("ScheduledActions"),
    },
  };
}

function groupPolicy(endpoint: Endpoint, document: AsgDocument, policy: GroupPolicy): ScalingPolicy {
  const { PolicyName: name } = policy;
  const group = document.AutoScalingGroups?.[0];
  if (!policy.Enabled) return { kind: "idle", name, why: "it is not enabled" };
  const groupWarmup =
    group?.DefaultInstanceWarmup === undefined || group.DefaultInstanceWarmup < 0 ? undefined : group.DefaultInstanceWarmup;
  const groupCooldown = group?.DefaultCooldown ?? DEFAULT_COOLDOWN_SECONDS;
  const settling: Settling = { kind: "warm-up", ms: (policy.EstimatedInstanceWarmup ?? groupWarmup ?? groupCooldown) * 1000 };
  const alarms = alarmsOf(endpoint, document.MetricAlarms, policy);
  const adjustment = {
    type: policy.AdjustmentType ?? "ChangeInCapacity",
    minMagnitude: policy.MinAdjustmentMagnitude ?? policy.MinAdjustmentStep ?? 0,
  };
  switch (policy.PolicyType) {
    case "TargetTrackingScaling":
      return targetPolicy(endpoint, name, policy.TargetTrackingConfiguration as TargetTracking, alarms, settling);
    case "StepScaling":
      if (alarms.length === 0) return withoutAlarm(name);
      return {
        kind: "step",
        name,
        alarms,
        steps: policy.StepAdjustments ?? [],
        adjustment,
        aggregation: policy.MetricAggregationType ?? "Average",
        settling,
      };
    case "SimpleScaling":
      if (alarms.length === 0) return withoutAlarm(name);
      return {
        kind: "simple",
        name,
        alarms,
        adjustment: { ...adjustment, amount: policy.ScalingAdjustment ?? 0 },
        cooldownMs: (policy.Cooldown ?? groupCooldown) * 1000,
      };
    case "PredictiveScaling":
      return predictive(name);
  }
}

function compileTarget(endpoint: Endpoint, document: TargetDocument): CompiledGroup {
  const target = document.ScalableTargets?.[0];
  const { DynamicScalingInSuspended, DynamicScalingOutSuspended, ScheduledScalingSuspended } = target?.SuspendedState ?? {};
  return {
    bounds: target === undefined ? null : { min: target.MinCapacity, max: target.MaxCapacity },
    desired: null,
    policies: document.ScalingPolicies.map((policy) => scalablePolicy(endpoint, document, policy)),
    scheduled: (document.ScheduledActions ?? []).map(targetChange),
    suspended: {
      out: DynamicScalingOutSuspended ?? false,
      in: DynamicScalingInSuspended ?? false,
      dynamic: false,
      scheduled: ScheduledScalingSuspended ?? false,
    },
  };
}

function scalablePolicy(endpoint: Endpoint, document: TargetDocument, policy: TargetPolicy): ScalingPolicy {
  const { PolicyName: name } = policy;
  const alarms = alarmsOf(endpoint, document.MetricAlarms, policy);
  const coolDown = (outSeconds = DEFAULT_COOLDOWN_SECONDS, inSeconds = DEFAULT_COOLDOWN_SECONDS): Settling => ({
    kind: "cool-down",
    outMs: outSeconds * 1000,
    inMs: inSeconds * 1000,
  });
  switch (policy.PolicyType) {
    case "TargetTrackingScaling": {
      const tracking = policy.TargetTrackingScalingPolicyConfiguration as TargetTracking;
      return targetPolicy(endpoint, name, tracking, alarms, coolDown(tracking.ScaleOutCooldown, tracking.ScaleInCooldown));
    }
    case "StepScaling": {
      if (alarms.length === 0) return withoutAlarm(name);
      const step = policy.StepScalingPolicyConfiguration as NonNullable<TargetPolicy["StepScalingPolicyConfiguration"]>;
      return {
        kind: "step",
        name,
        alarms,
        steps: step.StepAdjustments,
        adjustment: { type: step.AdjustmentType, minMagnitude: step.MinAdjustmentMagnitude ?? 0 },
        aggregation: step.MetricAggregationType,
        settling: coolDown(step.Cooldown, step.Cooldown),
      };
    }
    case "PredictiveScaling":
      return predictive(name);
  }
}

const withoutAlarm = (name: string): ScalingPolicy => ({
  kind: "idle",
  name,
  why: "no alarm in this file calls it; add the output of aws cloudwatch describe-alarms as MetricAlarms",
});
const predictive = (name: string): ScalingPolicy => ({ kind: "idle", name, why: "AWS's forecasts cannot be known here" });

function targetPolicy(
  endpoint: Endpoint,
  name: string,
  tracking: TargetTracking,
  alarms: readonly Alarm[],
  settling: Settling,
): ScalingPolicy {
  const { PredefinedMetricSpecification: predefined, CustomizedMetricSpecification: customized, TargetValue: target } = tracking;
  const query = predefined === undefined ? customizedQuery(endpoint, customized ?? {}) : predefinedQuery(endpoint, predefined);
  if (query === null) return { kind: "idle", name, why: "its metric has no counterpart in a fleet of replicas" };
  const ofSide = (side: "Greater" | "Less") => alarms.find(({ rule }) => rule.comparison.startsWith(side));
  const made = (comparison: "GreaterThanThreshold" | "LessThanThreshold", threshold: number, datapoints: number): Alarm => ({
    name: `TargetTracking-${name}-${comparison === "GreaterThanThreshold" ? "AlarmHigh" : "AlarmLow"}`,
    rule: { comparison, threshold, evaluationPeriods: datapoints, datapointsToAlarm: datapoints, treatMissing: "missing" },
    query,
  });
  return {
    kind: "target",
    name,
    query,
    target,
    scaleIn: !tracking.DisableScaleIn,
    high: ofSide("Greater") ?? made("GreaterThanThreshold", target, CLASSIC.highDatapoints),
    low: ofSide("Less") ?? made("LessThanThreshold", target * CLASSIC.lowShare, CLASSIC.lowDatapoints),
    settling,
    model: CLASSIC,
  };
}

/** The alarms in the file that call a policy, by its list of them or by their actions. */
function alarmsOf(
  endpoint: Endpoint,
  all: readonly MetricAlarm[] | undefined,
  policy: { readonly PolicyARN?: string; readonly Alarms?: readonly AlarmReference[] },
): readonly Alarm[] {
  const named = new Set(policy.Alarms?.map(({ AlarmName }) => AlarmName));
  return (all ?? []).flatMap((alarm): Alarm[] => {
    const calls = policy.PolicyARN !== undefined && alarm.AlarmActions?.includes(policy.PolicyARN);
    if (!alarm.ActionsEnabled || (!named.has(alarm.AlarmName) && calls !== true)) return [];
    const query = customizedQuery(endpoint, alarm);
    if (query === null) return [];
    return [
      {
        name: alarm.AlarmName,
        query,
        rule: {
          comparison: alarm.ComparisonOperator,
          threshold: alarm.Threshold,
          evaluationPeriods: alarm.EvaluationPeriods,
          datapointsToAlarm: alarm.DatapointsToAlarm ?? alarm.EvaluationPeriods,
          treatMissing: alarm.TreatMissingData,
        },
      },
    ];
  });
}
