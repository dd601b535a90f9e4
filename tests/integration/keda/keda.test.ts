import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Bridge, startBridge } from "../../../src/bridge/index.ts";
import { fakeSource, llama, pool } from "../../../src/bridge/source.fixture.ts";
import { realClock } from "../../../src/clock/index.ts";
import { isAvailable } from "../bridge/following.ts";
import { makeCertificate } from "../kubernetes/plane/certificates.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";
import { type Keda, startKeda } from "./operator.ts";

const { namespace } = llama;
const name = "llm-inference-deployment";
const fake = fakeSource([{ ...llama, pools: [pool("default", 0)] }]);
let plane: Plane;
let keda: Keda;
let bridge: Bridge;
beforeAll(async () => {
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: { "kube-controller-manager": ["--horizontal-pod-autoscaler-sync-period=1s"] },
  });
  keda = await startKeda(plane);
  const serving = makeCertificate(plane.folder, "bridge", plane.authority, { user: "bridge", names: ["DNS:localhost"] });
  bridge = await startBridge({
    source: fake.source,
    host: "127.0.0.1",
    metricsApi: null,
    keda: {
      port: 0,
      tls: { certFile: serving.certificateFile, keyFile: serving.keyFile, clientCaFile: plane.authority.certificateFile },
    },
    version: "0.0.0",
    clock: realClock(),
    log: () => {},
  });
  await waitFor(
    "external metrics",
    () => isAvailable(plane, "v1beta1.external.metrics.k8s.io"),
    (is) => is === true,
    60_000,
  );
});
afterAll(async () => {
  await keda?.stop();
  await bridge?.close();
  await plane?.stop();
});

const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
const replicas = async () => (await plane.admin.ask<{ spec: { replicas?: number } }>({ path: `${path}/scale` })).spec.replicas ?? 0;
const scaledObject = `/apis/keda.sh/v1alpha1/namespaces/${namespace}/scaledobjects/llama`;
const readyStatus = async () => {
  type Answer = { status?: { externalMetricNames?: string[]; conditions?: { type: string; status: string; message?: string }[] } };
  const { status } = await plane.admin.ask<Answer>({ path: scaledObject });
  return status?.conditions?.find(({ type }) => type === "Ready");
};

it("the real KEDA takes a Deployment 0 → 1 → 5 → 0 by the bridge, over mTLS", async () => {
  await plane.apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  await plane.apply(path, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "engine", image: "engine:1" }] },
      },
    },
  });
  const client = makeCertificate(plane.folder, "keda-client", plane.authority, { user: "keda-operator" });
  const text = (file: string) => readFileSync(file, "utf8");
  await plane.apply(`/api/v1/namespaces/${namespace}/secrets/bridge`, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "bridge" },
    stringData: { ca: text(plane.authority.certificateFile), cert: text(client.certificateFile), key: text(client.keyFile) },
  });
  const from = (parameter: string, key: string) => ({ parameter, name: "bridge", key });
  await plane.apply(`/apis/keda.sh/v1alpha1/namespaces/${namespace}/triggerauthentications/bridge`, {
    apiVersion: "keda.sh/v1alpha1",
    kind: "TriggerAuthentication",
    metadata: { name: "bridge" },
    spec: { secretTargetRef: [from("caCert", "ca"), from("tlsClientCert", "cert"), from("tlsClientKey", "key")] },
  });
  const atOnce = { stabilizationWindowSeconds: 0, policies: [{ type: "Pods", value: 10, periodSeconds: 15 }] };
  const polled = (pollingInterval: number) => ({
    apiVersion: "keda.sh/v1alpha1",
    kind: "ScaledObject",
    metadata: { name: "llama" },
    spec: {
      scaleTargetRef: { name },
      ...{ minReplicaCount: 0, maxReplicaCount: 10, pollingInterval, cooldownPeriod: 2 },
      advanced: { horizontalPodAutoscalerConfig: { behavior: { scaleUp: atOnce, scaleDown: atOnce } } },
      triggers: [
        {
          type: "external-push",
          metadata: { scalerAddress: `localhost:${bridge.kedaPort}`, endpoint: "llama", enableTLS: "true" },
          authenticationRef: { name: "bridge" },
        },
      ],
    },
  });
  // KEDA asks by itself every ten minutes only: what comes sooner has been pushed.
  await plane.apply(scaledObject, polled(600));
  await waitFor("KEDA to have taken the ScaledObject", readyStatus, (ready) => ready?.status === "True", 30_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${keda.log()}`);
  });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(await replicas()).toBe(0);

  const heldAtMs = performance.now();
  fake.tell("llama", { held: 1, pools: [pool("default", 1)] });
  await waitFor("the first replica", replicas, (count) => count === 1, 60_000);
  console.info(`0 → 1 by the pushed stream: ${(performance.now() - heldAtMs).toFixed(0)} ms`);

  await plane.apply(scaledObject, polled(2));
  fake.tell("llama", { held: 0, pools: [pool("default", 5)] });
  await waitFor("five replicas", replicas, (count) => count === 5, 30_000);
  // What nobody knows is not 0: KEDA keeps the count.
  fake.tell("llama", { held: 0, pools: [pool("default", null)] });
  await new Promise((resolve) => setTimeout(resolve, 6000));
  expect(await replicas()).toBe(5);
  fake.tell("llama", { held: 0, pools: [pool("default", 0)] });
  await waitFor("zero again", replicas, (count) => count === 0, 60_000);
}, 200_000);
