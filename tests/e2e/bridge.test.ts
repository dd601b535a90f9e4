import { type Client, credentials } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { externalScaler } from "../../src/bridge/keda/proto.ts";
import { folder, freePorts, type Running, run, start, until } from "./tidegate.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const env = { TIDEGATE_ADMIN_TOKEN: "between-us" };
function begin(args: readonly string[]): Running {
  const running = start([...args, "--log-level", "warn"], env);
  cleanups.push(async () => {
    if (running.process.exitCode === null && running.process.signalCode === null) running.process.kill("SIGTERM");
    await running.ended;
  });
  return running;
}

const config = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat, namespace: llm }
spec:
  model: tiny
  engine: { kind: emulated, profile: 8B, coldStart: 1s, seed: 7 }
  platform: { kind: process }
  replicas: { min: 0, max: 3 }
  policy: { kind: slo }
  signals: { staleAfter: 5s }
`;

const ref = { name: "chat", namespace: "llm", scalerMetadata: { scalerAddress: "there" } };
type Reply = (error: Error | null, answer: never) => void;
const call = <Answer>(client: Client, method: string, request: unknown): Promise<Answer> =>
  new Promise((resolve, reject) =>
    (client as unknown as Record<string, (request: unknown, reply: Reply) => void>)[method]?.(request, (error, answer) =>
      error === null ? resolve(answer) : reject(error),
    ),
  );
interface Stream {
  on(event: "data", listener: (answer: { readonly result: boolean }) => void): void;
  on(event: "error", listener: () => void): void;
  cancel(): void;
}

it("three processes: a request held at the gateway is pushed to KEDA within a second, as a decision", async () => {
  const [port, gatewayAdmin, controllerAdmin, bridgeAdmin, keda] = (await freePorts(5)) as [number, number, number, number, number];
  const here = folder();
  cleanups.push(here.remove);
  const file = here.write("tidegate.yaml", config);
  begin(["gateway", "--port", `${port}`, "--admin-port", `${gatewayAdmin}`, "--grace", "0"]);
  // KEDA would act: the controller only decides.
  const loop = ["controller", file, "--gateway", `http://127.0.0.1:${gatewayAdmin}`, "--admin-port", `${controllerAdmin}`, "--dry-run"];
  const controller = begin([...loop, "--state", `${here.path}/state`, "--plain"]);
  const bridge = begin([
    ...["bridge", "--controller", `http://127.0.0.1:${controllerAdmin}`, "--admin-port", `${bridgeAdmin}`],
    ...["--keda-port", `${keda}`, "--keda-insecure"],
  ]);
  await bridge.saw("external scaler 127.0.0.1");
  const client = new (externalScaler())(`127.0.0.1:${keda}`, credentials.createInsecure());
  cleanups.push(() => client.close());
  const value = async () =>
    (await call<{ metricValues: { metricValueFloat: number }[] }>(client, "GetMetrics", { scaledObjectRef: ref, metricName: "" }))
      .metricValues[0]?.metricValueFloat;
  expect(await until(value, (count) => count === 0)).toBe(0);
  expect((await fetch(`http://127.0.0.1:${bridgeAdmin}/readyz`)).status).toBe(200);

  const stream = (client as unknown as Record<string, (request: unknown) => Stream>)["StreamIsActive"]?.(ref) as Stream;
  const heard: { readonly result: boolean; readonly atMs: number }[] = [];
  stream.on("error", () => {});
  stream.on("data", ({ result }) => heard.push({ result, atMs: performance.now() }));
  await until(
    async () => heard.length,
    (count) => count > 0,
  );
  expect(heard[0]?.result).toBe(false);

  const leave = new AbortController();
  const askedMs = performance.now();
  const body = JSON.stringify({ model: "tiny", messages: [{ role: "user", content: "hello" }] });
  const headers = { "content-type": "application/json" };
  const asked = fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", headers, body, signal: leave.signal });
  asked.catch(() => {});
  await until(
    async () => heard.at(-1)?.result,
    (active) => active === true,
  );
  expect((heard.find(({ result }) => result)?.atMs as number) - askedMs).toBeLessThan(1000);
  expect(await until(value, (count) => (count ?? 0) >= 1)).toBeGreaterThanOrEqual(1);
  leave.abort();
  stream.cancel();

  // Without the controller nothing is known, which is not 0.
  controller.process.kill("SIGTERM");
  await controller.ended;
  await until(
    async () => (await fetch(`http://127.0.0.1:${bridgeAdmin}/readyz`)).status,
    (status) => status === 503,
  );
  await until(
    () => value().catch(({ code }: { code: number }) => `code ${code}`),
    (answer) => answer === "code 14",
    30_000,
  );
}, 60_000);

it.each([
  { args: [], says: "nothing to serve" },
  { args: ["--custom-metrics"], says: "--tls-cert and --tls-key" },
  { args: ["--keda-port", "0"], says: "--keda-insecure" },
  { args: ["--keda-port", "0", "--keda-insecure", "--keda-client-ca", "ca.pem"], says: "--keda-client-ca" },
  { args: ["--keda-port", "0", "--tls-cert", "gone.pem"], says: "go together" },
  { args: ["--keda-port", "0", "--tls-cert", "gone.pem", "--tls-key", "gone.key"], says: "gone.pem" },
])("bridge $args is refused, saying $says", async ({ args, says }) => {
  const { code, stderr } = await run(["bridge", "--admin-port", "0", ...args]);
  expect(code).toBe(2);
  expect(stderr).toContain(says);
});
