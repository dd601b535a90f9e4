import type { Decision, Endpoint, Json, Manifest, Ms, Need, Observation, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { readerOf } from "../../reading.ts";
import { type AutoscalingConfig, recordIntervalS } from "./autoscaling-config.ts";
import { applyBounds, boundsOf, type CapacityDirection, capacityAdjusted, capacityDirection } from "./bounds.ts";
import {
  asyncInferencePolicy,
  NO_POLICY_STATE,
  type PolicyState,
  queueLengthPolicy,
  type ScalingContext,
  type Verdict,
} from "./decision.ts";
import { applicationsOf, assignDeployments, type Deployment, deploymentsOf, type ReplicaPlan, targetCapacityOf } from "./deployments.ts";
import { explainBlind, explainDecision } from "./explain.ts";
import { decideGangReplicas } from "./gang.ts";
import { aggregatedTotal, averagedTotal, newGauge, type RequestGauge, readRequests, reportOf, signalsOf, tend } from "./requests.ts";
import { RAY_SERVE_VERSIONS, versionFor } from "./version.ts";

/** The control loop's period. Source: RAY_SERVE_CONTROL_LOOP_INTERVAL_S, 0.1. */
export const TICK_MS = 100;
/** How often a count that nothing can change is looked at. */
const IDLE_MS = 10_000;

/** Annotations of a manifest that say what Ray's environment says: the cluster's version, and where requests are totalled ("1": at the controller). */
export const RAY_VERSION_ANNOTATION = "tidegate.dev/ray-version";
export const AGGREGATE_ANNOTATION = "tidegate.dev/ray-aggregate-metrics-at-controller";

/** What is known of one deployment. `registered`: the config that `target` started from, as text. */
interface DeploymentState {
  readonly registered: string;
  readonly target: number;
  readonly policy: PolicyState;
  readonly requests: RequestGauge;
}

interface State {
  readonly applications: readonly string[];
  readonly targetCapacity: number | null;
  readonly direction: CapacityDirection;
  readonly deployments: Readonly<Record<string, DeploymentState>>;
}

type AutoscaledPlan = Extract<ReplicaPlan, { kind: "autoscaled" }>;

interface Settled {
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

  /** Ray's register: a new config starts at `initial_replicas`, or stays where it is; either way inside its bounds. */
  function register(config: AutoscalingConfig, text: string, current: number, direction: CapacityDirection, nowMs: Ms): DeploymentState {
    const target = applyBounds(config.initial_replicas ?? current, boundsOf(config, capacity.targetCapacity, direction));
    return { registered: text, target, policy: NO_POLICY_STATE, requests: newGauge(nowMs) };
  }

  function decideAutoscaled(pool: Pool, deployment: Deployment, plan: AutoscaledPlan, known: State, observation: Observation): Settled {
    const { config, brokerQueue } = plan;
    const { direction } = known;
    const before = known.deployments[pool.name];
    const { nowMs } = observation;
    const nowS = nowMs / 1000;
    const text = JSON.stringify(config);
    const current = before?.target ?? observation.pools[pool.name]?.wanted ?? 0;
    const state = before?.registered === text ? before : register(config, text, current, direction, nowMs);
    const bounds = boundsOf(config, capacity.targetCapacity, direction);
    const reader = readerOf(observation, endpoint.staleAfterMs);
    const readyIds = observation.replicas.filter((replica) => replica.pool === pool.name && replica.state === "ready").map(({ id }) => id);
    const reading = readRequests(endpoint, pool, observation, reader, readyIds);
    const requests = tend(state.requests, config, nowMs, reading, readyIds.length === 0 && (reading?.queued ?? 0) > 0);
    const duesMs = [requests.nextSampleMs, requests.nextReportMs];
    const scaleTo = (target: number): Want => ({ kind: "scale", replicas: target, drain: [] });

    const report = reportOf(requests, config, nowMs);
    const queue = brokerQueue === null ? 0 : reader.endpoint(endpoint.metrics[brokerQueue] ?? brokerQueue);
    if (report === null || typeof queue !== "number") {
      // A wish that nobody can confirm does not grow old.
      const target = applyBounds(state.target, bounds);
      const steps = explainBlind(pool.name, deployment, target, report === null ? null : (brokerQueue as string));
      return {
        state: { ...state, target, policy: NO_POLICY_STATE, requests },
        want: scaleTo(target),
        steps,
        nextAtMs: Math.min(...duesMs),
      };
    }

    const partial = report.some((sample) => sample.partial);
    const totalAtMs = (atMs: Ms) => (aggregates ? aggregatedTotal(report, readyIds, config, atMs) : averagedTotal(report, readyIds));
    const desired = brokerQueue === null ? queueLengthPolicy : asyncInferencePolicy(queue);
    const verdictAt = (atMs: Ms): { readonly context: ScalingContext; readonly verdict: Verdict } => {
      const context = { config, currentNumReplicas: readyIds.length, targetNumReplicas: state.target, totalNumRequests: totalAtMs(atMs) };
      return { context, verdict: decideGangReplicas(desired, context, deployment.gangSize, state.policy, atMs / 1000, features) };
    };
    const { context, verdict } = verdictAt(nowMs);
    const bounded = applyBounds(verdict.decision, bounds);
    const unsure = partial && bounded < state.target && state.target <= bounds.upper;
    const target = unsure ? state.target : bounded;
    const policy = partial && verdict.waiting?.direction === "down" ? NO_POLICY_STATE : verdict.state;

    if (target !== state.target) duesMs.push(nowMs + TICK_MS);
    const { waiting } = verdict;
    if (waiting !== null && policy === verdict.state) duesMs.push(fireTimeMs(waiting.sinceS, waiting.delayS));
    const untilMs = Math.min(...duesMs);
    if (aggregates && config.aggregation_function === "mean" && verdict.scaled !== null) {
      const scaled = verdict.scaled;
      const side = Math.sign(scaled - state.target);
      const delayS = side > 0 ? config.upscale_delay_s : config.downscale_delay_s;
      // The mean drifts towards its last value, and what is wanted with it, in one direction.
      const drifted = (atMs: Ms) => {
        const later = verdictAt(atMs).verdict.scaled ?? scaled;
        return delayS === 0 ? later !== scaled : Math.sign(later - state.target) !== side;
      };
      duesMs.push(firstTick(nowMs, untilMs, drifted));
    }
    const steps = explainDecision({ pool: pool.name, deployment, config, context, verdict, bounds, target, unsure, nowS });
    return { state: { ...state, target, policy, requests }, want: scaleTo(target), steps, nextAtMs: Math.min(...duesMs) };
  }

  function decidePool(pool: Pool, state: State, observation: Observation): Settled {
    const deployment = assigned.get(pool.name);
    const hold = (code: string, text: string): Settled => ({
      state: null,
      want: { kind: "hold" },
      steps: [{ code, pool: pool.name, text, numbers: {} }],
      nextAtMs: observation.nowMs + IDLE_MS,
    });
    if (deployment === undefined) return hold("no-deployment", `No deployment of the Serve config is pool ${pool.name}: its count stays.`);
    const { plan, name } = deployment;
    if (plan.kind === "external") return hold("external-scaler", `Deployment ${name} is scaled from outside Ray Serve: its count stays.`);
    if (plan.kind === "autoscaled") return decideAutoscaled(pool, deployment, plan, state, observation);
    const replicas = capacityAdjusted(plan.replicas, capacity.targetCapacity);
    const of = capacity.targetCapacity === null ? "" : ` at ${capacity.targetCapacity} % of capacity`;
    return {
      ...hold("fixed", `Deployment ${name} has a fixed number of replicas: ${replicas}${of}.`),
      want: { kind: "scale", replicas, drain: [] },
    };
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
      const direction = capacityDirection(isFirst ? null : state, capacity);
      const next = { ...capacity, direction };
      const settled = endpoint.pools.map(
        (pool) => [pool.name, decidePool(pool, { ...next, deployments: state.deployments }, observation)] as const,
      );
      const deployments = Object.fromEntries(settled.flatMap(([pool, { state: of }]) => (of === null ? [] : [[pool, of]])));
      const decision: Decision = {
        seq: observation.seq,
        wants: Object.fromEntries(settled.map(([pool, { want }]) => [pool, want])),
        steps: settled.flatMap(([, { steps }]) => steps),
        conditions: [],
        nextAtMs: Math.min(...settled.map(([, { nextAtMs }]) => nextAtMs)),
      };
      return { state: write({ ...next, deployments }), decision };
    },

    // Ray writes its target and lets the replicas follow: there is nothing to take back.
    settle: (state) => ({ state, conditions: [] }),
  };
}

/** The first tick of the loop, counted from the wish, at which the delay has passed. */
const fireTimeMs = (sinceS: number, delayS: number): Ms =>
  Math.round(sinceS * 1000) + Math.ceil((delayS * 1000) / TICK_MS - 1e-6) * TICK_MS;

/** The first tick after `nowMs` and before `untilMs` at which `holds`, which once true stays so; else `untilMs`. */
function firstTick(nowMs: Ms, untilMs: Ms, holds: (atMs: Ms) => boolean): Ms {
  const last = Math.floor((untilMs - nowMs) / TICK_MS);
  if (last < 1 || !holds(nowMs + last * TICK_MS)) return untilMs;
  let [below, above] = [0, last];
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (holds(nowMs + middle * TICK_MS)) above = middle;
    else below = middle;
  }
  return nowMs + above * TICK_MS;
}

function needsOf(endpoint: Endpoint, deployments: readonly Deployment[]): readonly Need[] {
  const intervalsMs = deployments.flatMap(({ plan }) => (plan.kind === "autoscaled" ? [recordIntervalS(plan.config) * 1000] : []));
  if (intervalsMs.length === 0) return [];
  const sampleEveryMs = Math.min(...intervalsMs);
  const names = signalsOf(endpoint);
  const queues = deployments.flatMap(({ plan }) => (plan.kind === "autoscaled" && plan.brokerQueue !== null ? [plan.brokerQueue] : []));
  return [
    { name: names.ongoing, per: "endpoint", sampleEveryMs },
    { name: names.queued, per: "endpoint", sampleEveryMs },
    { name: names.ongoing, per: "replica", sampleEveryMs },
    ...(names.ongoing === "in_flight" ? ["running", "waiting"] : []).map((name) => ({ name, per: "replica" as const, sampleEveryMs })),
    ...queues.map((queue) => ({ name: endpoint.metrics[queue] ?? queue, per: "endpoint" as const, sampleEveryMs })),
  ];
}

const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
