/** What pods report of one metric: the sum, how many of them, and how many ready ones do not. */
export interface PodReadings {
  readonly sum: number;
  readonly reporters: number;
  readonly missing: number;
  readonly unready: number;
}
export type MetricReading =
  | { readonly kind: "pods"; readonly pods: PodReadings }
  | { readonly kind: "external"; readonly value: number }
  | { readonly kind: "none" };

/** From one number for all: value / target, or the present count where that is within the tolerance of it. */
export function byExternal(current: number, tolerance: number, target: number, value: number): number {
  const desired = value / target;
  return Math.abs(desired / current - 1) <= tolerance ? current : wholeUp(desired);
}

/**
 * From the pods, much as an HPA does it: mean / target × reporting pods. Pods that do not report count as on target on the way
 * down and as idle on the way up, unready ones as idle on the way up; where that turns the direction, nothing changes.
 * Source: volcano-sh/kthena `pkg/autoscaler/algorithm/recommendation.go`. @returns null where no pod reports
 */
export function byPods(
  current: number,
  tolerance: number,
  target: number,
  { sum, reporters, missing, unready }: PodReadings,
): number | null {
  if (reporters === 0) return null;
  const ratio = sum / reporters / target;
  const idleUnready = unready > 0 && rises(ratio);
  if (!idleUnready && missing === 0) return Math.abs(ratio - 1) <= tolerance ? current : wholeUp(ratio * reporters);
  const counted = reporters + missing + (idleUnready ? unready : 0);
  const filled = rises(ratio) ? sum : sum + missing * target;
  const newRatio = filled / counted / target;
  if (Math.abs(newRatio - 1) <= tolerance || rises(ratio) !== rises(newRatio)) return current;
  const desired = wholeUp(newRatio * counted);
  return rises(newRatio) ? Math.max(desired, current) : Math.min(desired, current);
}

export interface Recommended {
  /** null: no metric has an answer. */
  readonly replicas: number | null;
  /** The count is outside the bounds, so no metric was looked at. */
  readonly toBound: boolean;
  readonly byMetric: Readonly<Record<string, number>>;
}

/** The largest of what the metrics want, inside the bounds; a count outside of them goes straight to the bound. */
export function recommend(
  current: number,
  { min, max, tolerance }: { readonly min: number; readonly max: number; readonly tolerance: number },
  metrics: readonly { readonly name: string; readonly target: number; readonly reading: MetricReading }[],
): Recommended {
  if (current < min) return { replicas: min, toBound: true, byMetric: {} };
  if (current > max) return { replicas: max, toBound: true, byMetric: {} };
  const byMetric: Record<string, number> = {};
  for (const { name, target, reading } of metrics) {
    const wanted =
      reading.kind === "external"
        ? byExternal(current, tolerance, target, reading.value)
        : reading.kind === "pods"
          ? byPods(current, tolerance, target, reading.pods)
          : null;
    if (wanted !== null) byMetric[name] = wanted;
  }
  const wanted = Object.values(byMetric);
  const replicas = wanted.length === 0 ? null : Math.min(Math.max(...wanted, min), max);
  return { replicas, toBound: false, byMetric };
}

const rises = (ratio: number): boolean => ratio >= 1;
const MOST = 1_000_000_000;

/** Rounded up; nothing for what is no number. */
const wholeUp = (value: number): number => (Number.isNaN(value) ? 0 : Math.min(MOST, Math.max(0, Math.ceil(value))));
