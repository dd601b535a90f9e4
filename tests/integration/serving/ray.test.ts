import { afterAll, beforeAll, expect, it } from "vitest";
import { planeForFile, rule, waitFor } from "../kubernetes/workload.ts";
import { ask, bind, bindAs, grow, limitMs, readyOf, shrink } from "./bound.ts";
import { install } from "./definitions.ts";
import { type Operator, startKubeRay } from "./operators.ts";

const plane = planeForFile();
let operator: Operator;
beforeAll(async () => {
  await install(plane(), "RayCluster", "RayService", "RayJob");
  operator = await startKubeRay(plane(), "RayMultiHostIndexing=true");
});
afterAll(() => operator?.stop());

interface Group {
  readonly groupName: string;
  readonly replicas: number;
  readonly scaleStrategy?: { readonly workersToDelete?: readonly string[] };
}
interface Cluster {
  readonly spec: { readonly workerGroupSpecs: readonly Group[] };
}

const base = "/apis/ray.io/v1/namespaces/default";
const clusterPath = (name: string) => `${base}/rayclusters/${name}`;
const servicePath = (name: string) => `${base}/rayservices/${name}`;
const target = (kind: "RayCluster" | "RayService", name: string, part?: string) => ({ apiVersion: "ray.io/v1", kind, name, part });

const template = (name: string, ports: Readonly<Record<string, number>>, image = "ray:1", graceSeconds = 0) => ({
  spec: {
    terminationGracePeriodSeconds: graceSeconds,
    containers: [
      {
        ...{ name, image, resources: { limits: { cpu: "1", memory: "1Gi" } } },
        ports: Object.entries(ports).map(([port, containerPort]) => ({ name: port, containerPort })),
      },
    ],
  },
});
const worker = (image?: string, graceSeconds?: number) => template("ray-worker", { serve: 8000 }, image, graceSeconds);
const group = (groupName: string, part: object = {}) => ({
  ...{ groupName, replicas: 1, minReplicas: 0, maxReplicas: 4, rayStartParams: {}, template: worker() },
  ...part,
});
const clusterSpec = (groups: readonly object[], part: object = {}) => ({
  rayVersion: "2.52.0",
  headGroupSpec: {
    rayStartParams: {},
    template: template("ray-head", { "gcs-server": 6379, client: 10001, dashboard: 8265, serve: 8000 }),
  },
  workerGroupSpecs: groups,
  ...part,
});
const applyCluster = (name: string, spec: object) =>
  plane().apply(clusterPath(name), { apiVersion: "ray.io/v1", kind: "RayCluster", metadata: { name }, spec });
const groupsOf = async (name: string): Promise<readonly Group[]> =>
  (await plane().admin.ask<Cluster>({ path: clusterPath(name) })).spec.workerGroupSpecs;

it("scales a worker group of a RayCluster and names the worker that goes", async () => {
  await applyCluster("chat", clusterSpec([group("cpu"), group("gpu")]));
  const opened = await bind(plane(), target("RayCluster", "chat", "gpu"));
  const workers = await grow(opened, 3);
  expect(workers.every((name) => name.startsWith("chat-gpu-worker-"))).toBe(true);
  const victim = workers[1] as string;
  expect(await shrink(opened, 2, [victim])).toEqual([victim]);
  expect((await groupsOf("chat")).map(({ groupName, replicas }) => [groupName, replicas])).toEqual([
    ["cpu", 1],
    ["gpu", 2],
  ]);
  expect((await groupsOf("chat"))[1]?.scaleStrategy?.workersToDelete).toEqual([victim]);
  // The next count names nobody that is to stay.
  await grow(opened, 3);
  expect((await groupsOf("chat"))[1]?.scaleStrategy?.workersToDelete ?? []).toEqual([]);
  expect(await shrink(opened, 0)).toHaveLength(3);
  await expect(opened.platform.scale("default", ask(5))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining("minReplicas and maxReplicas of worker group gpu of RayCluster chat allow 0 to 4"),
  });
  expect(opened.lines.filter((line) => line.includes("make them alike"))).toHaveLength(1);
});

it("keeps the other workers while a named one takes its time to end", async () => {
  const slow = { metadata: { annotations: { "test/ending-takes": "6s" } }, ...worker("ray:1", 60) };
  await applyCluster("lasting", clusterSpec([group("gpu", { replicas: 3, template: slow })]));
  const opened = await bind(plane(), target("RayCluster", "lasting"));
  const workers = (await readyOf(opened, 3)).replicas.map(({ id }) => id);
  const [first, second, third] = workers as [string, string, string];
  for (const [to, victim] of [
    [2, first],
    [1, second],
  ] as const) {
    expect(await opened.platform.scale("default", ask(to, [victim]))).toBe("accepted");
    opened.platform.drained(victim);
    await waitFor(
      "the count",
      () => groupsOf("lasting"),
      ([one]) => one?.replicas === to,
    );
  }
  const left = await readyOf(opened, 1);
  expect(left.replicas.filter(({ state }) => state === "ready").map(({ id }) => id)).toEqual([third]);
});

it("a replica of several hosts is one: up together, down together", async () => {
  await applyCluster("slices", clusterSpec([group("tpu", { replicas: 0, numOfHosts: 2 })]));
  const opened = await bind(plane(), target("RayCluster", "slices", "tpu"));
  const leaders = await grow(opened, 2);
  const podsOf = async () => {
    const query = { labelSelector: "ray.io/cluster=slices,ray.io/node-type=worker" };
    type Pods = { items: { metadata: { name: string; labels: Record<string, string> } }[] };
    return (await plane().admin.ask<Pods>({ path: "/api/v1/namespaces/default/pods", query })).items;
  };
  expect(await podsOf()).toHaveLength(4);
  expect(await shrink(opened, 1, [leaders[0] as string])).toEqual([leaders[0]]);
  const pods = await waitFor("the other host to go", podsOf, (all) => all.length === 2, limitMs);
  expect(new Set(pods.map(({ metadata }) => metadata.labels["ray.io/worker-group-replica-name"])).size).toBe(1);
});

it("leaves a cluster to Ray's own autoscaler, and says how to take it over", async () => {
  await applyCluster("own", clusterSpec([group("gpu")], { enableInTreeAutoscaling: true }));
  const opened = await bind(plane(), target("RayCluster", "own", "gpu"));
  expect(opened.lines.join("\n")).toContain("Ray's own autoscaler (enableInTreeAutoscaling: true; set it to false) sets its count");
  expect(await opened.platform.scale("default", ask(3))).toBe("conflict");
  expect((await groupsOf("own"))[0]?.replicas).toBe(1);
});

it.each([
  { part: undefined, says: "has 2 worker groups (a, b): say which in platform.target.part" },
  { part: "c", says: "has no worker group c; it has a, b: correct platform.target.part" },
])("says which worker groups there are, for part $part", async ({ part, says }) => {
  await applyCluster("several", clusterSpec([group("a"), group("b")]));
  await expect(bind(plane(), target("RayCluster", "several", part))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining(says),
  });
});

interface Service {
  readonly spec: { readonly rayClusterConfig: Cluster["spec"] };
  readonly status?: {
    readonly activeServiceStatus?: { readonly rayClusterName?: string };
    readonly pendingServiceStatus?: { readonly rayClusterName?: string };
  };
}
const applyService = (name: string) =>
  plane().apply(servicePath(name), {
    ...{ apiVersion: "ray.io/v1", kind: "RayService", metadata: { name } },
    spec: {
      serveConfigV2: "applications: [{ name: llm, import_path: llm:app, route_prefix: / }]",
      rayClusterDeletionDelaySeconds: 3,
      rayClusterConfig: clusterSpec([group("gpu")]),
    },
  });
const activeOf = async (name: string): Promise<string> =>
  (await plane().admin.ask<Service>({ path: servicePath(name) })).status?.activeServiceStatus?.rayClusterName ?? "";

it("scales a RayService's active cluster with the rights that the documentation names, and an upgrade goes on with the count", async () => {
  await applyService("serve");
  const first = await waitFor(
    "an active cluster",
    () => activeOf("serve"),
    (name) => name !== "",
    120_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}\n${operator.log()}`);
  });
  const rights = [rule(["ray.io"], ["rayclusters", "rayservices"], ["get", "patch"])];
  const opened = await bindAs(plane(), "serve-user", rights, target("RayService", "serve", "gpu"));
  await grow(opened, 3);
  expect((await groupsOf(first))[0]?.replicas).toBe(3);
  expect((await plane().admin.ask<Service>({ path: servicePath("serve") })).spec.rayClusterConfig.workerGroupSpecs[0]?.replicas).toBe(3);

  // A new image makes a new cluster. Whoever rolls it out leaves the count alone.
  const { admin } = plane();
  const image = "/spec/rayClusterConfig/workerGroupSpecs/0/template/spec/containers/0/image";
  await admin.ask({
    ...{ method: "PATCH", path: servicePath("serve"), contentType: "application/json-patch+json", query: { fieldManager: "pipeline" } },
    body: [{ op: "replace", path: image, value: "ray:2" }],
  });
  const second = await waitFor(
    "the next cluster",
    () => activeOf("serve"),
    (name) => name !== "" && name !== first,
    120_000,
  );
  expect((await groupsOf(second))[0]?.replicas).toBe(3);
  const up = await waitFor(
    "its workers",
    () => opened.platform.status(),
    ({ replicas }) => replicas.filter(({ id, state }) => state === "ready" && id.startsWith(second)).length === 3,
    limitMs,
  );
  expect(up.pools["default"]).toEqual({ wanted: 3, reported: 3, otherWriter: false });
  expect(await shrink(opened, 2)).toHaveLength(1);
});
