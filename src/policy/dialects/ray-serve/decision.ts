import { type AutoscalingConfig, downscalingFactor, upscalingFactor } from "./autoscaling-config.ts";
import type { RayServeFeatures } from "./version.ts";

/** What a policy remembers of one deployment: in which direction it has wanted to go, and since when (seconds). */
export interface PolicyState {
  /** Positive: evaluations in a row that wanted more; negative: fewer. Its sign alone decides anything. */
  readonly decisionCounter: number;
  readonly decisionTimestampS: number | null;
}

export const NO_POLICY_STATE: PolicyState = { decisionCounter: 0, decisionTimestampS: null };

/** What a policy is asked with. */
export interface ScalingContext {
  readonly config: AutoscalingConfig;
  /** Replicas in state RUNNING. */
  readonly currentNumReplicas: number;
  /** The count last decided. */
  readonly targetNumReplicas: number;
  /** Queued and running, averaged over the look-back. */
  readonly totalNumRequests: number;
}

/** A policy gives the raw count that it wants, a fraction of a replica included; factors, delays and bounds come after it. */
export type DesiredReplicas = (context: ScalingContext) => number;

/** The default policy: total / `target_ongoing_requests`; with nothing running the target stays. */
export const queueLengthPolicy: DesiredReplicas = ({ config, currentNumReplicas: current, targetNumReplicas, totalNumRequests }) => {
  if (current === 0) return targetNumReplicas;
  // In this order, so that the last bit is Ray's.
  const errorRatio = totalNumRequests / (config.target_ongoing_requests * current);
  return current * errorRatio;
};

/** Ray's policy for task consumers: what waits in the broker's queue counts like requests. */
export const asyncInferencePolicy =
  (brokerQueueLength: number): DesiredReplicas =>
  ({ config, currentNumReplicas, totalNumRequests }) => {
    const workload = totalNumRequests + brokerQueueLength;
    if (currentNumReplicas === 0) return workload > 0 ? 1 : 0;
    return workload / config.target_ongoing_requests;
  };

/** From zero running replicas, requests bring back the target at once, or `ceil(upscaling_factor)` where that is more; else null. */
export function coldStartReplicas({ config, currentNumReplicas, targetNumReplicas, totalNumRequests }: ScalingContext): number | null {
  if (currentNumReplicas !== 0 || !(totalNumRequests > 0)) return null;
  return Math.max(Math.ceil(upscalingFactor(config)), targetNumReplicas);
}

/**
 * `ceil(current + factor × (desired − current))`. A factor that would round every step down away gives one replica; from zero there
 * is no distance to weigh, so factors do not apply.
 */
export function applyScalingFactors(desired: number, current: number, config: AutoscalingConfig): number {
  if (current === 0) return Math.ceil(desired);
  const delta = desired - current;
  const scaled = Math.ceil(current + (delta > 0 ? upscalingFactor(config) : downscalingFactor(config)) * delta);
  return Math.ceil(desired) < current && scaled === current ? current - 1 : scaled;
}

/** A clock may fall a hair short of the delay that it measures. */
const DELAY_EPSILON_S = 1e-6;

export interface Delayed {
  readonly decision: number;
  readonly state: PolicyState;
  /** The delay that runs, and since when; null: none does, or it has just passed. */
  readonly waiting: { readonly direction: "up" | "down"; readonly sinceS: number; readonly delayS: number } | null;
}

/**
 * The target changes once the wish to go in one direction has lasted for that direction's delay; then to what is wanted at that
 * moment. A change starts the clock anew. Zero is reached from one only: from above, a scale-down ends at 1.
 */
export function applyDelay(desired: number, target: number, config: AutoscalingConfig, before: PolicyState, nowS: number): Delayed {
  if (desired === target) return { decision: target, state: NO_POLICY_STATE, waiting: null };
  const up = desired > target;
  const turned = up ? before.decisionCounter < 0 : before.decisionCounter > 0;
  const { decisionCounter, decisionTimestampS } = turned ? NO_POLICY_STATE : before;
  const sinceS = decisionTimestampS ?? nowS;
  const downscaleDelayS = target === 1 ? (config.downscale_to_zero_delay_s ?? config.downscale_delay_s) : config.downscale_delay_s;
  const delayS = up ? config.upscale_delay_s : downscaleDelayS;
  if (nowS - sinceS + DELAY_EPSILON_S >= delayS) {
    return { decision: up || target === 1 ? desired : Math.max(1, desired), state: NO_POLICY_STATE, waiting: null };
  }
  return {
    decision: target,
    state: { decisionCounter: decisionCounter + (up ? 1 : -1), decisionTimestampS: sinceS },
    waiting: { direction: up ? "up" : "down", sinceS, delayS },
  };
}

/** A deployment's decision before its bounds, and the stages on the way. `desired`, `scaled`: null where that stage was skipped. */
export interface Verdict extends Delayed {
  readonly branch: "cold-start" | "from-zero" | "delayed";
  readonly desired: number | null;
  readonly scaled: number | null;
}

/** The wrapper around every policy, the user's own included: cold start, factors, delay. */
export function decideReplicas(
  policy: DesiredReplicas,
  context: ScalingContext,
  state: PolicyState,
  nowS: number,
  features: RayServeFeatures,
): Verdict {
  const coldStart = coldStartReplicas(context);
  if (coldStart !== null) return { branch: "cold-start", decision: coldStart, state, desired: null, scaled: null, waiting: null };
  const { config, currentNumReplicas: current, targetNumReplicas: target } = context;
  const desired = policy(context);
  const scaled = applyScalingFactors(desired, current, config);
  const atOnceAbove = features.fromZeroAtOnce === "above-zero" ? 0 : target;
  if (current === 0 && scaled > atOnceAbove) return { branch: "from-zero", decision: scaled, state, desired, scaled, waiting: null };
  return { branch: "delayed", desired, scaled, ...applyDelay(Math.max(0, scaled), target, config, state, nowS) };
}

/** A policy over all deployments of an application; a deployment that it leaves out keeps its target. */
export type ApplicationPolicy = (contexts: ReadonlyMap<string, ScalingContext>) => ReadonlyMap<string, number>;

/** The same wrapper, around a policy of the application: one verdict for each deployment that the policy named. */
export function decideApplication(
  policy: ApplicationPolicy,
  contexts: ReadonlyMap<string, ScalingContext>,
  states: ReadonlyMap<string, PolicyState>,
  nowS: number,
  features: RayServeFeatures,
): ReadonlyMap<string, Verdict> {
  const desired = policy(contexts);
  const verdicts = new Map<string, Verdict>();
  for (const [deployment, context] of contexts) {
    const wanted = desired.get(deployment);
    if (wanted === undefined) continue;
    verdicts.set(
      deployment,
      decideReplicas(() => wanted, context, states.get(deployment) ?? NO_POLICY_STATE, nowS, features),
    );
  }
  return verdicts;
}
