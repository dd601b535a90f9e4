import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { realClock } from "../../clock/index.ts";
import { testAuthority } from "../authority.fixture.ts";
import type { CertificateFiles } from "../certificate-files.ts";
import { fakeSource, llama, pool, timed } from "../source.fixture.ts";
import { externalScaler, health } from "./proto.ts";
import { startKedaScaler } from "./server.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-keda-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let ours: ReturnType<typeof testAuthority>;
let theirs: ReturnType<typeof testAuthority>;
beforeAll(() => {
  ours = testAuthority(folder, "ours");
  theirs = testAuthority(folder, "theirs");
});

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Unary = (request: unknown, reply: (error: ServiceError | null, answer: never) => void) => void;
const call = <Answer>(client: Client, method: string, request: unknown): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const unary = (client as unknown as Record<string, Unary>)[method] as Unary;
    unary.call(client, request, (error, answer) => (error === null ? resolve(answer) : reject(error)));
  });

async function start(tls: CertificateFiles | null = null, client = credentials.createInsecure()) {
  const { source, state, tell } = fakeSource([llama]);
  const server = await startKedaScaler({ source, host: "127.0.0.1", port: 0, tls, clock: realClock(), log: () => {} });
  closers.push(() => server.close());
  const open = (Class: ReturnType<typeof health>) => {
    const made = new Class(`localhost:${server.port}`, client);
    closers.push(() => made.close());
    return made;
  };
  return { server, state, tell, scaler: open(externalScaler()), health: open(health()) };
}

const ref = (scalerMetadata: Record<string, string> = { endpoint: "llama", scalerAddress: "bridge:6000" }) => ({
  name: "llama-scaler",
  namespace: "llm-serving",
  scalerMetadata,
});

it("says what stands decided as a metric with a target of 1", async () => {
  const { scaler } = await start();
  expect(await call(scaler, "GetMetricSpec", ref())).toEqual({
    metricSpecs: [{ metricName: "tidegate_desired_replicas", targetSize: 1, targetSizeFloat: 1 }],
  });
  expect(await call(scaler, "GetMetrics", { scaledObjectRef: ref(), metricName: "tidegate_desired_replicas" })).toEqual({
    metricValues: [{ metricName: "tidegate_desired_replicas", metricValue: 4, metricValueFloat: 4 }],
  });
  expect(await call(scaler, "IsActive", ref())).toEqual({ result: true });
});

it("serves a signal under the manifest's name with a target of its own", async () => {
  const { scaler, state } = await start();
  state.readings.set("llama/gpu_utilization", [{ subject: { kind: "endpoint" }, ...timed(0.4) }]);
  const asked = ref({ endpoint: "llama", metric: "dcgm_gpu_utilization", targetSize: "75.5", activation: "0.5" });
  expect(await call(scaler, "GetMetricSpec", asked)).toEqual({
    metricSpecs: [{ metricName: "dcgm_gpu_utilization", targetSize: 76, targetSizeFloat: 75.5 }],
  });
  // The integer that older operators read is rounded up; the float is exact.
  expect(await call(scaler, "GetMetrics", { scaledObjectRef: asked, metricName: "dcgm_gpu_utilization" })).toMatchObject({
    metricValues: [{ metricValue: 1, metricValueFloat: 0.4 }],
  });
  expect(await call(scaler, "IsActive", asked)).toEqual({ result: false });
});

it.each([
  { rule: "a missing or stale decision is an error, never 0", more: { pools: [pool("default", null)] } },
  {
    rule: "one pool without a decision makes the sum unknown",
    more: {
      pools: [pool("default", 2), pool("spot", null)],
    },
  },
])("$rule", async ({ more }) => {
  const { scaler, tell } = await start();
  tell("llama", more);
  await expect(call(scaler, "GetMetrics", { scaledObjectRef: ref(), metricName: "" })).rejects.toMatchObject({ code: status.UNAVAILABLE });
  await expect(call(scaler, "IsActive", ref())).rejects.toMatchObject({ code: status.UNAVAILABLE });
});

it("a held request is active whatever stands decided; a pool may be followed alone", async () => {
  const { scaler, tell } = await start();
  tell("llama", { held: 1, pools: [pool("default", null)] });
  expect(await call(scaler, "IsActive", ref())).toEqual({ result: true });
  tell("llama", {
    held: 0,
    pools: [pool("a", 2), pool("b", 0)],
  });
  const ofPool = (name: string) => call(scaler, "GetMetrics", { scaledObjectRef: ref({ endpoint: "llama", pool: name }), metricName: "" });
  expect(await ofPool("a")).toMatchObject({ metricValues: [{ metricValueFloat: 2 }] });
  expect(await call(scaler, "IsActive", ref({ endpoint: "llama", pool: "b" }))).toEqual({ result: false });
  await expect(ofPool("c")).rejects.toMatchObject({ code: status.NOT_FOUND });
});

it.each([
  { metadata: { endpoint: "llamma" }, code: status.NOT_FOUND, says: "there is llama" },
  { metadata: { endpont: "llama" }, code: status.INVALID_ARGUMENT, says: "metadata.endpont" },
  { metadata: { endpoint: "llama", metric: "queue_depth" }, code: status.INVALID_ARGUMENT, says: "targetSize" },
  { metadata: { endpoint: "llama", metric: "queue_depth", targetSize: "0" }, code: status.INVALID_ARGUMENT, says: "above 0" },
])("$metadata is refused, saying why", async ({ metadata, code, says }) => {
  const { scaler } = await start();
  const error = await call(scaler, "IsActive", ref(metadata as unknown as Record<string, string>)).catch((thrown: ServiceError) => thrown);
  expect(error).toMatchObject({ code });
  expect((error as ServiceError).details).toContain(says);
});

it("an endpoint of another namespace is not seen", async () => {
  const { scaler } = await start();
  await expect(call(scaler, "IsActive", { ...ref(), namespace: "other" })).rejects.toMatchObject({ code: status.NOT_FOUND });
});

interface Stream {
  on(event: "data", listener: (answer: { result: boolean }) => void): void;
  on(event: "error" | "end", listener: () => void): void;
  cancel(): void;
}

it("pushes activity within a second of the first held request, and its end", async () => {
  const { scaler, tell } = await start();
  tell("llama", { pools: [pool("default", 0)] });
  const stream = (scaler as unknown as Record<string, (request: unknown) => Stream>)["StreamIsActive"]?.(ref()) as Stream;
  const heard: boolean[] = [];
  let next = () => {};
  stream.on("error", () => {});
  stream.on("data", ({ result }) => {
    heard.push(result);
    next();
  });
  const more = () => new Promise<void>((resolve) => (next = resolve));
  await more();
  const startedAt = performance.now();
  tell("llama", { held: 1 });
  await more();
  expect(performance.now() - startedAt).toBeLessThan(1000);
  tell("llama", { held: 1 });
  tell("llama", { held: 0 });
  await more();
  expect(heard).toEqual([false, true, false]);
  stream.cancel();
});

it("sends the metric specs when the stream opens, and ends it when the server closes", async () => {
  const { scaler, server } = await start();
  const stream = (scaler as unknown as Record<string, (request: unknown) => Stream>)["StreamMetricSpec"]?.(ref()) as Stream;
  const first = await new Promise((resolve) => stream.on("data", resolve as never));
  expect(first).toEqual(await call(scaler, "GetMetricSpec", ref()));
  const ended = new Promise<void>((resolve) => stream.on("end", resolve));
  await server.close();
  await ended;
});

it("is healthy while the controller is heard", async () => {
  const { health: client, state } = await start();
  const service = "externalscaler.ExternalScaler";
  expect(await call(client, "Check", { service })).toEqual({ status: "SERVING" });
  state.connected = false;
  expect(await call(client, "Check", {})).toEqual({ status: "NOT_SERVING" });
  await expect(call(client, "Check", { service: "other" })).rejects.toMatchObject({ code: status.NOT_FOUND });
});

it("with a client authority lets in only who has a certificate by it", async () => {
  const { certFile, keyFile } = ours.issue("/CN=bridge", "server");
  const tls = { certFile, keyFile, clientCaFile: ours.caFile };
  const mine = ours.issue("/CN=keda-operator", "client");
  const foreign = theirs.issue("/CN=keda-operator", "client");
  const by = (pair?: { key: string; cert: string }) =>
    credentials.createSsl(Buffer.from(ours.ca), pair ? Buffer.from(pair.key) : null, pair ? Buffer.from(pair.cert) : null);
  const { scaler, server } = await start(tls, by(mine));
  expect(await call(scaler, "IsActive", ref())).toEqual({ result: true });
  for (const pair of [undefined, foreign]) {
    const client = new (externalScaler())(`localhost:${server.port}`, by(pair));
    closers.push(() => client.close());
    await expect(call(client, "IsActive", ref())).rejects.toMatchObject({ code: status.UNAVAILABLE });
  }
});

it("with a certificate alone serves whoever trusts it", async () => {
  const { certFile, keyFile } = ours.issue("/CN=bridge", "server");
  const { scaler } = await start({ certFile, keyFile, clientCaFile: null }, credentials.createSsl(Buffer.from(ours.ca)));
  expect(await call(scaler, "IsActive", ref())).toEqual({ result: true });
});
