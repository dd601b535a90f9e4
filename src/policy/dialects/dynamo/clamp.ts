import type { Step } from "../../../model/index.ts";
import { step } from "../llm/index.ts";
import { clampPair, clampSingle } from "./budget.ts";
import type { Counts, Now } from "./components.ts";
import type { PlannerSpec } from "./spec.ts";

/** The wanted counts inside the GPU budget. */
export function clampToBudget(wanted: Counts, nows: readonly Now[], spec: PlannerSpec, steps: Step[]): Counts {
  const budget = { minGpus: spec.min_gpu_budget, maxGpus: spec.max_gpu_budget };
  const shareOf = ({ unit }: Now) => ({ replicas: wanted[unit.component] as number, gpus: unit.gpus, minEndpoint: unit.minEndpoint });
  const [first, second] = nows;
  if (first === undefined) return wanted;
  const clamped: Counts = { ...wanted };
  if (second === undefined) clamped[first.unit.component] = clampSingle(shareOf(first), budget);
  else [clamped[first.unit.component], clamped[second.unit.component]] = clampPair(shareOf(first), shareOf(second), budget);
  const before = nows.map(({ unit }) => wanted[unit.component]).join(" and ");
  const after = nows.map(({ unit }) => clamped[unit.component]).join(" and ");
  if (before !== after)
    steps.push(
      step(
        "gpu-budget",
        `${before} would not fit ${spec.max_gpu_budget < 0 ? "the least number of GPUs" : `${spec.max_gpu_budget} GPUs`}: ${after}.`,
        { ...budget },
      ),
    );
  return clamped;
}
