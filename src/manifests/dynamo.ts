import { z } from "zod";
import type { Manifest } from "../model/index.ts";
import { PLANNER_DEFAULTS, type PlannerSpec, plannerSpecOf } from "../policy/dialects/dynamo/index.ts";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { Intent, IntentRule, ManifestReader, ReadManifest, Written } from "./reader.ts";

const KIND = "DynamoGraphDeploymentRequest";
const API_VERSION = "nvidia.com/v1beta1";

const seconds = z.int().min(1);
const count = z.int().min(0);
const positive = z.number().gt(0);
const text = z.string();
const anything = z.unknown();

/** Fields that decide; the planner's other fields are known, kept and without effect here. */
const deciding = {
  mode: z.enum(["disagg", "prefill", "decode", "agg"]),
  optimization_target: z.enum(["throughput", "latency", "load", "sla"]),
  enable_throughput_scaling: z.boolean(),
  enable_load_scaling: z.boolean(),
  throughput_adjustment_interval_seconds: seconds,
  load_adjustment_interval_seconds: seconds,
  max_throughput_scaling_replicas: z.int().min(1),
  max_gpu_budget: z.int().min(-1),
  min_gpu_budget: z.int().min(-1),
  min_endpoint: count,
  prefill_min_endpoint: z.int().min(1),
  decode_min_endpoint: z.int().min(1),
  prefill_engine_num_gpu: z.int().min(1),
  decode_engine_num_gpu: z.int().min(1),
  ttft_ms: positive,
  itl_ms: positive,
  load_predictor: z.enum(["constant", "arima", "kalman"], {
    error: ({ input }) =>
      input === "prophet" ? "prophet is not available here; use arima, kalman or constant" : "must be constant, arima or kalman",
  }),
  load_predictor_log1p: z.boolean(),
  kalman_q_level: positive,
  kalman_q_trend: positive,
  kalman_r: positive,
  kalman_min_points: z.int().min(1),
  pre_deployment_sweeping_mode: z.enum(["none", "rapid", "thorough"]),
  max_num_fpm_samples: z.int().min(1),
  fpm_sample_bucket_size: z
    .int()
    .min(1)
    .refine((size) => Number.isInteger(Math.sqrt(size)), { error: "must be a perfect square, such as 16" }),
  load_scaling_down_sensitivity: z.int().min(0).max(100),
  load_min_observations: z.int().min(1),
  prefill_scale_up_queue_tokens: count,
  prefill_scale_down_queue_tokens: count,
  decode_scale_up_kv_rate: z.number().min(0).max(100),
  decode_scale_down_kv_rate: z.number().min(0).max(100),
  advisory: z.boolean(),
  no_correction: z.boolean(),
};
const besides = {
  environment: z.enum(["kubernetes", "virtual", "global-planner"]),
  namespace: text,
  backend: z.enum(["vllm", "sglang", "trtllm", "mocker", "megatron"]),
  log_dir: text,
  profile_results_dir: text,
  aic_interpolation: anything,
  aic_perf_model: anything,
  prophet_window_size: z.int().min(1),
  load_predictor_warmup_trace: text,
  load_metric_samples: z.int().min(1),
  metric_pulling_prometheus_endpoint: text,
  metric_pulling_prometheus_token: text,
  metric_pulling_prometheus_ssl_verify: z.boolean(),
  metric_pulling_prometheus_extra_query_params: z.record(z.string(), z.string()),
  metric_reporting_prometheus_port: count,
  throughput_metrics_source: z.enum(["frontend", "router"]),
  model_name: text,
  served_model_name: text,
  global_planner_namespace: text,
  speculative_nextn: count,
  total_gpu_power_limit: count,
  control_api_port: count,
  report_interval_hours: positive,
  report_output_dir: text,
  report_filename: text,
  report_write_gzip_log: z.boolean(),
  live_dashboard_port: count,
  scheduling: anything,
  plugin_registration: anything,
  loadbased_router_metrics_url: text,
  loadbased_learning_window: z.int().min(1),
  loadbased_metric_samples: z.int().min(1),
};
const schema = z.strictObject({ version: z.enum(["2025", "2026"]), ...deciding, ...besides }).partial();

/** Names that fields had before, or are still accepted under. */
const ALIASES: Readonly<Record<string, string>> = {
  throughput_adjustment_interval: "throughput_adjustment_interval_seconds",
  adjustment_interval: "throughput_adjustment_interval_seconds",
  load_adjustment_interval: "load_adjustment_interval_seconds",
  loadbased_adjustment_interval: "load_adjustment_interval_seconds",
  loadbased_scaling_down_sensitivity: "load_scaling_down_sensitivity",
  loadbased_min_observations: "load_min_observations",
  enable_loadbased_scaling: "enable_load_scaling",
  ttft: "ttft_ms",
  itl: "itl_ms",
  decode_sacle_up_kv_rate: "decode_scale_up_kv_rate",
  no_operation: "advisory",
};
/** Fields that only the planner of 2025 had. */
const OF_2025 = [
  "adjustment_interval",
  "no_correction",
  "enable_loadbased_scaling",
  "loadbased_adjustment_interval",
  "loadbased_learning_window",
];
/** Fields by which a mapping without a kind is known for a PlannerConfig. */
const TELLTALE = [
  "optimization_target",
  "throughput_adjustment_interval_seconds",
  "throughput_adjustment_interval",
  "load_adjustment_interval_seconds",
  "max_gpu_budget",
  "adjustment_interval",
  "load_predictor",
];
const PLANNER_MODULES = /dynamo\.planner|planner_sla/;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function recognizes(document: unknown): boolean {
  if (!isObject(document)) return false;
  if (document["kind"] !== undefined || document["apiVersion"] !== undefined) return document["kind"] === KIND;
  return TELLTALE.some((key) => Object.hasOwn(document, key)) || isCommand(document);
}
const isCommand = (document: Record<string, unknown>) =>
  Array.isArray(document["args"]) && PLANNER_MODULES.test(JSON.stringify([document["command"], document["args"]]));

/**
 * PlannerConfig of NVIDIA Dynamo: the mapping itself (as `--config` takes it), a DynamoGraphDeploymentRequest that carries one in
 * `spec.features.planner`, or a container's `command` and `args` with the flags of the planner of 2025.
 */
export const dynamoReader: ManifestReader = { dialect: "dynamo", recognizes, read, write, intent, fromIntent };

const refuse = (path: string, message: string): ReadManifest => ({ issues: [{ path, message }] });

function read(raw: unknown): ReadManifest {
  const document = withoutNulls(raw);
  if (!isObject(document)) return refuse("", `is not a mapping; give a PlannerConfig, or a ${KIND}`);
  if (document["kind"] === undefined && isCommand(document)) {
    const flags = flagsOf((document["args"] as unknown[]).map(String));
    return "issues" in flags ? flags : config(flags.fields, "args", "", "default");
  }
  if (document["kind"] === undefined) return config(document, "", "", "default");
  if (document["kind"] !== KIND) return refuse("kind", `is ${JSON.stringify(document["kind"])}; expected ${KIND}`);
  const { metadata, spec } = document;
  const features = isObject(spec) ? spec["features"] : undefined;
  const planner = isObject(features) ? features["planner"] : undefined;
  if (!isObject(planner)) return refuse("spec.features.planner", "is missing: the request has no planner");
  const name = isObject(metadata) ? String(metadata["name"] ?? "") : "";
  const namespace = isObject(metadata) ? String(metadata["namespace"] ?? "default") : "default";
  return config(planner, "spec.features.planner", name, namespace);
}

/** `--max-gpu-budget 8`, `--max-gpu-budget=8`, `--no-correction`, `--no-enable-throughput-scaling`. */
function flagsOf(args: readonly string[]): { readonly fields: Record<string, unknown> } | { readonly issues: ManifestIssue[] } {
  const fields: Record<string, unknown> = {};
  const words = args.flatMap((arg) =>
    arg.startsWith("--") && arg.includes("=") ? [arg.slice(0, arg.indexOf("=")), arg.slice(arg.indexOf("=") + 1)] : [arg],
  );
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (!word.startsWith("--")) continue;
    const key = word.slice(2).replaceAll("-", "_");
    const value = words[at + 1];
    const hasValue = value !== undefined && !value.startsWith("--");
    if (key.startsWith("no_enable_")) fields[key.slice(3)] = false;
    else if (!hasValue) fields[key] = true;
    else {
      at++;
      fields[key] = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value === "true" ? true : value === "false" ? false : value;
    }
  }
  if (typeof fields["config"] === "string")
    return { issues: [{ path: "args", message: `names a config file (${fields["config"]}): read that file instead` }] };
  return { fields };
}

function config(fields: Readonly<Record<string, unknown>>, root: string, name: string, namespace: string): ReadManifest {
  const is2025 = OF_2025.some((key) => Object.hasOwn(fields, key));
  const renamed: Record<string, unknown> = is2025 ? { version: "2025" } : {};
  for (const [key, value] of Object.entries(fields)) {
    const own = Object.hasOwn(ALIASES, key) ? (ALIASES[key] as string) : key;
    if (own !== key && Object.hasOwn(fields, own))
      return refuse(root === "" ? key : `${root}.${key}`, `is the same as ${own}, which is there too; keep one`);
    renamed[own] = value;
  }
  const parsed = schema.safeParse(renamed);
  if (!parsed.success) return { issues: manifestIssues(parsed.error, root) };
  // Undefined fields of optional keys do not survive JSON.
  const spec = { ...PLANNER_DEFAULTS, ...(JSON.parse(JSON.stringify(parsed.data)) as Partial<PlannerSpec>) };
  // Without latency targets the planner turns its loops as it likes.
  const loops =
    spec.version === "2026" && spec.optimization_target !== "sla" ? { enable_load_scaling: true, enable_throughput_scaling: false } : {};
  const full: PlannerSpec = { ...spec, ...loops };
  const issues = validate(full).map(({ path, message }) => ({ path: root === "" ? path : `${root}.${path}`, message }));
  return issues.length > 0 ? { issues } : { manifest: { name, namespace, spec: full as Manifest["spec"] }, target: null };
}

/** Rules across fields, as the planner checks them when it starts. */
function validate(spec: PlannerSpec): ManifestIssue[] {
  const issues: ManifestIssue[] = [];
  const say = (path: string, message: string) => void issues.push({ path, message });
  const { mode, min_gpu_budget: least, max_gpu_budget: most } = spec;
  if (spec.version === "2026" && spec.optimization_target === "load") {
    if (mode === "disagg" || mode === "prefill")
      band(
        "prefill_scale_up_queue_tokens",
        spec.prefill_scale_up_queue_tokens,
        "prefill_scale_down_queue_tokens",
        spec.prefill_scale_down_queue_tokens,
      );
    if (mode !== "prefill")
      band("decode_scale_up_kv_rate", spec.decode_scale_up_kv_rate, "decode_scale_down_kv_rate", spec.decode_scale_down_kv_rate);
  }
  function band(upName: string, up: number | null, downName: string, down: number | null): void {
    if (up === null || down === null)
      say(up === null ? upName : downName, `is missing: optimization_target load needs ${upName} and ${downName}`);
    else if (up <= down) say(upName, `(${up}) is not above ${downName} (${down})`);
  }
  if (!spec.enable_throughput_scaling && !spec.enable_load_scaling)
    say("enable_throughput_scaling", "and enable_load_scaling are both off: nothing would ever scale; turn one on");
  const [slow, fast] = [spec.throughput_adjustment_interval_seconds, spec.load_adjustment_interval_seconds];
  if (spec.enable_throughput_scaling && spec.enable_load_scaling && fast >= slow)
    say("load_adjustment_interval_seconds", `(${fast}) is not below throughput_adjustment_interval_seconds (${slow})`);
  if (least >= 0 && most >= 0 && least > most) say("min_gpu_budget", `(${least}) is above max_gpu_budget (${most})`);
  const prefill = (spec.prefill_min_endpoint ?? spec.min_endpoint) * (spec.prefill_engine_num_gpu ?? 1);
  const decode = (mode === "agg" ? spec.min_endpoint : (spec.decode_min_endpoint ?? spec.min_endpoint)) * (spec.decode_engine_num_gpu ?? 1);
  const needed = (mode === "disagg" || mode === "prefill" ? prefill : 0) + (mode === "prefill" ? 0 : decode);
  if (most >= 0 && needed > most)
    say("max_gpu_budget", `(${most}) is below the ${needed} GPUs that the least number of endpoints takes; raise it`);
  return issues;
}

function write({ name, namespace, spec }: Manifest): unknown {
  // An absent field is the planner's null; the newer planner has no corrections to switch off.
  const of2026 = spec["version"] === "2026" ? ["version", "no_correction"] : [];
  const planner = Object.fromEntries(Object.entries(spec).filter(([key, value]) => value !== null && !of2026.includes(key)));
  if (name === "") return planner;
  return { apiVersion: API_VERSION, kind: KIND, metadata: { name, namespace }, spec: { features: { planner } } };
}

function intent(manifest: Manifest): { readonly intent: Intent; readonly lost: readonly string[] } {
  const spec = plannerSpecOf(manifest);
  const lost: string[] = [];
  const gpus = spec.decode_engine_num_gpu ?? 1;
  const max = spec.max_gpu_budget < 0 ? 8 : Math.max(1, Math.floor(spec.max_gpu_budget / gpus));
  if (spec.max_gpu_budget < 0) lost.push("The planner has no GPU limit; 8 replicas stand for it.");
  if (spec.mode === "disagg") lost.push(`The ${spec.max_gpu_budget} GPUs are shared by prefill and decode; only decode is carried over.`);
  const bands: Readonly<Record<string, readonly [number, number]>> = { throughput: [1, 0.6], latency: [0.4, 0.1] };
  const band =
    spec.optimization_target === "load" && spec.decode_scale_up_kv_rate !== null && spec.decode_scale_down_kv_rate !== null
      ? ([spec.decode_scale_up_kv_rate / 100, spec.decode_scale_down_kv_rate / 100] as const)
      : bands[spec.optimization_target];
  let rules: IntentRule[] = [];
  if (spec.version === "2025" || band === undefined)
    lost.push(
      "Forecasts and latency targets, sized by what the engines are learned to do, have no level of a signal that stands for them.",
    );
  else {
    rules = [{ signal: "kv_used", level: Number(((band[0] + band[1]) / 2).toFixed(6)), of: "perReplica" }];
    lost.push(
      `The planner grows when any replica is above ${band[0]} of its KV cache and shrinks when all are under ${band[1]}, by one at a time; the middle stands for both.`,
    );
  }
  return {
    intent: {
      name: manifest.name,
      namespace: manifest.namespace,
      target: null,
      min: spec.min_endpoint,
      max,
      rules,
      tolerance: null,
      scaleUp: null,
      scaleDown: null,
      zeroAfterMs: null,
      intervalMs: 1000 * (spec.enable_load_scaling ? spec.load_adjustment_interval_seconds : spec.throughput_adjustment_interval_seconds),
    },
    lost,
  };
}

function fromIntent({ name, namespace, min, max, rules, tolerance, scaleUp, scaleDown, zeroAfterMs, intervalMs }: Intent): Written {
  const lost: string[] = [];
  const kv = rules.find(({ signal, of, level }) => signal === "kv_used" && of === "perReplica" && level > 0 && level <= 1);
  for (const { signal } of rules.filter((rule) => rule !== kv))
    lost.push(`${signal} is nothing that the planner looks at by a level of its own.`);
  if (tolerance !== null) lost.push("The planner has no tolerance; between its two thresholds nothing changes.");
  if (scaleUp !== null || scaleDown !== null) lost.push("The planner has no windows or rates: it changes a count by one at a time.");
  if (zeroAfterMs !== null || min === 0)
    lost.push("The planner does not go to zero when idle: without a worker nothing would tell it to come back.");
  const thresholds =
    kv === undefined
      ? { optimization_target: "throughput" }
      : {
          optimization_target: "load",
          decode_scale_up_kv_rate: Number((kv.level * 100).toFixed(6)),
          decode_scale_down_kv_rate: Number((kv.level * 60).toFixed(6)),
        };
  if (kv === undefined) lost.push("No level of the KV cache is given: the planner's own thresholds (100 and 60 %) hold.");
  const fields = {
    mode: "agg",
    ...thresholds,
    min_endpoint: Math.max(1, min),
    max_gpu_budget: Math.max(1, max),
    decode_engine_num_gpu: 1,
    ...(intervalMs === null ? {} : { load_adjustment_interval_seconds: Math.max(1, Math.round(intervalMs / 1000)) }),
  };
  lost.push("decode_engine_num_gpu is 1: say how many GPUs an engine has, and raise max_gpu_budget with it.");
  const parsed = config(fields, "", name, namespace);
  return { document: "manifest" in parsed ? write(parsed.manifest) : fields, lost };
}
