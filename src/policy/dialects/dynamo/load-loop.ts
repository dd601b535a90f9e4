import type { Step } from "../../../model/index.ts";
import { replicas as count, num } from "../../words.ts";
import { step } from "../llm/index.ts";
import { clampToBudget } from "./clamp.ts";
import type { Counts, Now, PlannerState } from "./components.ts";
import { iterationTime } from "./engine-model.ts";
import {
  combineAggregated,
  type LoadDecision,
  latencyDecode,
  latencyPrefill,
  type StaticRules,
  staticDecode,
  staticPrefill,
} from "./load.ts";
import type { PlannerSpec } from "./spec.ts";

const REASONS: Readonly<Record<LoadDecision["reason"], string>> = {
  scale_up: "one more",
  scale_down: "one fewer",
  no_change: "no change",
  insufficient_data: "too little is known to decide",
  scale_down_refused_consolidation: "one fewer could not carry it",
};

/** Counts that the load loop wants; null: it makes no decision. */
export function loadLoop(state: PlannerState, nows: readonly Now[], spec: PlannerSpec, steps: Step[]): Counts | null {
  const known = nows.filter(({ workers }) => workers > 0);
  if (known.length === 0) return null;
  const silent = known.find(({ loads }) => loads === null);
  if (silent !== undefined) {
    steps.push(
      step(
        "worker-count-mismatch",
        `Not all ${count(silent.workers)} of ${silent.unit.pool.name} report: no load decision.`,
        { workers: silent.workers },
        silent.unit.pool.name,
      ),
    );
    return null;
  }
  const wanted: Counts = {};
  for (const now of nows) {
    const { unit, workers, moving } = now;
    if (moving) {
      steps.push(
        step(
          "scaling-in-progress",
          `${unit.pool.name} is still on its way to ${now.wanted}: it is only observed.`,
          { workers, wanted: now.wanted },
          unit.pool.name,
        ),
      );
      wanted[unit.component] = now.wanted;
      continue;
    }
    const { desired, text, numbers } = decideLoad(state, now, spec);
    steps.push(step("load", `${unit.pool.name}: ${text}.`, numbers, unit.pool.name));
    const floor = spec.enable_throughput_scaling ? state.floors[unit.component] : 0;
    const raised = Math.max(desired ?? workers, floor, unit.minEndpoint);
    if (desired !== null && desired < workers && raised > desired)
      steps.push(
        step(
          "floor",
          `${unit.pool.name}: no fewer than ${raised}, by the throughput loop or the least number of endpoints.`,
          { desired, floor: raised },
          unit.pool.name,
        ),
      );
    wanted[unit.component] = raised;
  }
  return clampToBudget(wanted, nows, spec, steps);
}

function decideLoad(state: PlannerState, now: Now, spec: PlannerSpec) {
  const { unit, workers, shape, contextTokens } = now;
  const loads = now.loads ?? [];
  const said = (name: string, { reason, worst }: LoadDecision, unitName: string) =>
    `${name}${worst === null ? "" : ` ${num(worst)}${unitName} at most`}: ${REASONS[reason]}`;
  if (spec.optimization_target !== "sla") {
    const rules: StaticRules = {
      target: spec.optimization_target,
      minEndpoint: unit.minEndpoint,
      prefillTokens: pairOf(spec.prefill_scale_up_queue_tokens, spec.prefill_scale_down_queue_tokens),
      kvPercent: pairOf(spec.decode_scale_up_kv_rate, spec.decode_scale_down_kv_rate),
    };
    const decision =
      unit.kind === "prefill"
        ? staticPrefill(loads, workers, contextTokens, rules)
        : staticDecode(loads, workers, shape.maxKvTokens, unit.kind === "agg", rules);
    const name =
      unit.kind !== "prefill" ? "KV cache" : rules.target === "load" ? "queued prompt tokens" : "queued prompts per context length";
    return { desired: decision.desired, text: said(name, decision, ""), numbers: { workers, worst: decision.worst ?? -1 } };
  }
  const time = iterationTime(state.models[unit.component], unit.kind, spec.load_min_observations);
  if (time === null) return { desired: null, text: REASONS.insufficient_data, numbers: { workers } };
  const estimator = {
    time,
    model: state.models[unit.component],
    maxNumBatchedTokens: shape.maxNumBatchedTokens,
    maxKvTokens: shape.maxKvTokens,
    hitShare: state.hitShare,
  };
  const rules = { sensitivity: spec.load_scaling_down_sensitivity / 100, minEndpoint: unit.minEndpoint };
  const first = () => latencyPrefill(loads, workers, estimator, { ...rules, targetMs: spec.ttft_ms }, unit.kind === "agg");
  const between = () => latencyDecode(loads, workers, estimator, { ...rules, targetMs: spec.itl_ms }, unit.kind === "agg");
  if (unit.kind === "prefill") {
    const decision = first();
    return {
      desired: decision.desired,
      text: said("time to first token", decision, " ms"),
      numbers: { workers, ttftMs: decision.worst ?? -1 },
    };
  }
  if (unit.kind === "decode") {
    const decision = between();
    return {
      desired: decision.desired,
      text: said("time between tokens", decision, " ms"),
      numbers: { workers, itlMs: decision.worst ?? -1 },
    };
  }
  const [prefill, decode] = [first(), between()];
  return {
    desired: combineAggregated(prefill, decode, workers),
    text: `${said("time to first token", prefill, " ms")}; ${said("time between tokens", decode, " ms")}`,
    numbers: { workers, ttftMs: prefill.worst ?? -1, itlMs: decode.worst ?? -1 },
  };
}

const pairOf = (up: number | null, down: number | null) => (up === null || down === null ? null : { up, down });
