import type { Json, Manifest, Ms } from "../../../model/index.ts";
import { parseQuantity, toNumber } from "../hpa/index.ts";
import { goDurationMs } from "../kpa/index.ts";

export const SYNC_MS = 15_000;

/** How far one period may take the count, and how long a smaller (or larger) recommendation is waited for. */
export interface StableRules {
  readonly instances: number;
  readonly percent: number;
  readonly periodMs: Ms;
  /** "Or": the further of the two limits holds, "And": the nearer. */
  readonly selectPolicy: "Or" | "And";
  readonly stabilizationWindowMs: Ms;
}
export interface PanicRules {
  readonly percent: number;
  readonly periodMs: Ms;
  /** Recommended over present count, in percent. */
  readonly thresholdPercent: number;
  /** 0: it never panics. */
  readonly holdMs: Ms;
}
export interface Behavior {
  readonly up: StableRules;
  readonly panic: PanicRules;
  readonly down: StableRules;
}

export interface Metric {
  readonly name: string;
  readonly target: number;
  /** A number from outside (a Prometheus query) instead of one from each pod; null: no source is stated, so nobody answers. */
  readonly source: "pod" | "prometheus" | null;
  /** What the pods call it. */
  readonly scrapeName: string;
}

/** What is counted: a group of replicas with its bounds. `name` is its target's or its role's. */
export interface Unit {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly metrics: readonly Metric[];
  /** Of one replica, relative to the other units'. */
  readonly cost: number;
}

/** Replicas of `numerator` over those of `denominator`, both bounds in thousandths. */
export interface RatioRule {
  readonly numerator: string;
  readonly denominator: string;
  readonly minMilli: number;
  readonly maxMilli: number;
}

export type Target =
  | { readonly kind: "homogeneous"; readonly unit: Unit }
  | { readonly kind: "heterogeneous"; readonly units: readonly Unit[]; readonly costExpansionPercent: number }
  | { readonly kind: "disaggregated"; readonly units: readonly Unit[]; readonly ratio: RatioRule | null };

export interface KthenaSettings {
  readonly tolerance: number;
  readonly behavior: Behavior;
  readonly target: Target;
}

/** What the admission webhook and the CRD fill in. */
export const DEFAULTS = {
  tolerancePercent: 10,
  costExpansionRatePercent: 200,
  stable: { instances: 1, percent: 100, period: "15s", selectPolicy: "Or" },
  upWindow: "0s",
  downWindow: "5m",
  panic: { percent: 1000, period: "0s", panicThresholdPercent: 200, panicModeHold: "60s" },
} as const;

interface StableJson {
  readonly instances: number;
  readonly percent: number;
  readonly period: string;
  readonly selectPolicy: "Or" | "And";
  readonly stabilizationWindow: string;
}
interface SourceJson {
  readonly pod?: { readonly name?: string };
  readonly prometheus?: Json;
}
type MetricsJson = readonly { readonly name: string; readonly targetValue: string }[];
type SourcesJson = Readonly<Record<string, SourceJson>>;
interface TargetJson {
  readonly targetRef: { readonly name: string };
  readonly metricSources?: SourcesJson;
}
interface BoundsJson {
  readonly minReplicas: number;
  readonly maxReplicas: number;
}
interface SpecJson {
  readonly tolerancePercent: number;
  readonly metrics?: MetricsJson;
  readonly behavior: {
    readonly scaleUp: {
      readonly stablePolicy: StableJson;
      readonly panicPolicy: {
        readonly percent: number;
        readonly period: string;
        readonly panicThresholdPercent: number;
        readonly panicModeHold: string;
      };
    };
    readonly scaleDown: StableJson;
  };
  readonly homogeneousTarget?: BoundsJson & { readonly target: TargetJson };
  readonly heterogeneousTarget?: {
    readonly costExpansionRatePercent: number;
    readonly params: readonly (BoundsJson & { readonly cost: number; readonly target: TargetJson })[];
  };
  readonly disaggregatedTarget?: {
    readonly targetRef: { readonly name: string };
    readonly roles: Readonly<Record<string, BoundsJson & { readonly metrics?: MetricsJson; readonly metricSources?: SourcesJson }>>;
    readonly ratioConstraint?: {
      readonly numeratorRole: string;
      readonly denominatorRole: string;
      readonly minRatio: string;
      readonly maxRatio: string;
    };
  };
}

const specOf = (manifest: Manifest): SpecJson => manifest.spec as unknown as SpecJson;
const ms = (text: string): Ms => goDurationMs(text) ?? 0;
const numberOf = (quantity: string): number => toNumber(parseQuantity(quantity));

/** Expects what the reader has validated and defaulted. */
export function settingsOf(manifest: Manifest): KthenaSettings {
  const spec = specOf(manifest);
  const { stablePolicy, panicPolicy } = spec.behavior.scaleUp;
  return {
    tolerance: spec.tolerancePercent / 100,
    behavior: {
      up: stableRules(stablePolicy),
      panic: {
        percent: panicPolicy.percent,
        periodMs: ms(panicPolicy.period),
        thresholdPercent: panicPolicy.panicThresholdPercent,
        holdMs: ms(panicPolicy.panicModeHold),
      },
      down: stableRules(spec.behavior.scaleDown),
    },
    target: targetOf(spec),
  };
}

const stableRules = ({ instances, percent, period, selectPolicy, stabilizationWindow }: StableJson): StableRules => ({
  instances,
  percent,
  periodMs: ms(period),
  selectPolicy,
  stabilizationWindowMs: ms(stabilizationWindow),
});

function targetOf(spec: SpecJson): Target {
  const metrics = (own: MetricsJson | undefined, sources: SourcesJson | undefined): readonly Metric[] =>
    (own ?? spec.metrics ?? []).map(({ name, targetValue }) => {
      const source = sources?.[name];
      return {
        name,
        target: numberOf(targetValue),
        source: source?.pod !== undefined ? "pod" : source?.prometheus !== undefined ? "prometheus" : null,
        scrapeName: source?.pod?.name ?? name,
      };
    });
  const bounds = ({ minReplicas, maxReplicas }: BoundsJson) => ({ min: minReplicas, max: maxReplicas });
  const { homogeneousTarget, heterogeneousTarget, disaggregatedTarget } = spec;
  if (heterogeneousTarget !== undefined) {
    const units = heterogeneousTarget.params.map(({ target, cost, ...rest }) => ({
      name: target.targetRef.name,
      ...bounds(rest),
      metrics: metrics(undefined, target.metricSources),
      cost,
    }));
    return { kind: "heterogeneous", units, costExpansionPercent: heterogeneousTarget.costExpansionRatePercent };
  }
  if (disaggregatedTarget !== undefined) {
    const { roles, ratioConstraint } = disaggregatedTarget;
    const units = Object.entries(roles)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, role]) => ({ name, ...bounds(role), metrics: metrics(role.metrics, role.metricSources), cost: 0 }));
    const milli = (quantity: string) => Math.round(numberOf(quantity) * 1000);
    const ratio =
      ratioConstraint === undefined
        ? null
        : {
            numerator: ratioConstraint.numeratorRole,
            denominator: ratioConstraint.denominatorRole,
            minMilli: milli(ratioConstraint.minRatio),
            maxMilli: milli(ratioConstraint.maxRatio),
          };
    return { kind: "disaggregated", units, ratio };
  }
  const { target, ...rest } = homogeneousTarget as NonNullable<typeof homogeneousTarget>;
  const unit = { name: target.targetRef.name, ...bounds(rest), metrics: metrics(undefined, target.metricSources), cost: 0 };
  return { kind: "homogeneous", unit };
}

export const unitsOf = (target: Target): readonly Unit[] => (target.kind === "homogeneous" ? [target.unit] : target.units);
