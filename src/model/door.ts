import type { DoorBound, DoorLimits, Objective } from "./endpoint.ts";
import type { Slot } from "./observation.ts";
import type { Histogram } from "./signal.ts";
import type { Ms } from "./time.ts";

/** A replica that the gateway may know: only `ready` ones get new requests, `draining` ones finish what they have. */
export interface Route {
  readonly replica: string;
  readonly url: string;
  readonly state: "ready" | "draining";
  /** This gateway's part of what the replica may be given; null: no bound; absent: as it was. */
  readonly bound?: DoorBound | null | undefined;
}

/** What the gateway needs to know of an endpoint. */
export interface DoorEndpoint {
  readonly name: string;
  /** The value of `model` in a request that leads here. */
  readonly model: string;
  readonly objective: Objective;
  readonly limits: DoorLimits;
}

/** Since the gateway started. `arrived` = completed + failed + cancelled + rejected + inFlight + held, at every moment. */
export interface DoorTotals {
  readonly arrived: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly rejected: number;
  /** With those that wait at the door for room at a replica. */
  readonly inFlight: number;
  /** Of `inFlight`. */
  readonly queued: number;
  readonly held: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly withinObjective: number;
  /** Attempts beyond the first. */
  readonly retried: number;
}

/** Latencies of the requests that ended since the last report, in seconds. */
export interface DoorLatency {
  readonly ttft: Histogram;
  readonly tpot: Histogram;
  readonly e2e: Histogram;
}

export interface DoorReplica {
  readonly replica: string;
  readonly inFlight: number;
  readonly completed: number;
  readonly failed: number;
  readonly outputTokens: number;
}

/** What happened at one gateway since `cursor`; `slots` holds only closed seconds, so that reports add up over gateways. */
export interface DoorReport {
  /** Hand it back to get what comes after. A gateway that restarted starts again by itself. */
  readonly cursor: string;
  readonly atMs: Ms;
  readonly slots: readonly Slot[];
  readonly latency: DoorLatency;
  readonly replicas: readonly DoorReplica[];
  readonly totals: DoorTotals;
}

/**
 * Where gateway and controller meet: in one process the gateway itself, else the admin API of each of several gateways. Calls
 * are idempotent. A door that cannot be reached throws `admin/unreachable`: its ledger is then absent, never empty.
 */
export interface Door {
  /** Makes the endpoint known and replaces its routes; requests already on a replica that is no longer named go on. */
  setRoutes(endpoint: DoorEndpoint, routes: readonly Route[]): Promise<void>;
  report(endpoint: string, cursor: string | null): Promise<DoorReport>;
  /** The endpoint is no longer served here: new requests for it are refused, those on a replica go on. */
  forget(endpoint: string): Promise<void>;
  /** Calls back, at most once a second and endpoint, when a request is held. @returns a function that ends it. */
  onHeld(listener: (endpoint: string) => void): () => void;
}
