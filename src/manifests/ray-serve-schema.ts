import { z } from "zod";
import { ASYNC_INFERENCE_POLICY, AUTO_DEFAULTS, AUTOSCALING_DEFAULTS, QUEUE_LENGTH_POLICIES } from "../policy/dialects/ray-serve/index.ts";

/**
 * Ray Serve's config file as data, every documented field. Source: ray 2.58.0, python/ray/serve/schema.py and config.py.
 * A field that is null counts as absent; what users' own code reads (`user_config`, `args`) is left as it is.
 */
function fields<S extends z.core.$ZodLooseShape>(shape: S) {
  const nullish = Object.fromEntries(Object.entries(shape).map(([key, schema]) => [key, z.nullish(schema)]));
  return z
    .strictObject(nullish as { [K in keyof S]: z.ZodOptional<z.ZodNullable<S[K]>> })
    .transform(
      (value) => Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined)) as Stated<S>,
    );
}
type Stated<S extends z.core.$ZodLooseShape> = { [K in keyof S]?: z.infer<S[K]> };

const mapping = z.record(z.string(), z.json());
const count = z.int().min(0);
const some = z.int().min(1);
const positive = z.number().positive();
const seconds = z.number().min(0);

const policy = fields({ policy_function: z.string(), policy_kwargs: mapping }).superRefine(({ policy_function: named }, issues) => {
  if (named === undefined || named === ASYNC_INFERENCE_POLICY || QUEUE_LENGTH_POLICIES.includes(named)) return;
  issues.addIssue({
    code: "custom",
    path: ["policy_function"],
    message: `${named} is Python code, which Tidegate cannot run; remove it to follow Ray's default policy instead`,
  });
});

const autoscalingConfig = fields({
  min_replicas: count,
  initial_replicas: count,
  max_replicas: some,
  target_ongoing_requests: positive,
  metrics_interval_s: positive,
  look_back_period_s: positive,
  smoothing_factor: positive,
  upscale_smoothing_factor: positive,
  downscale_smoothing_factor: positive,
  upscaling_factor: positive,
  downscaling_factor: positive,
  upscale_delay_s: seconds,
  downscale_delay_s: seconds,
  downscale_to_zero_delay_s: seconds,
  aggregation_function: z.preprocess((name) => (typeof name === "string" ? name.toLowerCase() : name), z.enum(["mean", "max", "min"])),
  policy,
});

const gang = fields({ gang_size: some, gang_placement_strategy: z.string(), runtime_failure_policy: z.string() });

const deploymentShape = {
  num_replicas: z.union([count, z.literal("auto")], { error: 'must be a whole number of replicas, or "auto"' }),
  max_ongoing_requests: some,
  max_queued_requests: z.int().min(-1),
  user_config: z.json(),
  autoscaling_config: autoscalingConfig,
  graceful_shutdown_wait_loop_s: seconds,
  graceful_shutdown_timeout_s: seconds,
  health_check_period_s: positive,
  health_check_timeout_s: positive,
  ray_actor_options: mapping,
  placement_group_bundles: z.array(mapping),
  placement_group_strategy: z.string(),
  placement_group_bundle_label_selector: z.array(mapping),
  placement_group_fallback_strategy: z.array(mapping),
  max_replicas_per_node: some,
  logging_config: mapping,
  request_router_config: mapping,
  gang_scheduling_config: gang,
  rolling_update_percentage: z.number().positive().max(100),
  backpressure_config: fields({ status_code: z.literal([503, 429]), retry_after_s: seconds }),
  deployment_actors: z.array(mapping),
};
type DeploymentRules = {
  readonly num_replicas?: number | "auto";
  readonly autoscaling_config?: z.infer<typeof autoscalingConfig>;
  readonly gang_scheduling_config?: z.infer<typeof gang>;
};

function checkDeployment(deployment: DeploymentRules, issues: z.core.$RefinementCtx): void {
  const { num_replicas: fixed, autoscaling_config: stated, gang_scheduling_config: gangs } = deployment;
  const report = (path: readonly string[], message: string) => issues.addIssue({ code: "custom", path: [...path], message });
  const gangSize = gangs?.gang_size ?? 1;
  const whole = (path: readonly string[], replicas: number | null) => {
    if (replicas !== null && replicas % gangSize !== 0) report(path, `(${replicas}) is not a multiple of gang_size (${gangSize})`);
  };
  if (stated === undefined && fixed !== "auto") {
    if (fixed !== undefined) whole(["num_replicas"], fixed);
    return;
  }
  if (typeof fixed === "number") report(["num_replicas"], `is fixed (${fixed}) beside autoscaling_config; remove one of them`);
  const {
    min_replicas: min,
    max_replicas: max,
    initial_replicas: initial,
  } = {
    ...AUTOSCALING_DEFAULTS,
    ...(fixed === "auto" ? AUTO_DEFAULTS : {}),
    ...stated,
  };
  const at = (key: string) => ["autoscaling_config", key];
  if (max < min) report(at("max_replicas"), `(${max}) is below min_replicas (${min}); raise it or lower the minimum`);
  if (initial !== null && (initial < min || initial > max)) {
    report(at("initial_replicas"), `(${initial}) is outside min_replicas (${min}) to max_replicas (${max})`);
  }
  whole(at("min_replicas"), min);
  whole(at("max_replicas"), max);
  whole(at("initial_replicas"), initial);
}

const deployment = fields({ name: z.string().min(1), ...deploymentShape }).superRefine((value, issues) => {
  if (value.name === undefined)
    issues.addIssue({ code: "custom", path: ["name"], message: "is missing; a deployment is told by its name" });
  checkDeployment(value, issues);
});

/** Ray Serve LLM's LLMConfig. Source: ray 2.58.0, python/ray/llm/_internal/serve/core/configs/llm_config.py. */
export const llmConfig = fields({
  runtime_env: mapping,
  model_loading_config: fields({
    model_id: z.string().min(1),
    model_source: z.union([z.string(), mapping]),
    tokenizer_source: z.string(),
  }),
  llm_engine: z.string(),
  engine_kwargs: mapping,
  accelerator_type: z.string(),
  accelerator_config: mapping,
  placement_group_config: mapping,
  lora_config: mapping,
  deployment_config: fields({ ...deploymentShape, name: z.string() }).superRefine(checkDeployment),
  experimental_configs: mapping,
  log_engine_metrics: z.boolean(),
  callback_config: mapping,
  server_cls: z.string(),
}).superRefine(({ model_loading_config: loading }, issues) => {
  if (loading?.model_id === undefined) {
    issues.addIssue({ code: "custom", path: ["model_loading_config", "model_id"], message: "is missing; a model is told by its id" });
  }
});

/** An LLMConfig given as the path of a file cannot be looked into. */
const inlineLlm = z
  .unknown()
  .superRefine((value, issues) => {
    if (typeof value === "string") issues.addIssue(`is the path ${value}; put that file's content here`);
  })
  .pipe(llmConfig);

const application = fields({
  name: z.string().min(1),
  route_prefix: z.string().startsWith("/"),
  import_path: z.string().min(1),
  runtime_env: mapping,
  args: mapping,
  logging_config: mapping,
  external_scaler_enabled: z.boolean(),
  deployments: z.array(deployment),
  autoscaling_policy: z.json(),
}).superRefine((value, issues) => {
  const report = (path: readonly (string | number)[], message: string) => issues.addIssue({ code: "custom", path: [...path], message });
  if (value.import_path === undefined) report(["import_path"], "is missing; every application names the code that it runs");
  if (value.autoscaling_policy !== undefined) {
    report(
      ["autoscaling_policy"],
      "is Python code over several deployments, which Tidegate cannot run; remove it to follow their own configs",
    );
  }
  if (value.external_scaler_enabled === true) {
    for (const [at, { autoscaling_config: config, num_replicas: replicas }] of (value.deployments ?? []).entries()) {
      if (config === undefined && replicas !== "auto") continue;
      report(["deployments", at], "is autoscaled in an application with external_scaler_enabled; keep one of the two");
    }
  }
});

/** What `args` of an LLM application hold that counts here; other arguments pass by. */
export const llmArguments = z.looseObject({
  llm_configs: z.array(inlineLlm).optional(),
  prefill_config: inlineLlm.optional(),
  decode_config: inlineLlm.optional(),
});

export const serveConfig = fields({
  proxy_location: z.enum(["EveryNode", "HeadOnly", "Disabled"]),
  http_options: mapping,
  grpc_options: mapping,
  controller_options: mapping,
  logging_config: mapping,
  target_capacity: z.number().min(0).max(100),
  applications: z.array(application),
}).superRefine(({ applications }, issues) => {
  if (applications === undefined) {
    issues.addIssue({ code: "custom", path: ["applications"], message: "is missing; a Serve config lists its applications" });
  }
  const seen = new Set<string>();
  for (const [at, { name = "default" }] of (applications ?? []).entries()) {
    if (seen.has(name)) issues.addIssue({ code: "custom", path: ["applications", at, "name"], message: `${name} is there twice` });
    seen.add(name);
  }
});

/** KubeRay's RayService; of the cluster only what decides is looked at. */
export const rayService = z.strictObject({
  apiVersion: z.enum(["ray.io/v1", "ray.io/v1alpha1"]),
  kind: z.literal("RayService"),
  metadata: z.looseObject({
    name: z.string().default(""),
    namespace: z.string().default("default"),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.strictObject({
    serveConfigV2: z.string(),
    rayClusterConfig: z
      .looseObject({
        rayVersion: z.string().optional(),
        headGroupSpec: z
          .looseObject({
            template: z
              .looseObject({
                spec: z
                  .looseObject({
                    containers: z
                      .array(z.looseObject({ env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).optional() }))
                      .optional(),
                  })
                  .optional(),
              })
              .optional(),
          })
          .optional(),
      })
      .optional(),
    serviceUnhealthySecondThreshold: z.number().optional(),
    deploymentUnhealthySecondThreshold: z.number().optional(),
    serveService: z.unknown().optional(),
    upgradeStrategy: z.unknown().optional(),
    excludeHeadPodFromServeSvc: z.boolean().optional(),
    rayClusterDeletionDelaySeconds: z.number().optional(),
    managedBy: z.string().optional(),
    suspend: z.boolean().optional(),
  }),
  status: z.unknown().optional(),
});
