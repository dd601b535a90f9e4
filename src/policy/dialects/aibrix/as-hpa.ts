import type { Json, Manifest } from "../../../model/index.ts";
import type { AibrixSettings } from "./settings.ts";

const PERIOD_SECONDS = 60;

/** The HorizontalPodAutoscaler that strategy HPA makes. Source: `hpa_resources.go`. */
export function asHpa(manifest: Manifest, settings: AibrixSettings, bounds: { readonly min: number; readonly max: number }): Manifest {
  const { maxScaleUpRate, maxScaleDownRate, upCooldownMs, downCooldownMs, sources } = settings;
  const percent = (share: number) => (share < 0 ? 100 : Math.trunc(share * 100));
  const rules = (value: number, windowMs: number, selectPolicy: "Max" | "Min") => ({
    stabilizationWindowSeconds: Math.trunc(windowMs / 1000),
    selectPolicy,
    policies: [{ type: "Percent", value, periodSeconds: PERIOD_SECONDS }],
  });
  const spec = {
    scaleTargetRef: targetRef(manifest),
    ...(bounds.min > 0 ? { minReplicas: bounds.min } : {}),
    maxReplicas: bounds.max,
    metrics: sources.map(metricOf),
    behavior: {
      scaleUp: rules(percent(maxScaleUpRate - 1), upCooldownMs, "Max"),
      scaleDown: rules(percent(1 - 1 / maxScaleDownRate), downCooldownMs, "Min"),
    },
  };
  return { name: `${manifest.name}-hpa`, namespace: manifest.namespace, spec: spec as unknown as { readonly [key: string]: Json } };
}

function metricOf({ metric, target }: AibrixSettings["sources"][number]) {
  const whole = Math.ceil(target);
  switch (metric.toLowerCase()) {
    case "cpu":
      return { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: whole } } };
    case "memory":
      return { type: "Resource", resource: { name: "memory", target: { type: "AverageValue", averageValue: `${whole}Mi` } } };
    default:
      return { type: "Pods", pods: { metric: { name: metric }, target: { type: "AverageValue", averageValue: String(whole) } } };
  }
}

function targetRef({ spec }: Manifest): Json {
  const { apiVersion, kind, name } = spec["scaleTargetRef"] as { readonly [key: string]: Json | undefined };
  return { ...(apiVersion === undefined ? {} : { apiVersion }), kind, name } as Json;
}
