import { z } from "zod";
import type { Json, Manifest } from "../model/index.ts";
import { defaultSpec, HPA_NEWEST, HPA_VERSIONS, parseQuantity, validateHpa } from "../policy/dialects/hpa/index.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import { type objectMeta, objectOf } from "./kubernetes-object.ts";

export type { ManifestIssue } from "./issue.ts";

/** A quantity may be given as a number; it is kept as text. */
const quantity = z
  .union([z.string(), z.number()], { error: "must be a quantity, such as 75, 500m or 2Gi" })
  .transform(String)
  .superRefine((text, context) => {
    try {
      parseQuantity(text);
    } catch (error) {
      context.addIssue(error instanceof Error ? error.message : String(error));
    }
  });
const int32 = z.int32();

/** What is absent and required is left to the validation, which says it in the API server's words. */
const labelSelector = z
  .strictObject({
    matchLabels: z.record(z.string(), z.string()),
    matchExpressions: z.array(z.strictObject({ key: z.string(), operator: z.string(), values: z.array(z.string()).optional() })),
  })
  .partial();
const reference = z.strictObject({ apiVersion: z.string(), kind: z.string(), name: z.string() }).partial();
const identifier = z.strictObject({ name: z.string(), selector: labelSelector }).partial();
const target = z.strictObject({ type: z.string(), value: quantity, averageValue: quantity, averageUtilization: int32 }).partial();
const metric = z
  .strictObject({
    type: z.string(),
    resource: z.strictObject({ name: z.string(), target }).partial(),
    containerResource: z.strictObject({ name: z.string(), container: z.string(), target }).partial(),
    pods: z.strictObject({ metric: identifier, target }).partial(),
    object: z.strictObject({ describedObject: reference, metric: identifier, target }).partial(),
    external: z.strictObject({ metric: identifier, target }).partial(),
  })
  .partial();

const policy = z.strictObject({ type: z.string(), value: int32, periodSeconds: int32 }).partial();
const betaRules = z.strictObject({ stabilizationWindowSeconds: int32, selectPolicy: z.string(), policies: z.array(policy) }).partial();
const rules = betaRules.extend({ tolerance: quantity.optional() });
const behavior = z.strictObject({ scaleUp: rules, scaleDown: rules }).partial();
const betaBehavior = z.strictObject({ scaleUp: betaRules, scaleDown: betaRules }).partial();

/** Metrics as `autoscaling/v2beta1` and the annotation of `autoscaling/v1` write them. */
const flatMetric = z
  .strictObject({
    type: z.string(),
    resource: z.strictObject({ name: z.string(), targetAverageUtilization: int32, targetAverageValue: quantity }).partial(),
    containerResource: z
      .strictObject({ name: z.string(), container: z.string(), targetAverageUtilization: int32, targetAverageValue: quantity })
      .partial(),
    pods: z.strictObject({ metricName: z.string(), selector: labelSelector, targetAverageValue: quantity }).partial(),
    object: z
      .strictObject({
        target: reference,
        metricName: z.string(),
        selector: labelSelector,
        targetValue: quantity,
        averageValue: quantity,
      })
      .partial(),
    external: z
      .strictObject({ metricName: z.string(), metricSelector: labelSelector, targetValue: quantity, targetAverageValue: quantity })
      .partial(),
  })
  .partial();

const bounds = { scaleTargetRef: reference.optional(), minReplicas: int32.optional(), maxReplicas: int32.optional() };
const spec = z.strictObject({ ...bounds, metrics: z.array(metric).optional(), behavior: behavior.optional() });
const v2beta2Spec = z.strictObject({ ...bounds, metrics: z.array(metric).optional(), behavior: betaBehavior.optional() });
const v2beta1Spec = z.strictObject({ ...bounds, metrics: z.array(flatMetric).optional() });
const v1Spec = z.strictObject({ ...bounds, targetCPUUtilizationPercentage: int32.optional() });

const METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION = "autoscaling.alpha.kubernetes.io/behavior";

type Metadata = z.infer<typeof objectMeta>;
type Spec = z.infer<typeof spec>;
type FlatMetric = z.infer<typeof flatMetric>;
type Read = { readonly metadata: Metadata; readonly spec: Spec };
type Reader = (document: unknown) => Read | { readonly issues: readonly ManifestIssue[] };

/** Every version becomes `autoscaling/v2`, as the API server converts it. */
const READERS: Readonly<Record<string, Reader>> = {
  "autoscaling/v2": (document) => read(objectOf(spec), document, ({ metadata, spec }) => ({ metadata, spec })),
  "autoscaling/v2beta2": (document) => read(objectOf(v2beta2Spec), document, ({ metadata, spec }) => ({ metadata, spec })),
  "autoscaling/v2beta1": (document) =>
    read(objectOf(v2beta1Spec), document, ({ metadata, spec: { metrics, ...rest } }) => ({
      metadata,
      spec: { ...rest, ...(metrics === undefined ? {} : { metrics: metrics.map(unflatten) }) },
    })),
  "autoscaling/v1": (document) =>
    read(objectOf(v1Spec), document, ({ metadata, spec: { targetCPUUtilizationPercentage: percent, ...rest } }) => {
      const cpu = percent === undefined ? [] : [cpuMetric(percent)];
      const others = annotation(metadata, METRICS_ANNOTATION, z.array(flatMetric));
      const rules = annotation(metadata, BEHAVIOR_ANNOTATION, behavior);
      if (others !== undefined && "issues" in others) return others;
      if (rules !== undefined && "issues" in rules) return rules;
      const metrics = [...(others?.value.map(unflatten) ?? []), ...cpu];
      return {
        metadata,
        spec: { ...rest, ...(metrics.length === 0 ? {} : { metrics }), ...(rules === undefined ? {} : { behavior: rules.value }) },
      };
    }),
};

const HPA_API_VERSIONS = Object.keys(READERS);

/**
 * A HorizontalPodAutoscaler of any API version as `autoscaling/v2`, validated and defaulted as the newest API server does. Fields
 * that the version does not have are refused. Without a namespace it is in "default", as kubectl applies it.
 */
export function parseHpa(document: unknown): { manifest: Manifest } | { issues: ManifestIssue[] } {
  const clean = withoutNulls(document);
  if (typeof clean !== "object" || clean === null || Array.isArray(clean)) {
    return {
      issues: [{ path: "", message: "is not a HorizontalPodAutoscaler document: a mapping with apiVersion, kind, metadata and spec" }],
    };
  }
  const { kind, apiVersion } = clean as { kind?: unknown; apiVersion?: unknown };
  if (kind !== "HorizontalPodAutoscaler") {
    return { issues: [{ path: "kind", message: `is ${JSON.stringify(kind) ?? "missing"}; expected HorizontalPodAutoscaler` }] };
  }
  const reader = typeof apiVersion === "string" && Object.hasOwn(READERS, apiVersion) ? READERS[apiVersion] : undefined;
  if (reader === undefined) {
    const known = HPA_API_VERSIONS.join(", ");
    return { issues: [{ path: "apiVersion", message: `is ${JSON.stringify(apiVersion) ?? "missing"}; use one of ${known}` }] };
  }

  const found = reader(clean);
  if ("issues" in found) return { issues: [...found.issues] };
  const name = found.metadata.name ?? "";
  const namespace = found.metadata.namespace ?? "default";
  // Only JSON comes through the schema.
  const full = defaultSpec(found.spec as { readonly [key: string]: Json | undefined });
  const issues = validateHpa({ metadata: { name, namespace }, spec: full }, HPA_VERSIONS[HPA_NEWEST]);
  return issues.length > 0 ? { issues: [...issues] } : { manifest: { name, namespace, spec: full } };
}

function read<S extends z.ZodType>(
  schema: S,
  document: unknown,
  convert: (value: z.infer<S>) => Read | { readonly issues: readonly ManifestIssue[] },
): Read | { readonly issues: readonly ManifestIssue[] } {
  const parsed = schema.safeParse(document);
  return parsed.success ? convert(parsed.data) : { issues: manifestIssues(parsed.error) };
}

/** Where `autoscaling/v1` keeps what it has no fields for: JSON in an annotation. */
function annotation<S extends z.ZodType>(
  { annotations }: Metadata,
  name: string,
  schema: S,
): { readonly value: z.infer<S> } | { readonly issues: readonly ManifestIssue[] } | undefined {
  const text = annotations?.[name];
  if (text === undefined) return undefined;
  const path = `metadata.annotations["${name}"]`;
  let json: unknown;
  try {
    json = withoutNulls(JSON.parse(text));
  } catch (error) {
    return { issues: [{ path, message: `is not JSON: ${error instanceof Error ? error.message : error}` }] };
  }
  const parsed = schema.safeParse(json);
  return parsed.success ? { value: parsed.data } : { issues: manifestIssues(parsed.error, path) };
}

type Metric = z.infer<typeof metric>;
const cpuMetric = (averageUtilization: number): Metric => ({
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization } },
});

/** Source: pkg/apis/autoscaling/v2beta1/conversion.go. */
function unflatten({ type, resource, containerResource, pods, object, external }: FlatMetric): Metric {
  return {
    ...defined("type", type),
    ...defined("resource", resource && { ...defined("name", resource.name), target: resourceTarget(resource) }),
    ...defined(
      "containerResource",
      containerResource && {
        ...defined("name", containerResource.name),
        ...defined("container", containerResource.container),
        target: resourceTarget(containerResource),
      },
    ),
    ...defined(
      "pods",
      pods && {
        metric: { ...defined("name", pods.metricName), ...defined("selector", pods.selector) },
        target: { type: "AverageValue", ...defined("averageValue", pods.targetAverageValue) },
      },
    ),
    ...defined(
      "object",
      object && {
        ...defined("describedObject", object.target),
        metric: { ...defined("name", object.metricName), ...defined("selector", object.selector) },
        target:
          object.averageValue === undefined
            ? { type: "Value", ...defined("value", object.targetValue) }
            : { type: "AverageValue", averageValue: object.averageValue },
      },
    ),
    ...defined(
      "external",
      external && {
        metric: { ...defined("name", external.metricName), ...defined("selector", external.metricSelector) },
        target: {
          type: external.targetAverageValue === undefined ? "Value" : "AverageValue",
          ...defined("value", external.targetValue),
          ...defined("averageValue", external.targetAverageValue),
        },
      },
    ),
  };
}

function resourceTarget({
  targetAverageUtilization: utilization,
  targetAverageValue: average,
}: NonNullable<FlatMetric["resource"]>): z.infer<typeof target> {
  return {
    type: utilization === undefined ? "AverageValue" : "Utilization",
    ...defined("averageUtilization", utilization),
    ...defined("averageValue", average),
  };
}

/** `{ [key]: value }`, or nothing where there is no value. */
function defined<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}
