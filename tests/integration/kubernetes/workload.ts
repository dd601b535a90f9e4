import { afterAll, beforeAll } from "vitest";
import { realClock } from "../../../src/clock/index.ts";
import type { Clock, Endpoint, KubernetesPlatformSpec, Log } from "../../../src/model/index.ts";
import { createPlatform, type KubernetesObject, type Platform } from "../../../src/platforms/index.ts";
import { type Plane, type PlaneOptions, startPlane } from "./plane/plane.ts";

/** One control plane for a file of tests. */
export function planeForFile(options: Omit<PlaneOptions, "programs"> = {}): () => Plane {
  let plane: Plane | null = null;
  beforeAll(async () => {
    plane = await startPlane({ programs: process.env["TIDEGATE_PLANE"] as string, ...options });
  });
  afterAll(async () => {
    await plane?.stop();
  });
  return () => plane as Plane;
}

export interface WorkloadOptions {
  readonly replicas?: number;
  readonly kind?: "Deployment" | "StatefulSet";
  readonly annotations?: Readonly<Record<string, string>>;
  readonly strategy?: object;
  readonly pod?: object;
  readonly gpus?: number;
}

export const workloadPath = (name: string, kind: "Deployment" | "StatefulSet" = "Deployment") =>
  `/apis/apps/v1/namespaces/default/${kind.toLowerCase()}s/${name}`;

export async function applyWorkload(plane: Plane, name: string, options: WorkloadOptions = {}): Promise<void> {
  const { kind = "Deployment", replicas = 0, annotations = {}, strategy, pod = {}, gpus } = options;
  const requests = { cpu: "500m", memory: "1Gi", ...(gpus === undefined ? {} : { "nvidia.com/gpu": String(gpus) }) };
  const container = {
    name: "engine",
    image: "engine:1",
    ports: [{ name: "http", containerPort: 8000 }],
    resources: { requests, ...(gpus === undefined ? {} : { limits: { "nvidia.com/gpu": String(gpus) } }) },
  };
  await plane.apply(workloadPath(name, kind), {
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      ...(kind === "StatefulSet"
        ? { serviceName: name, podManagementPolicy: "Parallel" }
        : { strategy: strategy ?? { type: "RollingUpdate" } }),
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { terminationGracePeriodSeconds: 0, containers: [container], ...pod },
      },
    },
  });
}

export const platformSpec = (name: string, kubeconfig: string, part: Partial<KubernetesPlatformSpec> = {}): KubernetesPlatformSpec => ({
  kind: "kubernetes",
  target: { apiVersion: "apps/v1", kind: "Deployment", name },
  targets: {},
  namespace: null,
  kubeconfig,
  context: null,
  port: null,
  drainTimeoutMs: 60_000,
  ...part,
});

export const endpointOn = (platform: KubernetesPlatformSpec): Endpoint => ({
  name: platform.target?.name ?? "endpoint",
  namespace: "default",
  model: "tiny",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: null, gpuMetrics: null },
  platform,
  pools: [{ name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 1, min: 0, max: 50, standby: 0 }],
  objective: { attainment: 0.9, timeToFirstTokenMs: 2_000, timePerOutputTokenMs: 100 },
  policy: { kind: "static", replicas: { default: 1 } },
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5_000,
  staleAfterMs: 15_000,
  gateway: { maxHeld: 100, holdTimeoutMs: 60_000, upstreamTimeoutMs: 60_000, maxBodyBytes: 1_000_000, attempts: 3 },
  dryRun: false,
});

export interface Opened {
  readonly platform: Platform;
  /** What it logged. */
  readonly lines: string[];
}

/** `skewMs`: how wrong our clock is. */
export const openPlatform = (plane: Plane, name: string, part: Partial<KubernetesPlatformSpec> = {}, skewMs = 0): Promise<Opened> => {
  const real = realClock();
  return openPlatformAt(plane, name, part, { ...real, now: () => real.now() + skewMs });
};

export async function openPlatformAt(plane: Plane, name: string, part: Partial<KubernetesPlatformSpec>, clock: Clock): Promise<Opened> {
  const lines: string[] = [];
  const log: Log = (level, message) => lines.push(`${level} ${message}`);
  const endpoint = endpointOn(platformSpec(name, plane.kubeconfig, part));
  return { platform: await createPlatform(endpoint, { stateFolder: "unused", clock, log }), lines };
}

export const scaleOf = async (plane: Plane, name: string): Promise<number> =>
  (await plane.admin.ask<KubernetesObject & { spec: { replicas?: number } }>({ path: `${workloadPath(name)}/scale` })).spec.replicas ?? 0;

/** As somebody else would. */
export async function scaleBy(plane: Plane, name: string, replicas: number, fieldManager: string): Promise<void> {
  await plane.admin.ask({ method: "PATCH", path: `${workloadPath(name)}/scale`, query: { fieldManager }, body: { spec: { replicas } } });
}

export async function waitFor<Value>(
  what: string,
  ask: () => Promise<Value> | Value,
  good: (value: Value) => boolean,
  limitMs = 20_000,
): Promise<Value> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const value = await ask();
    if (good(value)) return value;
    if (performance.now() > endMs) throw new Error(`${what} never came: ${JSON.stringify(value, null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const rule = (apiGroups: readonly string[], resources: readonly string[], verbs: readonly string[]) => ({
  apiGroups,
  resources,
  verbs,
});

/** Gives the user these rights in namespace default, and no others. */
export async function grant(plane: Plane, user: string, rules: readonly object[]): Promise<void> {
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const apiVersion = "rbac.authorization.k8s.io/v1";
  await plane.apply(`${rbac}/roles/${user}`, { apiVersion, kind: "Role", metadata: { name: user }, rules });
  await plane.apply(`${rbac}/rolebindings/${user}`, {
    ...{ apiVersion, kind: "RoleBinding", metadata: { name: user } },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: user },
    subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: user }],
  });
}
