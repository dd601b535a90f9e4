import { parse, stringify } from "yaml";
import type { z } from "zod";
import { type Json, type Manifest, messageOf, type ScalingRules, type Target } from "../model/index.ts";
import {
  AGGREGATE_ANNOTATION,
  type AutoscalingConfig,
  autoscalingConfigOf,
  type Deployment,
  deploymentsOf,
  downscalingFactor,
  LLM_DEFAULTS,
  RAY_VERSION_ANNOTATION,
  targetCapacityOf,
  upscalingFactor,
} from "../policy/dialects/ray-serve/index.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { llmArguments, llmConfig, rayService, serveConfig } from "./ray-serve-schema.ts";
import type { Intent, ManifestReader, ReadManifest, Written } from "./reader.ts";

type Fields = { readonly [key: string]: Json | undefined };
type Content = { readonly spec: Manifest["spec"] } | { readonly issues: readonly ManifestIssue[] };

const API_VERSION = "ray.io/v1";
const KIND = "RayService";
/** The builder of an application out of LLMConfigs. */
const LLM_BUILDER = "ray.serve.llm:build_openai_app";
const AGGREGATE_VARIABLE = "RAY_SERVE_AGGREGATE_METRICS_AT_CONTROLLER";

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Ray Serve's config file, a RayService that holds one as text, or a bare LLMConfig. A RayService also says which version of Ray it
 * is, and whether requests are totalled at the controller.
 */
export const rayServeReader: ManifestReader = {
  dialect: "ray-serve",
  recognizes(document) {
    if (!isMapping(document)) return false;
    if ("kind" in document) return document["kind"] === KIND;
    const applications = document["applications"];
    return (
      "model_loading_config" in document ||
      (Array.isArray(applications) && applications.some((one) => isMapping(one) && "import_path" in one))
    );
  },
  read(document) {
    if (isMapping(document) && document["kind"] === KIND) return readService(document);
    if (isMapping(document) && "model_loading_config" in document) {
      const parsed = llmConfig.safeParse(document);
      if (!parsed.success) return { issues: issuesOf(parsed.error) };
      return named(readConfig({ applications: [{ name: "default", import_path: LLM_BUILDER, args: { llm_configs: [document] } }] }, ""));
    }
    return named(readConfig(document, ""));
  },
  write({ name, namespace, annotations = {}, spec }, target) {
    if (target?.kind !== KIND) return spec;
    return {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name, namespace, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
      spec: { serveConfigV2: stringify(spec, { lineWidth: 0 }) },
    };
  },
  intent,
  fromIntent,
};

const issuesOf = (error: z.ZodError, root = ""): readonly ManifestIssue[] =>
  manifestIssues(error, root).map(({ path, message }) => ({ path, message: message.replace("this API version", "Ray Serve 2.58") }));

function named(content: Content): ReadManifest {
  if ("issues" in content) return content;
  const [first] = content.spec["applications"] as readonly Fields[];
  return { manifest: { name: String(first?.["name"] ?? "default"), namespace: "default", spec: content.spec }, target: null };
}

function readService(document: unknown): ReadManifest {
  const parsed = rayService.safeParse(document);
  if (!parsed.success) return { issues: issuesOf(parsed.error) };
  const { metadata, spec } = parsed.data;
  const path = "spec.serveConfigV2";
  let config: unknown;
  try {
    config = parse(spec.serveConfigV2);
  } catch (error) {
    return { issues: [{ path, message: `is not YAML: ${messageOf(error)}` }] };
  }
  const content = readConfig(config, path);
  if ("issues" in content) return content;
  const env = spec.rayClusterConfig?.headGroupSpec?.template?.spec?.containers?.flatMap((container) => container.env ?? []) ?? [];
  const said = {
    [RAY_VERSION_ANNOTATION]: metadata.annotations[RAY_VERSION_ANNOTATION] ?? spec.rayClusterConfig?.rayVersion,
    [AGGREGATE_ANNOTATION]: metadata.annotations[AGGREGATE_ANNOTATION] ?? env.find(({ name }) => name === AGGREGATE_VARIABLE)?.value,
  };
  const annotations = Object.fromEntries(Object.entries(said).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
  const { name, namespace } = metadata;
  return {
    manifest: { name, namespace, ...(Object.keys(annotations).length === 0 ? {} : { annotations }), spec: content.spec },
    target: { apiVersion: API_VERSION, kind: KIND, name },
  };
}

/** A Serve config with every default of what decides filled in. */
function readConfig(document: unknown, root: string): Content {
  const parsed = serveConfig.safeParse(document);
  if (!parsed.success) return { issues: issuesOf(parsed.error, root) };
  const issues: ManifestIssue[] = [];
  const applications = (parsed.data.applications ?? []).map((application, at) => {
    const { args, deployments, ...rest } = application;
    const read = args === undefined ? undefined : llmArguments.safeParse(args);
    if (read?.success === false) {
      const path = `${root === "" ? "" : `${root}.`}applications[${at}].args`;
      issues.push(...issuesOf(read.error, path));
    }
    return {
      name: "default",
      ...rest,
      ...(args === undefined ? {} : { args: read?.success === true ? withLlmDefaults(read.data as Fields) : args }),
      ...(deployments === undefined ? {} : { deployments: deployments.map((one) => withDefaults(one as Fields)) }),
    };
  });
  return issues.length > 0 ? { issues } : { spec: { ...(parsed.data as Fields), applications: applications as unknown as Json } };
}

function withDefaults(deployment: Fields, beneath: Partial<AutoscalingConfig> = {}): Fields {
  const config = autoscalingConfigOf(deployment, beneath);
  if (config === null) return deployment;
  const stated = (deployment["autoscaling_config"] as Fields | undefined)?.["policy"] as Fields | undefined;
  return { ...deployment, autoscaling_config: { ...config, policy: { ...defaultPolicy, ...stated } } as unknown as Json };
}
const defaultPolicy = autoscalingConfigOf({ num_replicas: "auto" })?.policy;

function withLlmDefaults(args: Fields): Fields {
  const llm = (value: Json): Json => {
    const fields = value as Fields;
    const deployment = fields["deployment_config"] as Fields | undefined;
    return deployment === undefined ? fields : { ...fields, deployment_config: withDefaults(deployment, LLM_DEFAULTS) };
  };
  return Object.fromEntries(
    Object.entries(args).map(([key, value]) => {
      if (key === "llm_configs" && Array.isArray(value)) return [key, value.map(llm)];
      return key === "prefill_config" || key === "decode_config" ? [key, llm(value as Json)] : [key, value];
    }),
  );
}

const ms = (seconds: number) => seconds * 1000;
const lasting = (delayS: number): ScalingRules => ({ stabilizationWindowMs: ms(delayS), selectPolicy: "Max", policies: [] });

/** Of several deployments the one that would be an endpoint's only pool: the first that is autoscaled, else the first. */
const primaryOf = (deployments: readonly Deployment[]) => deployments.find(({ plan }) => plan.kind === "autoscaled") ?? deployments[0];

function intent(manifest: Manifest, target: Target | null): { readonly intent: Intent; readonly lost: readonly string[] } {
  const deployments = deploymentsOf(manifest);
  const primary = primaryOf(deployments);
  const base = { name: manifest.name, namespace: manifest.namespace, target, tolerance: null };
  const none = { rules: [], scaleUp: null, scaleDown: null, zeroAfterMs: null, intervalMs: null };
  const lost: string[] = [];
  const others = deployments.filter((one) => one !== primary).map(({ name }) => name);
  if (others.length > 0) lost.push(`Only deployment ${primary?.name} is carried over; ${others.join(", ")} are not.`);
  const capacity = targetCapacityOf(manifest);
  if (capacity !== null) lost.push(`The target capacity of ${capacity} % has no counterpart; bounds are those of 100 %.`);
  if (primary === undefined || primary.plan.kind === "external") {
    lost.push("The number of replicas is not in this file: it is set from outside, or in the Python code.");
    return { intent: { ...base, ...none, min: 1, max: 1 }, lost };
  }
  const { plan } = primary;
  if (plan.kind === "fixed") return { intent: { ...base, ...none, min: plan.replicas, max: plan.replicas }, lost };
  const { config } = plan;
  lost.push(...lostOf(primary, config, plan.brokerQueue));
  return {
    intent: {
      ...base,
      min: config.min_replicas,
      max: config.max_replicas,
      rules: [{ signal: "in_flight", level: config.target_ongoing_requests, of: "perReplica", total: true }],
      tolerance: 0,
      scaleUp: lasting(config.upscale_delay_s),
      scaleDown: lasting(config.downscale_delay_s),
      zeroAfterMs: config.min_replicas === 0 ? ms(config.downscale_to_zero_delay_s ?? config.downscale_delay_s) : null,
      intervalMs: ms(config.metrics_interval_s),
    },
    lost,
  };
}

function lostOf({ gangSize }: Deployment, config: AutoscalingConfig, brokerQueue: string | null): readonly string[] {
  const { aggregation_function: how, look_back_period_s: lookBackS, initial_replicas: initial } = config;
  const [up, down] = [upscalingFactor(config), downscalingFactor(config)];
  return [
    ...(up === 1 && down === 1 ? [] : [`The factors on each step (${up} up, ${down} down) have no counterpart.`]),
    `Requests are averaged over ${lookBackS} s (${how}) before they are compared; elsewhere the reading itself counts.`,
    "Ray takes what is wanted when a delay ends; a stabilization window takes the least or the most within it.",
    ...(initial === null ? [] : [`initial_replicas (${initial}) has no counterpart.`]),
    ...(gangSize > 1 ? [`Gangs of ${gangSize} replicas have no counterpart.`] : []),
    ...(brokerQueue === null ? [] : [`The broker's queue ${brokerQueue} counts like requests in Ray; it is left out.`]),
  ];
}

/** Signals that count requests as Ray does, and those that nearly do. */
const REQUESTS: readonly string[] = ["in_flight"];
const NEARLY: readonly string[] = ["running"];

function fromIntent({ name, namespace, target, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const isUsable = (signals: readonly string[]) => rules.find(({ signal, of }) => of === "perReplica" && signals.includes(signal));
  const rule = isUsable(REQUESTS) ?? isUsable(NEARLY);
  for (const other of rules) {
    if (other !== rule)
      lost.push(`Ray's autoscaler holds ongoing requests per replica only: the rule on ${other.signal} (${other.level}) is left out.`);
  }
  if (rule === undefined && min !== max)
    lost.push("target_ongoing_requests (2) is Ray's default: no rule says how many requests a replica should have.");
  if (rule?.signal === "running") lost.push("Ray counts queued requests beside running ones.");
  if (tolerance !== null && tolerance > 0)
    lost.push(`Ray has no tolerance (${tolerance}): every whole replica counts, once its delay has passed.`);
  for (const [direction, stated] of [
    ["up", scaleUp],
    ["down", scaleDown],
  ] as const) {
    if (stated?.selectPolicy === "Disabled") lost.push(`Ray cannot be kept from going ${direction}.`);
    else if (stated !== null && stated.policies.length > 0)
      lost.push(`Ray does not limit how fast it goes ${direction}: its rates are left out.`);
  }
  lost.push("import_path: name the Python application that Ray is to serve; this file cannot know it.");

  const seconds = (durationMs: number) => durationMs / 1000;
  const deployment: Fields =
    min === max
      ? { name, num_replicas: min }
      : {
          name,
          autoscaling_config: {
            min_replicas: min,
            max_replicas: max,
            ...(rule === undefined ? {} : { target_ongoing_requests: rule.level }),
            ...(scaleUp === null ? {} : { upscale_delay_s: seconds(scaleUp.stabilizationWindowMs) }),
            ...(scaleDown === null ? {} : { downscale_delay_s: seconds(scaleDown.stabilizationWindowMs) }),
            ...(zeroAfterMs === null || min > 0 ? {} : { downscale_to_zero_delay_s: seconds(zeroAfterMs) }),
            ...(intervalMs === null || intervalMs <= 0 ? {} : { metrics_interval_s: seconds(intervalMs) }),
          },
        };
  const spec = { applications: [{ name, import_path: "app:app", deployments: [withDefaults(deployment)] as unknown as Json }] };
  const service = target?.kind === KIND ? target : null;
  return { document: rayServeReader.write({ name: service?.name ?? name, namespace, spec }, service), lost };
}
