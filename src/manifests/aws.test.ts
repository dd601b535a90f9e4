import { describe, expect, it } from "vitest";
import type { Json } from "../model/index.ts";
import { awsReader } from "./aws.ts";
import type { Intent } from "./reader.ts";

/** As `aws autoscaling describe-policies` prints it. */
const described = {
  ScalingPolicies: [
    {
      AutoScalingGroupName: "llm-gpu",
      PolicyName: "cpu50",
      PolicyARN: "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:1:autoScalingGroupName/llm-gpu:policyName/cpu50",
      PolicyType: "TargetTrackingScaling",
      StepAdjustments: [],
      EstimatedInstanceWarmup: 240,
      Alarms: [
        { AlarmName: "TargetTracking-llm-gpu-AlarmHigh-1", AlarmARN: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:high" },
        { AlarmName: "TargetTracking-llm-gpu-AlarmLow-2", AlarmARN: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:low" },
      ],
      TargetTrackingConfiguration: {
        PredefinedMetricSpecification: { PredefinedMetricType: "ASGAverageCPUUtilization" },
        TargetValue: 50.0,
        DisableScaleIn: false,
      },
      Enabled: true,
    },
    {
      AutoScalingGroupName: "llm-gpu",
      PolicyName: "queue-steps",
      PolicyARN: "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:2:autoScalingGroupName/llm-gpu:policyName/queue-steps",
      PolicyType: "StepScaling",
      AdjustmentType: "PercentChangeInCapacity",
      MinAdjustmentMagnitude: 1,
      MetricAggregationType: "Average",
      StepAdjustments: [
        { MetricIntervalLowerBound: 0.0, MetricIntervalUpperBound: 15.0, ScalingAdjustment: 10 },
        { MetricIntervalLowerBound: 15.0, ScalingAdjustment: 30 },
      ],
      Alarms: [{ AlarmName: "queue-high", AlarmARN: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:queue-high" }],
      Enabled: true,
    },
    {
      AutoScalingGroupName: "llm-gpu",
      PolicyName: "one-more",
      PolicyType: "SimpleScaling",
      AdjustmentType: "ChangeInCapacity",
      ScalingAdjustment: 1,
      Cooldown: 120,
      StepAdjustments: [],
      Alarms: [],
      Enabled: false,
    },
  ],
};
const groups = {
  AutoScalingGroups: [
    {
      AutoScalingGroupName: "llm-gpu",
      AutoScalingGroupARN: "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:3:autoScalingGroupName/llm-gpu",
      LaunchTemplate: { LaunchTemplateId: "lt-1", LaunchTemplateName: "llm", Version: "$Latest" },
      MinSize: 1,
      MaxSize: 12,
      DesiredCapacity: 3,
      DefaultCooldown: 300,
      AvailabilityZones: ["eu-west-1a"],
      LoadBalancerNames: [],
      TargetGroupARNs: [],
      HealthCheckType: "EC2",
      HealthCheckGracePeriod: 300,
      Instances: [],
      CreatedTime: "2026-01-15T09:30:00.000Z",
      SuspendedProcesses: [{ ProcessName: "AZRebalance", SuspensionReason: "User suspended" }],
      VPCZoneIdentifier: "subnet-1",
      EnabledMetrics: [],
      Tags: [],
      TerminationPolicies: ["Default"],
      NewInstancesProtectedFromScaleIn: false,
      ServiceLinkedRoleARN: "arn:aws:iam::123456789012:role/x",
      DefaultInstanceWarmup: 180,
      TrafficSources: [],
    },
  ],
};
const actions = {
  ScheduledUpdateGroupActions: [
    {
      AutoScalingGroupName: "llm-gpu",
      ScheduledActionName: "morning",
      ScheduledActionARN: "arn:aws:autoscaling:eu-west-1:123456789012:scheduledUpdateGroupAction:4",
      Time: "2026-11-25T07:00:00Z",
      StartTime: "2026-11-25T07:00:00Z",
      Recurrence: "0 8 * * MON-FRI",
      TimeZone: "Europe/Dublin",
      MinSize: 4,
    },
  ],
};
const alarms = {
  MetricAlarms: [
    {
      AlarmName: "queue-high",
      AlarmArn: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:queue-high",
      AlarmConfigurationUpdatedTimestamp: "2026-01-15T09:30:00.000Z",
      ActionsEnabled: true,
      OKActions: [],
      AlarmActions: ["arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:2:autoScalingGroupName/llm-gpu:policyName/queue-steps"],
      InsufficientDataActions: [],
      StateValue: "OK",
      StateReason: "",
      StateUpdatedTimestamp: "2026-01-15T09:30:00.000Z",
      MetricName: "QueueDepth",
      Namespace: "LLM",
      Statistic: "Average",
      Dimensions: [{ Name: "Endpoint", Value: "llm" }],
      Period: 60,
      EvaluationPeriods: 3,
      DatapointsToAlarm: 2,
      Threshold: 20.0,
      ComparisonOperator: "GreaterThanOrEqualToThreshold",
      TreatMissingData: "missing",
    },
  ],
  CompositeAlarms: [],
};
const merged = { ...described, ...groups, ...actions, ...alarms };

const manifestOf = (document: unknown) => {
  const read = awsReader.read(document);
  if ("issues" in read) throw new Error(JSON.stringify(read.issues, null, 1));
  return read;
};
const issuesOf = (document: unknown) => {
  const read = awsReader.read(document);
  return "issues" in read ? read.issues : [];
};
const specOf = (document: unknown) => manifestOf(document).manifest.spec as { [key: string]: Json[] };

describe("what the CLI prints", () => {
  it("is read as it is, merged from several commands", () => {
    const { manifest, target } = manifestOf(merged);
    expect(manifest.name).toBe("llm-gpu");
    expect(target).toEqual({ apiVersion: "autoscaling/2011-01-01", kind: "AutoScalingGroup", name: "llm-gpu" });
    expect(Object.keys(manifest.spec)).toEqual(["AutoScalingGroups", "ScalingPolicies", "ScheduledUpdateGroupActions", "MetricAlarms"]);
    expect(specOf(merged)["ScheduledUpdateGroupActions"]).toMatchObject([{ StartTime: "2026-11-25T07:00:00Z", MinSize: 4 }]);
  });

  it.each([
    ["describe-policies alone", described],
    ["all of it", merged],
    ["groups without policies", groups],
    ["scheduled actions alone", actions],
  ])("comes out of a file as it went in: %s", (_, document) => {
    const { manifest, target } = manifestOf(document);
    expect(manifestOf(awsReader.write(manifest, target))).toEqual({ manifest, target });
    expect(manifestOf(JSON.parse(JSON.stringify(awsReader.write(manifest, target)))).manifest).toEqual(manifest);
  });

  it("is known by keys that only it has", () => {
    expect([described, groups, actions, merged].map(awsReader.recognizes)).toEqual([true, true, true, true]);
    expect(
      [{}, null, [], "x", { kind: "HorizontalPodAutoscaler" }, { properties: {} }, { autoscalingPolicy: {} }].some(awsReader.recognizes),
    ).toBe(false);
  });
});

describe("what put-scaling-policy takes", () => {
  it("is one policy, with the service's defaults", () => {
    const simple = { AutoScalingGroupName: "g", PolicyName: "p", AdjustmentType: "ChangeInCapacity", ScalingAdjustment: -1 };
    expect(specOf(simple)).toEqual({ ScalingPolicies: [{ ...simple, PolicyType: "SimpleScaling", Enabled: true }] });
  });

  it("of Application Auto Scaling is one of a SageMaker variant, named after it", () => {
    const policy = {
      PolicyName: "invocations",
      ServiceNamespace: "sagemaker",
      ResourceId: "endpoint/llm/variant/AllTraffic",
      ScalableDimension: "sagemaker:variant:DesiredInstanceCount",
      PolicyType: "TargetTrackingScaling",
      TargetTrackingScalingPolicyConfiguration: {
        TargetValue: 70,
        PredefinedMetricSpecification: { PredefinedMetricType: "SageMakerVariantInvocationsPerInstance" },
        ScaleInCooldown: 600,
        ScaleOutCooldown: 60,
      },
    };
    const { manifest, target } = manifestOf(policy);
    expect(manifest.name).toBe("AllTraffic");
    expect(target).toMatchObject({ kind: "ScalableTarget", name: "endpoint/llm/variant/AllTraffic" });
    const scalable = { ...policy, PolicyName: undefined, PolicyType: undefined, TargetTrackingScalingPolicyConfiguration: undefined };
    const whole = {
      ScalableTargets: [{ ...JSON.parse(JSON.stringify(scalable)), MinCapacity: 1, MaxCapacity: 4, RoleARN: "arn", CreationTime: 1 }],
      ScalingPolicies: [policy],
      ScheduledActions: [
        {
          ...JSON.parse(JSON.stringify(scalable)),
          ScheduledActionName: "night",
          Schedule: "cron(0 20 ? * MON-FRI *)",
          Timezone: "Europe/Dublin",
          ScalableTargetAction: { MinCapacity: 0 },
        },
      ],
    };
    const read = manifestOf(whole);
    expect(manifestOf(awsReader.write(read.manifest, read.target))).toEqual(read);
    expect(awsReader.intent(read.manifest, read.target)).toMatchObject({
      intent: { min: 1, max: 4, rules: [{ signal: "request_rate", level: 70 / 60, of: "perReplica", total: true }] },
      lost: ["The scheduled action night is left out."],
    });
  });

  it("may be only the file of --target-tracking-configuration", () => {
    const tracking = { TargetValue: 40, PredefinedMetricSpecification: { PredefinedMetricType: "ASGAverageCPUUtilization" } };
    expect(specOf(tracking)["ScalingPolicies"]).toMatchObject([
      { PolicyType: "TargetTrackingScaling", TargetTrackingConfiguration: { TargetValue: 40 } },
    ]);
    expect(specOf({ ...tracking, ScaleOutCooldown: 60 })["ScalingPolicies"]).toMatchObject([{ ServiceNamespace: "custom-resource" }]);
  });
});

const policy = (over: object, base: object = described.ScalingPolicies[0] as object) => ({ ScalingPolicies: [{ ...base, ...over }] });
const steps = (over: object) => policy(over, described.ScalingPolicies[1]);
const tracking = (over: object) =>
  policy({
    TargetTrackingConfiguration: {
      PredefinedMetricSpecification: { PredefinedMetricType: "ASGAverageCPUUtilization" },
      TargetValue: 50,
      ...over,
    },
  });
const alarm = (over: object) => ({ ...described, MetricAlarms: [{ ...alarms.MetricAlarms[0], ...over }] });

it.each([
  ["an unknown field", policy({ Foo: 1 }), "ScalingPolicies[0].Foo", /remove it/],
  [
    "an unknown field of a group",
    { AutoScalingGroups: [{ ...groups.AutoScalingGroups[0], Foo: 1 }] },
    "AutoScalingGroups[0].Foo",
    /remove it/,
  ],
  ["a target of nothing", tracking({ TargetValue: 0 }), "ScalingPolicies[0].TargetTrackingConfiguration.TargetValue", /./],
  [
    "two metrics",
    tracking({ CustomizedMetricSpecification: { MetricName: "m", Namespace: "n", Statistic: "Sum" } }),
    "ScalingPolicies[0].TargetTrackingConfiguration",
    /exactly one/,
  ],
  [
    "a metric of something else",
    tracking({ PredefinedMetricSpecification: { PredefinedMetricType: "DynamoDBReadCapacityUtilization" } }),
    "ScalingPolicies[0].TargetTrackingConfiguration.PredefinedMetricSpecification.PredefinedMetricType",
    /no metric of replicas/,
  ],
  [
    "half a metric",
    tracking({ PredefinedMetricSpecification: undefined, CustomizedMetricSpecification: { MetricName: "m" } }),
    "ScalingPolicies[0].TargetTrackingConfiguration.CustomizedMetricSpecification",
    /MetricName, Namespace and Statistic/,
  ],
  [
    "math that is not understood",
    tracking({
      PredefinedMetricSpecification: undefined,
      CustomizedMetricSpecification: { Metrics: [{ Id: "e1", Expression: "SEARCH('x')", ReturnData: true }] },
    }),
    "ScalingPolicies[0].TargetTrackingConfiguration.CustomizedMetricSpecification.Metrics",
    /its expression has "'x'\)"/,
  ],
  ["a step policy without steps", steps({ StepAdjustments: undefined }), "ScalingPolicies[0].StepAdjustments", /is missing/],
  [
    "steps with a gap",
    steps({
      StepAdjustments: [
        { MetricIntervalLowerBound: 0, MetricIntervalUpperBound: 5, ScalingAdjustment: 1 },
        { MetricIntervalLowerBound: 6, ScalingAdjustment: 2 },
      ],
    }),
    "ScalingPolicies[0].StepAdjustments",
    /gap/,
  ],
  [
    "a magnitude without percentage",
    steps({ AdjustmentType: "ChangeInCapacity" }),
    "ScalingPolicies[0].MinAdjustmentMagnitude",
    /PercentChangeInCapacity only/,
  ],
  ["a cool-down of steps", steps({ Cooldown: 60 }), "ScalingPolicies[0].Cooldown", /does not belong/],
  ["M above N", alarm({ DatapointsToAlarm: 4 }), "MetricAlarms[0].DatapointsToAlarm", /above EvaluationPeriods \(3\)/],
  ["an alarm that is not there", alarm({ AlarmName: "other" }), "ScalingPolicies[1].Alarms[0]", /names queue-high/],
  [
    "bounds upside down",
    { AutoScalingGroups: [{ AutoScalingGroupName: "g", MinSize: 3, MaxSize: 2 }] },
    "AutoScalingGroups[0].MinSize",
    /above MaxSize/,
  ],
  [
    "weights",
    { AutoScalingGroups: [{ AutoScalingGroupName: "g", MinSize: 1, MaxSize: 2, DesiredCapacityType: "vcpu" }] },
    "AutoScalingGroups[0].DesiredCapacityType",
    /weights/,
  ],
  [
    "two groups",
    { ...described, AutoScalingGroups: [{ AutoScalingGroupName: "other", MinSize: 1, MaxSize: 2 }] },
    "",
    /other and llm-gpu; keep one/,
  ],
  [
    "no cron",
    { ScheduledUpdateGroupActions: [{ ...actions.ScheduledUpdateGroupActions[0], Recurrence: "daily" }] },
    "ScheduledUpdateGroupActions[0].Recurrence",
    /fields/,
  ],
  [
    "no time zone",
    { ScheduledUpdateGroupActions: [{ ...actions.ScheduledUpdateGroupActions[0], TimeZone: "Berlin" }] },
    "ScheduledUpdateGroupActions[0].TimeZone",
    /IANA/,
  ],
  [
    "an action that sets nothing",
    { ScheduledUpdateGroupActions: [{ ...actions.ScheduledUpdateGroupActions[0], MinSize: undefined }] },
    "ScheduledUpdateGroupActions[0]",
    /none of/,
  ],
  [
    "a service of something else",
    { PolicyName: "p", ServiceNamespace: "dynamodb", ResourceId: "table/x", ScalableDimension: "d" },
    "ServiceNamespace",
    /no service of replicas/,
  ],
  ["something else", { hello: 1 }, "", /no scaling policy of AWS/],
])("refuses %s", (_, document, path, message) => {
  const issue = issuesOf(document).find((one) => one.path === path);
  expect(issue?.message ?? JSON.stringify(issuesOf(document))).toMatch(message);
  expect(issue).toBeDefined();
});

it("says what it means to others, and what only AWS has", () => {
  const { manifest, target } = manifestOf(merged);
  const { intent, lost } = awsReader.intent(manifest, target);
  expect(intent).toMatchObject({
    name: "llm-gpu",
    min: 1,
    max: 12,
    rules: [{ signal: "cpu", level: 50, of: "perReplica" }],
    intervalMs: 60_000,
  });
  expect(intent.scaleDown?.selectPolicy).toBe("Max");
  expect(lost).toEqual([
    "queue-steps is a StepScaling policy; only AWS has such a rule.",
    "one-more is not enabled and left out.",
    "The scheduled action morning is left out.",
  ]);
});

describe("written from what another system says", () => {
  const base: Intent = {
    name: "llm",
    namespace: "default",
    target: null,
    min: 2,
    max: 8,
    rules: [],
    tolerance: null,
    scaleUp: null,
    scaleDown: null,
    zeroAfterMs: null,
    intervalMs: null,
  };
  it("is a target tracking policy for each rule, that reads back to the same rules", () => {
    const rules: Intent["rules"] = [
      { signal: "cpu", level: 60, of: "perReplica" },
      { signal: "queue_depth", level: 10, of: "perReplica", total: true },
      { signal: "ttft_p95", level: 2, of: "endpoint" },
    ];
    const { document, lost } = awsReader.fromIntent({ ...base, rules });
    const { manifest, target } = manifestOf(document);
    expect(awsReader.intent(manifest, target).intent).toMatchObject({ name: "llm", min: 2, max: 8, rules });
    expect(lost).toContain("CloudWatch has to be given queue_depth in the namespace Tidegate.");
  });
  it("says what cannot be carried over", () => {
    const rules = { stabilizationWindowMs: 0, selectPolicy: "Disabled", policies: [] } as const;
    const { document, lost } = awsReader.fromIntent({
      ...base,
      min: 0,
      tolerance: 0.1,
      scaleDown: rules,
      zeroAfterMs: 60_000,
      intervalMs: 15_000,
      rules: [{ signal: "cpu", level: 60, of: "perReplica" }],
    });
    expect(manifestOf(document).manifest.spec["ScalingPolicies"]).toMatchObject([
      { TargetTrackingConfiguration: { DisableScaleIn: true } },
    ]);
    expect(lost).toHaveLength(6);
  });
});
