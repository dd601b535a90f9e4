import type { EndpointStatus } from "../../../src/config/index.ts";
import { customResourceDefinitions } from "../../../src/config/index.ts";
import type { KubernetesObject } from "../../../src/platforms/index.ts";
import type { Plane } from "./plane/plane.ts";
import { waitFor } from "./workload.ts";

/** An Endpoint or Fleet as one writes or reads it. */
export interface OwnDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown };
  readonly spec: object;
  readonly status?: EndpointStatus;
}

/** Installs our kinds and waits until they are served. */
export async function applyDefinitions(plane: Plane): Promise<void> {
  for (const definition of customResourceDefinitions())
    await plane.apply(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`, definition);
  const listed = () =>
    plane.admin.ask<{ resources: { name: string }[] }>({ path: "/apis/tidegate.dev/v1alpha1" }).then(
      ({ resources }) => resources.map(({ name }) => name),
      () => [] as string[],
    );
  await waitFor("our kinds", listed, (names) => names.includes("endpoints") && names.includes("fleets"));
}

export const kindPath = ({ kind, metadata }: Pick<OwnDocument, "kind" | "metadata">): string =>
  `/apis/tidegate.dev/v1alpha1/namespaces/${metadata.namespace ?? "default"}/${kind.toLowerCase()}s/${metadata.name}`;

/** On a Deployment of the same name; keys of `spec` that are undefined are left out. */
export const endpointDocument = (name: string, spec: object = {}, namespace = "default"): OwnDocument => ({
  apiVersion: "tidegate.dev/v1alpha1",
  kind: "Endpoint",
  metadata: { name, namespace },
  spec: JSON.parse(
    JSON.stringify({
      model: name,
      engine: { kind: "vllm" },
      platform: { kind: "kubernetes", target: { apiVersion: "apps/v1", kind: "Deployment", name } },
      replicas: { min: 0, max: 8 },
      policy: { kind: "static", replicas: 1 },
      ...spec,
    }),
  ) as object,
});

export const readOwn = (plane: Plane, document: Pick<OwnDocument, "kind" | "metadata">): Promise<OwnDocument> =>
  plane.admin.ask<OwnDocument>({ path: kindPath(document) });

export interface ClusterEventObject extends KubernetesObject {
  readonly type: string;
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly reportingController: string;
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly series?: { readonly count: number };
}

export async function eventsOf(plane: Plane, name: string, namespace = "default"): Promise<readonly ClusterEventObject[]> {
  const { items } = await plane.admin.ask<{ items: ClusterEventObject[] }>({
    path: `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
  });
  return items.filter(({ regarding }) => regarding.kind === "Endpoint" && regarding.name === name);
}
