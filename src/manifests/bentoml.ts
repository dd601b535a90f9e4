import { z } from "zod";
import type { ScalingRules } from "../model/index.ts";
import { hpaReader } from "./hpa-reader.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, ManifestReader, ReadManifest, Written } from "./reader.ts";

/**
 * BentoML's deployment file and a service's own config. BentoCloud scales by Kubernetes' formula on the requests in flight, with
 * stabilization windows and rates, so what a file of its means is an HPA: an External metric `in_flight` with `concurrency` for each
 * replica, no tolerance, and the behavior that its words stand for.
 * Sources: BentoML 1.4, cloud/schemas/modelschemas.py, _bentoml_sdk/service/config.py, docs "Concurrency and autoscaling".
 */
const mapping = z.record(z.string(), z.json());
const windowSeconds = z.int().min(0).max(3600).optional();
const behavior = z.enum(["fast", "stable", "disabled"]).optional();

const scaling = z
  .strictObject({
    min_replicas: z.int().min(0).default(1),
    max_replicas: z.int().min(1).optional(),
    policy: z
      .strictObject({
        scale_up_stabilization_window: windowSeconds,
        scale_down_stabilization_window: windowSeconds,
        /** What older releases have instead of the windows. */
        scale_up_behavior: behavior,
        scale_down_behavior: behavior,
        metrics: z.array(z.json()).optional(),
      })
      .superRefine((policy, issues) => {
        const report = (path: string, message: string) => issues.addIssue({ code: "custom", path: [path], message });
        for (const direction of ["up", "down"] as const) {
          if (policy[`scale_${direction}_behavior`] === undefined || policy[`scale_${direction}_stabilization_window`] === undefined)
            continue;
          report(`scale_${direction}_behavior`, `says the same as scale_${direction}_stabilization_window; remove one of them`);
        }
        if (policy.metrics !== undefined) report("metrics", "is no longer followed by BentoCloud; set traffic.concurrency instead");
      })
      .default({}),
  })
  .superRefine(({ min_replicas: min, max_replicas: max }, issues) => {
    if (max !== undefined && max < min) {
      issues.addIssue({
        code: "custom",
        path: ["max_replicas"],
        message: `(${max}) is below min_replicas (${min}); raise it or lower the minimum`,
      });
    }
  });

const traffic = z
  .strictObject({
    timeout: z.number().positive().optional(),
    max_concurrency: z.int().positive().optional(),
    concurrency: z.int().positive().optional(),
    external_queue: z.boolean().optional(),
  })
  .superRefine(({ concurrency, external_queue: queue }, issues) => {
    if (queue === true && concurrency === undefined) {
      issues.addIssue({ code: "custom", path: ["concurrency"], message: "is missing; external_queue needs one" });
    }
  });

/** What `@bentoml.service` takes. */
const serviceConfig = {
  traffic: traffic.optional(),
  backlog: z.int().optional(),
  max_runner_connections: z.int().optional(),
  resources: mapping.optional(),
  workers: z.json().optional(),
  threads: z.int().optional(),
  metrics: mapping.optional(),
  logging: mapping.optional(),
  ssl: mapping.optional(),
  timeouts: mapping.optional(),
  http: mapping.optional(),
  grpc: mapping.optional(),
  runner_probe: mapping.optional(),
  tracing: mapping.optional(),
  monitoring: mapping.optional(),
  endpoints: mapping.optional(),
};

const deployment = {
  instance_type: z.string().optional(),
  scaling: scaling.optional(),
  envs: z.array(mapping).optional(),
  deployment_strategy: z.enum(["RollingUpdate", "Recreate", "RampedSlowRollout", "BestEffortControlledRollout"]).optional(),
  extras: mapping.optional(),
  cold_start_timeout: z.int().optional(),
  config_overrides: z.strictObject(serviceConfig).optional(),
};

/** One service alone: its config, and what a deployment adds to it. */
const single = z.strictObject({
  ...serviceConfig,
  ...deployment,
  name: z.string().optional(),
  bento: z.string().optional(),
  cluster: z.string().optional(),
  access_authorization: z.boolean().optional(),
  secrets: z.array(z.string()).optional(),
  labels: z.json().optional(),
});
const file = z
  .strictObject({
    name: z.string().optional(),
    bento: z.string().optional(),
    cluster: z.string().optional(),
    access_authorization: z.boolean().optional(),
    secrets: z.array(z.string()).optional(),
    envs: z.array(mapping).optional(),
    labels: z.json().optional(),
    services: z.record(z.string(), z.strictObject(deployment)),
  })
  .superRefine(({ services }, issues) => {
    const names = Object.keys(services);
    if (names.length === 1) return;
    const message = names.length === 0 ? "names no service" : `names ${names.join(", ")}; keep one of them, each is an endpoint of its own`;
    issues.addIssue({ code: "custom", path: ["services"], message });
  });

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const has = (value: unknown, ...keys: readonly string[]) => isMapping(value) && keys.some((key) => isMapping(value[key]));

/** What may be added or taken in each period of seconds, as in Kubernetes' own defaults. */
const RATE_PERIOD_S = 15;
const ALL_OR_DOUBLE = { type: "Percent", value: 100, periodSeconds: RATE_PERIOD_S };
const BY_FOUR = { type: "Pods", value: 4, periodSeconds: RATE_PERIOD_S };
const STABLE_S = 600;

type Behavior = z.infer<typeof behavior>;

function rulesOf(direction: "up" | "down", stated: Behavior, windowS: number | undefined): object {
  const word = stated ?? (direction === "up" ? "fast" : "stable");
  const byWord = word === "stable" ? STABLE_S : 0;
  return {
    stabilizationWindowSeconds: windowS ?? byWord,
    selectPolicy: stated === "disabled" ? "Disabled" : "Max",
    policies: word === "stable" ? [ALL_OR_DOUBLE] : [ALL_OR_DOUBLE, BY_FOUR],
    tolerance: "0",
  };
}

/** BentoML's files in, and what they mean as a HorizontalPodAutoscaler out. */
export const bentomlReader: ManifestReader = {
  dialect: "hpa",
  recognizes(document) {
    if (!isMapping(document) || "kind" in document) return false;
    const { services } = document;
    if (isMapping(services))
      return Object.values(services).some((one) => has(one, "scaling", "config_overrides") || (isMapping(one) && "instance_type" in one));
    return has(document, "traffic") || ("bento" in document && has(document, "scaling"));
  },
  read(document) {
    if (hpaReader.recognizes(document)) return hpaReader.read(document);
    const clean = withoutNulls(document);
    const isFile = isMapping(clean) && isMapping(clean["services"]);
    if (isFile) {
      const parsed = file.safeParse(clean);
      if (!parsed.success) return refused(parsed.error);
      const [name, service] = Object.entries(parsed.data.services)[0] as [string, z.infer<typeof single>];
      return hpaOf(parsed.data.name ?? name, service, `services.${name}.`);
    }
    const parsed = single.safeParse(clean);
    return parsed.success ? hpaOf(parsed.data.name ?? "service", parsed.data, "") : refused(parsed.error);
  },
  write: (manifest, target) => hpaReader.write(manifest, target),
  intent: (manifest, target) => hpaReader.intent(manifest, target),
  fromIntent,
};

const refused = (error: z.ZodError): ReadManifest => ({
  issues: manifestIssues(error).map(({ path, message }) => ({ path, message: message.replace("this API version", "BentoML 1.4") })),
});

/** Kubernetes names its objects in lower case. */
const objectName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");

function hpaOf(named: string, service: z.infer<typeof single>, root: string): ReadManifest {
  const { min_replicas: min, max_replicas: max, policy } = service.scaling ?? scaling.parse({});
  // What a deployment says of traffic replaces the service's own, field by field.
  const { concurrency } = { ...service.traffic, ...service.config_overrides?.traffic };
  if (concurrency === undefined && min === 0) {
    const path = `${root}${service.config_overrides === undefined && root === "" ? "" : "config_overrides."}traffic.concurrency`;
    return {
      issues: [
        { path, message: "is not stated; without it nothing says when to leave min_replicas 0 (requests, not CPU, wake a service)" },
      ],
    };
  }
  const name = objectName(named);
  return hpaReader.read({
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      minReplicas: min,
      maxReplicas: max ?? Math.max(1, min),
      // Without concurrency BentoCloud goes by CPU, as an HPA without metrics does.
      ...(concurrency === undefined
        ? {}
        : {
            metrics: [
              {
                type: "External",
                external: { metric: { name: "in_flight" }, target: { type: "AverageValue", averageValue: String(concurrency) } },
              },
            ],
          }),
      behavior: {
        scaleUp: rulesOf("up", policy.scale_up_behavior, policy.scale_up_stabilization_window),
        scaleDown: rulesOf("down", policy.scale_down_behavior, policy.scale_down_stabilization_window),
      },
    },
  });
}

const LONGEST_WINDOW_S = 3600;

function windowOf(direction: "up" | "down", rules: ScalingRules | null, lost: string[]): object {
  if (rules === null) return {};
  if (rules.selectPolicy === "Disabled") return { [`scale_${direction}_behavior`]: "disabled" };
  if (rules.policies.length > 0) lost.push(`BentoCloud's own rates hold when it goes ${direction}: those stated are left out.`);
  const windowS = Math.round(rules.stabilizationWindowMs / 1000);
  if (windowS > LONGEST_WINDOW_S) lost.push(`A window of ${windowS} s going ${direction} is cut to ${LONGEST_WINDOW_S} s.`);
  return { [`scale_${direction}_stabilization_window`]: Math.min(LONGEST_WINDOW_S, windowS) };
}

function fromIntent({ name, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const rule = rules.find(({ signal, of }) => of === "perReplica" && signal === "in_flight");
  for (const other of rules) {
    if (other !== rule)
      lost.push(`BentoCloud holds concurrent requests per replica only: the rule on ${other.signal} (${other.level}) is left out.`);
  }
  const concurrency = rule === undefined ? null : Math.max(1, Math.floor(rule.level));
  if (rule === undefined) lost.push("No rule says how many requests a replica should have: BentoCloud goes by CPU.");
  else if (concurrency !== rule.level) lost.push(`traffic.concurrency is whole: ${concurrency} instead of ${rule.level}.`);
  if (tolerance !== null && tolerance > 0) lost.push(`BentoCloud states no tolerance (${tolerance}).`);
  if (zeroAfterMs !== null) lost.push(`BentoCloud states no idle time (${zeroAfterMs / 1000} s) before zero.`);
  if (intervalMs !== null) lost.push("How often BentoCloud decides is its own.");
  const policy = { ...windowOf("up", scaleUp, lost), ...windowOf("down", scaleDown, lost) };
  lost.push("bento: name the Bento to deploy, and its service; this file cannot know them.");
  const service = {
    scaling: {
      min_replicas: min === 0 && concurrency === null ? 1 : min,
      max_replicas: Math.max(1, max),
      ...(Object.keys(policy).length > 0 ? { policy } : {}),
    },
    ...(concurrency === null ? {} : { config_overrides: { traffic: { concurrency, ...(min === 0 ? { external_queue: true } : {}) } } }),
  };
  return { document: { name, services: { [name]: service } }, lost };
}
