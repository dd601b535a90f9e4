/** What holds replicas on Kubernetes: any scale subresource, and the kinds that need more, one file each. */
import type { Target } from "../../../model/index.ts";
import { groupOf } from "../resource.ts";
import { inferenceService } from "./inference-service.ts";
import { leaderWorkerSet } from "./leader-worker-set.ts";
import { llmInferenceService } from "./llm-inference-service.ts";
import { rayCluster, rayService } from "./ray.ts";
import { refusePart, scaleSubresource } from "./scale-subresource.ts";
import { stormService } from "./storm-service.ts";
import type { ScaleTarget, TargetContext, TargetKind } from "./target.ts";

export type { Count, Grouping, ScaleTarget } from "./target.ts";

const kinds: readonly TargetKind[] = [inferenceService, leaderWorkerSet, llmInferenceService, rayCluster, rayService, stormService];

/** @throws TidegateError `platform/refused` where it cannot be scaled as it is, with the way out */
export async function openTarget(target: Target, context: TargetContext): Promise<ScaleTarget> {
  const special = kinds.find(({ group, kind }) => kind === target.kind && group === groupOf(target.apiVersion));
  if (special !== undefined) return special.open(target, context);
  refusePart(target);
  return scaleSubresource(target, context);
}
