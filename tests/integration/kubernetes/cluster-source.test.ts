import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { type RunningLoop, startLoop } from "../../../src/cli/loop.ts";
import { realClock } from "../../../src/clock/index.ts";
import { connectKubernetes } from "../../../src/platforms/index.ts";
import { applyDefinitions, endpointDocument, eventsOf, kindPath, type OwnDocument, readOwn } from "./definitions.ts";
import { applyWorkload, planeForFile, scaleBy, scaleOf, waitFor } from "./workload.ts";

const plane = planeForFile();
beforeAll(() => applyDefinitions(plane()));

interface Running {
  readonly loop: RunningLoop;
  readonly lines: string[];
  /** PATCHes of a status so far. */
  statusWrites(): number;
}

/** A controller of the objects in one namespace, as `tidegate controller --from-cluster` runs it. */
async function control(namespace: string, kubeconfig = plane().kubeconfig): Promise<Running> {
  const stateFolder = mkdtempSync(join(tmpdir(), "tidegate-cluster-"));
  const api = await connectKubernetes({ kubeconfig, context: null });
  let writes = 0;
  const cluster: typeof api = {
    ...api,
    ask: (request) => {
      if (request.method === "PATCH" && request.path.endsWith("/status") && request.path.includes("tidegate.dev")) writes++;
      return api.ask(request);
    },
  };
  const lines: string[] = [];
  const loop = await startLoop({
    ...{ files: { endpoints: [], fleet: null }, objects: { namespaces: [namespace], identity: "test" }, cluster, dryRun: false, doors: [] },
    ...{ stateFolder, clock: realClock(), log: (level, message) => void lines.push(`${level} ${message}`), version: "test" },
  });
  onTestFinished(async () => {
    await loop.close("leave");
    api.close();
    rmSync(stateFolder, { recursive: true, force: true });
  });
  return { loop, lines, statusWrites: () => writes };
}

async function newNamespace(name: string): Promise<void> {
  await plane().apply(`/api/v1/namespaces/${name}`, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
}
const apply = (document: OwnDocument) => plane().apply(kindPath(document), document);
const remove = (document: OwnDocument) => plane().admin.ask({ method: "DELETE", path: kindPath(document) });
const inNamespace = (namespace: string, name: string, spec: object = {}) => endpointDocument(name, { ...spec }, namespace);
const statusOf = async (document: OwnDocument) => (await readOwn(plane(), document)).status ?? {};
const conditionOf = async (document: OwnDocument, type: string) => (await statusOf(document)).conditions?.find((one) => one.type === type);
const bothNamed = (name: string, replicas: number, more: object = {}) =>
  endpointDocument(name, { policy: { kind: "static", replicas }, ...more });

it("controls an Endpoint that is added, takes over one that changed, and lets go of one that is deleted", async () => {
  // Kubernetes tells whole seconds: a start of none at all would not count as one that this controller saw.
  await applyWorkload(plane(), "added", { replicas: 1, annotations: { "test/ready-after": "2s" } });
  const { loop } = await control("default");
  await apply(bothNamed("added", 3));
  await waitFor(
    "the count",
    () => scaleOf(plane(), "added"),
    (count) => count === 3,
  );
  const up = await waitFor(
    "a status that is true",
    () => statusOf(bothNamed("added", 3)),
    ({ replicas, desired }) => replicas?.ready === 3 && desired === 3,
  );
  expect(up).toMatchObject({
    observedGeneration: 1,
    current: 3,
    bounds: { min: 0, max: 8 },
    policy: "static",
    pools: [{ name: "default", target: "deployment.apps/added", selector: "app=added", ready: 3, desired: 3 }],
    lastDecision: { from: 1, to: 3 },
  });
  const said = Object.fromEntries(up.conditions!.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
  expect(said).toMatchObject({
    Valid: "True ConfigValid",
    Ready: "True Serving",
    AbleToScale: expect.stringMatching(/^True/),
    ScalingActive: expect.stringMatching(/^True/),
    ScalingLimited: "False DesiredWithinRange",
    CapacityAvailable: "True NothingWaits",
    ReplicasHealthy: "True NoTrouble",
  });
  const [event] = await waitFor(
    "the event",
    () => eventsOf(plane(), "added"),
    (events) => events.length > 0,
  );
  expect(event).toMatchObject({
    ...{ type: "Normal", reason: "SuccessfulRescale", action: "Rescale", reportingController: "tidegate.dev/controller" },
    note: expect.stringContaining("New size: 3, from 1; reason: "),
  });

  const seq = loop.controller.endpoint("added").view().decisions[0]!.seq;
  await apply(bothNamed("added", 3, { replicas: { min: 2, max: 6 } }));
  const changed = await waitFor(
    "the new bounds",
    () => statusOf(bothNamed("added", 3)),
    ({ observedGeneration }) => observedGeneration === 2,
  );
  const taken = await waitFor(
    "the new bounds",
    () => statusOf(bothNamed("added", 3)),
    ({ bounds }) => bounds?.min === 2,
  );
  expect(taken).toMatchObject({ bounds: { min: 2, max: 6 }, replicas: { ready: 3 }, lastDecision: changed.lastDecision });
  await waitFor(
    "decisions that go on",
    () => loop.controller.endpoint("added").view().decisions[0]!.seq,
    (next) => next > seq,
  );
  expect(loop.controller.endpoint("added").view().coldStarts.length).toBeGreaterThan(0);
  expect(await scaleOf(plane(), "added")).toBe(3);

  await remove(bothNamed("added", 3));
  await waitFor(
    "it is let go",
    () => loop.controller.view().endpoints.length,
    (count) => count === 0,
  );
  expect(await scaleOf(plane(), "added")).toBe(3);
});

it("keeps its hands off a count while somebody else sets it, through a change of spec too, and says whose it is", async () => {
  await applyWorkload(plane(), "contended", { replicas: 1 });
  const { loop } = await control("default");
  await apply(bothNamed("contended", 2));
  await waitFor(
    "the count",
    () => scaleOf(plane(), "contended"),
    (count) => count === 2,
  );
  await scaleBy(plane(), "contended", 5, "kubectl-scale");
  const conflict = await waitFor(
    "the conflict",
    () => conditionOf(bothNamed("contended", 2), "AbleToScale"),
    (one) => one?.status === "False",
  );
  expect(conflict).toMatchObject({
    reason: "OtherWriter",
    message: expect.stringContaining("kubectl-scale sets its count; left alone for"),
  });
  await apply(bothNamed("contended", 3));
  await waitFor(
    "the new spec",
    () => loop.controller.endpoint("contended").desired().pools[0]?.desired,
    (desired) => desired === 3,
  );
  const events = await waitFor(
    "the event",
    () => eventsOf(plane(), "contended"),
    (all) => all.some(({ reason }) => reason === "FailedRescale"),
  );
  expect(events.find(({ reason }) => reason === "FailedRescale")).toMatchObject({
    type: "Warning",
    note: expect.stringContaining("conflict: not rescaled"),
  });
  expect(await scaleOf(plane(), "contended")).toBe(5);
  await remove(bothNamed("contended", 3));
});

it("says what is wrong with an object, goes on by its last valid spec, and leaves the others alone", async () => {
  await applyWorkload(plane(), "wrong", { replicas: 1 });
  await applyWorkload(plane(), "right", { replicas: 1 });
  const { loop } = await control("default");
  await apply(bothNamed("wrong", 2));
  await apply(bothNamed("right", 2));
  await waitFor(
    "the count",
    () => scaleOf(plane(), "wrong"),
    (count) => count === 2,
  );
  // Its shape is right, so the server takes it; that there is no such signal only the config knows.
  const bad = bothNamed("wrong", 2, { policy: { kind: "signals", rules: [{ signal: "gpu_utilisation", target: 75 }] } });
  await apply(bad);
  const invalid = await waitFor(
    "the condition",
    () => conditionOf(bad, "Valid"),
    (one) => one?.status === "False",
  );
  expect(invalid).toMatchObject({
    reason: "ConfigInvalid",
    message: 'spec.policy.rules[0].signal: is not a known signal (value "gpu_utilisation"); did you mean "gpu_utilization"?',
    observedGeneration: 2,
  });
  const [event] = await waitFor(
    "the event",
    async () => (await eventsOf(plane(), "wrong")).filter(({ reason }) => reason === "InvalidSpec"),
    (all) => all.length > 0,
  );
  expect(event).toMatchObject({ type: "Warning", action: "ReadSpec", note: invalid!.message });
  await plane().admin.ask({
    method: "PATCH",
    path: "/apis/apps/v1/namespaces/default/deployments/wrong/scale",
    query: { fieldManager: "tidegate" },
    body: { spec: { replicas: 1 } },
  });
  expect(loop.controller.endpoint("wrong").view().policy).toBe("static");
  await apply(bothNamed("right", 4));
  await waitFor(
    "the other one",
    () => scaleOf(plane(), "right"),
    (count) => count === 4,
  );
  await apply(bothNamed("wrong", 3));
  await waitFor(
    "it is valid again",
    () => conditionOf(bad, "Valid"),
    (one) => one?.status === "True",
  );
  for (const document of [bothNamed("wrong", 3), bothNamed("right", 4)]) await remove(document);
});

it("takes the HorizontalPodAutoscaler that names its target where an Endpoint has no policy", async () => {
  await newNamespace("bound");
  const endpoint = inNamespace("bound", "llm", {
    platform: { kind: "static", urls: ["http://127.0.0.1:9"], target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" } },
    policy: undefined,
    replicas: undefined,
    metrics: { dcgm_gpu_utilization: "gpu_utilization" },
  });
  const stated = inNamespace("bound", "llm", { ...endpoint.spec, policy: { kind: "static", replicas: 1 }, replicas: { max: 3 } });
  await apply(stated);
  const { loop, lines } = await control("bound");
  await waitFor(
    "its own policy",
    () => statusOf(endpoint),
    ({ policy, desired }) => policy === "static" && desired !== undefined,
  );
  await apply(endpoint);
  const unbound = await waitFor(
    "it is unbound",
    () => conditionOf(endpoint, "Valid"),
    (one) => one?.status === "False",
  );
  expect(unbound).toMatchObject({
    status: "False",
    message: expect.stringContaining("no manifest in namespace bound names apps/v1 Deployment llm"),
  });
  const hpa = "/apis/autoscaling/v2/namespaces/bound/horizontalpodautoscalers/llm-hpa";
  await plane().apply(hpa, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "llm-hpa" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" },
      ...{ minReplicas: 2, maxReplicas: 7 },
      metrics: [{ type: "Pods", pods: { metric: { name: "dcgm_gpu_utilization" }, target: { type: "AverageValue", averageValue: "75" } } }],
    },
  });
  const bound = await waitFor(
    "it is bound",
    () => statusOf(endpoint),
    ({ policy }) => policy === "hpa llm-hpa",
  );
  expect(bound).toMatchObject({ policy: "hpa llm-hpa", bounds: { min: 2, max: 7 } });
  await plane().admin.ask({ method: "PATCH", path: hpa, body: { spec: { maxReplicas: 9 } } });
  await waitFor(
    "the change of the HPA",
    () => statusOf(endpoint),
    ({ bounds }) => bounds?.max === 9,
  );
  expect(loop.controller.view().endpoints).toHaveLength(1);
  // Neither while manifests were read for the first time nor while there was none was it let go of.
  expect(lines.filter((line) => line.includes("no longer controlled"))).toEqual([]);
});

it("does not start commands nor reach into other namespaces for whoever may write objects", async () => {
  await newNamespace("shy");
  const started = inNamespace("shy", "runs", { platform: { kind: "process", command: ["sleep", "{port}"] } });
  const elsewhere = inNamespace("shy", "elsewhere", {
    platform: { kind: "kubernetes", namespace: "default", target: { apiVersion: "apps/v1", kind: "Deployment", name: "added" } },
  });
  const thief = inNamespace("shy", "thief", {
    prometheus: {
      url: "http://127.0.0.1:9",
      queries: [],
      auth: { bearerToken: { file: "/var/run/secrets/kubernetes.io/serviceaccount/token" } },
    },
  });
  for (const document of [started, elsewhere, thief]) await apply(document);
  const { loop } = await control("shy");
  for (const [document, says] of [
    [started, "process starts commands on the controller's machine"],
    [elsewhere, "is not the object's own namespace"],
    [thief, "is not in /etc/tidegate/secrets/"],
  ] as const) {
    const condition = await waitFor(
      "the refusal",
      () => conditionOf(document, "Valid"),
      (one) => one !== undefined,
    );
    expect(condition).toMatchObject({ status: "False", reason: "NotInCluster", message: expect.stringContaining(says) });
  }
  expect(loop.controller.view().endpoints).toEqual([]);
});

it("gives name and model to the older object, and to the other one when that is gone", async () => {
  await newNamespace("twins");
  const first = inNamespace("twins", "first", { model: "same", platform: { kind: "static", urls: ["http://127.0.0.1:9"] } });
  await apply(first);
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // creation times are whole seconds
  const second = inNamespace("twins", "second", { model: "same", platform: { kind: "static", urls: ["http://127.0.0.1:9"] } });
  await apply(second);
  const { loop } = await control("twins");
  const taken = await waitFor(
    "the twin",
    () => conditionOf(second, "Valid"),
    (one) => one !== undefined,
  );
  expect(taken).toMatchObject({ status: "False", reason: "ModelTaken", message: expect.stringContaining("Endpoint twins/first") });
  await remove(first);
  await waitFor(
    "its turn",
    () => conditionOf(second, "Valid"),
    (one) => one?.status === "True",
  );
  expect(loop.controller.view().endpoints.map(({ name }) => name)).toEqual(["second"]);
});

it("shares a Fleet's budget, and lets it go with the Fleet", async () => {
  await newNamespace("budget");
  const fleet: OwnDocument = {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Fleet",
    metadata: { name: "lab", namespace: "budget" },
    spec: { gpus: 3 },
  };
  const path = "/apis/apps/v1/namespaces/budget/deployments/shared";
  await plane().apply(path, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "shared" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "shared" } },
      template: { metadata: { labels: { app: "shared" } }, spec: { containers: [{ name: "engine", image: "engine:1" }] } },
    },
  });
  await apply(fleet);
  const endpoint = inNamespace("budget", "shared", { policy: { kind: "static", replicas: 5 } });
  await apply(endpoint);
  await control("budget");
  const count = async () => (await plane().admin.ask<{ spec: { replicas: number } }>({ path: `${path}/scale` })).spec.replicas;
  await waitFor("its share", count, (replicas) => replicas === 3);
  const limited = await waitFor(
    "the limit",
    () => conditionOf(endpoint, "ScalingLimited"),
    (one) => one?.status === "True",
  );
  expect(limited).toMatchObject({ reason: "FleetQuota" });
  expect(
    await waitFor(
      "the Fleet's own status",
      () => conditionOf(fleet, "Valid"),
      (one) => one !== undefined,
    ),
  ).toMatchObject({ status: "True" });
  await remove(fleet);
  await waitFor("what it asks for", count, (replicas) => replicas === 5);
});

it("says which right is missing, in condition and event, and scales nothing", async () => {
  await applyWorkload(plane(), "denied", { replicas: 1 });
  const rules = [
    { apiGroups: ["tidegate.dev"], resources: ["endpoints", "fleets"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["tidegate.dev"], resources: ["endpoints/status", "fleets/status"], verbs: ["patch"] },
    { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create", "patch"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch", "patch"] },
    { apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["get"] },
  ];
  const role = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  await plane().apply(`${role}/roles/weak`, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name: "weak" },
    rules,
  });
  await plane().apply(`${role}/rolebindings/weak`, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "weak" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "weak" },
    subjects: [{ kind: "User", name: "weak", apiGroup: "rbac.authorization.k8s.io" }],
  });
  await apply(bothNamed("denied", 2));
  await control("default", plane().kubeconfigFor("weak"));
  const denied = await waitFor(
    "the denial",
    () => conditionOf(bothNamed("denied", 2), "AbleToScale"),
    (one) => one?.status === "False",
  );
  expect(denied).toMatchObject({
    reason: "FailedUpdateScale",
    message: expect.stringContaining('cannot patch resource "deployments/scale"'),
  });
  const events = await waitFor(
    "the event",
    () => eventsOf(plane(), "denied"),
    (all) => all.some(({ reason }) => reason === "FailedRescale"),
  );
  expect(events.find(({ reason }) => reason === "FailedRescale")!.note).toContain("refused: not rescaled from 1 to 2");
  expect(await scaleOf(plane(), "denied")).toBe(1);
  await remove(bothNamed("denied", 2));
});

it("tries again where a target is not there yet, says so, and writes no more than it must", async () => {
  const document = bothNamed("later", 2);
  await apply(document);
  const { statusWrites } = await control("default");
  const waiting = await waitFor(
    "it waits",
    () => conditionOf(document, "AbleToScale"),
    (one) => one !== undefined,
  );
  expect(waiting).toMatchObject({
    status: "False",
    reason: "CannotStart",
    message: expect.stringContaining('deployments.apps "later" not found'),
  });
  await applyWorkload(plane(), "later", { replicas: 1 });
  await waitFor(
    "the count",
    () => scaleOf(plane(), "later"),
    (count) => count === 2,
    30_000,
  );
  await waitFor(
    "its replicas",
    () => statusOf(document),
    ({ replicas }) => replicas?.ready === 2,
  );
  const before = statusWrites();
  const version = (await readOwn(plane(), document)).metadata["resourceVersion"];
  await new Promise((resolve) => setTimeout(resolve, 6_000)); // more than one interval in which nothing happens
  expect(statusWrites() - before).toBeLessThanOrEqual(1);
  expect((await readOwn(plane(), document)).metadata["resourceVersion"]).toBe(version);
  await remove(document);
});

it("gives replicas back that were draining when their Endpoint is deleted: they serve, and the count is as it was", async () => {
  await applyWorkload(plane(), "left", { replicas: 3 });
  const document = bothNamed("left", 3);
  await apply(document);
  const { lines } = await control("default");
  await waitFor(
    "its replicas",
    () => statusOf(document),
    ({ replicas }) => replicas?.ready === 3,
  );
  // Nobody says that nothing is in flight, so the drain goes on.
  await apply(bothNamed("left", 1));
  await waitFor(
    "the drain",
    () => statusOf(document),
    ({ replicas }) => replicas?.draining === 2,
  );
  await remove(document);
  await waitFor(
    "it is let go",
    () => lines,
    (all) => all.some((line) => line.includes("left: no longer controlled")),
  );
  const { items } = await plane().admin.ask<{ items: { metadata: { annotations?: Record<string, string> } }[] }>({
    path: "/api/v1/namespaces/default/pods",
    query: { labelSelector: "app=left" },
  });
  expect(items).toHaveLength(3);
  for (const { metadata } of items)
    expect(Object.keys(metadata.annotations ?? {}).filter((key) => key.startsWith("tidegate.dev/"))).toEqual([]);
  expect(await scaleOf(plane(), "left")).toBe(3);
});
