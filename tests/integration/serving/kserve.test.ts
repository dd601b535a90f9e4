import { beforeAll, expect, it } from "vitest";
import { planeForFile, rule, scaleOf, waitFor } from "../kubernetes/workload.ts";
import { ask, bind, bindAs, grow, readyOf, shrink } from "./bound.ts";
import { install } from "./definitions.ts";
import { type Custom, standIn } from "./stand-in.ts";

const plane = planeForFile();
beforeAll(() => install(plane(), "InferenceService", "LLMInferenceService"));

const group = "/apis/serving.kserve.io";
const servicePath = (name: string) => `${group}/v1beta1/namespaces/default/inferenceservices/${name}`;
const llmPath = (name: string) => `${group}/v1alpha2/namespaces/default/llminferenceservices/${name}`;
const target = (name: string, part?: string) => ({ apiVersion: "serving.kserve.io/v1beta1", kind: "InferenceService", name, part });
const llmTarget = (name: string) => ({ apiVersion: "serving.kserve.io/v1alpha2", kind: "LLMInferenceService", name });
const CLASS = "serving.kserve.io/autoscalerClass";

/** As docs/kubernetes.md and docs/serving-platforms.md say. */
const scaleRights = rule(["apps"], ["deployments/scale"], ["get", "patch"]);

interface Predictor {
  readonly minReplicas?: number;
}

/** With KServe's rule for the class: `none` pins the count to minReplicas, any other leaves it alone. */
async function applyService(name: string, annotations: Readonly<Record<string, string>>, predictor: object = {}): Promise<void> {
  await plane().apply(servicePath(name), {
    ...{ apiVersion: "serving.kserve.io/v1beta1", kind: "InferenceService", metadata: { name, annotations } },
    spec: { predictor: { model: { modelFormat: { name: "huggingface" } }, ...predictor } },
  });
  await standIn(plane(), {
    path: servicePath(name),
    deployment: `${name}-predictor`,
    labels: { app: `isvc.${name}-predictor` },
    replicasOf: ({ metadata, spec }: Custom) =>
      metadata.annotations?.[CLASS] === "none" ? ((spec["predictor"] as Predictor).minReplicas ?? 1) : undefined,
  });
}

it("scales the Deployment of an InferenceService whose autoscalerClass is external", async () => {
  await applyService("external", { [CLASS]: "external" });
  const rights = [rule(["serving.kserve.io"], ["inferenceservices"], ["get"]), scaleRights];
  const opened = await bindAs(plane(), "external-user", rights, target("external"));
  const pods = await grow(opened, 3);
  const victim = pods[1] as string;
  expect(await shrink(opened, 1, [victim])).toContain(victim);
  expect(await shrink(opened, 0)).toHaveLength(1);
  expect(await scaleOf(plane(), "external-predictor")).toBe(0);
  await grow(opened, 1);
});

it("sets minReplicas where the class is none, for KServe would revert the Deployment", async () => {
  await applyService("pinned", { [CLASS]: "none" }, { minReplicas: 1, maxReplicas: 3 });
  const rights = [rule(["serving.kserve.io"], ["inferenceservices"], ["get", "patch"]), scaleRights];
  const opened = await bindAs(plane(), "pinned-user", rights, target("pinned"));
  await grow(opened, 3);
  const minReplicas = async () =>
    ((await plane().admin.ask<Custom>({ path: servicePath("pinned") })).spec["predictor"] as Predictor).minReplicas;
  expect(await minReplicas()).toBe(3);
  expect(await shrink(opened, 1)).toHaveLength(2);
  expect(await minReplicas()).toBe(1);
  await expect(opened.platform.scale("default", ask(4))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining("InferenceService pinned (spec.predictor.minReplicas) cannot have 4 replicas"),
  });
});

it.each([
  { name: "hpa", annotations: {}, says: `KServe (autoscalerClass hpa; set the annotation ${CLASS}: external) sets its count` },
  { name: "keda", annotations: { [CLASS]: "keda" }, says: "KServe (autoscalerClass keda;" },
  {
    name: "stopped",
    annotations: { [CLASS]: "external", "serving.kserve.io/stop": "true" },
    says: 'KServe (annotation serving.kserve.io/stop: "true") sets its count',
  },
])("leaves the count alone while KServe's own rule sets it: $name", async ({ name, annotations, says }) => {
  await applyService(name, annotations);
  const opened = await bind(plane(), target(name));
  expect(opened.lines.join("\n")).toContain(says);
  await readyOf(opened, 1);
  expect(await opened.platform.scale("default", ask(2))).toBe("conflict");
  expect(await scaleOf(plane(), `${name}-predictor`)).toBe(1);
});

it.each([
  { what: "Knative mode", annotations: { "serving.kserve.io/deploymentMode": "Knative" }, part: undefined, says: "set the annotations" },
  { what: "no Deployment", annotations: {}, part: undefined, says: "has no Deployment refused-predictor yet" },
  {
    what: "an unknown component",
    annotations: {},
    part: "decoder",
    says: "platform.target.part is one of predictor, transformer, explainer",
  },
])("refuses an InferenceService with $what, and says what to do", async ({ annotations, part, says }) => {
  await plane().apply(servicePath("refused"), {
    ...{ apiVersion: "serving.kserve.io/v1beta1", kind: "InferenceService", metadata: { name: "refused", annotations } },
    spec: { predictor: { model: { modelFormat: { name: "huggingface" } } } },
  });
  await expect(bind(plane(), target("refused", part))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining(says),
  });
});

const applyLlm = (name: string, spec: object) =>
  plane().apply(llmPath(name), {
    ...{ apiVersion: "serving.kserve.io/v1alpha2", kind: "LLMInferenceService", metadata: { name } },
    spec: { model: { uri: "hf://meta-llama/Llama-3.1-8B-Instruct" }, ...spec },
  });

it("scales the Deployment of an LLMInferenceService that states no count", async () => {
  await applyLlm("llama", {});
  await standIn(plane(), {
    path: llmPath("llama"),
    deployment: "llama-kserve",
    labels: { "app.kubernetes.io/name": "llama", "app.kubernetes.io/component": "llminferenceservice-workload" },
    replicasOf: () => undefined,
  });
  const opened = await bind(plane(), llmTarget("llama"));
  await grow(opened, 2);
  expect(await shrink(opened, 0)).toHaveLength(2);
  // A count that is stated later is KServe's again.
  await plane().admin.ask({
    method: "PATCH",
    path: llmPath("llama"),
    body: { spec: { replicas: 3 } },
    query: { fieldManager: "pipeline" },
  });
  await plane().admin.ask({
    ...{ method: "PATCH", path: "/apis/apps/v1/namespaces/default/deployments/llama-kserve/scale", query: { fieldManager: "kserve" } },
    body: { spec: { replicas: 3 } },
  });
  await waitFor(
    "a conflict",
    () => opened.platform.scale("default", ask(1)),
    (result) => result === "conflict",
  );
  expect(opened.lines.join("\n")).toContain("KServe (spec.replicas; remove it)");
});

it("refuses an LLMInferenceService that states its count, and says why", async () => {
  await applyLlm("counted", { replicas: 2 });
  await expect(bind(plane(), llmTarget("counted"))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringMatching(/sets spec\.replicas \(2\), which KServe would set again .*: remove it/),
  });
});
