import type { Comparison, TreatMissingData } from "./words.ts";

export type AlarmState = "OK" | "ALARM" | "INSUFFICIENT_DATA";

export interface AlarmRule {
  readonly comparison: Comparison;
  readonly threshold: number;
  /** N: the newest periods that are looked at. */
  readonly evaluationPeriods: number;
  /** M: so many of them breach in an alarm. */
  readonly datapointsToAlarm: number;
  readonly treatMissing: TreatMissingData;
}

/** CloudWatch fetches some periods more than it evaluates, to bridge gaps; how many is not documented, its examples show two. */
export const EXTRA_PERIODS = 2;

function breaches(comparison: Comparison, value: number, threshold: number): boolean {
  switch (comparison) {
    case "GreaterThanThreshold":
      return value > threshold;
    case "GreaterThanOrEqualToThreshold":
      return value >= threshold;
    case "LessThanThreshold":
      return value < threshold;
    case "LessThanOrEqualToThreshold":
      return value <= threshold;
  }
}

/**
 * An alarm's next state. `values`: the newest `evaluationPeriods + EXTRA_PERIODS` periods, oldest first, `null` where one has no data.
 *
 * Enough data: the newest N values that exist, M of which breach in an alarm. Too few: missing ones count as `treatMissing` says.
 * With `missing` and `ignore` that is decided only where it can be: nothing but breaches whose oldest is M or more periods old is an
 * alarm (for `ignore`: no change), anything that does not breach is judged by what exists.
 * Source: CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data", its two tables.
 */
export function evaluateAlarm(rule: AlarmRule, values: readonly (number | null)[], before: AlarmState): AlarmState {
  const { evaluationPeriods, datapointsToAlarm, treatMissing } = rule;
  const breach = (value: number) => breaches(rule.comparison, value, rule.threshold);
  const real = values.filter((value) => value !== null);
  const stateOf = (breaching: number): AlarmState => (breaching >= datapointsToAlarm ? "ALARM" : "OK");

  if (real.length >= evaluationPeriods) return stateOf(real.slice(-evaluationPeriods).filter(breach).length);
  const missing = evaluationPeriods - real.length;
  const breaching = real.filter(breach).length;
  switch (treatMissing) {
    case "breaching":
      return stateOf(breaching + missing);
    case "notBreaching":
      return stateOf(breaching);
    case "ignore":
      return real.length === 0 || (breaching === real.length && breaching < datapointsToAlarm) ? before : stateOf(breaching);
    case "missing": {
      if (real.length === 0) return "INSUFFICIENT_DATA";
      if (breaching >= datapointsToAlarm) return "ALARM";
      if (breaching < real.length) return "OK";
      const oldestAge = values.length - values.findIndex((value) => value !== null);
      // A breach too young to judge by alone changes nothing yet.
      return oldestAge >= datapointsToAlarm ? "ALARM" : before;
    }
  }
}
