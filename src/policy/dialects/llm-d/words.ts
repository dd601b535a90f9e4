/** One pod as the autoscaler's collector sees it. `null`: no such metric. */
export interface ReplicaMetrics {
  readonly podName: string;
  readonly variantName: string;
  /** 0 to 1, the most of the last minute. */
  readonly kvCacheUsage: number;
  /** Requests waiting in the engine, the most of the last minute. */
  readonly queueLength: number;
  readonly totalKvCapacityTokens: number | null;
  readonly tokensInUse: number;
  readonly avgInputTokens: number;
  readonly avgOutputTokens: number;
  /** 0 to 1. */
  readonly prefixCacheHitRate: number;
}

export type VariantRole = "both" | "prefill" | "decode";

/** One variant of the model: a deployment on one kind of accelerator. */
export interface VariantState {
  readonly variantName: string;
  readonly role: VariantRole;
  readonly acceleratorName: string;
  readonly gpusPerReplica: number;
  readonly cost: number;
  /** As the scale target says it has; `pendingReplicas` of them are not ready. */
  readonly currentReplicas: number;
  readonly pendingReplicas: number;
  /** What was asked for last. */
  readonly desiredReplicas: number;
  readonly minReplicas: number;
  readonly maxReplicas: number;
}

/** What one replica of a variant carries, in tokens (saturation V2) or in requests per second (queueing model). */
export interface VariantCapacity {
  readonly variantName: string;
  readonly role: VariantRole;
  readonly cost: number;
  readonly readyReplicas: number;
  readonly pendingReplicas: number;
  /** 0: not known, so the variant is left as it is. */
  readonly perReplicaCapacity: number;
  readonly demand: number;
}

/** Demand and supply of one role (or of all replicas where roles are not apart), in the analyzer's unit. */
export interface CapacityBalance {
  readonly role: VariantRole;
  readonly demand: number;
  /** Of ready replicas. */
  readonly supply: number;
  /** Of ready and pending ones. */
  readonly anticipated: number;
  /** Missing and left over, both at least 0. */
  readonly required: number;
  readonly spare: number;
}

export type Targets = Readonly<Record<string, number>>;
