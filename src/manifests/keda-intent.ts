import { isSignalName, type Json, type Manifest, type ScalingRules, type Target } from "../model/index.ts";
import { defaultSpec } from "../policy/dialects/hpa/index.ts";
import {
  COMPOSITE_METRIC,
  httpScalingOf,
  isAdditive,
  isResourceTrigger,
  isUsingModifiers,
  kedaKind,
  type ScalingModifiers,
  seriesKey,
  signalOfQuery,
  type Trigger,
  triggerMetric,
  triggersOf,
} from "../policy/dialects/keda/index.ts";
import { hpaReader } from "./hpa-reader.ts";
import type { Intent, IntentRule, Written } from "./reader.ts";

type Document = { readonly [key: string]: Json | undefined };

/** What `scaledObjectSchema` and its siblings let through, as far as an intent looks at it. */
interface Spec {
  readonly minReplicaCount?: number;
  readonly maxReplicaCount?: number;
  readonly idleReplicaCount?: number;
  readonly pollingInterval?: number;
  readonly cooldownPeriod?: number;
  readonly initialCooldownPeriod?: number;
  readonly fallback?: { readonly failureThreshold: number; readonly replicas: number; readonly behavior: string };
  readonly advanced?: {
    readonly restoreToOriginalReplicaCount?: boolean;
    readonly horizontalPodAutoscalerConfig?: { readonly name?: string; readonly behavior?: Document };
    readonly scalingModifiers?: Partial<ScalingModifiers>;
  };
  readonly scalingStrategy?: Document;
  readonly replicas?: { readonly min?: number; readonly max?: number };
  readonly scaledownPeriod?: number;
}

const DEFAULT_MAX = 100;
const DEFAULT_COOLDOWN_SECONDS = 300;

export function kedaIntent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const lost: string[] = Object.keys(manifest.annotations ?? {}).map((name) => `Annotation ${name} is left out.`);
  const spec = manifest.spec as unknown as Spec;
  const base = {
    name: manifest.name,
    namespace: manifest.namespace,
    target,
    tolerance: null,
    scaleUp: null,
    scaleDown: null,
    intervalMs: null,
  };
  const cooldown = (seconds = DEFAULT_COOLDOWN_SECONDS) => seconds * 1000;
  switch (kedaKind(manifest)) {
    case "HTTPScaledObject": {
      const { metric, targetValue, windowMs } = httpScalingOf(manifest);
      const signal = metric === "requestRate" ? "request_rate" : "in_flight";
      if (metric === "requestRate") lost.push(`The rate's window of ${windowMs / 1000} s is left out.`);
      lost.push("Routing (hosts, paths, headers, timeouts, cold-start failover) is the interceptor's; it is left out.");
      const min = spec.replicas?.min ?? 0;
      const rule: IntentRule = { signal, level: targetValue, of: "perReplica", total: true };
      const zeroAfterMs = min === 0 ? cooldown(spec.scaledownPeriod) : null;
      return { intent: { ...base, min, max: spec.replicas?.max ?? DEFAULT_MAX, rules: [rule], zeroAfterMs }, lost };
    }
    case "ScaledJob": {
      lost.push("Jobs end by themselves: others count replicas, so the job template and the scaling strategy are left out.");
      const rules = triggersOf(manifest.spec).flatMap((trigger, index) => ruleOf(trigger, index, manifest.namespace, lost));
      return {
        intent: { ...base, min: spec.minReplicaCount ?? 0, max: spec.maxReplicaCount ?? DEFAULT_MAX, rules, zeroAfterMs: null },
        lost,
      };
    }
    case "ScaledObject": {
      const min = spec.idleReplicaCount ?? spec.minReplicaCount ?? 0;
      lost.push(...scaledObjectLost(spec));
      return {
        intent: {
          ...base,
          ...behaviorIntent(manifest, spec, target, lost),
          min,
          max: spec.maxReplicaCount ?? DEFAULT_MAX,
          rules: rulesOf(manifest, spec, lost),
          zeroAfterMs: min === 0 ? cooldown(spec.cooldownPeriod) : null,
        },
        lost,
      };
    }
  }
}

function scaledObjectLost({
  idleReplicaCount,
  minReplicaCount,
  initialCooldownPeriod,
  fallback,
  advanced,
  pollingInterval,
}: Spec): readonly string[] {
  return [
    ...(idleReplicaCount === undefined
      ? []
      : [`While active there are at least ${minReplicaCount}; only KEDA tells that from the idle count (${idleReplicaCount}).`]),
    ...(initialCooldownPeriod === undefined || initialCooldownPeriod === 0
      ? []
      : [`The first cooldown (${initialCooldownPeriod} s) is left out.`]),
    ...(fallback === undefined
      ? []
      : [`The fallback (${fallback.behavior}, ${fallback.replicas} replicas after ${fallback.failureThreshold} failures) is left out.`]),
    ...(advanced?.restoreToOriginalReplicaCount === true ? ["That the count goes back to the original one at the end is left out."] : []),
    ...(pollingInterval === undefined
      ? []
      : [`pollingInterval (${pollingInterval} s) is how often KEDA looks for activity; it is left out.`]),
  ];
}

/** The behavior is an HPA's, and read as one. */
function behaviorIntent(
  { name, namespace }: Manifest,
  { advanced }: Spec,
  target: Target | null,
  lost: string[],
): Pick<Intent, "scaleUp" | "scaleDown" | "tolerance"> {
  const behavior = advanced?.horizontalPodAutoscalerConfig?.behavior;
  if (behavior === undefined) return { scaleUp: null, scaleDown: null, tolerance: null };
  const { metrics: _, ...spec } = defaultSpec({ maxReplicas: 1, behavior });
  const read = hpaReader.intent({ name, namespace, spec }, target);
  lost.push(...read.lost);
  const { scaleUp, scaleDown, tolerance } = read.intent;
  return { scaleUp, scaleDown, tolerance };
}

function rulesOf(manifest: Manifest, { advanced }: Spec, lost: string[]): readonly IntentRule[] {
  const triggers = triggersOf(manifest.spec);
  const { formula = "", target = "", activationTarget = "", metricType = "" } = advanced?.scalingModifiers ?? {};
  if (!isUsingModifiers({ formula, target, activationTarget, metricType })) {
    return triggers.flatMap((trigger, index) => ruleOf(trigger, index, manifest.namespace, lost));
  }
  lost.push(`The formula ${formula} is KEDA's: ${COMPOSITE_METRIC} stands for what it comes to, and somebody has to compute it.`);
  const composite: IntentRule =
    metricType === "Value"
      ? { signal: COMPOSITE_METRIC, level: Number(target), of: "endpoint" }
      : { signal: COMPOSITE_METRIC, level: Number(target), of: "perReplica", total: true };
  return [composite, ...triggers.filter(isResourceTrigger).flatMap((trigger, index) => ruleOf(trigger, index, manifest.namespace, lost))];
}

function ruleOf(trigger: Trigger, index: number, namespace: string, lost: string[]): readonly IntentRule[] {
  const { type, metadata, metricType, authenticationRef } = trigger;
  if (isResourceTrigger(trigger)) {
    const container = metadata["containerName"];
    if (container !== undefined) lost.push(`${type} is that of container ${container} only.`);
    if (metricType === "Utilization") return [{ signal: type, level: Number(metadata["value"]), of: "perReplica" }];
    lost.push(`${type} has an absolute target (${metadata["value"]}), which only an HPA knows how to hold.`);
    return [];
  }
  const metric = triggerMetric(type, { index, metadata, hasUnknownAuth: authenticationRef !== null, namespace });
  if (type === "cron") {
    lost.push(
      `The schedule of ${metadata["desiredReplicas"]} replicas from ${metadata["start"]} to ${metadata["end"]} (${metadata["timezone"]}) is left out.`,
    );
    return [];
  }
  if (metric.activation !== 0) lost.push(`That ${metric.name} counts as active only above ${metric.activation} is left out.`);
  if (authenticationRef !== null)
    lost.push(`How to log in for ${metric.name} (${authenticationRef.kind} ${authenticationRef.name}) is left out.`);
  const query = type === "prometheus" ? metadata["query"] : undefined;
  const rule = {
    signal: (query === undefined ? null : signalOfQuery(query)) ?? seriesKey({}, trigger, metric.name),
    level: metric.target,
    ...(query === undefined ? {} : { query }),
  };
  return [metricType === "Value" ? { ...rule, of: "endpoint" } : { ...rule, of: "perReplica", total: true }];
}

const SERVER = "http://prometheus-operated.monitoring.svc:9090";
const DEFAULT_POLLING_MS = 30_000;

/** Rules become Prometheus queries: those that are known, and otherwise what a running controller serves of each signal. */
export function kedaFromIntent(intent: Intent): Written {
  const { name, namespace, target, min, max, rules, zeroAfterMs } = intent;
  const lost: string[] = [];
  const triggers = rules.map((rule) => triggerOf(intent, rule, lost));
  if (triggers.some(({ type }) => type === "prometheus"))
    lost.push(`serverAddress ${SERVER} is a guess; put your Prometheus server's in its place.`);
  if (triggers.length === 0) {
    lost.push("There is no rule that KEDA could follow: a cpu trigger at 80 % stands in.");
    triggers.push({ type: "cpu", metricType: "Utilization", metadata: { value: "80" } });
  }
  const isResourceOnly = triggers.every(({ type }) => type === "cpu" || type === "memory");
  if (min === 0 && isResourceOnly) lost.push("minReplicaCount is 1: by cpu and memory alone KEDA cannot go to zero.");
  if (min === 0 && zeroAfterMs === null && !isResourceOnly)
    lost.push("KEDA goes to zero once no trigger is active for 300 s; nothing else was said.");
  if (target === null) lost.push(`No target is known: scaleTargetRef is a Deployment named ${name}.`);
  if (intent.intervalMs !== null && intent.intervalMs !== 15_000)
    lost.push("How often the HPA decides is the controller's setting (15 s), not the manifest's.");
  const behavior = behaviorOf(intent, lost);
  return {
    document: {
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: { name, namespace },
      spec: {
        scaleTargetRef: target === null ? { name } : { apiVersion: target.apiVersion, kind: target.kind, name: target.name },
        pollingInterval: DEFAULT_POLLING_MS / 1000,
        ...(zeroAfterMs === null ? {} : { cooldownPeriod: Math.round(zeroAfterMs / 1000) }),
        minReplicaCount: min === 0 && isResourceOnly ? 1 : min,
        maxReplicaCount: Math.max(1, max),
        ...(behavior === undefined ? {} : { advanced: { horizontalPodAutoscalerConfig: { behavior } } }),
        triggers,
      },
    },
    lost,
  };
}

/** As the HPA's own writer puts it. */
function behaviorOf({ name, namespace, tolerance, scaleUp, scaleDown, max }: Intent, lost: string[]): unknown {
  if (tolerance === null && scaleUp === null && scaleDown === null) return undefined;
  const cpu: IntentRule = { signal: "cpu", level: 80, of: "perReplica" };
  const target = { apiVersion: "apps/v1", kind: "Deployment", name };
  const plain = { name, namespace, target, min: 1, max, rules: [cpu], zeroAfterMs: null, intervalMs: null };
  const written = hpaReader.fromIntent({ ...plain, tolerance, scaleUp: scaleUp as ScalingRules | null, scaleDown });
  lost.push(...written.lost);
  return (written.document as { readonly spec: { readonly behavior?: unknown } }).spec.behavior;
}

interface WrittenTrigger {
  readonly type: string;
  readonly name?: string;
  readonly metricType: "AverageValue" | "Value" | "Utilization";
  readonly metadata: Readonly<Record<string, string>>;
}

function triggerOf(intent: Intent, { signal, level, of, total, query }: IntentRule, lost: string[]): WrittenTrigger {
  if (signal === "cpu" || signal === "memory") {
    return { type: signal, metricType: "Utilization", metadata: { value: String(Math.max(1, Math.round(level))) } };
  }
  const trigger = (promql: string, metricType: "AverageValue" | "Value"): WrittenTrigger => ({
    type: "prometheus",
    name: signal.replace(/[^A-Za-z0-9_-]/g, "-"),
    metricType,
    metadata: { serverAddress: SERVER, query: promql, threshold: String(Number(level.toFixed(3))) },
  });
  const isWhole = of === "endpoint" || total === true;
  if (query !== undefined) return trigger(isWhole ? query : `sum(${query})`, of === "endpoint" ? "Value" : "AverageValue");
  if (isSignalName(signal)) {
    lost.push(`${signal} is read as tidegate_signal, which the running controller serves on /metrics.`);
    const promql = `max(tidegate_signal{endpoint="${intent.name}",signal="${signal}"})`;
    // Served for the whole endpoint: the sum of what adds up, the mean of shares and times.
    return trigger(promql, of === "endpoint" || !isAdditive(signal) ? "Value" : "AverageValue");
  }
  const promql = signal === "tidegate_desired_replicas" ? `sum(${signal}{endpoint="${intent.name}"})` : `sum(${signal})`;
  if (signal !== "tidegate_desired_replicas") lost.push(`${signal} has no query; ${promql} is taken for it.`);
  return trigger(promql, of === "endpoint" ? "Value" : "AverageValue");
}
