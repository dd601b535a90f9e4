import type { StepAdjustment } from "./words.ts";

/**
 * The step that a breach of `difference` = metric - threshold falls into. Above the threshold an interval includes its lower bound
 * and excludes its upper one, below it is the other way round; a difference of 0 belongs to the side on which there is a step.
 */
export function stepFor(steps: readonly StepAdjustment[], difference: number): StepAdjustment | null {
  const inside = ({ MetricIntervalLowerBound: lower, MetricIntervalUpperBound: upper }: StepAdjustment) =>
    (upper === undefined && lower !== undefined && lower >= 0) || (upper !== undefined && upper > 0)
      ? (lower ?? Number.NEGATIVE_INFINITY) <= difference && difference < (upper ?? Number.POSITIVE_INFINITY)
      : (lower ?? Number.NEGATIVE_INFINITY) < difference && difference <= (upper ?? Number.POSITIVE_INFINITY);
  return steps.find(inside) ?? null;
}

/** What is wrong with a policy's steps, as a sentence without subject; `null`: nothing. */
export function stepsIssue(steps: readonly StepAdjustment[]): string | null {
  if (steps.length === 0) return "are missing: a step policy has at least one";
  const lowerOf = (step: StepAdjustment) => step.MetricIntervalLowerBound ?? Number.NEGATIVE_INFINITY;
  const upperOf = (step: StepAdjustment) => step.MetricIntervalUpperBound ?? Number.POSITIVE_INFINITY;
  const range = (step: StepAdjustment) => `[${step.MetricIntervalLowerBound ?? ""}, ${step.MetricIntervalUpperBound ?? ""}]`;
  const boundless = steps.find((step) => step.MetricIntervalLowerBound === undefined && step.MetricIntervalUpperBound === undefined);
  if (boundless !== undefined) return "have a step with neither bound; give it one";
  const empty = steps.find((step) => lowerOf(step) >= upperOf(step));
  if (empty !== undefined) return `have a step from ${lowerOf(empty)} to ${upperOf(empty)}; its upper bound is above its lower one`;

  const sorted = steps.toSorted((a, b) => lowerOf(a) - lowerOf(b));
  for (const [at, step] of sorted.entries()) {
    const next = sorted[at + 1];
    if (next === undefined) break;
    if (lowerOf(next) < upperOf(step)) return `overlap: ${range(step)} and ${range(next)}`;
    if (lowerOf(next) > upperOf(step)) return `leave a gap between ${range(step)} and ${range(next)}`;
  }
  const [first, last] = [sorted[0] as StepAdjustment, sorted.at(-1) as StepAdjustment];
  if (first.MetricIntervalLowerBound !== undefined && first.MetricIntervalLowerBound < 0) {
    return `begin at ${first.MetricIntervalLowerBound}; below 0 one step has no lower bound`;
  }
  if (last.MetricIntervalUpperBound !== undefined && last.MetricIntervalUpperBound > 0) {
    return `end at ${last.MetricIntervalUpperBound}; above 0 one step has no upper bound`;
  }
  return null;
}
