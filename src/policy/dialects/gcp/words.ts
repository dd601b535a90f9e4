/** `compute#autoscaler` of Compute Engine v1, the fields that decide. */
export interface CustomMetricUtilization {
  readonly metric: string;
  readonly filter?: string;
  readonly utilizationTarget?: number;
  readonly utilizationTargetType?: UtilizationTargetType;
  readonly singleInstanceAssignment?: number;
}
export const TARGET_TYPES = ["GAUGE", "DELTA_PER_SECOND", "DELTA_PER_MINUTE"] as const;
export type UtilizationTargetType = (typeof TARGET_TYPES)[number];

interface ScalingSchedule {
  readonly minRequiredReplicas: number;
  /** Cron, with an optional year. */
  readonly schedule: string;
  readonly timeZone: string;
  readonly durationSec: number;
  readonly disabled: boolean;
  readonly description?: string;
}

/** `ONLY_UP` is the older name of `ONLY_SCALE_OUT`. */
export const MODES = ["ON", "OFF", "ONLY_SCALE_OUT", "ONLY_UP"] as const;

export interface AutoscalingPolicy {
  readonly minNumReplicas?: number;
  readonly maxNumReplicas: number;
  readonly coolDownPeriodSec: number;
  readonly stabilizationPeriodSec: number;
  readonly mode: (typeof MODES)[number];
  readonly cpuUtilization?: { readonly utilizationTarget: number; readonly predictiveMethod: "NONE" | "OPTIMIZE_AVAILABILITY" };
  readonly loadBalancingUtilization?: { readonly utilizationTarget: number };
  readonly customMetricUtilizations?: readonly CustomMetricUtilization[];
  readonly scaleInControl?: {
    readonly maxScaledInReplicas: { readonly fixed?: number; readonly percent?: number };
    readonly timeWindowSec: number;
  };
  readonly scalingSchedules?: Readonly<Record<string, ScalingSchedule>>;
}

export interface Autoscaler {
  readonly name: string;
  readonly target?: string;
  readonly autoscalingPolicy: AutoscalingPolicy;
}

/** Where `minNumReplicas` is absent the service picks one; which is not documented. */
export const minReplicasOf = ({ minNumReplicas, maxNumReplicas }: AutoscalingPolicy) => minNumReplicas ?? Math.min(1, maxNumReplicas);
