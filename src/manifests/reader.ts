import type { DialectKind, Manifest, Ms, ScalingRules, Target } from "../model/index.ts";
import type { ManifestIssue } from "./issue.ts";

/** What a file of another autoscaler means, or what is wrong with it. */
export type ReadManifest = { readonly manifest: Manifest; readonly target: Target | null } | { readonly issues: readonly ManifestIssue[] };

/** One metric that is held at a level: `perReplica` wants total / value replicas, `endpoint` scales the count by reading / value. */
export interface IntentRule {
  /** Our signal's name, or the manifest's own name of a metric where no signal of ours is that. */
  readonly signal: string;
  readonly level: number;
  readonly of: "perReplica" | "endpoint";
  /** The reading is one number for the whole endpoint, not one of each replica. */
  readonly total?: true;
  /** Labels that pick one of several readings of that name. */
  readonly labels?: Readonly<Record<string, string>>;
  /** A PromQL expression where the source states one. */
  readonly query?: string;
}

/**
 * What two dialects can say to each other. `null`: not said, so the target's own default holds. Whatever a manifest says beyond this
 * is named in `lost`, never dropped in silence.
 */
export interface Intent {
  readonly name: string;
  readonly namespace: string;
  readonly target: Target | null;
  readonly min: number;
  readonly max: number;
  readonly rules: readonly IntentRule[];
  /** Relative deviation that changes nothing. */
  readonly tolerance: number | null;
  readonly scaleUp: ScalingRules | null;
  readonly scaleDown: ScalingRules | null;
  /** Idle for so long goes to zero. */
  readonly zeroAfterMs: Ms | null;
  readonly intervalMs: Ms | null;
}

export interface Written {
  /** The document as data, to be printed as YAML or JSON. */
  readonly document: unknown;
  /** A sentence for each thing that could not be carried over; printed as comments. */
  readonly lost: readonly string[];
}

/** Files of one dialect, in and out. Pure. */
export interface ManifestReader {
  readonly dialect: DialectKind;
  /** Whether this document is one of the reader's, told by its apiVersion and kind or by keys that only it has. */
  recognizes(document: unknown): boolean;
  /** Strict: unknown fields are issues; defaults are filled in as the system itself would. */
  read(document: unknown): ReadManifest;
  /** A document that reads back to the same manifest. */
  write(manifest: Manifest, target: Target | null): unknown;
  intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] };
  /** The nearest manifest to an intent. */
  fromIntent(intent: Intent): Written;
}
