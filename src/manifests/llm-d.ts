import { parse, stringify } from "yaml";
import { z } from "zod";
import { formatDuration, type Manifest, parseDuration, type Target } from "../model/index.ts";
import { ANALYZERS, type Analyzer, LLMD_DEFAULTS, type LlmdSpec, llmdSpecOf, saturationConfig } from "../policy/dialects/llm-d/index.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

/** ConfigMaps that the controller reads, by the names they have had. */
const CONFIG_MAPS = {
  saturation: ["wva-saturation-scaling-config", "saturation-scaling-config", "capacity-scaling-config"],
  queueingModel: ["wva-queueing-model-config"],
  scaleToZero: ["wva-model-scale-to-zero-config", "model-scale-to-zero-config"],
  controller: ["wva-variantautoscaling-config"],
} as const;
type ConfigKind = keyof typeof CONFIG_MAPS;
const VARIANT_API = "llmd.ai/v1alpha1";

const share = z.number().min(0).max(1);
const amount = z.number().min(0);
const duration = z.string().refine((text) => parseDuration(text) !== undefined, { error: "must be a duration, such as 60s or 10m" });
const whom = { model_id: z.string().min(1).optional(), namespace: z.string().min(1).optional() };

const analyzer = z
  .strictObject({
    type: z.string(),
    name: z.string(),
    enabled: z.boolean(),
    score: amount,
    scaleUpThreshold: share,
    scaleDownBoundary: share,
    parameters: z.record(z.string(), z.unknown()),
  })
  .partial()
  .transform(({ parameters, ...own }) => {
    // The newer spelling of the same fields; the older one wins where both are there. Parameters of other analyzers mean nothing here.
    const known = Object.entries(parameters ?? {}).filter(([key]) =>
      ["enabled", "score", "scaleUpThreshold", "scaleDownBoundary"].includes(key),
    );
    return { ...Object.fromEntries(known), ...own };
  });
const saturationEntry = z
  .strictObject({
    ...whom,
    kvCacheThreshold: share.optional(),
    queueLengthThreshold: amount.optional(),
    kvSpareTrigger: share.optional(),
    queueSpareTrigger: amount.optional(),
    enableLimiter: z.boolean().optional(),
    enableRescale: z.boolean().optional(),
    analyzerName: z.enum(["", "saturation"]).optional(),
    scaleUpThreshold: share.optional(),
    scaleDownBoundary: share.optional(),
    priority: amount.optional(),
    analyzers: z.array(analyzer).optional(),
    scaleToZero: z.strictObject({ enabled: z.boolean().optional() }).optional(),
    limiters: z.array(z.looseObject({ type: z.enum(["gpu-inventory", "inventory", "quota"]) })).optional(),
  })
  .superRefine((entry, context) => {
    const { kvCacheThreshold: kv = LLMD_DEFAULTS.kvCacheThreshold, kvSpareTrigger: spare = LLMD_DEFAULTS.kvSpareTrigger } = entry;
    if (kv < spare)
      context.addIssue(`kvSpareTrigger (${spare}) is above kvCacheThreshold (${kv}): every replica would be too full; lower it`);
    const { scaleUpThreshold: up = 0, scaleDownBoundary: down = 0 } = entry;
    if (up !== 0 && down !== 0 && up <= down)
      context.addIssue(`scaleUpThreshold (${up}) is not above scaleDownBoundary (${down}); there must be a band between them`);
  });
const queueingEntry = z
  .strictObject({
    ...whom,
    sloMultiplier: z.number().gt(1, { error: "must be above 1: the target utilization is 1 - 1/sloMultiplier" }).optional(),
    tuningEnabled: z.boolean().optional(),
    targetTTFT: amount.optional(),
    targetITL: amount.optional(),
  })
  .superRefine(({ targetTTFT = 0, targetITL = 0 }, context) => {
    if (targetTTFT > 0 !== targetITL > 0) context.addIssue("targetTTFT and targetITL go together; state both or neither");
  });
const zeroEntry = z.strictObject({ ...whom, enable_scale_to_zero: z.boolean().optional(), retention_period: duration.optional() });

const reference = z.strictObject({ apiVersion: z.string().optional(), kind: z.string().min(1), name: z.string().min(1) });
const variantSpec = z.strictObject({
  scaleTargetRef: reference,
  modelID: z.string().min(1).max(128),
  variantCost: z
    .string()
    .regex(/^\d+(\.\d+)?$/, { error: 'must be a number as text, such as "10.0"' })
    .default(LLMD_DEFAULTS.variantCost),
  minReplicas: z.int().min(0).optional(),
  maxReplicas: z.int().min(1).optional(),
});
const objectMeta = z.looseObject({ name: z.string().min(1), namespace: z.string().min(1).optional() });
const variantResource = z.strictObject({
  apiVersion: z.literal(VARIANT_API),
  kind: z.literal("VariantAutoscaling"),
  metadata: objectMeta,
  spec: variantSpec,
  status: z.unknown().optional(),
});
const configMap = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ConfigMap"),
  metadata: objectMeta,
  data: z.record(z.string(), z.string()).default({}),
  immutable: z.boolean().optional(),
});
const list = z.looseObject({ apiVersion: z.literal("v1"), kind: z.literal("List"), items: z.array(z.unknown()).min(1) });

/** The same in one mapping, for a Tidegate config: what the ConfigMaps and resources say, under their own names. */
const plain = z.strictObject({
  metadata: z.strictObject({ name: z.string().optional(), namespace: z.string().optional() }).optional(),
  analyzer: z.enum(ANALYZERS),
  optimizationInterval: duration.optional(),
  saturation: z.record(z.string(), saturationEntry).optional(),
  queueingModel: z.record(z.string(), queueingEntry).optional(),
  scaleToZero: z.record(z.string(), zeroEntry).optional(),
  variants: z.array(variantSpec.extend({ name: z.string().min(1) })).optional(),
  minReplicas: z.int().min(0).optional(),
  maxReplicas: z.int().min(1).optional(),
});
type Plain = z.infer<typeof plain>;
type Parts = { -readonly [Key in "saturation" | "queueingModel" | "scaleToZero" | "variants" | "optimizationInterval"]?: Plain[Key] };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const kindOfMap = (document: Record<string, unknown>): ConfigKind | undefined => {
  const name = isObject(document["metadata"]) ? document["metadata"]["name"] : undefined;
  return (Object.keys(CONFIG_MAPS) as ConfigKind[]).find((kind) => (CONFIG_MAPS[kind] as readonly unknown[]).includes(name));
};

function recognizes(document: unknown): boolean {
  if (!isObject(document)) return false;
  const { kind, apiVersion } = document;
  if (kind === "VariantAutoscaling") return true;
  if (kind === "ConfigMap") return kindOfMap(document) !== undefined;
  if (kind === "List") return Array.isArray(document["items"]) && document["items"].length > 0 && document["items"].every(recognizes);
  return kind === undefined && apiVersion === undefined && (ANALYZERS as readonly unknown[]).includes(document["analyzer"]);
}

/**
 * Files of llm-d's workload variant autoscaler: its ConfigMaps, VariantAutoscaling resources, a List of several of them (as
 * `kubectl get -o yaml` prints it), or one mapping with the same content. Which analyzer decides follows from them as in the
 * controller: the queueing model where its ConfigMap has a "default", V2 where the saturation entry names it, else V1.
 */
export const llmdReader: ManifestReader = { dialect: "llm-d", recognizes, read, write, intent, fromIntent };

function read(raw: unknown): ReadManifest {
  const document = withoutNulls(raw);
  if (!isObject(document))
    return refuse("", "is not a mapping; give a VariantAutoscaling, a ConfigMap of the controller, a List of them, or analyzer: …");
  if (document["kind"] === undefined) {
    const parsed = plain.safeParse(document);
    if (!parsed.success) return { issues: manifestIssues(parsed.error) };
    const { metadata = {}, ...rest } = parsed.data;
    return conclude(metadata.name ?? "", metadata.namespace ?? "default", rest, rest.analyzer, rest);
  }
  const items: readonly unknown[] = document["kind"] === "List" ? (list.safeParse(document).data?.items ?? []) : [document];
  if (items.length === 0) return refuse("items", "is empty; list ConfigMaps and VariantAutoscalings");
  const parts: Parts = {};
  const issues: ManifestIssue[] = [];
  const names: { name: string; namespace: string; isVariant: boolean }[] = [];
  for (const [at, item] of items.entries()) {
    const root = document["kind"] === "List" ? `items[${at}]` : "";
    issues.push(...readItem(item, root, parts, names));
  }
  if (issues.length > 0) return { issues };
  const { name, namespace } = (names.find(({ isVariant }) => isVariant) ?? names[0]) as { name: string; namespace: string };
  return conclude(name, namespace, parts, null, {});
}

const refuse = (path: string, message: string): ReadManifest => ({ issues: [{ path, message }] });
const under = (root: string, path: string) => (root === "" ? path : path === "" ? root : `${root}.${path}`);

function readItem(
  item: unknown,
  root: string,
  parts: Parts,
  names: { name: string; namespace: string; isVariant: boolean }[],
): ManifestIssue[] {
  const kind = isObject(item) ? item["kind"] : undefined;
  if (kind === "VariantAutoscaling") {
    const parsed = variantResource.safeParse(item);
    if (!parsed.success) return manifestIssues(parsed.error, root);
    const { metadata, spec } = parsed.data;
    parts.variants = [...(parts.variants ?? []), { name: metadata.name, ...spec }];
    names.push({ name: metadata.name, namespace: metadata.namespace ?? "default", isVariant: true });
    return [];
  }
  const configKind = kind === "ConfigMap" && isObject(item) ? kindOfMap(item) : undefined;
  if (configKind === undefined)
    return [
      {
        path: under(root, "kind"),
        message: `is ${JSON.stringify(kind) ?? "missing"}, not a VariantAutoscaling nor a ConfigMap of the controller`,
      },
    ];
  const parsed = configMap.safeParse(item);
  if (!parsed.success) return manifestIssues(parsed.error, root);
  const { metadata, data } = parsed.data;
  names.push({ name: metadata.name, namespace: metadata.namespace ?? "default", isVariant: false });
  if (configKind === "controller") {
    const interval = data["GLOBAL_OPT_INTERVAL"];
    if (interval === undefined) return [];
    if (parseDuration(interval) === undefined)
      return [{ path: under(root, "data.GLOBAL_OPT_INTERVAL"), message: "must be a duration, such as 60s" }];
    parts.optimizationInterval = interval;
    return [];
  }
  const schema = { saturation: saturationEntry, queueingModel: queueingEntry, scaleToZero: zeroEntry }[configKind];
  const issues: ManifestIssue[] = [];
  const entries: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(data)) {
    const path = under(root, `data.${key}`);
    let content: unknown;
    try {
      content = withoutNulls(parse(text)) ?? {};
    } catch (error) {
      issues.push({ path, message: `is not YAML: ${error instanceof Error ? error.message.split("\n")[0] : error}` });
      continue;
    }
    const entry = schema.safeParse(content);
    if (entry.success) entries[key] = entry.data;
    else issues.push(...manifestIssues(entry.error, path));
  }
  Object.assign(parts, { [configKind]: { ...parts[configKind], ...entries } });
  return issues;
}

/** Fills defaults in and makes sure that the analyzer is the one that the parts select. */
function conclude(
  name: string,
  namespace: string,
  parts: Parts,
  stated: Analyzer | null,
  counts: Pick<Plain, "minReplicas" | "maxReplicas">,
): ReadManifest {
  const first = parts.saturation?.["default"] ?? {};
  const selectsV2 = first.analyzerName === "saturation" || (first.analyzers?.length ?? 0) > 0;
  const selectsModel = parts.queueingModel?.["default"] !== undefined;
  const selected: Analyzer = selectsModel ? "queueing-model" : selectsV2 ? "saturation-v2" : "saturation-v1";
  if (stated !== null && stated !== selected && selected !== "saturation-v1") {
    const by = selectsModel ? "a default entry of queueingModel" : "analyzerName or analyzers of the saturation entry";
    if (!(stated === "queueing-model" && selected === "saturation-v2"))
      return refuse("analyzer", `is ${stated}, but ${by} selects ${selected}; remove one of the two`);
  }
  const analyzer = stated ?? selected;
  const overrides = [...Object.entries(parts.saturation ?? {}), ...Object.entries(parts.queueingModel ?? {})];
  const nameless = overrides.find(([key, entry]) => key !== "default" && entry.model_id === undefined);
  if (nameless !== undefined) return refuse("", `entry ${nameless[0]} says no model_id: nobody would know whom it is about`);
  const { minReplicas, maxReplicas } = counts;
  if (minReplicas !== undefined && maxReplicas !== undefined && minReplicas > maxReplicas)
    return refuse("maxReplicas", `(${maxReplicas}) is below minReplicas (${minReplicas}); raise it or lower the minimum`);
  for (const { name: variant, minReplicas: least = 0, maxReplicas: most } of parts.variants ?? [])
    if (most !== undefined && least > most) return refuse("", `variant ${variant}: maxReplicas (${most}) is below minReplicas (${least})`);

  const { kvCacheThreshold, queueLengthThreshold, kvSpareTrigger, queueSpareTrigger, scaleUpThreshold, scaleDownBoundary } = LLMD_DEFAULTS;
  const v2 = analyzer === "saturation-v2";
  const saturation = {
    ...parts.saturation,
    default: {
      kvCacheThreshold,
      queueLengthThreshold,
      kvSpareTrigger,
      queueSpareTrigger,
      ...(v2 ? { scaleUpThreshold, scaleDownBoundary } : {}),
      ...first,
      ...(v2 && !selectsV2 ? { analyzerName: "saturation" as const } : {}),
    },
  };
  const spec = {
    analyzer,
    optimizationInterval: parts.optimizationInterval ?? LLMD_DEFAULTS.optimizationInterval,
    saturation,
    queueingModel: analyzer === "queueing-model" ? { default: { sloMultiplier: LLMD_DEFAULTS.sloMultiplier }, ...parts.queueingModel } : {},
    scaleToZero: parts.scaleToZero ?? {},
    variants: parts.variants ?? [],
    ...(minReplicas === undefined ? {} : { minReplicas }),
    ...(maxReplicas === undefined ? {} : { maxReplicas }),
  };
  const [only] = spec.variants.length === 1 ? spec.variants : [];
  const target: Target | null =
    only === undefined ? null : { ...only.scaleTargetRef, apiVersion: only.scaleTargetRef.apiVersion ?? "apps/v1" };
  // Undefined fields of optional keys do not survive JSON.
  return { manifest: { name, namespace, spec: JSON.parse(JSON.stringify(spec)) as Manifest["spec"] }, target };
}

function write(manifest: Manifest): unknown {
  const spec = llmdSpecOf(manifest);
  const { name, namespace } = manifest;
  const map = (kind: ConfigKind, data: Record<string, string>) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: name !== "" && (CONFIG_MAPS[kind] as readonly string[]).includes(name) ? name : CONFIG_MAPS[kind][0], namespace },
    data,
  });
  const entries = (of: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(of).map(([key, entry]) => [key, stringify(entry)]));
  const items = [
    map("saturation", entries(spec.saturation)),
    ...(Object.keys(spec.queueingModel).length === 0 ? [] : [map("queueingModel", entries(spec.queueingModel))]),
    ...(Object.keys(spec.scaleToZero).length === 0 ? [] : [map("scaleToZero", entries(spec.scaleToZero))]),
    ...(spec.optimizationInterval === LLMD_DEFAULTS.optimizationInterval
      ? []
      : [map("controller", { GLOBAL_OPT_INTERVAL: spec.optimizationInterval })]),
    ...spec.variants.map(({ name: variant, ...rest }) => ({
      apiVersion: VARIANT_API,
      kind: "VariantAutoscaling",
      metadata: { name: variant, namespace },
      spec: rest,
    })),
  ];
  const first = items.find(({ kind }) => kind === "VariantAutoscaling") ?? items[0];
  // The files have no place for common counts, nor for a name that none of them has: the mapping has.
  if (spec.minReplicas !== undefined || spec.maxReplicas !== undefined || first?.metadata.name !== name)
    return { metadata: { name, namespace }, ...spec };
  return items.length === 1 ? first : { apiVersion: "v1", kind: "List", items };
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const spec = llmdSpecOf(manifest);
  const { kvCacheThreshold, kvSpareTrigger, queueLengthThreshold, queueSpareTrigger, scaleUpThreshold } = saturationConfig(spec, "", "");
  const lost: string[] = [];
  const [only] = spec.variants;
  const max = only?.maxReplicas ?? spec.maxReplicas;
  if (max === undefined) lost.push("The autoscaler states no maximum; 10 stands for it.");
  if (spec.variants.length > 1)
    lost.push(`It shares load out over ${spec.variants.length} variants by cost; only ${only?.name} is carried over.`);
  let rules: IntentRule[] = [];
  if (spec.analyzer === "queueing-model")
    lost.push("The queueing model sizes for latency targets by what it learns of the engine; no level of a signal stands for that.");
  else {
    const kv = spec.analyzer === "saturation-v2" ? kvCacheThreshold * scaleUpThreshold : kvCacheThreshold - kvSpareTrigger;
    rules = [{ signal: "kv_used", level: round(kv), of: "perReplica" }];
    if (spec.analyzer === "saturation-v1") {
      rules.push({ signal: "waiting", level: round(queueLengthThreshold - queueSpareTrigger), of: "perReplica" });
      lost.push("It changes the count by one at a time and stands still while any replica starts.");
    } else lost.push("Capacity in tokens, which it learns from queues, becomes a share of the KV cache.");
  }
  const zero = spec.scaleToZero["default"];
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: only?.minReplicas ?? spec.minReplicas ?? (zero?.enable_scale_to_zero === true ? 0 : 1),
      max: max ?? 10,
      rules,
      tolerance: null,
      scaleUp: null,
      scaleDown: null,
      zeroAfterMs:
        zero?.enable_scale_to_zero === true ? (parseDuration(zero.retention_period ?? LLMD_DEFAULTS.retentionPeriod) ?? null) : null,
      intervalMs: parseDuration(spec.optimizationInterval) ?? null,
    },
    lost,
  };
}

const round = (value: number) => Number(value.toFixed(6));

function fromIntent({ name, namespace, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const entry: Record<string, number> = {};
  for (const { signal, level, of } of rules) {
    if (signal === "kv_used" && of === "perReplica" && level > 0 && level < LLMD_DEFAULTS.kvCacheThreshold)
      entry["kvSpareTrigger"] = round(LLMD_DEFAULTS.kvCacheThreshold - level);
    else if (signal === "waiting" && of === "perReplica" && level > 0) {
      const queueLengthThreshold = Math.max(LLMD_DEFAULTS.queueLengthThreshold, level + 1);
      Object.assign(entry, { queueLengthThreshold, queueSpareTrigger: round(queueLengthThreshold - level) });
    } else lost.push(`${signal} is nothing that this autoscaler looks at: it knows KV cache use and queue only.`);
  }
  if (tolerance !== null) lost.push("It has no tolerance; between its triggers nothing changes.");
  if (scaleUp !== null || scaleDown !== null)
    lost.push("It has no windows or rates: the HPA or KEDA that carries out its counts has to have them.");
  const saturation: LlmdSpec["saturation"] = { default: entry };
  const spec: LlmdSpec = {
    analyzer: "saturation-v1",
    optimizationInterval:
      intervalMs === null || intervalMs === parseDuration(LLMD_DEFAULTS.optimizationInterval)
        ? LLMD_DEFAULTS.optimizationInterval
        : formatDuration(intervalMs),
    saturation,
    queueingModel: {},
    scaleToZero: zeroAfterMs === null ? {} : { default: { enable_scale_to_zero: true, retention_period: formatDuration(zeroAfterMs) } },
    variants: [
      {
        name,
        scaleTargetRef: target === null ? { apiVersion: "apps/v1", kind: "Deployment", name } : { ...target },
        modelID: name,
        variantCost: LLMD_DEFAULTS.variantCost,
        minReplicas: min,
        maxReplicas: Math.max(1, max),
      },
    ],
  };
  lost.push(`modelID is ${name}: it has to be the name under which the model is served.`);
  if (target === null) lost.push(`No target is known: scaleTargetRef is a Deployment named ${name}.`);
  const written = conclude(name, namespace, spec as unknown as Parts, null, {});
  return { document: "manifest" in written ? write(written.manifest) : written, lost };
}
