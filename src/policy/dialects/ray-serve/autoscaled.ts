import type { Endpoint, Ms, Observation, Pool, Step } from "../../../model/index.ts";
import { readerOf } from "../../reading.ts";
import type { AutoscalingConfig } from "./autoscaling-config.ts";
import { applyBounds, boundsOf, type CapacityDirection } from "./bounds.ts";
import { asyncInferencePolicy, NO_POLICY_STATE, type PolicyState, queueLengthPolicy, type Verdict } from "./decision.ts";
import type { Deployment } from "./deployments.ts";
import { fireTimeMs, firstTick, TICK_MS } from "./due.ts";
import { explainBlind, explainDecision } from "./explain.ts";
import { decideGangReplicas } from "./gang.ts";
import { aggregatedTotal, averagedTotal, newGauge, type RequestGauge, readRequests, reportOf, tend } from "./requests.ts";
import type { RayServeFeatures } from "./version.ts";

/** What is known of one deployment. `registered`: the config that `target` started from, as text. */
export interface DeploymentState {
  readonly registered: string;
  readonly target: number;
  readonly policy: PolicyState;
  readonly requests: RequestGauge;
}

/** A pool that is an autoscaled deployment, and the cluster that it is in. */
export interface Seat {
  readonly endpoint: Endpoint;
  readonly pool: Pool;
  readonly deployment: Deployment;
  readonly config: AutoscalingConfig;
  /** The broker's queue that counts like requests. */
  readonly brokerQueue: string | null;
  readonly targetCapacity: number | null;
  readonly direction: CapacityDirection;
  /** Requests are totalled at the controller. */
  readonly aggregates: boolean;
  readonly features: RayServeFeatures;
}

export interface Decided {
  readonly state: DeploymentState;
  readonly steps: readonly Step[];
  readonly nextAtMs: Ms;
}

/** One look at a deployment: samples and reports that are due, the decision, and when another one can be. */
export function decideAutoscaled(seat: Seat, before: DeploymentState | undefined, observation: Observation): Decided {
  const { endpoint, pool, deployment, config, brokerQueue } = seat;
  const { nowMs } = observation;
  const bounds = boundsOf(config, seat.targetCapacity, seat.direction);
  const state = register(seat, before, observation);
  const reader = readerOf(observation, endpoint.staleAfterMs);
  const readyIds = observation.replicas.filter((replica) => replica.pool === pool.name && replica.state === "ready").map(({ id }) => id);
  const reading = readRequests(endpoint, pool, observation, reader, readyIds);
  const requests = tend(state.requests, config, nowMs, reading, readyIds.length === 0 && (reading?.queued ?? 0) > 0);
  const reportsMs = Math.min(requests.nextSampleMs, requests.nextReportMs);

  const report = reportOf(requests, config, nowMs);
  const queue = brokerQueue === null ? 0 : reader.endpoint(endpoint.metrics[brokerQueue] ?? brokerQueue);
  if (report === null || typeof queue !== "number") {
    // A wish that nobody can confirm does not grow old.
    const target = applyBounds(state.target, bounds);
    const steps = explainBlind(pool.name, deployment, target, report === null ? null : brokerQueue);
    return { state: { ...state, target, policy: NO_POLICY_STATE, requests }, steps, nextAtMs: reportsMs };
  }

  const desired = brokerQueue === null ? queueLengthPolicy : asyncInferencePolicy(queue);
  const contextAt = (atMs: Ms) => ({
    config,
    currentNumReplicas: readyIds.length,
    targetNumReplicas: state.target,
    totalNumRequests: seat.aggregates ? aggregatedTotal(report, readyIds, config, atMs) : averagedTotal(report, readyIds),
  });
  const verdictAt = (atMs: Ms): Verdict =>
    decideGangReplicas(desired, contextAt(atMs), deployment.gangSize, state.policy, atMs / 1000, seat.features);
  const verdict = verdictAt(nowMs);
  const bounded = applyBounds(verdict.decision, bounds);
  // What only some replicas say is a floor: nothing falls by it, and no delay runs.
  const isFloor = report.partial;
  const unsure = isFloor && bounded < state.target && state.target <= bounds.upper;
  const target = unsure ? state.target : bounded;
  const waiting = isFloor && verdict.waiting?.direction === "down" ? null : verdict.waiting;
  const policy = waiting === verdict.waiting ? verdict.state : NO_POLICY_STATE;

  const duesMs = [
    reportsMs,
    ...(target === state.target ? [] : [nowMs + TICK_MS]),
    ...(waiting === null ? [] : [fireTimeMs(waiting.sinceS, waiting.delayS)]),
  ];
  const untilMs = Math.min(...duesMs);
  const drifts = seat.aggregates && config.aggregation_function === "mean" && verdict.scaled !== null;
  return {
    state: { ...state, target, policy, requests },
    steps: explainDecision({
      pool: pool.name,
      deployment,
      config,
      context: contextAt(nowMs),
      verdict,
      bounds,
      target,
      unsure,
      nowS: nowMs / 1000,
    }),
    nextAtMs: drifts
      ? firstTick(
          nowMs,
          untilMs,
          driftedFrom(verdict.scaled, state.target, config, (atMs) => verdictAt(atMs).scaled),
        )
      : untilMs,
  };
}

/** Ray's register: a new config starts at `initial_replicas`, or stays where it is; either way inside its bounds. */
function register(
  { config, pool, targetCapacity, direction }: Seat,
  before: DeploymentState | undefined,
  observation: Observation,
): DeploymentState {
  const registered = JSON.stringify(config);
  if (before?.registered === registered) return before;
  const current = before?.target ?? observation.pools[pool.name]?.wanted ?? 0;
  const target = applyBounds(config.initial_replicas ?? current, boundsOf(config, targetCapacity, direction));
  return { registered, target, policy: NO_POLICY_STATE, requests: newGauge(observation.nowMs) };
}

/**
 * Whether a later look would decide otherwise: between two reports a mean over time drifts towards its last value, and what is wanted
 * with it, in one direction. Without a delay each replica more or less counts, else only which way it is from the target.
 */
function driftedFrom(scaled: number, target: number, config: AutoscalingConfig, scaledAt: (atMs: Ms) => number | null) {
  const side = Math.sign(scaled - target);
  const delayS = side > 0 ? config.upscale_delay_s : config.downscale_delay_s;
  return (atMs: Ms): boolean => {
    const later = scaledAt(atMs) ?? scaled;
    return delayS === 0 ? later !== scaled : Math.sign(later - target) !== side;
  };
}
