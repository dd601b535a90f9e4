import type { Json } from "../../../model/index.ts";
import { parseQuantity, signOf } from "./quantity.ts";

type Document = { readonly [key: string]: Json | undefined };

/** `message` in the API server's words, such as `Invalid value: 0: must be greater than zero`. */
export interface HpaIssue {
  readonly path: string;
  readonly message: string;
}
export const issueText = ({ path, message }: HpaIssue): string => `${path}: ${message}`;

export interface HpaObject {
  readonly metadata: Document;
  readonly spec: Document;
}

const MAX_WINDOW_SECONDS = 3600;
const MAX_PERIOD_SECONDS = 1800;
const BLOCKS = ["object", "external", "pods", "resource", "containerResource"] as const;
type Block = (typeof BLOCKS)[number];
const BLOCK_OF: Readonly<Record<string, Block>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};
const STANDARD_RESOURCES = new Set([
  ...["cpu", "memory", "ephemeral-storage", "storage"],
  ...["requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage"],
  ...["limits.cpu", "limits.memory", "limits.ephemeral-storage"],
  ...["pods", "services", "services.nodeports", "services.loadbalancers", "replicationcontrollers", "resourcequotas"],
  ...["secrets", "configmaps", "persistentvolumeclaims"],
]);

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";

const isSet = (value: Json | undefined): value is Json => value !== undefined && value !== null;
const documentOf = (value: Json | undefined): Document =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Document) : {};
const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);
const textOf = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const numberOf = (value: Json | undefined): number => (typeof value === "number" ? value : 0);

/**
 * Whether the API server would take the object, defaulted before. With `stored`, an update of that object: what it already had
 * stays acceptable. Source: pkg/apis/autoscaling/validation/validation.go.
 */
export function validateHpa(
  object: HpaObject,
  gates: { readonly HPAScaleToZero: boolean },
  stored: HpaObject | null = null,
): readonly HpaIssue[] {
  const issues: HpaIssue[] = [];
  const report = new Report(issues);
  const { metadata, spec } = object;

  validateMetadata(report, metadata);
  const lowest = gates.HPAScaleToZero || stored?.spec["minReplicas"] === 0 ? 0 : 1;
  const { minReplicas } = spec;
  const maxReplicas = numberOf(spec["maxReplicas"]);
  if (isSet(minReplicas) && numberOf(minReplicas) < lowest) {
    report.invalid("spec.minReplicas", minReplicas, `must be greater than or equal to ${lowest}`);
  }
  if (maxReplicas < 1) report.invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to 1");
  if (isSet(minReplicas) && maxReplicas < numberOf(minReplicas)) {
    report.invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`");
  }
  const storedTarget = stored === null ? null : documentOf(stored.spec["scaleTargetRef"]);
  validateReference(report, "spec.scaleTargetRef", documentOf(spec["scaleTargetRef"]), { needsGroup: true, stored: storedTarget });

  const metrics = listOf(spec["metrics"]).map(documentOf);
  const storedMetrics = stored === null ? [] : listOf(stored.spec["metrics"]).map(documentOf);
  for (const [at, metric] of metrics.entries()) validateMetric(report, `spec.metrics[${at}]`, metric, storedMetrics[at] ?? null);
  if (minReplicas === 0 && !metrics.some(({ type }) => type === "Object" || type === "External")) {
    report.forbidden("spec.metrics", "must specify at least one Object or External metric to support scaling to zero replicas");
  }
  const { behavior } = spec;
  if (isSet(behavior)) {
    const { scaleUp, scaleDown } = documentOf(behavior);
    validateRules(report, "spec.behavior.scaleUp", scaleUp);
    validateRules(report, "spec.behavior.scaleDown", scaleDown);
  }
  return issues;
}

class Report {
  readonly #issues: HpaIssue[];

  constructor(issues: HpaIssue[]) {
    this.#issues = issues;
  }

  invalid(path: string, value: Json, detail: string): void {
    this.#issues.push({ path, message: `Invalid value: ${typeof value === "string" ? `"${value}"` : JSON.stringify(value)}: ${detail}` });
  }

  required(path: string, detail: string): void {
    this.#issues.push({ path, message: detail === "" ? "Required value" : `Required value: ${detail}` });
  }

  forbidden(path: string, detail: string): void {
    this.#issues.push({ path, message: `Forbidden: ${detail}` });
  }

  unsupported(path: string, value: string, supported: readonly string[]): void {
    const list = supported.map((name) => `"${name}"`).join(", ");
    this.#issues.push({ path, message: `Unsupported value: "${value}": supported values: ${list}` });
  }
}

function validateMetadata(report: Report, metadata: Document): void {
  const name = textOf(metadata["name"]);
  const namespace = textOf(metadata["namespace"]);
  if (name === "") report.required("metadata.name", "name or generateName is required");
  else if (name.length > 253) report.invalid("metadata.name", name, "must be no more than 253 characters");
  else if (!DNS_SUBDOMAIN.test(name)) report.invalid("metadata.name", name, SUBDOMAIN_TEXT);
  if (namespace === "") report.required("metadata.namespace", "");
  else if (namespace.length > 63) report.invalid("metadata.namespace", namespace, "must be no more than 63 characters");
  else if (!DNS_LABEL.test(namespace)) report.invalid("metadata.namespace", namespace, LABEL_TEXT);
}

/** What stands in a URL path between two slashes. */
function validateSegment(report: Report, path: string, value: string): void {
  for (const name of [".", ".."]) if (value === name) report.invalid(path, value, `may not be '${name}'`);
  for (const part of ["/", "%"]) if (value.includes(part)) report.invalid(path, value, `may not contain '${part}'`);
}

function validateReference(
  report: Report,
  path: string,
  reference: Document,
  { needsGroup, stored }: { readonly needsGroup: boolean; readonly stored: Document | null },
): void {
  for (const field of ["kind", "name"] as const) {
    const value = textOf(reference[field]);
    if (value === "") report.required(`${path}.${field}`, "");
    else validateSegment(report, `${path}.${field}`, value);
  }
  const kind = textOf(reference["kind"]);
  const apiVersion = textOf(reference["apiVersion"]);
  const storedVersion = stored === null ? null : textOf(stored["apiVersion"]);
  if (!parses(apiVersion)) {
    if (storedVersion === null || parses(storedVersion)) {
      report.invalid(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`);
    }
  } else if (needsGroup && kind !== "ReplicationController" && !apiVersion.includes("/")) {
    const wasWithout = storedVersion !== null && !storedVersion.includes("/");
    if (!wasWithout) report.invalid(`${path}.apiVersion`, apiVersion, "apiVersion must specify API group");
  }
}

const parses = (apiVersion: string) => apiVersion.split("/").length <= 2;

function validateMetric(report: Report, path: string, metric: Document, stored: Document | null): void {
  const type = textOf(metric["type"]);
  const expected = Object.hasOwn(BLOCK_OF, type) ? BLOCK_OF[type] : undefined;
  if (type === "") report.required(`${path}.type`, "must specify a metric source type");
  // An absent type is reported as unsupported, too.
  if (expected === undefined) report.unsupported(`${path}.type`, type, Object.keys(BLOCK_OF));

  const present = BLOCKS.filter((block) => isSet(metric[block]));
  const [first] = present;
  if (first !== undefined) {
    const storedBlock = stored === null ? null : documentOf(stored[first]);
    validateSource(report, `${path}.${first}`, first, documentOf(metric[first]), storedBlock);
  }
  if (expected !== undefined && !present.includes(expected)) {
    report.required(`${path}.${expected}`, "must populate information for the given metric source");
  }
  if (present.length !== 1) {
    for (const block of present) {
      if (block !== expected) report.forbidden(`${path}.${block}`, "must populate the given metric source only");
    }
  }
}

function validateSource(report: Report, path: string, block: Block, source: Document, stored: Document | null): void {
  const target = documentOf(source["target"]);
  const has = (field: string) => isSet(target[field]);
  switch (block) {
    case "object": {
      const storedRef = stored === null ? null : documentOf(stored["describedObject"]);
      validateReference(report, `${path}.describedObject`, documentOf(source["describedObject"]), { needsGroup: false, stored: storedRef });
      validateIdentifier(report, path, source);
      validateTarget(report, path, target);
      if (!has("value") && !has("averageValue")) {
        report.required(`${path}.target.averageValue`, "must set either a target value or averageValue");
      }
      return;
    }
    case "external":
      validateIdentifier(report, path, source);
      validateTarget(report, path, target);
      if (!has("value") && !has("averageValue")) {
        report.required(`${path}.target.averageValue`, "must set either a target value for metric or a per-pod target");
      }
      if (has("value") && has("averageValue")) {
        report.forbidden(`${path}.target.value`, "may not set both a target value for metric and a per-pod target");
      }
      return;
    case "pods": {
      validateIdentifier(report, path, source);
      validateTarget(report, path, target);
      const average = target["averageValue"];
      if (!isSet(average) || !isPositive(average)) {
        report.required(`${path}.target.averageValue`, "must specify a positive target averageValue");
      }
      return;
    }
    case "containerResource":
    case "resource": {
      const name = textOf(source["name"]);
      if (name === "") report.required(`${path}.name`, "must specify a resource name");
      else if (block === "containerResource") validateResourceName(report, `${path}.name`, name);
      if (block === "containerResource") {
        const container = textOf(source["container"]);
        if (container === "") report.required(`${path}.container`, "must specify a container");
        else if (container.length > 63 || !DNS_LABEL.test(container)) report.invalid(`${path}.container`, container, LABEL_TEXT);
      }
      validateTarget(report, path, target);
      if (!has("averageUtilization") && !has("averageValue")) {
        report.required(`${path}.target.averageUtilization`, "must set either a target raw value or a target utilization");
      }
      if (has("averageUtilization") && has("averageValue")) {
        report.forbidden(`${path}.target.averageValue`, "may not set both a target raw value and a target utilization");
      }
    }
  }
}

function validateResourceName(report: Report, path: string, name: string): void {
  const parts = name.split("/");
  const local = parts.at(-1) ?? "";
  const prefix = parts.length > 1 ? parts[0] : undefined;
  const isQualified =
    parts.length <= 2 &&
    local.length <= 63 &&
    QUALIFIED_NAME.test(local) &&
    (prefix === undefined || (prefix.length <= 253 && DNS_SUBDOMAIN.test(prefix)));
  if (!isQualified) report.invalid(path, name, "a qualified name must consist of alphanumeric characters, '-', '_' or '.'");
  else if (prefix === undefined && !STANDARD_RESOURCES.has(name) && !name.startsWith("hugepages-")) {
    report.invalid(path, name, "must be a standard resource type or fully qualified");
  }
}

function validateIdentifier(report: Report, path: string, source: Document): void {
  const name = textOf(documentOf(source["metric"])["name"]);
  if (name === "") report.required(`${path}.metric.name`, "must specify a metric name");
  else validateSegment(report, `${path}.metric.name`, name);
}

function validateTarget(report: Report, path: string, target: Document): void {
  const type = textOf(target["type"]);
  if (type === "") report.required(`${path}.target.type`, "must specify a metric target type");
  if (type !== "Utilization" && type !== "Value" && type !== "AverageValue") {
    report.invalid(`${path}.target.type`, type, "must be either Utilization, Value, or AverageValue");
  }
  for (const field of ["value", "averageValue"] as const) {
    const value = target[field];
    if (isSet(value) && !isPositive(value)) report.invalid(`${path}.target.${field}`, value, "must be positive");
  }
  const utilization = target["averageUtilization"];
  if (isSet(utilization) && numberOf(utilization) < 1) {
    report.invalid(`${path}.target.averageUtilization`, utilization, "must be greater than 0");
  }
}

function validateRules(report: Report, path: string, given: Json | undefined): void {
  if (!isSet(given)) return;
  const rules = documentOf(given);
  const { stabilizationWindowSeconds: window, selectPolicy, tolerance } = rules;
  if (isSet(window) && numberOf(window) < 0) {
    report.invalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero");
  }
  if (isSet(window) && numberOf(window) > MAX_WINDOW_SECONDS) {
    report.invalid(`${path}.stabilizationWindowSeconds`, window, `must be less than or equal to ${MAX_WINDOW_SECONDS}`);
  }
  const selections = ["Disabled", "Max", "Min"];
  if (isSet(selectPolicy) && !selections.includes(textOf(selectPolicy))) {
    report.unsupported(`${path}.selectPolicy`, textOf(selectPolicy), selections);
  }
  const policies = listOf(rules["policies"]).map(documentOf);
  if (policies.length === 0) report.required(`${path}.policies`, "must specify at least one Policy");
  for (const [at, policy] of policies.entries()) {
    const place = `${path}.policies[${at}]`;
    const type = textOf(policy["type"]);
    const value = numberOf(policy["value"]);
    const periodSeconds = numberOf(policy["periodSeconds"]);
    if (type !== "Pods" && type !== "Percent") report.unsupported(`${place}.type`, type, ["Percent", "Pods"]);
    if (value <= 0) report.invalid(`${place}.value`, value, "must be greater than zero");
    if (periodSeconds <= 0) report.invalid(`${place}.periodSeconds`, periodSeconds, "must be greater than zero");
    if (periodSeconds > MAX_PERIOD_SECONDS) {
      report.invalid(`${place}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD_SECONDS}`);
    }
  }
  if (isSet(tolerance) && quantitySign(tolerance) < 0) {
    report.invalid(`${path}.tolerance`, tolerance, "must be greater than or equal to 0");
  }
}

const isPositive = (value: Json): boolean => quantitySign(value) > 0;

/** Text that is no quantity counts as negative: the API server does not even decode it. */
function quantitySign(value: Json): number {
  if (typeof value !== "string" && typeof value !== "number") return -1;
  try {
    return signOf(parseQuantity(String(value)));
  } catch {
    return -1;
  }
}
