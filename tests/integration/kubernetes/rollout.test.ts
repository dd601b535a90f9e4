import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import type { ControllerView, EndpointView } from "../../../src/controller/index.ts";
import type { KubernetesList, KubernetesObject } from "../../../src/platforms/index.ts";
import { folder, freePorts, start } from "../../e2e/tidegate.ts";
import { startClients } from "../clients.ts";
import { startGatewayProcess } from "./gateway.ts";
import { engineAnnotation, type Kubelet, loopbackPods, podModel, startKubelet } from "./kubelet.ts";
import { witness } from "./witness.ts";
import { applyWorkload, planeForFile, waitFor } from "./workload.ts";

const plane = planeForFile(loopbackPods());
let kubelet: Kubelet;
beforeAll(async () => {
  kubelet = await startKubelet(plane());
});
afterAll(() => kubelet?.stop());

const name = "rolled";
const replicas = 3;
const rollOut = (revision: string) =>
  applyWorkload(plane(), name, {
    replicas,
    annotations: { ...engineAnnotation, revision },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    pod: { terminationGracePeriodSeconds: 120 },
  });
const podsOf = async () =>
  (
    await plane().admin.ask<KubernetesList<KubernetesObject>>({
      path: "/api/v1/namespaces/default/pods",
      query: { labelSelector: `app=${name}` },
    })
  ).items;

/** `tidegate controller` of the Deployment. */
async function startControllerProcess(gateway: string): Promise<() => Promise<EndpointView>> {
  const home = folder();
  onTestFinished(() => home.remove());
  const [adminPort] = await freePorts(1);
  const file = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: ${name} }
spec:
  model: ${podModel}
  engine: { kind: vllm }
  platform: { kind: kubernetes, kubeconfig: ${plane().kubeconfig}, target: { apiVersion: apps/v1, kind: Deployment, name: ${name} }, drainTimeout: 2m }
  replicas: { min: 1, max: 8 }
  signals: { scrapeInterval: 1s }
  policy: { kind: static, replicas: ${replicas} }
`,
  );
  const flags = ["--admin-port", `${adminPort}`, "--state", `${home.path}/state`, "--plain"];
  const running = start(["controller", file, "--gateway", gateway, ...flags]);
  onTestFinished(async () => {
    running.process.kill("SIGKILL");
    await running.ended;
  });
  return async () =>
    ((await (await fetch(`http://127.0.0.1:${adminPort}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
}

it("a rollout under load breaks no stream, and is no change of the count", async () => {
  await rollOut("1");
  const gateway = await startGatewayProcess();
  const view = await startControllerProcess(gateway.admin);
  await waitFor(
    "three replicas",
    () => view().catch(() => null),
    (is) => is?.now?.ready === replicas,
    120_000,
  );
  const before = new Set((await podsOf()).map(({ metadata }) => metadata.name));
  const seen = await witness(plane(), name);
  onTestFinished(() => seen.stop());
  // Some answers take as long as the whole rollout of a pod.
  const clients = startClients(
    8,
    { url: gateway.url, model: podModel, content: "hello there" },
    { tokens: (client, turn) => (client % 2 === 0 ? 900 : 60 + ((client * 61 + turn * 37) % 240)) },
  );
  await clients.served(0, replicas, 12, 120_000);
  await rollOut("2");
  await waitFor(
    "the end of the rollout",
    podsOf,
    (pods) => pods.length === replicas && pods.every(({ metadata }) => !before.has(metadata.name)),
    240_000,
  );
  const after = clients.streams.length;
  await clients.served(after + 8, replicas, 8, 120_000);
  await clients.end();
  await seen.caughtUp();

  expect(clients.failures).toEqual([]);
  expect(seen.counts).toEqual([replicas]);
  expect(seen.deleted.map((pod) => pod.name).sort()).toEqual([...before].sort());
  // Each pod served, the old ones and the new ones.
  const servedBy = new Set(clients.streams.map((one) => one.replica));
  expect(servedBy.size).toBe(2 * replicas);
  const { totals } = await waitFor(
    "the last totals",
    view,
    (is) => is.totals !== null && is.totals.inFlight === 0 && is.totals.arrived === clients.streams.length,
  );
  expect(totals).toMatchObject({ completed: clients.streams.length, failed: 0, rejected: 0, cancelled: 0 });
}, 600_000);
