import type { Ms } from "./time.ts";

/** What a replica does before it is ready, in order; a standby replica only wakes. */
export const STAGES = ["schedule", "provision", "pull", "load", "warmup", "wake"] as const;
export type Stage = (typeof STAGES)[number];

export type ReplicaState = "starting" | "ready" | "standby" | "draining" | "gone" | "failed";

/** Identical replicas that are counted together: one variant in one role. Most endpoints have one, "default". */
export interface Pool {
  readonly name: string;
  readonly role: "serve" | "prefill" | "decode";
  /** GPU type as in the engine profiles, such as `a100-80g`; "" where it does not matter. */
  readonly gpu: string;
  readonly gpusPerReplica: number;
  readonly spot: boolean;
  /** In the user's currency, for one replica with all its GPUs. */
  readonly pricePerReplicaHour: number;
  readonly min: number;
  readonly max: number;
  /** Replicas kept asleep. */
  readonly standby: number;
}

export interface Replica {
  readonly id: string;
  readonly pool: string;
  readonly state: ReplicaState;
  /** Only while `starting`. */
  readonly stage?: Stage;
  /** First entry into each state and stage: cold starts are measured from these. */
  readonly entered: Readonly<Partial<Record<ReplicaState | Stage, Ms>>>;
  /** As the platform states it; `null`: it never did (for an HPA "unknown" and never stated differ). */
  readonly readiness: { readonly status: boolean | "unknown"; readonly sinceMs: Ms } | null;
  /** Resource requests by container and resource, for utilization targets. */
  readonly requests?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly trouble?: {
    readonly code: "unschedulable" | "stock-out" | "pull" | "crash" | "unhealthy" | "spot-notice";
    readonly sinceMs: Ms;
  };
}

/**
 * - `wanted`: the count that the platform has been asked for (a scale's spec).
 * - `reported`: the count that it says it has (a scale's status), `draining` ones not counted.
 * - `otherWriter`: somebody else changed `wanted` since we last did.
 */
export interface PoolStatus {
  readonly wanted: number;
  readonly reported: number;
  readonly otherWriter: boolean;
}

/** The time from being asked for to ready, in ms; `null` while it has not been ready. */
export function coldStartMs(replica: Replica): Ms | null {
  const readyAtMs = replica.entered.ready;
  const askedAtMs = replica.entered.starting;
  return readyAtMs === undefined || askedAtMs === undefined ? null : readyAtMs - askedAtMs;
}

/** Time spent in each stage in ms, in order; the last stage ends when the replica became ready, or at `nowMs` while it has not. */
export function stageDurations(replica: Replica, nowMs: Ms): Partial<Record<Stage, Ms>> {
  const entries = STAGES.flatMap((stage) => {
    const atMs = replica.entered[stage];
    return atMs === undefined ? [] : [{ stage, atMs }];
  });
  const endMs = replica.entered.ready ?? replica.entered.failed ?? nowMs;
  return Object.fromEntries(entries.map(({ stage, atMs }, at) => [stage, (entries[at + 1]?.atMs ?? endMs) - atMs]));
}
