import type { Json, Manifest } from "../../../model/index.ts";

/** How long requests are counted to make a rate of them, in seconds. Sources of these: sky/serve/constants.py, SkyPilot 0.10. */
export const QPS_WINDOW_S = 60;
/** Between two decisions, in seconds; `WITHOUT_REPLICAS` while none is wanted. */
export const DECISION_INTERVAL_S = 20;
export const DECISION_INTERVAL_WITHOUT_REPLICAS_S = 5;
export const DEFAULT_UPSCALE_DELAY_S = 300;
export const DEFAULT_DOWNSCALE_DELAY_S = 1200;
export const DEFAULT_MIN_REPLICAS = 1;

/** `service.replica_policy` with its defaults, in SkyServe's own names. */
export interface ReplicaPolicy {
  readonly min_replicas: number;
  readonly max_replicas: number;
  /** On top of what the load asks for. */
  readonly num_overprovision: number;
  /** Requests per second of a replica, or of a replica by its GPU; null: the count is fixed at `min_replicas`. */
  readonly target_qps_per_replica: number | Readonly<Record<string, number>> | null;
  readonly upscale_delay_seconds: number;
  readonly downscale_delay_seconds: number;
  /** Replicas that are never spot. */
  readonly base_ondemand_fallback_replicas: number;
  /** Whether on-demand replicas stand in for spot ones that are not ready. */
  readonly dynamic_ondemand_fallback: boolean;
}

/** Spot replicas with on-demand ones beside them. */
export const usesFallback = (policy: ReplicaPolicy): boolean =>
  policy.dynamic_ondemand_fallback || policy.base_ondemand_fallback_replicas > 0;

export const clipTarget = (count: number, { min_replicas, max_replicas }: ReplicaPolicy): number =>
  Math.max(min_replicas, Math.min(max_replicas, count));

type Fields = { readonly [key: string]: Json | undefined };

export const serviceOf = ({ spec }: Manifest): Fields => (spec["service"] ?? {}) as Fields;

/** The policy of a validated service; `replicas: N` is a fixed count. */
export function replicaPolicyOf(manifest: Manifest): ReplicaPolicy {
  const service = serviceOf(manifest);
  const stated = (service["replica_policy"] ?? { min_replicas: service["replicas"] ?? DEFAULT_MIN_REPLICAS }) as Partial<ReplicaPolicy>;
  const min = stated.min_replicas ?? DEFAULT_MIN_REPLICAS;
  return {
    min_replicas: min,
    max_replicas: stated.max_replicas ?? min,
    num_overprovision: stated.num_overprovision ?? 0,
    target_qps_per_replica: stated.target_qps_per_replica ?? null,
    upscale_delay_seconds: stated.upscale_delay_seconds ?? DEFAULT_UPSCALE_DELAY_S,
    downscale_delay_seconds: stated.downscale_delay_seconds ?? DEFAULT_DOWNSCALE_DELAY_S,
    base_ondemand_fallback_replicas: stated.base_ondemand_fallback_replicas ?? 0,
    dynamic_ondemand_fallback: stated.dynamic_ondemand_fallback ?? false,
  };
}

/** Whether the task's resources ask for spot machines. */
export function asksForSpot({ spec }: Manifest): boolean {
  const resources = spec["resources"] as Fields | undefined;
  return resources?.["use_spot"] === true;
}
