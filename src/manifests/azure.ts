import { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import {
  ACTION_TYPES,
  AGGREGATIONS,
  type AutoscaleSetting,
  azureDialect,
  CPU_METRIC,
  formatIsoDuration,
  type MetricTrigger,
  OPERATORS,
  parseDateTime,
  parseIsoDuration,
  type ScaleRule,
  STATISTICS,
  WEEKDAYS,
  zoneOfWindows,
} from "../policy/dialects/azure/index.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const TYPE = "Microsoft.Insights/autoscaleSettings";
const API_VERSION = "2022-10-01";

/** Fields of the resource that decide nothing here are named and kept as they are. */
const kept = z.unknown();
const MINUTE = 60_000;

const duration = (leastMs: number, mostMs: number) =>
  z.string().superRefine((text, context) => {
    const ms = parseIsoDuration(text);
    if (ms === undefined) context.addIssue(`is ${JSON.stringify(text)}; write an ISO 8601 duration, such as PT5M`);
    else if (ms < leastMs || ms > mostMs) {
      context.addIssue(`is ${text}; it runs from ${formatIsoDuration(leastMs)} to ${formatIsoDuration(mostMs)}`);
    }
  });
/** Azure writes counts as texts and takes numbers too. */
const countText = z
  .union([z.string(), z.int()])
  .transform(String)
  .refine((text) => /^\d+$/.test(text), "is no whole number");
const windowsZone = z
  .string()
  .refine((name) => zoneOfWindows(name) !== undefined, "is no Windows time zone, such as Pacific Standard Time or UTC");

const operator = z.enum(["Equals", "NotEquals"]);
const dimension = z.union([
  z.strictObject({ DimensionName: z.string(), Operator: operator, Values: z.array(z.string()) }),
  // As az prints it.
  z
    .strictObject({ dimensionName: z.string(), operator, values: z.array(z.string()) })
    .transform((one) => ({ DimensionName: one.dimensionName, Operator: one.operator, Values: one.values })),
]);

const metricTrigger = z
  .strictObject({
    metricName: z.string().min(1),
    metricNamespace: z.string().optional(),
    metricResourceUri: z.string().min(1),
    metricResourceLocation: z.string().optional(),
    timeGrain: duration(MINUTE, 720 * MINUTE),
    statistic: z.enum(STATISTICS),
    timeWindow: duration(5 * MINUTE, 720 * MINUTE),
    timeAggregation: z.enum(AGGREGATIONS).default("Average"),
    operator: z.enum(OPERATORS),
    threshold: z.number(),
    dimensions: z.array(dimension).optional(),
    dividePerInstance: z.boolean().default(false),
  })
  .superRefine(({ timeGrain, timeWindow }, context) => {
    const [grainMs, windowMs] = [parseIsoDuration(timeGrain), parseIsoDuration(timeWindow)];
    if (grainMs !== undefined && windowMs !== undefined && windowMs < grainMs) {
      context.addIssue({ code: "custom", path: ["timeWindow"], message: `(${timeWindow}) is shorter than timeGrain (${timeGrain})` });
    }
  });

const rule = z.strictObject({
  metricTrigger,
  scaleAction: z.strictObject({
    direction: z.enum(["None", "Increase", "Decrease"]),
    type: z.enum(ACTION_TYPES),
    value: countText.default("1"),
    cooldown: duration(MINUTE, 10_080 * MINUTE),
  }),
});

const profile = z
  .strictObject({
    name: z.string().min(1),
    capacity: z.strictObject({ minimum: countText, maximum: countText, default: countText }),
    rules: z.array(rule).max(10, "has more than 10 rules, which is the most of a profile"),
    fixedDate: z.strictObject({ timeZone: windowsZone.default("UTC"), start: z.string(), end: z.string() }).optional(),
    recurrence: z
      .strictObject({
        frequency: z.literal("Week", { error: "is Week; Azure has no other" }),
        schedule: z.strictObject({
          timeZone: windowsZone,
          days: z.array(z.enum(WEEKDAYS)).min(1),
          hours: z.array(z.int().min(0).max(23)).min(1),
          minutes: z.array(z.int().min(0).max(59)).min(1),
        }),
      })
      .optional(),
  })
  .superRefine(({ capacity, fixedDate, recurrence }, context) => {
    const issue = (path: readonly string[], message: string) => context.addIssue({ code: "custom", path: [...path], message });
    const [min, max, usual] = [Number(capacity.minimum), Number(capacity.maximum), Number(capacity.default)];
    if (min > max) issue(["capacity", "minimum"], `(${min}) is above the maximum (${max}); lower it`);
    else if (usual < min || usual > max) issue(["capacity", "default"], `(${usual}) is outside ${min} to ${max}; move it inside`);
    if (fixedDate !== undefined && recurrence !== undefined) issue(["recurrence"], "is stated beside fixedDate; a profile has one of them");
    if (fixedDate === undefined) return;
    const zone = zoneOfWindows(fixedDate.timeZone) ?? "UTC";
    const [start, end] = [parseDateTime(fixedDate.start, zone), parseDateTime(fixedDate.end, zone)];
    if (start === undefined) issue(["fixedDate", "start"], "is no ISO 8601 date and time");
    if (end === undefined) issue(["fixedDate", "end"], "is no ISO 8601 date and time");
    if (start !== undefined && end !== undefined && start >= end) issue(["fixedDate", "end"], "is not after the start");
  });

const notification = z.strictObject({
  operation: z.literal("Scale"),
  email: z
    .strictObject({
      sendToSubscriptionAdministrator: z.boolean(),
      sendToSubscriptionCoAdministrators: z.boolean(),
      customEmails: z.array(z.string()),
    })
    .partial()
    .optional(),
  webhooks: z.array(z.strictObject({ serviceUri: z.string(), properties: z.record(z.string(), z.string()) }).partial()).optional(),
});

const properties = z.strictObject({
  name: z.string().optional(),
  targetResourceUri: z.string().min(1),
  targetResourceLocation: z.string().optional(),
  enabled: z.boolean().default(false),
  profiles: z.array(profile).min(1).max(20, "has more than 20 profiles, which is the most of a setting"),
  notifications: z.array(notification).optional(),
  predictiveAutoscalePolicy: z
    .strictObject({
      scaleMode: z.enum(["Disabled", "ForecastOnly", "Enabled"]),
      scaleLookAheadTime: duration(MINUTE, 60 * MINUTE).optional(),
    })
    .optional(),
});

const setting = z.strictObject({
  id: z.string().optional(),
  name: z.string().optional(),
  type: z.string().optional(),
  apiVersion: z.string().optional(),
  location: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  systemData: kept.optional(),
  dependsOn: kept.optional(),
  comments: kept.optional(),
  condition: kept.optional(),
  properties,
});

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const isType = (value: unknown) => typeof value === "string" && value.toLowerCase() === TYPE.toLowerCase();

/** A setting as ARM's REST has it, as `az monitor autoscale show` prints it (without `properties`), or the one of a template. */
function settingIn(document: unknown): { readonly root: string; readonly fields: Fields } | null {
  if (!isFields(document)) return null;
  if (Array.isArray(document["resources"])) {
    const at = document["resources"].findIndex((resource) => isFields(resource) && isType(resource["type"]));
    return at < 0 ? null : { root: `resources[${at}]`, fields: document["resources"][at] as Fields };
  }
  if (isFields(document["properties"]) && (isType(document["type"]) || "targetResourceUri" in document["properties"])) {
    return { root: "", fields: document };
  }
  if (!("profiles" in document && "targetResourceUri" in document)) return null;
  const own = ["targetResourceUri", "targetResourceLocation", "enabled", "profiles", "notifications", "predictiveAutoscalePolicy"];
  const { resourceGroup: _, ...rest } = document;
  const part = (inside: boolean) => Object.fromEntries(Object.entries(rest).filter(([key]) => own.includes(key) === inside));
  return { root: "", fields: { ...part(false), properties: part(true) } };
}

export const azureReader: ManifestReader = {
  dialect: "azure",
  recognizes: (document) => settingIn(document) !== null,
  read,
  write: ({ spec }) => ({ type: TYPE, apiVersion: API_VERSION, ...spec }),
  intent,
  fromIntent,
};

function read(source: unknown): ReadManifest {
  const found = settingIn(withoutNulls(source));
  if (found === null) return { issues: [{ path: "", message: `is no resource of type ${TYPE} with properties.targetResourceUri` }] };
  const parsed = setting.safeParse(found.fields);
  if (!parsed.success) return { issues: manifestIssues(parsed.error, found.root) };
  const { type: _, apiVersion: __, ...spec } = parsed.data;
  const target = targetOf(spec.properties.targetResourceUri);
  const name = spec.name ?? spec.properties.name ?? target?.name ?? "autoscale";
  return { manifest: { name, namespace: "default", spec: spec as unknown as { readonly [key: string]: Json } }, target };
}

/** `/…/providers/Microsoft.Compute/virtualMachineScaleSets/llm`, or a template's `[resourceId('…', 'llm')]`. */
function targetOf(uri: string): Target | null {
  const [, apiVersion, kind, name] =
    /\/providers\/([^/]+)\/([^/]+)\/([^/]+)$/i.exec(uri) ?? /resourceId\(\s*'([^'/]+)\/([^'/]+)'\s*,\s*'([^']+)'\s*\)/i.exec(uri) ?? [];
  return apiVersion === undefined || kind === undefined || name === undefined ? null : { apiVersion, kind, name };
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const { properties: setting } = manifest.spec as unknown as AutoscaleSetting;
  const lost: string[] = [];
  const usual =
    setting.profiles.find(({ fixedDate, recurrence }) => fixedDate === undefined && recurrence === undefined) ?? setting.profiles[0];
  for (const { name } of setting.profiles)
    if (name !== usual?.name) lost.push(`The profile ${name} is left out: other systems have no calendar of bounds.`);
  if (setting.predictiveAutoscalePolicy?.scaleMode === "Enabled") lost.push("Predictive scaling is left out.");
  const rules = usual?.rules ?? [];
  const outs = rules.filter(({ scaleAction }) => scaleAction.direction === "Increase");
  const ins = rules.filter(({ scaleAction }) => scaleAction.direction === "Decrease");
  if (rules.length > 0)
    lost.push("Steps at thresholds become targets at the thresholds of the scale-out rules; the scale-in thresholds are left out.");
  const metrics = new Map<string, ScaleRule>();
  for (const one of [...outs, ...ins]) {
    const known = metrics.get(one.metricTrigger.metricName);
    if (known === undefined) metrics.set(one.metricTrigger.metricName, one);
    else if (one.scaleAction.direction === "Increase" && one.metricTrigger.threshold < known.metricTrigger.threshold)
      metrics.set(one.metricTrigger.metricName, one);
  }
  const bounds = azureDialect.bounds(manifest) ?? { min: 0, max: 1 };
  const [min, max] = usual === undefined ? [bounds.min, bounds.max] : [Number(usual.capacity.minimum), Number(usual.capacity.maximum)];
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min,
      max,
      rules: [...metrics.values()].map(({ metricTrigger: trigger }) => targetRule(trigger)),
      tolerance: null,
      scaleUp: scalingRules(outs, lost),
      scaleDown:
        rules.length > 0 && ins.length === 0
          ? { stabilizationWindowMs: 0, selectPolicy: "Disabled", policies: [] }
          : scalingRules(ins, lost),
      zeroAfterMs: null,
      intervalMs: MINUTE,
    },
    lost,
  };
}

const isTotal = ({ statistic, timeAggregation }: MetricTrigger) =>
  statistic === "Sum" || statistic === "Count" || timeAggregation === "Total" || timeAggregation === "Count";

function targetRule(trigger: MetricTrigger): IntentRule {
  const { metricName, threshold: level, dividePerInstance } = trigger;
  const signal = metricName === CPU_METRIC ? "cpu" : metricName;
  if (dividePerInstance) return { signal, level, of: "perReplica", total: true };
  return { signal, level, of: isTotal(trigger) ? "endpoint" : "perReplica" };
}

/** One action a cool-down, in the window that the condition has to last for. */
function scalingRules(rules: readonly ScaleRule[], lost: string[]): ScalingRules | null {
  if (rules.length === 0) return null;
  const ms = (text: string) => parseIsoDuration(text) ?? 0;
  return {
    stabilizationWindowMs: Math.max(...rules.map(({ metricTrigger }) => ms(metricTrigger.timeWindow))),
    selectPolicy: "Max",
    policies: rules.flatMap(({ scaleAction: { type, value, cooldown } }) => {
      if (type === "ExactCount") lost.push(`The exact count of ${value} is left out: only Azure has such a rule.`);
      if (type === "ExactCount") return [];
      const percent = type === "PercentChangeCount";
      return [
        {
          type: percent ? ("Percent" as const) : ("Pods" as const),
          value: type === "ServiceAllowedNextValue" ? 1 : Number(value),
          periodMs: ms(cooldown),
        },
      ];
    }),
  };
}

/** Azure knows thresholds, not targets: out above the target by this share, in below it by as much, where nothing says another. */
const DEFAULT_TOLERANCE = 0.1;
const MOST_RULES = 10;

function fromIntent({ name, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const uri = `/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/${target?.apiVersion.startsWith("Microsoft.") ? `${target.apiVersion}/${target.kind}/${target.name}` : `Microsoft.Compute/virtualMachineScaleSets/${name}`}`;
  lost.push(`Fill in subscription and resource group of ${uri}.`);
  const share = tolerance ?? DEFAULT_TOLERANCE;
  const scalesIn = scaleDown?.selectPolicy !== "Disabled";
  const most = Math.floor(MOST_RULES / (scalesIn ? 2 : 1));
  if (rules.length > 0) {
    const below = scalesIn ? `, in below ${round(100 * (1 - share))} %` : "";
    lost.push(`Targets become thresholds: out above ${round(100 * (1 + share))} %${below} of each target, in the steps of the policies.`);
  }
  if (rules.length > most)
    lost.push(
      `A profile has ${MOST_RULES} rules: ${rules
        .slice(most)
        .map(({ signal }) => signal)
        .join(", ")} are left out.`,
    );
  if (zeroAfterMs !== null) lost.push(`A scale set has no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null && intervalMs !== MINUTE) lost.push("Azure looks every 30 to 60 s.");
  for (const { signal, query } of rules) {
    if (signal !== "cpu")
      lost.push(`Azure Monitor has to be given ${signal} as a custom metric${query === undefined ? "" : ` (${query})`}.`);
  }
  const written = rules
    .slice(0, most)
    .flatMap((one) => [
      ruleOf(one, uri, "Increase", one.level * (1 + share), scaleUp, lost),
      ...(scalesIn ? [ruleOf(one, uri, "Decrease", one.level * (1 - share), scaleDown, lost)] : []),
    ]);
  return {
    document: {
      type: TYPE,
      apiVersion: API_VERSION,
      name,
      properties: {
        targetResourceUri: uri,
        enabled: true,
        profiles: [{ name: "default", capacity: { minimum: String(min), maximum: String(max), default: String(min) }, rules: written }],
      },
    },
    lost: [...new Set(lost)],
  };
}

const round = (value: number) => Number(value.toPrecision(6));
const clampMs = (ms: number, least: number, most: number) =>
  formatIsoDuration(Math.min(most, Math.max(least, Math.ceil(ms / MINUTE) * MINUTE)));

function ruleOf(
  { signal, of, total }: IntentRule,
  uri: string,
  direction: "Increase" | "Decrease",
  threshold: number,
  rules: ScalingRules | null,
  lost: string[],
): ScaleRule {
  // A percentage of few instances may round to nothing on the way in; a count never does.
  const countsFirst = (type: string) => (direction === "Decrease" && type === "Pods" ? 0 : 1);
  const [policy, ...others] = (rules?.policies ?? []).toSorted((a, b) => countsFirst(a.type) - countsFirst(b.type) || b.value - a.value);
  if (others.length > 0)
    lost.push(
      `A rule has one step: ${direction === "Increase" ? "out" : "in"} it is ${policy?.value}${policy?.type === "Percent" ? " %" : ""}.`,
    );
  return {
    metricTrigger: {
      metricName: signal === "cpu" ? CPU_METRIC : signal,
      metricResourceUri: uri,
      timeGrain: "PT1M",
      statistic: "Average",
      timeWindow: clampMs(rules?.stabilizationWindowMs ?? 0, 5 * MINUTE, 720 * MINUTE),
      timeAggregation: "Average",
      operator: direction === "Increase" ? "GreaterThan" : "LessThan",
      threshold: round(threshold),
      dividePerInstance: of === "perReplica" && total === true,
    },
    scaleAction: {
      direction,
      type: policy?.type === "Percent" ? "PercentChangeCount" : "ChangeCount",
      value: String(Math.max(1, Math.round(policy?.value ?? 1))),
      cooldown: clampMs(policy?.periodMs ?? 5 * MINUTE, MINUTE, 10_080 * MINUTE),
    },
  };
}
