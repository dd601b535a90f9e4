import { type DesiredReplicas, decideReplicas, type PolicyState, type ScalingContext, type Verdict } from "./decision.ts";
import type { RayServeFeatures } from "./version.ts";

/** Whole gangs only: rounded up to a multiple; 0 stays 0. */
export const alignToGang = (decision: number, gangSize: number): number =>
  gangSize > 1 && decision > 0 ? Math.ceil(decision / gangSize) * gangSize : decision;

/** `decideReplicas` for a deployment whose replicas come in gangs of `gangSize` (1: alone). */
export function decideGangReplicas(
  policy: DesiredReplicas,
  context: ScalingContext,
  gangSize: number,
  state: PolicyState,
  nowS: number,
  features: RayServeFeatures,
): Verdict {
  const lastGang = features.gangReachesZero && context.config.min_replicas === 0 && context.targetNumReplicas === gangSize;
  const verdict = decideReplicas(policy, lastGang ? { ...context, targetNumReplicas: 1 } : context, state, nowS, features);
  return { ...verdict, decision: alignToGang(verdict.decision, gangSize) };
}
