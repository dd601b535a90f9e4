import { z } from "zod";
import type { Manifest } from "../model/index.ts";
import { SAGESERVE_DEFAULTS, type SageServeSpec, STRATEGIES, sageserveSpecOf } from "../policy/dialects/sageserve/index.ts";
import { parameterMapping } from "./parameter-mapping.ts";
import type { Intent, ManifestReader, Written } from "./reader.ts";

const seconds = z.number().min(0);
const share = z.number().min(0).max(1);
const byPool = z.union([z.number().gt(0), z.record(z.string(), z.number().gt(0))]);
const defaults = SAGESERVE_DEFAULTS;

const schema = z
  .strictObject({
    strategy: z.enum(STRATEGIES).default(defaults.strategy),
    long_term_scaling_interval: z.number().gt(0).default(defaults.long_term_scaling_interval),
    forecast_window: z.tuple([seconds, seconds]).default([...defaults.forecast_window]),
    season_minutes: z.int().min(0).max(10_080).default(defaults.season_minutes),
    non_interactive_share: z.number().min(0).default(defaults.non_interactive_share),
    non_interactive_classes: z.array(z.string()).default([...defaults.non_interactive_classes]),
    model_tps: byPool.nullable().default(null),
    tps_share: z.number().gt(0).max(1).default(defaults.tps_share),
    gpu_cost: byPool.nullable().default(null),
    startup_cost: z.number().min(0).default(defaults.startup_cost),
    scale_up_utilization: share.default(defaults.scale_up_utilization),
    scale_down_utilization: share.default(defaults.scale_down_utilization),
    overshoot_utilization: share.default(defaults.overshoot_utilization),
    arima_checking_scaling_threshold: z.number().gt(0).default(defaults.arima_checking_scaling_threshold),
    overheads: z
      .strictObject({
        spin_up: seconds.default(defaults.overheads.spin_up),
        spin_down: seconds.default(defaults.overheads.spin_down),
        reclaim_spot: seconds.default(defaults.overheads.reclaim_spot),
      })
      .prefault({}),
    scaling_interval: z.number().min(-1).default(defaults.scaling_interval),
    tick_seconds: z.number().min(1).default(defaults.tick_seconds),
    min_instances: z.int().min(1).default(defaults.min_instances),
    max_instances: z.int().min(1).nullable().default(null),
  })
  .superRefine((spec, context) => {
    const [from, to] = spec.forecast_window;
    if (from >= to) context.addIssue(`forecast_window ends (${to}) before it begins (${from})`);
    if (spec.scale_down_utilization >= spec.scale_up_utilization)
      context.addIssue(
        `scale_down_utilization (${spec.scale_down_utilization}) is not below scale_up_utilization (${spec.scale_up_utilization})`,
      );
    if (spec.max_instances !== null && spec.max_instances < spec.min_instances)
      context.addIssue(
        `max_instances (${spec.max_instances}) is below min_instances (${spec.min_instances}); raise it or lower the minimum`,
      );
  });

/** SageServe's parameters under `sageserve:`, by the names of its authors' simulator. */
export const sageserveReader: ManifestReader = { dialect: "sageserve", ...parameterMapping("sageserve", schema), intent, fromIntent };

function intent(manifest: Manifest): { readonly intent: Intent; readonly lost: readonly string[] } {
  const spec = sageserveSpecOf(manifest);
  const lost: string[] = [];
  if (spec.strategy !== "reactive")
    lost.push("The hourly plan by forecast and integer programme has no counterpart; its reactive baseline stands for it.");
  lost.push(
    `It grows above ${spec.scale_up_utilization} and shrinks below ${spec.scale_down_utilization} of memory in use, one at a time; the middle stands for both.`,
  );
  if (spec.max_instances === null) lost.push("It states no maximum; 10 stands for it.");
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target: null,
      min: spec.min_instances,
      max: spec.max_instances ?? 10,
      rules: [
        { signal: "kv_used", level: Number(((spec.scale_up_utilization + spec.scale_down_utilization) / 2).toFixed(6)), of: "perReplica" },
      ],
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
  const lost: string[] = [];
  const kv = rules.find(({ signal, of, level }) => signal === "kv_used" && of === "perReplica" && level > 0 && level < 1);
  for (const { signal } of rules.filter((rule) => rule !== kv))
    lost.push(`${signal} is nothing that SageServe looks at: it knows memory use and input tokens.`);
  if (tolerance !== null) lost.push("It has no tolerance; between its two thresholds nothing changes.");
  if (scaleUp !== null || scaleDown !== null) lost.push("It has no windows or rates: it changes a count by one, one action at a time.");
  if (zeroAfterMs !== null || min === 0) lost.push("It does not go to zero; one instance stays.");
  const level = kv?.level;
  const spec: Partial<SageServeSpec> = {
    strategy: "reactive",
    min_instances: Math.max(1, min),
    max_instances: Math.max(1, max),
    ...(level === undefined
      ? {}
      : { scale_up_utilization: Number(Math.min(1, level * 1.2).toFixed(6)), scale_down_utilization: Number((level * 0.6).toFixed(6)) }),
    ...(intervalMs === null ? {} : { tick_seconds: Math.max(1, intervalMs / 1000) }),
  };
  return { document: { metadata: { name, namespace }, sageserve: spec }, lost };
}
