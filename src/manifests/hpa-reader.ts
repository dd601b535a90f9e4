import type { Json, Manifest, ScalingRules, Target } from "../model/index.ts";
import { defaultSpec, formatQuantity, milliOf, milliQuantity, parseQuantity, toNumber } from "../policy/dialects/hpa/index.ts";
import { parseHpa } from "./hpa.ts";
import type { Intent, IntentRule, ManifestReader, Written } from "./reader.ts";

const API_VERSION = "autoscaling/v2";
const KIND = "HorizontalPodAutoscaler";

interface MetricTarget {
  readonly type: string;
  readonly value?: string;
  readonly averageValue?: string;
  readonly averageUtilization?: number;
}
interface Identifier {
  readonly name: string;
  readonly selector?: Json;
}
interface Metric {
  readonly type: string;
  readonly resource?: { readonly name: string; readonly target: MetricTarget };
  readonly containerResource?: { readonly name: string; readonly container: string; readonly target: MetricTarget };
  readonly pods?: { readonly metric: Identifier; readonly target: MetricTarget };
  readonly object?: { readonly metric: Identifier; readonly target: MetricTarget };
  readonly external?: { readonly metric: Identifier; readonly target: MetricTarget };
}
interface Rules {
  readonly stabilizationWindowSeconds?: number;
  readonly selectPolicy?: ScalingRules["selectPolicy"];
  readonly policies?: readonly { readonly type: "Pods" | "Percent"; readonly value: number; readonly periodSeconds: number }[];
  readonly tolerance?: string;
}
interface Spec {
  readonly scaleTargetRef: { readonly apiVersion?: string; readonly kind: string; readonly name: string };
  readonly minReplicas?: number;
  readonly maxReplicas: number;
  readonly metrics?: readonly Metric[];
  readonly behavior?: { readonly scaleUp?: Rules; readonly scaleDown?: Rules };
}
/** The validation has made sure of this shape. */
const specOf = (manifest: Manifest): Spec => manifest.spec as unknown as Spec;

/** HorizontalPodAutoscaler documents of every API version in, `autoscaling/v2` out. */
export const hpaReader: ManifestReader = {
  dialect: "hpa",
  recognizes: (document) => typeof document === "object" && document !== null && "kind" in document && document.kind === KIND,
  read(document) {
    const parsed = parseHpa(document);
    if ("issues" in parsed) return parsed;
    const { apiVersion, kind, name } = specOf(parsed.manifest).scaleTargetRef;
    return { manifest: parsed.manifest, target: { apiVersion: apiVersion ?? "", kind, name } };
  },
  write: ({ name, namespace, spec }) => ({ apiVersion: API_VERSION, kind: KIND, metadata: { name, namespace }, spec }),
  intent,
  fromIntent,
};

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const lost: string[] = [];
  const { minReplicas, maxReplicas, metrics = [], behavior } = specOf(manifest);
  const tolerances = [behavior?.scaleUp?.tolerance, behavior?.scaleDown?.tolerance].filter((text) => text !== undefined).map(amount);
  if (tolerances.length === 2 && tolerances[0] !== tolerances[1])
    lost.push(`The tolerances differ by direction (${tolerances.join(" up, ")} down); the smaller one stands for both.`);
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target,
      min: minReplicas ?? 1,
      max: maxReplicas,
      rules: metrics.flatMap((metric) => ruleOf(metric, lost)),
      tolerance: tolerances.length === 0 ? null : Math.min(...tolerances),
      scaleUp: rulesOf(behavior?.scaleUp),
      scaleDown: rulesOf(behavior?.scaleDown),
      zeroAfterMs: null,
      intervalMs: null,
    },
    lost,
  };
}

const amount = (text: string): number => toNumber(parseQuantity(text));

function ruleOf(metric: Metric, lost: string[]): readonly IntentRule[] {
  const resource = metric.resource ?? metric.containerResource;
  if (resource !== undefined) {
    if (metric.containerResource !== undefined)
      lost.push(`${resource.name} is that of container ${metric.containerResource.container} only.`);
    if (resource.target.averageUtilization !== undefined)
      return [{ signal: resource.name, level: resource.target.averageUtilization, of: "perReplica" }];
    lost.push(`${resource.name} has an absolute target (${resource.target.averageValue}), which only an HPA knows how to hold.`);
    return [];
  }
  const source = metric.pods ?? metric.object ?? metric.external;
  if (source === undefined) return [];
  const { name, selector } = source.metric;
  if (selector !== undefined) lost.push(`The selector of ${name} is left out.`);
  const { averageValue, value } = source.target;
  if (averageValue !== undefined)
    return [{ signal: name, level: amount(averageValue), of: "perReplica", ...(metric.pods === undefined ? { total: true } : {}) }];
  return value === undefined ? [] : [{ signal: name, level: amount(value), of: "endpoint" }];
}

function rulesOf(rules: Rules | undefined): ScalingRules | null {
  if (rules === undefined) return null;
  return {
    stabilizationWindowMs: (rules.stabilizationWindowSeconds ?? 0) * 1000,
    selectPolicy: rules.selectPolicy ?? "Max",
    policies: (rules.policies ?? []).map(({ type, value, periodSeconds }) => ({ type, value, periodMs: periodSeconds * 1000 })),
  };
}

const quantity = (value: number): string => formatQuantity(milliQuantity(milliOf(parseQuantity(value.toFixed(3)))));

function fromIntent({ name, namespace, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const metrics = rules.map((rule) => {
    if (rule.query !== undefined)
      lost.push(`${rule.signal} comes from a query (${rule.query}): an adapter for custom or external metrics has to serve it.`);
    return metricOf(rule);
  });
  if (metrics.length === 0) lost.push("There is no rule that an HPA could follow: without metrics it aims at 80 % CPU.");
  // The API server refuses minReplicas 0 without a metric that exists without pods.
  const sleepsBy = metrics.some(({ type }) => type === "Object" || type === "External");
  if (min === 0 && !sleepsBy) lost.push("minReplicas is 1: an HPA goes to zero only by an Object or External metric.");
  if (min === 0 && sleepsBy) lost.push("minReplicas 0 needs the feature gate HPAScaleToZero in the cluster.");
  if (zeroAfterMs !== null) lost.push(`An HPA has no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null && intervalMs !== 15_000)
    lost.push("How often an HPA decides is the controller's setting (15 s), not the manifest's.");
  const behavior = {
    ...(scaleUp === null && tolerance === null ? {} : { scaleUp: writeRules(scaleUp, tolerance, lost) }),
    ...(scaleDown === null && tolerance === null ? {} : { scaleDown: writeRules(scaleDown, tolerance, lost) }),
  };
  const spec = defaultSpec({
    scaleTargetRef: target === null ? { apiVersion: "apps/v1", kind: "Deployment", name } : { ...target },
    minReplicas: min === 0 && !sleepsBy ? 1 : min,
    maxReplicas: max,
    ...(metrics.length === 0 ? {} : { metrics }),
    ...(Object.keys(behavior).length === 0 ? {} : { behavior }),
  } as unknown as Readonly<Record<string, Json | undefined>>);
  if (target === null) lost.push(`No target is known: scaleTargetRef is a Deployment named ${name}.`);
  return { document: { apiVersion: API_VERSION, kind: KIND, metadata: { name, namespace }, spec }, lost };
}

function metricOf({ signal, level, of, total, labels }: IntentRule) {
  if (signal === "cpu" || signal === "memory")
    return { type: "Resource", resource: { name: signal, target: { type: "Utilization", averageUtilization: Math.round(level) } } };
  const metric = { name: signal, ...(labels === undefined ? {} : { selector: { matchLabels: labels } }) };
  if (of === "perReplica" && total)
    return { type: "External", external: { metric, target: { type: "AverageValue", averageValue: quantity(level) } } };
  if (of === "perReplica") return { type: "Pods", pods: { metric, target: { type: "AverageValue", averageValue: quantity(level) } } };
  return { type: "External", external: { metric, target: { type: "Value", value: quantity(level) } } };
}

function writeRules(rules: ScalingRules | null, tolerance: number | null, lost: string[]) {
  const longest = Math.max(0, ...(rules?.policies ?? []).map(({ periodMs }) => periodMs));
  if (longest > 1_800_000) lost.push(`An HPA looks back 30 min at most; a period of ${longest / 60_000} min is cut to that.`);
  return {
    ...(rules === null
      ? {}
      : {
          stabilizationWindowSeconds: Math.min(3600, Math.round(rules.stabilizationWindowMs / 1000)),
          selectPolicy: rules.selectPolicy,
          ...(rules.policies.length === 0
            ? {}
            : {
                policies: rules.policies.map(({ type, value, periodMs }) => ({
                  type,
                  value: Math.max(1, Math.round(value)),
                  periodSeconds: Math.min(1800, Math.max(1, Math.round(periodMs / 1000))),
                })),
              }),
        }),
    ...(tolerance === null ? {} : { tolerance: quantity(tolerance) }),
  };
}
