/** What is followed: kedacore/keda at 8b4f083 (August 2026) and kedacore/http-add-on at 59b2f6a. */
export const KEDA_NEWEST = "2.20";
export const HTTP_ADD_ON_NEWEST = "0.15";

/** What holds where a ScaledObject or ScaledJob says nothing. */
export const KEDA_DEFAULTS = {
  pollingIntervalSeconds: 30,
  cooldownPeriodSeconds: 300,
  initialCooldownPeriodSeconds: 0,
  minReplicaCount: 0,
  maxReplicaCount: 100,
  successfulJobsHistoryLimit: 100,
  failedJobsHistoryLimit: 100,
} as const;

/** What the HTTP add-on writes into the ScaledObject that it makes, and counts by. */
export const HTTP_DEFAULTS = {
  pollingIntervalSeconds: 15,
  scaledownPeriodSeconds: 300,
  minReplicas: 0,
  maxReplicas: 100,
  targetValue: 100,
  windowSeconds: 60,
  granularitySeconds: 1,
} as const;
