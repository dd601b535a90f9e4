import type { z } from "zod";
import type { Json, Manifest, Target } from "../model/index.ts";
import { defaultSpec, HPA_NEWEST, HPA_VERSIONS, validateHpa } from "../policy/dialects/hpa/index.ts";
import {
  ANNOTATION,
  KedaError,
  type KedaIssue,
  kedaKind,
  metadataIssues,
  parseGoDuration,
  pausedReplicaCount,
  scaledObjectIssues,
  triggerIssues,
  triggersOf,
} from "../policy/dialects/keda/index.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import { kedaFromIntent, kedaIntent } from "./keda-intent.ts";
import { httpScaledObjectSchema, scaledJobSchema, scaledObjectSchema } from "./keda-schema.ts";
import type { ManifestReader, ReadManifest } from "./reader.ts";

export { parseTriggerAuthentication } from "./keda-authentication.ts";

/** The kinds of documents that `kedaReader` reads. */
export const KEDA_KINDS = ["ScaledObject", "ScaledJob", "HTTPScaledObject"] as const;
type Kind = (typeof KEDA_KINDS)[number];
const API_VERSION: Readonly<Record<Kind, string>> = {
  ScaledObject: "keda.sh/v1alpha1",
  ScaledJob: "keda.sh/v1alpha1",
  HTTPScaledObject: "http.keda.sh/v1alpha1",
};

type Document = { readonly [key: string]: Json | undefined };

/** KEDA's ScaledObject and ScaledJob, and the HTTP add-on's HTTPScaledObject. What KEDA's admission refuses is refused here. */
export const kedaReader: ManifestReader = {
  dialect: "keda",
  recognizes: (document) => kindOf(document) !== null,
  read,
  write(manifest) {
    const { name, namespace, annotations, spec } = manifest;
    const kind = kedaKind(manifest);
    return {
      apiVersion: API_VERSION[kind],
      kind,
      metadata: { name, namespace, ...(annotations === undefined ? {} : { annotations }) },
      spec,
    };
  },
  intent: kedaIntent,
  fromIntent: kedaFromIntent,
};

function kindOf(document: unknown): Kind | null {
  if (typeof document !== "object" || document === null || !("kind" in document)) return null;
  return KEDA_KINDS.find((kind) => kind === document.kind) ?? null;
}

function read(document: unknown): ReadManifest {
  const clean = withoutNulls(document);
  switch (kindOf(clean)) {
    case "ScaledObject":
      return readAs(scaledObjectSchema, clean, (manifest) => [...scaledObjectIssues(manifest), ...behaviorIssues(manifest)]);
    case "ScaledJob":
      return readAs(scaledJobSchema, clean, ({ spec }) => {
        const triggers = triggersOf(spec);
        return [...triggerIssues(triggers), ...metadataIssues(triggers, false), ...resourceIssues(triggers)];
      });
    case "HTTPScaledObject":
      return readAs(httpScaledObjectSchema, clean, httpIssues);
    case null:
      return { issues: [{ path: "kind", message: `is none of ${KEDA_KINDS.join(", ")}` }] };
  }
}

const MEANINGFUL: ReadonlySet<string> = new Set(Object.values(ANNOTATION));

function readAs(
  schema: typeof scaledObjectSchema | typeof scaledJobSchema | typeof httpScaledObjectSchema,
  document: unknown,
  check: (manifest: Manifest) => readonly KedaIssue[],
): ReadManifest {
  const parsed = (schema as z.ZodType<z.infer<typeof schema>>).safeParse(document);
  if (!parsed.success) return { issues: manifestIssues(parsed.error) };
  const { metadata, spec } = parsed.data;
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => MEANINGFUL.has(name));
  const manifest: Manifest = {
    name: metadata.name ?? "",
    namespace: metadata.namespace ?? "default",
    ...(annotations.length === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    // Only JSON comes through the schema.
    spec: spec as Document,
  };
  const nameless: ManifestIssue[] = manifest.name === "" ? [{ path: "metadata.name", message: "is missing; name the object" }] : [];
  const issues = [...nameless, ...annotationIssues(manifest), ...check(manifest)];
  return issues.length > 0 ? { issues } : { manifest, target: targetOf(spec as Document) };
}

function annotationIssues({ annotations = {} }: Manifest): readonly ManifestIssue[] {
  try {
    pausedReplicaCount(annotations);
    return [];
  } catch (error) {
    if (!(error instanceof KedaError)) throw error;
    return [{ path: `metadata.annotations["${ANNOTATION.pausedReplicas}"]`, message: "is no whole number of replicas" }];
  }
}

/** The Deployment of that name unless something else is said; a ScaledJob has no target. */
function targetOf(spec: Document): Target | null {
  const reference = spec["scaleTargetRef"] as { readonly name?: string; readonly apiVersion?: string; readonly kind?: string } | undefined;
  if (reference?.name === undefined) return null;
  return { apiVersion: reference.apiVersion ?? "apps/v1", kind: reference.kind ?? "Deployment", name: reference.name };
}

/** The behavior goes into the HPA as it is, so the API server's rules hold for it. */
function behaviorIssues({ name, namespace, spec }: Manifest): readonly ManifestIssue[] {
  const advanced = spec["advanced"] as { readonly horizontalPodAutoscalerConfig?: { readonly behavior?: Json } } | undefined;
  const behavior = advanced?.horizontalPodAutoscalerConfig?.behavior;
  if (behavior === undefined) return [];
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "target" };
  const hpa = {
    metadata: { name: name || "hpa", namespace },
    spec: defaultSpec({ scaleTargetRef, minReplicas: 1, maxReplicas: 1, behavior }),
  };
  return validateHpa(hpa, HPA_VERSIONS[HPA_NEWEST])
    .filter(({ path }) => path.startsWith("spec.behavior"))
    .map(({ path, message }) => ({ path: path.replace(/^spec\./, "spec.advanced.horizontalPodAutoscalerConfig."), message }));
}

const resourceIssues = (triggers: ReturnType<typeof triggersOf>): readonly ManifestIssue[] =>
  triggers.flatMap(({ type }, at) =>
    type === "cpu" || type === "memory"
      ? [{ path: `spec.triggers[${at}].type`, message: `is ${type}, which only a ScaledObject's HPA can read; use another trigger` }]
      : [],
  );

interface HttpSpec {
  readonly scaleTargetRef: { readonly port?: number; readonly portName?: string };
  readonly coldStartTimeoutFailoverRef?: { readonly port?: number; readonly portName?: string };
  readonly replicas?: { readonly min?: number; readonly max?: number };
  readonly scalingMetric?: { readonly requestRate?: { readonly window?: string; readonly granularity?: string } };
}

function httpIssues(manifest: Manifest): readonly ManifestIssue[] {
  // The schema has made sure of this shape.
  const { scaleTargetRef, coldStartTimeoutFailoverRef, replicas, scalingMetric } = manifest.spec as unknown as HttpSpec;
  const issues: ManifestIssue[] = [];
  const refs = { scaleTargetRef, ...(coldStartTimeoutFailoverRef === undefined ? {} : { coldStartTimeoutFailoverRef }) };
  for (const [field, { port, portName }] of Object.entries(refs)) {
    if ((port === undefined) === (portName === undefined))
      issues.push({ path: `spec.${field}`, message: "needs exactly one of port and portName" });
  }
  const { min = 0, max = 100 } = replicas ?? {};
  if (min > max) issues.push({ path: "spec.replicas", message: `has min ${min} above max ${max}; lower it or raise the maximum` });
  for (const field of ["window", "granularity"] as const) {
    const text = scalingMetric?.requestRate?.[field];
    const ms = text === undefined ? 1 : parseGoDuration(text);
    if (ms === null || ms <= 0) {
      issues.push({
        path: `spec.scalingMetric.requestRate.${field}`,
        message: `is ${JSON.stringify(text)}; give a duration such as 1m or 500ms`,
      });
    }
  }
  return issues;
}
