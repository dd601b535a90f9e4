import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import type { KubernetesList, KubernetesObject } from "../../../src/platforms/index.ts";
import { folder } from "../../e2e/tidegate.ts";
import { startClients, stream } from "../clients.ts";
import { startGatewayProcess } from "./gateway.ts";
import { engineAnnotation, type Kubelet, loopbackPods, podModel, startKubelet } from "./kubelet.ts";
import type { MemberNews, MemberOptions } from "./member.fixture.ts";
import { witness } from "./witness.ts";
import { applyWorkload, endpointOn, planeForFile, platformSpec, waitFor } from "./workload.ts";

const plane = planeForFile(loopbackPods());
let kubelet: Kubelet;
beforeAll(async () => {
  kubelet = await startKubelet(plane());
});
afterAll(() => kubelet?.stop());

interface Member {
  readonly process: ChildProcess;
  leads(): boolean;
  lines(): readonly string[];
  pin(replicas: number): void;
}

function startMember(options: MemberOptions): Member {
  const file = fileURLToPath(new URL("member.fixture.ts", import.meta.url));
  const child = fork(file, [JSON.stringify(options)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  let leads = false;
  const lines: string[] = [];
  child.on("message", (news: MemberNews) => {
    if ("leads" in news) leads = news.leads;
    else lines.push(news.line);
  });
  child.on("exit", () => {
    leads = false;
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return { process: child, leads: () => leads, lines: () => lines, pin: (pin) => void child.send({ pin }) };
}

const draining = "tidegate.dev/draining-since";
const podsOf = async (name: string) =>
  (
    await plane().admin.ask<KubernetesList<KubernetesObject>>({
      path: "/api/v1/namespaces/default/pods",
      query: { labelSelector: `app=${name}` },
    })
  ).items;

/** What the leader before has left of an endpoint for the next one. */
async function leftBy(lease: string): Promise<{ readonly pin: { readonly replicas: number } | null } | null> {
  type ConfigMap = KubernetesObject & { readonly binaryData?: Readonly<Record<string, string>> };
  const { items } = await plane().admin.ask<KubernetesList<ConfigMap>>({
    path: "/api/v1/namespaces/default/configmaps",
    query: { labelSelector: `tidegate.dev/lease=${lease}` },
  });
  const packed = Object.values(items[0]?.binaryData ?? {})[0];
  return packed === undefined ? null : JSON.parse(gunzipSync(Buffer.from(packed, "base64")).toString("utf8")).saved;
}

it.each([
  { skewMs: 0, name: "taken-over" },
  { skewMs: 60_000, name: "taken-over-ahead" },
  { skewMs: -60_000, name: "taken-over-behind" },
])(
  "a leader killed while two replicas drain: the next one (its clock wrong by $skewMs ms) ends those two and no other, and no stream breaks",
  async ({ skewMs, name }) => {
    const replicas = 3;
    await applyWorkload(plane(), name, { replicas, annotations: engineAnnotation, pod: { terminationGracePeriodSeconds: 120 } });
    const gateway = await startGatewayProcess();
    const endpoint = {
      ...endpointOn(platformSpec(name, plane().kubeconfig, { drainTimeoutMs: 300_000 })),
      ...{ model: podModel, policy: { kind: "static", replicas: { default: replicas } } as const },
    };
    const member = (identity: string, skew: number) => {
      const home = folder();
      onTestFinished(() => home.remove());
      return startMember({
        ...{ identity, lease: name, kubeconfig: plane().kubeconfig, stateFolder: home.path, endpoint, gateways: [gateway.admin] },
        ...{ skewMs: skew, leaseMs: 5_000, renewDeadlineMs: 3_500, retryMs: 700 },
      });
    };
    const first = member("first", 0);
    await waitFor("the first one leads", first.leads, (leads) => leads, 60_000);
    const second = member("second", skewMs);
    const probe = startClients(3, { url: gateway.url, model: podModel, content: "hello there" });
    await probe.served(0, replicas, 9, 120_000);
    await probe.end();
    const seen = await witness(plane(), name);
    onTestFinished(() => seen.stop());

    // Two long answers on each replica, under way while their leader dies.
    const long = Array.from({ length: 2 * replicas }, () =>
      stream({ url: gateway.url, model: podModel, content: "hello there", maxTokens: 2_500 }),
    );
    const answers = Promise.allSettled(long);
    await new Promise((resolve) => setTimeout(resolve, 500));
    first.pin(1);
    const victims = await waitFor(
      "two pods that drain",
      async () =>
        (await podsOf(name)).filter(({ metadata }) => metadata.annotations?.[draining] !== undefined).map(({ metadata }) => metadata.name),
      (names) => names.length === 2,
      60_000,
    );
    await waitFor(
      "the pin in what it leaves",
      () => leftBy(name),
      (left) => left?.pin?.replicas === 1,
      60_000,
    );
    expect(seen.deleted).toEqual([]);
    first.process.kill("SIGKILL");
    await waitFor("the second one leads", second.leads, (leads) => leads, 60_000);

    const settled = await answers;
    expect(settled.filter(({ status }) => status === "rejected")).toEqual([]);
    const by = settled.map((one) => (one.status === "fulfilled" ? one.value.replica : null));
    expect(new Set(by).size).toBe(replicas);
    await waitFor(
      "both victims gone",
      () => podsOf(name),
      (pods) => pods.length === 1,
      120_000,
    );
    await seen.caughtUp();
    expect(seen.deleted.map((pod) => pod.name).sort()).toEqual([...victims].sort());
    expect(seen.counts.at(-1)).toBe(1);
    expect([...seen.counts].sort((a, b) => b - a)).toEqual(seen.counts);
    expect(seen.counts[0]).toBe(replicas);
  },
  300_000,
);
