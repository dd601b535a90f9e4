import type { Manifest, Pool } from "../../../model/index.ts";

export const INSTANCE_KINDS = ["interactive", "mixed", "batch"] as const;
/** Whom a pool's instances serve. */
export type InstanceKind = (typeof INSTANCE_KINDS)[number];

/**
 * - "artifact": as the authors of SageServe implemented it to compare with, one instance at a time
 * - "paper": as many instances at once as bring the backpressures to their targets
 */
export const CHIRON_VERSIONS = ["artifact", "paper"] as const;

/** Parameters under the names of the artifact, where it has one. Times in seconds. */
export interface ChironSpec {
  readonly version: (typeof CHIRON_VERSIONS)[number];
  /** By pool; one that is not named is what its name says ("-p" or "interactive", "-d" or "batch"), else mixed. */
  readonly instances: Readonly<Record<string, InstanceKind>>;
  readonly batch_classes: readonly string[];
  /** Busy share of interactive and mixed instances above which there are too few. */
  readonly ibp_threshold: number;
  readonly batch_ttft_slo: number;
  /** Of one request, and tokens per second of one instance, for the wait of a batch queue. */
  readonly prompt_time: number;
  readonly decode_throughput: number;
  readonly overheads: { readonly spin_up: number; readonly spin_down: number; readonly reclaim_spot: number };
  /** Batch requests that arrive within so long form a group. */
  readonly group_seconds: number;
  readonly tick_seconds: number;
  /** Of interactive and mixed instances; batch instances go to none. */
  readonly min_instances: number;
  readonly max_instances: number | null;
}

/** Source: kjain1810/SageServe, configs/controller/chiron.yaml and arbiter.py; of the paper what the artifact leaves out. */
export const CHIRON_DEFAULTS: ChironSpec = {
  version: "artifact",
  instances: {},
  batch_classes: ["batch"],
  ibp_threshold: 0.6,
  batch_ttft_slo: 86_400,
  prompt_time: 10,
  decode_throughput: 100,
  overheads: { spin_up: 0, spin_down: 0, reclaim_spot: 0 },
  group_seconds: 60,
  tick_seconds: 5,
  min_instances: 2,
  max_instances: null,
};

/** The reader has made sure of this shape. */
export const chironSpecOf = (manifest: Manifest): ChironSpec => manifest.spec as unknown as ChironSpec;

export function kindOf({ instances }: ChironSpec, { name }: Pool): InstanceKind {
  const stated = Object.hasOwn(instances, name) ? instances[name] : undefined;
  if (stated !== undefined) return stated;
  if (name.endsWith("-p") || name.includes("interactive")) return "interactive";
  return name.endsWith("-d") || name.includes("batch") ? "batch" : "mixed";
}
