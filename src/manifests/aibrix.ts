import { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import {
  AIBRIX_PREFIX,
  ANNOTATIONS,
  localClock,
  PANIC_ANNOTATION,
  PROFILES_ANNOTATION,
  parseProfiles,
  RESYNC_MS,
  settingsOf,
  WEEKDAYS,
} from "../policy/dialects/aibrix/index.ts";
import type { ManifestIssue } from "./issue.ts";
import { annotationPath, MAX_INT32, named, objectOf, parseObject, typeOf } from "./kubernetes-object.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const API_VERSION = "autoscaling.aibrix.ai/v1alpha1";
const KIND = "PodAutoscaler";
/** What the GPU optimizer serves. */
const ADVICE_METRIC = "vllm:deployment_replicas";
const SCALE_TO_ZERO = `${AIBRIX_PREFIX}scale-to-zero`;
const STORM_MODE = `${AIBRIX_PREFIX}storm-service-mode`;

const count = z.int().min(0).max(MAX_INT32);
const windowSeconds = z.int().min(1).max(3600, "is longer than an hour (3600)");
const time = z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, "is no time of the day; use HH:MM, such as 09:00");
const reference = z.strictObject({
  apiVersion: z.string().optional(),
  kind: z.string().min(1),
  name: z.string().min(1),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  fieldPath: z.string().optional(),
});

const source = z.strictObject({
  metricSourceType: z.enum(["pod", "resource", "custom", "external", "domain"]),
  protocolType: z.enum(["http", "https"]).optional(),
  endpoint: z.string().optional(),
  path: z.string().optional(),
  port: z.string('must be text, such as "8000"').optional(),
  targetMetric: z.string().min(1, "must be named"),
  targetValue: z.string('must be text, such as "50"'),
});
type Source = z.infer<typeof source>;

const schedule = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be small letters, digits and hyphens"),
  timezone: z.string().optional(),
  daysOfWeek: z.array(z.string()).min(1).optional(),
  startTime: time,
  endTime: time,
  minReplicas: count.optional(),
  maxReplicas: count.optional(),
});
type Schedule = z.infer<typeof schedule>;

const spec = z.strictObject({
  scaleTargetRef: reference,
  subTargetSelector: z.strictObject({ roleName: z.string().optional() }).optional(),
  minReplicas: count.optional(),
  maxReplicas: z.int().min(1, "must be at least 1").max(MAX_INT32),
  schedules: z.array(schedule).min(1).optional(),
  metricsSources: z.array(source).min(1, "must name at least one metric"),
  observeWindowSeconds: windowSeconds.optional(),
  panicWindowSeconds: windowSeconds.optional(),
  scalingStrategy: z.enum(["HPA", "KPA", "APA"]),
});
type Spec = z.infer<typeof spec>;
const schema = objectOf(spec);

/** AIBrix's PodAutoscaler, of every strategy. */
export const aibrixReader: ManifestReader = {
  dialect: "aibrix",
  recognizes(document) {
    const found = typeOf(document);
    return found?.apiVersion === API_VERSION && found.kind === KIND;
  },
  read,
  write: ({ name, namespace, annotations, spec: of }) => ({
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name, namespace, ...(annotations === undefined ? {} : { annotations }) },
    spec: of,
  }),
  intent,
  fromIntent,
};

function read(document: unknown): ReadManifest {
  const found = typeOf(document);
  if (found === null || found.kind !== KIND || found.apiVersion !== API_VERSION) {
    return { issues: [{ path: "kind", message: `is not ${API_VERSION} ${KIND}` }] };
  }
  const parsed = parseObject(schema, document);
  if ("issues" in parsed) return parsed;
  const { metadata, spec: value } = parsed.value;
  const { kept, issues: wrong } = readAnnotations(metadata.annotations ?? {});
  const issues = [...wrong, ...check(value), ...(kept[PROFILES_ANNOTATION] === undefined ? [] : checkOptimized(value))];
  if (issues.length > 0) return { issues };
  const { apiVersion = "", kind, name } = value.scaleTargetRef;
  const part = value.subTargetSelector?.roleName ?? "";
  return {
    manifest: {
      ...named(metadata),
      ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }),
      // Only JSON comes through the schema.
      spec: value as unknown as { readonly [key: string]: Json | undefined },
    },
    target: { apiVersion, kind, name, ...(part === "" ? {} : { part }) },
  };
}

function readAnnotations(given: Readonly<Record<string, string>>): {
  readonly kept: Readonly<Record<string, string>>;
  readonly issues: readonly ManifestIssue[];
} {
  const kept: Record<string, string> = {};
  const issues: ManifestIssue[] = [];
  for (const [key, text] of Object.entries(given)) {
    const at = (message: string) => issues.push({ path: annotationPath("metadata.annotations", key), message });
    const name = key.startsWith(AIBRIX_PREFIX) ? key.slice(AIBRIX_PREFIX.length) : null;
    const rule = name !== null && Object.hasOwn(ANNOTATIONS, name) ? ANNOTATIONS[name as keyof typeof ANNOTATIONS] : undefined;
    if (rule !== undefined) {
      if (rule.parse(text) === undefined) at(`is ${JSON.stringify(text)}; use ${rule.range}`);
    } else if (key === SCALE_TO_ZERO) {
      if (text !== "true" && text !== "false") at(`is ${JSON.stringify(text)}; use true or false`);
    } else if (key === PANIC_ANNOTATION) {
      if (text !== "repaired" && text !== "released") at(`is ${JSON.stringify(text)}; use repaired or released`);
    } else if (key === PROFILES_ANNOTATION) {
      const parsed = parseProfiles(text);
      if ("issue" in parsed) at(parsed.issue);
    } else if (key !== STORM_MODE) {
      if (name !== null) at("is not an annotation of AIBrix's autoscaler; remove it or mend its name");
      continue;
    }
    kept[key] = text;
  }
  return { kept, issues };
}

/** What the admission webhook refuses besides the shape. */
function check(value: Spec): readonly ManifestIssue[] {
  const issues: ManifestIssue[] = [];
  const at = (path: string, message: string) => issues.push({ path, message });
  const { minReplicas = 1, maxReplicas, observeWindowSeconds = 180, panicWindowSeconds = 60, scalingStrategy } = value;
  if (minReplicas > maxReplicas)
    at("spec.maxReplicas", `(${maxReplicas}) is below minReplicas (${minReplicas}); raise it or lower the minimum`);
  if (panicWindowSeconds > observeWindowSeconds) {
    at(
      "spec.panicWindowSeconds",
      `(${panicWindowSeconds}) is above observeWindowSeconds (${observeWindowSeconds}); lower it or raise the other`,
    );
  }
  if ((value.subTargetSelector?.roleName ?? "") !== "") {
    if (scalingStrategy === "HPA") at("spec.subTargetSelector.roleName", "does not go with scalingStrategy HPA; use APA or KPA");
    if (value.scaleTargetRef.kind !== "StormService") at("spec.subTargetSelector.roleName", "is for a StormService only; remove it");
  }
  for (const [index, one] of value.metricsSources.entries()) checkSource(one, `spec.metricsSources[${index}]`, scalingStrategy, at);
  checkSchedules(value, at);
  return issues;
}

/** Pools that the GPU optimizer counts follow its advice, and nothing else. */
function checkOptimized({ scalingStrategy, metricsSources: [source, ...more] }: Spec): readonly ManifestIssue[] {
  const followsAdvice =
    source?.targetMetric === ADVICE_METRIC && (source.metricSourceType === "external" || source.metricSourceType === "domain");
  if (scalingStrategy !== "KPA") return [{ path: "spec.scalingStrategy", message: `is ${scalingStrategy}; GPU profiles go with KPA` }];
  if (followsAdvice && more.length === 0) return [];
  return [{ path: "spec.metricsSources", message: `must be the one external metric ${ADVICE_METRIC} where GPU profiles are given` }];
}

type At = (path: string, message: string) => void;

function checkSource(one: Source, path: string, strategy: Spec["scalingStrategy"], at: At): void {
  const value = one.targetValue.trim() === "" ? Number.NaN : Number(one.targetValue);
  if (!(value > 0 && Number.isFinite(value))) at(`${path}.targetValue`, `is ${JSON.stringify(one.targetValue)}; use a number above 0`);
  const needs = (field: "protocolType" | "port" | "path") => {
    if ((one[field] ?? "") === "") at(`${path}.${field}`, `is needed for metricSourceType ${one.metricSourceType}`);
  };
  switch (one.metricSourceType) {
    case "pod":
      if (strategy !== "HPA") for (const field of ["protocolType", "port", "path"] as const) needs(field);
      return;
    case "external":
    case "domain":
      // Without an endpoint it is the cluster's external metrics API.
      if ((one.endpoint ?? "") !== "") for (const field of ["protocolType", "path"] as const) needs(field);
      return;
    case "resource":
      if (one.targetMetric !== "cpu" && one.targetMetric !== "memory")
        at(`${path}.targetMetric`, "must be cpu or memory for metricSourceType resource");
      for (const field of ["port", "endpoint", "path", "protocolType"] as const) {
        if ((one[field] ?? "") !== "") at(`${path}.${field}`, "does not go with metricSourceType resource; remove it");
      }
      return;
    case "custom":
  }
}

function checkSchedules({ schedules = [], minReplicas = 1, maxReplicas }: Spec, at: At): void {
  const days = ({ daysOfWeek }: Schedule) => daysOfWeek?.map((day) => day.toLowerCase()) ?? WEEKDAYS;
  for (const [index, one] of schedules.entries()) {
    const path = `spec.schedules[${index}]`;
    if (one.startTime >= one.endTime)
      at(`${path}.endTime`, `(${one.endTime}) is not after startTime (${one.startTime}); a window ends on its own day`);
    if (one.minReplicas === undefined && one.maxReplicas === undefined) at(path, "changes no bound; give minReplicas or maxReplicas");
    const [min, max] = [one.minReplicas ?? minReplicas, one.maxReplicas ?? maxReplicas];
    if (max < 1) at(`${path}.maxReplicas`, "must be at least 1");
    else if (min > max) at(path, `has a minimum (${min}) above its maximum (${max}); raise the one or lower the other`);
    for (const [day, called] of (one.daysOfWeek ?? []).entries()) {
      if (!(WEEKDAYS as readonly string[]).includes(called.toLowerCase()))
        at(`${path}.daysOfWeek[${day}]`, `is ${called}; use Mon, Tue, Wed, Thu, Fri, Sat or Sun`);
    }
    if ((one.timezone ?? "UTC") !== (schedules[0]?.timezone ?? "UTC"))
      at(`${path}.timezone`, "differs from the first schedule's; all have to be in one time zone");
    if (one.timezone !== undefined && !isTimeZone(one.timezone))
      at(`${path}.timezone`, `is ${one.timezone}; use an IANA name, such as Europe/Berlin`);
    for (const before of schedules.slice(0, index)) {
      if (before.name === one.name) at(`${path}.name`, `is that of another schedule (${one.name}); rename one`);
      const shared = days(one).some((day) => (days(before) as readonly string[]).includes(day));
      if (shared && one.startTime < before.endTime && before.startTime < one.endTime)
        at(path, `overlaps schedule ${before.name}; only one may hold at a time`);
    }
  }
}

function isTimeZone(name: string): boolean {
  try {
    localClock(name);
    return true;
  } catch {
    return false;
  }
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const settings = settingsOf(manifest);
  const { strategy, sources, schedules, upTolerance, downTolerance, maxScaleUpRate, maxScaleDownRate } = settings;
  const lost: string[] = [];
  if (schedules.length > 0)
    lost.push(`Schedules (${schedules.map(({ name }) => name).join(", ")}) are left out: the bounds are those of other hours.`);
  if (strategy === "KPA") {
    lost.push(
      "AIBrix's KPA takes the pods' average over the target for the count itself; as a rule of each replica the count grows with it.",
    );
    lost.push(`Its panic, at ${settings.panicThreshold} times the longer average, is left out.`);
  }
  if (strategy !== "HPA" && settings.downCooldownMs > 0) {
    lost.push(
      "Its cooldown windows take the largest rise and the smallest fall recommended in them; no other system does, so they are left out.",
    );
  }
  if (upTolerance !== downTolerance)
    lost.push(`The tolerances differ by direction (${upTolerance} up, ${downTolerance} down); the smaller one stands for both.`);
  const periodMs = strategy === "HPA" ? 60_000 : RESYNC_MS;
  const rules = (value: number, windowMs: number): ScalingRules => ({
    stabilizationWindowMs: strategy === "HPA" ? windowMs : 0,
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: Math.max(1, Math.trunc(value)), periodMs }],
  });
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: settings.min,
      max: settings.max,
      rules: sources.map(({ type, metric, target: level }): IntentRule => {
        if (type !== "external" && type !== "domain") return { signal: metric, level, of: "perReplica" };
        return strategy === "APA" ? { signal: metric, level, of: "endpoint" } : { signal: metric, level, of: "perReplica", total: true };
      }),
      tolerance: strategy === "HPA" ? null : Math.min(upTolerance, downTolerance),
      scaleUp: rules((maxScaleUpRate - 1) * 100, settings.upCooldownMs),
      scaleDown: rules((1 - 1 / maxScaleDownRate) * 100, settings.downCooldownMs),
      zeroAfterMs: null,
      intervalMs: strategy === "HPA" ? 15_000 : RESYNC_MS,
    },
    lost,
  };
}

/** APA for rules of each replica or of the endpoint, KPA where every rule shares a total among replicas. */
function fromIntent({ name, namespace, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const shared = rules.filter(({ of, total }) => of === "perReplica" && total === true);
  const strategy = rules.length > 0 && shared.length === rules.length ? "KPA" : "APA";
  if (strategy === "APA")
    for (const { signal, level } of shared)
      lost.push(`The rule on ${signal} (${level}) is left out: APA knows no total that is shared among replicas.`);
  const kept = strategy === "KPA" ? rules : rules.filter((rule) => !shared.includes(rule));
  if (kept.length === 0) lost.push("There is no rule that AIBrix could follow: it holds 16 running requests on each pod.");
  if (kept.some(({ signal }) => signal !== "cpu" && signal !== "memory"))
    lost.push("Metrics are read at port 8000 under /metrics: mend port, path and names to what your engine serves.");
  for (const { signal, query } of kept)
    if (query !== undefined) lost.push(`${signal} comes from a query (${query}): something has to serve it as an external metric.`);
  const sources = (kept.length === 0 ? [{ signal: "running", level: 16, of: "perReplica" } as const] : kept).map(sourceOf);

  const rates = { "max-scale-up-rate": rateOf(scaleUp, 1, lost), "max-scale-down-rate": rateOf(scaleDown, -1, lost) };
  if ((scaleUp?.stabilizationWindowMs ?? 0) > 0 || (scaleDown?.stabilizationWindowMs ?? 0) > 0) {
    lost.push("AIBrix's cooldown windows do the reverse of a stabilization window (they shrink sooner), so both are 0.");
  }
  if (zeroAfterMs !== null) lost.push(`AIBrix has no idle time (${zeroAfterMs / 1000} s) before zero, and does not wake by itself.`);
  if (intervalMs !== null && intervalMs !== RESYNC_MS) lost.push("AIBrix decides every 10 s, whatever the interval.");
  if (target === null) lost.push(`No target is known: scaleTargetRef is a Deployment named ${name}.`);
  const texts: Readonly<Record<string, string | undefined>> = {
    ...rates,
    "scale-up-tolerance": tolerance === null ? undefined : String(tolerance),
    "scale-down-tolerance": tolerance === null ? undefined : String(tolerance),
    "scale-down-cooldown-window": "0s",
  };
  const annotations = Object.fromEntries(
    Object.entries(texts).flatMap(([key, text]) => (text === undefined ? [] : [[AIBRIX_PREFIX + key, text]])),
  );
  return {
    document: {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name, namespace, annotations },
      spec: {
        scaleTargetRef:
          target === null
            ? { apiVersion: "apps/v1", kind: "Deployment", name }
            : { apiVersion: target.apiVersion, kind: target.kind, name: target.name },
        ...(target?.part === undefined ? {} : { subTargetSelector: { roleName: target.part } }),
        minReplicas: min,
        maxReplicas: Math.min(Math.max(1, max), MAX_INT32),
        metricsSources: sources,
        scalingStrategy: strategy,
      },
    },
    lost,
  };
}

function sourceOf({ signal, level, of, total }: IntentRule): Source {
  const metric = { targetMetric: signal, targetValue: String(level) };
  if (signal === "cpu" || signal === "memory") return { metricSourceType: "resource", ...metric };
  if (of === "endpoint" || total === true) return { metricSourceType: "external", ...metric };
  return { metricSourceType: "pod", protocolType: "http", port: "8000", path: "/metrics", ...metric };
}

/** A Percent policy as a factor in one step; undefined: the default of 2 stands. */
function rateOf(rules: ScalingRules | null, direction: 1 | -1, lost: string[]): string | undefined {
  if (rules === null) return undefined;
  const way = direction === 1 ? "up" : "down";
  const percent = rules.policies.find(({ type }) => type === "Percent")?.value;
  if (percent === undefined || rules.selectPolicy === "Disabled") {
    lost.push(
      `AIBrix limits steps ${way} by a factor only: it may go ${direction === 1 ? "to twice" : "to half"} of the count every 10 s.`,
    );
    return undefined;
  }
  if (rules.policies.some(({ periodMs }) => periodMs !== RESYNC_MS))
    lost.push(`The factor ${way} holds for every 10 s, not for the period of the policy.`);
  if (direction === 1) return String(1 + percent / 100);
  return String(percent >= 100 ? MAX_INT32 : Math.round(1_000_000 / (1 - percent / 100)) / 1_000_000);
}
