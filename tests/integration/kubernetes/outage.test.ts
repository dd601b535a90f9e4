import { readFileSync } from "node:fs";
import type { ClientRequest } from "node:http";
import { request } from "node:https";
import { expect, it, onTestFinished } from "vitest";
import { realClock } from "../../../src/clock/index.ts";
import { startController } from "../../../src/controller/index.ts";
import { adminDoor } from "../../../src/http/index.ts";
import { statusWhen } from "../../../src/platforms/conformance.ts";
import { connectKubernetes, type KubernetesObject, type PlatformStatus } from "../../../src/platforms/index.ts";
import { folder } from "../../e2e/tidegate.ts";
import { startClients, stream } from "../clients.ts";
import { startGatewayProcess } from "./gateway.ts";
import { engineAnnotation, loopbackPods, podModel, startKubelet } from "./kubelet.ts";
import { type NetworkPath, startProxy } from "./proxy.ts";
import { type Witness, witness } from "./witness.ts";
import { applyWorkload, endpointOn, openPlatform, openPlatformAt, planeForFile, platformSpec, waitFor, workloadPath } from "./workload.ts";

/** How long servers and networks are away; longer than what is known is trusted for (5 s). By hand also five minutes. */
const outageMs = Number(process.env["TIDEGATE_OUTAGE_MS"] ?? 9_000);

const plane = planeForFile(loopbackPods());
const ask = (replicas: number, drain: readonly string[] = []) => ({ kind: "scale", replicas, drain }) as const;
const inState = ({ replicas }: PlatformStatus, state: string) => replicas.filter((replica) => replica.state === state).map(({ id }) => id);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function watched(name: string): Promise<Witness> {
  const seen = await witness(plane(), name);
  onTestFinished(() => seen.stop());
  return seen;
}
async function proxied(): Promise<{ readonly proxy: NetworkPath; readonly kubeconfig: string }> {
  const proxy = await startProxy(plane().port);
  onTestFinished(() => proxy.close());
  return { proxy, kubeconfig: plane().kubeconfigFor("admin", ["system:masters"], proxy.port) };
}
/** Requests whose body does not come keep their place in the API server until its time-out. @returns what ends them */
function takeSeat(kubeconfig: string): () => void {
  const { clusters, users } = JSON.parse(readFileSync(kubeconfig, "utf8"));
  const data = (text: string) => Buffer.from(text, "base64");
  const [cluster, own] = [clusters[0].cluster, users[0].user];
  let left = false;
  let current: ClientRequest | null = null;
  const sit = () => {
    if (left) return;
    current = request(`${cluster.server}/api/v1/namespaces/default/configmaps`, {
      ...{ method: "POST", headers: { "content-type": "application/json", "content-length": 1_000 }, agent: false },
      ...{ ca: data(cluster["certificate-authority-data"]), cert: data(own["client-certificate-data"]) },
      key: data(own["client-key-data"]),
    });
    current.on("response", (response) => response.resume());
    current.on("error", () => {});
    current.on("close", () => setTimeout(sit, 20));
    current.flushHeaders();
  };
  sit();
  return () => {
    left = true;
    current?.destroy();
  };
}

const names = (seen: Witness) => seen.deleted.map(({ name }) => name);

it("the API server is away while a replica drains: streams go on, nothing is removed, and then that one replica only", async () => {
  const name = "outage";
  const kubelet = await startKubelet(plane());
  onTestFinished(() => kubelet.stop());
  await applyWorkload(plane(), name, { replicas: 3, annotations: engineAnnotation, pod: { terminationGracePeriodSeconds: 120 } });
  const gateway = await startGatewayProcess();
  const home = folder();
  onTestFinished(() => home.remove());
  const clock = realClock();
  const controller = await startController({
    endpoints: [
      {
        ...endpointOn(platformSpec(name, plane().kubeconfig, { drainTimeoutMs: 600_000 })),
        ...{ model: podModel, policy: { kind: "static", replicas: { default: 3 } } },
      },
    ],
    ...{
      fleet: null,
      doors: [adminDoor(gateway.admin, { token: null, clock })],
      stateFolder: home.path,
      clock,
      log: () => {},
      version: "test",
    },
  });
  onTestFinished(() => controller.close("leave"));
  const runner = controller.endpoint(name);
  const view = () => runner.view();
  await waitFor("three replicas", view, ({ now }) => now?.ready === 3, 120_000);
  const seen = await watched(name);
  const clients = startClients(4, { url: gateway.url, model: podModel, content: "hello there" });
  await clients.served(0, 3, 12, 120_000);

  const long = Array.from({ length: 3 }, () => stream({ url: gateway.url, model: podModel, content: "hello there", maxTokens: 600 }));
  await pause(500);
  runner.pin({ replicas: 2, untilMs: clock.now() + 3_600_000 });
  const draining = () => view().replicas.filter(({ state }) => state === "draining");
  const [victim] = await waitFor("one drains", draining, (all) => all.length === 1);
  await plane().stopApiServer();
  const before = clients.streams.length;
  await Promise.all([pause(outageMs), ...long]);
  // By now nothing is in flight on the victim, and nobody could be told so.
  expect(view().trouble).toMatchObject([{ code: "platform" }]);
  expect(runner.healthy()).toBe(false);
  expect(clients.streams.length).toBeGreaterThan(before);
  expect(names(seen)).toEqual([]);
  await plane().startApiServer();
  await waitFor(
    "the victim's end",
    () => names(seen),
    (all) => all.length > 0,
    120_000,
  );
  await waitFor("well again", view, ({ trouble, now }) => trouble.length === 0 && now?.ready === 2, 60_000);
  await clients.end();
  await seen.caughtUp();
  expect(names(seen)).toEqual([victim?.id]);
  expect(seen.counts).toEqual([3, 2]);
  expect(clients.failures).toEqual([]);
}, 900_000);

it("a watch that died in silence: nothing is removed by what it did not tell, and it is found out", async () => {
  const name = "silent-watch";
  await applyWorkload(plane(), name, { replicas: 3 });
  const { proxy, kubeconfig } = await proxied();
  const real = realClock();
  // Silence of 150 s counts as death: here of six.
  const clock = { ...real, after: (ms: number, done: () => void) => real.after(ms === 150_000 ? 6_000 : ms, done) };
  const { platform, lines } = await openPlatformAt(plane(), name, { kubeconfig }, clock);
  onTestFinished(() => platform.close("leave"));
  const up = await statusWhen(platform, (status) => inState(status, "ready").length === 3, 60_000);
  const [lost] = inState(up, "ready") as [string];
  const seen = await watched(name);
  const podPath = `/api/v1/namespaces/default/pods/${lost}`;
  // Heard of by the watch, some time after it was asked for.
  await pause(1_000);
  await plane().admin.ask({ method: "PATCH", path: podPath, body: { metadata: { annotations: { heard: "yes" } } } });
  await pause(1_000);
  proxy.silenceWatch();
  await plane().admin.ask({ method: "DELETE", path: podPath });
  await waitFor(
    "its deletion",
    () => names(seen),
    (all) => all.length === 1,
  );
  expect(inState(await platform.status(), "ready")).toContain(lost);

  // Asked to end the one that is long gone: another one must not go in its place, drained or not.
  const said = await platform.scale("default", ask(2, [lost])).catch((error: { code: string }) => error.code);
  expect(said).toBe("platform/busy");
  await pause(1_000);
  await seen.caughtUp();
  expect(names(seen)).toEqual([lost]);
  expect(seen.counts).toEqual([3]);

  await waitFor(
    "that it is found out",
    () => lines.join("\n"),
    (text) => text.includes("was silent for"),
    30_000,
  );
  const now = await statusWhen(
    platform,
    (status) => inState(status, "ready").length === 3 && !inState(status, "ready").includes(lost),
    60_000,
  );
  expect(now.pools["default"]).toMatchObject({ wanted: 3, otherWriter: false });
  expect(await platform.scale("default", ask(2))).toBe("accepted");
  const [victim] = inState(await platform.status(), "draining") as [string];
  platform.drained(victim);
  await waitFor(
    "the victim's end",
    () => names(seen),
    (all) => all.length === 2,
    90_000,
  );
  await seen.caughtUp();
  expect(names(seen)).toEqual([lost, victim]);
  expect(seen.counts).toEqual([3, 2]);
}, 180_000);

it("a network that swallows everything: it holds, and goes on when the network is back", async () => {
  const name = "swallowed";
  await applyWorkload(plane(), name, { replicas: 3 });
  const { proxy, kubeconfig } = await proxied();
  const { platform } = await openPlatform(plane(), name, { kubeconfig });
  onTestFinished(() => platform.close("leave"));
  await statusWhen(platform, (status) => inState(status, "ready").length === 3, 60_000);
  const seen = await watched(name);
  await platform.scale("default", ask(2));
  const [victim] = inState(await platform.status(), "draining") as [string];
  proxy.swallow();
  platform.drained(victim);
  await expect(platform.scale("default", ask(1))).rejects.toMatchObject({ code: "platform/unreachable", retryable: true });
  const code = () =>
    platform.status().then(
      () => "well",
      (error: { code: string }) => error.code,
    );
  await waitFor("that it is blind", code, (is) => is === "platform/unreachable", 120_000);
  await pause(outageMs);
  expect(names(seen)).toEqual([]);
  proxy.pass();
  await waitFor("sight", code, (is) => is === "well", 60_000);
  await waitFor(
    "the victim's end",
    () => {
      platform.drained(victim);
      return names(seen);
    },
    (all) => all.length > 0,
    120_000,
  );
  await seen.caughtUp();
  expect(names(seen)).toEqual([victim]);
  expect(seen.counts).toEqual([3, 2]);
}, 300_000);

it("an API server that throttles us (429): it waits as told, holds, and goes on", async () => {
  const name = "throttled";
  const user = "throttled";
  await applyWorkload(plane(), name, { replicas: 3 });
  await plane().apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/throttled", {
    ...{ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", metadata: { name: user } },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: user }],
  });
  const opened = await openPlatform(plane(), name, { kubeconfig: plane().kubeconfigFor(user) });
  onTestFinished(() => opened.platform.close("leave"));
  await statusWhen(opened.platform, (status) => inState(status, "ready").length === 3, 60_000);
  const seen = await watched(name);
  await opened.platform.scale("default", ask(2));
  const [victim] = inState(await opened.platform.status(), "draining") as [string];

  const flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
  const apiVersion = "flowcontrol.apiserver.k8s.io/v1";
  // The API server's own way of throttling: a level of one seat, which a request that never ends has taken.
  await plane().apply(`${flow}/prioritylevelconfigurations/jail`, {
    ...{ apiVersion, kind: "PriorityLevelConfiguration", metadata: { name: "jail" } },
    spec: {
      type: "Limited",
      limited: { nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: { type: "Reject" } },
    },
  });
  await plane().apply(`${flow}/flowschemas/jail`, {
    ...{ apiVersion, kind: "FlowSchema", metadata: { name: "jail" } },
    spec: {
      ...{ matchingPrecedence: 3, priorityLevelConfiguration: { name: "jail" } },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: user } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true }],
        },
      ],
    },
  });
  const leaveSeat = takeSeat(plane().kubeconfigFor(user));
  onTestFinished(leaveSeat);
  const code = () =>
    opened.platform.status().then(
      () => "well",
      (error: { code: string; status?: number }) => `${error.code} ${error.status}`,
    );
  await waitFor(
    "that it is throttled",
    () =>
      opened.platform.scale("default", ask(2)).then(
        () => "",
        (error) => error.code,
      ),
    (is) => is === "platform/busy",
    60_000,
  );
  opened.platform.drained(victim);
  await waitFor("that it holds", code, (is) => is === "platform/busy 429", 120_000);
  await seen.caughtUp();
  expect(names(seen)).toEqual([]);
  leaveSeat();
  await waitFor("well again", code, (is) => is === "well", 60_000);
  await waitFor(
    "the victim's end",
    () => {
      opened.platform.drained(victim);
      return names(seen);
    },
    (all) => all.length > 0,
    120_000,
  );
  await seen.caughtUp();
  expect(names(seen)).toEqual([victim]);
  expect(seen.counts).toEqual([3, 2]);
}, 300_000);

it("a right that is taken away while a replica drains: nothing else goes, and that one when the right is back", async () => {
  const name = "withdrawn";
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const rights = (scaleVerbs: readonly string[]) =>
    plane().apply(`${rbac}/roles/${name}`, {
      ...{ apiVersion, kind: "Role", metadata: { name } },
      rules: [
        { apiGroups: ["apps"], resources: ["deployments/scale"], verbs: scaleVerbs },
        { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch", "patch"] },
      ],
    });
  await rights(["get", "patch"]);
  await plane().apply(`${rbac}/rolebindings/${name}`, {
    ...{ apiVersion, kind: "RoleBinding", metadata: { name } },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
    subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name }],
  });
  await applyWorkload(plane(), name, { replicas: 3 });
  const { platform, lines } = await openPlatform(plane(), name, { kubeconfig: plane().kubeconfigFor(name) });
  onTestFinished(() => platform.close("leave"));
  await statusWhen(platform, (status) => inState(status, "ready").length === 3, 60_000);
  const seen = await watched(name);
  await platform.scale("default", ask(2));
  const [victim] = inState(await platform.status(), "draining") as [string];
  await rights(["get"]);
  const api = await connectKubernetes({ kubeconfig: plane().kubeconfigFor(name), context: null });
  onTestFinished(() => api.close());
  const probe = {
    method: "PATCH",
    path: `${workloadPath(name)}/scale`,
    query: { dryRun: "All" },
    body: { spec: { replicas: 3 } },
  } as const;
  await waitFor(
    "that it is denied",
    () =>
      api.ask(probe).then(
        () => 200,
        (error: { status: number }) => error.status,
      ),
    (status) => status === 403,
    30_000,
  );
  platform.drained(victim);
  await waitFor(
    "the warning",
    () => lines.join("\n"),
    (text) => /cannot patch resource "deployments\/scale"/.test(text),
    30_000,
  );
  await pause(3_000);
  await seen.caughtUp();
  expect(names(seen)).toEqual([]);
  expect(seen.counts).toEqual([3]);
  await rights(["get", "patch"]);
  await waitFor(
    "the victim's end",
    () => names(seen),
    (all) => all.length > 0,
    120_000,
  );
  await seen.caughtUp();
  expect(names(seen)).toEqual([victim]);
  expect(seen.counts).toEqual([3, 2]);
  const path = `/api/v1/namespaces/default/pods`;
  const { items } = await plane().admin.ask<{ items: KubernetesObject[] }>({ path, query: { labelSelector: `app=${name}` } });
  expect(items).toHaveLength(2);
}, 180_000);
