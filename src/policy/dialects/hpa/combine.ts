import type { Ms } from "../../../model/index.ts";
import {
  averageReplicas,
  externalTotal,
  type PodMetricInput,
  type Proposal,
  utilizationReplicas,
  valuePerPodReplicas,
  valueReplicas,
} from "./calculator.ts";
import type { Int64 } from "./int64.ts";
import { resourceSamples } from "./pods.ts";
import type { ControllerSettings, HpaFeatures } from "./version.ts";
import {
  HpaError,
  type MetricIdentifier,
  type MetricSpec,
  type ObjectReference,
  type Pod,
  type PodSamples,
  type ResourceSample,
  type Tolerances,
} from "./words.ts";

/** Where metrics come from. Each throws HpaError where it has no answer; an empty answer is an error too, never 0. */
export interface MetricSources {
  resource(name: string): readonly ResourceSample[];
  pods(metric: MetricIdentifier): PodSamples;
  object(described: ObjectReference, metric: MetricIdentifier): Int64;
  external(metric: MetricIdentifier): readonly Int64[];
}

export interface MetricInput {
  readonly nowMs: Ms;
  readonly currentReplicas: number;
  readonly statusReplicas: number;
  readonly pods: readonly Pod[];
  readonly sources: MetricSources;
  readonly tolerances: Tolerances;
  readonly features: HpaFeatures;
  readonly settings: ControllerSettings;
}

export type MetricOutcome = {
  /** As the other system's events call it. */
  readonly name: string;
  readonly metric: MetricSpec;
} & (
  | { readonly kind: "proposed"; readonly proposal: Proposal }
  | { readonly kind: "failed"; readonly reason: string; readonly error: HpaError }
);

export function evaluateMetric(metric: MetricSpec, input: MetricInput): MetricOutcome {
  const name = metricName(metric);
  try {
    return { kind: "proposed", name, metric, proposal: propose(metric, input) };
  } catch (error) {
    if (!(error instanceof HpaError)) throw error;
    const reason = metric.type === "Unknown" ? "InvalidMetricSourceType" : FAILURES[metric.type];
    return { kind: "failed", name, metric, reason, error };
  }
}

const FAILURES = {
  Resource: "FailedGetResourceMetric",
  ContainerResource: "FailedGetContainerResourceMetric",
  Pods: "FailedGetPodsMetric",
  Object: "FailedGetObjectMetric",
  External: "FailedGetExternalMetric",
} as const;

function metricName(metric: MetricSpec): string {
  switch (metric.type) {
    case "Resource":
    case "ContainerResource": {
      const kind = metric.type === "Resource" ? "resource" : "container resource";
      return `${metric.name} ${kind}${metric.target.averageValueMilli === undefined ? " utilization (percentage of request)" : ""}`;
    }
    case "Pods":
      return `pods metric ${metric.metric.name}`;
    case "Object":
      return `${metric.describedObject.kind} metric ${metric.metric.name}`;
    case "External":
      return `external metric ${metric.metric.name}`;
    case "Unknown":
      return `metric of unknown type "${metric.declared}"`;
  }
}

function propose(metric: MetricSpec, input: MetricInput): Proposal {
  const { currentReplicas, statusReplicas, pods, sources, tolerances, features, settings, nowMs } = input;
  const podMetric = (samples: PodSamples, resource: string): PodMetricInput => ({
    currentReplicas,
    pods,
    samples,
    resource,
    tolerances,
    nowMs,
    settings: {
      cpuInitializationPeriodMs: settings.cpuInitializationPeriodMs,
      initialReadinessDelayMs: settings.initialReadinessDelayMs,
      ignoreSucceededPods: features.ignoreSucceededPods,
      podLevelResources: features.PodLevelResources,
    },
  });

  switch (metric.type) {
    case "Resource":
    case "ContainerResource": {
      const container = metric.type === "ContainerResource" ? metric.container : null;
      const { averageValueMilli, averageUtilization } = metric.target;
      if (averageValueMilli === undefined && averageUtilization === undefined) {
        throw new HpaError(
          `invalid ${container === null ? "" : "container "}resource metric source: neither an average utilization target nor an average value (usage) target was set`,
        );
      }
      const samples = prefixed(`unable to get metrics for resource ${metric.name}`, () =>
        resourceSamples(sources.resource(metric.name), container, features.missingContainerFails),
      );
      if (averageValueMilli !== undefined) return averageReplicas(podMetric(samples, metric.name), averageValueMilli);
      return utilizationReplicas(podMetric(samples, metric.name), container, averageUtilization as number);
    }
    case "Pods": {
      const { averageValueMilli } = metric.target;
      if (averageValueMilli === undefined) throw new HpaError("invalid pods metric source: no average value target was set");
      const samples = prefixed(`unable to get metric ${metric.metric.name}`, () => sources.pods(metric.metric));
      if (samples.size === 0) {
        throw new HpaError(`unable to get metric ${metric.metric.name}: no metrics returned from custom metrics API`);
      }
      return averageReplicas(podMetric(samples, ""), averageValueMilli);
    }
    case "Object": {
      const { type, valueMilli, averageValueMilli } = metric.target;
      const read = () =>
        prefixed(`unable to get metric ${metric.metric.name}`, () => sources.object(metric.describedObject, metric.metric));
      if (type === "Value" && valueMilli !== undefined) {
        return valueReplicas({ currentReplicas, valueMilli: read(), targetMilli: valueMilli, tolerances, pods });
      }
      if (type === "AverageValue" && averageValueMilli !== undefined) {
        return valuePerPodReplicas({ statusReplicas, valueMilli: read(), targetMilli: averageValueMilli, tolerances });
      }
      throw new HpaError("invalid object metric source: neither a value target nor an average value target was set");
    }
    case "External": {
      const { valueMilli, averageValueMilli } = metric.target;
      const read = () =>
        prefixed(`unable to get external metric ${metric.metric.name}`, () => externalTotal(sources.external(metric.metric)));
      if (averageValueMilli !== undefined) {
        return valuePerPodReplicas({ statusReplicas, valueMilli: read(), targetMilli: averageValueMilli, tolerances });
      }
      if (valueMilli !== undefined) {
        return valueReplicas({ currentReplicas, valueMilli: read(), targetMilli: valueMilli, tolerances, pods });
      }
      throw new HpaError("invalid external metric source: neither a value target nor an average value target was set");
    }
    case "Unknown":
      throw new HpaError(`unknown metric source type "${metric.declared}"`, "spec");
  }
}

function prefixed<T>(context: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof HpaError) throw new HpaError(`${context}: ${error.message}`, error.kind);
    throw error;
  }
}

export type Combined =
  | {
      readonly kind: "proposed";
      readonly replicas: number;
      readonly metricName: string;
      /** Some metrics failed, yet scaling goes on. */
      readonly error: HpaError | null;
    }
  | { readonly kind: "failed"; readonly reason: string; readonly error: HpaError };

/**
 * The largest proposal wins, the earlier metric on a tie; 0 never hides a later one. A failing metric blocks shrinking, but
 * neither growing nor staying. Source: horizontal.go, computeReplicasForMetrics.
 */
export function combineMetrics(outcomes: readonly MetricOutcome[], currentReplicas: number): Combined {
  let replicas = 0;
  let metricName = "";
  let bad = 0;
  let first: Extract<MetricOutcome, { kind: "failed" }> | null = null;
  for (const outcome of outcomes) {
    if (outcome.kind === "failed") {
      first ??= outcome;
      bad++;
    } else if (replicas === 0 || outcome.proposal.replicas > replicas) {
      replicas = outcome.proposal.replicas;
      metricName = outcome.name;
    }
  }
  const error =
    first === null
      ? null
      : new HpaError(`invalid metrics (${bad} invalid out of ${outcomes.length}), first error is: ${first.error.message}`);
  if (first !== null && error !== null && (bad >= outcomes.length || replicas < currentReplicas)) {
    return { kind: "failed", reason: first.reason, error };
  }
  return { kind: "proposed", replicas, metricName, error };
}
