import { randomInt } from "node:crypto";
import { realClock } from "../../../src/clock/index.ts";
import { type Emulator, startEmulator } from "../../../src/emulator/index.ts";
import { findProfile } from "../../../src/engine/index.ts";
import type { KubernetesList, KubernetesObject } from "../../../src/platforms/index.ts";
import type { Plane } from "./plane/plane.ts";

/** For `planeForFile`: each pod has an address of its own on loopback, out of a range that another plane hardly has too. */
export const loopbackPods = () => ({ flags: { kwok: [`--cidr=127.${randomInt(64, 255)}.${16 * randomInt(16)}.0/20`] } });
/** On a pod's template: its engine is run by `startKubelet`. */
export const engineAnnotation = { "test/kubelet": "engine" } as const;

export const podModel = "emulated/llama-3.1-8b";
const port = 8000;

interface Pod extends KubernetesObject {
  readonly metadata: KubernetesObject["metadata"] & { readonly deletionGracePeriodSeconds?: number };
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly phase?: string; readonly podIP?: string };
}

export interface Kubelet {
  /** Addresses with an engine now. */
  running(): readonly string[];
  stop(): Promise<void>;
}

/**
 * Runs an emulated engine for each pod that asks for one, on the pod's own address, as a kubelet runs containers: the pod is ready
 * once the engine answers; a deleted one first waits, as the preStop hook of docs/kubernetes.md does, until its engine has nothing
 * to do, at most for its grace period; then engine and pod end.
 */
export async function startKubelet(plane: Plane): Promise<Kubelet> {
  const engines = new Map<string, Emulator>();
  const busy = new Map<string, Promise<void>>();
  let stopped = false;

  async function begin({ metadata, status }: Pod): Promise<void> {
    const profile = findProfile("8B");
    const { kvCapacityTokens } = profile;
    const engine = await startEmulator({
      ...{ host: status?.podIP ?? "", port, model: podModel, profile, podName: metadata.name, clock: realClock(), seed: 1 },
      engine: { maxNumSeqs: 64, maxNumBatchedTokens: 2048, kvCapacityTokens, watermark: 0.01, overheadMs: 1.5 },
      ...{ maxModelLen: 16_384, prefixCaching: false, coldStartMs: 0, coldStartSigma: 0 },
    });
    engines.set(metadata.uid, engine);
    while ((await fetch(`${engine.url}/health`)).status !== 200) await pause(50);
    const now = new Date().toISOString().replace(/\.\d+/, "");
    const is = (type: string) => ({ type, status: "True", lastTransitionTime: now });
    await plane.admin
      .ask({
        ...{ method: "PATCH", path: `${pathOf(metadata)}/status`, contentType: "application/strategic-merge-patch+json" },
        body: { status: { conditions: [is("ContainersReady"), is("Ready")] } },
      })
      .catch(() => {}); // deleted meanwhile
  }

  async function end({ metadata }: Pod): Promise<void> {
    const engine = engines.get(metadata.uid);
    if (engine !== undefined) {
      const endMs = performance.now() + (metadata.deletionGracePeriodSeconds ?? 30) * 1000;
      await pause(5_000);
      while (performance.now() < endMs && !(await isIdle(engine))) await pause(250);
      await engine.close();
      engines.delete(metadata.uid);
    }
    await plane.admin.ask({
      method: "DELETE",
      path: pathOf(metadata),
      body: { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } },
    });
  }

  function look(pod: Pod): void {
    const { uid, deletionTimestamp, annotations } = pod.metadata;
    if (annotations?.["test/kubelet"] === undefined) return;
    const phase = deletionTimestamp === undefined ? "begin" : "end";
    if (busy.has(`${phase} ${uid}`) || (phase === "begin" && (pod.status?.podIP === undefined || pod.status.phase !== "Running"))) return;
    const before = busy.get(`begin ${uid}`) ?? Promise.resolve();
    busy.set(
      `${phase} ${uid}`,
      before
        .then(() => (phase === "begin" ? begin(pod) : end(pod)))
        .catch((error) => stopped || console.error(`kubelet: ${error}`)) as Promise<void>,
    );
  }

  const looking = (async () => {
    while (!stopped) {
      const { items } = await plane.admin
        .ask<KubernetesList<Pod>>({ path: "/api/v1/namespaces/default/pods" })
        .catch((): KubernetesList<Pod> => ({ metadata: { resourceVersion: "" }, items: [] }));
      for (const pod of items) look(pod);
      await pause(200);
    }
  })();

  return {
    running: () => [...engines.values()].map(({ url }) => url),
    async stop() {
      stopped = true;
      await looking;
      await Promise.all([...engines.values()].map((engine) => engine.close()));
    },
  };
}

async function isIdle({ url }: Emulator): Promise<boolean> {
  const page = await (await fetch(`${url}/metrics`)).text();
  const counts = [...page.matchAll(/^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)$/gm)];
  return counts.length > 0 && counts.every(([, count]) => Number(count) === 0);
}

const pathOf = ({ name }: KubernetesObject["metadata"]) => `/api/v1/namespaces/default/pods/${name}`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
