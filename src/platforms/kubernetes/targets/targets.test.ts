import { expect, it } from "vitest";
import type { Target } from "../../../model/index.ts";
import { examplePod } from "../kubernetes.fixture.ts";
import { openTarget } from "./index.ts";
import { objectStore, type Stored } from "./objects.fixture.ts";

const kserve = "/apis/serving.kserve.io";
const deployment = (name: string) => `/apis/apps/v1/deployments/${name}`;
const isvc = (name: string) => `${kserve}/v1beta1/inferenceservices/${name}`;
const llm = (name: string) => `${kserve}/v1alpha2/llminferenceservices/${name}`;
const lws = (name: string) => `/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets/${name}`;
const cluster = (name: string) => `/apis/ray.io/v1/rayclusters/${name}`;
const service = (name: string) => `/apis/ray.io/v1/rayservices/${name}`;
const storm = (name: string) => `/apis/orchestration.aibrix.ai/v1alpha1/stormservices/${name}`;
const target = (apiVersion: string, kind: string, name: string, part?: string): Target => ({ apiVersion, kind, name, part });
const CLASS = "serving.kserve.io/autoscalerClass";
const annotated = (annotations: Readonly<Record<string, string>>) => ({ annotations }) as unknown as Stored["metadata"];

function open(store: ReturnType<typeof objectStore>, on: Target, lines: string[] = []) {
  return openTarget(on, { api: store.api, namespace: "default", log: (_level, message) => void lines.push(message) });
}

it("an InferenceService of class external is its Deployment's scale", async () => {
  const store = objectStore({
    [isvc("chat")]: { metadata: annotated({ [CLASS]: "external" }) },
    [deployment("chat-predictor")]: { spec: { replicas: 2 } },
  });
  const opened = await open(store, target("serving.kserve.io/v1beta1", "InferenceService", "chat"));
  expect(await opened.read()).toEqual({ replicas: 2, selector: "app=chat-predictor" });
  expect(await opened.write(2, 3, [])).toMatchObject({ kind: "written", count: { replicas: 3 } });
  expect(store.patches.map(({ path }) => path)).toEqual(["/apis/apps/v1/namespaces/default/deployments/chat-predictor/scale"]);
  expect(await opened.owner()).toBeNull();
  store.put(isvc("chat"), { metadata: annotated({ [CLASS]: "keda" }) });
  expect(await opened.owner()).toContain("autoscalerClass keda");
});

it("an InferenceService of class none is its minReplicas, within maxReplicas, of the part's component", async () => {
  const spec = { predictor: { minReplicas: 4 }, transformer: { minReplicas: 1, maxReplicas: 2 } };
  const store = objectStore({
    [isvc("chat")]: { metadata: annotated({ [CLASS]: "none" }), spec },
    [deployment("chat-transformer")]: { spec: { replicas: 1 } },
  });
  const opened = await open(store, target("serving.kserve.io/v1beta1", "InferenceService", "chat", "transformer"));
  expect(await opened.read()).toMatchObject({ replicas: 1, selector: "app=chat-transformer", limits: { min: 0, max: 2 } });
  await opened.write(1, 2, []);
  expect(store.get(isvc("chat")).spec).toEqual({ predictor: { minReplicas: 4 }, transformer: { minReplicas: 2, maxReplicas: 2 } });
});

it.each([
  { rule: "a Deployment", part: undefined, there: deployment("llama-kserve"), named: "Deployment llama-kserve" },
  {
    rule: "a LeaderWorkerSet where it has workers",
    part: undefined,
    there: lws("llama-kserve-mn"),
    named: "LeaderWorkerSet llama-kserve-mn",
  },
  { rule: "its prefill's own", part: "prefill", there: deployment("llama-kserve-prefill"), named: "Deployment llama-kserve-prefill" },
])("an LLMInferenceService is its workload: $rule", async ({ part, there, named }) => {
  const store = objectStore({ [llm("llama")]: { spec: { prefill: {} } }, [there]: { spec: { replicas: 1 } } });
  const opened = await open(store, target("serving.kserve.io/v1alpha2", "LLMInferenceService", "llama", part));
  expect(opened.name).toBe(`LLMInferenceService llama (${named})`);
  expect(await opened.write(1, 0, [])).toMatchObject({ kind: "written", count: { replicas: 0 } });
});

it.each<{ rule: string; spec: object; part?: string; says: string }>([
  { rule: "replicas", spec: { replicas: 2 }, says: "sets spec.replicas (2), which KServe would set again" },
  { rule: "scaling", spec: { scaling: { maxReplicas: 3 } }, says: "has spec.scaling, so that KServe's own autoscaler sets the count" },
  { rule: "replicas of prefill", spec: { prefill: { replicas: 1 } }, part: "prefill", says: "sets spec.prefill.replicas (1)" },
  { rule: "no prefill", spec: {}, part: "prefill", says: "has no spec.prefill" },
  { rule: "an unknown part", spec: {}, part: "decode", says: "has no part decode: leave platform.target.part out, or write prefill" },
  { rule: "no workload", spec: {}, says: "has neither Deployment llama-kserve nor LeaderWorkerSet llama-kserve-mn" },
])("refuses an LLMInferenceService with $rule", async ({ spec, part, says }) => {
  const store = objectStore({ [llm("llama")]: { spec: { ...spec } } });
  const opened = open(store, target("serving.kserve.io/v1alpha2", "LLMInferenceService", "llama", part));
  await expect(opened).rejects.toMatchObject({ code: "platform/refused", message: expect.stringContaining(says) });
});

it("refuses an LLMInferenceService of a KServe that does not keep a count", async () => {
  const store = objectStore({ [llm("llama")]: {}, [deployment("llama-kserve")]: {} }, ["/apis/serving.kserve.io/v1alpha2"]);
  const opened = open(store, target("serving.kserve.io/v1alpha1", "LLMInferenceService", "llama"));
  await expect(opened).rejects.toMatchObject({ code: "platform/refused", message: expect.stringContaining("use KServe 0.17 or later") });
});

const group = (groupName: string, replicas: number, part: object = {}) => ({
  groupName,
  replicas,
  minReplicas: 1,
  maxReplicas: 4,
  ...part,
});

it("a RayCluster's worker group is set with the workers that go, and whoever else changed it is heeded", async () => {
  const store = objectStore({ [cluster("chat")]: { spec: { workerGroupSpecs: [group("cpu", 1), group("gpu", 3)] } } });
  const opened = await open(store, target("ray.io/v1", "RayCluster", "chat", "gpu"));
  expect(await opened.read()).toEqual({
    replicas: 3,
    selector: "ray.io/cluster=chat,ray.io/group=gpu,ray.io/node-type=worker",
    limits: expect.objectContaining({ min: 1, max: 4 }),
  });
  // Its status changes under our feet: tried again.
  let tries = 0;
  store.beforePatch((path) => {
    if (++tries <= 2) store.put(path, store.get(path));
  });
  expect(await opened.write(3, 2, ["w-1"])).toMatchObject({ kind: "written", count: { replicas: 2 } });
  expect(store.patches).toHaveLength(3);
  expect(store.get(cluster("chat")).spec["workerGroupSpecs"]).toEqual([
    group("cpu", 1),
    group("gpu", 2, { scaleStrategy: { workersToDelete: ["w-1"] } }),
  ]);
  store.put(cluster("chat"), { spec: { workerGroupSpecs: [group("cpu", 1), group("gpu", 4)] } });
  expect(await opened.write(2, 3, [])).toMatchObject({ kind: "changed", count: { replicas: 4 } });
});

it("counts what KubeRay makes of a count beyond its bounds", async () => {
  const store = objectStore({ [cluster("chat")]: { spec: { workerGroupSpecs: [group("gpu", 9)] } } });
  const opened = await open(store, target("ray.io/v1", "RayCluster", "chat"));
  expect(await opened.read()).toMatchObject({ replicas: 4 });
  expect(await opened.write(4, 2, ["w"])).toMatchObject({ kind: "written", count: { replicas: 2 } });
});

it("several hosts are one replica, led by the first", async () => {
  const store = objectStore({ [cluster("tpu")]: { spec: { workerGroupSpecs: [group("v4", 1, { numOfHosts: 4 })] } } });
  const { grouping } = await open(store, target("ray.io/v1", "RayCluster", "tpu"));
  const host = (index: string) =>
    examplePod({ labels: { "ray.io/worker-group-replica-name": "v4-x", "ray.io/replica-host-index": index } });
  expect([host("0"), host("3"), examplePod()].map((pod) => grouping?.seatOf(pod))).toEqual([
    { group: "v4-x", leads: true },
    { group: "v4-x", leads: false },
    null,
  ]);
  expect(grouping?.sizeOf(host("0"))).toBe(4);
});

it.each([
  { rule: "Ray's autoscaler", spec: { enableInTreeAutoscaling: true, workerGroupSpecs: [group("gpu", 1)] }, says: "Ray's own autoscaler" },
  { rule: "a suspended cluster", spec: { suspend: true, workerGroupSpecs: [group("gpu", 1)] }, says: "suspend: true" },
  { rule: "a suspended group", spec: { workerGroupSpecs: [group("gpu", 1, { suspend: true })] }, says: "suspend: true" },
])("yields to $rule", async ({ spec, says }) => {
  const opened = await open(objectStore({ [cluster("chat")]: { spec } }), target("ray.io/v1", "RayCluster", "chat", "gpu"));
  expect(await opened.owner()).toContain(says);
});

it("a RayService is its active cluster; the next one starts with the same count", async () => {
  const groups = { workerGroupSpecs: [group("gpu", 1)] };
  const status = { activeServiceStatus: { rayClusterName: "a" }, pendingServiceStatus: { rayClusterName: "b" } };
  const store = objectStore({
    [service("chat")]: { spec: { rayClusterConfig: groups }, status },
    [cluster("a")]: { spec: groups },
    [cluster("b")]: { spec: groups },
  });
  const lines: string[] = [];
  const opened = await open(store, target("ray.io/v1", "RayService", "chat", "gpu"), lines);
  await opened.write(1, 3, ["old-worker"]);
  const replicas = (spec: object) => (spec as typeof groups).workerGroupSpecs[0]?.replicas;
  expect(replicas(store.get(cluster("a")).spec)).toBe(3);
  expect(replicas(store.get(cluster("b")).spec)).toBe(3);
  expect(replicas(store.get(service("chat")).spec["rayClusterConfig"] as object)).toBe(3);
  expect(JSON.stringify(store.get(cluster("b")).spec)).not.toContain("old-worker");
  store.put(service("chat"), { spec: { rayClusterConfig: groups }, status: { activeServiceStatus: { rayClusterName: "b" } } });
  expect(await opened.read()).toMatchObject({ replicas: 3, selector: expect.stringContaining("ray.io/cluster=b,") });
  expect(lines).toEqual([]);
});

it("waits for a RayService without a cluster, which is nothing to correct", async () => {
  const store = objectStore({ [service("chat")]: { spec: { rayClusterConfig: { workerGroupSpecs: [group("gpu", 1)] } } } });
  const opened = await open(store, target("ray.io/v1", "RayService", "chat", "gpu"));
  await expect(opened.read()).rejects.toMatchObject({ code: "platform/busy", retryable: true });
});

const roles = [
  { name: "prefill", replicas: 2 },
  { name: "decode", replicas: 1, podGroupSize: 2 },
];
const seat = (labels: Readonly<Record<string, string>>) => examplePod({ name: Object.values(labels).join("-"), labels });

it("a StormService in mode Replica is counted by whole RoleSets", async () => {
  const store = objectStore({ [storm("pd")]: { spec: { mode: "Replica", replicas: 2, template: { spec: { roles } } } } });
  const opened = await open(store, target("orchestration.aibrix.ai/v1alpha1", "StormService", "pd", "decode"));
  expect(await opened.read()).toEqual({ replicas: 2, selector: "storm-service-name=pd" });
  const index = "stormservice.orchestration.aibrix.ai/pod-group-index";
  const of = (role: string, at?: string) =>
    seat({ "roleset-name": "pd-x", "role-name": role, ...(at === undefined ? {} : { [index]: at }) });
  expect([of("prefill"), of("decode", "0"), of("decode", "1")].map((pod) => opened.grouping?.seatOf(pod))).toEqual([
    { group: "pd-x", leads: false },
    { group: "pd-x", leads: true },
    { group: "pd-x", leads: false },
  ]);
  expect(opened.grouping?.sizeOf(of("decode", "0"))).toBe(4);
  const prefill = open(store, target("orchestration.aibrix.ai/v1alpha1", "StormService", "pd", "prefill"));
  await expect(prefill).rejects.toMatchObject({ message: expect.stringContaining("its role prefill has 2 pods in each replica") });
});

it("a pooled StormService is counted by the role", async () => {
  const store = objectStore({ [storm("pd")]: { spec: { template: { spec: { roles } } } } });
  const opened = await open(store, target("orchestration.aibrix.ai/v1alpha1", "StormService", "pd", "prefill"));
  expect(await opened.read()).toEqual({ replicas: 2, selector: "storm-service-name=pd,role-name=prefill" });
  await opened.write(2, 5, []);
  expect(store.patches[0]?.body).toContainEqual({ op: "add", path: "/spec/template/spec/roles/0/replicas", value: 5 });
});

it("refuses a part of what has none", async () => {
  const opened = open(objectStore({ [deployment("llm")]: {} }), target("apps/v1", "Deployment", "llm", "gpu"));
  await expect(opened).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining("remove platform.target.part (gpu)"),
  });
});
