import type { KubernetesApi, KubernetesList, KubernetesObject } from "../../../src/platforms/index.ts";
import type { Plane } from "./plane/plane.ts";

interface Workload extends KubernetesObject {
  readonly spec: { readonly replicas?: number };
}

/** What an uninvolved client of the API server saw of a Deployment, by watches of its own that outlast the server's absence. */
export interface Witness {
  /** Each count that stood in the Deployment, in order, from the one that it had at first. */
  readonly counts: readonly number[];
  /** Pods whose deletion began, in order. */
  readonly deleted: readonly { readonly name: string; readonly atMs: number; readonly annotations: Readonly<Record<string, string>> }[];
  /** Until what has happened by now has been seen. */
  caughtUp(): Promise<void>;
  stop(): void;
}

export async function witness(plane: Plane, name: string): Promise<Witness> {
  const { admin } = plane;
  const ending = new AbortController();
  const counts: number[] = [];
  const deleted: { name: string; atMs: number; annotations: Readonly<Record<string, string>> }[] = [];
  const gone = new Set<string>();
  const alive = new Map<string, KubernetesObject>();
  const count = ({ spec }: Workload) => {
    const replicas = spec.replicas ?? 0;
    if (counts.at(-1) !== replicas) counts.push(replicas);
  };
  const lost = ({ metadata }: KubernetesObject) => {
    alive.delete(metadata.uid);
    if (gone.has(metadata.uid)) return;
    gone.add(metadata.uid);
    deleted.push({ name: metadata.name, atMs: performance.now(), annotations: metadata.annotations ?? {} });
  };
  const pod = (object: KubernetesObject) => {
    if (object.metadata.deletionTimestamp !== undefined) lost(object);
    else alive.set(object.metadata.uid, object);
  };
  const deployments = await follow<Workload>(admin, ending.signal, {
    ...{ path: "/apis/apps/v1/namespaces/default/deployments", query: { fieldSelector: `metadata.name=${name}` } },
    listed: (items) => items.forEach(count),
    changed: (_type, object) => count(object),
  });
  const pods = await follow<KubernetesObject>(admin, ending.signal, {
    ...{ path: "/api/v1/namespaces/default/pods", query: { labelSelector: `app=${name}` } },
    listed(items) {
      const there = new Set(items.map(({ metadata }) => metadata.uid));
      for (const before of [...alive.values()]) if (!there.has(before.metadata.uid)) lost(before);
      items.forEach(pod);
    },
    changed: (type, object) => (type === "DELETED" ? lost(object) : pod(object)),
  });
  return {
    counts,
    deleted,
    async caughtUp() {
      await Promise.all([deployments(), pods()]);
    },
    stop: () => ending.abort(new Error("stopped")),
  };
}

interface Followed<Item> {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  listed(items: readonly Item[]): void;
  changed(type: string, item: Item): void;
}

/** @returns a function that looks at what there is now, whatever the watch has told */
async function follow<Item extends KubernetesObject>(
  admin: KubernetesApi,
  signal: AbortSignal,
  { path, query, listed, changed }: Followed<Item>,
): Promise<() => Promise<void>> {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 300));
  let place: string | null = null;
  const list = async (): Promise<void> => {
    const { metadata, items } = await admin.ask<KubernetesList<Item>>({ path, query, signal });
    listed(items);
    place = metadata.resourceVersion;
  };
  await list();
  void (async () => {
    while (!signal.aborted) {
      try {
        if (place === null) await list();
        const asked: Readonly<Record<string, string | boolean>> = {
          ...query,
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: place as unknown as string,
        };
        for await (const event of await admin.watch<Item>({ path, query: asked, signal })) {
          if (event.type === "ERROR") {
            place = null;
            break;
          }
          place = event.object.metadata.resourceVersion;
          if (event.type !== "BOOKMARK") changed(event.type, event.object);
        }
      } catch {
        await pause(); // the server is away, or no longer has this place
        place = null;
      }
    }
  })();
  return async () => {
    await pause();
    await list();
  };
}
