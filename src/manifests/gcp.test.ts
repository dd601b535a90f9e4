import { describe, expect, it } from "vitest";
import { gcpReader } from "./gcp.ts";
import type { Intent } from "./reader.ts";

const autoscalingPolicy = {
  minNumReplicas: 1,
  maxNumReplicas: 12,
  coolDownPeriodSec: 180,
  cpuUtilization: { utilizationTarget: 0.65, predictiveMethod: "NONE" },
  loadBalancingUtilization: { utilizationTarget: 0.8 },
  customMetricUtilizations: [
    { metric: "custom.googleapis.com/llm/tokens", utilizationTarget: 6_000, utilizationTargetType: "DELTA_PER_MINUTE" },
    {
      metric: "pubsub.googleapis.com/subscription/num_undelivered_messages",
      filter: 'resource.type = "pubsub_subscription" AND resource.labels.subscription_id = "llm"',
      singleInstanceAssignment: 15,
    },
  ],
  scaleInControl: { maxScaledInReplicas: { percent: 10, calculated: 1 }, timeWindowSec: 600 },
  scalingSchedules: {
    morning: {
      minRequiredReplicas: 4,
      schedule: "30 8 * * MON-FRI",
      timeZone: "Europe/Berlin",
      durationSec: 28_800,
      description: "office hours",
    },
  },
  mode: "ON",
};
/** As `gcloud compute … describe --format=json` and REST have it. */
const autoscaler = {
  kind: "compute#autoscaler",
  id: "1234567890123456789",
  creationTimestamp: "2026-01-15T01:30:00.000-08:00",
  name: "llm-autoscaler",
  description: "",
  target: "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west4-a/instanceGroupManagers/llm-mig",
  autoscalingPolicy,
  zone: "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west4-a",
  selfLink: "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west4-a/autoscalers/llm-autoscaler",
  status: "ACTIVE",
  statusDetails: [],
  recommendedSize: 3,
  scalingScheduleStatus: {
    morning: { state: "READY", lastStartTime: "2026-11-24T07:30:00.000Z", nextStartTime: "2026-11-25T07:30:00.000Z" },
  },
};

const manifestOf = (document: unknown) => {
  const read = gcpReader.read(document);
  if ("issues" in read) throw new Error(JSON.stringify(read.issues, null, 1));
  return read;
};
const issuesOf = (document: unknown) => {
  const read = gcpReader.read(document);
  return "issues" in read ? read.issues : [];
};
const withPolicy = (over: object) => ({ ...autoscaler, autoscalingPolicy: { ...autoscalingPolicy, ...over } });

describe("an autoscaler", () => {
  it("is read as it is, and comes out of a file as it went in", () => {
    const { manifest, target } = manifestOf(autoscaler);
    expect(manifest).toMatchObject({ name: "llm-autoscaler", spec: { recommendedSize: 3 } });
    expect(target).toEqual({ apiVersion: "compute/v1", kind: "instanceGroupManager", name: "llm-mig" });
    expect(manifestOf(JSON.parse(JSON.stringify(gcpReader.write(manifest, target))))).toEqual({ manifest, target });
  });

  it("is found in the group that gcloud prints", () => {
    const group = { kind: "compute#instanceGroupManager", name: "llm-mig", autoscaled: "true", autoscaler };
    expect(manifestOf(group)).toEqual(manifestOf(autoscaler));
    expect(issuesOf({ ...group, autoscaler: withPolicy({ foo: 1 }) })).toMatchObject([{ path: "autoscaler.autoscalingPolicy.foo" }]);
    expect(gcpReader.recognizes({ kind: "compute#instanceGroupManager" })).toBe(false);
  });

  it("has Google's defaults", () => {
    const { manifest, target } = manifestOf({
      name: "a",
      autoscalingPolicy: { maxNumReplicas: 5, cpuUtilization: {}, loadBalancingUtilization: {} },
    });
    expect(target).toBeNull();
    expect(manifest.spec).toEqual({
      name: "a",
      autoscalingPolicy: {
        maxNumReplicas: 5,
        coolDownPeriodSec: 60,
        stabilizationPeriodSec: 600,
        mode: "ON",
        cpuUtilization: { utilizationTarget: 0.6, predictiveMethod: "NONE" },
        loadBalancingUtilization: { utilizationTarget: 0.8 },
      },
    });
  });

  it("is known by its kind or its policy", () => {
    expect([autoscaler, { autoscalingPolicy: {} }].map(gcpReader.recognizes)).toEqual([true, true]);
    expect([{}, null, [], { ScalingPolicies: [] }, { kind: "compute#instance" }].some(gcpReader.recognizes)).toBe(false);
  });
});

it.each([
  ["an unknown field", withPolicy({ foo: 1 }), "autoscalingPolicy.foo", /remove it/],
  ["no maximum", withPolicy({ maxNumReplicas: undefined }), "autoscalingPolicy.maxNumReplicas", /./],
  ["bounds upside down", withPolicy({ minNumReplicas: 20 }), "autoscalingPolicy.minNumReplicas", /above maxNumReplicas \(12\)/],
  [
    "a CPU target above 1",
    withPolicy({ cpuUtilization: { utilizationTarget: 60 } }),
    "autoscalingPolicy.cpuUtilization.utilizationTarget",
    /./,
  ],
  [
    "both kinds of a custom target",
    withPolicy({ customMetricUtilizations: [{ metric: "m", utilizationTarget: 1, singleInstanceAssignment: 1 }] }),
    "autoscalingPolicy.customMetricUtilizations[0]",
    /exactly one/,
  ],
  [
    "six custom metrics",
    withPolicy({ customMetricUtilizations: Array(6).fill({ metric: "m", utilizationTarget: 1 }) }),
    "autoscalingPolicy.customMetricUtilizations",
    /more than 5/,
  ],
  [
    "a control without number",
    withPolicy({ scaleInControl: { maxScaledInReplicas: {}, timeWindowSec: 600 } }),
    "autoscalingPolicy.scaleInControl.maxScaledInReplicas",
    /exactly one of fixed and percent/,
  ],
  [
    "too long a window",
    withPolicy({ scaleInControl: { maxScaledInReplicas: { fixed: 1 }, timeWindowSec: 7_200 } }),
    "autoscalingPolicy.scaleInControl.timeWindowSec",
    /./,
  ],
  [
    "a schedule that is too short",
    withPolicy({ scalingSchedules: { a: { minRequiredReplicas: 1, schedule: "* * * * *", durationSec: 60 } } }),
    "autoscalingPolicy.scalingSchedules.a.durationSec",
    /./,
  ],
  [
    "no cron",
    withPolicy({ scalingSchedules: { a: { minRequiredReplicas: 1, schedule: "noon", durationSec: 300 } } }),
    "autoscalingPolicy.scalingSchedules.a.schedule",
    /fields/,
  ],
  ["an unknown mode", withPolicy({ mode: "MAYBE" }), "autoscalingPolicy.mode", /./],
  ["something else", 7, "", /./],
])("refuses %s", (_, document, path, message) => {
  const issue = issuesOf(document).find((one) => one.path === path);
  expect(issue?.message ?? JSON.stringify(issuesOf(document))).toMatch(message);
  expect(issue).toBeDefined();
});

it("says what it means to others, and what only Google has", () => {
  const { manifest, target } = manifestOf(autoscaler);
  const { intent, lost } = gcpReader.intent(manifest, target);
  expect(intent).toMatchObject({
    min: 1,
    max: 12,
    rules: [
      { signal: "cpu", level: 65, of: "perReplica" },
      { signal: "loadBalancingUtilization", level: 0.8, of: "perReplica" },
      { signal: "custom.googleapis.com/llm/tokens", level: 100, of: "perReplica" },
      { signal: "pubsub.googleapis.com/subscription/num_undelivered_messages", level: 15, of: "perReplica", total: true },
    ],
    scaleDown: { stabilizationWindowMs: 600_000, selectPolicy: "Max", policies: [{ type: "Percent", value: 10, periodMs: 600_000 }] },
  });
  expect(lost).toHaveLength(4);
  expect(gcpReader.intent(manifestOf(withPolicy({ mode: "ONLY_UP" })).manifest, null).intent.scaleDown?.selectPolicy).toBe("Disabled");
});

describe("written from what another system says", () => {
  const base: Intent = {
    name: "llm",
    namespace: "default",
    target: null,
    min: 0,
    max: 8,
    rules: [],
    tolerance: 0.1,
    scaleUp: null,
    scaleDown: {
      stabilizationWindowMs: 300_000,
      selectPolicy: "Max",
      policies: [
        { type: "Percent", value: 50, periodMs: 60_000 },
        { type: "Pods", value: 1, periodMs: 60_000 },
      ],
    },
    zeroAfterMs: 60_000,
    intervalMs: 15_000,
  };
  it("reads back to the same rules, rates and bounds", () => {
    const rules: Intent["rules"] = [
      { signal: "cpu", level: 60, of: "perReplica" },
      { signal: "loadBalancingUtilization", level: 0.7, of: "perReplica" },
      { signal: "running", level: 12, of: "perReplica" },
      { signal: "queue_depth", level: 10, of: "perReplica", total: true },
      { signal: "ttft_p95", level: 2, of: "endpoint" },
    ];
    const { document, lost } = gcpReader.fromIntent({ ...base, rules });
    const { manifest } = manifestOf(document);
    expect(gcpReader.intent(manifest, null).intent).toMatchObject({
      min: 0,
      max: 8,
      rules: rules.map((rule) =>
        rule.signal === "cpu" || rule.signal.startsWith("load") ? rule : { ...rule, signal: `custom.googleapis.com/${rule.signal}` },
      ),
      scaleDown: { stabilizationWindowMs: 300_000, policies: [{ type: "Pods", value: 1, periodMs: 60_000 }] },
    });
    expect(lost.join("\n")).toContain("A scale-in control has one rate: 1.");
    expect(lost).toHaveLength(8);
  });
  it("only scales out where scaling in is disabled", () => {
    const { document } = gcpReader.fromIntent({ ...base, scaleDown: { stabilizationWindowMs: 0, selectPolicy: "Disabled", policies: [] } });
    expect(manifestOf(document).manifest.spec["autoscalingPolicy"]).toMatchObject({ mode: "ONLY_SCALE_OUT" });
  });
});
