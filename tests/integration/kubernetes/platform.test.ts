import { expect, it } from "vitest";
import { statusWhen } from "../../../src/platforms/conformance.ts";
import type { PlatformStatus } from "../../../src/platforms/index.ts";
import { testNode } from "./plane/plane.ts";
import { applyWorkload, openPlatform, planeForFile, scaleBy, scaleOf, waitFor, workloadPath } from "./workload.ts";

const plane = planeForFile();
const ask = (replicas: number, drain: readonly string[] = []) => ({ kind: "scale", replicas, drain }) as const;
const ready = ({ replicas }: PlatformStatus) => replicas.filter(({ state }) => state === "ready");
const inState = (status: PlatformStatus, state: string) => status.replicas.filter((replica) => replica.state === state);

it("scales a Deployment up through the stages of a cold start, and down by its drain", async () => {
  await applyWorkload(plane(), "stages", { annotations: { "test/running-after": "2s", "test/ready-after": "3s" } });
  const { platform } = await openPlatform(plane(), "stages");
  expect(await platform.scale("default", ask(2))).toBe("accepted");
  const pulling = await statusWhen(platform, (status) => status.replicas.filter(({ stage }) => stage === "pull").length === 2);
  expect(pulling.replicas).toMatchObject([
    { state: "starting", readiness: null },
    { state: "starting", readiness: null },
  ]);
  await statusWhen(platform, (status) => status.replicas.filter(({ stage }) => stage === "load").length === 2);
  const up = await statusWhen(platform, (status) => ready(status).length === 2, 30_000);
  for (const { entered, url, requests, readiness } of up.replicas) {
    expect(url).toMatch(/^http:\/\/[\d.]+:8000$/);
    expect(readiness).toMatchObject({ status: true });
    expect(requests).toEqual({ engine: { cpu: 0.5, memory: 2 ** 30 } });
    // Kubernetes writes whole seconds.
    expect(entered.ready! - entered.load!).toBeGreaterThanOrEqual(2_000);
    expect(entered.load! - entered.pull!).toBeGreaterThanOrEqual(1_000);
    expect(entered.pull!).toBeGreaterThanOrEqual(entered.starting!);
  }
  const [stays, goes] = up.replicas.map(({ id }) => id) as [string, string];
  expect(await platform.scale("default", ask(1, [goes]))).toBe("accepted");
  expect(await scaleOf(plane(), "stages")).toBe(2);
  expect(await platform.status()).toMatchObject({ pools: { default: { wanted: 1, reported: 1 } } });
  platform.drained(goes);
  const down = await statusWhen(platform, (status) => inState(status, "gone").length === 1);
  expect(inState(down, "gone").map(({ id }) => id)).toEqual([goes]);
  expect(ready(down).map(({ id }) => id)).toEqual([stays]);
  expect(await scaleOf(plane(), "stages")).toBe(1);
  await platform.close("leave");
});

it("takes a draining replica back before it starts another one", async () => {
  await applyWorkload(plane(), "back", { replicas: 2 });
  const { platform } = await openPlatform(plane(), "back");
  const before = await statusWhen(platform, (status) => ready(status).length === 2);
  await platform.scale("default", ask(1));
  expect(inState(await platform.status(), "draining")).toHaveLength(1);
  await platform.scale("default", ask(2));
  const after = await platform.status();
  expect(
    ready(after)
      .map(({ id }) => id)
      .sort(),
  ).toEqual(before.replicas.map(({ id }) => id).sort());
  expect(after.pools["default"]).toMatchObject({ wanted: 2, reported: 2 });
  await platform.close("leave");
});

it("gives up a drain after its time-out", async () => {
  await applyWorkload(plane(), "overdue", { replicas: 1 });
  const { platform, lines } = await openPlatform(plane(), "overdue", { drainTimeoutMs: 1_500 });
  await statusWhen(platform, (status) => ready(status).length === 1);
  await platform.scale("default", ask(0));
  await statusWhen(platform, (status) => inState(status, "gone").length === 1);
  expect(lines.join("\n")).toContain("still had requests in flight after 1500 ms");
  await platform.close("leave");
});

it("waits with a drained ready victim while its ReplicaSet would delete a starting pod in its place", async () => {
  await applyWorkload(plane(), "rank", { replicas: 2, annotations: { "test/ready-after": "1s" } });
  const { platform } = await openPlatform(plane(), "rank");
  const two = await statusWhen(platform, (status) => ready(status).length === 2);
  // The third pod takes a second to be ready: until then the ReplicaSet ranks it before any ready one.
  await platform.scale("default", ask(3));
  const starting = await statusWhen(platform, (status) => inState(status, "starting").length === 1);
  const young = inState(starting, "starting")[0]!.id;
  const victim = two.replicas[0]!.id;
  await platform.scale("default", ask(2, [victim]));
  platform.drained(victim);
  const done = await statusWhen(platform, (status) => inState(status, "gone").length === 1, 30_000);
  expect(inState(done, "gone").map(({ id }) => id)).toEqual([victim]);
  expect(done.replicas.map(({ id }) => id)).toContain(young);
  await platform.close("leave");
});

it("goes on from the marks on the pods: a restart alone changes no count", async () => {
  await applyWorkload(plane(), "resume", { replicas: 3 });
  const first = await openPlatform(plane(), "resume");
  await statusWhen(first.platform, (status) => ready(status).length === 3);
  await first.platform.scale("default", ask(2));
  const before = await first.platform.status();
  await first.platform.close("leave");
  const second = await openPlatform(plane(), "resume");
  const after = await second.platform.status();
  expect(after.pools).toEqual(before.pools);
  expect(after.replicas.map(({ id, state }) => [id, state]).sort()).toEqual(before.replicas.map(({ id, state }) => [id, state]).sort());
  expect(await scaleOf(plane(), "resume")).toBe(3);
  second.platform.drained(inState(after, "draining")[0]!.id);
  await statusWhen(second.platform, (status) => inState(status, "gone").length === 1);
  expect(await scaleOf(plane(), "resume")).toBe(2);
  await second.platform.close("leave");
});

it("tells a pod that fits on no node from one that boots, and hears the node autoscaler", async () => {
  await applyWorkload(plane(), "big", { gpus: 100 });
  const { platform } = await openPlatform(plane(), "big");
  await platform.scale("default", ask(1));
  const stuck = await statusWhen(platform, (status) => status.replicas.some(({ trouble }) => trouble?.code === "unschedulable"));
  expect(stuck.replicas[0]).toMatchObject({
    state: "starting",
    stage: "schedule",
    message: expect.stringContaining("Insufficient nvidia.com/gpu"),
  });
  const name = stuck.replicas[0]!.id;
  const pod = await plane().admin.ask<{ metadata: { uid: string } }>({ path: `/api/v1/namespaces/default/pods/${name}` });
  const now = new Date().toISOString().replace(/\.\d+/, "");
  await plane().admin.ask({
    method: "POST",
    path: "/api/v1/namespaces/default/events",
    body: {
      apiVersion: "v1",
      kind: "Event",
      metadata: { generateName: "scale-up-" },
      involvedObject: { kind: "Pod", namespace: "default", name, uid: pod.metadata.uid },
      reason: "TriggeredScaleUp",
      message: "pod triggered scale-up: [{gpu-pool 1->2 (max: 4)}]",
      source: { component: "cluster-autoscaler" },
      ...{ type: "Normal", firstTimestamp: now, lastTimestamp: now, count: 1 },
    },
  });
  const comes = await statusWhen(platform, (status) => status.replicas[0]?.stage === "provision", 20_000);
  expect(comes.replicas[0]).not.toHaveProperty("trouble");
  await plane().apply("/api/v1/nodes/node-gpu", testNode("node-gpu", 128));
  const up = await statusWhen(platform, (status) => ready(status).length === 1, 30_000);
  expect(up.replicas[0]!.entered).toMatchObject({ provision: expect.any(Number), pull: expect.any(Number), ready: expect.any(Number) });
  await platform.close("leave");
});

it("does not take a rollout's surge pods for growth", async () => {
  const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 2, maxUnavailable: 0 } };
  await applyWorkload(plane(), "rollout", { replicas: 3, strategy });
  const { platform } = await openPlatform(plane(), "rollout");
  await statusWhen(platform, (status) => ready(status).length === 3);
  let most = 0;
  let mostReported = 0;
  const watch = async () => {
    const { pools, replicas } = await platform.status();
    most = Math.max(most, replicas.filter(({ state }) => state === "ready" || state === "starting").length);
    mostReported = Math.max(mostReported, pools["default"]!.reported);
    expect(pools["default"]).toMatchObject({ wanted: 3, otherWriter: false });
  };
  const leave = platform.onChange(() => void watch());
  await applyWorkload(plane(), "rollout", { replicas: 3, strategy, annotations: { "test/ready-after": "1s", revision: "2" } });
  await waitFor(
    "the rollout's end",
    () => platform.status(),
    (status) => inState(status, "gone").length === 3 && ready(status).length === 3,
  );
  leave();
  expect(most).toBeGreaterThan(3);
  expect(mostReported).toBe(3);
  await platform.close("leave");
});

it("leaves a count alone that somebody else set, and says who", async () => {
  await applyWorkload(plane(), "manual", { replicas: 1 });
  const { platform, lines } = await openPlatform(plane(), "manual");
  await platform.scale("default", ask(2));
  await scaleBy(plane(), "manual", 4, "a-person");
  const other = await statusWhen(platform, ({ pools }) => pools["default"]!.otherWriter);
  expect(other.pools["default"]).toMatchObject({ wanted: 4 });
  expect(lines.join("\n")).toMatch(/a-person set the count from 2 to 4; left alone for 60 s/);
  expect(await platform.scale("default", ask(2))).toBe("conflict");
  expect(await scaleOf(plane(), "manual")).toBe(4);
  await platform.close("leave");
});

it("never writes against an HPA that is bound to the same target", async () => {
  await applyWorkload(plane(), "bound", { replicas: 1 });
  const { platform, lines } = await openPlatform(plane(), "bound");
  await platform.scale("default", ask(2));
  await plane().apply("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/bound", {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "bound" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "bound" },
      ...{ minReplicas: 5, maxReplicas: 6 },
      metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } } }],
    },
  });
  await statusWhen(platform, ({ pools }) => pools["default"]!.wanted === 5, 20_000);
  await waitFor(
    "the warning",
    () => lines.join("\n"),
    (text) => text.includes("HorizontalPodAutoscaler bound set the count"),
  );
  expect(await platform.scale("default", ask(2))).toBe("conflict");
  await platform.close("leave");
  const later = await openPlatform(plane(), "bound");
  expect(later.lines.join("\n")).toContain("HorizontalPodAutoscaler bound sets its count");
  expect(await later.platform.scale("default", ask(2))).toBe("conflict");
  expect(await scaleOf(plane(), "bound")).toBe(5);
  await later.platform.close("leave");
});

it("writes through conflicts: an object that changes all the time is still scaled", async () => {
  await applyWorkload(plane(), "busy", { replicas: 1 });
  const { platform } = await openPlatform(plane(), "busy");
  let stopped = false;
  const noise = (async () => {
    for (let at = 0; !stopped; at++) {
      const body = { metadata: { annotations: { noise: String(at) } } };
      await plane().admin.ask({ method: "PATCH", path: workloadPath("busy"), body });
    }
  })();
  for (const replicas of [3, 1, 4, 2]) {
    expect(await platform.scale("default", ask(replicas))).toBe("accepted");
    for (const { id } of inState(await platform.status(), "draining")) platform.drained(id);
    await statusWhen(platform, ({ pools }) => pools["default"]!.reported === replicas);
  }
  stopped = true;
  await noise;
  expect(
    await waitFor(
      "the count",
      () => scaleOf(plane(), "busy"),
      (count) => count === 2,
    ),
  ).toBe(2);
  await platform.close("leave");
});

it("closes and opens a pod's readiness gate with its drain", async () => {
  await applyWorkload(plane(), "gated", { replicas: 1, pod: { readinessGates: [{ conditionType: "tidegate.dev/serving" }] } });
  const { platform } = await openPlatform(plane(), "gated");
  const up = await statusWhen(platform, (status) => ready(status).length === 1, 20_000);
  const readyCondition = async () => {
    const path = `/api/v1/namespaces/default/pods/${up.replicas[0]!.id}`;
    const pod = await plane().admin.ask<{ status: { conditions: { type: string; status: string }[] } }>({ path });
    return pod.status.conditions.find(({ type }) => type === "Ready")?.status;
  };
  await platform.scale("default", ask(0));
  expect(await waitFor("not ready", readyCondition, (status) => status === "False")).toBe("False");
  await platform.scale("default", ask(1));
  expect(await waitFor("ready again", readyCondition, (status) => status === "True")).toBe("True");
  await platform.close("leave");
});

it("scales a custom resource through the paths that its own definition names", async () => {
  const group = "test.tidegate.dev";
  await plane().apply(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/runtimes.${group}`, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `runtimes.${group}` },
    spec: {
      ...{ group, scope: "Namespaced", names: { plural: "runtimes", singular: "runtime", kind: "Runtime", listKind: "RuntimeList" } },
      versions: [
        {
          ...{ name: "v1", served: true, storage: true },
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
          subresources: {
            status: {},
            scale: {
              ...{ specReplicasPath: ".spec.deployment.replicas", statusReplicasPath: ".status.replicas" },
              labelSelectorPath: ".status.selector",
            },
          },
        },
      ],
    },
  });
  const path = `/apis/${group}/v1/namespaces/default/runtimes`;
  const runtime = { apiVersion: `${group}/v1`, kind: "Runtime", metadata: { name: "own" }, spec: { deployment: { replicas: 1 } } };
  const made = await waitFor(
    "the custom resource",
    () =>
      plane()
        .apply(`${path}/own`, runtime)
        .then(
          () => "made",
          (error: Error) => error.message,
        ),
    (said) => said === "made",
  );
  expect(made).toBe("made");
  const target = { apiVersion: `${group}/v1`, kind: "Runtime", name: "own" };
  await expect(openPlatform(plane(), "own", { target })).rejects.toMatchObject({ message: expect.stringContaining("names no pods") });
  await plane().admin.ask({ method: "PATCH", path: `${path}/own/status`, body: { status: { replicas: 1, selector: "app=own" } } });
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "own-0", labels: { app: "own" } },
    spec: { containers: [{ name: "engine", image: "e" }] },
  };
  await plane().apply("/api/v1/namespaces/default/pods/own-0", pod);
  const { platform } = await openPlatform(plane(), "own", { target, port: 8080 });
  const up = await statusWhen(platform, (status) => ready(status).length === 1);
  expect(up.replicas[0]!.url).toMatch(/:8080$/);
  expect(await platform.scale("default", ask(3))).toBe("accepted");
  const after = await plane().admin.ask<{ spec: object }>({ path: `${path}/own` });
  expect(after.spec).toEqual({ deployment: { replicas: 3 } });
  await platform.close("leave");
});
