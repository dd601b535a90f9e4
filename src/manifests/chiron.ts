import { z } from "zod";
import type { Manifest } from "../model/index.ts";
import { CHIRON_DEFAULTS, CHIRON_VERSIONS, type ChironSpec, chironSpecOf, INSTANCE_KINDS } from "../policy/dialects/chiron/index.ts";
import { parameterMapping } from "./parameter-mapping.ts";
import type { Intent, ManifestReader, Written } from "./reader.ts";

const seconds = z.number().min(0);
const defaults = CHIRON_DEFAULTS;

const schema = z
  .strictObject({
    version: z.enum(CHIRON_VERSIONS).default(defaults.version),
    instances: z.record(z.string(), z.enum(INSTANCE_KINDS)).default({}),
    batch_classes: z.array(z.string()).default([...defaults.batch_classes]),
    ibp_threshold: z.number().gt(0).max(1).default(defaults.ibp_threshold),
    batch_ttft_slo: z.number().gt(0).default(defaults.batch_ttft_slo),
    prompt_time: seconds.default(defaults.prompt_time),
    decode_throughput: z.number().gt(0).default(defaults.decode_throughput),
    overheads: z
      .strictObject({
        spin_up: seconds.default(defaults.overheads.spin_up),
        spin_down: seconds.default(defaults.overheads.spin_down),
        reclaim_spot: seconds.default(defaults.overheads.reclaim_spot),
      })
      .prefault({}),
    group_seconds: z.number().gt(0).default(defaults.group_seconds),
    tick_seconds: z.number().min(1).default(defaults.tick_seconds),
    min_instances: z.int().min(0).default(defaults.min_instances),
    max_instances: z.int().min(1).nullable().default(null),
  })
  .superRefine(({ min_instances: min, max_instances: max }, context) => {
    if (max !== null && max < min)
      context.addIssue(`max_instances (${max}) is below min_instances (${min}); raise it or lower the minimum`);
  });

/** Chiron's parameters under `chiron:`, by the names of the artifact that implements it for comparison. */
export const chironReader: ManifestReader = { dialect: "chiron", ...parameterMapping("chiron", schema), intent, fromIntent };

function intent(manifest: Manifest): { readonly intent: Intent; readonly lost: readonly string[] } {
  const spec = chironSpecOf(manifest);
  const lost = [`The share of busy instances that it holds at ${spec.ibp_threshold} is no signal; nor is the wait of batch requests.`];
  if (spec.max_instances === null) lost.push("It states no maximum; 10 stands for it.");
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target: null,
      min: spec.min_instances,
      max: spec.max_instances ?? 10,
      rules: [],
      tolerance: null,
      scaleUp: null,
      scaleDown: null,
      zeroAfterMs: null,
      intervalMs: spec.tick_seconds * 1000,
    },
    lost,
  };
}

function fromIntent({ name, namespace, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost = rules.map(({ signal }) => `${signal} is nothing that Chiron looks at: it counts busy instances and waiting batch requests.`);
  if (tolerance !== null || scaleUp !== null || scaleDown !== null) lost.push("It has no tolerance, windows or rates.");
  if (zeroAfterMs !== null) lost.push("It sends only batch instances away when idle.");
  const spec: Partial<ChironSpec> = {
    version: "paper",
    min_instances: min,
    max_instances: Math.max(1, max),
    ...(intervalMs === null ? {} : { tick_seconds: Math.max(1, intervalMs / 1000) }),
  };
  return { document: { metadata: { name, namespace }, chiron: spec }, lost };
}
