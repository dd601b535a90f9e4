import type { Json } from "../../src/model/index.ts";

/**
 * One course of events that an HPA meets, told once and run by several runners: our dialect in virtual time, and the real controller
 * against a control plane. Times are seconds from the start.
 */
export interface DifferentialScenario {
  readonly name: string;
  /** `spec` of an `autoscaling/v2` HorizontalPodAutoscaler, before defaulting. */
  readonly spec: { readonly [key: string]: Json | undefined };
  readonly startReplicas: number;
  readonly seconds: number;
  /** The controller's `--horizontal-pod-autoscaler-sync-period`. */
  readonly syncSeconds: number;
  /** From a pod's creation to Ready. */
  readonly readyAfterSeconds: number;
  /** From second `at` on: of metric `name`, each pod's value (Pods) or the one value of the whole (External). */
  readonly values: readonly { readonly at: number; readonly name: string; readonly value: number; readonly of: "pod" | "total" }[];
}

export interface Change {
  readonly at: number;
  readonly replicas: number;
}

/** What one side did: every change of the target's count, the first one at 0. */
export type DifferentialRunner = (scenario: DifferentialScenario) => Promise<readonly Change[]>;

/** The value of a metric at a moment; undefined before it was ever told. */
export function valueAt({ values }: DifferentialScenario, name: string, at: number): { value: number; of: "pod" | "total" } | undefined {
  return values.findLast((told) => told.name === name && told.at <= at);
}
