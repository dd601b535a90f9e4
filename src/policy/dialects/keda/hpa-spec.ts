import type { Json } from "../../../model/index.ts";
import { compileSpec, defaultSpec, type HpaSpec } from "../hpa/index.ts";
import { pausesScaleIn, pausesScaleOut } from "./annotations.ts";
import { COMPOSITE_METRIC } from "./metric-name.ts";
import { quantityText } from "./metric-value.ts";
import { documentOf, hpaBounds, type ScaledObject } from "./scaled-object.ts";
import type { TriggerTarget } from "./triggers/trigger.ts";

type Document = { readonly [key: string]: Json | undefined };

/**
 * The HorizontalPodAutoscaler's spec that KEDA makes of a ScaledObject. A formula puts one composite metric in the place of all
 * external ones; ContainerResource metrics are then dropped. A pausing annotation disables its direction, and where there was
 * no behavior makes one, so that both directions then go by behavior rules. Source: controllers/keda/hpa.go.
 */
function hpaDocument(scaledObject: ScaledObject): Document {
  const { name, modifiers, externals, resources } = scaledObject;
  const { min, max } = hpaBounds(scaledObject.minReplicaCount, scaledObject.maxReplicaCount);
  const selector = { matchLabels: { "scaledobject.keda.sh/name": name } };
  const external = (metricName: string, target: TriggerTarget): Document => ({
    type: "External",
    external: { metric: { name: metricName, selector }, target: targetDocument(target) },
  });
  const composed =
    modifiers === null || modifiers.formula === ""
      ? [...externals.map(({ metric, target }) => external(metric.name, target)), ...resources]
      : [
          external(COMPOSITE_METRIC, {
            type: modifiers.metricType === "Value" ? "Value" : "AverageValue",
            value: Number(modifiers.target),
          }),
          ...resources.filter(({ type }) => type !== "ContainerResource"),
        ];
  const behavior = behaviorOf(scaledObject);
  return {
    minReplicas: min,
    maxReplicas: max,
    metrics: composed.toSorted((a, b) =>
      String(a["type"]) < String(b["type"]) ? -1 : String(a["type"]) > String(b["type"]) ? 1 : 0,
    ) as Json,
    ...(behavior === null ? {} : { behavior: behavior as Json }),
  };
}

export const hpaSpec = (scaledObject: ScaledObject): HpaSpec => compileSpec(defaultSpec(hpaDocument(scaledObject)));

function targetDocument({ type, value }: TriggerTarget): Document {
  const quantity = quantityText(value);
  return type === "Value" ? { type, value: quantity } : { type, averageValue: quantity };
}

function behaviorOf({ annotations, behavior }: ScaledObject): Document | null {
  const paused = {
    ...(pausesScaleIn(annotations) ? { scaleDown: { ...documentOf(behavior?.["scaleDown"]), selectPolicy: "Disabled" } } : {}),
    ...(pausesScaleOut(annotations) ? { scaleUp: { ...documentOf(behavior?.["scaleUp"]), selectPolicy: "Disabled" } } : {}),
  };
  return behavior === null && Object.keys(paused).length === 0 ? null : { ...behavior, ...paused };
}
