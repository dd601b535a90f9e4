import { onTestFinished } from "vitest";
import type { KubernetesObject } from "../../../src/platforms/index.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";

export interface Custom extends KubernetesObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** What an operator that is not here makes of its object: a Deployment, and the object's status. */
export interface Mirror {
  /** Of the custom object. */
  readonly path: string;
  readonly deployment: string;
  readonly labels: Readonly<Record<string, string>>;
  /** undefined: the Deployment's count is left alone. */
  replicasOf(object: Custom): number | undefined;
  /** Written as the object's status. */
  statusOf?(count: number): object;
}

/** Stands in for the operator until the test ends, acting every tenth of a second on what there is by then. */
export async function standIn(plane: Plane, { path, deployment: name, labels, replicasOf, statusOf }: Mirror): Promise<void> {
  const at = `/apis/apps/v1/namespaces/default/deployments/${name}`;
  const turn = async () => {
    const object = await plane.admin.ask<Custom>({ path });
    const replicas = replicasOf(object);
    const container = {
      ...{ name: "engine", image: "engine:1", ports: [{ name: "http", containerPort: 8000 }] },
      resources: { limits: { "nvidia.com/gpu": "1" } },
    };
    await plane.admin.ask({
      ...{ method: "PATCH", path: at, query: { fieldManager: "operator", force: true }, contentType: "application/apply-patch+yaml" },
      body: {
        ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name } },
        spec: {
          ...(replicas === undefined ? {} : { replicas }),
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [container] } },
        },
      },
    });
    if (statusOf === undefined) return;
    const { status = {} } = await plane.admin.ask<KubernetesObject & { status?: { replicas?: number } }>({ path: at });
    await plane.admin.ask({ method: "PATCH", path: `${path}/status`, body: { status: statusOf(status.replicas ?? 0) } });
  };
  await turn();
  const ending = new AbortController();
  const running = (async () => {
    while (!ending.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await turn().catch(() => {}); // the object changed meanwhile, or is gone
    }
  })();
  onTestFinished(async () => {
    ending.abort();
    await running;
  });
}
