import { z } from "zod";
import { DEFAULTS } from "./defaults.ts";
import { API_VERSION, endpointSchema, fleetSchema } from "./schema.ts";
import { endpointStatusSchema, fleetStatusSchema } from "./status.ts";
import { type Rule, type Structural, structural, withRules } from "./structural.ts";

const [GROUP, VERSION] = API_VERSION.split("/") as [string, string];

/** What is added to the part of the schema at a path; `[]` is a list's item, `{}` a mapping's value. */
type Additions = Readonly<Record<string, { readonly rules?: readonly Rule[]; readonly more?: Partial<Structural> }>>;

const listOf = (key: string): Partial<Structural> => ({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key] });

// CEL is refused where its worst case costs too much, so that what rules look at has a longest length.
const most = { pools: 32, rules: 64, queries: 128, durationText: 32 } as const;

const minAtMostMax: Rule = {
  rule: "!has(self.min) || !has(self.max) || self.min <= self.max",
  message: "max is below min; raise it or lower the minimum",
  fieldPath: ".max",
};

const durationOr = (key: string, otherwise: string) => `(has(self.${key}) ? self.${key} : '${otherwise}')`;
/** CEL knows no days. */
const notLonger = (shorter: string, longer: string, otherwise: readonly [string, string]): string => {
  const [a, b] = [durationOr(shorter, otherwise[0]), durationOr(longer, otherwise[1])];
  return `${a}.contains('d') || ${b}.contains('d') || duration(${a}) <= duration(${b})`;
};
const dnsLabel = (path: string, what: string): Rule => ({
  rule: `self.${path}.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')`,
  message: `${what} must be lower-case letters, digits and dashes, such as llama-3-8b`,
});

/** The rules over several keys that reading the config checks as well, as far as CEL can see what they are about. */
const endpointAdditions: Additions = {
  "": { rules: [dnsLabel("metadata.name", "metadata.name")] },
  spec: {
    rules: [
      {
        rule: "!has(self.pools) || !(has(self.replicas) || has(self.price))",
        message: "replicas and price stand beside pools; move them into the pools, or keep only replicas and price",
      },
      {
        rule: "has(self.policy) || has(self.platform.target)",
        message:
          "policy is missing, and without platform.target no HorizontalPodAutoscaler or ScaledObject can stand in for it; add policy: { kind: slo }",
      },
      {
        rule:
          "!has(self.policy) || !(self.policy.kind in ['static', 'signals', 'slo']) || " +
          "(has(self.pools) ? self.pools.all(p, has(p.max)) : has(self.replicas) && has(self.replicas.max))",
        message: "replicas.max (of each pool, where there are pools) is missing; add it: the most replicas, which is the ceiling of cost",
      },
      {
        rule:
          "self.platform.kind != 'kubernetes' || (has(self.pools) && self.pools.size() > 1) || has(self.platform.target) || " +
          "(has(self.platform.targets) && (has(self.pools) ? self.pools[0].name : 'default') in self.platform.targets)",
        message: "platform.target is missing; name the Kubernetes object to scale: { apiVersion: apps/v1, kind: Deployment, name: NAME }",
      },
      {
        rule:
          "self.platform.kind != 'kubernetes' || !has(self.pools) || self.pools.size() < 2 || " +
          "(has(self.platform.targets) && self.pools.all(p, p.name in self.platform.targets))",
        message: "platform.targets must name the object of each pool: { POOL: { apiVersion: apps/v1, kind: Deployment, name: NAME } }",
      },
      {
        rule:
          "!has(self.platform.targets) || " +
          "self.platform.targets.all(t, has(self.pools) ? self.pools.exists(p, p.name == t) : t == 'default')",
        message: "platform.targets names what is no pool of this endpoint; use the names in pools (without pools it is default)",
      },
    ],
  },
  "spec.replicas": { rules: [minAtMostMax] },
  "spec.pools": { more: { ...listOf("name"), maxItems: most.pools } },
  "spec.pools.[]": { rules: [minAtMostMax] },
  "spec.pools.[].name": { more: { maxLength: 63 } },
  "spec.platform.targets": { more: { maxProperties: most.pools } },
  "spec.platform.restartBackoff": {
    rules: [
      {
        rule: notLonger("initial", "max", [DEFAULTS.process.restartBackoff.initial, DEFAULTS.process.restartBackoff.max]),
        message: "restartBackoff.max is shorter than restartBackoff.initial; raise it",
      },
    ],
  },
  "spec.signals": {
    rules: [
      {
        rule: notLonger("scrapeInterval", "staleAfter", [DEFAULTS.signals.scrapeInterval, DEFAULTS.signals.staleAfter]),
        message:
          "signals.staleAfter is shorter than signals.scrapeInterval, so that every reading would be stale; raise it to some intervals",
      },
    ],
  },
  "spec.prometheus.auth": {
    rules: [
      {
        rule: "has(self.bearerToken) ? !has(self.username) && !has(self.password) : has(self.username) && has(self.password)",
        message: "prometheus.auth is bearerToken, or username with password; keep one of the two",
      },
    ],
  },
  "spec.prometheus.queries": { more: { maxItems: most.queries } },
  "spec.policy.rules": { more: { maxItems: most.rules } },
  "spec.policy.rules.[]": {
    // Levels are numbers or text, which CEL cannot see; the schema itself says that there is one of the three.
    more: { oneOf: [{ required: ["target"] }, { required: ["ceiling"] }, { required: ["saturation"] }] },
    rules: [
      {
        rule: "has(self.saturation) != has(self.signal)",
        message: "a rule is one of { signal, target }, { signal, ceiling } and { saturation }; signal belongs to the first two",
      },
    ],
  },
  "status.pools": { more: listOf("name") },
  "status.conditions": { more: listOf("type") },
  "status.conditions.[].lastTransitionTime": { more: { format: "date-time" } },
  "status.lastDecision.time": { more: { format: "date-time" } },
};

const fleetAdditions: Additions = {
  "": { rules: [dnsLabel("metadata.name", "metadata.name")] },
  "status.conditions": { more: listOf("type") },
  "status.conditions.[].lastTransitionTime": { more: { format: "date-time" } },
};

/** What definitions have wherever they are used. */
const definitions = {
  Duration: { maxLength: most.durationText },
  Secret: {
    "x-kubernetes-validations": [
      { rule: "has(self.env) != has(self.file)", message: "a secret comes from { env: NAME } or { file: PATH }, one of the two" },
    ],
  },
};

interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  /** Above 0 only with `-o wide`. */
  readonly priority?: number;
}

const age: Column = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };
const conditionPath = (type: string, field: string) => `.status.conditions[?(@.type=="${type}")].${field}`;

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly additions: Additions;
  readonly columns: readonly Column[];
}

const KINDS: readonly Kind[] = [
  {
    kind: "Endpoint",
    plural: "endpoints",
    // `kubectl get endpoints` means the core ones; these have names of their own.
    shortNames: ["tge", "tgep"],
    spec: endpointSchema,
    status: endpointStatusSchema,
    additions: endpointAdditions,
    columns: [
      { name: "Ready", type: "integer", jsonPath: ".status.replicas.ready", description: "replicas that serve" },
      { name: "Desired", type: "integer", jsonPath: ".status.desired", description: "replicas that stand decided" },
      { name: "Min", type: "integer", jsonPath: ".status.bounds.min" },
      { name: "Max", type: "integer", jsonPath: ".status.bounds.max" },
      { name: "Policy", type: "string", jsonPath: ".status.policy" },
      { name: "Attainment", type: "string", jsonPath: ".status.attainment", description: "share of requests that met the objective" },
      { name: "Valid", type: "string", jsonPath: conditionPath("Valid", "status") },
      { name: "Model", type: "string", jsonPath: ".spec.model", priority: 1 },
      { name: "Platform", type: "string", jsonPath: ".spec.platform.kind", priority: 1 },
      { name: "Cold start", type: "string", jsonPath: ".status.coldStartP90", description: "90th percentile", priority: 1 },
      { name: "Last reason", type: "string", jsonPath: ".status.lastDecision.reason", priority: 1 },
      age,
    ],
  },
  {
    kind: "Fleet",
    plural: "fleets",
    shortNames: ["tgf"],
    spec: fleetSchema,
    status: fleetStatusSchema,
    additions: fleetAdditions,
    columns: [
      { name: "GPUs", type: "string", jsonPath: ".spec.gpus" },
      { name: "Valid", type: "string", jsonPath: conditionPath("Valid", "status") },
      age,
    ],
  },
];

/** A CustomResourceDefinition of apiextensions.k8s.io/v1, as far as we write one. */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced";
    readonly names: Readonly<Record<string, string | readonly string[]>>;
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly subresources: { readonly status: object };
      readonly additionalPrinterColumns: readonly Column[];
      readonly schema: { readonly openAPIV3Schema: Structural };
    }[];
  };
}

/**
 * The definitions of our own kinds, made from the schema that reads the YAML files.
 *
 * There is no `scale` subresource: an Endpoint's spec holds no count but bounds and a policy. Whoever set a count there, a person or
 * another autoscaler, would change the policy's bounds behind its back; `tidegate pin` holds a count, and the platform's own object has
 * the scale.
 */
export function customResourceDefinitions(): readonly CustomResourceDefinition[] {
  return KINDS.map(({ kind, plural, shortNames, spec, status, additions, columns }) => {
    const root = structural(z.toJSONSchema(spec, { io: "input" }), definitions);
    const properties = root.properties as Record<string, Structural>;
    const whole: Structural = {
      type: "object",
      ...(root.description === undefined ? {} : { description: root.description }),
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        metadata: { type: "object", properties: { name: { type: "string", maxLength: 63 } } },
        spec: properties["spec"] as Structural,
        status: structural(z.toJSONSchema(status), definitions),
      },
      required: ["spec"],
    };
    for (const [path, { rules, more }] of Object.entries(additions)) {
      const part = at(whole, path);
      Object.assign(part, more, rules === undefined ? {} : withRules(part, rules));
    }
    return {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${GROUP}`, labels: { "app.kubernetes.io/name": "tidegate" } },
      spec: {
        group: GROUP,
        scope: "Namespaced",
        names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames, categories: ["tidegate"] },
        versions: [
          {
            name: VERSION,
            served: true,
            storage: true,
            subresources: { status: {} },
            additionalPrinterColumns: columns,
            schema: { openAPIV3Schema: whole },
          },
        ],
      },
    };
  });
}

/** @throws RangeError where the schema has no such part, so that an addition cannot outlive what it was made for */
function at(root: Structural, path: string): Structural {
  let part: Structural | undefined = root;
  for (const key of path === "" ? [] : path.split(".")) {
    if (key === "[]") part = part?.items;
    else if (key === "{}") part = part?.additionalProperties;
    else part = part?.properties?.[key];
  }
  if (part === undefined) throw new RangeError(`the schema has no ${path}`);
  return part;
}
