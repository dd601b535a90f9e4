import type { Condition, Ms } from "../../../model/index.ts";
import type { Int64 } from "./int64.ts";

/** What the controller sees of a pod. `null` readiness: it has no Ready condition. */
export interface Pod {
  readonly name: string;
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  readonly ready: { readonly status: "True" | "False" | "Unknown"; readonly sinceMs: Ms } | null;
  readonly startedMs: Ms | null;
  readonly deleting: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly Container[];
  readonly initContainers: readonly (Container & { readonly restartPolicyAlways: boolean })[];
  /** Pod-level requests by resource, in thousandths. */
  readonly podRequests: Readonly<Record<string, Int64>>;
}

/** Requests by resource, in thousandths; absent: none set. */
export interface Container {
  readonly name: string;
  readonly requests: Readonly<Record<string, Int64>>;
}

/** One pod's value of a metric. */
export interface PodSample {
  readonly milli: Int64;
  readonly atMs: Ms;
  readonly windowMs: Ms;
}
export type PodSamples = ReadonlyMap<string, PodSample>;

/** Container usages of one pod as the resource metrics API gives them; `null`: that container did not report this resource. */
export interface ResourceSample {
  readonly pod: string;
  readonly atMs: Ms;
  readonly windowMs: Ms;
  readonly containers: readonly { readonly name: string; readonly milli: Int64 | null }[];
}

export interface Tolerances {
  readonly scaleDown: number;
  readonly scaleUp: number;
}

export interface ScalingPolicy {
  readonly type: "Pods" | "Percent";
  readonly value: number;
  readonly periodSeconds: number;
}

/** One direction of a behavior, defaulted; a `null` window is the controller's own. */
export interface Rules {
  readonly stabilizationWindowSeconds: number | null;
  readonly selectPolicy: "Max" | "Min" | "Disabled";
  readonly policies: readonly ScalingPolicy[];
  readonly tolerance: number | null;
}
export interface Behavior {
  readonly scaleUp: Rules;
  readonly scaleDown: Rules;
}

export interface MetricTarget {
  readonly type: string;
  readonly valueMilli?: Int64;
  readonly averageValueMilli?: Int64;
  readonly averageUtilization?: number;
}
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}
export interface MetricIdentifier {
  readonly name: string;
  readonly selector: LabelSelector | null;
}
export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly { readonly key: string; readonly operator: string; readonly values: readonly string[] }[];
}
export type MetricSpec =
  | { readonly type: "Resource"; readonly name: string; readonly target: MetricTarget }
  | { readonly type: "ContainerResource"; readonly name: string; readonly container: string; readonly target: MetricTarget }
  | { readonly type: "Pods"; readonly metric: MetricIdentifier; readonly target: MetricTarget }
  | { readonly type: "Object"; readonly describedObject: ObjectReference; readonly metric: MetricIdentifier; readonly target: MetricTarget }
  | { readonly type: "External"; readonly metric: MetricIdentifier; readonly target: MetricTarget }
  | { readonly type: "Unknown"; readonly declared: string };

/** A spec ready to compute with: quantities as thousandths, defaults filled in. */
export interface HpaSpec {
  /** Absent counts as 1. */
  readonly minReplicas: number | null;
  readonly maxReplicas: number;
  readonly metrics: readonly MetricSpec[];
  readonly behavior: Behavior | null;
}

export interface Recommendation {
  readonly replicas: number;
  readonly atMs: Ms;
}

/** `replicaChange` is the size of the change, whatever its direction. */
export interface ScaleEvent {
  readonly replicaChange: number;
  readonly atMs: Ms;
  readonly outdated: boolean;
}

/** What the controller remembers of one autoscaler, and its status. JSON. */
export interface HpaMemory {
  /** In slot order; `null`: nothing recorded yet. */
  readonly recommendations: readonly Recommendation[] | null;
  readonly scaleUpEvents: readonly ScaleEvent[];
  readonly scaleDownEvents: readonly ScaleEvent[];
  readonly conditions: readonly Condition[];
  readonly lastScaleMs: Ms | null;
  /** `status.desiredReplicas`. */
  readonly desiredReplicas: number | null;
}

/** Why a metric, or a whole sync, came to nothing. "spec" asks for another manifest, "internal" may pass by itself. */
export class HpaError extends Error {
  override readonly name = "HpaError";
  readonly kind: "internal" | "spec";

  constructor(message: string, kind: "internal" | "spec" = "internal") {
    super(message);
    this.kind = kind;
  }
}
