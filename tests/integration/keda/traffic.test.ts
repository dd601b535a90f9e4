import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { folder, freePorts, start } from "../../e2e/tidegate.ts";
import { isAvailable } from "../bridge/following.ts";
import { startClients, stream } from "../clients.ts";
import { startGatewayProcess } from "../kubernetes/gateway.ts";
import { engineAnnotation, type Kubelet, loopbackPods, podModel, startKubelet } from "../kubernetes/kubelet.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { witness } from "../kubernetes/witness.ts";
import { applyWorkload, scaleOf, waitFor } from "../kubernetes/workload.ts";
import { type Keda, startKeda } from "./operator.ts";

const name = "chat";
let plane: Plane;
let keda: Keda;
let kubelet: Kubelet;
beforeAll(async () => {
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: { ...loopbackPods().flags, "kube-controller-manager": ["--horizontal-pod-autoscaler-sync-period=1s"] },
  });
  keda = await startKeda(plane);
  kubelet = await startKubelet(plane);
  await waitFor(
    "external metrics",
    () => isAvailable(plane, "v1beta1.external.metrics.k8s.io"),
    (is) => is === true,
    120_000,
  );
});
afterAll(async () => {
  await kubelet?.stop();
  await keda?.stop();
  await plane?.stop();
});

const config = () => `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: ${name} }
spec:
  model: ${podModel}
  engine: { kind: vllm }
  platform: { kind: kubernetes, kubeconfig: ${plane.kubeconfig}, target: { apiVersion: apps/v1, kind: Deployment, name: ${name} } }
  replicas: { min: 0, max: 4 }
  signals: { scrapeInterval: 1s }
  policy:
    kind: signals
    interval: 1s
    rules: [{ signal: in_flight, target: 2 }]
    behavior:
      scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 4, periodSeconds: 1 }] }
      scaleDown: { stabilizationWindowSeconds: 5, policies: [{ type: Pods, value: 4, periodSeconds: 1 }] }
    zeroAfter: 5s
  dryRun: true # KEDA acts
`;

/** Gateway, controller and bridge as they run in a cluster, each a process. @returns the gateway's URL and the scaler's port */
async function startAll(): Promise<{ readonly url: string; readonly kedaPort: number }> {
  const gateway = await startGatewayProcess();
  const home = folder();
  onTestFinished(() => home.remove());
  const [adminPort, bridgeAdmin, kedaPort] = (await freePorts(3)) as [number, number, number];
  const file = home.write("tidegate.yaml", config());
  const flags = ["--admin-port", `${adminPort}`, "--state", `${home.path}/state`, "--plain"];
  const running = [
    start(["controller", file, "--gateway", gateway.admin, ...flags]),
    start([
      ...["bridge", "--controller", `http://127.0.0.1:${adminPort}`, "--admin-port", `${bridgeAdmin}`],
      ...["--keda-port", `${kedaPort}`, "--keda-insecure", "--log-level", "warn"],
    ]),
  ];
  onTestFinished(async () => {
    for (const one of running) one.process.kill("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
  });
  await running[1]?.saw("external scaler", 60_000);
  type Models = { readonly data: readonly { readonly id: string }[] };
  await waitFor(
    "the model at the gateway",
    async () => ((await (await fetch(`${gateway.url}/v1/models`)).json()) as Models).data.map(({ id }) => id),
    (models) => models.includes(podModel),
    120_000,
  );
  return { url: gateway.url, kedaPort };
}

it("the real KEDA takes a Deployment 0 → 1 → N → 0 on the gateway's traffic, and no stream breaks", async () => {
  await applyWorkload(plane, name, { replicas: 0, annotations: engineAnnotation, pod: { terminationGracePeriodSeconds: 60 } });
  const { url, kedaPort } = await startAll();
  const atOnce = { stabilizationWindowSeconds: 0, policies: [{ type: "Pods", value: 10, periodSeconds: 1 }] };
  const path = `/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects/${name}`;
  await plane.apply(path, {
    apiVersion: "keda.sh/v1alpha1",
    kind: "ScaledObject",
    metadata: { name },
    spec: {
      scaleTargetRef: { name },
      ...{ minReplicaCount: 0, maxReplicaCount: 4, pollingInterval: 5, cooldownPeriod: 5 },
      advanced: { horizontalPodAutoscalerConfig: { behavior: { scaleUp: atOnce, scaleDown: atOnce } } },
      triggers: [{ type: "external-push", metadata: { scalerAddress: `localhost:${kedaPort}`, endpoint: name } }],
    },
  });
  type Conditioned = { status?: { conditions?: { type: string; status: string }[] } };
  const isReady = async () =>
    (await plane.admin.ask<Conditioned>({ path })).status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  await waitFor("KEDA to have taken the ScaledObject", isReady, (ready) => ready === true, 60_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${keda.log()}`);
  });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const seen = await witness(plane, name);
  onTestFinished(() => seen.stop());
  expect(seen.counts).toEqual([0]);

  const askedAtMs = performance.now();
  const first = stream({ url, model: podModel, content: "hello there", maxTokens: 50 });
  await waitFor(
    "the first replica",
    () => scaleOf(plane, name),
    (count) => count >= 1,
    60_000,
  );
  console.info(`held request to a scale of 1: ${(performance.now() - askedAtMs).toFixed(0)} ms`);
  expect((await first).replica).not.toBeNull();
  console.info(`held request to the end of its answer: ${(performance.now() - askedAtMs).toFixed(0)} ms`);

  const clients = startClients(6, { url, model: podModel, content: "hello there" }, { tokens: () => 200 });
  await waitFor(
    "growth with the load",
    () => scaleOf(plane, name),
    (count) => count >= 3,
    120_000,
  );
  await waitFor(
    "streams from three",
    () => new Set(clients.streams.map(({ replica }) => replica)).size,
    (by) => by >= 3,
    120_000,
  );
  await clients.end();
  await waitFor(
    "zero again",
    () => scaleOf(plane, name),
    (count) => count === 0,
    180_000,
  );
  expect(clients.failures).toEqual([]);
  expect(seen.counts[1]).toBe(1);
}, 600_000);
