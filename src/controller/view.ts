import type { Action } from "../history/index.ts";
import type { Condition, DoorTotals, Endpoint, Ms, Objective, Replica, Sample, Stage, Subject, Target } from "../model/index.ts";

/** A second of an endpoint's life, for charts. A reading that is absent or stale is null, never 0. Latencies in seconds. */
export interface Point {
  readonly atMs: Ms;
  readonly requestRate: number | null;
  readonly promptTokensPerSecond: number | null;
  readonly outputTokensPerSecond: number | null;
  readonly queueDepth: number | null;
  readonly inFlight: number | null;
  readonly ttftP50: number | null;
  readonly ttftP95: number | null;
  readonly ttftP99: number | null;
  readonly tpotP95: number | null;
  readonly gpuUtilization: number | null;
  readonly kvUsed: number | null;
  readonly wanted: number;
  readonly ready: number;
  readonly starting: number;
  readonly draining: number;
  readonly failed: number;
  /** Spent since the start, in the config's currency. */
  readonly cost: number;
}

export interface ColdStart {
  readonly replica: string;
  readonly pool: string;
  readonly readyAtMs: Ms;
  readonly totalMs: Ms;
  readonly stages: Readonly<Partial<Record<Stage, Ms>>>;
  /** What the replica cost until it served. */
  readonly cost: number;
}

/** One decision as a person reads it. */
export interface DecisionLine {
  readonly seq: number;
  readonly atMs: Ms;
  readonly cause: string;
  /** Counts before and wanted, summed over pools. */
  readonly from: number;
  readonly to: number;
  readonly changed: boolean;
  /** The sentence that decided it. */
  readonly reason: string;
  /** What would change it, where the policy says so. */
  readonly otherwise: string | null;
  readonly steps: readonly { readonly code: string; readonly text: string }[];
  readonly actions: readonly Action[];
}

export interface ReplicaLine extends Replica {
  readonly url: string | null;
  readonly inFlight: number | null;
}

/** What the platform says of a pool beside its count. */
export interface PoolView {
  readonly name: string;
  readonly selector: string | null;
  /** Who else sets the count, in a sentence. */
  readonly otherWriter: string | null;
}

export interface EndpointView {
  readonly name: string;
  readonly namespace: string;
  readonly model: string;
  readonly engine: Endpoint["engine"]["kind"];
  readonly platform: Endpoint["platform"]["kind"];
  readonly policy: Endpoint["policy"]["kind"];
  readonly objective: Objective;
  readonly bounds: { readonly min: number; readonly max: number };
  readonly pools: readonly PoolView[];
  readonly replicas: readonly ReplicaLine[];
  readonly now: Point | null;
  readonly totals: DoorTotals | null;
  /** Share of ended requests that met the objective since the start; null before the first. */
  readonly attainment: number | null;
  readonly cost: { readonly total: number; readonly perHour: number; readonly replicaHours: number };
  readonly coldStarts: readonly ColdStart[];
  readonly coldStartP90Ms: Ms | null;
  /** Newest first; unchanged ones in a row are folded into the newest. */
  readonly decisions: readonly DecisionLine[];
  readonly conditions: readonly Condition[];
  /** Pools to which the fleet's budget leaves less than was asked for. */
  readonly limitedByFleet: readonly string[];
  readonly dryRun: boolean;
  readonly pausedUntilMs: Ms | null;
  readonly pin: { readonly replicas: number; readonly untilMs: Ms } | null;
  readonly nextAtMs: Ms | null;
  /** Set while readings or the platform cannot be had: the loop then holds. */
  readonly trouble: readonly { readonly code: string; readonly text: string; readonly sinceMs: Ms }[];
}

export interface ControllerView {
  readonly atMs: Ms;
  readonly startedAtMs: Ms;
  readonly speed: number;
  readonly version: string;
  readonly endpoints: readonly EndpointView[];
  /** Whose loop cannot start, or cannot go on by its new spec yet; it is tried again. */
  readonly waiting: readonly WaitingView[];
  /** Where several controllers share the work; absent: there is no other one. */
  readonly leadership?: LeadershipView;
}

export interface WaitingView {
  readonly name: string;
  readonly text: string;
  readonly sinceMs: Ms;
}

/** `leader`: the identity that holds the lease; null: nobody, as far as is known. */
export interface LeadershipView {
  readonly identity: string;
  readonly leads: boolean;
  readonly leader: string | null;
}

/** What stands decided for one endpoint: all that a follower, such as an HPA or KEDA, needs to hear of it. */
export interface DesiredView {
  readonly name: string;
  /** Where its pods are, on Kubernetes. */
  readonly namespace: string;
  /** A manifest's metric name → our signal's name. */
  readonly metrics: Endpoint["metrics"];
  readonly staleAfterMs: Ms;
  /** `desired`: what the last decision wants, or a pin, pause or quota in its place; null before the first decision. */
  readonly pools: readonly {
    readonly name: string;
    readonly target: Target | null;
    readonly gpu: string;
    readonly min: number;
    readonly max: number;
    readonly current: number | null;
    readonly desired: number | null;
  }[];
  /** When the loop last saw the platform and so stood by `desired`; it ages while the loop cannot. */
  readonly desiredAtMs: Ms | null;
  /** Requests held at the gateway; null: nobody knows. */
  readonly held: number | null;
  /** The replicas that there are readings of: whom a follower may ask about. */
  readonly replicas: readonly string[];
}

/** As `GET /api/v1/desired` and its events say it; an event holds the endpoints that have just been looked at. */
export interface DesiredAnswer {
  readonly atMs: Ms;
  readonly speed: number;
  readonly endpoints: readonly DesiredView[];
}

/** The newest number of each subject, however old; histograms are not for followers. */
export interface SignalReading {
  readonly name: string;
  readonly subject: Subject;
  readonly atMs: Ms;
  readonly windowMs: Ms;
  readonly value: Sample["value"] & number;
}

export interface SignalsAnswer {
  readonly atMs: Ms;
  readonly speed: number;
  readonly staleAfterMs: Ms;
  readonly readings: readonly SignalReading[];
}
