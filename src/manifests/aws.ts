import type { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import { type AwsDocument, awsDialect, CLASSIC, PREDEFINED, type TargetTracking } from "../policy/dialects/aws/index.ts";
import { groupDocument, groupPolicy, targetDocument, targetPolicy, trackingFile } from "./aws-schema.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const GROUP_API = "autoscaling/2011-01-01";
const GROUP_KIND = "AutoScalingGroup";
const TARGET_API = "application-autoscaling/2016-02-06";
const TARGET_KIND = "ScalableTarget";

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const has = (document: Fields, ...keys: readonly string[]) => keys.some((key) => Object.hasOwn(document, key));

/**
 * What is in a document: the outputs of `describe-policies`, `describe-auto-scaling-groups`, `describe-scheduled-actions` and
 * `cloudwatch describe-alarms` (or those of Application Auto Scaling), each alone or merged into one (`jq -s add`); a single policy,
 * as `put-scaling-policy` takes it; or the file of `--target-tracking-configuration`.
 */
type Form = "group" | "target" | "group-policy" | "target-policy" | "tracking";

function formOf(document: unknown): Form | null {
  if (!isFields(document)) return null;
  if (has(document, "PolicyName")) {
    return has(document, "ServiceNamespace", "ResourceId")
      ? "target-policy"
      : has(document, "AutoScalingGroupName")
        ? "group-policy"
        : null;
  }
  if (has(document, "TargetValue") && has(document, "PredefinedMetricSpecification", "CustomizedMetricSpecification")) return "tracking";
  if (has(document, "ScalableTargets", "ScheduledActions")) return "target";
  if (has(document, "AutoScalingGroups", "ScheduledUpdateGroupActions")) return "group";
  const policies = document["ScalingPolicies"];
  if (!Array.isArray(policies)) return null;
  return policies.some((policy) => isFields(policy) && has(policy, "ResourceId", "ServiceNamespace")) ? "target" : "group";
}

export const awsReader: ManifestReader = {
  dialect: "aws",
  recognizes: (document) => formOf(document) !== null,
  read,
  write: ({ spec }) => spec,
  intent,
  fromIntent,
};

function read(source: unknown): ReadManifest {
  const document = withoutNulls(source);
  switch (formOf(document)) {
    case "group":
      return parsed(groupDocument, document, "");
    case "target":
      return parsed(targetDocument, document, "");
    case "group-policy":
      return parsed(groupPolicy, document, "", (policy) => ({ ScalingPolicies: [policy] }));
    case "target-policy":
      return parsed(targetPolicy, document, "", (policy) => ({ ScalingPolicies: [policy] }));
    case "tracking":
      return parsed(trackingFile, document, "", trackingDocument);
    case null:
      return {
        issues: [{ path: "", message: "is no scaling policy of AWS: the JSON of aws autoscaling describe-policies or put-scaling-policy" }],
      };
  }
}

/** The file names neither group nor policy. */
function trackingDocument(tracking: z.infer<typeof trackingFile>): Fields {
  const { ScaleOutCooldown, ScaleInCooldown, ...rest } = tracking;
  if (ScaleOutCooldown === undefined && ScaleInCooldown === undefined) {
    const policy = { AutoScalingGroupName: "group", PolicyName: "target-tracking", PolicyType: "TargetTrackingScaling", Enabled: true };
    return { ScalingPolicies: [{ ...policy, TargetTrackingConfiguration: rest }] };
  }
  const policy = {
    PolicyName: "target-tracking",
    ServiceNamespace: "custom-resource",
    ResourceId: "target",
    ScalableDimension: "custom-resource:ResourceType:Property",
    PolicyType: "TargetTrackingScaling",
  };
  return { ScalingPolicies: [{ ...policy, TargetTrackingScalingPolicyConfiguration: tracking }] };
}

function parsed<S extends z.ZodType>(
  schema: S,
  document: unknown,
  root: string,
  toDocument: (value: z.infer<S>) => Fields = (value) => value as Fields,
): ReadManifest {
  const result = schema.safeParse(document);
  if (!result.success) return { issues: manifestIssues(result.error, root) };
  const { NextToken: _, CompositeAlarms: __, ...spec } = withoutAbsent(toDocument(result.data));
  return named(spec as unknown as AwsDocument);
}

/** Without fields that are `undefined`: what a schema leaves out is not in the document. */
const withoutAbsent = (document: Fields): Fields => JSON.parse(JSON.stringify(document)) as Fields;

/** The one group or target that all of a document is about. */
function named(document: AwsDocument): ReadManifest {
  const names = new Map<string, Target>();
  const lists = document as unknown as { readonly [key: string]: readonly Fields[] | undefined };
  for (const key of ["AutoScalingGroups", "ScalingPolicies", "ScheduledUpdateGroupActions", "ScalableTargets", "ScheduledActions"]) {
    for (const { AutoScalingGroupName: group, ResourceId: resource, ScalableDimension: dimension } of lists[key] ?? []) {
      if (typeof group === "string") names.set(group, { apiVersion: GROUP_API, kind: GROUP_KIND, name: group });
      else names.set(`${resource} (${dimension})`, { apiVersion: TARGET_API, kind: TARGET_KIND, name: String(resource) });
    }
  }
  if (names.size !== 1) {
    const message =
      names.size === 0 ? "names no group; add a policy or a group" : `is about ${[...names.keys()].join(" and ")}; keep one of them`;
    return { issues: [{ path: "", message }] };
  }
  const issues = missingAlarms(document);
  if (issues.length > 0) return { issues };
  const [target] = [...names.values()] as [Target];
  const spec = document as unknown as { readonly [key: string]: Json };
  return { manifest: { name: nameOf(target.name), namespace: "default", spec }, target };
}

/** The last part of a resource: of `endpoint/llm/variant/blue` it is the variant. */
const nameOf = (resource: string) => resource.split("/").at(-1) as string;

/** Where a file has alarms, those that a step or simple policy names are among them. */
function missingAlarms({ ScalingPolicies, MetricAlarms }: AwsDocument): readonly ManifestIssue[] {
  if (MetricAlarms === undefined) return [];
  const known = new Set(MetricAlarms.map(({ AlarmName }) => AlarmName));
  return ScalingPolicies.flatMap(({ PolicyType, Alarms = [] }, at) =>
    PolicyType !== "StepScaling" && PolicyType !== "SimpleScaling"
      ? []
      : Alarms.flatMap(({ AlarmName }, index) =>
          known.has(AlarmName)
            ? []
            : [
                {
                  path: `ScalingPolicies[${at}].Alarms[${index}]`,
                  message: `names ${AlarmName}, which is not in MetricAlarms; add it from aws cloudwatch describe-alarms`,
                },
              ],
        ),
  );
}

function trackings({ ScalingPolicies }: AwsDocument): readonly TargetTracking[] {
  return ScalingPolicies.flatMap((policy) => {
    const tracking = "ResourceId" in policy ? policy.TargetTrackingScalingPolicyConfiguration : policy.TargetTrackingConfiguration;
    return tracking === undefined || ("Enabled" in policy && !policy.Enabled) ? [] : [tracking];
  });
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const document = manifest.spec as unknown as AwsDocument;
  const lost: string[] = [];
  const bounds = awsDialect.bounds(manifest);
  if (bounds === null) lost.push("The file says nothing of the group: 1 to 8 replicas are a guess.");
  for (const policy of document.ScalingPolicies) {
    if ("Enabled" in policy && !policy.Enabled) lost.push(`${policy.PolicyName} is not enabled and left out.`);
    else if (policy.PolicyType !== "TargetTrackingScaling") {
      lost.push(`${policy.PolicyName} is a ${policy.PolicyType} policy; only AWS has such a rule.`);
    }
  }
  const scheduled = "ScheduledActions" in document ? document.ScheduledActions : undefined;
  const groupActions = "ScheduledUpdateGroupActions" in document ? document.ScheduledUpdateGroupActions : undefined;
  for (const { ScheduledActionName } of [...(scheduled ?? []), ...(groupActions ?? [])]) {
    lost.push(`The scheduled action ${ScheduledActionName} is left out.`);
  }
  const all = trackings(document);
  const fixed = all.length > 0 && all.every(({ DisableScaleIn }) => DisableScaleIn);
  const minute = 60_000;
  const scaleUp: ScalingRules = { stabilizationWindowMs: (CLASSIC.highDatapoints - 1) * minute, selectPolicy: "Max", policies: [] };
  const scaleDown: ScalingRules = {
    stabilizationWindowMs: CLASSIC.lowDatapoints * minute,
    selectPolicy: fixed ? "Disabled" : "Max",
    policies: [
      { type: "Pods", value: 1, periodMs: minute },
      { type: "Percent", value: CLASSIC.inShare * 100, periodMs: minute },
    ],
  };
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: bounds?.min ?? 1,
      max: bounds?.max ?? 8,
      rules: all.flatMap((tracking) => ruleOf(tracking, lost)),
      tolerance: null,
      scaleUp: all.length > 0 ? scaleUp : null,
      scaleDown: all.length > 0 ? scaleDown : null,
      zeroAfterMs: null,
      intervalMs: minute,
    },
    lost,
  };
}

function ruleOf(
  { PredefinedMetricSpecification: predefined, CustomizedMetricSpecification: customized, TargetValue }: TargetTracking,
  lost: string[],
): readonly IntentRule[] {
  if (predefined !== undefined) {
    const { PredefinedMetricType: type } = predefined;
    const { signal = type, perReplica = false } = PREDEFINED[type] ?? {};
    // AWS counts requests by the minute.
    if (signal === "request_rate") return [{ signal, level: TargetValue / 60, of: "perReplica", total: true }];
    return [{ signal, level: TargetValue, of: "perReplica", ...(perReplica ? { total: true as const } : {}) }];
  }
  if (customized?.MetricName !== undefined) {
    if (customized.Dimensions !== undefined && customized.Dimensions.length > 0)
      lost.push(`The dimensions of ${customized.MetricName} are left out.`);
    return [{ signal: customized.MetricName, level: TargetValue, of: "endpoint" }];
  }
  const shared = perInstanceMath(customized?.Metrics ?? []);
  if (shared !== null) return [{ signal: shared, level: TargetValue, of: "perReplica", total: true }];
  lost.push(`The metric math with the target ${TargetValue} is left out; only AWS has it.`);
  return [];
}

const IN_SERVICE = "GroupInServiceInstances";

/** The metric of `metric / instances in service`, as AWS's own guide writes work per instance; `null`: it is another expression. */
function perInstanceMath(queries: NonNullable<NonNullable<TargetTracking["CustomizedMetricSpecification"]>["Metrics"]>): string | null {
  const [dividend, divisor] =
    /^\s*(\w+)\s*\/\s*(\w+)\s*$/.exec(queries.find(({ ReturnData }) => ReturnData)?.Expression ?? "")?.slice(1) ?? [];
  const metricOf = (id: string | undefined) => queries.find(({ Id }) => Id === id)?.MetricStat?.Metric.MetricName;
  return metricOf(divisor) === IN_SERVICE ? (metricOf(dividend) ?? null) : null;
}

/** Where metrics of an export are looked for in CloudWatch. */
const NAMESPACE = "Tidegate";

function fromIntent({ name, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const group = target?.kind === GROUP_KIND ? target.name : name;
  const lost: string[] = [];
  if (target?.kind !== GROUP_KIND) lost.push(`The group is taken to be an EC2 Auto Scaling group named ${group}.`);
  if (rules.length === 0) lost.push("There is no rule that target tracking could follow: the group keeps its size.");
  for (const { signal, query } of rules) {
    if (signal !== "cpu")
      lost.push(`CloudWatch has to be given ${signal} in the namespace ${NAMESPACE}${query === undefined ? "" : ` (${query})`}.`);
  }
  if (min === 0) lost.push("MinSize is 0, but target tracking never leaves zero: something else has to start the first instance.");
  if (tolerance !== null)
    lost.push(`Target tracking has no tolerance to set (${tolerance}): its low alarm is at ${CLASSIC.lowShare * 100} % of the target.`);
  if (scaleUp !== null || scaleDown !== null) {
    lost.push(
      `Windows and rates belong to the service: ${CLASSIC.highDatapoints} min above the target scale out, ${CLASSIC.lowDatapoints} min below it scale in.`,
    );
  }
  if (zeroAfterMs !== null) lost.push(`A group has no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null && intervalMs !== 60_000) lost.push("Alarms are evaluated once a minute.");
  return {
    document: {
      AutoScalingGroups: [{ AutoScalingGroupName: group, MinSize: min, MaxSize: max, DefaultCooldown: 300 }],
      ScalingPolicies: rules.map((rule) => ({
        AutoScalingGroupName: group,
        PolicyName: `${group}-${rule.signal}`,
        PolicyType: "TargetTrackingScaling",
        Enabled: true,
        TargetTrackingConfiguration: {
          ...metricOf(rule, group),
          TargetValue: rule.level,
          DisableScaleIn: scaleDown?.selectPolicy === "Disabled",
        },
      })),
    },
    lost,
  };
}

function metricOf({ signal, of, total }: IntentRule, group: string): Fields {
  if (signal === "cpu") return { PredefinedMetricSpecification: { PredefinedMetricType: "ASGAverageCPUUtilization" } };
  const Dimensions = [{ Name: "AutoScalingGroupName", Value: group }];
  if (of === "endpoint" || total !== true) {
    return { CustomizedMetricSpecification: { MetricName: signal, Namespace: NAMESPACE, Dimensions, Statistic: "Average" } };
  }
  const stat = (Id: string, Namespace: string, MetricName: string) => ({
    Id,
    MetricStat: { Metric: { Namespace, MetricName, Dimensions }, Stat: "Average" },
    ReturnData: false,
  });
  const Metrics = [
    stat("m1", NAMESPACE, signal),
    stat("m2", "AWS/AutoScaling", IN_SERVICE),
    { Id: "e1", Label: `${signal} per instance`, Expression: "m1 / m2", ReturnData: true },
  ];
  return { CustomizedMetricSpecification: { Metrics } };
}
