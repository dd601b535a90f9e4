import type { Clock, Endpoint, Log, Outcome, PoolStatus, Replica, Want } from "../model/index.ts";
import type { KubernetesApi } from "./kubernetes/api.ts";

/** A replica as the platform sees it, with where it answers; `url` is null until it has an address. */
export interface PlatformReplica extends Replica {
  readonly url: string | null;
  /** Why it is in trouble, for people: what happened, and the last lines that it wrote. */
  readonly message?: string;
  /** The file that holds its output. */
  readonly logFile?: string;
}

export interface PlatformStatus {
  readonly pools: Readonly<Record<string, PoolStatus>>;
  readonly replicas: readonly PlatformReplica[];
  /** For people, by pool: no policy sees it. */
  readonly about?: Readonly<Record<string, PoolAbout>>;
}

export interface PoolAbout {
  /** Finds the pool's replicas in the platform's own tools. */
  readonly selector: string | null;
  /** Who else sets the count, and what we do about it; null: nobody. */
  readonly otherWriter: string | null;
}

/**
 * What holds replicas and changes their number. Asking twice for the same changes nothing.
 * @throws TidegateError `platform/unreachable | platform/busy | platform/refused` from `status` and `scale`
 */
export interface Platform {
  readonly kind: string;
  /** False where counts are only recommended. */
  readonly acts: boolean;
  status(): Promise<PlatformStatus>;
  /**
   * Asks for an absolute count; resolves once accepted, not once ready. Replicas that go become `draining` at once: those in
   * `want.drain` first, then those of the platform's choice (starting before ready, youngest first). They are ended only when
   * `drained` says so, or when their drain time-out is over.
   */
  scale(pool: string, want: Extract<Want, { kind: "scale" }>): Promise<Outcome["result"]>;
  /** Nothing is in flight on this draining replica any more: it may be ended. */
  drained(replica: string): void;
  /** Calls back when a replica changed state or stage. @returns a function that ends it. */
  onChange(listener: () => void): () => void;
  /**
   * Nobody controls it from now on: replicas that drain serve again, and counts stay as they are. Absent where nothing has to be undone.
   * @throws TidegateError as `scale`
   */
  letGo?(): Promise<void>;
  /** `leave`: replicas go on running and are adopted at the next start; `end`: they are drained and ended. */
  close(how: "leave" | "end"): Promise<void>;
}

export type PlatformFactory = (endpoint: Endpoint, context: PlatformContext) => Promise<Platform>;

/**
 * `stateFolder`: where a platform may remember what is its own, as files that survive a crash. `mayAct`: false at once when another
 * controller leads; nothing may be changed then. Absent: there is no other one. `cluster`: for who names no cluster of its own.
 */
export interface PlatformContext {
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly mayAct?: () => boolean;
  readonly cluster?: KubernetesApi;
}
