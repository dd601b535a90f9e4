import type { Ms } from "../../../model/index.ts";
import { type Combined, combineMetrics, evaluateMetric, type MetricOutcome, type MetricSources } from "./combine.ts";
import { isTrue, removeCondition, setCondition } from "./conditions.ts";
import { storeScaleEvent } from "./events.ts";
import { type Limited, limitWithBehavior, limitWithoutBehavior } from "./limits.ts";
import type { Selection } from "./selector.ts";
import { tolerancesOf } from "./spec.ts";
import { type Stabilized, stabilizeWithBehavior, stabilizeWithoutBehavior } from "./stabilize.ts";
import type { ControllerSettings, HpaFeatures } from "./version.ts";
import { HpaError, type HpaMemory, type HpaSpec } from "./words.ts";

export interface Scale {
  readonly specReplicas: number;
  readonly statusReplicas: number;
}

export interface SyncInput {
  readonly nowMs: Ms;
  readonly spec: HpaSpec;
  readonly scale: Scale;
  readonly selection: Selection;
  readonly sources: MetricSources;
  readonly features: HpaFeatures;
  readonly settings: ControllerSettings;
}

/** How the count came about; each leads to the texts of a Step. */
export type Branch =
  | { readonly kind: "disabled" }
  | { readonly kind: "bound"; readonly bound: "min" | "max" }
  | { readonly kind: "failed"; readonly reason: string; readonly outcomes: readonly MetricOutcome[] }
  | {
      readonly kind: "computed";
      readonly outcomes: readonly MetricOutcome[];
      readonly combined: Extract<Combined, { kind: "proposed" }>;
      readonly stabilized: Stabilized;
      readonly limited: Limited;
    };

/** A sync up to the write. `rescale`: the count is to be written. `error` is what the sync returns, even where it scales. */
export interface Plan {
  readonly memory: HpaMemory;
  readonly currentReplicas: number;
  readonly desiredReplicas: number;
  readonly rescale: boolean;
  readonly reason: string;
  readonly branch: Branch;
  readonly error: HpaError | null;
}

export const EMPTY_MEMORY: HpaMemory = {
  recommendations: null,
  scaleUpEvents: [],
  scaleDownEvents: [],
  conditions: [],
  lastScaleMs: null,
  desiredReplicas: null,
};

/** Decides; nothing is written yet, and no scale event stored. Source: horizontal.go, reconcileAutoscaler. */
export function planSync(before: HpaMemory, input: SyncInput): Plan {
  const { nowMs, spec, scale, features } = input;
  const current = scale.specReplicas;
  const min = spec.minReplicas ?? 1;
  const wasScaledToZero = isTrue(before.conditions, "ScaledToZero");
  const memory: HpaMemory = {
    ...before,
    conditions: setCondition(before.conditions, "AbleToScale", "True", "SucceededGetScale", nowMs),
    recommendations: before.recommendations ?? [{ replicas: current, atMs: nowMs }],
  };

  if (current === 0 && !mayComputeFromZero(spec, features, wasScaledToZero)) {
    let conditions = setCondition(memory.conditions, "ScalingActive", "False", "ScalingDisabled", nowMs);
    if (!features.HPAScaleToZero) conditions = removeCondition(conditions, "ScaledToZero");
    return {
      memory: { ...memory, conditions, desiredReplicas: 0 },
      currentReplicas: 0,
      desiredReplicas: 0,
      rescale: false,
      reason: "scaling is disabled since the replica count of the target is zero",
      branch: { kind: "disabled" },
      error: null,
    };
  }
  // From zero the bounds wait for a metric to ask for something.
  if (current > spec.maxReplicas) return atBound(memory, current, spec.maxReplicas, "max");
  if (current < min && current !== 0) return atBound(memory, current, min, "min");
  return compute(memory, input, min, wasScaledToZero);
}

function mayComputeFromZero(spec: HpaSpec, features: HpaFeatures, wasScaledToZero: boolean): boolean {
  const min = spec.minReplicas ?? 1;
  if (features.zeroBy === "minReplicas") return min === 0;
  return features.HPAScaleToZero && wasScaledToZero && (hasOuterMetric(spec) || min !== 0);
}

/** Object and External metrics exist without pods. */
const hasOuterMetric = (spec: HpaSpec) => spec.metrics.some(({ type }) => type === "Object" || type === "External");

function atBound(memory: HpaMemory, current: number, bound: number, which: "min" | "max"): Plan {
  return {
    memory,
    currentReplicas: current,
    desiredReplicas: bound,
    rescale: bound !== current,
    reason: which === "max" ? "Current number of replicas above Spec.MaxReplicas" : "Current number of replicas below Spec.MinReplicas",
    branch: { kind: "bound", bound: which },
    error: null,
  };
}

function compute(memory: HpaMemory, input: SyncInput, min: number, wasScaledToZero: boolean): Plan {
  const { nowMs, spec, scale, selection, sources, features, settings } = input;
  const current = scale.specReplicas;
  const { behavior } = spec;

  const fail = (reason: string, error: HpaError, outcomes: readonly MetricOutcome[]): Plan => ({
    memory: { ...memory, conditions: setCondition(memory.conditions, "ScalingActive", "False", reason, nowMs) },
    currentReplicas: current,
    desiredReplicas: memory.desiredReplicas ?? current,
    rescale: false,
    reason: error.message,
    branch: { kind: "failed", reason, outcomes },
    error,
  });
  if (selection.kind !== "selected") return fail(selection.kind, new HpaError(selection.message), []);

  const metricInput = {
    nowMs,
    currentReplicas: current,
    statusReplicas: scale.statusReplicas,
    pods: selection.pods,
    sources,
    tolerances: tolerancesOf(behavior, settings.tolerance, features.HPAConfigurableTolerance),
    features,
    settings,
  };
  const outcomes = spec.metrics.map((metric) => evaluateMetric(metric, metricInput));
  const combined = combineMetrics(outcomes, current);
  if (combined.kind === "failed") {
    return fail(combined.reason, new HpaError(`failed to compute desired number of replicas: ${combined.error.message}`), outcomes);
  }

  const wanted = Math.max(0, combined.replicas);
  const reason = wanted > current ? `${combined.metricName} above target` : wanted < current ? "All metrics below target" : "";
  const history = memory.recommendations ?? [];
  const stabilized =
    behavior === null
      ? stabilizeWithoutBehavior(wanted, history, settings.downscaleStabilizationMs, nowMs)
      : stabilizeWithBehavior(current, wanted, history, windowsOf(behavior, settings), nowMs);
  const limited =
    behavior === null
      ? limitWithoutBehavior(current, stabilized.replicas, min, spec.maxReplicas)
      : limitWithBehavior({
          currentReplicas: current,
          desiredReplicas: stabilized.replicas,
          minReplicas: min,
          maxReplicas: spec.maxReplicas,
          behavior,
          events: { scaleUp: memory.scaleUpEvents, scaleDown: memory.scaleDownEvents },
          nowMs,
        });
  let desired = limited.replicas;
  if (current === 0 && min !== 0 && wasScaledToZero && desired < min) desired = min;

  let conditions = setCondition(memory.conditions, "ScalingActive", "True", "ValidMetricFound", nowMs);
  conditions = setCondition(conditions, "AbleToScale", "True", stabilized.reason, nowMs);
  const isLimited = limited.replicas !== stabilized.replicas;
  conditions = setCondition(conditions, "ScalingLimited", isLimited ? "True" : "False", limited.reason, nowMs);
  return {
    memory: { ...memory, conditions, recommendations: stabilized.recommendations, desiredReplicas: memory.desiredReplicas },
    currentReplicas: current,
    desiredReplicas: desired,
    rescale: desired !== current,
    reason,
    branch: { kind: "computed", outcomes, combined, stabilized, limited },
    error: combined.error,
  };
}

function windowsOf(behavior: NonNullable<HpaSpec["behavior"]>, settings: ControllerSettings): { upMs: Ms; downMs: Ms } {
  const { scaleUp, scaleDown } = behavior;
  const downSeconds = scaleDown.stabilizationWindowSeconds;
  return {
    upMs: (scaleUp.stabilizationWindowSeconds ?? 0) * 1000,
    downMs: downSeconds === null ? settings.downscaleStabilizationMs : downSeconds * 1000,
  };
}

/** After the platform took the new count: the event, the conditions and the time of the last scaling. */
export function commitRescale(
  memory: HpaMemory,
  change: { readonly from: number; readonly to: number },
  spec: HpaSpec,
  features: HpaFeatures,
  nowMs: Ms,
): HpaMemory {
  const { from, to } = change;
  let conditions = setCondition(memory.conditions, "AbleToScale", "True", "SucceededRescale", nowMs);
  if (!features.HPAScaleToZero || features.zeroBy === "minReplicas") conditions = removeCondition(conditions, "ScaledToZero");
  else if (from > 0 && to === 0 && spec.minReplicas === 0 && hasOuterMetric(spec)) {
    conditions = setCondition(conditions, "ScaledToZero", "True", "ScaledToZero", nowMs);
  } else conditions = setCondition(conditions, "ScaledToZero", "False", "NotScaledToZero", nowMs);

  const committed: HpaMemory = { ...memory, conditions, lastScaleMs: nowMs, desiredReplicas: to };
  if (spec.behavior === null) return committed;
  return to > from
    ? { ...committed, scaleUpEvents: storeScaleEvent(memory.scaleUpEvents, to - from, spec.behavior.scaleUp, nowMs) }
    : { ...committed, scaleDownEvents: storeScaleEvent(memory.scaleDownEvents, from - to, spec.behavior.scaleDown, nowMs) };
}

/** After a write that failed for good: no event, and the desired count stays what it was. */
export function failRescale(memory: HpaMemory, nowMs: Ms): HpaMemory {
  return { ...memory, conditions: setCondition(memory.conditions, "AbleToScale", "False", "FailedUpdateScale", nowMs) };
}

/** The `/scale` subresource. */
export interface ScaleClient {
  read(): Scale;
  write(replicas: number): "ok" | "conflict" | "failed";
}

export interface SyncResult {
  readonly memory: HpaMemory;
  readonly desiredReplicas: number;
  /** The count written; `null`: none. */
  readonly rescaledTo: number | null;
  readonly error: HpaError | null;
  /** `null` where the scale could not be read. */
  readonly plan: Plan | null;
}

const WRITE_ATTEMPTS = 5;

/** One whole sync. `client.read` throws HpaError: "spec" for a reference that cannot be parsed, "internal" otherwise. */
export function reconcile(before: HpaMemory, input: Omit<SyncInput, "scale">, client: ScaleClient): SyncResult {
  const { nowMs, spec, features } = input;
  let scale: Scale;
  try {
    scale = client.read();
  } catch (error) {
    if (!(error instanceof HpaError)) throw error;
    const conditions = setCondition(before.conditions, "AbleToScale", "False", "FailedGetScale", nowMs);
    const memory = { ...before, conditions };
    return { memory, desiredReplicas: before.desiredReplicas ?? 0, rescaledTo: null, error, plan: null };
  }

  const plan = planSync(before, { ...input, scale });
  const { currentReplicas, desiredReplicas, rescale, error } = plan;
  if (!rescale) {
    const memory = plan.branch.kind === "failed" ? plan.memory : { ...plan.memory, desiredReplicas };
    return { memory, desiredReplicas, rescaledTo: null, error, plan };
  }
  for (let attempt = 0; attempt < WRITE_ATTEMPTS; attempt++) {
    const written = client.write(desiredReplicas);
    if (written === "ok") {
      const memory = commitRescale(plan.memory, { from: currentReplicas, to: desiredReplicas }, spec, features, nowMs);
      return { memory, desiredReplicas, rescaledTo: desiredReplicas, error, plan };
    }
    if (written === "failed") break;
    client.read();
  }
  const memory = failRescale(plan.memory, nowMs);
  const failure = new HpaError(`failed to rescale to ${desiredReplicas}`);
  return { memory, desiredReplicas: memory.desiredReplicas ?? currentReplicas, rescaledTo: null, error: failure, plan };
}
