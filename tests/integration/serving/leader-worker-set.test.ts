import { afterAll, beforeAll, expect, it } from "vitest";
import { statusWhen } from "../../../src/platforms/conformance.ts";
import type { KubernetesObject } from "../../../src/platforms/index.ts";
import { planeForFile, rule, waitFor } from "../kubernetes/workload.ts";
import { ask, bind, bindAs, grow, limitMs, ready, readyOf, shrink } from "./bound.ts";
import { install } from "./definitions.ts";
import { type Operator, startLeaderWorkerSet } from "./operators.ts";

const plane = planeForFile();
let operator: Operator;
beforeAll(async () => {
  await install(plane(), "LeaderWorkerSet");
  operator = await startLeaderWorkerSet(plane());
});
afterAll(() => operator?.stop());

const target = (name: string) => ({ apiVersion: "leaderworkerset.x-k8s.io/v1", kind: "LeaderWorkerSet", name });
const pathOf = (name: string) => `/apis/leaderworkerset.x-k8s.io/v1/namespaces/default/leaderworkersets/${name}`;

async function apply(name: string, size: number, replicas: number, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
  const container = { name: "engine", image: "engine:1", ports: [{ name: "http", containerPort: 8000 }] };
  const engine = { ...container, resources: { limits: { "nvidia.com/gpu": "8" } } };
  await plane().apply(pathOf(name), {
    ...{ apiVersion: "leaderworkerset.x-k8s.io/v1", kind: "LeaderWorkerSet", metadata: { name } },
    spec: {
      replicas,
      leaderWorkerTemplate: {
        size,
        workerTemplate: { metadata: { annotations }, spec: { terminationGracePeriodSeconds: 0, containers: [engine] } },
      },
    },
  });
}

interface Named {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
}
const podsOf = async (name: string): Promise<readonly Named[]> => {
  const query = { labelSelector: `leaderworkerset.sigs.k8s.io/name=${name}` };
  return (await plane().admin.ask<{ items: Named[] }>({ path: "/api/v1/namespaces/default/pods", query })).items;
};
const namesOf = async (name: string): Promise<readonly string[]> => (await podsOf(name)).map(({ metadata }) => metadata.name).sort();

it("a replica is a whole group: three pods up, the leader's address, the highest group down", async () => {
  await apply("groups", 3, 0);
  const rights = [rule(["leaderworkerset.x-k8s.io"], ["leaderworkersets/scale"], ["get", "patch"])];
  const opened = await bindAs(plane(), "groups-user", rights, target("groups"));
  expect(await grow(opened, 2)).toEqual(["groups-0", "groups-1"]);
  expect(await namesOf("groups")).toEqual(["groups-0", "groups-0-1", "groups-0-2", "groups-1", "groups-1-1", "groups-1-2"]);
  const leader = await plane().admin.ask<{ status: { podIP: string } }>({ path: "/api/v1/namespaces/default/pods/groups-1" });
  const { replicas } = await opened.platform.status();
  expect(replicas.find(({ id }) => id === "groups-1")?.url).toBe(`http://${leader.status.podIP}:8000`);
  expect(opened.lines.find((line) => line.includes("GPUs"))).toContain("a replica (3 pods) asks for 24 GPUs");
  // Named or not: a LeaderWorkerSet always deletes its highest group, and so that one drains.
  expect(await shrink(opened, 1, ["groups-0"])).toEqual(["groups-1"]);
  await waitFor(
    "its pods to go",
    () => namesOf("groups"),
    (names) => names.length === 3,
    limitMs,
  );
  expect(await shrink(opened, 0)).toEqual(["groups-0"]);
});

it("is not ready before its last pod, and not any more without it", async () => {
  await apply("slow", 2, 1, { "test/ready-after": "2s" });
  const opened = await bind(plane(), target("slow"));
  const up = await readyOf(opened, 1);
  const pods = await Promise.all(
    ["slow-0", "slow-0-1"].map((name) =>
      plane().admin.ask<{ status: { conditions: { type: string; lastTransitionTime: string }[] } }>({
        path: `/api/v1/namespaces/default/pods/${name}`,
      }),
    ),
  );
  const readyMs = pods.map(({ status }) => Date.parse(status.conditions.find(({ type }) => type === "Ready")?.lastTransitionTime ?? ""));
  expect(up.replicas[0]?.entered.ready).toBe(Math.max(...readyMs));
  // The controller starts a group anew when one of its pods is lost: this replica goes, and another comes.
  await plane().admin.ask({ method: "DELETE", path: "/api/v1/namespaces/default/pods/slow-0-1" });
  await statusWhen(opened.platform, (status) => ready(status).length === 0, limitMs);
  await readyOf(opened, 1);
});

it("pods that a rollout adds are no growth", async () => {
  await apply("rolled", 2, 2, { "test/ready-after": "1s" });
  const opened = await bind(plane(), target("rolled"));
  await readyOf(opened, 2);
  const most = { wanted: 0, reported: 0 };
  const leave = opened.platform.onChange(async () => {
    const { pools } = await opened.platform.status();
    for (const key of ["wanted", "reported"] as const) most[key] = Math.max(most[key], pools["default"]?.[key] ?? 0);
  });
  await plane().admin.ask({
    ...{ method: "PATCH", path: pathOf("rolled") },
    body: { spec: { rolloutStrategy: { type: "RollingUpdate", rollingUpdateConfiguration: { maxUnavailable: 1, maxSurge: 1 } } } },
  });
  await apply("rolled", 2, 2, { "test/ready-after": "1s", revision: "2" });
  const rolled = async () => {
    const revisions = (await podsOf("rolled")).map(({ metadata }) => metadata.annotations?.["revision"]);
    const { status } = await plane().admin.ask<{ status?: { readyReplicas?: number } }>({ path: pathOf("rolled") });
    return { revisions, ready: status?.readyReplicas };
  };
  await waitFor(
    "the rollout",
    rolled,
    ({ revisions, ready: count }) => count === 2 && revisions.length === 4 && revisions.every((one) => one === "2"),
    120_000,
  );
  leave();
  expect(most).toEqual({ wanted: 2, reported: 2 });
  expect(await opened.platform.scale("default", ask(2))).toBe("accepted");
});

it("hears what node autoscalers say of a worker that fits on no node", async () => {
  const container = { name: "engine", image: "engine:1", ports: [{ name: "http", containerPort: 8000 }] };
  const huge = { ...container, resources: { limits: { "nvidia.com/gpu": "1000" } } };
  const spec = (engine: object) => ({ spec: { terminationGracePeriodSeconds: 0, containers: [engine] } });
  await plane().apply(pathOf("huge"), {
    ...{ apiVersion: "leaderworkerset.x-k8s.io/v1", kind: "LeaderWorkerSet", metadata: { name: "huge" } },
    spec: { replicas: 1, leaderWorkerTemplate: { size: 2, leaderTemplate: spec(container), workerTemplate: spec(huge) } },
  });
  const opened = await bind(plane(), target("huge"));
  const waiting = await statusWhen(opened.platform, ({ replicas }) => replicas[0]?.trouble?.code === "unschedulable", limitMs);
  expect(waiting.replicas).toMatchObject([
    { id: "huge-0", state: "starting", stage: "schedule", message: expect.stringContaining("huge-0-1 fits on no node") },
  ]);
  const worker = await plane().admin.ask<KubernetesObject>({ path: "/api/v1/namespaces/default/pods/huge-0-1" });
  await plane().admin.ask({
    ...{ method: "POST", path: "/api/v1/namespaces/default/events" },
    body: {
      ...{
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: "huge.1" },
        reason: "TriggeredScaleUp",
        message: "pod triggered scale-up: 1->2",
      },
      ...{ type: "Normal", source: { component: "cluster-autoscaler" }, lastTimestamp: new Date().toISOString() },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "default", name: "huge-0-1", uid: worker.metadata.uid },
    },
  });
  const coming = await statusWhen(opened.platform, ({ replicas }) => replicas[0]?.stage === "provision", limitMs);
  expect(coming.replicas[0]?.trouble).toBeUndefined();
});
