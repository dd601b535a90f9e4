import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import type { Bridge, Source } from "../../../src/bridge/index.ts";
import { parseEnginePage } from "../../../src/engine/index.ts";
import { openHistory } from "../../../src/history/index.ts";
import type { ShadowReport, ShadowView } from "../../../src/shadow/index.ts";
import { freePorts, run, start } from "../../e2e/tidegate.ts";
import { bridgeIn, isAvailable } from "../bridge/following.ts";
import { type Plane, startPlane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";
import { type Engines, enginesOf, LOOPBACK_PODS, load } from "./engines.ts";

const namespace = "llm";
const user = "system:serviceaccount:tidegate:tidegate-shadow";
const groups = ["system:serviceaccounts", "system:serviceaccounts:tidegate"];
const folder = mkdtempSync(join(tmpdir(), "tidegate-shadow-"));
const auditLog = join(folder, "audit.log");
const state = join(folder, "state");

let plane: Plane;
let bridge: Bridge;
let engines: Engines = { running: () => new Map(), close: async () => {} };
let traffic: ReturnType<typeof load>;

/** What a metrics adapter would say of each pod: its engine's own page, at the moment of the question. */
const source: Source = {
  endpoints: () => [
    {
      name: "chat",
      namespace,
      metrics: { vllm_num_requests_running: "running" },
      pools: [],
      held: null,
      replicas: [...engines.running().keys()],
    },
  ],
  readings: async () =>
    Promise.all(
      [...engines.running()].map(async ([id, { url }]) => {
        const atMs = Date.now();
        const page = parseEnginePage("vllm", await (await fetch(`${url}/metrics`)).text(), atMs);
        return { subject: { kind: "replica" as const, id }, value: page.gauges.running ?? 0, atMs, windowMs: 0 };
      }),
    ),
  onChange: () => () => {},
  connected: () => true,
  close() {},
};

interface Document {
  readonly apiVersion: string;
  readonly kind: "Role" | "RoleBinding";
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** The rights that docs/shadow.md says to give, and no others. */
async function applyRights(): Promise<void> {
  const text = readFileSync(fileURLToPath(new URL("../../../docs/shadow.md", import.meta.url)), "utf8");
  const block = /<!-- tests\/integration\/shadow applies this block -->\n```yaml\n([\s\S]+?)```/.exec(text)?.[1];
  if (block === undefined) throw new Error("docs/shadow.md has lost the block that the test applies");
  for (const document of parseAllDocuments(block).map((one) => one.toJS() as Document)) {
    const plural = document.kind === "Role" ? "roles" : "rolebindings";
    await plane.apply(
      `/apis/${document.apiVersion}/namespaces/${document.metadata.namespace}/${plural}/${document.metadata.name}`,
      document,
    );
  }
}

async function applyDeployment(name: string): Promise<void> {
  const container = {
    name: "main",
    image: "engine:1",
    ports: [{ name: "http", containerPort: 8000 }],
    resources: { requests: { "nvidia.com/gpu": "1" }, limits: { "nvidia.com/gpu": "1" } },
  };
  await plane.apply(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations: { "test/ready-after": "4s" } },
        spec: { terminationGracePeriodSeconds: 0, containers: [container] },
      },
    },
  });
}

const hpaPath = (name: string) => `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers/${name}`;
const applyHpa = (name: string, target: string, metric: object) =>
  plane.apply(hpaPath(name), {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target },
      minReplicas: 1,
      maxReplicas: 5,
      metrics: [metric],
      behavior: { scaleDown: { stabilizationWindowSeconds: 15 } },
    },
  });

interface Hpa {
  readonly status?: { readonly currentReplicas?: number; readonly desiredReplicas?: number; readonly conditions?: readonly object[] };
}

beforeAll(async () => {
  const policy = join(folder, "policy.yaml");
  writeFileSync(
    policy,
    JSON.stringify({
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      omitStages: ["RequestReceived"],
      rules: [{ level: "Metadata", users: [user] }, { level: "None" }],
    }),
  );
  plane = await startPlane({
    programs: process.env["TIDEGATE_PLANE"] as string,
    flags: {
      kwok: LOOPBACK_PODS,
      "kube-apiserver": [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLog}`],
      "kube-controller-manager": ["--horizontal-pod-autoscaler-sync-period=5s"],
    },
  });
  bridge = await bridgeIn(plane, source, () => {});
  await plane.apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  engines = await enginesOf(plane, namespace, ["chat"]);
  traffic = load(engines);
  await waitFor(
    "the metrics API",
    () => isAvailable(plane, "v1beta2.custom.metrics.k8s.io"),
    (is) => is === true,
  );
  await applyDeployment("chat");
  await applyDeployment("web");
  await applyHpa("chat", "chat", {
    type: "Pods",
    pods: { metric: { name: "vllm_num_requests_running" }, target: { type: "AverageValue", averageValue: "4" } },
  });
  await applyHpa("web", "web", { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } });
  await waitFor(
    "an engine",
    () => engines.running().size,
    (size) => size === 1,
  );
});
afterAll(async () => {
  await traffic?.close();
  await engines?.close();
  await bridge?.close();
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
});

it("without the rights it ends and names the one that is missing", async () => {
  const kubeconfig = plane.kubeconfigFor("nobody");
  const { code, stderr } = await run([
    "shadow",
    "--namespace",
    namespace,
    "--kubeconfig",
    kubeconfig,
    "--state",
    join(folder, "none"),
    "--plain",
  ]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/cannot list resource "horizontalpodautoscalers" in API group "autoscaling" in the namespace "llm"/);
});

it("records what the HPA said, decides beside it, writes nothing, and works out the difference", { timeout: 400_000 }, async () => {
  await applyRights();
  const kubeconfig = plane.kubeconfigFor(user, groups);
  const [port] = (await freePorts(1)) as [number];
  const html = process.env["TIDEGATE_SHADOW_HTML"] ?? join(folder, "shadow.html");
  const shadow = start([
    ...["shadow", "--namespace", namespace, "--kubeconfig", kubeconfig, "--state", state, "--plain", "--admin-port", String(port)],
    ...["--price", "2.5", "--gpu", "a100-80g", "--seeds", "3", "-o", "json", "--html", html],
  ]);
  const viewed = async () => (await (await fetch(`http://127.0.0.1:${port}/api/v1/shadow`)).json()) as ShadowView;
  const view = await waitFor(
    "the watch",
    () => viewed().catch(() => null),
    (seen) => seen !== null && seen.watched.length === 1 && seen.skipped.length === 1,
    60_000,
  );
  expect(view?.watched[0]).toMatchObject({
    name: "chat",
    title: "HorizontalPodAutoscaler chat",
    endpoint: { engine: "vllm", model: "meta-llama/Llama-3.1-8B-Instruct" },
  });
  // Nobody answers at its pod's address, and the Role has no right to the way through the API server.
  expect(view?.skipped[0]).toMatchObject({
    title: "HorizontalPodAutoscaler web",
    reason: expect.stringMatching(/ECONNREFUSED[\s\S]*through the API server[\s\S]*cannot get resource "pods\/proxy"/),
  });

  // What the HPA says of itself, by a watch of our own.
  const said: (number | undefined)[] = [];
  const ended = new AbortController();
  const first = await plane.admin.ask<Hpa & { metadata: { resourceVersion: string } }>({ path: hpaPath("chat") });
  const note = ({ status }: Hpa) => {
    if (status?.desiredReplicas !== undefined && said.at(-1) !== status.desiredReplicas) said.push(status.desiredReplicas);
  };
  note(first);
  const events = await plane.admin.watch<never>({
    path: `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`,
    query: { watch: true, fieldSelector: "metadata.name=chat", resourceVersion: first.metadata.resourceVersion },
    signal: ended.signal,
  });
  const watching = (async () => {
    for await (const { object } of events) note(object as Hpa);
  })().catch(() => {});

  traffic.concurrency = 14;
  await waitFor(
    "four replicas",
    () => engines.running().size,
    (size) => size === 4,
    90_000,
  );
  await waitFor(
    "the rules at four",
    async () => (await viewed()).watched[0]?.agreement,
    (agreement) => agreement?.last?.replicas === 4 && agreement.compared >= 4,
    120_000,
  );
  traffic.concurrency = 3;
  await waitFor(
    "one replica",
    () => engines.running().size,
    (size) => size === 1,
    120_000,
  );
  const last = await waitFor(
    "the shadow sees it",
    async () => (await viewed()).watched[0],
    (watch) => watch?.autoscaler?.desired === 1 && watch.endpoint.now?.ready === 1,
    60_000,
  );
  expect(last?.blind).toBeNull();
  expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toMatch(/^tidegate_desired_replicas\{.*endpoint="chat"/m);
  expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);

  // An engine that answers no more: blind, with the reason, and nothing is taken for zero.
  await [...engines.running().values()][0]?.close();
  const blind = await waitFor(
    "blindness",
    async () => (await viewed()).watched[0],
    (watch) => watch?.blind !== null && watch?.endpoint.now?.requestRate === null,
    90_000,
  );
  expect(blind?.blind).toMatch(/signal\/unreachable/);
  expect(blind?.endpoint.now).toMatchObject({ queueDepth: null, inFlight: null, ready: 1 });
  expect(blind?.ours?.replicas).toBeGreaterThanOrEqual(1);

  shadow.process.kill("SIGINT");
  const { code, stdout, stderr } = await shadow.ended;
  ended.abort();
  await watching;
  expect(code, stderr).toBe(0);
  const [report] = JSON.parse(stdout) as ShadowReport[];
  const stated = (report as ShadowReport).measured.stated.map(({ status }) => status.desired);
  expect(stated.filter((desired, at) => desired !== stated[at - 1])).toEqual(said);
  expect(said).toContain(4);
  expect(said.at(-1)).toBe(1);

  const { agreement, traffic: counted, simulated, tooLittle, verdict, measured } = report as ShadowReport;
  expect(agreement?.near, `agreement: ${JSON.stringify(agreement)}`).toBeGreaterThanOrEqual(0.7 * (agreement?.compared ?? 0));
  expect(agreement?.compared).toBeGreaterThanOrEqual(4);
  // The engines' own counters: all but the last seconds of pods that went, and with them what those did not finish.
  expect(counted.requests).toBeGreaterThan(0.8 * traffic.answered);
  expect(counted.requests).toBeLessThan(1.1 * traffic.answered);
  expect(measured.coldStartsMs.length).toBeGreaterThanOrEqual(3);
  expect(simulated?.contenders.map(({ name }) => name)).toEqual(["recorded", "rules", "slo"]);
  expect(simulated?.coldStart.from).toBe("measured");
  const recorded = simulated?.contenders[0]?.figures.gpuHours.mean as number;
  expect(Math.abs(recorded / measured.gpuHours - 1)).toBeLessThan(0.15);
  expect(tooLittle[0]).toMatch(/were watched/);
  expect(verdict).toMatch(/^Too little was seen to go by/);
  expect(readFileSync(html, "utf8")).toContain("HorizontalPodAutoscaler chat");

  const history = openHistory(state, { readOnly: true });
  expect(history.endpoints()).toEqual(["chat", "chat@hpa"]);
  history.close();
  const replayed = await run(["replay", "--state", state]);
  expect(replayed.code, replayed.stdout + replayed.stderr).toBe(0);
  expect((await run(["explain", "chat", "--state", state])).stdout).toMatch(/Fleet: /);
  const trace = join(folder, "trace.csv");
  expect((await run(["trace", "from-history", "chat", "--state", state, "--out", trace])).code).toBe(0);
  expect(readFileSync(trace, "utf8").trim().split("\n").length - 1).toBe(counted.requests);
  expect((await run(["shadow", "report", state, "--seeds", "1"])).stdout).toContain("theirs, measured");
});

it("asked for nothing but get, list and watch, and for nothing that it had no right to", () => {
  const events = readFileSync(auditLog, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { verb: string; requestURI: string; userAgent: string; responseStatus?: { code: number } });
  expect(events.length).toBeGreaterThan(5);
  expect(new Set(events.map(({ verb }) => verb))).toEqual(new Set(["get", "list", "watch"]));
  expect(events.every(({ userAgent }) => userAgent === "tidegate-shadow")).toBe(true);
  const forbidden = events.filter(({ responseStatus }) => responseStatus?.code === 403).map(({ requestURI }) => requestURI);
  expect(forbidden.filter((uri) => !/\/pods\/web-[^/]+\/proxy\/metrics$/.test(uri))).toEqual([]);
});
