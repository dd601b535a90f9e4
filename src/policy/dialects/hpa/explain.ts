import type { Step } from "../../../model/index.ts";
import { num, replicas } from "../../words.ts";
import type { MetricOutcome } from "./combine.ts";
import { formatQuantity, milliQuantity } from "./quantity.ts";
import type { Plan, Scale } from "./reconcile.ts";
import type { HpaSpec, MetricTarget } from "./words.ts";

/** The steps of a plan in sentences and numbers, in the order in which they were taken. */
export function explain(pool: string, spec: HpaSpec, scale: Scale, plan: Plan): readonly Step[] {
  const current = scale.specReplicas;
  const step = (code: string, text: string, numbers: Readonly<Record<string, number>>): Step => ({ code, pool, text, numbers });
  const { branch, desiredReplicas: desired } = plan;
  const min = spec.minReplicas ?? 1;
  switch (branch.kind) {
    case "disabled": {
      const text = "The count is 0 and this autoscaler did not set it: it is paused until someone sets a count above 0.";
      return [step("disabled", text, { current })];
    }
    case "bound": {
      const [side, bound] = branch.bound === "max" ? ["above maxReplicas", spec.maxReplicas] : ["below minReplicas", min];
      const text = `${replicas(current)} are ${side} (${bound}): the count goes straight to ${desired}, without looking at metrics or limits.`;
      return [step("bound", text, { current, min, max: spec.maxReplicas, desired })];
    }
    case "failed": {
      const text = `The count stays at ${current} (${branch.reason}): ${plan.reason}.`;
      return [...branch.outcomes.map((outcome) => metricStep(pool, outcome, scale)), step("no-data", text, { current })];
    }
    case "computed": {
      const { outcomes, combined, stabilized, limited } = branch;
      const steps = outcomes.map((outcome) => metricStep(pool, outcome, scale));
      if (combined.error !== null) {
        const text = "A metric has no answer. That would keep the count from falling; it does not keep it from rising or staying.";
        steps.push(step("partial-data", text, { current, proposed: combined.replicas }));
      }
      if (outcomes.length > 1) {
        const text = `The largest proposal counts: ${combined.replicas}, by ${combined.metricName}.`;
        steps.push(step("combined", text, { current, proposed: combined.replicas }));
      }
      if (stabilized.replicas !== combined.replicas) {
        const rising = combined.replicas >= current;
        const text = `Stabilization makes ${stabilized.replicas} of ${combined.replicas}: ${
          rising ? "a smaller count was proposed inside the scale-up window" : "a larger count was proposed inside the scale-down window"
        }.`;
        steps.push(step("stabilized", text, { current, proposed: combined.replicas, stabilized: stabilized.replicas }));
      }
      if (limited.replicas !== stabilized.replicas) {
        const why = {
          ScaleUpLimit: "no faster rise is allowed now",
          ScaleDownLimit: "no faster fall is allowed now",
          TooManyReplicas: `maxReplicas is ${spec.maxReplicas}`,
          TooFewReplicas: `minReplicas is ${min}`,
          DesiredWithinRange: "it is within range",
        }[limited.reason];
        const text = `Limited from ${stabilized.replicas} to ${limited.replicas} (${limited.reason}): ${why}.`;
        const numbers = { current, stabilized: stabilized.replicas, limited: limited.replicas, min, max: spec.maxReplicas };
        steps.push(step("limited", text, numbers));
      }
      if (desired !== limited.replicas) {
        const text = `Waking from zero starts at minReplicas (${min}).`;
        steps.push(step("wake-to-min", text, { current, limited: limited.replicas, min, desired }));
      }
      const text =
        desired === current ? `The count stays at ${current}.` : `From ${current} to ${desired}: ${plan.reason || limited.reason}.`;
      steps.push(step("desired", text, { current, desired }));
      return steps;
    }
  }
}

function metricStep(pool: string, outcome: MetricOutcome, scale: Scale): Step {
  const { name } = outcome;
  const current = scale.specReplicas;
  if (outcome.kind === "failed") {
    return {
      code: "metric-failed",
      pool,
      text: `${name} has no answer (${outcome.reason}): ${outcome.error.message}.`,
      numbers: { current },
    };
  }
  const { proposal, metric } = outcome;
  const target = metric.type === "Unknown" ? { type: "" } : metric.target;
  const { value, aim, unit } = measured(target, proposal.utilization, Number(proposal.usageMilli) / 1000);
  const among =
    proposal.pods === undefined
      ? ""
      : ` over ${proposal.pods.ready} of ${proposal.pods.ready + proposal.pods.unready + proposal.pods.missing} pods${
          proposal.pods.missing > 0 ? `, ${proposal.pods.missing} without a reading` : ""
        }${proposal.pods.unready > 0 ? `, ${proposal.pods.unready} not ready` : ""}`;
  const proposes = proposal.replicas === current ? `stay at ${current}` : `${proposal.replicas} instead of ${current}`;
  const shown = unit === "%" ? `${num(value)} %` : formatQuantity(milliQuantity(proposal.usageMilli));
  const text = `${name}: ${shown}${among} against ${num(aim, 3)}${unit === "%" ? " %" : ""}, ratio ${num(proposal.ratio, 3)}: ${proposes}.`;
  return {
    code: "metric",
    pool,
    text,
    numbers: {
      current,
      value,
      target: aim,
      // A ratio to nothing (from zero replicas) is no number of JSON's.
      ...(Number.isFinite(proposal.ratio) ? { ratio: proposal.ratio } : {}),
      proposed: proposal.replicas,
    },
  };
}

function measured(target: MetricTarget, utilization: number | undefined, value: number): { value: number; aim: number; unit: "%" | "" } {
  if (utilization !== undefined) return { value: utilization, aim: target.averageUtilization ?? 0, unit: "%" };
  return { value, aim: Number(target.averageValueMilli ?? target.valueMilli ?? 0) / 1000, unit: "" };
}
