import { explain } from "../hpa/explain.ts";
import {
  CONTROLLER_DEFAULTS,
  HPA_NEWEST,
  HPA_VERSIONS,
  HpaError,
  type HpaMemory,
  type HpaSpec,
  type Int64,
  type MetricSources,
  planSync,
} from "../hpa/index.ts";
import { type ConditionUpdate, fallbackCondition, updateConditions } from "./conditions.ts";
import { hpaHealth } from "./hpa-health.ts";
import { COMPOSITE_METRIC } from "./metric-name.ts";
import { compositeOf, type HealthByMetric, readTriggers, type TriggerOutcome } from "./metrics.ts";
import { type Moment, move, type State, type Turn } from "./state.ts";
import { KedaError } from "./words.ts";

export const HPA_FEATURES = HPA_VERSIONS[HPA_NEWEST];
export const SYNC_PERIOD_MS = CONTROLLER_DEFAULTS.syncPeriodMs;

/** One sync of the HPA that KEDA made. It asks KEDA for its external metrics, and that counts for their fallbacks. */
export function sync(before: State, moment: Moment, spec: HpaSpec, resources: MetricSources): Turn {
  const { nowMs, pool, current, reported, pods, scaledObject } = moment;
  const server = metricsServer(before, moment);
  const scale = { specReplicas: current, statusReplicas: reported };
  const plan = planSync(before.hpa, {
    nowMs,
    spec,
    scale,
    selection: { kind: "selected", pods },
    sources: { ...resources, external: ({ name }) => [server.value(name)] },
    features: HPA_FEATURES,
    settings: CONTROLLER_DEFAULTS,
  });
  const { branch, rescale, desiredReplicas } = plan;
  const hpa = rescale || branch.kind === "failed" ? plan.memory : { ...plan.memory, desiredReplicas };
  const health = server.health();
  const conditions = updateConditions(before.conditions, [...hpaActive(hpa), fallbackCondition(scaledObject, health)], nowMs);
  const state: State = { ...before, hpa, health, conditions };
  if (branch.kind === "disabled") {
    const text = "At zero the HPA does nothing: KEDA alone wakes the target.";
    return { state, want: { kind: "hold" }, steps: [{ code: "hpa-asleep", pool, text, numbers: { current } }] };
  }
  const steps = explain(pool, spec, scale, plan);
  if (rescale) return { ...move(state, moment, "hpa", desiredReplicas), steps };
  return { state, want: branch.kind === "failed" ? { kind: "hold" } : { kind: "scale", replicas: current, drain: [] }, steps };
}

/** What the external metrics API answers. All triggers are read at the first question of a sync, and never at zero. */
function metricsServer(state: State, { scaledObject, answers, counts }: Moment) {
  let known: { readonly outcomes: readonly TriggerOutcome[]; readonly health: HealthByMetric } | null = null;
  const ask = () => {
    const given = answers.map((answer, at) => {
      const external = scaledObject.externals[at];
      return external?.trigger.useCachedMetrics === true ? (state.cached[external.metric.name] ?? answer) : answer;
    });
    known ??= readTriggers(scaledObject, given, state.health, counts);
    return known;
  };
  return {
    health: (): HealthByMetric => known?.health ?? state.health,
    /** @throws HpaError */
    value(name: string): Int64 {
      const { outcomes, health } = ask();
      if (name === COMPOSITE_METRIC) {
        try {
          return compositeOf(scaledObject, outcomes, health);
        } catch (error) {
          throw error instanceof KedaError ? new HpaError(error.message) : error;
        }
      }
      const outcome = outcomes.find(({ external }) => external.metric.name === name)?.outcome;
      if (outcome?.kind === "metric" || outcome?.kind === "fallback") return outcome.milli;
      throw new HpaError(outcome?.kind === "error" ? outcome.message : "no trigger offers this metric");
    },
  };
}

function hpaActive({ conditions }: HpaMemory): readonly ConditionUpdate[] {
  const { status, reason } = hpaHealth({ hpaName: "keda-hpa", readError: false, conditions });
  return status === "" ? [] : [{ type: "HPAActive", status, reason }];
}
