import { type ApiRequest, answeredError, type KubernetesApi } from "../api.ts";
import type { KubernetesObject } from "../objects.ts";

export interface Stored extends KubernetesObject {
  spec: Record<string, unknown>;
  status?: Record<string, unknown>;
}
interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

/** Kinds by group and version; those with a scale have their count in `spec.replicas`. */
const served: Readonly<Record<string, Readonly<Record<string, { readonly kind: string; readonly scale: boolean }>>>> = {
  "/apis/apps/v1": { deployments: { kind: "Deployment", scale: true } },
  "/apis/leaderworkerset.x-k8s.io/v1": { leaderworkersets: { kind: "LeaderWorkerSet", scale: true } },
  "/apis/serving.kserve.io/v1beta1": { inferenceservices: { kind: "InferenceService", scale: false } },
  "/apis/serving.kserve.io/v1alpha1": { llminferenceservices: { kind: "LLMInferenceService", scale: false } },
  "/apis/serving.kserve.io/v1alpha2": { llminferenceservices: { kind: "LLMInferenceService", scale: false } },
  "/apis/ray.io/v1": { rayclusters: { kind: "RayCluster", scale: false }, rayservices: { kind: "RayService", scale: false } },
  "/apis/orchestration.aibrix.ai/v1alpha1": { stormservices: { kind: "StormService", scale: true } },
};

/** Objects in namespace `default`, as an API server keeps them: versions that grow, and a conflict for who patches an old one. `without`: groups not served. */
export function objectStore(objects: Readonly<Record<string, Partial<Stored>>>, without: readonly string[] = []) {
  const stored = new Map<string, Stored>();
  const patches: { path: string; body: unknown }[] = [];
  /** Called before each patch, to be quicker than it. */
  let before = (_path: string) => {};
  for (const [path, object] of Object.entries(objects)) put(path, object);

  function put(path: string, object: Partial<Stored>): void {
    const name = path.split("/").at(-1) as string;
    const resourceVersion = String(Number(stored.get(path)?.metadata.resourceVersion ?? 0) + 1);
    const meta = { name, namespace: "default", uid: name, creationTimestamp: "2026-01-01T00:00:00Z", ...object.metadata, resourceVersion };
    stored.set(path, { spec: {}, ...object, metadata: meta });
  }

  const get = (path: string): Stored => {
    const object = stored.get(path);
    if (object === undefined) throw answeredError({ path }, 404, `${path} not found`, null);
    return structuredClone(object);
  };

  function patch(path: string, versionRead: unknown, change: (object: Stored) => void): Stored {
    before(path);
    const object = get(path);
    if (versionRead !== object.metadata.resourceVersion)
      throw answeredError({ method: "PATCH", path }, 409, "the object has been modified", null);
    change(object);
    put(path, object);
    return get(path);
  }

  function answer({ method = "GET", path: asked, body }: ApiRequest): unknown {
    const group = without.includes(asked) ? undefined : served[asked];
    if (group !== undefined) {
      const resources = Object.entries(group).flatMap(([name, { kind, scale }]) => [
        { name, kind, namespaced: true },
        ...(scale ? [{ name: `${name}/scale`, kind: "Scale", namespaced: true }] : []),
      ]);
      return { resources };
    }
    const isScale = asked.endsWith("/scale");
    const path = `/${asked
      .replace(/\/scale$/, "")
      .split("/")
      .filter((part, at, all) => part !== "namespaces" && all[at - 1] !== "namespaces")
      .slice(1)
      .join("/")}`;
    if (method === "GET") return isScale ? scaleOf(get(path)) : get(path);
    patches.push({ path: asked, body });
    if (isScale) {
      const { metadata, spec } = body as Stored;
      return scaleOf(
        patch(path, metadata.resourceVersion, (object) => {
          object.spec["replicas"] = spec["replicas"];
        }),
      );
    }
    const [version, ...rest] = body as Operation[];
    return patch(path, version?.value, (object) => {
      for (const operation of rest) set(object, operation);
    });
  }

  const api: KubernetesApi = {
    server: "https://store",
    ask: async (request) => answer(request) as never,
    watch: () => Promise.reject(new Error("not here")),
    skewMs: () => 0,
    close: () => {},
  };
  return {
    api,
    patches,
    put,
    get,
    beforePatch(next: (path: string) => void) {
      before = next;
    },
  };
}

const scaleOf = ({ metadata, spec }: Stored) => ({
  metadata,
  spec: { replicas: spec["replicas"] },
  status: { selector: `app=${metadata.name}` },
});

function set(object: Stored, { path, value }: Operation): void {
  const keys = path.split("/").slice(1);
  const last = keys.pop() as string;
  const inner = keys.reduce((at, key) => at[key] as Record<string, unknown>, object as unknown as Record<string, unknown>);
  inner[last] = value;
}
