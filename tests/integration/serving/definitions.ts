import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { KubernetesObject } from "../../../src/platforms/index.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";

/** Files of upstream's modules, as they are; where they lie is in the suite's environment. */
const upstream = {
  InferenceService: ["TIDEGATE_KSERVE", "config/crd/full/serving.kserve.io_inferenceservices.yaml"],
  LLMInferenceService: ["TIDEGATE_KSERVE", "config/crd/full/llmisvc/serving.kserve.io_llminferenceservices.yaml"],
  RayCluster: ["TIDEGATE_KUBERAY", "config/crd/bases/ray.io_rayclusters.yaml"],
  RayService: ["TIDEGATE_KUBERAY", "config/crd/bases/ray.io_rayservices.yaml"],
  RayJob: ["TIDEGATE_KUBERAY", "config/crd/bases/ray.io_rayjobs.yaml"],
  LeaderWorkerSet: ["TIDEGATE_LWS", "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"],
} as const;

/**
 * Where upstream publishes no Go module: group, names, version and scale paths, and no field that does not matter here.
 * - vllm-project/aibrix v0.7: RayClusterFleet and StormService (`api/orchestration/v1alpha1`), PodAutoscaler (`api/autoscaling/v1alpha1`).
 * - vllm-project/production-stack, operator of chart 0.1.12: VLLMRuntime (`operator/api/v1alpha1`).
 * - ai-dynamo/dynamo: DynamoGraphDeploymentScalingAdapter (`deploy/operator/api/v1alpha1`).
 */
const own = {
  RayClusterFleet: { group: "orchestration.aibrix.ai", plural: "rayclusterfleets", spec: "replicas", selector: "scalingTargetSelector" },
  StormService: { group: "orchestration.aibrix.ai", plural: "stormservices", spec: "replicas", selector: "scalingTargetSelector" },
  PodAutoscaler: { group: "autoscaling.aibrix.ai", plural: "podautoscalers", spec: null, selector: null },
  VLLMRuntime: { group: "production-stack.vllm.ai", plural: "vllmruntimes", spec: "deploymentConfig.replicas", selector: "selector" },
  DynamoGraphDeploymentScalingAdapter: {
    group: "nvidia.com",
    plural: "dynamographdeploymentscalingadapters",
    spec: "replicas",
    selector: "selector",
  },
} as const;

export type CustomKind = keyof typeof upstream | keyof typeof own;

const loose = { type: "object", "x-kubernetes-preserve-unknown-fields": true } as const;

function definitionOf(kind: CustomKind): { readonly metadata: { readonly name: string } } {
  if (kind in upstream) {
    const [variable, file] = upstream[kind as keyof typeof upstream];
    return parse(readFileSync(join(process.env[variable] as string, file), "utf8"));
  }
  const { group, plural, spec, selector } = own[kind as keyof typeof own];
  const scale = {
    ...{ specReplicasPath: `.spec.${spec}`, statusReplicasPath: ".status.replicas", labelSelectorPath: `.status.${selector}` },
  };
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      ...{ group, scope: "Namespaced", names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` } },
      versions: [
        {
          ...{ name: "v1alpha1", served: true, storage: true },
          schema: { openAPIV3Schema: { type: "object", properties: { spec: loose, status: loose } } },
          subresources: { status: {}, ...(spec === null ? {} : { scale }) },
        },
      ],
    },
  };
  return definition;
}

interface Established extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Installs the custom resource definitions and waits until they are served. */
export async function install(plane: Plane, ...kinds: readonly CustomKind[]): Promise<void> {
  for (const kind of kinds) {
    const definition = definitionOf(kind);
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`;
    await plane.apply(path, definition);
    await waitFor(
      `${kind} to be served`,
      () => plane.admin.ask<Established>({ path }),
      ({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Established" && is === "True") === true,
      60_000,
    );
  }
}
