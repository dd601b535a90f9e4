/** What releases decide differently. */
export interface RayServeFeatures {
  /**
   * From zero running replicas a policy's count is taken at once: any count above 0, or only one above the target (a lower one is
   * then a scale-down that waits for its delay).
   */
  readonly fromZeroAtOnce: "above-zero" | "above-target";
  /** With `min_replicas` 0, a target of one whole gang counts as the 1 of the step from 1 to 0. */
  readonly gangReachesZero: boolean;
  /** Requests are totalled from raw series at the controller, whatever its environment says. */
  readonly alwaysAggregates: boolean;
}

/** The tick-counting delays of older releases (a slow loop stretches the delay) are not reproduced. */
export const RAY_SERVE_VERSIONS = {
  "2.58.0": { fromZeroAtOnce: "above-zero", gangReachesZero: false, alwaysAggregates: false },
  "after 2.58.0": { fromZeroAtOnce: "above-target", gangReachesZero: true, alwaysAggregates: true },
} as const satisfies Readonly<Record<string, RayServeFeatures>>;

export type RayServeVersion = keyof typeof RAY_SERVE_VERSIONS;

export const RAY_SERVE_NEWEST: RayServeVersion = "2.58.0";

/** The version that is followed for a cluster's `rayVersion`, such as "2.46.0"; what cannot be read as one is the newest release. */
export function versionFor(rayVersion: string | undefined): RayServeVersion {
  const [, major, minor, patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(rayVersion ?? "") ?? [];
  if (major === undefined) return RAY_SERVE_NEWEST;
  const newer = [Number(major) - 2, Number(minor) - 58, Number(patch ?? 0)].find((difference) => difference !== 0) ?? 0;
  return newer > 0 ? "after 2.58.0" : "2.58.0";
}
