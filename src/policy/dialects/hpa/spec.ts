import type { Json } from "../../../model/index.ts";
import type { Int64 } from "./int64.ts";
import { milliOf, parseQuantity, toNumber } from "./quantity.ts";
import type {
  Behavior,
  HpaSpec,
  LabelSelector,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
  ObjectReference,
  Rules,
  Tolerances,
} from "./words.ts";

type Document = { readonly [key: string]: Json | undefined };

const documentOf = (value: Json | undefined): Document =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Document) : {};
const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);
const textOf = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const numberOf = (value: Json | undefined): number | null => (typeof value === "number" ? value : null);
const quantityOf = (value: Json | undefined): Int64 | null =>
  typeof value === "string" || typeof value === "number" ? milliOf(parseQuantity(String(value))) : null;

/** From a defaulted `spec` as JSON. What validation would refuse becomes a metric that fails, as it would in the controller. */
export function compileSpec(spec: Document): HpaSpec {
  const behavior = spec["behavior"];
  return {
    minReplicas: numberOf(spec["minReplicas"]),
    maxReplicas: numberOf(spec["maxReplicas"]) ?? 0,
    metrics: listOf(spec["metrics"]).map((metric) => compileMetric(documentOf(metric))),
    behavior: behavior === undefined || behavior === null ? null : compileBehavior(documentOf(behavior)),
  };
}

function compileBehavior(behavior: Document): Behavior {
  return { scaleUp: compileRules(documentOf(behavior["scaleUp"])), scaleDown: compileRules(documentOf(behavior["scaleDown"])) };
}

/** Of one direction, defaulted. */
export function compileRules(rules: Document): Rules {
  const selectPolicy = textOf(rules["selectPolicy"]);
  const tolerance = rules["tolerance"];
  return {
    stabilizationWindowSeconds: numberOf(rules["stabilizationWindowSeconds"]),
    selectPolicy: selectPolicy === "Min" || selectPolicy === "Disabled" ? selectPolicy : "Max",
    policies: listOf(rules["policies"]).map((entry) => {
      const policy = documentOf(entry);
      return {
        type: policy["type"] === "Percent" ? ("Percent" as const) : ("Pods" as const),
        value: numberOf(policy["value"]) ?? 0,
        periodSeconds: numberOf(policy["periodSeconds"]) ?? 0,
      };
    }),
    tolerance: typeof tolerance === "string" || typeof tolerance === "number" ? toNumber(parseQuantity(String(tolerance))) : null,
  };
}

function compileMetric(metric: Document): MetricSpec {
  const declared = textOf(metric["type"]);
  const unknown: MetricSpec = { type: "Unknown", declared };
  const block = (name: string) => (metric[name] === undefined || metric[name] === null ? null : documentOf(metric[name]));
  switch (declared) {
    case "Resource": {
      const source = block("resource");
      return source === null ? unknown : { type: declared, name: textOf(source["name"]), target: compileTarget(source) };
    }
    case "ContainerResource": {
      const source = block("containerResource");
      if (source === null) return unknown;
      return { type: declared, name: textOf(source["name"]), container: textOf(source["container"]), target: compileTarget(source) };
    }
    case "Pods":
    case "External": {
      const source = block(declared === "Pods" ? "pods" : "external");
      return source === null ? unknown : { type: declared, metric: compileIdentifier(source), target: compileTarget(source) };
    }
    case "Object": {
      const source = block("object");
      if (source === null) return unknown;
      return {
        type: declared,
        describedObject: compileReference(documentOf(source["describedObject"])),
        metric: compileIdentifier(source),
        target: compileTarget(source),
      };
    }
    default:
      return unknown;
  }
}

function compileReference(reference: Document): ObjectReference {
  return { apiVersion: textOf(reference["apiVersion"]), kind: textOf(reference["kind"]), name: textOf(reference["name"]) };
}

function compileIdentifier(source: Document): MetricIdentifier {
  const metric = documentOf(source["metric"]);
  const selector = metric["selector"];
  return {
    name: textOf(metric["name"]),
    selector: selector === undefined || selector === null ? null : compileSelector(documentOf(selector)),
  };
}

function compileSelector(selector: Document): LabelSelector {
  return {
    matchLabels: Object.fromEntries(Object.entries(documentOf(selector["matchLabels"])).map(([key, value]) => [key, textOf(value)])),
    matchExpressions: listOf(selector["matchExpressions"]).map((entry) => {
      const expression = documentOf(entry);
      return { key: textOf(expression["key"]), operator: textOf(expression["operator"]), values: listOf(expression["values"]).map(textOf) };
    }),
  };
}

function compileTarget(source: Document): MetricTarget {
  const target = documentOf(source["target"]);
  const valueMilli = quantityOf(target["value"]);
  const averageValueMilli = quantityOf(target["averageValue"]);
  const averageUtilization = numberOf(target["averageUtilization"]);
  return {
    type: textOf(target["type"]),
    ...(valueMilli === null ? {} : { valueMilli }),
    ...(averageValueMilli === null ? {} : { averageValueMilli }),
    ...(averageUtilization === null ? {} : { averageUtilization }),
  };
}

/** A rule's own tolerance replaces the controller's for its direction, where the gate is on. */
export function tolerancesOf(behavior: Behavior | null, tolerance: number, configurable: boolean): Tolerances {
  return {
    scaleUp: (configurable ? behavior?.scaleUp.tolerance : null) ?? tolerance,
    scaleDown: (configurable ? behavior?.scaleDown.tolerance : null) ?? tolerance,
  };
}
