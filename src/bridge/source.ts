import type { Ms, Subject, Target } from "../model/index.ts";

/** A number with when it held, in real milliseconds since the Unix epoch. What is missing or stale is absent, never 0. */
export interface Timed {
  readonly value: number;
  readonly atMs: Ms;
  /** How long a time before `atMs` the value speaks of; 0 for one instant. */
  readonly windowMs: Ms;
}

export interface FollowedPool {
  readonly name: string;
  /** What a follower scales. */
  readonly target: Target | null;
  readonly min: number;
  readonly max: number;
  /** What it should have; null: not decided, or the loop has not stood by it for longer than the endpoint's `staleAfter`. */
  readonly desired: Timed | null;
}

/** An endpoint as its followers may see it now. */
export interface FollowedEndpoint {
  readonly name: string;
  readonly namespace: string;
  /** A manifest's metric name → our signal's name. */
  readonly metrics: Readonly<Record<string, string>>;
  readonly pools: readonly FollowedPool[];
  /** Requests held at the gateway; null: nobody knows. */
  readonly held: number | null;
  /** Replicas that there are readings of. */
  readonly replicas: readonly string[];
}

export interface Reading extends Timed {
  readonly subject: Subject;
}

/** Where decisions and signals come from: a running controller. */
export interface Source {
  /** Empty until the controller has been heard. */
  endpoints(): readonly FollowedEndpoint[];
  /** The fresh readings of a signal, one or more (containers) by subject. @throws TidegateError `admin/unreachable`, `admin/refused` */
  readings(endpoint: string, signal: string): Promise<readonly Reading[]>;
  /** Calls back with an endpoint's name when something was heard of it. @returns a function that ends it */
  onChange(listener: (endpoint: string) => void): () => void;
  /** Whether the controller is being heard now. */
  connected(): boolean;
  close(): void;
}

/** The metric that an autoscaler follows with a target of 1 per replica. */
export const DESIRED_REPLICAS = "tidegate_desired_replicas";

/** Replicas desired over the given pools: what is missing for one of them is missing for all. `atMs` is the oldest one's. */
export function desiredSum(pools: readonly FollowedPool[]): Timed | null {
  let sum = null as Timed | null;
  for (const { desired } of pools) {
    if (desired === null) return null;
    sum = { value: (sum?.value ?? 0) + desired.value, atMs: Math.min(sum?.atMs ?? desired.atMs, desired.atMs), windowMs: 0 };
  }
  return sum;
}

/** The series that answers for a metric as a manifest names it. */
export const signalOf = ({ metrics }: FollowedEndpoint, metric: string): string =>
  Object.hasOwn(metrics, metric) ? (metrics[metric] as string) : metric;
