import type { AutoscalerStatus } from "../history/index.ts";
import type { EngineKind, Ms, Target } from "../model/index.ts";

/** An autoscaler that acts already, as the cluster states it. */
export interface Autoscaler {
  /** Kind and name, such as `ScaledObject llm`. */
  readonly title: string;
  readonly kind: "HorizontalPodAutoscaler" | "ScaledObject";
  readonly namespace: string;
  readonly name: string;
  readonly target: Target;
  readonly min: number;
  readonly max: number;
  /** The object as it is. */
  readonly document: unknown;
  /** Changes with the spec, not with the status. */
  readonly version: string;
  readonly status: AutoscalerStatus;
}

/** What the pods of a target turned out to be. */
export interface FoundEngine {
  readonly kind: EngineKind;
  readonly metricsPath: string;
  readonly model: string;
  /** Of one pod; 1 where it states none. */
  readonly gpusPerReplica: number;
  readonly via: Via;
}

/** How pods' pages are reached: at their own addresses, or through the API server (needs `get` on `pods/proxy`). */
export type Via = "direct" | "api-server";

/** What a user says of the endpoints that are found, as the config writes it; undefined: the config's default. */
export interface Terms {
  readonly attainment: number | undefined;
  readonly timeToFirstToken: string | undefined;
  readonly timePerOutputToken: string | undefined;
  /** For one replica with all its GPUs; undefined: one currency unit a GPU-hour. */
  readonly pricePerReplicaHour: number | undefined;
  readonly gpu: string | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly coldStart: string | undefined;
  /** Of pods; undefined: the port named `http`, else the first. */
  readonly port: number | string | undefined;
  /** A DCGM exporter's page: a full URL, or a path on the pods. */
  readonly gpuMetrics: string | undefined;
  /** A server that answers the queries of KEDA's prometheus triggers. */
  readonly prometheusUrl: string | undefined;
}

/** Why something that could be an endpoint is not watched. */
export interface Skipped {
  readonly title: string;
  readonly namespace: string;
  readonly reason: string;
}

/** What the other's rules come to on the same observations, against what it did. */
export interface Agreement {
  /** Moments at which both said something. */
  readonly compared: number;
  /** With the same count at that moment. */
  readonly same: number;
  /** With the same count within one of its intervals before or after. */
  readonly near: number;
  /** What was last recomputed; null: holds or nothing yet. */
  readonly last: { readonly atMs: Ms; readonly replicas: number } | null;
}
