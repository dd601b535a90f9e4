import type { Json, Manifest, Ms } from "../../../model/index.ts";
import { isFallbackUsable } from "./fallback.ts";
import { compileFormula, type Formula } from "./formula/formula.ts";
import { parseFloat64 } from "./go.ts";
import { metricMilli, metricTargetType } from "./metric-value.ts";
import { isUsingModifiers } from "./modifiers.ts";
import { triggerMetric } from "./triggers/index.ts";
import { resourceMetric } from "./triggers/resource.ts";
import type { TriggerMetric, TriggerTarget } from "./triggers/trigger.ts";
import { KEDA_DEFAULTS } from "./version.ts";
import {
  type Annotations,
  FALLBACK_BEHAVIORS,
  type Fallback,
  isResourceTrigger,
  KedaError,
  type ScalingModifiers,
  type Trigger,
} from "./words.ts";

type Document = { readonly [key: string]: Json | undefined };
export const documentOf = (value: Json | undefined): Document =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Document) : {};
export const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);
export const textOf = (value: Json | undefined): string => (typeof value === "string" ? value : "");
export const numberOf = (value: Json | undefined): number | null => (typeof value === "number" ? value : null);

/** An external metric of a trigger, ready to be read. */
export interface ExternalTrigger {
  readonly trigger: Trigger;
  readonly index: number;
  readonly metric: TriggerMetric;
  readonly target: TriggerTarget;
}

/** A ScaledObject ready to decide with. `null`: not given. */
export interface ScaledObject {
  readonly name: string;
  readonly namespace: string;
  readonly annotations: Annotations;
  readonly pollingMs: Ms;
  readonly cooldownMs: Ms;
  readonly initialCooldownMs: Ms;
  readonly minReplicaCount: number | null;
  readonly maxReplicaCount: number | null;
  readonly idleReplicaCount: number | null;
  readonly fallback: Fallback | null;
  readonly modifiers: ScalingModifiers | null;
  readonly formula: Formula | null;
  /** All but cpu and memory. */
  readonly externals: readonly ExternalTrigger[];
  /** cpu and memory as metrics of the HPA. */
  readonly resources: readonly Document[];
  readonly behavior: Document | null;
}

/** The HPA's bounds: it can hold no zero, so its minimum is at least 1. */
export const hpaBounds = (
  minReplicaCount: number | null,
  maxReplicaCount: number | null,
): { readonly min: number; readonly max: number } => ({
  min: minReplicaCount !== null && minReplicaCount > 0 ? minReplicaCount : 1,
  max: maxReplicaCount ?? KEDA_DEFAULTS.maxReplicaCount,
});

export const triggersOf = (spec: Document): readonly Trigger[] =>
  listOf(spec["triggers"]).map((entry): Trigger => {
    const trigger = documentOf(entry);
    const reference = documentOf(trigger["authenticationRef"]);
    return {
      type: textOf(trigger["type"]),
      name: textOf(trigger["name"]),
      metricType: textOf(trigger["metricType"]),
      useCachedMetrics: trigger["useCachedMetrics"] === true,
      metadata: Object.fromEntries(Object.entries(documentOf(trigger["metadata"])).map(([key, value]) => [key, textOf(value)])),
      authenticationRef:
        trigger["authenticationRef"] === undefined
          ? null
          : { name: textOf(reference["name"]), kind: textOf(reference["kind"]) || "TriggerAuthentication" },
    };
  });

function fallbackOf(spec: Document): Fallback | null {
  if (spec["fallback"] === undefined || spec["fallback"] === null) return null;
  const { failureThreshold, replicas, behavior } = documentOf(spec["fallback"]);
  return {
    failureThreshold: numberOf(failureThreshold) ?? 0,
    replicas: numberOf(replicas) ?? 0,
    behavior: FALLBACK_BEHAVIORS.find((known) => known === behavior) ?? "",
  };
}

function modifiersOf(spec: Document): ScalingModifiers | null {
  const given = documentOf(spec["advanced"])["scalingModifiers"];
  if (given === undefined || given === null) return null;
  const { formula, target, activationTarget, metricType } = documentOf(given);
  const modifiers = {
    formula: textOf(formula),
    target: textOf(target),
    activationTarget: textOf(activationTarget),
    metricType: textOf(metricType),
  };
  return isUsingModifiers(modifiers) ? modifiers : null;
}

/** Triggers that have a metric of KEDA's own. @throws KedaError for metadata that a scaler refuses */
export function compileTriggers(triggers: readonly Trigger[], namespace: string, asMetricSource: boolean): readonly ExternalTrigger[] {
  return triggers.flatMap((trigger, index): ExternalTrigger[] => {
    if (isResourceTrigger(trigger)) return [];
    const { metadata, authenticationRef } = trigger;
    const metric = triggerMetric(trigger.type, { index, metadata, hasUnknownAuth: authenticationRef !== null, asMetricSource, namespace });
    return [{ trigger, index, metric, target: { type: metricTargetType(trigger.metricType), value: metric.target } }];
  });
}

/** @throws KedaError for what a scaler or the formula refuses; a manifest that `scaledObjectIssues` passes does not throw */
export function compileScaledObject({ name, namespace, annotations, spec }: Manifest): ScaledObject {
  const triggers = triggersOf(spec);
  const modifiers = modifiersOf(spec);
  const seconds = (field: string, fallback: number) => (numberOf(spec[field]) ?? fallback) * 1000;
  const externals = compileTriggers(triggers, namespace, modifiers !== null);
  const behavior = documentOf(documentOf(spec["advanced"])["horizontalPodAutoscalerConfig"])["behavior"];
  return {
    name,
    namespace,
    annotations: annotations ?? {},
    pollingMs: seconds("pollingInterval", KEDA_DEFAULTS.pollingIntervalSeconds),
    cooldownMs: seconds("cooldownPeriod", KEDA_DEFAULTS.cooldownPeriodSeconds),
    initialCooldownMs: seconds("initialCooldownPeriod", KEDA_DEFAULTS.initialCooldownPeriodSeconds),
    minReplicaCount: numberOf(spec["minReplicaCount"]),
    maxReplicaCount: numberOf(spec["maxReplicaCount"]),
    idleReplicaCount: numberOf(spec["idleReplicaCount"]),
    fallback: fallbackOf(spec),
    modifiers,
    formula: modifiers === null || modifiers.formula === "" ? null : compileFormula(modifiers.formula, formulaNames(triggers)),
    externals,
    resources: triggers.filter(isResourceTrigger).map(resourceMetric),
    behavior: behavior === undefined || behavior === null ? null : documentOf(behavior),
  };
}

/** cpu and memory cannot be named in a formula. */
const formulaNames = (triggers: readonly Trigger[]): readonly string[] =>
  triggers.filter((trigger) => !isResourceTrigger(trigger) && trigger.name !== "").map(({ name }) => name);

/** `path` as in `spec.triggers[0].metadata`. */
export interface KedaIssue {
  readonly path: string;
  readonly message: string;
}

/** What KEDA's admission and reconciliation refuse of a ScaledObject by itself; what depends on the cluster cannot be told here. */
export function scaledObjectIssues({ name, spec }: Manifest): readonly KedaIssue[] {
  const triggers = triggersOf(spec);
  const modifiers = modifiersOf(spec);
  const min = numberOf(spec["minReplicaCount"]);
  const issues = [
    ...nameIssues(name, spec),
    ...replicaBoundIssues(min, numberOf(spec["maxReplicaCount"]), numberOf(spec["idleReplicaCount"])),
    ...triggerIssues(triggers),
    ...fallbackIssues(fallbackOf(spec), modifiers, triggers),
    ...modifierIssues(modifiers, triggers),
    ...metadataIssues(triggers, modifiers !== null),
  ];
  if (min === 0 && triggers.length > 0 && triggers.every(isResourceTrigger)) {
    const message = "is 0 with only cpu and memory triggers, which exist only while replicas run; use 1 or more, or add another trigger";
    issues.push({ path: "spec.minReplicaCount", message });
  }
  return issues;
}

const MAX_NAME = 63;

function nameIssues(name: string, spec: Document): readonly KedaIssue[] {
  const hpaName = textOf(documentOf(documentOf(spec["advanced"])["horizontalPodAutoscalerConfig"])["name"]);
  const path = "spec.advanced.horizontalPodAutoscalerConfig.name";
  const message = (length: number) => `has ${length} characters; use at most ${MAX_NAME}`;
  return [
    ...(name.length > MAX_NAME ? [{ path: "metadata.name", message: message(name.length) }] : []),
    ...(hpaName.length > MAX_NAME ? [{ path, message: message(hpaName.length) }] : []),
  ];
}

/** A minimum of 0 counts as 1 here, for the HPA cannot hold less. */
export function replicaBoundIssues(min: number | null, max: number | null, idle: number | null): readonly KedaIssue[] {
  const bounds = hpaBounds(min, max);
  const lowest = min === null ? 0 : bounds.min;
  if (lowest > bounds.max) {
    return [
      { path: "spec.minReplicaCount", message: `is ${lowest}, above maxReplicaCount (${bounds.max}); lower it or raise the maximum` },
    ];
  }
  if (idle !== null && idle >= lowest) {
    return [{ path: "spec.idleReplicaCount", message: `is ${idle}, not below minReplicaCount (${lowest}); lower it or raise the minimum` }];
  }
  return [];
}

const UNCACHED = new Set(["cpu", "memory", "cron"]);

export function triggerIssues(triggers: readonly Pick<Trigger, "type" | "name" | "useCachedMetrics">[]): readonly KedaIssue[] {
  if (triggers.length === 0) return [{ path: "spec.triggers", message: "is empty; give at least one trigger" }];
  const names = new Set<string>();
  return triggers.flatMap(({ type, name, useCachedMetrics }, at): KedaIssue[] => {
    const path = `spec.triggers[${at}]`;
    const found: KedaIssue[] = [];
    if (useCachedMetrics && UNCACHED.has(type)) {
      found.push({ path: `${path}.useCachedMetrics`, message: `is not supported by trigger type ${type}; remove it` });
    }
    if (name !== "" && names.has(name))
      found.push({ path: `${path}.name`, message: `${name} names another trigger too; use different names` });
    names.add(name);
    return found;
  });
}

export function fallbackIssues(
  fallback: Fallback | null,
  modifiers: ScalingModifiers | null,
  triggers: readonly Pick<Trigger, "type" | "metricType">[],
): readonly KedaIssue[] {
  const path = "spec.fallback";
  if (fallback === null) return [];
  if (!isFallbackUsable(fallback, null)) {
    const { failureThreshold, replicas } = fallback;
    return [{ path, message: `has failureThreshold ${failureThreshold} and replicas ${replicas}; neither may be below 0` }];
  }
  if (fallback.behavior === "scalingModifiers" && (modifiers === null || modifiers.formula === "")) {
    return [{ path: `${path}.behavior`, message: "is scalingModifiers without a formula; give advanced.scalingModifiers.formula" }];
  }
  const isSupported = ({ type, metricType }: Pick<Trigger, "type" | "metricType">) =>
    !isResourceTrigger({ type }) && ["", "AverageValue", "Value"].includes(metricType);
  if (modifiers !== null || triggers.some(isSupported)) return [];
  return [{ path, message: "has no effect on cpu and memory triggers; add a trigger with an AverageValue or Value target, or remove it" }];
}

function modifierIssues(modifiers: ScalingModifiers | null, triggers: readonly Trigger[]): readonly KedaIssue[] {
  if (modifiers === null) return [];
  const issues: KedaIssue[] = [];
  const report = (field: string, message: string) => issues.push({ path: `spec.advanced.scalingModifiers.${field}`, message });
  const target = parseFloat64(modifiers.target);
  if (modifiers.formula === "") report("formula", "is missing; scalingModifiers need one");
  if (modifiers.target === "") report("target", "is missing; a formula needs a target");
  else if (target === null || Number(metricMilli(target)) === 0)
    report("target", `is ${JSON.stringify(modifiers.target)}; give a number above 0`);
  if (modifiers.activationTarget !== "" && parseFloat64(modifiers.activationTarget) === null) {
    report("activationTarget", `is ${JSON.stringify(modifiers.activationTarget)}; give a number`);
  }
  if (!["", "AverageValue", "Value"].includes(modifiers.metricType)) {
    report("metricType", `is ${modifiers.metricType}; use AverageValue or Value`);
  }
  if (modifiers.formula !== "") {
    try {
      compileFormula(modifiers.formula, formulaNames(triggers));
    } catch (error) {
      if (!(error instanceof KedaError)) throw error;
      report("formula", error.message);
    }
  }
  return issues;
}

/** What scalers refuse when they are built. A trigger without a metric of KEDA's own is checked as the HPA's metric. */
export function metadataIssues(triggers: readonly Trigger[], asMetricSource: boolean): readonly KedaIssue[] {
  return triggers.flatMap((trigger, index): KedaIssue[] => {
    const path = `spec.triggers[${index}]`;
    try {
      if (isResourceTrigger(trigger)) resourceMetric(trigger);
      else {
        metricTargetType(trigger.metricType);
        const { metadata, authenticationRef } = trigger;
        const { target } = triggerMetric(trigger.type, { index, metadata, hasUnknownAuth: authenticationRef !== null, asMetricSource });
        if (!asMetricSource && Number(metricMilli(target)) === 0)
          throw new KedaError(`its target is ${target}; the HPA takes targets from 0.001 up`);
      }
      return [];
    } catch (error) {
      if (!(error instanceof KedaError)) throw error;
      return [{ path, message: error.message }];
    }
  });
}
