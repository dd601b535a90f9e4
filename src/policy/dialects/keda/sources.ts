import type { Endpoint, Need, Observation } from "../../../model/index.ts";
import { externalTotal, HpaError, type HpaSpec, type MetricSources, type Pod } from "../hpa/index.ts";
import { needsOf, podOf, sourcesOf } from "../hpa/sources.ts";
import type { TriggerAnswer } from "./metrics.ts";
import type { ExternalTrigger } from "./scaled-object.ts";
import { seriesKey } from "./series.ts";
import { cronReading, parseCronTrigger } from "./triggers/cron.ts";
import { parsePrometheus } from "./triggers/prometheus.ts";
import { activeAbove } from "./triggers/trigger.ts";

/** What stands behind the triggers of one manifest, for every Observation. */
export interface TriggerSources {
  readonly needs: readonly Need[];
  /** Answers in the order of the triggers, and where cpu and memory come from. */
  at(observation: Observation, pods: readonly Pod[]): { readonly answers: readonly TriggerAnswer[]; readonly hpa: MetricSources };
}

/** The replicas of a pool that would be pods. */
export const podsOf = (observation: Observation, pool: string): readonly Pod[] =>
  observation.replicas
    .filter((replica) => replica.pool === pool)
    .map(podOf)
    .filter((pod): pod is Pod => pod !== null);

export const isReadyPod = (pod: Pod): boolean => !pod.deleting && pod.ready?.status === "True";

/** @param resources the HPA's spec, of which cpu and memory are read as the HPA reads them */
export function triggerSources(
  endpoint: Endpoint,
  externals: readonly ExternalTrigger[],
  resources: HpaSpec,
  sampleEveryMs: number,
): TriggerSources {
  const keys = externals.map(({ trigger, metric }) => seriesKey(endpoint.metrics, trigger, metric.name));
  const isComputed = (external: ExternalTrigger) => external.trigger.type === "cron";
  const readers = externals.map((external, at) => readerOfTrigger(external, keys[at] as string));
  const spec: HpaSpec = {
    ...resources,
    metrics: [
      ...externals.flatMap((external, at) =>
        isComputed(external)
          ? []
          : [{ type: "External" as const, metric: { name: keys[at] as string, selector: null }, target: { type: "AverageValue" } }],
      ),
      ...resources.metrics.filter(({ type }) => type === "Resource" || type === "ContainerResource"),
    ],
  };
  return {
    needs: needsOf(endpoint, spec, sampleEveryMs),
    at(observation, pods) {
      const hpa = sourcesOf(endpoint, spec, observation, pods);
      return { answers: readers.map((read) => read(observation, hpa, pods)), hpa };
    },
  };
}

type ReadTrigger = (observation: Observation, sources: MetricSources, pods: readonly Pod[]) => TriggerAnswer;

function readerOfTrigger({ trigger, index, metric }: ExternalTrigger, key: string): ReadTrigger {
  if (trigger.type === "cron") {
    const cron = parseCronTrigger({ index, metadata: trigger.metadata });
    return ({ nowMs }) => cronReading(nowMs, cron);
  }
  const ignoresNull = trigger.type === "prometheus" && parsePrometheus({ index, metadata: trigger.metadata }).ignoreNullValues;
  return (_, sources, pods) => {
    try {
      return activeAbove(Number(externalTotal(sources.external({ name: key, selector: null }))) / 1000, metric.activation);
    } catch (error) {
      if (!(error instanceof HpaError)) throw error;
      // A query over no replicas at all has an empty answer, which counts as 0 there; with replicas, silence stays an error.
      return ignoresNull && pods.length === 0 ? activeAbove(0, metric.activation) : { error: `${key}: ${error.message}` };
    }
  };
}
