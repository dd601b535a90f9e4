import type { Condition, Endpoint, Json, Manifest, Ms, Policy, Replica, Step } from "../../../model/index.ts";
import { num } from "../../words.ts";
import type { HpaSpec } from "../hpa/index.ts";
import { podOf } from "../hpa/sources.ts";
import { needsToBePaused } from "./annotations.ts";
import { updateConditions } from "./conditions.ts";
import { metricMilli } from "./metric-value.ts";
import { combineJobScalers, isJobPending, jobBounds, jobDecision, jobReadiness, jobsToStart, type ScalingStrategy } from "./scaled-job.ts";
import { compileTriggers, documentOf, listOf, numberOf, textOf, triggersOf } from "./scaled-object.ts";
import { podsOf, triggerSources } from "./sources.ts";
import { KEDA_DEFAULTS } from "./version.ts";

interface State {
  readonly nextPollMs: Ms;
  readonly conditions: readonly Condition[];
}

function scalingStrategyOf({ spec }: Manifest): ScalingStrategy & {
  readonly multipleScalersCalculation: string;
  readonly pendingPodConditions: readonly string[];
} {
  const strategy = documentOf(spec["scalingStrategy"]);
  return {
    strategy: textOf(strategy["strategy"]),
    customScalingQueueLengthDeduction: numberOf(strategy["customScalingQueueLengthDeduction"]),
    customScalingRunningJobPercentage: textOf(strategy["customScalingRunningJobPercentage"]),
    multipleScalersCalculation: textOf(strategy["multipleScalersCalculation"]),
    pendingPodConditions: listOf(strategy["pendingPodConditions"]).map(textOf),
  };
}

/** No HPA ever sees a ScaledJob. */
const NO_HPA: HpaSpec = { minReplicas: null, maxReplicas: 0, metrics: [], behavior: null };

/** A ready replica's pod has all of the conditions that a pod can be asked for; a starting one's, only that it found a node. */
function podConditions({ state, stage }: Replica): readonly string[] {
  if (state === "ready") return ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
  return state === "starting" && stage !== "schedule" && stage !== "provision" ? ["PodScheduled"] : [];
}

/**
 * A ScaledJob over the endpoint's first pool, whose replicas are the jobs. Every `pollingInterval` it says how many more to
 * start; a job that is done leaves by itself. A trigger that fails is left out; with none left, nothing is started.
 */
export function scaledJobPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const { spec, namespace, annotations = {} } = manifest;
  const externals = compileTriggers(triggersOf(spec), namespace, false);
  const strategy = scalingStrategyOf(manifest);
  const { min, room } = jobBounds(numberOf(spec["minReplicaCount"]), numberOf(spec["maxReplicaCount"]));
  const pollingMs = (numberOf(spec["pollingInterval"]) ?? KEDA_DEFAULTS.pollingIntervalSeconds) * 1000;
  const pool = endpoint.pools[0]?.name ?? "default";
  const sources = triggerSources(endpoint, externals, NO_HPA, pollingMs);

  return {
    kind: "keda",
    needs: sources.needs,
    wakesOn: ["config"],
    start: ({ nowMs }) => write({ nextPollMs: nowMs, conditions: [] }),

    decide(before, observation) {
      const { seq, nowMs } = observation;
      let state = read(before);
      const finish = (start: number, steps: readonly Step[]) => ({
        state: write(state),
        decision: {
          seq,
          wants: { [pool]: { kind: "jobs" as const, start } },
          steps,
          conditions: state.conditions,
          nextAtMs: state.nextPollMs,
        },
      });
      if (nowMs < state.nextPollMs) return finish(0, []);
      state = { ...state, nextPollMs: nowMs + pollingMs };
      if (needsToBePaused(annotations)) {
        const conditions = updateConditions(state.conditions, [{ type: "Paused", status: "True", reason: "ScaledJobPaused" }], nowMs);
        state = { ...state, conditions };
        return finish(0, [{ code: "paused", pool, text: "Paused by annotation: no job is started.", numbers: {} }]);
      }

      const jobs = observation.replicas.filter(
        (replica) => replica.pool === pool && replica.state !== "gone" && replica.state !== "failed" && replica.state !== "standby",
      );
      const pending = jobs.filter((job) =>
        isJobPending([{ phase: podOf(job)?.phase ?? "", trueConditions: podConditions(job) }], strategy.pendingPodConditions),
      );
      const { answers } = sources.at(observation, podsOf(observation, pool));
      const steps: Step[] = [];
      const scalers = externals.flatMap(({ metric, target }, at) => {
        const answer = answers[at] ?? { error: "was not read" };
        if ("error" in answer) {
          steps.push({
            code: "trigger-failed",
            pool,
            text: `${metric.name} has no answer (${answer.error}).`,
            numbers: { target: metric.target },
          });
          return [];
        }
        const queueLength = Number(metricMilli(answer.value)) / 1000;
        const activity = answer.isActive ? "active" : "not active";
        const text = `${metric.name}: ${num(answer.value, 3)} against ${num(metric.target, 3)} per job: ${activity}.`;
        steps.push({ code: "trigger", pool, text, numbers: { value: answer.value, target: metric.target, activation: metric.activation } });
        return [{ queueLength, targetAverageValue: target.type === "AverageValue" ? metric.target : 0, isActive: answer.isActive }];
      });
      const isError = scalers.length < externals.length;
      const metrics = combineJobScalers(strategy.multipleScalersCalculation, scalers, min, room);
      const counts = {
        maxScale: metrics.maxValue,
        scaleTo: metrics.queueLength,
        runningJobCount: jobs.length,
        pendingJobCount: pending.length,
        maxReplicaCount: room,
      };
      const start = jobsToStart(jobDecision(strategy, min, counts), metrics.isActive);
      const text = `A queue of ${metrics.queueLength} fills ${metrics.maxValue} jobs; ${jobs.length} run, ${pending.length} of them waiting: ${start} more start.`;
      const numbers = {
        queueLength: metrics.queueLength,
        maxValue: metrics.maxValue,
        running: jobs.length,
        pending: pending.length,
        start,
      };
      steps.push({ code: "jobs", pool, text, numbers });
      const active = metrics.isActive
        ? ({ type: "Active", status: "True", reason: "ScalerActive" } as const)
        : ({ type: "Active", status: "False", reason: "ScalerNotActive" } as const);
      const conditions = [{ type: "Ready", ...jobReadiness(isError, metrics.isActive) }, active] as const;
      state = { ...state, conditions: updateConditions(state.conditions, conditions, nowMs) };
      return finish(start, steps);
    },

    settle: (state) => ({ state, conditions: read(state).conditions }),
  };
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
