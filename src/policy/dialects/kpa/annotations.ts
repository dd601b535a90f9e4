import type { Ms } from "../../../model/index.ts";
import { choice, count, duration, HOUR_MS, number, type Parsed } from "./values.ts";

export const PREFIX = "autoscaling.knative.dev/";
const PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline";
export const KPA_CLASS = "kpa.autoscaling.knative.dev";
export const HPA_CLASS = "hpa.autoscaling.knative.dev";

export type Aggregation = "linear" | "weighted-exponential";

/** What the annotations of a revision say; absent: the cluster's own. */
export interface KpaAnnotations {
  readonly class?: string;
  readonly metric?: "concurrency" | "rps";
  readonly target?: number;
  readonly utilizationPercentage?: number;
  readonly targetBurstCapacity?: number;
  readonly windowMs?: Ms;
  readonly panicWindowPercentage?: number;
  readonly panicThresholdPercentage?: number;
  readonly podRetentionMs?: Ms;
  readonly scaleDownDelayMs?: Ms;
  readonly initialScale?: number;
  readonly minScale?: number;
  readonly maxScale?: number;
  readonly activationScale?: number;
  readonly aggregation?: Aggregation;
  readonly progressDeadlineMs?: Ms;
}

export interface AnnotationIssue {
  /** The annotation as it was written. */
  readonly key: string;
  readonly message: string;
}

interface Rule<K extends keyof KpaAnnotations> {
  readonly field: K;
  readonly parse: (text: string) => Parsed<NonNullable<KpaAnnotations[K]>>;
  /** The spelling of older releases, still read. */
  readonly old?: string;
}

const rule = <K extends keyof KpaAnnotations>(field: K, parse: Rule<K>["parse"], old?: string): Rule<K> =>
  old === undefined ? { field, parse } : { field, parse, old };

const RULES = {
  class: rule("class", (text) => ({ value: text })),
  metric: rule("metric", choice({ concurrency: "concurrency", rps: "rps" })),
  target: rule("target", number(0.01, Number.POSITIVE_INFINITY)),
  "target-utilization-percentage": rule("utilizationPercentage", number(1, 100), "targetUtilizationPercentage"),
  "target-burst-capacity": rule("targetBurstCapacity", number(0, Number.POSITIVE_INFINITY, -1), "targetBurstCapacity"),
  window: rule("windowMs", duration(6_000, HOUR_MS, true)),
  "panic-window-percentage": rule("panicWindowPercentage", number(1, 100), "panicWindowPercentage"),
  "panic-threshold-percentage": rule("panicThresholdPercentage", number(110, 1000), "panicThresholdPercentage"),
  "scale-to-zero-pod-retention-period": rule("podRetentionMs", duration(0, HOUR_MS, false), "scaleToZeroPodRetentionPeriod"),
  "scale-down-delay": rule("scaleDownDelayMs", duration(0, HOUR_MS, true), "scaleDownDelay"),
  "initial-scale": rule("initialScale", count(0), "initialScale"),
  "min-scale": rule("minScale", count(0), "minScale"),
  "max-scale": rule("maxScale", count(0), "maxScale"),
  "activation-scale": rule("activationScale", count(2)),
  "metric-aggregation-algorithm": rule(
    "aggregation",
    choice({ linear: "linear", "weighted-exponential": "weighted-exponential", weightedExponential: "weighted-exponential" }),
    "metricAggregationAlgorithm",
  ),
};

const BY_KEY: ReadonlyMap<string, { readonly canonical: string; readonly rule: Rule<keyof KpaAnnotations> }> = new Map(
  Object.entries(RULES).flatMap(([name, entry]) => {
    const known = { canonical: `${PREFIX}${name}`, rule: entry as Rule<keyof KpaAnnotations> };
    const old = "old" in entry && typeof entry.old === "string" ? [[`${PREFIX}${entry.old}`, known] as const] : [];
    return [[known.canonical, known] as const, ...old];
  }),
);

/** The key of an annotation by its name without prefix, such as `min-scale`. */
export const annotationKey = (name: keyof typeof RULES): string => `${PREFIX}${name}`;

/**
 * Values, what is wrong with them, and the same annotations under their present names. Annotations of other groups are passed
 * over; those of this group that nobody reads are issues. Where both spellings are given the present one counts.
 */
export function parseAnnotations(annotations: Readonly<Record<string, string>>): {
  readonly values: KpaAnnotations;
  readonly canonical: Readonly<Record<string, string>>;
  readonly issues: readonly AnnotationIssue[];
} {
  const values: Record<string, unknown> = {};
  const canonical: Record<string, string> = {};
  const issues: AnnotationIssue[] = [];
  for (const [key, text] of Object.entries(annotations)) {
    if (key === PROGRESS_DEADLINE) {
      const parsed = duration(1_000, Number.MAX_SAFE_INTEGER, true)(text);
      if ("issue" in parsed) issues.push({ key, message: parsed.issue });
      else values["progressDeadlineMs"] = parsed.value;
      canonical[key] = text;
      continue;
    }
    if (!key.startsWith(PREFIX)) continue;
    const known = BY_KEY.get(key);
    if (known === undefined) {
      issues.push({ key, message: "is not an annotation of the Knative autoscaler; remove it or mend its name" });
      continue;
    }
    if (key !== known.canonical && Object.hasOwn(annotations, known.canonical)) continue;
    const parsed = known.rule.parse(text);
    if ("issue" in parsed) issues.push({ key, message: parsed.issue });
    else values[known.rule.field] = parsed.value;
    canonical[known.canonical] = text;
  }
  return { values: values as KpaAnnotations, canonical, issues };
}
