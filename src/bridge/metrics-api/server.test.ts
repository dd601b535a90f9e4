import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { realClock } from "../../clock/index.ts";
import { type Issued, testAuthority } from "../authority.fixture.ts";
import { fakeSource, llama, pool, timed } from "../source.fixture.ts";
import { issuedBy } from "./authentication.ts";
import { fakeCluster } from "./cluster.fixture.ts";
import { startMetricsApi } from "./server.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-metrics-api-"));
let clients: ReturnType<typeof testAuthority>;
let proxies: ReturnType<typeof testAuthority>;
let strangers: ReturnType<typeof testAuthority>;
let serving: Issued;
let proxy: Issued;
let admin: Issued;
beforeAll(() => {
  clients = testAuthority(folder, "clients");
  proxies = testAuthority(folder, "proxies");
  strangers = testAuthority(folder, "strangers");
  serving = clients.issue("/CN=bridge", "server");
  proxy = proxies.issue("/CN=front-proxy-client", "client");
  admin = clients.issue("/O=ops/O=system:masters/CN=admin", "client");
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(more: { external?: boolean } = {}) {
  const { cluster, state } = fakeCluster({
    "client-ca-file": clients.ca,
    "requestheader-client-ca-file": proxies.ca,
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
  });
  const fake = fakeSource([llama]);
  const server = await startMetricsApi({
    source: fake.source,
    cluster,
    host: "127.0.0.1",
    port: 0,
    tls: serving,
    custom: true,
    external: more.external ?? true,
    version: "0.0.0",
    clock: realClock(),
    log: () => {},
    onAnswer: () => {},
  });
  closers.push(() => server.close());
  while (!server.ready()) await new Promise((resolve) => setTimeout(resolve, 5));
  const get = (path: string, as: { by?: Issued; headers?: Record<string, string | string[]>; method?: string } = {}) =>
    new Promise<{ status: number; body: never }>((resolve, reject) => {
      const sent = request(
        {
          host: "127.0.0.1",
          port: server.port,
          path,
          method: as.method ?? "GET",
          ca: clients.ca,
          agent: false,
          ...(as.by === undefined ? {} : { cert: as.by.cert, key: as.by.key }),
          ...(as.headers === undefined ? {} : { headers: as.headers }),
        },
        (response) => {
          let text = "";
          response.on("data", (chunk) => {
            text += chunk;
          });
          response.on("end", () => {
            const isJson = response.headers["content-type"] === "application/json";
            resolve({ status: response.statusCode ?? 0, body: (isJson ? JSON.parse(text) : text) as never });
          });
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  const hpa = (path: string) =>
    get(path, {
      by: proxy,
      headers: {
        "X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        accept: "application/vnd.kubernetes.protobuf, */*",
      },
    });
  return { state, server, get, hpa, ...{ source: fake.state, tell: fake.tell } };
}

const custom = "/apis/custom.metrics.k8s.io/v1beta2";
const external = "/apis/external.metrics.k8s.io/v1beta1";
const inNamespace = `${custom}/namespaces/llm-serving`;
const ofReplica = (id: string, value: number, more: { container?: string; windowMs?: number } = {}) => {
  const container = more.container === undefined ? {} : { container: more.container };
  return { subject: { kind: "replica" as const, id, ...container }, ...timed(value, more.windowMs ?? 0) };
};

it("serves each selected pod's reading under the manifest's name of the metric", async () => {
  const { hpa, source, state } = await start();
  source.readings.set("llama/gpu_utilization", [
    ofReplica("llm-0", 62.5, { container: "a" }),
    ofReplica("llm-0", 70, { container: "b" }),
    ofReplica("llm-1", 80, { windowMs: 10_000 }),
    ofReplica("other-0", 1),
    { subject: { kind: "endpoint" }, ...timed(71) },
  ]);
  const { status, body } = await hpa(`${inNamespace}/pods/*/dcgm_gpu_utilization?labelSelector=app%3Dllm`);
  const pod = (name: string) => ({ describedObject: { kind: "Pod", apiVersion: "v1", name, namespace: "llm-serving" } });
  const rest = { metric: { name: "dcgm_gpu_utilization", selector: null }, timestamp: "2026-11-24T12:00:00Z" };
  expect(status).toBe(200);
  expect(body).toEqual({
    kind: "MetricValueList",
    apiVersion: "custom.metrics.k8s.io/v1beta2",
    metadata: {},
    items: [
      { ...pod("llm-0"), ...rest, value: "70" },
      { ...pod("llm-1"), ...rest, windowSeconds: 10, value: "80" },
    ],
  });
  expect(state.asked.find(({ path }) => path.endsWith("/pods"))?.query).toEqual({ resourceVersion: "0", labelSelector: "app=llm" });
});

it.each([
  { rule: "no pod has a fresh reading", path: "pods/*/dcgm_gpu_utilization?labelSelector=app%3Dllm", status: 404 },
  { rule: "a pod that is not there", path: "pods/gone/dcgm_gpu_utilization", status: 404 },
  { rule: "an object that no endpoint scales", path: "deployments.apps/other/tidegate_desired_replicas", status: 404 },
  { rule: "another namespace's", path: "../other/deployments.apps/llm-inference-deployment/tidegate_desired_replicas", status: 404 },
  { rule: "a selector that is none", path: "pods/*/held?metricLabelSelector=%3D%3D", status: 400 },
  { rule: "objects by a selector", path: "deployments.apps/*/held", status: 404 },
])("$rule is a Status of $status, never 0", async ({ path, status }) => {
  const { hpa } = await start();
  const answer = await hpa(`${inNamespace}/${path}`);
  expect(answer).toMatchObject({ status, body: { kind: "Status", apiVersion: "v1", status: "Failure", code: status } });
});

it("a stale pod is an absent item among fresh ones", async () => {
  const { hpa, source } = await start();
  source.readings.set("llama/queue_depth", [ofReplica("llm-1", 0.0004)]);
  const { body } = await hpa(`${inNamespace}/pods/*/queue_depth?labelSelector=app%3Dllm`);
  expect(body).toMatchObject({ items: [{ describedObject: { name: "llm-1" }, value: "0" }] });
});

it.each(["deployments.apps/llm-inference-deployment", "endpoints.tidegate.dev/llama"])("describes the endpoint by %s", async (object) => {
  const { hpa, source, tell } = await start();
  const desired = await hpa(`${inNamespace}/${object}/tidegate_desired_replicas`);
  expect(desired.body).toMatchObject({ items: [{ describedObject: { name: object.split("/")[1] }, value: "4" }] });
  source.readings.set("llama/ttft_p95", [{ subject: { kind: "endpoint" }, ...timed(0.1234) }]);
  expect((await hpa(`${inNamespace}/${object}/ttft_p95`)).body).toMatchObject({ items: [{ value: "123m" }] });
  tell("llama", { pools: [pool("default", null)] });
  expect(await hpa(`${inNamespace}/${object}/tidegate_desired_replicas`)).toMatchObject({ status: 404, body: { reason: "NotFound" } });
});

it("serves what stands decided as an external metric, per pool", async () => {
  const { hpa, tell } = await start();
  const path = `${external}/namespaces/llm-serving/tidegate_desired_replicas`;
  tell("llama", {
    pools: [pool("a", 3), pool("b", 0)],
  });
  expect((await hpa(`${path}?labelSelector=endpoint%3Dllama`)).body).toEqual({
    kind: "ExternalMetricValueList",
    apiVersion: "external.metrics.k8s.io/v1beta1",
    metadata: {},
    items: [
      {
        metricName: "tidegate_desired_replicas",
        metricLabels: { endpoint: "llama", pool: "a" },
        timestamp: "2026-11-24T12:00:00Z",
        value: "3",
      },
      {
        metricName: "tidegate_desired_replicas",
        metricLabels: { endpoint: "llama", pool: "b" },
        timestamp: "2026-11-24T12:00:00Z",
        value: "0",
      },
    ],
  });
  expect((await hpa(`${path}?labelSelector=endpoint%3Dllama%2Cpool%20in%20(a)`)).body).toMatchObject({ items: [{ value: "3" }] });
  // An HPA sums the items: one that is missing would shrink the sum.
  tell("llama", {
    pools: [pool("a", 3), pool("b", null)],
  });
  expect(await hpa(path)).toMatchObject({ status: 404 });
  expect(await hpa(`${path}?labelSelector=pool%3Da`)).toMatchObject({ status: 200 });
});

it("refuses to sum several endpoints of a namespace", async () => {
  const { hpa, source } = await start();
  source.endpoints = [llama, { ...llama, name: "qwen" }];
  const path = `${external}/namespaces/llm-serving/tidegate_desired_replicas`;
  expect(await hpa(path)).toMatchObject({
    status: 400,
    body: { reason: "BadRequest", message: expect.stringContaining("endpoint: llama") },
  });
  expect(await hpa(`${path}?labelSelector=endpoint%3Dqwen`)).toMatchObject({ status: 200 });
});

it("external metrics are another's unless asked for", async () => {
  const { hpa } = await start({ external: false });
  expect(await hpa(`${external}/namespaces/llm-serving/tidegate_desired_replicas`)).toMatchObject({ status: 404 });
  expect((await hpa("/apis")).body).toMatchObject({ groups: [{ name: "custom.metrics.k8s.io" }] });
  expect(await hpa(external)).toMatchObject({ status: 404 });
});

it("asks only those endpoints that have readings of the selected pods", async () => {
  const { hpa, source } = await start();
  source.endpoints = [llama, { ...llama, name: "qwen", replicas: ["qwen-0"] }];
  source.readings.set("llama/held", [ofReplica("llm-0", 1)]);
  source.readings.set("qwen/held", [ofReplica("llm-1", 2)]);
  expect((await hpa(`${inNamespace}/pods/*/held?labelSelector=app%3Dllm`)).body).toMatchObject({ items: [{ value: "1" }] });
});

it("answers ServiceUnavailable while the controller is away", async () => {
  const { hpa, source } = await start();
  source.unreachable = true;
  expect(await hpa(`${inNamespace}/pods/*/held?labelSelector=app%3Dllm`)).toMatchObject({
    status: 503,
    body: { reason: "ServiceUnavailable" },
  });
});

it("lists what may be asked for, and describes itself", async () => {
  const { hpa } = await start();
  const { body } = await hpa(custom);
  const names = (body as { resources: { name: string }[] }).resources.map(({ name }) => name);
  expect(names).toContain("pods/dcgm_gpu_utilization");
  expect(names).toContain("deployments.apps/tidegate_desired_replicas");
  expect(names).not.toContain("pods/ttft"); // a histogram
  expect(new Set(names).size).toBe(names.length);
  expect((await hpa("/apis/custom.metrics.k8s.io")).body).toMatchObject({ kind: "APIGroup", name: "custom.metrics.k8s.io" });
  expect((await hpa("/openapi/v2")).body).toMatchObject({ swagger: "2.0" });
  const { body: index } = await hpa("/openapi/v3");
  for (const { serverRelativeURL } of Object.values((index as { paths: Record<string, { serverRelativeURL: string }> }).paths)) {
    expect((await hpa(serverRelativeURL)).body).toMatchObject({ openapi: "3.0.0" });
  }
  expect(await hpa("/nowhere")).toMatchObject({ status: 404, body: { kind: "Status" } });
});

it("health is everybody's, all else asks who it is", async () => {
  const { get } = await start();
  for (const path of ["/healthz", "/livez", "/readyz"]) expect(await get(path)).toMatchObject({ status: 200, body: "ok" });
  expect(await get(custom)).toMatchObject({ status: 401, body: { kind: "Status", reason: "Unauthorized" } });
});

it("believes the headers of the front proxy alone", async () => {
  const { get, state } = await start();
  const headers = {
    "X-Remote-User": "alice",
    "X-Remote-Group": ["one", "two, with a comma"],
    "X-Remote-Extra-Scopes%2fRead": ["a", "b"],
  };
  const seen = () => state.asked.filter(({ path }) => path.endsWith("/subjectaccessreviews")).at(-1)?.body as { spec: object };
  expect(await get(custom, { by: proxy, headers })).toMatchObject({ status: 200 });
  expect(seen().spec).toMatchObject({
    user: "alice",
    groups: ["one", "two, with a comma", "system:authenticated"],
    extra: { "scopes/read": ["a", "b"] },
    nonResourceAttributes: { path: custom, verb: "get" },
  });
  // The same headers from anybody else mean nothing.
  const wrongName = proxies.issue("/CN=somebody", "client");
  const stranger = strangers.issue("/CN=front-proxy-client", "client");
  const server = proxies.issue("/CN=front-proxy-client", "server");
  for (const by of [wrongName, stranger, server]) expect(await get(custom, { by, headers })).toMatchObject({ status: 401 });
  expect(await get(custom, { headers })).toMatchObject({ status: 401 });
  expect(await get(custom, { by: admin, headers })).toMatchObject({ status: 200 });
  expect(seen().spec).toMatchObject({ user: "admin", groups: ["ops", "system:masters", "system:authenticated"], extra: {} });
});

it("asks the cluster about tokens, once in a while", async () => {
  const { get, state } = await start();
  const reviews = () => state.asked.filter(({ path }) => path.endsWith("/tokenreviews")).length;
  const by = (token: string) => get(custom, { headers: { authorization: `Bearer ${token}`, "X-Remote-User": "root" } });
  expect(await by("bad-token")).toMatchObject({ status: 401 });
  expect(await by("good-token")).toMatchObject({ status: 200 });
  expect(await by("good-token")).toMatchObject({ status: 200 });
  expect(reviews()).toBe(2);
});

it("does only what the cluster allows, and asks in its words", async () => {
  const { get, state } = await start();
  state.allows = ({ resourceAttributes }) => resourceAttributes?.["namespace"] === "llm-serving";
  const headers = { authorization: "Bearer good-token" };
  expect(await get(`${inNamespace}/pods/*/held`, { headers })).toMatchObject({ status: 404 });
  const last = state.asked.filter(({ path }) => path.endsWith("/subjectaccessreviews")).at(-1)?.body;
  expect(last).toMatchObject({
    spec: {
      user: "alice",
      resourceAttributes: {
        namespace: "llm-serving",
        verb: "get",
        group: "custom.metrics.k8s.io",
        version: "v1beta2",
        resource: "pods",
        subresource: "held",
        name: "*",
      },
    },
  });
  expect(await get(`${external}/namespaces/other/held`, { headers })).toMatchObject({
    status: 403,
    body: { reason: "Forbidden", message: expect.stringContaining('User "alice" cannot list resource "held"') },
  });
});

it("answers no while the cluster cannot be asked", async () => {
  const { get, state } = await start();
  state.down = true;
  expect(await get(custom, { headers: { authorization: "Bearer good-token" } })).toMatchObject({ status: 500 });
  expect(await get(custom, { by: admin })).toMatchObject({ status: 500 });
});

it.each([
  { method: "POST", headers: {}, status: 405 },
  { method: "GET", headers: { accept: "application/vnd.kubernetes.protobuf" }, status: 406 },
  { method: "GET", headers: { accept: "application/json;as=Table;g=meta.k8s.io;v=v1, application/json" }, status: 200 },
])("$method $headers is $status", async ({ method, headers, status }) => {
  const { get } = await start();
  expect(await get(custom, { by: admin, headers: headers as Record<string, string>, method })).toMatchObject({ status });
});

it("a chain through an intermediate authority leads to its root, and to no other", () => {
  const middle = clients.issue("/CN=middle", "authority");
  const leaf = clients.issue("/CN=leaf", "client", middle);
  const fake = clients.issue("/CN=not an authority", "client");
  const forged = clients.issue("/CN=forged", "client", fake);
  const of = (...pems: readonly string[]) => pems.map((pem) => new X509Certificate(pem));
  const now = Date.now();
  expect(issuedBy(of(leaf.cert, middle.cert), of(clients.ca), now)).toBe(true);
  expect(issuedBy(of(leaf.cert, middle.cert), of(proxies.ca), now)).toBe(false);
  expect(issuedBy(of(leaf.cert), of(clients.ca), now)).toBe(false);
  expect(issuedBy(of(forged.cert, fake.cert), of(clients.ca), now)).toBe(false);
  expect(issuedBy(of(leaf.cert, middle.cert), of(clients.ca), now + 3 * 86_400_000)).toBe(false);
});
