import type { DialectKind, Endpoint, Json, Manifest, Policy } from "../../model/index.ts";

/** Counts that a manifest allows, both included. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** Another system's way of deciding, bound to its own manifest. */
export interface Dialect {
  readonly kind: DialectKind;
  /** The system and the version that is followed, such as "KEDA 2.20". */
  readonly follows: string;
  /** Whether it decides for several pools (variants, prefill and decode) at once; otherwise for the first one only. */
  readonly countsPools?: boolean;
  /** Expects a manifest that its reader in `manifests` has validated and defaulted. */
  policy(endpoint: Endpoint, manifest: Manifest): Policy<Json>;
  /** The counts that the manifest itself allows, defaults filled in; null: it says nothing of them, the pool's hold. */
  bounds(manifest: Manifest): Bounds | null;
  /** The same manifest with these bounds instead of its own. */
  withBounds(manifest: Manifest, bounds: Bounds): Manifest;
}
