import { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import { formatQuantity, milliOf, milliQuantity, parseQuantity, toNumber } from "../policy/dialects/hpa/index.ts";
import { goDurationMs } from "../policy/dialects/kpa/index.ts";
import { DEFAULTS, settingsOf, type Unit, unitsOf } from "../policy/dialects/kthena/index.ts";
import type { ManifestIssue } from "./issue.ts";
import { joinBinding } from "./kthena-binding.ts";
import { named, objectOf, parseObject, typeOf } from "./kubernetes-object.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const API_VERSION = "workload.serving.volcano.sh/v1alpha1";
const KIND = "AutoscalingPolicy";
const MODEL_SERVING = "ModelServing";
const SYNC_MS = 15_000;
const MOST_REPLICAS = 1_000_000;
const LONGEST_MS = 1_800_000;

/** A quantity above 0 (or from 0 on); given as a number it is kept as text. */
const quantity = (least: "positive" | "natural") =>
  z
    .union([z.string(), z.number()], { error: "must be a quantity, such as 10 or 800m" })
    .transform(String)
    .superRefine((text, context) => {
      let value = Number.NaN;
      try {
        value = toNumber(parseQuantity(text));
      } catch {
        context.addIssue(`is ${JSON.stringify(text)}; use a quantity, such as 10 or 800m`);
        return;
      }
      if (least === "positive" ? value <= 0 : value < 0)
        context.addIssue(`is ${text}; use ${least === "positive" ? "more than 0" : "0 or more"}`);
    });
const duration = z.string().superRefine((text, context) => {
  const ms = goDurationMs(text);
  if (ms === undefined) context.addIssue(`is ${JSON.stringify(text)}; use a duration with unit, such as 30s or 5m`);
  else if (ms > LONGEST_MS) context.addIssue(`is ${text}; use 30m at most`);
});

const percent = z.int().min(0).max(1000);
const instances = z.int().min(0);
const stable = (window: string) =>
  z.strictObject({
    instances: instances.default(DEFAULTS.stable.instances),
    percent: percent.default(DEFAULTS.stable.percent),
    period: duration.default(DEFAULTS.stable.period),
    selectPolicy: z.enum(["Or", "And"]).default(DEFAULTS.stable.selectPolicy),
    stabilizationWindow: duration.default(window),
  });
const panic = z.strictObject({
  percent: percent.default(DEFAULTS.panic.percent),
  period: duration.default(DEFAULTS.panic.period),
  panicThresholdPercent: z
    .int()
    .min(110, "is below 110, the least that is a panic")
    .max(1000)
    .default(DEFAULTS.panic.panicThresholdPercent),
  panicModeHold: duration.default(DEFAULTS.panic.panicModeHold),
});
const behavior = z.strictObject({
  scaleUp: z.strictObject({ stablePolicy: stable(DEFAULTS.upWindow).prefault({}), panicPolicy: panic.prefault({}) }).prefault({}),
  scaleDown: stable(DEFAULTS.downWindow).prefault({}),
});

const metric = z.strictObject({ name: z.string().min(1, "must be named"), targetValue: quantity("positive") });
const labelSelector = z.strictObject({ matchLabels: z.record(z.string(), z.string()), matchExpressions: z.array(z.unknown()) }).partial();
const metricSource = z
  .strictObject({
    pod: z
      .strictObject({ name: z.string(), uri: z.string(), port: z.int().min(1).max(65_535), labelSelector })
      .partial()
      .optional(),
    prometheus: z.strictObject({ serverURL: z.url(), query: z.string().min(1), auth: z.unknown().optional() }).optional(),
  })
  .superRefine(({ pod, prometheus }, context) => {
    if ((pod === undefined) === (prometheus === undefined)) context.addIssue("needs one of pod and prometheus, and not both");
  });
const metricSources = z.record(z.string(), metricSource).optional();

const targetRef = z.strictObject({
  apiVersion: z.string().optional(),
  kind: z.enum(["", MODEL_SERVING], "is not what Kthena scales; use ModelServing").optional(),
  name: z.string().min(1, "must be named"),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  fieldPath: z.string().optional(),
});
const target = z.strictObject({ targetRef, metricSources });
const bounds = {
  minReplicas: z.int().min(0).max(MOST_REPLICAS),
  maxReplicas: z.int().min(1).max(MOST_REPLICAS),
};

const spec = z.strictObject({
  tolerancePercent: z.int().min(0).max(100).default(DEFAULTS.tolerancePercent),
  metrics: z.array(metric).optional(),
  behavior: behavior.prefault({}),
  homogeneousTarget: z.strictObject({ target, ...bounds }).optional(),
  heterogeneousTarget: z
    .strictObject({
      params: z.array(z.strictObject({ target, cost: z.int().min(0).default(0), ...bounds })).min(1),
      costExpansionRatePercent: z.int().min(1).default(DEFAULTS.costExpansionRatePercent),
    })
    .optional(),
  disaggregatedTarget: z
    .strictObject({
      targetRef,
      roles: z.record(z.string(), z.strictObject({ ...bounds, metrics: z.array(metric).min(1).optional(), metricSources })),
      ratioConstraint: z
        .strictObject({
          numeratorRole: z.string(),
          denominatorRole: z.string(),
          minRatio: quantity("natural"),
          maxRatio: quantity("positive"),
        })
        .optional(),
    })
    .optional(),
});
type Spec = z.infer<typeof spec>;
const schema = objectOf(spec);

const isPolicy = (document: unknown): boolean => {
  const found = typeOf(document);
  return found?.apiVersion === API_VERSION && found.kind === KIND;
};

/** The documents of a List; none of anything else. */
function itemsOf(document: unknown): readonly unknown[] {
  const { items } = (typeOf(document)?.kind === "List" ? document : {}) as { readonly items?: unknown };
  return Array.isArray(items) ? items : [];
}

/** Kthena's AutoscalingPolicy as of 1.0, which has its target in it, or a List of one and its binding, as before. */
export const kthenaReader: ManifestReader = {
  dialect: "kthena",
  recognizes: (document) => isPolicy(document) || itemsOf(document).some(isPolicy),
  read,
  write: ({ name, namespace, spec: of }) => ({ apiVersion: API_VERSION, kind: KIND, metadata: { name, namespace }, spec: of }),
  intent,
  fromIntent,
};

function read(document: unknown): ReadManifest {
  if (itemsOf(document).length > 0) {
    const joined = joinBinding(itemsOf(document));
    if ("issues" in joined) return joined;
    const result = readPolicy(joined.policy);
    return "issues" in result
      ? { issues: result.issues.map((issue) => ({ ...issue, path: `items[${joined.at}].${issue.path}` })) }
      : result;
  }
  return readPolicy(document);
}

function readPolicy(document: unknown): ReadManifest {
  if (!isPolicy(document)) return { issues: [{ path: "kind", message: `is not ${API_VERSION} ${KIND}` }] };
  const parsed = parseObject(schema, document);
  if ("issues" in parsed) return parsed;
  const { metadata, spec: value } = parsed.value;
  const issues = check(value);
  if (issues.length > 0) return { issues };
  const ref =
    value.homogeneousTarget?.target.targetRef ??
    value.heterogeneousTarget?.params[0]?.target.targetRef ??
    value.disaggregatedTarget?.targetRef;
  return {
    // Only JSON comes through the schema.
    manifest: { ...named(metadata), spec: value as unknown as { readonly [key: string]: Json | undefined } },
    target: ref === undefined ? null : { apiVersion: ref.apiVersion ?? API_VERSION, kind: ref.kind || MODEL_SERVING, name: ref.name },
  };
}

/** What the admission webhook refuses besides the shape, and what it overlooks though it could never work. */
function check(value: Spec): readonly ManifestIssue[] {
  const issues: ManifestIssue[] = [];
  const at = (path: string, message: string) => issues.push({ path, message });
  const { homogeneousTarget, heterogeneousTarget, disaggregatedTarget, metrics = [] } = value;
  const targets = [homogeneousTarget, heterogeneousTarget, disaggregatedTarget].filter((one) => one !== undefined);
  if (targets.length !== 1) {
    const wayOut =
      targets.length === 0
        ? "has no target; give its AutoscalingPolicyBinding along in a List, or move what that says into homogeneousTarget or heterogeneousTarget"
        : "has several targets; keep one of homogeneousTarget, heterogeneousTarget and disaggregatedTarget";
    return [{ path: "spec", message: wayOut }];
  }
  if (disaggregatedTarget === undefined && metrics.length === 0) at("spec.metrics", "is missing; name at least one metric");
  for (const [index, { name }] of metrics.entries()) {
    if (metrics.findIndex((one) => one.name === name) < index)
      at(`spec.metrics[${index}].name`, `is that of another metric (${name}); remove one`);
  }
  const units: readonly (readonly [string, { readonly minReplicas: number; readonly maxReplicas: number }])[] = [
    ...(homogeneousTarget === undefined ? [] : [["spec.homogeneousTarget", homogeneousTarget] as const]),
    ...(heterogeneousTarget?.params ?? []).map((param, index) => [`spec.heterogeneousTarget.params[${index}]`, param] as const),
    ...Object.entries(disaggregatedTarget?.roles ?? {}).map(([role, param]) => [`spec.disaggregatedTarget.roles.${role}`, param] as const),
  ];
  for (const [path, { minReplicas, maxReplicas }] of units) {
    if (minReplicas > maxReplicas)
      at(`${path}.maxReplicas`, `(${maxReplicas}) is below minReplicas (${minReplicas}); raise it or lower the minimum`);
  }
  if (disaggregatedTarget !== undefined) checkRoles(disaggregatedTarget, metrics.length, at);
  return issues;
}

function checkRoles(
  { roles, ratioConstraint }: NonNullable<Spec["disaggregatedTarget"]>,
  shared: number,
  at: (path: string, message: string) => void,
): void {
  const path = "spec.disaggregatedTarget";
  const names = Object.keys(roles);
  if (names.length < 1 || names.length > 2) at(`${path}.roles`, `are ${names.length}; name one or two`);
  for (const [role, { minReplicas, maxReplicas, metrics }] of Object.entries(roles)) {
    if (minReplicas !== maxReplicas && metrics === undefined && shared === 0)
      at(`${path}.roles.${role}.metrics`, "is missing, and spec.metrics too; name at least one metric");
  }
  if (ratioConstraint === undefined) return;
  const { numeratorRole, denominatorRole, minRatio, maxRatio } = ratioConstraint;
  if (numeratorRole === denominatorRole) at(`${path}.ratioConstraint`, "names one role twice; a ratio is of two");
  for (const [field, role] of Object.entries({ numeratorRole, denominatorRole })) {
    if (!names.includes(role)) at(`${path}.ratioConstraint.${field}`, `is ${role}, which is not among the roles (${names.join(", ")})`);
  }
  const [low, high] = [toNumber(parseQuantity(minRatio)), toNumber(parseQuantity(maxRatio))];
  if (low > high) at(`${path}.ratioConstraint.maxRatio`, `(${maxRatio}) is below minRatio (${minRatio}); raise it or lower the other`);
}

function intent(manifest: Manifest, of: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const { tolerance, behavior: rules, target: counted } = settingsOf(manifest);
  const units = unitsOf(counted);
  const lost: string[] = [];
  if (rules.panic.holdMs > 0) {
    lost.push(`A panic at ${rules.panic.thresholdPercent} % of the present count, held for ${rules.panic.holdMs / 1000} s, is left out.`);
  }
  if (counted.kind === "heterogeneous") {
    lost.push(
      `${units.length} groups of different cost (${units.map(({ name }) => name).join(", ")}) are counted as one; who gets how many is left out.`,
    );
  }
  if (counted.kind === "disaggregated" && units.length > 1) lost.push(`Only the first role (${units[0]?.name}) is carried over.`);
  if (counted.kind === "disaggregated" && counted.ratio !== null)
    lost.push(`The ratio of ${counted.ratio.numerator} to ${counted.ratio.denominator} is left out.`);
  const together = counted.kind === "heterogeneous" ? units : units.slice(0, 1);
  const sum = (bound: (unit: Unit) => number) => together.reduce((total, unit) => total + bound(unit), 0);
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target: of,
      min: sum(({ min }) => min),
      max: sum(({ max }) => max),
      rules: (units[0]?.metrics ?? []).map(({ name, scrapeName, target: level, source }): IntentRule => {
        const query = queryOf(manifest, name);
        return {
          signal: scrapeName,
          level,
          of: "perReplica",
          ...(source === "prometheus" ? { total: true } : {}),
          ...(query === undefined ? {} : { query }),
        };
      }),
      tolerance,
      scaleUp: rulesOf(rules.up),
      scaleDown: rulesOf(rules.down),
      zeroAfterMs: null,
      intervalMs: SYNC_MS,
    },
    lost,
  };
}

function queryOf({ spec: of }: Manifest, name: string): string | undefined {
  const { homogeneousTarget, heterogeneousTarget, disaggregatedTarget } = of as unknown as Spec;
  const sources =
    homogeneousTarget?.target.metricSources ??
    heterogeneousTarget?.params[0]?.target.metricSources ??
    Object.values(disaggregatedTarget?.roles ?? {})[0]?.metricSources;
  return sources?.[name]?.prometheus?.query;
}

function rulesOf({
  instances: most,
  percent: share,
  periodMs,
  selectPolicy,
  stabilizationWindowMs,
}: ReturnType<typeof settingsOf>["behavior"]["up"]): ScalingRules {
  const policies = [
    { type: "Pods" as const, value: most, periodMs },
    { type: "Percent" as const, value: share, periodMs },
  ].filter(({ value }) => value > 0);
  if (periodMs === 0) return { stabilizationWindowMs, selectPolicy: "Max", policies: [] };
  return { stabilizationWindowMs, selectPolicy: selectPolicy === "Or" ? "Max" : "Min", policies };
}

/** One group, by rules of each replica or of totals shared among replicas. */
function fromIntent({
  name,
  namespace,
  target: of,
  min,
  max,
  rules,
  tolerance,
  scaleUp,
  scaleDown,
  zeroAfterMs,
  intervalMs,
}: Intent): Written {
  const lost: string[] = [];
  const fitting = rules.filter((rule, index) => {
    if (rules.findIndex(({ signal }) => signal === rule.signal) < index)
      lost.push(`A second rule on ${rule.signal} (${rule.level}) is left out.`);
    else if (rule.of === "endpoint")
      lost.push(`The rule on ${rule.signal} (${rule.level}) is left out: Kthena knows shares of a replica only.`);
    else if (rule.total === true && rule.query === undefined)
      lost.push(`The rule on ${rule.signal} (${rule.level}) is left out: a total needs a Prometheus query.`);
    else return true;
    return false;
  });
  if (fitting.length === 0) lost.push("There is no rule that Kthena could follow: it holds 16 running requests on each pod.");
  const kept: readonly IntentRule[] = fitting.length === 0 ? [{ signal: "running", level: 16, of: "perReplica" }] : fitting;
  if (kept.some(({ query }) => query !== undefined)) lost.push("serverURL is a guess: put your Prometheus server there.");
  if (kept.some(({ query }) => query === undefined))
    lost.push("Metrics of pods are read at port 8000 under /metrics: mend port, uri and names to what your engine serves.");
  if (zeroAfterMs !== null) lost.push(`Kthena has no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null && intervalMs !== SYNC_MS) lost.push("Kthena decides every 15 s, whatever the interval.");
  if (of === null || of.kind !== MODEL_SERVING) {
    lost.push(
      of === null ? `No target is known: it is a ModelServing named ${name}.` : `Kthena scales a ModelServing, not ${of.kind} ${of.name}.`,
    );
  }
  const sources = Object.fromEntries(
    kept.map(({ signal, query }) => [
      signal,
      query === undefined
        ? { pod: { name: signal, uri: "/metrics", port: 8000 } }
        : { prometheus: { serverURL: "http://prometheus.monitoring.svc:9090", query } },
    ]),
  );
  return {
    document: {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name, namespace },
      spec: {
        ...(tolerance === null ? {} : { tolerancePercent: Math.min(100, Math.round(tolerance * 100)) }),
        metrics: kept.map(({ signal, level }) => ({ name: signal, targetValue: amount(level) })),
        behavior: {
          ...(scaleUp === null ? {} : { scaleUp: { stablePolicy: stableOf(scaleUp, "up", lost) } }),
          ...(scaleDown === null ? {} : { scaleDown: stableOf(scaleDown, "down", lost) }),
        },
        homogeneousTarget: {
          minReplicas: Math.min(min, MOST_REPLICAS),
          maxReplicas: Math.min(Math.max(1, max), MOST_REPLICAS),
          target: { targetRef: { kind: MODEL_SERVING, name: of?.name ?? name }, metricSources: sources },
        },
      },
    },
    lost,
  };
}

const amount = (value: number): string => formatQuantity(milliQuantity(milliOf(parseQuantity(value.toFixed(3)))));

/** At most one limit of each type, over one period. */
function stableOf({ stabilizationWindowMs, selectPolicy, policies }: ScalingRules, way: "up" | "down", lost: string[]) {
  const seconds = (ms: number) => `${Math.round(Math.min(ms, LONGEST_MS) / 1000)}s`;
  if (stabilizationWindowMs > LONGEST_MS) lost.push(`The stabilization window ${way} is 30 min, the longest that Kthena takes.`);
  const window = { stabilizationWindow: seconds(stabilizationWindowMs) };
  if (selectPolicy === "Disabled") {
    lost.push(`Scaling ${way} cannot be switched off in Kthena: its limit is 0 in a period.`);
    return { ...window, instances: 0, percent: 0, selectPolicy: "And" };
  }
  const [pods, share] = (["Pods", "Percent"] as const).map((type) => policies.find((policy) => policy.type === type));
  const period = Math.max(0, ...policies.map(({ periodMs }) => periodMs));
  if (policies.length > 2 || policies.some(({ periodMs }) => periodMs !== period))
    lost.push(`Of the limits ${way} one of each type holds, over ${period / 1000} s.`);
  // Without a limit there is no period to count it over.
  if (policies.length === 0) return { ...window, period: "0s" };
  const both = pods !== undefined && share !== undefined;
  return {
    ...window,
    instances: pods?.value ?? 0,
    percent: Math.min(share?.value ?? 0, 1000),
    period: seconds(period),
    selectPolicy: both && selectPolicy === "Min" ? "And" : "Or",
  };
}
