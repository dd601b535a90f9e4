/** Why a trigger, a formula or a whole object came to nothing, in KEDA's sense of an error. */
export class KedaError extends Error {
  override readonly name = "KedaError";
}

export type Status = "True" | "False" | "Unknown";

/** How a metric compares with its target: `AverageValue` is per replica, `Value` is the whole. */
export type TargetType = "AverageValue" | "Value";

interface AuthenticationRef {
  readonly name: string;
  readonly kind: string;
}

export interface Trigger {
  readonly type: string;
  /** "" where it has none. */
  readonly name: string;
  /** As written: "" counts as AverageValue; `Utilization` is only for cpu and memory. */
  readonly metricType: string;
  readonly useCachedMetrics: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly authenticationRef: AuthenticationRef | null;
}

export const FALLBACK_BEHAVIORS = [
  "static",
  "currentReplicas",
  "currentReplicasIfHigher",
  "currentReplicasIfLower",
  "scalingModifiers",
] as const;
type FallbackBehavior = (typeof FALLBACK_BEHAVIORS)[number];

export interface Fallback {
  readonly failureThreshold: number;
  readonly replicas: number;
  /** "" is `static`, as the resource definition defaults it. */
  readonly behavior: FallbackBehavior | "";
}

/** Texts as written; "" where not given. */
export interface ScalingModifiers {
  readonly formula: string;
  readonly target: string;
  readonly activationTarget: string;
  readonly metricType: string;
}

/** Consecutive failures of one metric, as `status.health` counts them. */
export interface Health {
  readonly numberOfFailures: number;
  readonly status: "Happy" | "Failing";
}

export type Annotations = Readonly<Record<string, string>>;

/** cpu and memory are the HPA's own metrics: KEDA neither reads them nor lets them activate anything. */
export const isResourceTrigger = ({ type }: Pick<Trigger, "type">): boolean => type === "cpu" || type === "memory";
