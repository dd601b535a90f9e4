import { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import {
  type Autoscaler,
  type AutoscalingPolicy,
  type CustomMetricUtilization,
  DEFAULT_CPU_TARGET,
  isGroupMetric,
  isTimeZone,
  LOAD_BALANCING_METRIC,
  MODES,
  minReplicasOf,
  parseCron,
  TARGET_TYPES,
} from "../policy/dialects/gcp/index.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const KIND = "compute#autoscaler";
const GROUP_KIND = "compute#instanceGroupManager";
const TARGET_API = "compute/v1";
const TARGET_KIND = "instanceGroupManager";

/** What the service puts out, named and kept as it is. */
const kept = z.unknown();
const count = z.int().min(0);

const schedule = z
  .strictObject({
    minRequiredReplicas: count,
    schedule: z.string(),
    timeZone: z.string().refine(isTimeZone, "is no IANA time zone, such as Europe/Berlin").default("UTC"),
    durationSec: z.int().min(300),
    disabled: z.boolean().default(false),
    description: z.string().optional(),
  })
  .superRefine(({ schedule: cron }, context) => {
    try {
      parseCron(cron, { kind: "unix", withYear: true });
    } catch (error) {
      context.addIssue({ code: "custom", path: ["schedule"], message: error instanceof Error ? error.message : String(error) });
    }
  });

const customMetric = z
  .strictObject({
    metric: z.string().min(1),
    filter: z.string().optional(),
    utilizationTarget: z.number().positive().optional(),
    utilizationTargetType: z.enum(TARGET_TYPES).optional(),
    singleInstanceAssignment: z.number().positive().optional(),
  })
  .superRefine(({ utilizationTarget, utilizationTargetType, singleInstanceAssignment }, context) => {
    if ((utilizationTarget === undefined) === (singleInstanceAssignment === undefined)) {
      context.addIssue({ code: "custom", path: [], message: "has exactly one of utilizationTarget and singleInstanceAssignment" });
    }
    if (singleInstanceAssignment !== undefined && utilizationTargetType !== undefined) {
      context.addIssue({ code: "custom", path: ["utilizationTargetType"], message: "belongs to utilizationTarget; remove it" });
    }
  })
  .transform((metric) =>
    metric.utilizationTarget === undefined ? metric : { ...metric, utilizationTargetType: metric.utilizationTargetType ?? "GAUGE" },
  );

const autoscalingPolicy = z
  .strictObject({
    minNumReplicas: count.optional(),
    maxNumReplicas: count,
    coolDownPeriodSec: z.int().min(0).default(60),
    stabilizationPeriodSec: z.int().min(0).default(600),
    mode: z.enum(MODES).default("ON"),
    cpuUtilization: z
      .strictObject({
        utilizationTarget: z.number().positive().max(1).default(DEFAULT_CPU_TARGET),
        predictiveMethod: z.enum(["NONE", "OPTIMIZE_AVAILABILITY"]).default("NONE"),
      })
      .optional(),
    loadBalancingUtilization: z.strictObject({ utilizationTarget: z.number().positive().default(0.8) }).optional(),
    customMetricUtilizations: z.array(customMetric).max(5, "has more than 5 metrics, which is the most of a policy").optional(),
    scaleInControl: z
      .strictObject({
        maxScaledInReplicas: z
          .strictObject({ fixed: count.optional(), percent: z.int().min(0).max(100).optional(), calculated: kept.optional() })
          .superRefine(({ fixed, percent }, context) => {
            if ((fixed === undefined) === (percent === undefined)) context.addIssue("has exactly one of fixed and percent");
          }),
        timeWindowSec: z.int().min(60).max(3600),
      })
      .optional(),
    scalingSchedules: z
      .record(z.string(), schedule)
      .refine((schedules) => Object.keys(schedules).length <= 128, "has more than 128 schedules, which is the most of a policy")
      .optional(),
  })
  .superRefine(({ minNumReplicas: min, maxNumReplicas: max }, context) => {
    if (min !== undefined && min > max) {
      context.addIssue({ code: "custom", path: ["minNumReplicas"], message: `(${min}) is above maxNumReplicas (${max}); lower it` });
    }
  });

const autoscaler = z.strictObject({
  kind: z.literal(KIND).optional(),
  name: z.string().min(1),
  description: z.string().optional(),
  target: z.string().optional(),
  autoscalingPolicy,
  id: kept.optional(),
  creationTimestamp: kept.optional(),
  zone: kept.optional(),
  region: kept.optional(),
  selfLink: kept.optional(),
  selfLinkWithId: kept.optional(),
  status: kept.optional(),
  statusDetails: kept.optional(),
  recommendedSize: kept.optional(),
  scalingScheduleStatus: kept.optional(),
});

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** `compute#autoscaler` as REST has it, zonal and regional, or inside of the group that gcloud prints. */
function autoscalerIn(document: unknown): { readonly root: string; readonly fields: Fields } | null {
  if (!isFields(document)) return null;
  if (document["kind"] === KIND || "autoscalingPolicy" in document) return { root: "", fields: document };
  return document["kind"] === GROUP_KIND && isFields(document["autoscaler"])
    ? { root: "autoscaler", fields: document["autoscaler"] }
    : null;
}

export const gcpReader: ManifestReader = {
  dialect: "gcp",
  recognizes: (document) => autoscalerIn(document) !== null,
  read,
  write: ({ spec }) => ({ kind: KIND, ...spec }),
  intent,
  fromIntent,
};

function read(source: unknown): ReadManifest {
  const found = autoscalerIn(withoutNulls(source));
  if (found === null) return { issues: [{ path: "", message: `is no ${KIND} with an autoscalingPolicy` }] };
  const parsed = autoscaler.safeParse(found.fields);
  if (!parsed.success) return { issues: manifestIssues(parsed.error, found.root) };
  const { kind: _, ...spec } = parsed.data;
  const group = /\/instanceGroupManagers\/([^/]+)$/.exec(spec.target ?? "")?.[1];
  return {
    manifest: { name: spec.name, namespace: "default", spec: spec as unknown as { readonly [key: string]: Json } },
    target: group === undefined ? null : { apiVersion: TARGET_API, kind: TARGET_KIND, name: group },
  };
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const { autoscalingPolicy: policy } = manifest.spec as unknown as Autoscaler;
  const lost: string[] = [];
  for (const name of Object.keys(policy.scalingSchedules ?? {})) lost.push(`The schedule ${name} is left out.`);
  if (policy.mode === "OFF") lost.push("The autoscaler is off; what is written acts.");
  if (policy.cpuUtilization?.predictiveMethod === "OPTIMIZE_AVAILABILITY") lost.push("Predictive scaling is left out.");
  if (policy.coolDownPeriodSec > 0) lost.push(`The initialization period (${policy.coolDownPeriodSec} s) is left out.`);
  const scalesIn = policy.mode === "ON" || policy.mode === "OFF";
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: minReplicasOf(policy),
      max: policy.maxNumReplicas,
      rules: rulesOf(policy, lost),
      tolerance: 0,
      scaleUp: { stabilizationWindowMs: 0, selectPolicy: "Max", policies: [] },
      scaleDown: {
        stabilizationWindowMs: policy.stabilizationPeriodSec * 1000,
        selectPolicy: scalesIn ? "Max" : "Disabled",
        policies: limitsOf(policy),
      },
      zeroAfterMs: null,
      intervalMs: 60_000,
    },
    lost,
  };
}

function limitsOf({ scaleInControl: control }: AutoscalingPolicy): ScalingRules["policies"] {
  if (control === undefined) return [];
  const { fixed, percent } = control.maxScaledInReplicas;
  const periodMs = control.timeWindowSec * 1000;
  return [fixed === undefined ? { type: "Percent", value: percent ?? 100, periodMs } : { type: "Pods", value: fixed, periodMs }];
}

function rulesOf(policy: AutoscalingPolicy, lost: string[]): readonly IntentRule[] {
  const { cpuUtilization: cpu, loadBalancingUtilization: balancing, customMetricUtilizations: custom = [] } = policy;
  const rules: IntentRule[] = [];
  const percent = (share: number) => Number((share * 100).toPrecision(12));
  if (cpu !== undefined) rules.push({ signal: "cpu", level: percent(cpu.utilizationTarget), of: "perReplica" });
  if (balancing !== undefined) rules.push({ signal: LOAD_BALANCING_METRIC, level: balancing.utilizationTarget, of: "perReplica" });
  for (const one of custom) rules.push(customRule(one, lost));
  if (rules.length > 0 || Object.keys(policy.scalingSchedules ?? {}).length > 0) return rules;
  return [{ signal: "cpu", level: percent(DEFAULT_CPU_TARGET), of: "perReplica" }];
}

function customRule(
  { metric, filter, utilizationTarget, utilizationTargetType, singleInstanceAssignment }: CustomMetricUtilization,
  lost: string[],
): IntentRule {
  if (filter !== undefined) lost.push(`The filter of ${metric} is left out.`);
  if (singleInstanceAssignment !== undefined) return { signal: metric, level: singleInstanceAssignment, of: "perReplica", total: true };
  const level = (utilizationTarget as number) / (utilizationTargetType === "DELTA_PER_MINUTE" ? 60 : 1);
  if (utilizationTargetType !== "GAUGE") lost.push(`${metric} is a counter; its target stands per second.`);
  return { signal: metric, level, of: isGroupMetric(filter) ? "endpoint" : "perReplica" };
}

const PREFIX = "custom.googleapis.com/";
const MOST_METRICS = 5;

function fromIntent({ name, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const group = target?.kind === TARGET_KIND ? target.name : name;
  const url = `https://www.googleapis.com/compute/v1/projects/PROJECT/zones/ZONE/instanceGroupManagers/${group}`;
  lost.push(`Fill in project and zone of ${url}.`);
  const cpu = rules.find(({ signal }) => signal === "cpu");
  const balancing = rules.find(({ signal }) => signal === LOAD_BALANCING_METRIC);
  const custom = rules.filter((rule) => rule !== cpu && rule !== balancing);
  if (rules.length === 0) lost.push("There is no rule that the autoscaler could follow: without a signal it aims at 60 % CPU.");
  if (custom.length > MOST_METRICS) {
    const more = custom.slice(MOST_METRICS).map(({ signal }) => signal);
    lost.push(`A policy has ${MOST_METRICS} custom metrics: ${more.join(", ")} left out.`);
  }
  for (const { signal, query } of custom.slice(0, MOST_METRICS)) {
    lost.push(`Cloud Monitoring has to be given ${metricName(signal)}${query === undefined ? "" : ` (${query})`}.`);
  }
  const asleep = custom.some(({ total }) => total === true);
  if (min === 0 && !asleep) lost.push("A group leaves zero only by a metric of the whole group or a schedule.");
  if (tolerance !== null && tolerance !== 0) lost.push(`The autoscaler has no tolerance (${tolerance}).`);
  if (scaleUp !== null && (scaleUp.stabilizationWindowMs > 0 || scaleUp.policies.length > 0 || scaleUp.selectPolicy === "Disabled")) {
    lost.push("The autoscaler scales out at once: windows and rates on the way up are left out.");
  }
  if (zeroAfterMs !== null) lost.push(`A group has no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null && intervalMs !== 60_000) lost.push("The autoscaler looks about once a minute.");
  return {
    document: {
      kind: KIND,
      name,
      target: url,
      autoscalingPolicy: {
        minNumReplicas: min,
        maxNumReplicas: max,
        coolDownPeriodSec: 60,
        stabilizationPeriodSec: Math.round((scaleDown?.stabilizationWindowMs ?? 600_000) / 1000),
        mode: scaleDown?.selectPolicy === "Disabled" ? "ONLY_SCALE_OUT" : "ON",
        ...(cpu === undefined ? {} : { cpuUtilization: { utilizationTarget: Math.min(1, cpu.level / 100), predictiveMethod: "NONE" } }),
        ...(balancing === undefined ? {} : { loadBalancingUtilization: { utilizationTarget: balancing.level } }),
        ...(custom.length === 0 ? {} : { customMetricUtilizations: custom.slice(0, MOST_METRICS).map(writeMetric) }),
        ...scaleInControl(scaleDown, lost),
      },
    },
    lost,
  };
}

const metricName = (signal: string) => (signal.includes("/") ? signal : `${PREFIX}${signal}`);

function writeMetric({ signal, level, of, total }: IntentRule): CustomMetricUtilization {
  const metric = metricName(signal);
  // Of the whole group, as its filter says.
  const filter = 'resource.type = "global"';
  if (of === "perReplica" && total === true) return { metric, filter, singleInstanceAssignment: level };
  const utilization = { metric, utilizationTarget: level, utilizationTargetType: "GAUGE" } as const;
  return of === "endpoint" ? { ...utilization, filter } : utilization;
}

/** The slowest of several rates, so that none is exceeded where HPA would take the fastest. */
function scaleInControl(scaleDown: ScalingRules | null, lost: string[]): Pick<AutoscalingPolicy, "scaleInControl"> {
  if (scaleDown === null || scaleDown.selectPolicy === "Disabled" || scaleDown.policies.length === 0) return {};
  const perSecond = ({ value, periodMs }: { readonly value: number; readonly periodMs: number }) => value / periodMs;
  const [policy, ...others] = scaleDown.policies.toSorted((a, b) => perSecond(a) - perSecond(b));
  if (policy === undefined) return {};
  if (others.length > 0) lost.push(`A scale-in control has one rate: ${policy.value}${policy.type === "Percent" ? " %" : ""}.`);
  const timeWindowSec = Math.min(3600, Math.max(60, Math.round(policy.periodMs / 1000)));
  if (timeWindowSec * 1000 !== policy.periodMs)
    lost.push(`A scale-in control looks back 60 s to 1 h: ${policy.periodMs / 1000} s became ${timeWindowSec} s.`);
  const value = Math.max(1, Math.round(policy.value));
  return {
    scaleInControl: {
      maxScaledInReplicas: policy.type === "Percent" ? { percent: Math.min(100, value) } : { fixed: value },
      timeWindowSec,
    },
  };
}
