import type { Log, Target } from "../../../model/index.ts";
import { isStatus, type KubernetesApi } from "../api.ts";
import type { KubernetesObject, Pod } from "../objects.ts";
import { FIELD_MANAGER } from "../writers.ts";

/** `selector`: pods by which the count counts; null: the object tells none. `limits`: within which its controller carries a count out. */
export interface Count {
  readonly replicas: number;
  readonly selector: string | null;
  readonly limits?: Limits;
}

/** `stated`: where they stand, for people. */
export interface Limits {
  readonly min: number;
  readonly max: number;
  readonly stated: string;
}

export type Written = { readonly kind: "written"; readonly count: Count } | { readonly kind: "changed"; readonly count: Count };

/** An object that holds replicas: where their count stands, which pods they are, and who else sets it. */
export interface ScaleTarget {
  /** For people: `InferenceService chat (Deployment chat-predictor)`. */
  readonly name: string;
  /** @throws TidegateError */
  read(): Promise<Count>;
  /**
   * Sets the count if it still is `from`. `going`: the pods that are to be deleted or that end already, for who `namesVictims`.
   * @throws TidegateError
   */
  write(from: number, to: number, going: readonly string[]): Promise<Written>;
  /** Who wrote the count last, by `managedFields`; null: nobody but us, or we may not look. */
  lastWriter(): Promise<string | null>;
  /** Whoever owns the count and would set it again, for people; null: nobody, or we may not look. `lately`: see `askLately`. */
  owner(lately?: boolean): Promise<string | null>;
  /** null: each pod is a replica. */
  readonly grouping: Grouping | null;
  /** Whether the pods to go are named with the count. */
  readonly namesVictims: boolean;
}

/** How several pods are one replica. */
export interface Grouping {
  /** The replica that the pod is part of, and whether it is the one that answers requests; null: it is part of none. */
  seatOf(pod: Pod): Seat | null;
  /** How many pods make it whole. */
  sizeOf(leader: Pod): number;
}
export interface Seat {
  readonly group: string;
  readonly leads: boolean;
}

export interface TargetContext {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly log: Log;
}

/** One kind of object that is more than a scale subresource; one file each. */
export interface TargetKind {
  /** Of the API, without its version. */
  readonly group: string;
  readonly kind: string;
  /** @throws TidegateError `platform/refused` where the object as it is cannot be scaled, with the way out */
  open(target: Target, context: TargetContext): Promise<ScaleTarget>;
}

/** Tries before an object that changes all the time counts as busy. */
const mostTries = 10;

/**
 * Sets a count if it still is `from`. An object's version changes with each pod that comes and goes, so a conflict (409) alone
 * says little: it is read again, and only a count that another one wrote ends the attempt, as `changed`.
 */
export async function compareAndSet<Seen>(
  place: { read(): Promise<Seen>; countOf(seen: Seen): Count; set(seen: Seen): Promise<Count> },
  from: number,
  to: number,
): Promise<Written> {
  for (let attempt = 1; ; attempt++) {
    const seen = await place.read();
    const before = place.countOf(seen);
    if (before.replicas === to) return { kind: "written", count: before };
    if (before.replicas !== from) return { kind: "changed", count: before };
    try {
      return { kind: "written", count: await place.set(seen) };
    } catch (error) {
      if (!isStatus(error, 409) || attempt === mostTries) throw error;
    }
  }
}

/** Sets fields of the object as it was read: whoever wrote it since makes this a conflict (409). Paths are JSON Pointers. */
export function patchFields<Item extends KubernetesObject>(
  api: KubernetesApi,
  path: string,
  { metadata }: KubernetesObject,
  fields: Readonly<Record<string, unknown>>,
): Promise<Item> {
  const version = { op: "replace", path: "/metadata/resourceVersion", value: metadata.resourceVersion };
  const body = [version, ...Object.entries(fields).map(([at, value]) => ({ op: "add", path: at, value }))];
  return api.ask<Item>({ method: "PATCH", path, query: { fieldManager: FIELD_MANAGER }, contentType: "application/json-patch+json", body });
}
