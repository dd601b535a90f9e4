import fc from "fast-check";
import { expect, it } from "vitest";
import { chooserOf, DELETION_COST, deletionOrder } from "./deletion-order.ts";
import { at, examplePod, is, type PodPart } from "./kubernetes.fixture.ts";
import { linesOf } from "./lines.ts";
import type { KubernetesEvent } from "./objects.ts";
import { provisioningOf } from "./provisioning.ts";
import { gpusOf } from "./requests.ts";
import { urlOf } from "./url.ts";
import { writerOf, yieldTo } from "./writers.ts";

const nowMs = 1_000_000;
const names = (pods: readonly PodPart[], chooser: "replica-set" | "ordinal") =>
  deletionOrder(pods.map(examplePod), chooser, nowMs).map(({ metadata }) => metadata.name);
const ready = (seconds: number, restartCount = 0): PodPart["status"] => ({
  phase: "Running",
  conditions: [is("Ready", "True", seconds)],
  containerStatuses: [{ name: "engine", ready: true, restartCount }],
});
const notReady: PodPart["status"] = { phase: "Running", conditions: [is("Ready", "False", 150)] };

it.each<{ rule: string; first: PodPart; second: PodPart }>([
  {
    rule: "without a node before one that has one",
    first: { node: null, status: { phase: "Pending" } },
    second: { status: { phase: "Pending" } },
  },
  { rule: "Pending before Running", first: { status: { phase: "Pending" } }, second: { status: notReady } },
  {
    rule: "not ready before ready, whatever the cost",
    first: { status: notReady, annotations: { [DELETION_COST]: "100" } },
    second: { annotations: { [DELETION_COST]: "-100" } },
  },
  { rule: "lower cost first", first: { annotations: { [DELETION_COST]: "-1" } }, second: {} },
  {
    rule: "no cost is 0, and so is one that is no number",
    first: { annotations: { [DELETION_COST]: "-1" } },
    second: { annotations: { [DELETION_COST]: "much" } },
  },
  { rule: "ready for a shorter time first", first: { status: ready(990) }, second: { status: ready(200) } },
  { rule: "more restarts first", first: { status: ready(200, 3) }, second: { status: ready(200, 1) } },
  { rule: "younger first", first: { createdAt: 990 }, second: { createdAt: 100 } },
])("a ReplicaSet deletes $rule", ({ first, second }) => {
  const pods = [
    { ...first, name: "z-first" },
    { ...second, name: "a-second" },
  ];
  expect(names(pods, "replica-set")).toEqual(["z-first", "a-second"]);
  expect(names(pods.toReversed(), "replica-set")).toEqual(["z-first", "a-second"]);
});

it("a ReplicaSet deletes from the fuller node first", () => {
  const pods = [
    { name: "a", node: "full" },
    { name: "b", node: "full" },
    { name: "c", node: "other" },
  ];
  expect(names(pods, "replica-set").at(-1)).toBe("c");
});

it("a StatefulSet deletes its highest ordinal, by number", () => {
  expect(names([{ name: "s-2" }, { name: "s-10" }, { name: "s-0" }], "ordinal")).toEqual(["s-10", "s-2", "s-0"]);
});

it.each([
  { owners: [{ kind: "ReplicaSet", uid: "a" }], chooser: "replica-set" },
  { owners: [{ kind: "StatefulSet", uid: "a" }], chooser: "ordinal" },
  { owners: [{ kind: "LeaderWorkerSet", uid: "a" }], chooser: "ordinal" },
  {
    owners: [
      { kind: "ReplicaSet", uid: "a" },
      { kind: "ReplicaSet", uid: "b" },
    ],
    chooser: "unknown",
  },
  { owners: [{ kind: "RayCluster", uid: "a" }], chooser: "unknown" },
  { owners: [], chooser: "unknown" },
])("who chooses among pods of $owners: $chooser", ({ owners, chooser }) => {
  expect(chooserOf(owners.map((owner, number) => examplePod({ name: `p-${number}`, owner })))).toBe(chooser);
});

const event = (reason: string, message: string, seconds: number, by = "cluster-autoscaler"): KubernetesEvent => ({
  metadata: { name: "e", uid: "e", resourceVersion: "1", creationTimestamp: at(seconds) },
  ...{ reason, message, lastTimestamp: at(seconds), source: { component: by } },
});
it.each([
  { rule: "nothing said", events: [], verdict: undefined },
  {
    rule: "the scheduler's own word",
    events: [event("FailedScheduling", "Insufficient gpu", 900, "default-scheduler")],
    verdict: undefined,
  },
  { rule: "a node comes", events: [event("TriggeredScaleUp", "1->2", 900)], verdict: "comes" },
  { rule: "Karpenter's node comes", events: [event("Nominated", "should schedule on nodeclaim", 900, "karpenter")], verdict: "comes" },
  { rule: "a node that did not come in time", events: [event("TriggeredScaleUp", "1->2", 50)], verdict: "stock-out" },
  {
    rule: "no group would fit",
    events: [event("NotTriggerScaleUp", "pod didn't trigger scale-up: 2 node(s) didn't match", 900)],
    verdict: "never",
  },
  { rule: "a group in backoff", events: [event("NotTriggerScaleUp", "1 in backoff after failed scale-up", 900)], verdict: "stock-out" },
  { rule: "the newest word", events: [event("FailedScaleUp", "x", 800), event("TriggeredScaleUp", "1->2", 900)], verdict: "comes" },
  {
    rule: "a refusal in the same second",
    events: [event("FailedScaleUp", "x", 900), event("TriggeredScaleUp", "1->2", 900)],
    verdict: "stock-out",
  },
  {
    rule: "Karpenter without capacity",
    events: [event("FailedScheduling", "InsufficientInstanceCapacity for p5", 900, "karpenter")],
    verdict: "stock-out",
  },
])("what a node autoscaler means: $rule", ({ events, verdict }) => {
  expect(provisioningOf(events, nowMs)?.verdict).toBe(verdict);
});

it.each([
  { rule: "a number", port: 9000, url: "http://10.0.0.1:9000" },
  { rule: "a name", port: "metrics", url: "http://10.0.0.1:9100" },
  { rule: "an unknown name", port: "none", url: null },
  { rule: "the port named http", port: null, url: "http://10.0.0.1:8080" },
])("a pod's URL by $rule", ({ port, url }) => {
  const ports = [
    { name: "metrics", containerPort: 9100 },
    { name: "http", containerPort: 8080 },
  ];
  expect(urlOf(examplePod({ spec: { containers: [{ name: "engine", ports }] } }), port)).toBe(url);
});
it("writes an IPv6 address in brackets, and none before there is one", () => {
  expect(urlOf(examplePod({ status: { podIP: "fd00::1" } }), 80)).toBe("http://[fd00::1]:80");
  expect(urlOf(examplePod({ status: {} }), 80)).toBeNull();
});

it("names the newest other owner of the count, but not who owns only the template", () => {
  const fields = { "f:spec": { "f:replicas": {} } };
  const nested = { "f:spec": { "f:deploymentConfig": { "f:replicas": {} } } };
  const template = { "f:spec": { "f:template": { "f:spec": { "f:replicas": {} } } } };
  const managed = [
    { manager: "tidegate", time: at(900), fieldsV1: fields },
    { manager: "old", time: at(100), fieldsV1: nested },
    { manager: "helm", time: at(300), fieldsV1: fields },
    { manager: "kubectl", time: at(800), fieldsV1: template },
  ];
  expect(writerOf(managed, ["replicas"])).toBe("helm");
  expect(writerOf([{ manager: "tidegate", time: at(1), fieldsV1: fields }], ["replicas"])).toBeNull();
});
it("finds the owner of a count that stands elsewhere: in a list, or in a template of roles", () => {
  const groups = { manager: "kubectl", time: at(1), fieldsV1: { "f:spec": { "f:workerGroupSpecs": {} } } };
  const roles = { manager: "aibrix", time: at(1), fieldsV1: { "f:spec": { "f:template": { "f:spec": { "f:roles": {} } } } } };
  expect(writerOf([groups], ["workerGroupSpecs"])).toBe("kubectl");
  expect(writerOf([groups], ["replicas"])).toBeNull();
  expect(writerOf([roles], ["roles"])).toBe("aibrix");
});

it.each([
  { rule: "a container's GPUs", requests: { "nvidia.com/gpu": "4", cpu: "8" }, gpus: 4 },
  { rule: "AMD's", requests: { "amd.com/gpu": 2 }, gpus: 2 },
  { rule: "no slices of one", requests: { "nvidia.com/mig-1g.5gb": 1 }, gpus: 0 },
])("counts $rule", ({ requests, gpus }) => {
  expect(gpusOf(examplePod({ spec: { containers: [{ name: "engine", resources: { requests } }] } }))).toBe(gpus);
});

it("yields longer to who comes back soon, and as at first to who was long away", () => {
  const first = yieldTo(null, "a", false, 0);
  expect(first).toMatchObject({ yieldMs: 60_000, untilMs: 60_000 });
  const second = yieldTo(first, "a", false, 70_000);
  expect(second).toMatchObject({ yieldMs: 120_000, untilMs: 190_000 });
  expect(yieldTo(second, "a", false, 190_000 + 1_200_000)).toMatchObject({ yieldMs: 60_000 });
});

it("finds the same lines wherever the stream is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", ""))),
      fc.array(fc.nat(50)),
      async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        async function* chunks() {
          for (const [number, from] of places.entries()) yield bytes.subarray(from, places[number + 1] ?? bytes.length);
        }
        const found: string[] = [];
        for await (const line of linesOf(chunks())) found.push(line);
        expect(found).toEqual(lines.filter((line) => line.trim() !== ""));
      },
    ),
  );
});
