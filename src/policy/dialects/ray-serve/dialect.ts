import type { Json, Manifest } from "../../../model/index.ts";
import type { Bounds, Dialect } from "../dialect.ts";
import { boundsOf, capacityAdjusted } from "./bounds.ts";
import { type Deployment, dataParallelSize, deploymentsOf, targetCapacityOf } from "./deployments.ts";
import { type Fields, fieldsOf, listOf } from "./fields.ts";
import { rayServePolicy } from "./policy.ts";
import { RAY_SERVE_NEWEST } from "./version.ts";

export const rayServeDialect: Dialect = {
  kind: "ray-serve",
  follows: `Ray Serve ${RAY_SERVE_NEWEST}`,
  policy: rayServePolicy,
  bounds: boundsOfManifest,
  withBounds(manifest, bounds) {
    const own = boundsOfManifest(manifest);
    // A target capacity goes on being one while it agrees.
    if (own !== null && own.min === bounds.min && own.max === bounds.max) return manifest;
    const { target_capacity: _, ...spec } = manifest.spec;
    return { ...manifest, spec: { ...spec, applications: listOf(spec["applications"]).map((one) => boundApplication(one, bounds)) } };
  },
};

function boundsOfManifest(manifest: Manifest): Bounds | null {
  const all = deploymentsOf(manifest);
  const scaled = all.filter(({ plan }) => plan.kind === "autoscaled");
  const [only, ...others] = scaled.length > 0 ? scaled : all;
  // Several deployments with bounds of their own have none in common.
  return only === undefined || others.length > 0 ? null : boundsOfPlan(only, targetCapacityOf(manifest));
}

function boundsOfPlan({ plan }: Deployment, targetCapacity: number | null): Bounds | null {
  if (plan.kind === "external") return null;
  if (plan.kind === "fixed") {
    const replicas = capacityAdjusted(plan.replicas, targetCapacity);
    return { min: replicas, max: replicas };
  }
  const { lower, upper } = boundsOf(plan.config, targetCapacity, null);
  return { min: lower, max: upper };
}

/** Each autoscaled deployment of the application within the bounds; a fixed count moves into them. */
function boundApplication(application: Fields, bounds: Bounds): Fields {
  const bound = (llm: Json): Json => {
    const fields = fieldsOf(llm);
    return fields === null ? llm : boundLlm(fields, bounds);
  };
  const { deployments } = application;
  const args = fieldsOf(application["args"]);
  const llms = args?.["llm_configs"];
  const roles = ["prefill_config", "decode_config"].flatMap((key) => {
    const llm = args?.[key];
    return llm === undefined ? [] : [[key, bound(llm)] as const];
  });
  return {
    ...application,
    ...(deployments === undefined ? {} : { deployments: listOf(deployments).map((one) => boundDeployment(one, bounds)) }),
    ...(args === null
      ? {}
      : { args: { ...args, ...(Array.isArray(llms) ? { llm_configs: llms.map(bound) } : {}), ...Object.fromEntries(roles) } }),
  };
}

/** Bounds count replicas; an LLMConfig with data parallelism counts gangs of them. Without a count it has one. */
function boundLlm(llm: Fields, { min, max }: Bounds): Fields {
  const size = dataParallelSize(llm);
  const least = Math.ceil(min / size);
  const inGangs = { min: least, max: Math.max(least, Math.floor(max / size)) };
  const stated = fieldsOf(llm["deployment_config"]) ?? {};
  const counted = stated["autoscaling_config"] === undefined ? { num_replicas: 1, ...stated } : stated;
  return { ...llm, deployment_config: boundDeployment(counted, inGangs) };
}

function boundDeployment(deployment: Fields, { min, max }: Bounds): Fields {
  const within = (count: number) => Math.min(max, Math.max(min, count));
  const config = fieldsOf(deployment["autoscaling_config"]);
  if (config !== null || deployment["num_replicas"] === "auto") {
    const initial = config?.["initial_replicas"];
    const started = typeof initial === "number" ? { initial_replicas: within(initial) } : {};
    return { ...deployment, autoscaling_config: { ...config, min_replicas: min, max_replicas: max, ...started } };
  }
  const fixed = deployment["num_replicas"];
  return typeof fixed === "number" ? { ...deployment, num_replicas: within(fixed) } : deployment;
}
