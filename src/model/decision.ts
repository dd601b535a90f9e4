import type { DoorBound } from "./endpoint.ts";
import type { Cause, Observation } from "./observation.ts";
import type { Subject } from "./signal.ts";
import type { Json, Ms } from "./time.ts";

/** What a pool should come to. `drain` names the replicas to go first; the platform chooses where the list is short. */
export type Want =
  | { readonly kind: "hold" }
  | { readonly kind: "jobs"; readonly start: number }
  | { readonly kind: "scale"; readonly replicas: number; readonly standby?: number; readonly drain: readonly string[] };

/** One step on the way to a Decision: `code` for metrics and tests, `text` for the person on call. */
export interface Step {
  readonly code: string;
  readonly text: string;
  readonly pool?: string;
  readonly numbers: Readonly<Record<string, number>>;
}

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly sinceMs: Ms;
}

/** `nextAtMs`: ask again by then, or at once on a cause that the policy wakes on. */
export interface Decision {
  readonly seq: number;
  readonly wants: Readonly<Record<string, Want>>;
  readonly steps: readonly Step[];
  readonly conditions: readonly Condition[];
  readonly nextAtMs: Ms;
  /** By pool: what a gateway in the path should give to one replica at most. Absent: the policy does not say, the gateway keeps no bound. */
  readonly door?: Readonly<Record<string, DoorBound>>;
}

export interface Outcome {
  readonly seq: number;
  readonly pool: string;
  readonly atMs: Ms;
  readonly result: "accepted" | "refused" | "conflict" | "unreachable";
}

/** A series that a policy reads: a signal's name, for whom, and how often a sample is worth having. */
export interface Need {
  readonly name: string;
  readonly per: Subject["kind"];
  readonly sampleEveryMs: Ms;
  /** It is read only while the gateway's slots do not come, which say the same: whoever knows that they will may leave it out. */
  readonly unlessSlots?: true;
}

/**
 * One way of deciding, bound to its validated spec. Pure: no I/O, no clock, no randomness; `State` is JSON and survives a restart.
 * HPA and KEDA remember a change only once `settle` says that it was accepted.
 */
export interface Policy<State extends Json = Json> {
  readonly kind: string;
  readonly needs: readonly Need[];
  readonly wakesOn: readonly Cause[];
  start(first: Observation): State;
  decide(state: State, now: Observation): { readonly state: State; readonly decision: Decision };
  settle(state: State, outcome: Outcome): { readonly state: State; readonly conditions: readonly Condition[] };
}
