import type { Target } from "../../../model/index.ts";
import { isStatus, refused } from "../api.ts";
import type { KubernetesObject } from "../objects.ts";
import { findResource } from "../resource.ts";
import { leaderWorkerSet } from "./leader-worker-set.ts";
import { scaleSubresource } from "./scale-subresource.ts";
import type { ScaleTarget, TargetContext, TargetKind } from "./target.ts";

interface Workload {
  readonly replicas?: number;
  readonly scaling?: object;
}
interface LlmInferenceService extends KubernetesObject {
  readonly spec: Workload & { readonly prefill?: Workload };
}

/** Served by the releases that keep a workload's count. */
const NEWEST = "serving.kserve.io/v1alpha2";
const STOP = "serving.kserve.io/stop";

/**
 * The workload that KServe makes of it: a Deployment, or a LeaderWorkerSet where it has workers; with `part: prefill` that of
 * `spec.prefill`. Its count is ours only while neither `replicas` nor `scaling` is set there.
 * Source: kserve/kserve, `pkg/controller/v1alpha2/llmisvc` (v0.17 to v0.20: names of workloads, PreserveDeploymentReplicas).
 */
export const llmInferenceService: TargetKind = {
  group: "serving.kserve.io",
  kind: "LLMInferenceService",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    const { api, namespace } = context;
    const { part, name } = target;
    const called = `LLMInferenceService ${name}`;
    if (part !== undefined && part !== "prefill")
      throw refused(`${called} has no part ${part}: leave platform.target.part out, or write prefill`);
    if (!(await isServed(NEWEST, context)))
      throw refused(
        `${called} is of a KServe before 0.17, which sets its workload back to one replica wherever spec.replicas is not set: use KServe 0.17 or later`,
      );
    const path = await findResource(api, { ...target, apiVersion: NEWEST }, namespace);
    const field = part === undefined ? "spec" : "spec.prefill";

    const read = () => api.ask<LlmInferenceService>({ path });
    /** What in it sets the count; null: nothing. */
    const setBy = ({ spec }: LlmInferenceService): "replicas" | "scaling" | null => {
      const workload = part === undefined ? spec : spec.prefill;
      if (workload?.scaling !== undefined) return "scaling";
      return workload?.replicas === undefined ? null : "replicas";
    };
    const service = await read();
    if (part !== undefined && service.spec.prefill === undefined)
      throw refused(`${called} has no spec.prefill: remove platform.target.part, or add it`);
    const set = setBy(service);
    if (set === "replicas")
      throw refused(
        `${called} sets ${field}.replicas (${(part === undefined ? service.spec : service.spec.prefill)?.replicas}), which KServe would set again after each of our changes: remove it`,
      );
    if (set === "scaling")
      throw refused(
        `${called} has ${field}.scaling, so that KServe's own autoscaler sets the count: remove it, or keep it and let it follow the bridge`,
      );

    const suffix = part === undefined ? "" : "-prefill";
    const single: Target = { apiVersion: "apps/v1", kind: "Deployment", name: `${name}-kserve${suffix}` };
    const several: Target = { apiVersion: "leaderworkerset.x-k8s.io/v1", kind: "LeaderWorkerSet", name: `${name}-kserve-mn${suffix}` };
    const workload = (await opened(single, context)) ?? (await opened(several, context));
    if (workload === null)
      throw refused(
        `${called} has neither Deployment ${single.name} nor LeaderWorkerSet ${several.name}: wait until KServe has made it, or, where its name was shortened, name it as platform.target`,
      );
    return {
      ...workload,
      name: `${called} (${workload.name})`,
      async owner() {
        const now = await read();
        if (now.metadata.annotations?.[STOP] === "true") return `KServe (annotation ${STOP}: "true")`;
        const by = setBy(now);
        return by === null ? workload.owner() : `KServe (${field}.${by}; remove it)`;
      },
    };
  },
};

/** null: there is none of that name. */
async function opened(target: Target, context: TargetContext): Promise<ScaleTarget | null> {
  const served = target.kind === "Deployment" || (await isServed(target.apiVersion, context));
  if (!served) return null;
  const workload = await (target.kind === "Deployment" ? scaleSubresource(target, context) : leaderWorkerSet.open(target, context));
  try {
    await workload.read();
    return workload;
  } catch (error) {
    if (isStatus(error, 404)) return null;
    throw error;
  }
}

async function isServed(apiVersion: string, { api }: TargetContext): Promise<boolean> {
  try {
    await api.ask({ path: `/apis/${apiVersion}` });
    return true;
  } catch (error) {
    if (isStatus(error, 404)) return false;
    throw error;
  }
}
