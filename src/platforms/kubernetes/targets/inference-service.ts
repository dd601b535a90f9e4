import type { Target } from "../../../model/index.ts";
import { isStatus, refused } from "../api.ts";
import type { KubernetesObject } from "../objects.ts";
import { findResource } from "../resource.ts";
import { lastWriter } from "../writers.ts";
import { scaleSubresource } from "./scale-subresource.ts";
import { type Count, compareAndSet, patchFields, type ScaleTarget, type TargetContext, type TargetKind } from "./target.ts";

interface Component {
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
}
interface InferenceService extends KubernetesObject {
  readonly spec: Readonly<Record<string, Component | undefined>>;
}

const CLASS = "serving.kserve.io/autoscalerClass";
const MODE = "serving.kserve.io/deploymentMode";
const STOP = "serving.kserve.io/stop";
const components = ["predictor", "transformer", "explainer"];

/** What KServe takes where nothing is said: an HPA on CPU. */
const classOf = ({ metadata }: InferenceService): string => metadata.annotations?.[CLASS] ?? "hpa";

/**
 * The component's Deployment (`part`: predictor, unless said otherwise).
 * - Class `external`: KServe leaves the Deployment's count alone; it is scaled.
 * - Class `none`: KServe sets it to the component's `minReplicas` again and again; that is what is written.
 * - Any other class: KServe's own autoscaler owns the count, and we do not write against it.
 *
 * Source: kserve/kserve, `reconcilers/{autoscaler,deployment}` of v1beta1 (v0.16 to v0.20).
 */
export const inferenceService: TargetKind = {
  group: "serving.kserve.io",
  kind: "InferenceService",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    const { api, namespace } = context;
    const part = target.part ?? "predictor";
    const called = `InferenceService ${target.name}`;
    if (!components.includes(part))
      throw refused(`${called} has no component ${part}: platform.target.part is one of ${components.join(", ")}`);
    const path = await findResource(api, target, namespace);
    const read = () => api.ask<InferenceService>({ path });
    const service = await read();
    const mode = service.metadata.annotations?.[MODE];
    if (mode === "Knative" || mode === "Serverless" || mode === "ModelMesh")
      throw refused(
        `${called} is in deployment mode ${mode}, where KServe has no Deployment that others may scale: set the annotations ${MODE}: Standard and ${CLASS}: external`,
      );
    const workload: Target = { apiVersion: "apps/v1", kind: "Deployment", name: `${target.name}-${part}` };
    const deployment = await scaleSubresource(workload, context, { name: `${called} (Deployment ${workload.name})` });
    await deployment.read().catch((error) => {
      if (!isStatus(error, 404)) throw error;
      const modes = mode === undefined ? `; where KServe's default is Knative, set the annotation ${MODE}: Standard` : "";
      throw refused(`${called} has no Deployment ${workload.name} yet: wait until KServe has made it${modes}`);
    });

    async function owner(): Promise<string | null> {
      const now = await read();
      if (now.metadata.annotations?.[STOP] === "true") return `KServe (annotation ${STOP}: "true")`;
      const other = classOf(now);
      if (other !== "external" && other !== "none") return `KServe (autoscalerClass ${other}; set the annotation ${CLASS}: external)`;
      return deployment.owner();
    }
    if (classOf(service) !== "none") return { ...deployment, owner };

    const selector = async () => (await deployment.read()).selector;
    const countOf = ({ spec }: InferenceService): Omit<Count, "selector"> => {
      const { minReplicas = 1, maxReplicas = 0 } = spec[part] ?? {};
      const max = maxReplicas === 0 ? Number.POSITIVE_INFINITY : maxReplicas;
      return { replicas: minReplicas, limits: { min: 0, max, stated: `spec.${part}.maxReplicas` } };
    };
    return {
      ...deployment,
      name: `${called} (spec.${part}.minReplicas)`,
      read: async () => ({ ...countOf(await read()), selector: await selector() }),
      async write(from, to) {
        const known = await selector();
        const place = {
          read,
          countOf: (seen: InferenceService): Count => ({ ...countOf(seen), selector: known }),
          set: async (seen: InferenceService): Promise<Count> => {
            const field = `/spec/${part}/minReplicas`;
            return { ...countOf(await patchFields<InferenceService>(api, path, seen, { [field]: to })), selector: known };
          },
        };
        return compareAndSet(place, from, to);
      },
      lastWriter: () => lastWriter(api, path, ["minReplicas"]),
      owner,
    };
  },
};
