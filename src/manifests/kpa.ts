import type { z } from "zod";
import type { Json, Manifest, Target } from "../model/index.ts";
import {
  annotationKey,
  HPA_CLASS,
  KNATIVE_PREFIX,
  KPA_CLASS,
  KPA_DEFAULTS,
  parseAnnotations,
  parseConfig,
  settingsOf,
} from "../policy/dialects/kpa/index.ts";
import type { ManifestIssue } from "./issue.ts";
import {
  configMapSchema,
  inferenceServiceSchema,
  listSchema,
  podAutoscalerSchema,
  revisionSchema,
  serviceSchema,
} from "./knative-service.ts";
import { annotationPath, MAX_INT32, named, parseObject, typeOf } from "./kubernetes-object.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const SERVING = "serving.knative.dev/v1";
const INTERNAL = "autoscaling.internal.knative.dev/v1alpha1";
const KSERVE = "serving.kserve.io/v1beta1";
const DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode";
const AUTOSCALER_CLASS = "serving.kserve.io/autoscalerClass";

type Annotations = Readonly<Record<string, string>>;
const KEY = {
  class: annotationKey("class"),
  metric: annotationKey("metric"),
  target: annotationKey("target"),
  utilization: annotationKey("target-utilization-percentage"),
  min: annotationKey("min-scale"),
  max: annotationKey("max-scale"),
  initial: annotationKey("initial-scale"),
  activation: annotationKey("activation-scale"),
  delay: annotationKey("scale-down-delay"),
  retention: annotationKey("scale-to-zero-pod-retention-period"),
};

/** `config`: the data of the cluster's ConfigMap, where it came along. */
type Read = (document: unknown, config?: Annotations) => ReadManifest;

/** Each kind of document that comes to a revision which the KPA scales. */
const KINDS: Readonly<Record<string, Read>> = {
  [`${SERVING} Service`]: readService,
  [`${SERVING} Configuration`]: readService,
  [`${SERVING} Revision`]: readRevision,
  [`${INTERNAL} PodAutoscaler`]: readPodAutoscaler,
  [`${KSERVE} InferenceService`]: readInferenceService,
};

/**
 * Knative Services (their template's annotations), Revisions and PodAutoscalers, and KServe InferenceServices in Knative mode.
 * The manifest has the annotations under their present names; `spec` has containerConcurrency and reachability.
 */
export const kpaReader: ManifestReader = {
  dialect: "kpa",
  recognizes: (document) => kindOf(document) !== undefined || itemsOf(document).some((item) => kindOf(item) !== undefined),
  read(document) {
    const read = kindOf(document);
    if (read !== undefined) return read(document);
    if (isType(document, "v1", "List")) return readList(document);
    const found = typeOf(document);
    const known = Object.keys(KINDS).join(", ");
    const what = found === null ? "has no apiVersion and kind" : `is ${found.apiVersion} ${found.kind}`;
    return { issues: [{ path: "kind", message: `${what}; use one of ${known}` }] };
  },
  write,
  intent,
  fromIntent,
};

function kindOf(document: unknown): Read | undefined {
  const found = typeOf(document);
  return found === null ? undefined : KINDS[`${found.apiVersion} ${found.kind}`];
}

const isType = (document: unknown, apiVersion: string, kind: string): boolean => {
  const found = typeOf(document);
  return found?.apiVersion === apiVersion && found.kind === kind;
};

function itemsOf(document: unknown): readonly unknown[] {
  if (!isType(document, "v1", "List")) return [];
  const { items } = document as { readonly items?: unknown };
  return Array.isArray(items) ? items : [];
}

const CONFIG_MAP = "config-autoscaler";

/** One scaled document together with the cluster's ConfigMap. */
function readList(document: unknown): ReadManifest {
  const parsed = parseObject(listSchema, document);
  if ("issues" in parsed) return parsed;
  const at = (index: number, { path, message }: ManifestIssue): ManifestIssue => ({
    path: `items[${index}]${path === "" ? "" : "."}${path}`,
    message,
  });
  const issues: ManifestIssue[] = [];
  let config: Annotations | undefined;
  const scaled: { readonly index: number; readonly item: unknown }[] = [];
  for (const [index, item] of parsed.value.items.entries()) {
    if (!isType(item, "v1", "ConfigMap")) {
      scaled.push({ index, item });
      continue;
    }
    const map = parseObject(configMapSchema, item);
    if ("issues" in map) issues.push(...map.issues.map((issue) => at(index, issue)));
    else if (map.value.metadata.name !== CONFIG_MAP)
      issues.push(at(index, { path: "metadata.name", message: `is not ${CONFIG_MAP}; leave this item out` }));
    else {
      config = Object.fromEntries(Object.entries(map.value.data).filter(([key]) => !key.startsWith("_")));
      issues.push(...parseConfig(config).issues.map(({ key, message }) => at(index, { path: annotationPath("data", key), message })));
    }
  }
  const [only] = scaled;
  if (only === undefined || scaled.length > 1) {
    issues.push({ path: "items", message: `hold ${scaled.length} documents besides ${CONFIG_MAP}; keep one` });
  }
  if (issues.length > 0 || only === undefined) return { issues };
  const read = kindOf(only.item);
  if (read === undefined) return { issues: [at(only.index, { path: "kind", message: `is none of ${Object.keys(KINDS).join(", ")}` })] };
  const result = read(only.item, config);
  return "issues" in result ? { issues: result.issues.map((issue) => at(only.index, issue)) } : result;
}

function readService(document: unknown, config?: Annotations): ReadManifest {
  const parsed = parseObject(serviceSchema, document);
  if ("issues" in parsed) return parsed;
  const { apiVersion, kind, metadata, spec } = parsed.value;
  const misplaced = Object.keys(metadata.annotations ?? {}).filter((key) => key.startsWith(KNATIVE_PREFIX));
  if (misplaced.length > 0) {
    return {
      issues: misplaced.map((key) => ({
        path: annotationPath("metadata.annotations", key),
        message: "belongs to the revision: move it to spec.template.metadata.annotations",
      })),
    };
  }
  const root = "spec.template.metadata.annotations";
  return revision(
    metadata,
    spec.template.metadata.annotations ?? {},
    root,
    { containerConcurrency: spec.template.spec.containerConcurrency, config },
    {
      apiVersion,
      kind,
      name: named(metadata).name,
    },
  );
}

function readRevision(document: unknown, config?: Annotations): ReadManifest {
  const parsed = parseObject(revisionSchema, document);
  if ("issues" in parsed) return parsed;
  const { apiVersion, kind, metadata, spec } = parsed.value;
  const { containerConcurrency } = spec;
  return revision(
    metadata,
    metadata.annotations ?? {},
    "metadata.annotations",
    { containerConcurrency, config },
    {
      apiVersion,
      kind,
      name: named(metadata).name,
    },
  );
}

function readPodAutoscaler(document: unknown, config?: Annotations): ReadManifest {
  const parsed = parseObject(podAutoscalerSchema, document);
  if ("issues" in parsed) return parsed;
  const { metadata, spec } = parsed.value;
  const { containerConcurrency, reachability, scaleTargetRef } = spec;
  return revision(
    metadata,
    metadata.annotations ?? {},
    "metadata.annotations",
    { containerConcurrency, reachability, config },
    scaleTargetRef,
  );
}

/** As KServe makes a Knative Service of it: the component's fields become annotations, those that stand there already stay. */
function readInferenceService(document: unknown, config?: Annotations): ReadManifest {
  const parsed = parseObject(inferenceServiceSchema, document);
  if ("issues" in parsed) return parsed;
  const { apiVersion, kind, metadata, spec } = parsed.value;
  const { predictor } = spec;
  const given = { ...metadata.annotations, ...predictor.annotations };
  const mode = given[DEPLOYMENT_MODE];
  if (mode !== undefined && mode !== "Serverless" && mode !== "Knative") {
    const message = `is ${mode}: KServe makes a HorizontalPodAutoscaler or ScaledObject of it; import that one (kubectl get hpa,scaledobject)`;
    return { issues: [{ path: annotationPath("metadata.annotations", DEPLOYMENT_MODE), message }] };
  }
  const autoscaler = given[AUTOSCALER_CLASS];
  if (autoscaler !== undefined && autoscaler !== "kpa") {
    const message = `is ${autoscaler}: the Knative autoscaler does not scale this service; import the manifest of ${autoscaler} instead`;
    return { issues: [{ path: annotationPath("metadata.annotations", AUTOSCALER_CLASS), message }] };
  }
  if (predictor.scaleMetric === "cpu" || predictor.scaleMetric === "memory") {
    const message = `is ${predictor.scaleMetric}, which only class ${HPA_CLASS} scales by: import the HorizontalPodAutoscaler that it makes`;
    return { issues: [{ path: "spec.predictor.scaleMetric", message }] };
  }
  const { minReplicas = 1, maxReplicas = 0, scaleTarget, scaleMetric, containerConcurrency } = predictor;
  const stated = parseAnnotations(given).canonical;
  const annotations: Record<string, string> = {
    [KEY.min]: String(minReplicas),
    ...(maxReplicas === 0 ? {} : { [KEY.max]: String(maxReplicas) }),
    ...given,
    ...stated,
    ...(scaleTarget === undefined ? {} : { [KEY.target]: String(scaleTarget) }),
    ...(scaleMetric === undefined ? {} : { [KEY.metric]: scaleMetric }),
  };
  const others = (["transformer", "explainer"] as const).filter((component) => spec[component] !== undefined);
  return revision(
    metadata,
    annotations,
    "metadata.annotations",
    { containerConcurrency, config, ...(others.length === 0 ? {} : { others }) },
    { apiVersion, kind, name: named(metadata).name },
  );
}

function revision(
  metadata: z.infer<typeof serviceSchema>["metadata"],
  given: Annotations,
  root: string,
  spec: {
    readonly containerConcurrency: number | undefined;
    readonly reachability?: string;
    readonly others?: readonly string[];
    readonly config?: Annotations | undefined;
  },
  target: Target,
): ReadManifest {
  const { values, canonical, issues: found } = parseAnnotations(given);
  const issues: ManifestIssue[] = found.map(({ key, message }) => ({ path: annotationPath(root, key), message }));
  const at = (key: string, message: string) => issues.push({ path: annotationPath(root, key), message });
  if (values.class === HPA_CLASS) {
    at(KEY.class, "makes a HorizontalPodAutoscaler of this revision: import that one instead (kubectl get hpa)");
  } else if (values.class !== undefined && values.class !== KPA_CLASS) {
    at(KEY.class, `is ${values.class}, an autoscaler that Knative does not bring; use ${KPA_CLASS} or leave it out`);
  }
  const { minScale = 0, maxScale = 0, initialScale, activationScale } = values;
  if (maxScale !== 0 && maxScale < minScale)
    at(KEY.max, `is ${maxScale}, less than ${KEY.min} (${minScale}); raise it or lower the minimum`);
  const cluster = spec.config === undefined ? KPA_DEFAULTS : parseConfig(spec.config).config;
  if (initialScale === 0 && !cluster.allowZeroInitialScale) {
    at(KEY.initial, "is 0, which a cluster refuses unless allow-zero-initial-scale is set; use 1 or more");
  }
  const { maxScaleLimit: limit } = cluster;
  if (limit !== 0 && values.maxScale !== undefined && (maxScale === 0 || maxScale > limit)) {
    at(KEY.max, `is ${maxScale}; the cluster allows 1 to ${limit} (max-scale-limit)`);
  }
  if (activationScale !== undefined) {
    if (activationScale < minScale)
      at(KEY.activation, `is ${activationScale}, less than ${KEY.min} (${minScale}); raise it or leave it out`);
    if (maxScale !== 0 && activationScale > maxScale) {
      at(KEY.activation, `is ${activationScale}, more than ${KEY.max} (${maxScale}); lower it or raise the maximum`);
    }
  }
  if (issues.length > 0) return { issues };
  const { [KEY.class]: _, ...annotations } = canonical;
  const { containerConcurrency = 0, reachability = "", others, config } = spec;
  return {
    manifest: {
      ...named(metadata),
      annotations,
      spec: {
        containerConcurrency,
        reachability,
        ...(others === undefined ? {} : { others }),
        ...(config === undefined ? {} : { config }),
      },
    },
    target,
  };
}

function write(manifest: Manifest, target: Target | null): unknown {
  const { config } = manifest.spec;
  const scaled = writeScaled(manifest, target);
  if (config === undefined) return scaled;
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: CONFIG_MAP, namespace: "knative-serving" }, data: config };
  return { apiVersion: "v1", kind: "List", items: [map, scaled] };
}

function writeScaled({ name, namespace, annotations = {}, spec }: Manifest, target: Target | null): unknown {
  const {
    containerConcurrency = 0,
    reachability = "",
    others = [],
  } = spec as {
    readonly containerConcurrency?: number;
    readonly reachability?: string;
    readonly others?: readonly string[];
  };
  const concurrency = containerConcurrency === 0 ? {} : { containerConcurrency };
  const metadata = { name, namespace };
  if (target?.kind === "InferenceService" || others.length > 0) {
    return {
      apiVersion: KSERVE,
      kind: "InferenceService",
      metadata: { ...metadata, annotations: restOf(annotations) },
      spec: predictorOf(annotations, concurrency, others),
    };
  }
  const ofServing = target === null || target.apiVersion.startsWith("serving.knative.dev/");
  if (!ofServing || reachability !== "") {
    const scaleTargetRef = target ?? { apiVersion: "apps/v1", kind: "Deployment", name: `${name}-deployment` };
    return {
      apiVersion: INTERNAL,
      kind: "PodAutoscaler",
      metadata: { ...metadata, annotations },
      spec: { ...concurrency, scaleTargetRef: { ...scaleTargetRef }, reachability },
    };
  }
  if (target?.kind === "Revision")
    return { apiVersion: SERVING, kind: "Revision", metadata: { ...metadata, annotations }, spec: concurrency };
  return {
    apiVersion: SERVING,
    kind: target?.kind === "Configuration" ? "Configuration" : "Service",
    metadata,
    spec: { template: { metadata: { annotations }, spec: concurrency } },
  };
}

const WHOLE = /^\d+$/;

/** Of an InferenceService: what its component has fields for. */
function predictorOf(annotations: Annotations, concurrency: object, others: readonly string[]): unknown {
  const { [KEY.min]: min = "0", [KEY.max]: max, [KEY.target]: target, [KEY.metric]: metric } = annotations;
  return {
    predictor: {
      minReplicas: Number(min),
      ...(max === undefined ? {} : { maxReplicas: Number(max) }),
      ...(target === undefined || !WHOLE.test(target) ? {} : { scaleTarget: Number(target) }),
      ...(metric === undefined ? {} : { scaleMetric: metric }),
      ...concurrency,
    },
    ...Object.fromEntries(others.map((component) => [component, {}])),
  };
}

/** And the annotations that stay such; a maximum of 0 has no field. */
function restOf(annotations: Annotations): Annotations {
  return Object.fromEntries(
    Object.entries(annotations).filter(([key, value]) => {
      if (key === KEY.min || key === KEY.metric) return false;
      if (key === KEY.max) return value === "0";
      return key !== KEY.target || !WHOLE.test(value);
    }),
  );
}

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const settings = settingsOf(manifest);
  const { minScale, maxScale, scalingMetric, stableWindowMs, panicWindowMs, panicThreshold } = settings;
  const lost = [
    `Averages are taken over ${stableWindowMs / 1000} s and, for a panic at ${panicThreshold} times the ready replicas, over ${panicWindowMs / 1000} s.`,
  ];
  if (maxScale === 0) lost.push("There is no maximum.");
  if (settings.initialScale > 1) lost.push(`A new revision starts with ${settings.initialScale} replicas (initial-scale).`);
  if (settings.activationScale > 1) lost.push(`It wakes with ${settings.activationScale} replicas (activation-scale).`);
  if (settings.targetBurstCapacity !== 0) lost.push("A burst is taken up by Knative's activator (target-burst-capacity).");
  const others = (manifest.spec["others"] ?? []) as readonly string[];
  for (const other of others) lost.push(`The ${other} is scaled by itself; this is the predictor only.`);
  const percent = (rate: number) => Math.trunc((rate - 1) * 100);
  const rule = (value: number, stabilizationWindowMs: number) => ({
    stabilizationWindowMs,
    selectPolicy: "Max" as const,
    policies: [{ type: "Percent" as const, value, periodMs: 2_000 }],
  });
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: minScale,
      max: maxScale === 0 ? MAX_INT32 : maxScale,
      rules: [{ signal: scalingMetric === "rps" ? "request_rate" : "in_flight", level: settings.target, of: "perReplica", total: true }],
      tolerance: null,
      scaleUp: rule(percent(settings.maxScaleUpRate), 0),
      scaleDown: rule(Math.trunc((1 - 1 / settings.maxScaleDownRate) * 100), settings.scaleDownDelayMs),
      zeroAfterMs:
        minScale === 0 && settings.enableScaleToZero ? stableWindowMs + Math.max(settings.gracePeriodMs, settings.podRetentionMs) : null,
      intervalMs: 2_000,
    },
    lost,
  };
}

/** Signals of ours that are what Knative calls its metric. */
const METRIC_OF: Readonly<Record<string, "concurrency" | "rps">> = {
  in_flight: "concurrency",
  running: "concurrency",
  request_rate: "rps",
};
const HOUR_MS = 3_600_000;

function fromIntent(wanted: Intent): Written {
  const { name, namespace, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs } = wanted;
  const lost: string[] = [];
  const fits = (rule: IntentRule) => Object.hasOwn(METRIC_OF, rule.signal) && rule.of === "perReplica";
  const rule = rules.find(fits);
  for (const other of rules.filter((candidate) => candidate !== rule)) {
    const why = fits(other) ? "only one metric fits" : "the Knative autoscaler knows concurrency and requests per second only";
    lost.push(`The rule on ${other.signal} (${other.level}) is left out: ${why}.`);
  }
  if (rule === undefined) lost.push("There is no rule that Knative could follow: it aims at 70 requests at once for each replica.");
  if (rule?.signal === "running") lost.push("Knative's concurrency counts requests that wait in the engine too, not only those running.");
  if (tolerance !== null && tolerance > 0) lost.push(`Knative has no tolerance (${tolerance}).`);
  if (scaleUp !== null || (scaleDown !== null && scaleDown.policies.length > 0)) {
    lost.push("How fast the count may change is the cluster's setting (max-scale-up-rate, max-scale-down-rate).");
  }
  if (scaleUp !== null && scaleUp.stabilizationWindowMs > 0) lost.push("Knative does not wait with a rise (stabilization on the way up).");
  if (intervalMs !== null && intervalMs !== 2_000) lost.push("Knative decides every 2 s, whatever the interval.");
  if (target !== null && !target.apiVersion.startsWith("serving.")) {
    lost.push(`Knative scales revisions of a Service, not ${target.kind} ${target.name}: move its pod template into spec.template.spec.`);
  } else lost.push("The containers are not known here: put them into spec.template.spec.");

  const delayMs = Math.min(scaleDown?.stabilizationWindowMs ?? 0, HOUR_MS);
  const window = KPA_DEFAULTS.stableWindowMs;
  const retentionMs = min === 0 && zeroAfterMs !== null ? Math.min(Math.max(0, zeroAfterMs - window), HOUR_MS) : 0;
  if (min === 0 && zeroAfterMs !== null && zeroAfterMs > window + HOUR_MS) lost.push("Knative keeps the last pod for an hour at most.");
  if ((scaleDown?.stabilizationWindowMs ?? 0) > HOUR_MS) lost.push("Knative delays a fall by an hour at most.");
  const wholeSeconds = (ms: number) => `${Math.round(ms / 1000)}s`;
  const annotations = {
    ...(rule === undefined
      ? {}
      : { [KEY.metric]: METRIC_OF[rule.signal] as string, [KEY.target]: String(Math.max(0.01, rule.level)), [KEY.utilization]: "100" }),
    [KEY.min]: String(min),
    ...(max >= MAX_INT32 ? {} : { [KEY.max]: String(max) }),
    ...(delayMs === 0 ? {} : { [KEY.delay]: wholeSeconds(delayMs) }),
    ...(retentionMs === 0 ? {} : { [KEY.retention]: wholeSeconds(retentionMs) }),
  };
  const serving = target?.apiVersion.startsWith("serving.knative.dev/") ? target : null;
  const manifest: Manifest = { name: serving?.name ?? name, namespace, annotations, spec: { containerConcurrency: 0 as Json } };
  return { document: write(manifest, serving), lost };
}
