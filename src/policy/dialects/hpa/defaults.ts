import type { Json } from "../../../model/index.ts";

type Document = { readonly [key: string]: Json | undefined };

const isDocument = (value: Json | undefined): value is Document => typeof value === "object" && value !== null && !Array.isArray(value);

const SCALE_UP: Document = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Pods", value: 4, periodSeconds: 15 },
    { type: "Percent", value: 100, periodSeconds: 15 },
  ],
};
const SCALE_DOWN: Document = { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] };

/**
 * Field by field: a list that is given replaces the default list, even an empty one. A scale-down window stays unset, which
 * means the controller's own. Source: pkg/apis/autoscaling/v2/defaults.go.
 */
export function defaultRules(direction: "scaleUp" | "scaleDown", rules: Json | undefined): Document {
  const given = isDocument(rules) ? Object.entries(rules).filter(([, value]) => value !== undefined && value !== null) : [];
  return { ...(direction === "scaleUp" ? SCALE_UP : SCALE_DOWN), ...Object.fromEntries(given) };
}

/** `minReplicas` 1; cpu at 80 % without metrics; both directions of a behavior that is there. An absent behavior stays absent. */
export function defaultSpec(spec: Document): Document {
  const { behavior, metrics, minReplicas } = spec;
  return {
    ...spec,
    minReplicas: minReplicas ?? 1,
    metrics:
      Array.isArray(metrics) && metrics.length > 0
        ? metrics
        : [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }],
    ...(isDocument(behavior)
      ? {
          behavior: {
            ...behavior,
            scaleUp: defaultRules("scaleUp", behavior["scaleUp"]),
            scaleDown: defaultRules("scaleDown", behavior["scaleDown"]),
          },
        }
      : {}),
  };
}
