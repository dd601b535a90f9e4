import type { Manifest } from "../../../model/index.ts";

/** The three generations of the autoscaler's analyzer; which of them decides is data. */
export const ANALYZERS = ["saturation-v1", "saturation-v2", "queueing-model"] as const;
export type Analyzer = (typeof ANALYZERS)[number];

/** An entry of `wva-saturation-scaling-config`; all but "default" say in `model_id` and `namespace` whom they are about. */
interface SaturationEntry {
  readonly model_id?: string;
  readonly namespace?: string;
  readonly kvCacheThreshold?: number;
  readonly queueLengthThreshold?: number;
  readonly kvSpareTrigger?: number;
  readonly queueSpareTrigger?: number;
  readonly enableLimiter?: boolean;
  readonly enableRescale?: boolean;
  readonly analyzerName?: string;
  readonly scaleUpThreshold?: number;
  readonly scaleDownBoundary?: number;
  readonly priority?: number;
  readonly analyzers?: readonly AnalyzerEntry[];
  readonly scaleToZero?: { readonly enabled?: boolean };
}
interface AnalyzerEntry {
  readonly type?: string;
  readonly name?: string;
  readonly enabled?: boolean;
  readonly score?: number;
  readonly scaleUpThreshold?: number;
  readonly scaleDownBoundary?: number;
}

/** An entry of `wva-queueing-model-config`. Targets in ms; both or none. */
interface QueueingEntry {
  readonly model_id?: string;
  readonly namespace?: string;
  readonly sloMultiplier?: number;
  readonly tuningEnabled?: boolean;
  readonly targetTTFT?: number;
  readonly targetITL?: number;
}

/** An entry of `wva-model-scale-to-zero-config`. */
interface ZeroEntry {
  readonly model_id?: string;
  readonly namespace?: string;
  readonly enable_scale_to_zero?: boolean;
  /** A duration as Go writes it, such as "10m". */
  readonly retention_period?: string;
}

/** A VariantAutoscaling resource. */
interface VariantEntry {
  readonly name: string;
  readonly scaleTargetRef: { readonly apiVersion?: string; readonly kind: string; readonly name: string };
  readonly modelID: string;
  /** Per replica, in whatever unit; only its order among variants counts. */
  readonly variantCost: string;
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
}

export interface LlmdSpec {
  readonly analyzer: Analyzer;
  /** GLOBAL_OPT_INTERVAL of `wva-variantautoscaling-config`. */
  readonly optimizationInterval: string;
  readonly saturation: Readonly<Record<string, SaturationEntry>>;
  readonly queueingModel: Readonly<Record<string, QueueingEntry>>;
  readonly scaleToZero: Readonly<Record<string, ZeroEntry>>;
  readonly variants: readonly VariantEntry[];
  /** Counts for a variant that says none of its own. */
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
}

export const LLMD_DEFAULTS = {
  optimizationInterval: "60s",
  kvCacheThreshold: 0.8,
  queueLengthThreshold: 5,
  kvSpareTrigger: 0.1,
  queueSpareTrigger: 3,
  scaleUpThreshold: 0.85,
  scaleDownBoundary: 0.7,
  sloMultiplier: 3,
  retentionPeriod: "10m",
  variantCost: "10.0",
} as const;

/** The reader has made sure of this shape. */
export const llmdSpecOf = (manifest: Manifest): LlmdSpec => manifest.spec as unknown as LlmdSpec;

export interface SaturationConfig {
  readonly kvCacheThreshold: number;
  readonly queueLengthThreshold: number;
  readonly kvSpareTrigger: number;
  readonly queueSpareTrigger: number;
  readonly scaleUpThreshold: number;
  readonly scaleDownBoundary: number;
}
export interface QueueingConfig {
  readonly sloMultiplier: number;
  readonly tuningEnabled: boolean;
  /** null: inferred. */
  readonly target: { readonly ttftMs: number; readonly itlMs: number } | null;
}

/** "default" under the entry of this model; as in the original, a value of 0 is one that was not said. */
function entryOf<E extends { readonly model_id?: string; readonly namespace?: string }>(
  entries: Readonly<Record<string, E>>,
  model: string,
  namespace: string,
): Partial<E> {
  const own = Object.entries(entries)
    .filter(([key, entry]) => key !== "default" && entry.model_id === model && (entry.namespace ?? namespace) === namespace)
    // Where several speak of the model, the one that names the namespace knows best.
    .sort(([a, x], [b, y]) => Number(y.namespace !== undefined) - Number(x.namespace !== undefined) || (a < b ? -1 : 1))[0]?.[1];
  const said = Object.entries<unknown>(own ?? {}).filter(([, value]) => value !== undefined && value !== 0 && value !== "");
  return { ...entries["default"], ...Object.fromEntries(said) } as Partial<E>;
}

export function saturationConfig(spec: LlmdSpec, model: string, namespace: string): SaturationConfig {
  const entry = entryOf(spec.saturation, model, namespace);
  // Of the list of analyzers only the saturation one's own thresholds count.
  const own = entry.analyzers?.find(({ type, name, enabled }) => (type ?? name) === "saturation" && enabled !== false);
  return {
    kvCacheThreshold: entry.kvCacheThreshold || LLMD_DEFAULTS.kvCacheThreshold,
    queueLengthThreshold: entry.queueLengthThreshold || LLMD_DEFAULTS.queueLengthThreshold,
    kvSpareTrigger: entry.kvSpareTrigger || LLMD_DEFAULTS.kvSpareTrigger,
    queueSpareTrigger: entry.queueSpareTrigger || LLMD_DEFAULTS.queueSpareTrigger,
    scaleUpThreshold: own?.scaleUpThreshold ?? (entry.scaleUpThreshold || LLMD_DEFAULTS.scaleUpThreshold),
    scaleDownBoundary: own?.scaleDownBoundary ?? (entry.scaleDownBoundary || LLMD_DEFAULTS.scaleDownBoundary),
  };
}

export function queueingConfig(spec: LlmdSpec, model: string, namespace: string): QueueingConfig {
  const entry = entryOf(spec.queueingModel, model, namespace);
  const { sloMultiplier = 0, targetTTFT = 0, targetITL = 0 } = entry;
  return {
    sloMultiplier: sloMultiplier > 1 ? sloMultiplier : LLMD_DEFAULTS.sloMultiplier,
    tuningEnabled: entry.tuningEnabled ?? true,
    target: targetTTFT > 0 && targetITL > 0 ? { ttftMs: targetTTFT, itlMs: targetITL } : null,
  };
}

/** Whether idle models go to zero, and after what time without a request. The saturation entry's own word wins. */
export function zeroConfig(spec: LlmdSpec, model: string, namespace: string): { readonly enabled: boolean; readonly retention: string } {
  const entry = entryOf(spec.scaleToZero, model, namespace);
  const inline = entryOf(spec.saturation, model, namespace).scaleToZero?.enabled;
  return {
    enabled: inline ?? entry.enable_scale_to_zero ?? false,
    retention: entry.retention_period ?? LLMD_DEFAULTS.retentionPeriod,
  };
}
