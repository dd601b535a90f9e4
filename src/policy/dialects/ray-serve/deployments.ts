import type { Endpoint, Manifest, Pool } from "../../../model/index.ts";
import { ASYNC_INFERENCE_POLICY, AUTO_DEFAULTS, AUTOSCALING_DEFAULTS, type AutoscalingConfig } from "./autoscaling-config.ts";
import { type Fields, fieldsOf, listOf, numberOf, textOf } from "./fields.ts";

/** How many replicas a deployment has: decided, fixed, or set by somebody through the scale API. */
type ReplicaPlan =
  | { readonly kind: "autoscaled"; readonly config: AutoscalingConfig; readonly brokerQueue: string | null }
  | { readonly kind: "fixed"; readonly replicas: number }
  | { readonly kind: "external" };

/** A deployment of a Serve config, as far as its number of replicas goes. */
export interface Deployment {
  readonly application: string;
  readonly name: string;
  /** Of an LLM application that keeps prefill and decode apart. */
  readonly role: "prefill" | "decode" | null;
  /** Replicas that come and go together; 1: alone. */
  readonly gangSize: number;
  readonly plan: ReplicaPlan;
}

/** A deployment's `autoscaling_config` with its defaults, those of `beneath` included; null: it has none. */
export function autoscalingConfigOf(deployment: Fields, beneath: Partial<AutoscalingConfig> = {}): AutoscalingConfig | null {
  const stated = fieldsOf(deployment["autoscaling_config"]);
  const auto = deployment["num_replicas"] === "auto";
  if (stated === null && !auto) return null;
  return { ...AUTOSCALING_DEFAULTS, ...(auto ? AUTO_DEFAULTS : {}), ...beneath, ...(stated as Partial<AutoscalingConfig> | null) };
}

function planOf(deployment: Fields, external: boolean, beneath: Partial<AutoscalingConfig> = {}): ReplicaPlan | null {
  const config = autoscalingConfigOf(deployment, beneath);
  if (config !== null) {
    const { policy_function, policy_kwargs } = config.policy;
    const brokerQueue = policy_function === ASYNC_INFERENCE_POLICY ? textOf(policy_kwargs["queue_name"], "") : null;
    return { kind: "autoscaled", config, brokerQueue };
  }
  if (external) return { kind: "external" };
  const replicas = numberOf(deployment["num_replicas"]);
  return replicas === null ? null : { kind: "fixed", replicas };
}

const gangSizeOf = (deployment: Fields): number => numberOf(fieldsOf(deployment["gang_scheduling_config"])?.["gang_size"]) ?? 1;

/**
 * What Ray Serve LLM puts beneath an LLMConfig's `autoscaling_config`: a target that is never reached.
 * Source: ray 2.58.0, RAY_SERVE_LLM_DEFAULT_MAX_TARGET_ONGOING_REQUESTS.
 */
export const LLM_DEFAULTS: Partial<AutoscalingConfig> = { target_ongoing_requests: 1_000_000_000 };

/** The deployment's name for a model: `/` and `.` are not allowed in one. */
const llmDeploymentName = (modelId: string): string => modelId.replaceAll("/", "--").replaceAll(".", "_");

function times(plan: ReplicaPlan, size: number): ReplicaPlan {
  if (plan.kind === "external" || size === 1) return plan;
  if (plan.kind === "fixed") return { kind: "fixed", replicas: plan.replicas * size };
  const { min_replicas, max_replicas, initial_replicas } = plan.config;
  const initial = initial_replicas === null ? null : initial_replicas * size;
  const config = { ...plan.config, min_replicas: min_replicas * size, max_replicas: max_replicas * size, initial_replicas: initial };
  return { ...plan, config };
}

/** How many ranks of data parallelism make one gang of an LLMConfig: each replica of the config stands for that many. */
export const dataParallelSize = (llm: Fields): number => numberOf(fieldsOf(llm["engine_kwargs"])?.["data_parallel_size"]) ?? 1;

function llmDeployment(application: string, llm: Fields, role: Deployment["role"], external: boolean): Deployment {
  const loading = fieldsOf(llm["model_loading_config"]);
  const stated = fieldsOf(llm["deployment_config"]) ?? {};
  const size = dataParallelSize(llm);
  const plan = planOf(stated, external, LLM_DEFAULTS) ?? { kind: "fixed" as const, replicas: 1 };
  return {
    application,
    name: llmDeploymentName(textOf(loading?.["model_id"], "")),
    role,
    gangSize: size > 1 ? size : gangSizeOf(stated),
    plan: times(plan, size),
  };
}

/** Deployments of one application: those of its LLM arguments, then those that it lists; what a list says of the same one wins. */
function deploymentsOfApplication(application: Fields): readonly Deployment[] {
  const name = textOf(application["name"], "default");
  const external = application["external_scaler_enabled"] === true;
  const args = fieldsOf(application["args"]);
  const llms = [
    ...listOf(args?.["llm_configs"]).map((llm) => llmDeployment(name, llm, null, external)),
    ...(["prefill", "decode"] as const).flatMap((role) => {
      const llm = fieldsOf(args?.[`${role}_config`]);
      return llm === null ? [] : [llmDeployment(name, llm, role, external)];
    }),
  ];
  const listed = listOf(application["deployments"]).flatMap((deployment): readonly Deployment[] => {
    const plan = planOf(deployment, external);
    if (plan === null) return [];
    return [{ application: name, name: textOf(deployment["name"], ""), role: null, gangSize: gangSizeOf(deployment), plan }];
  });
  const isListed = (llm: Deployment) => listed.some((one) => one.name === llm.name || one.name.endsWith(`:${llm.name}`));
  return [...llms.filter((llm) => !isListed(llm)), ...listed];
}

/** Every deployment whose count the config states; one that leaves it to the Python code is not among them. */
export const deploymentsOf = ({ spec }: Manifest): readonly Deployment[] => listOf(spec["applications"]).flatMap(deploymentsOfApplication);

export const applicationsOf = ({ spec }: Manifest): readonly string[] =>
  listOf(spec["applications"]).map((application) => textOf(application["name"], "default"));

export const targetCapacityOf = ({ spec }: Manifest): number | null => numberOf(spec["target_capacity"]);

/**
 * Which deployment each pool is: by name ("deployment" or "application/deployment"), by role, and for one pool that is left the
 * deployment of the endpoint's model, else the first that is autoscaled, else the first. A pool may be none.
 */
export function assignDeployments(endpoint: Endpoint, deployments: readonly Deployment[]): ReadonlyMap<string, Deployment> {
  const assigned = new Map<string, Deployment>();
  const left = () => deployments.filter((deployment) => ![...assigned.values()].includes(deployment));
  const assign = (pool: Pool, found: Deployment | undefined) => {
    if (found !== undefined && !assigned.has(pool.name)) assigned.set(pool.name, found);
  };
  for (const pool of endpoint.pools) {
    assign(
      pool,
      left().find(({ application, name }) => pool.name === name || pool.name === `${application}/${name}`),
    );
  }
  for (const pool of endpoint.pools) {
    assign(
      pool,
      left().find(({ role }) => role === pool.role),
    );
  }
  const rest = endpoint.pools.find((pool) => !assigned.has(pool.name));
  if (rest !== undefined) {
    const names = [llmDeploymentName(endpoint.model), endpoint.name];
    const open = left().filter(({ role }) => role === null || role === rest.role || endpoint.pools.length === 1);
    assign(rest, open.find(({ name }) => names.includes(name)) ?? open.find(({ plan }) => plan.kind === "autoscaled") ?? open[0]);
  }
  return assigned;
}
