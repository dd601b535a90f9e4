import type { Decision, Endpoint, Json, Manifest, Ms, Need, Observation, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { type DeploymentState, decideAutoscaled } from "./autoscaled.ts";
import { recordIntervalS } from "./autoscaling-config.ts";
import { type CapacityDirection, capacityAdjusted, capacityDirection } from "./bounds.ts";
import { applicationsOf, assignDeployments, type Deployment, deploymentsOf, targetCapacityOf } from "./deployments.ts";
import { signalsOf } from "./requests.ts";
import { RAY_SERVE_VERSIONS, versionFor } from "./version.ts";

/** How often a count that nothing can change is looked at. */
const IDLE_MS = 10_000;

/** Annotations that say what a Serve config cannot: the cluster's version, and "1" where requests are totalled at the controller. */
export const RAY_VERSION_ANNOTATION = "tidegate.dev/ray-version";
export const AGGREGATE_ANNOTATION = "tidegate.dev/ray-aggregate-metrics-at-controller";

interface State {
  readonly applications: readonly string[];
  readonly targetCapacity: number | null;
  readonly direction: CapacityDirection;
  /** By pool. */
  readonly deployments: Readonly<Record<string, DeploymentState>>;
}

/** `state`: null where the count is not decided but stated. */
interface Looked {
  readonly state: DeploymentState | null;
  readonly want: Want;
  readonly steps: readonly Step[];
  readonly nextAtMs: Ms;
}

/**
 * The deployments of a Serve config over the endpoint's pools (`assignDeployments`). As in Ray the target is the policy's own memory:
 * it is asked for again until it is so, whoever else writes, and what becomes of it changes nothing.
 *
 * Ray decides every 0.1 s. Between two reports of its handles only a delay that ends, or a replica that comes or goes, can change
 * what it decides, so the next decision is asked for at the first tick at which one of these can be.
 *
 * Different from Ray in one place: a handle that no longer reports counts as no requests there; here the target stays.
 */
export function rayServePolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const features = RAY_SERVE_VERSIONS[versionFor(manifest.annotations?.[RAY_VERSION_ANNOTATION])];
  const aggregates = features.alwaysAggregates || manifest.annotations?.[AGGREGATE_ANNOTATION] === "1";
  const assigned = assignDeployments(endpoint, deploymentsOf(manifest));
  const capacity = { applications: applicationsOf(manifest), targetCapacity: targetCapacityOf(manifest) };

  function look(pool: Pool, { direction, deployments }: State, observation: Observation): Looked {
    const deployment = assigned.get(pool.name);
    const stated = (want: Want, code: string, text: string): Looked => ({
      state: null,
      want,
      steps: [{ code, pool: pool.name, text, numbers: {} }],
      nextAtMs: observation.nowMs + IDLE_MS,
    });
    const hold: Want = { kind: "hold" };
    if (deployment === undefined)
      return stated(hold, "no-deployment", `No deployment of the Serve config is pool ${pool.name}: its count stays.`);
    const { plan, name } = deployment;
    const { targetCapacity } = capacity;
    switch (plan.kind) {
      case "external":
        return stated(hold, "external-scaler", `Deployment ${name} is scaled from outside Ray Serve: its count stays.`);
      case "fixed": {
        const replicas = capacityAdjusted(plan.replicas, targetCapacity);
        const of = targetCapacity === null ? "" : ` at ${targetCapacity} % of capacity`;
        const text = `Deployment ${name} has a fixed number of replicas: ${replicas}${of}.`;
        return stated({ kind: "scale", replicas, drain: [] }, "fixed", text);
      }
      case "autoscaled": {
        const { config, brokerQueue } = plan;
        const seat = { endpoint, pool, deployment, config, brokerQueue, targetCapacity, direction, aggregates, features };
        const { state, steps, nextAtMs } = decideAutoscaled(seat, deployments[pool.name], observation);
        return { state, want: { kind: "scale", replicas: state.target, drain: [] }, steps, nextAtMs };
      }
    }
  }

  return {
    kind: "ray-serve",
    needs: needsOf(endpoint, [...assigned.values()]),
    // A replica that starts to run changes Ray's decision at its next tick.
    wakesOn: ["held", "replica", "config"],

    start: () => write({ applications: [], targetCapacity: null, direction: null, deployments: {} }),

    decide(before, observation) {
      const state = read(before);
      const isFirst = state.applications.length === 0;
      const now = { ...capacity, direction: capacityDirection(isFirst ? null : state, capacity), deployments: state.deployments };
      const looks = endpoint.pools.map((pool) => [pool.name, look(pool, now, observation)] as const);
      const deployments = Object.fromEntries(looks.flatMap(([pool, { state: of }]) => (of === null ? [] : [[pool, of]])));
      const decision: Decision = {
        seq: observation.seq,
        wants: Object.fromEntries(looks.map(([pool, { want }]) => [pool, want])),
        steps: looks.flatMap(([, { steps }]) => steps),
        conditions: [],
        nextAtMs: Math.min(...looks.map(([, { nextAtMs }]) => nextAtMs)),
      };
      return { state: write({ ...now, deployments }), decision };
    },

    // Ray writes its target and lets the replicas follow: there is nothing to take back.
    settle: (state) => ({ state, conditions: [] }),
  };
}

function needsOf(endpoint: Endpoint, deployments: readonly Deployment[]): readonly Need[] {
  const plans = deployments.flatMap(({ plan }) => (plan.kind === "autoscaled" ? [plan] : []));
  if (plans.length === 0) return [];
  const sampleEveryMs = Math.min(...plans.map(({ config }) => recordIntervalS(config) * 1000));
  const need = (name: string, per: Need["per"]): Need => ({ name, per, sampleEveryMs });
  const { ongoing, queued } = signalsOf(endpoint);
  const inEngine = ongoing === "in_flight" ? ["running", "waiting"] : [];
  const queues = new Set(plans.flatMap(({ brokerQueue }) => (brokerQueue === null ? [] : [endpoint.metrics[brokerQueue] ?? brokerQueue])));
  return [
    need(ongoing, "endpoint"),
    need(queued, "endpoint"),
    ...[ongoing, ...inEngine].map((name) => need(name, "replica")),
    ...[...queues].map((name) => need(name, "endpoint")),
  ];
}

const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
