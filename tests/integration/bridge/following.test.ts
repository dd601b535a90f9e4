import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import type { Bridge } from "../../../src/bridge/index.ts";
import { fakeSource, llama, pool } from "../../../src/bridge/source.fixture.ts";
import { parseConfigDocuments } from "../../../src/config/index.ts";
import { exportPolicy, readerOf } from "../../../src/manifests/index.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";
import { bridgeIn, isAvailable } from "./following.ts";

const namespace = "llm-serving";
const deployment = "llm-inference-deployment";
const fake = fakeSource([llama]);
/** Of every pod of the Deployment; the bridge picks those that the HPA asks about. */
let utilization: number | null = 60;
let known: readonly string[] = [];
const source = {
  ...fake.source,
  endpoints: () => fake.state.endpoints.map((one) => ({ ...one, pools: one.pools.map(now), replicas: known })),
  readings: async (_endpoint: string, signal: string) =>
    signal !== "gpu_utilization" || utilization === null
      ? []
      : (await podNames()).map((id) => ({ subject: { kind: "replica" as const, id }, value: utilization as number, ...justNow() })),
};
const justNow = () => ({ atMs: Date.now(), windowMs: 0 });
const now = (one: (typeof llama.pools)[0]) => ({ ...one, desired: one.desired === null ? null : { ...one.desired, ...justNow() } });

const lines: string[] = [];
let plane: Plane;
let bridge: Bridge;
beforeAll(async () => {
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: { "kube-controller-manager": ["--horizontal-pod-autoscaler-sync-period=1s"] },
  });
  bridge = await bridgeIn(plane, source, (level, message) => lines.push(`${level} ${message}`));
  await plane.apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  for (const group of ["v1beta2.custom", "v1beta1.external"]) {
    await waitFor(
      `${group} available`,
      () => isAvailable(plane, `${group}.metrics.k8s.io`),
      (is) => is === true,
    );
  }
});
afterAll(async () => {
  await bridge?.close();
  await plane?.stop();
});

interface Hpa {
  readonly status?: {
    readonly currentMetrics?: readonly { readonly pods?: { readonly current: { readonly averageValue: string } } }[] | null;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string; readonly message: string }[];
  };
}
const workload = (name: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
const hpaPath = (name: string) => `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers/${name}`;
const replicasOf = async (name: string) =>
  (await plane.admin.ask<{ spec: { replicas: number } }>({ path: `${workload(name)}/scale` })).spec.replicas;
const podNames = async () =>
  (
    await plane.admin.ask<{ items: { metadata: { name: string } }[] }>({
      path: `/api/v1/namespaces/${namespace}/pods`,
      query: { labelSelector: `app=${deployment}` },
    })
  ).items.map(({ metadata }) => metadata.name);
const applyDeployment = (name: string, replicas: number) =>
  plane.apply(workload(name), {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "engine", image: "engine:1" }] },
      },
    },
  });
const conditionOf = async (name: string, type: string) =>
  (await plane.admin.ask<Hpa>({ path: hpaPath(name) })).status?.conditions?.find((one) => one.type === type);

it("discovery and OpenAPI of the cluster carry both groups, and nothing is logged as wrong", async () => {
  const { resources } = await plane.admin.ask<{ resources: { name: string }[] }>({ path: "/apis/custom.metrics.k8s.io/v1beta2" });
  expect(resources.map(({ name }) => name)).toContain("pods/dcgm_gpu_utilization");
  const { groups } = await plane.admin.ask<{ groups: { name: string }[] }>({ path: "/apis" });
  expect(groups.map(({ name }) => name)).toEqual(expect.arrayContaining(["custom.metrics.k8s.io", "external.metrics.k8s.io"]));
  const inIndex = async () => Object.keys((await plane.admin.ask<{ paths: Record<string, unknown> }>({ path: "/openapi/v3" })).paths);
  await waitFor("OpenAPI v3", inIndex, (paths) => paths.includes("apis/custom.metrics.k8s.io/v1beta2"));
  const inV2 = async () => Object.keys((await plane.admin.ask<{ paths: Record<string, unknown> }>({ path: "/openapi/v2" })).paths);
  await waitFor("OpenAPI v2", inV2, (paths) => paths.includes("/apis/custom.metrics.k8s.io/v1beta2/"));
  expect(lines.filter((line) => /^(warn|error)/.test(line))).toEqual([]);
});

it("examples/hpa-gpu-utilization.yaml gets its per-pod metric as written", async () => {
  await applyDeployment(deployment, 2);
  const file = fileURLToPath(new URL("../../../examples/hpa-gpu-utilization.yaml", import.meta.url));
  const manifest = parse(readFileSync(file, "utf8"));
  const { name } = manifest.metadata;
  known = await waitFor("the pods", podNames, (names) => names.length === 2);
  await plane.apply(hpaPath(name), manifest);
  const average = async () => (await plane.admin.ask<Hpa>({ path: hpaPath(name) })).status?.currentMetrics?.[0]?.pods?.current.averageValue;
  await waitFor("the metric in the HPA's status", average, (value) => value === "60");
  expect(await conditionOf(name, "ScalingActive")).toMatchObject({ status: "True", reason: "ValidMetricFound" });
  utilization = 97.5;
  await waitFor("the new value", average, (value) => value === "97500m");
  // A reading that is not there stops the HPA where it is, with the reason in its own status.
  utilization = null;
  const failing = await waitFor(
    "the failure",
    () => conditionOf(name, "ScalingActive"),
    (is) => is?.status === "False",
  );
  expect(failing).toMatchObject({ reason: "FailedGetPodsMetric", message: expect.stringContaining("missing or stale") });
  expect(await replicasOf(deployment)).toBe(2);
  await plane.admin.ask({ method: "DELETE", path: hpaPath(name) });
});

it("the HPA that export writes follows 10→11→10 and 20→21 at once, and stays while nothing is known", async () => {
  const name = "follower";
  await applyDeployment(name, 10);
  const { endpoints } = parseConfigDocuments(
    [
      {
        apiVersion: "tidegate.dev/v1alpha1",
        kind: "Endpoint",
        metadata: { name: "llama", namespace },
        spec: {
          model: "m",
          engine: { kind: "other" },
          platform: { kind: "static", urls: ["http://127.0.0.1:1"], target: { apiVersion: "apps/v1", kind: "Deployment", name } },
          replicas: { min: 1, max: 40 },
          policy: { kind: "slo" },
        },
      },
    ],
    { env: {}, name: "follower" },
  );
  const { document } = exportPolicy(endpoints[0] as (typeof endpoints)[0], null, readerOf("hpa"));
  const manifest = document as { metadata: { name: string } };
  fake.tell("llama", { pools: [pool("default", 10)] });
  // Another endpoint of the namespace is not summed in.
  fake.state.endpoints.push({ ...llama, name: "qwen" });
  await plane.apply(hpaPath(manifest.metadata.name), manifest);
  for (const replicas of [11, 10, 20, 21, 3]) {
    fake.tell("llama", { pools: [pool("default", replicas)] });
    await waitFor(
      `${replicas} replicas`,
      () => replicasOf(name),
      (count) => count === replicas,
    );
  }
  fake.tell("llama", { pools: [pool("default", null)] });
  const failing = await waitFor(
    "the failure",
    () => conditionOf(manifest.metadata.name, "ScalingActive"),
    (is) => is?.status === "False",
  );
  expect(failing).toMatchObject({ reason: "FailedGetExternalMetric" });
  expect(await replicasOf(name)).toBe(3);
});

it("an HPA with the default tolerance swallows the steps that the condition names", async () => {
  const name = "tolerant";
  await applyDeployment(name, 10);
  fake.tell("llama", { pools: [pool("default", 10)] });
  const target = { type: "AverageValue", averageValue: "1" };
  const metric = { name: "tidegate_desired_replicas", selector: { matchLabels: { endpoint: "llama" } } };
  await plane.apply(hpaPath(name), {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      minReplicas: 1,
      maxReplicas: 40,
      metrics: [{ type: "External", external: { metric, target } }],
      behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
    },
  });
  await waitFor(
    "the first sync",
    () => conditionOf(name, "ScalingActive"),
    (is) => is?.status === "True",
  );
  fake.tell("llama", { pools: [pool("default", 11)] });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(await replicasOf(name)).toBe(10);
  fake.tell("llama", { pools: [pool("default", 12)] });
  await waitFor(
    "12 replicas",
    () => replicasOf(name),
    (count) => count === 12,
  );
  // This cluster would honour a tolerance of 0, so nothing is amiss.
  expect(bridge.conditions()[0]).toMatchObject({ type: "FollowsSingleSteps", status: "True", reason: "ToleranceHonoured" });
});

it("whom the cluster does not know, or has not given the right, gets nothing", async () => {
  const stranger = plane.kubeconfigFor("somebody");
  const { connectKubernetes } = await import("../../../src/platforms/index.ts");
  const api = await connectKubernetes({ kubeconfig: stranger, context: null });
  const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/tidegate_desired_replicas`;
  await expect(api.ask({ path })).rejects.toMatchObject({ status: 403 });
  // Past the aggregator, straight at the bridge, a header is only a header.
  const answer = await direct(path, { "X-Remote-User": "admin", "X-Remote-Group": "system:masters" });
  expect(answer).toBe(401);
  api.close();
});

async function direct(path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { request } = await import("node:https");
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: bridge.metricsPort as number, path, headers, rejectUnauthorized: false };
    request(options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
}
