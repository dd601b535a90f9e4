import { CONTROLLER_DEFAULTS, isWithin } from "../policy/dialects/hpa/index.ts";

/** A change by one replica that an HPA would not make, though it is what stands decided. */
export interface Step {
  readonly from: number;
  readonly to: number;
}

export interface Tolerance {
  readonly scaleUp: number;
  readonly scaleDown: number;
}

/** What a cluster does with `behavior.scaleUp.tolerance: 0` and `behavior.scaleDown.tolerance: 0`. */
export const HONOURED: Tolerance = { scaleUp: 0, scaleDown: 0 };
export const IGNORED: Tolerance = { scaleUp: CONTROLLER_DEFAULTS.tolerance, scaleDown: CONTROLLER_DEFAULTS.tolerance };

/** Whether an HPA at `from` replicas whose metric says `to`, one per replica, stays where it is. Source: HPA, AverageValue of a total. */
export const isSwallowed = ({ from, to }: Step, tolerance: Tolerance): boolean => from !== to && from > 0 && isWithin(to / from, tolerance);

/** The single steps between `min` and `max` that an HPA with this tolerance does not follow, going up and then down. */
export function swallowedSteps(min: number, max: number, tolerance: Tolerance): readonly Step[] {
  const counts = Array.from({ length: Math.max(0, max - min) }, (_, at) => min + at);
  const up = counts.map((from) => ({ from, to: from + 1 }));
  const down = counts.map((to) => ({ from: to + 1, to }));
  return [...up, ...down].filter((step) => isSwallowed(step, tolerance));
}

export interface FollowCondition {
  readonly type: "FollowsSingleSteps";
  readonly status: "True" | "False" | "Unknown";
  readonly reason: "ToleranceHonoured" | "ToleranceIgnored" | "ToleranceSmall" | "VersionUnknown";
  readonly message: string;
}

/**
 * Whether the tolerance of a manifest counts in a cluster of that version with its feature gates at their defaults:
 * HPAConfigurableTolerance is on from 1.35. @returns null for text that is no version
 */
export function honoursTolerance(version: { readonly major: string; readonly minor: string }): boolean | null {
  const [major, minor] = [Number.parseInt(version.major, 10), Number.parseInt(version.minor, 10)];
  if (!Number.isInteger(major) || !Number.isInteger(minor)) return null;
  return major > 1 || minor >= 35;
}

/** What the HPA that we render can follow between an endpoint's bounds. @param honoured null: the cluster's version is not known */
export function followCondition(min: number, max: number, honoured: boolean | null): FollowCondition {
  const type = "FollowsSingleSteps";
  if (honoured === true) {
    return { type, status: "True", reason: "ToleranceHonoured", message: "the cluster honours tolerance 0: every step is followed" };
  }
  const lost = swallowedSteps(Math.max(1, min), max, IGNORED);
  if (lost.length === 0) {
    const message = `up to ${max} replicas each step is more than the tolerance of ${IGNORED.scaleUp * 100} %`;
    return { type, status: "True", reason: "ToleranceSmall", message };
  }
  const steps = [range(lost.filter(({ from, to }) => to > from)), range(lost.filter(({ from, to }) => to < from))];
  const message =
    `where the HPA's tolerance of ${IGNORED.scaleUp * 100} % counts, these single steps are not followed: ` +
    `${steps.filter((text) => text !== "").join(", ")}; larger ones are. ` +
    "Kubernetes 1.35 and newer honour behavior.scaleUp.tolerance and behavior.scaleDown.tolerance (gate HPAConfigurableTolerance)";
  return honoured === null
    ? { type, status: "Unknown", reason: "VersionUnknown", message }
    : { type, status: "False", reason: "ToleranceIgnored", message };
}

/** All steps from a count on are swallowed alike, so the first and the last say it: "10→11 … 20→21". */
function range(steps: readonly Step[]): string {
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined) return "";
  const text = ({ from, to }: Step) => `${from}→${to}`;
  return first === last ? text(first) : `${text(first)} … ${text(last)}`;
}
