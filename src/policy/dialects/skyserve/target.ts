import { clipTarget, DECISION_INTERVAL_S, type ReplicaPolicy } from "./replica-policy.ts";

/** The count that a rate of requests asks for, inside the bounds. */
export function targetForRate(qps: number, targetQps: number, policy: ReplicaPolicy): number {
  return clipTarget(Math.ceil(qps / targetQps), policy);
}

/**
 * The count that a rate asks for where replicas differ: as many of the live ones, the strongest first, as it takes to carry more than
 * the rate; for what all of them cannot carry, more of the strongest (of the strongest type that is configured, with none alive).
 * So with anything alive at least one replica is asked for, whatever the rate.
 */
export function targetForMixedRate(qps: number, capacities: readonly number[], strongestConfigured: number, policy: ReplicaPolicy): number {
  const sorted = capacities.toSorted((a, b) => b - a);
  let [count, carried] = [0, 0];
  for (const capacity of sorted) {
    if (carried > qps) break;
    carried += capacity;
    count++;
  }
  const rest = Math.max(0, qps - carried);
  return clipTarget(count + Math.ceil(rest / (sorted[0] ?? strongestConfigured)), policy);
}

/** The target and for how many decisions in a row another one has been asked for. */
export interface Hysteresis {
  readonly target: number;
  readonly upscaleCounter: number;
  readonly downscaleCounter: number;
}

/** Decisions in a row that a change takes. */
export const thresholdOf = (delayS: number): number => Math.floor(delayS / DECISION_INTERVAL_S);

/**
 * The target follows once enough decisions in a row asked for more, or for less; then to what the last of them asked. The opposite
 * wish or none starts over. From zero there is no waiting.
 */
export function follow(before: Hysteresis, wanted: number, policy: ReplicaPolicy): Hysteresis {
  const { target } = before;
  if (target === 0) return { ...before, target: wanted };
  if (wanted === target) return { target, upscaleCounter: 0, downscaleCounter: 0 };
  const up = wanted > target;
  const counter = (up ? before.upscaleCounter : before.downscaleCounter) + 1;
  const reached = counter >= thresholdOf(up ? policy.upscale_delay_seconds : policy.downscale_delay_seconds);
  const left = reached ? 0 : counter;
  return { target: reached ? wanted : target, upscaleCounter: up ? left : 0, downscaleCounter: up ? 0 : left };
}

/** Without numbers nothing is wished for, and nothing has been wished for in a row. */
export const stand = ({ target }: Hysteresis): Hysteresis => ({ target, upscaleCounter: 0, downscaleCounter: 0 });

export interface SpotMix {
  readonly spot: number;
  readonly onDemand: number;
}

/**
 * How `target` replicas divide: the base is on demand, the rest (and what is overprovisioned) spot; with dynamic fallback on-demand
 * replicas stand in for spot ones that are not ready, though never for overprovisioned ones.
 */
export function mixSpot(target: number, readySpot: number, policy: ReplicaPolicy): SpotMix {
  const spot = Math.max(0, target + policy.num_overprovision - policy.base_ondemand_fallback_replicas);
  const standIns = policy.dynamic_ondemand_fallback ? Math.max(0, spot - readySpot) : 0;
  return { spot, onDemand: Math.min(policy.base_ondemand_fallback_replicas + standIns, target) };
}
