import { z } from "zod";
import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import {
  DEFAULT_DOWNSCALE_DELAY_S,
  DEFAULT_MIN_REPLICAS,
  DEFAULT_UPSCALE_DELAY_S,
  replicaPolicyOf,
  serviceOf,
  usesFallback,
} from "../policy/dialects/skyserve/index.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, ManifestReader, Written } from "./reader.ts";

/** Source: SkyPilot 0.10, sky/utils/schemas.py and sky/serve/service_spec.py. */
const mapping = z.record(z.string(), z.json());
const count = z.int().min(0);

const replicaPolicy = z
  .strictObject({
    min_replicas: count,
    max_replicas: count.optional(),
    num_overprovision: count.optional(),
    target_qps_per_replica: z
      .union([
        z.number().positive(),
        z
          .record(z.string().regex(/^[A-Z0-9]+(?::[0-9]+)?$/, "is not a GPU type, such as A100 or A100:2"), z.number().positive())
          .refine((byGpu) => Object.keys(byGpu).length > 0, "names no GPU type"),
      ])
      .optional(),
    dynamic_ondemand_fallback: z.boolean().optional(),
    base_ondemand_fallback_replicas: count.optional(),
    spot_placer: z.preprocess((name) => (typeof name === "string" ? name.toLowerCase() : name), z.enum(["dynamic_fallback"])).optional(),
    upscale_delay_seconds: z.number().min(0).default(DEFAULT_UPSCALE_DELAY_S),
    downscale_delay_seconds: z.number().min(0).default(DEFAULT_DOWNSCALE_DELAY_S),
  })
  .superRefine(({ min_replicas: min, max_replicas: max, target_qps_per_replica: target, ...more }, issues) => {
    const report = (path: string, message: string) => issues.addIssue({ code: "custom", path: [path], message });
    if (max !== undefined && max < min) report("max_replicas", `(${max}) is below min_replicas (${min}); raise it or lower the minimum`);
    if (target !== undefined && max === undefined) report("max_replicas", "is missing; a target_qps_per_replica needs one");
    if (target === undefined && max !== undefined && max !== min) {
      report("target_qps_per_replica", `is missing; without one min_replicas (${min}) and max_replicas (${max}) have to be the same`);
    }
    if (typeof target === "object" && (more.dynamic_ondemand_fallback || (more.base_ondemand_fallback_replicas ?? 0) > 0)) {
      report("target_qps_per_replica", "by GPU type does not go together with on-demand fallback; give one number");
    }
  });

const probe = z.union(
  [
    z.string().startsWith("/"),
    z.strictObject({
      path: z.string().startsWith("/"),
      initial_delay_seconds: z.number().optional(),
      post_data: z.union([z.string(), mapping]).optional(),
      timeout_seconds: z.number().optional(),
      headers: z.record(z.string(), z.string()).optional(),
    }),
  ],
  { error: "must be a path, such as /health, or a mapping with one" },
);

const INSTANCE_AWARE = "instance_aware_least_load";
const service = z
  .strictObject({
    readiness_probe: probe.optional(),
    replica_policy: replicaPolicy.optional(),
    replicas: count.optional(),
    ports: z.int().min(1).max(65_535).optional(),
    load_balancing_policy: z
      .preprocess((name) => (typeof name === "string" ? name.toLowerCase() : name), z.enum(["round_robin", "least_load", INSTANCE_AWARE]))
      .optional(),
    tls: z.strictObject({ keyfile: z.string(), certfile: z.string() }).optional(),
    pool: z.json().optional(),
    workers: z.json().optional(),
  })
  .superRefine(({ replica_policy: policy, replicas, load_balancing_policy: balancing, pool, workers }, issues) => {
    const report = (path: string, message: string) => issues.addIssue({ code: "custom", path: [path], message });
    if (replicas !== undefined && policy !== undefined)
      report("replicas", `is fixed (${replicas}) beside replica_policy; remove one of them`);
    const byGpu = typeof policy?.target_qps_per_replica === "object";
    if (byGpu && balancing !== INSTANCE_AWARE)
      report("load_balancing_policy", `must be ${INSTANCE_AWARE} where target_qps_per_replica is by GPU type`);
    if (!byGpu && balancing === INSTANCE_AWARE)
      report("load_balancing_policy", `${INSTANCE_AWARE} needs a target_qps_per_replica by GPU type`);
    if (pool !== undefined) report("pool", "is for batch jobs, which are no endpoint; only services can be followed");
    if (workers !== undefined) report("workers", "is for pools of batch jobs; a service has replicas");
  });

const task = z.strictObject({
  name: z.string().optional(),
  service,
  workdir: z.json().optional(),
  event_callback: z.string().optional(),
  num_nodes: z.int().min(1).optional(),
  resources: z.looseObject({ use_spot: z.boolean().optional() }).optional(),
  file_mounts: mapping.optional(),
  file_mounts_mapping: mapping.optional(),
  volumes: mapping.optional(),
  volume_mounts: z.array(mapping).optional(),
  setup: z.string().optional(),
  run: z.string().optional(),
  envs: mapping.optional(),
  secrets: mapping.optional(),
  inputs: mapping.optional(),
  outputs: mapping.optional(),
  config: mapping.optional(),
  _metadata: mapping.optional(),
});

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A SkyPilot task with a `service`: the file that `sky serve up` takes. */
export const skyserveReader: ManifestReader = {
  dialect: "skyserve",
  recognizes: (document) =>
    isMapping(document) &&
    !("kind" in document) &&
    isMapping(document["service"]) &&
    ["readiness_probe", "replica_policy", "replicas"].some((key) => key in (document["service"] as object)),
  read(document) {
    // Of the service alone: elsewhere (envs, for one) a null means something.
    const clean = isMapping(document) ? { ...document, service: withoutNulls(document["service"]) } : document;
    const parsed = task.safeParse(clean);
    if (!parsed.success) {
      const issues = manifestIssues(parsed.error);
      return { issues: issues.map(({ path, message }) => ({ path, message: message.replace("this API version", "SkyPilot 0.10") })) };
    }
    const spec = parsed.data as unknown as Manifest["spec"];
    const isFixed = parsed.data.service.replicas !== undefined || parsed.data.service.replica_policy !== undefined;
    const counted = isFixed ? parsed.data.service : { ...parsed.data.service, replicas: DEFAULT_MIN_REPLICAS };
    return {
      manifest: { name: parsed.data.name ?? "service", namespace: "default", spec: { ...spec, service: counted as unknown as Json } },
      target: null,
    };
  },
  write: ({ spec }) => spec,
  intent,
  fromIntent,
};

const lasting = (delayS: number): ScalingRules => ({ stabilizationWindowMs: delayS * 1000, selectPolicy: "Max", policies: [] });

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const policy = replicaPolicyOf(manifest);
  const { target_qps_per_replica: targets, num_overprovision: over, min_replicas: min, max_replicas: max } = policy;
  const lost: string[] = [];
  const each = typeof targets === "object" && targets !== null ? Math.min(...Object.values(targets)) : targets;
  if (each !== targets) lost.push(`A rate for each GPU type has no counterpart: the least of them (${each} per second) stands for all.`);
  if (usesFallback(policy)) lost.push("On-demand replicas beside spot ones, or in their stead, have no counterpart; one kind is counted.");
  if (over > 0) lost.push(`The ${over} replicas on top are part of both bounds, no longer of every count between them.`);
  if (serviceOf(manifest)["replica_policy"] !== undefined && "spot_placer" in (serviceOf(manifest)["replica_policy"] as object)) {
    lost.push("Where spot replicas are placed (spot_placer) is left out.");
  }
  if (targets !== null)
    lost.push(
      "SkyServe takes what its last decision asked for when a delay ends; a stabilization window takes the least or the most within it.",
    );
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: min + over,
      max: max + over,
      rules: each === null ? [] : [{ signal: "request_rate", level: each, of: "perReplica", total: true }],
      tolerance: targets === null ? null : 0,
      scaleUp: targets === null ? null : lasting(policy.upscale_delay_seconds),
      scaleDown: targets === null ? null : lasting(policy.downscale_delay_seconds),
      zeroAfterMs: targets !== null && min + over === 0 ? policy.downscale_delay_seconds * 1000 : null,
      intervalMs: targets === null ? null : 20_000,
    },
    lost,
  };
}

function fromIntent({ name, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const rule = rules.find(({ signal, of }) => of === "perReplica" && signal === "request_rate");
  for (const other of rules) {
    if (other !== rule)
      lost.push(`SkyServe holds requests per second per replica only: the rule on ${other.signal} (${other.level}) is left out.`);
  }
  const isFixed = min === max;
  if (rule === undefined && !isFixed)
    lost.push("target_qps_per_replica (1) is a guess: no rule says how many requests per second a replica carries. Measure it.");
  if (tolerance !== null && tolerance > 0) lost.push(`SkyServe has no tolerance (${tolerance}).`);
  if (intervalMs !== null && intervalMs !== 20_000) lost.push("SkyServe decides every 20 s; that is not the file's to say.");
  for (const [direction, stated] of [
    ["up", scaleUp],
    ["down", scaleDown],
  ] as const) {
    if (stated?.selectPolicy === "Disabled") lost.push(`SkyServe cannot be kept from going ${direction}.`);
    else if (stated !== null && stated.policies.length > 0)
      lost.push(`SkyServe does not limit how fast it goes ${direction}: its rates are left out.`);
    if (stated !== null && stated.stabilizationWindowMs % 20_000 !== 0) lost.push(`Going ${direction} waits for whole decisions of 20 s.`);
  }
  const downMs = scaleDown?.stabilizationWindowMs ?? DEFAULT_DOWNSCALE_DELAY_S * 1000;
  if (zeroAfterMs !== null && zeroAfterMs !== downMs)
    lost.push("SkyServe goes to zero after its downscale delay; it has no other idle time.");
  lost.push("resources and run: say on what machines a replica runs, and what; this file cannot know it.");
  const policy = {
    min_replicas: min,
    max_replicas: max,
    target_qps_per_replica: rule?.level ?? 1,
    upscale_delay_seconds: (scaleUp?.stabilizationWindowMs ?? DEFAULT_UPSCALE_DELAY_S * 1000) / 1000,
    downscale_delay_seconds: downMs / 1000,
  };
  const document = {
    name,
    service: { readiness_probe: "/health", ...(isFixed ? { replicas: min } : { replica_policy: policy }) },
    resources: {},
    run: "",
  };
  return { document, lost };
}
