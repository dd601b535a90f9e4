import type { Condition, Json, Ms, Step, Want } from "../../../model/index.ts";
import type { HpaMemory, Pod } from "../hpa/index.ts";
import type { FleetCounts, HealthByMetric, TriggerAnswer } from "./metrics.ts";
import type { ScaledObject } from "./scaled-object.ts";

/**
 * What a ScaledObject's policy remembers.
 * - `cached`: what the last poll stored for triggers with useCachedMetrics.
 * - `pending`: the change asked for last, until `settle` says what became of it.
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 * - `parked`: the count of `paused-replicas` has been set.
 * - `own`: what the sources remember.
 */
export interface State {
  readonly createdMs: Ms;
  readonly nextPollMs: Ms;
  readonly nextSyncMs: Ms;
  readonly lastActiveMs: Ms | null;
  readonly health: HealthByMetric;
  readonly cached: Readonly<Record<string, TriggerAnswer>>;
  readonly hpa: HpaMemory;
  readonly conditions: readonly Condition[];
  readonly pending: Pending | null;
  readonly fresh: boolean;
  readonly parked: boolean;
  readonly own: Json;
}

/** A change and the loop that asked for it. */
export interface Pending {
  readonly seq: number;
  readonly by: "hpa" | "executor" | "start" | "pause";
  readonly from: number;
  readonly to: number;
  /** It is an activation: `lastActiveTime` once it is accepted. */
  readonly marksActive: boolean;
}

/** What both loops look at in one decision. */
export interface Moment {
  readonly seq: number;
  readonly nowMs: Ms;
  readonly pool: string;
  readonly scaledObject: ScaledObject;
  /** `spec.replicas` and `status.replicas`. */
  readonly current: number;
  readonly reported: number;
  readonly pods: readonly Pod[];
  readonly answers: readonly TriggerAnswer[];
  readonly counts: FleetCounts;
}

/** What a loop made of it. `want` null: it leaves the count alone. */
export interface Turn {
  readonly state: State;
  readonly want: Want | null;
  readonly steps: readonly Step[];
}

export function move(
  state: State,
  { seq, current }: Pick<Moment, "seq" | "current">,
  by: Pending["by"],
  to: number,
  marksActive = false,
): { readonly state: State; readonly want: Want } {
  return { state: { ...state, pending: { seq, by, from: current, to, marksActive } }, want: { kind: "scale", replicas: to, drain: [] } };
}

/** The state is JSON by construction; the policy alone reads and writes it. */
export const write = (state: State): Json => state as unknown as Json;
export const read = (state: Json): State => state as unknown as State;
