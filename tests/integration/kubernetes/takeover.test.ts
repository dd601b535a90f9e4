import { type ChildProcess, spawn } from "node:child_process";
import { lookup } from "node:dns/promises";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import type { ControllerView, DesiredAnswer } from "../../../src/controller/index.ts";
import { applyDefinitions, endpointDocument, eventsOf, kindPath, type OwnDocument, readOwn } from "./definitions.ts";
import { applyWorkload, planeForFile, scaleOf, waitFor } from "./workload.ts";

const plane = planeForFile();
beforeAll(() => applyDefinitions(plane()));

const cli = new URL("../../../src/cli/main.ts", import.meta.url).pathname;
const apply = (document: OwnDocument) => plane().apply(kindPath(document), document);

interface Process {
  readonly child: ChildProcess;
  readonly url: string;
  readonly output: () => string;
  exited: Promise<unknown>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A verb of the command line as its own process, with an admin port of its own. */
async function run(verb: string, args: readonly string[], adminPort?: number): Promise<Process> {
  const port = adminPort ?? (await freePort());
  const folder = mkdtempSync(join(tmpdir(), "tidegate-process-"));
  let output = "";
  const child = spawn(process.execPath, [cli, verb, ...args, "--admin-port", String(port), "--kubeconfig", plane().kubeconfig], {
    cwd: folder,
    env: { ...process.env, CI: "1", POD_NAMESPACE: "default", POD_NAME: "", POD_IP: "" },
  });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  });
  const started: Process = { child, url: `http://127.0.0.1:${port}`, output: () => output, exited };
  await waitFor(
    `${verb} answers`,
    () => text(started, "/livez").catch((error: Error) => `${error.message}\n${output}`),
    (said) => said === "ok\n",
    60_000,
  );
  return started;
}

const get = (from: Process, path: string) => fetch(`${from.url}${path}`, { signal: AbortSignal.timeout(5_000) });
const text = async (from: Process, path: string) => (await get(from, path)).text();
const json = async <Answer>(from: Process, path: string) => (await (await get(from, path)).json()) as Answer;
const leads = (one: Process) =>
  json<ControllerView>(one, "/api/v1/view").then(
    ({ leadership }) => leadership,
    () => undefined,
  );
const metric = async (from: Process, name: string) => new RegExp(`^${name} (\\S+)$`, "m").exec(await text(from, "/metrics"))?.[1];

it("hands over after kill -9 without a change of count; who waits is ready, says who leads, and hands questions on", async () => {
  await applyWorkload(plane(), "handed", { replicas: 1 });
  const document = endpointDocument("handed", { policy: { kind: "static", replicas: 3 } });
  await apply(document);
  const args = ["--from-cluster", "--lease", "handed"];
  const first = await run("controller", [...args, "--identity", "first"]);
  await waitFor(
    "it leads",
    () => leads(first),
    (said) => said?.leads === true,
    30_000,
  );
  const second = await run("controller", [...args, "--identity", "second"]);
  await waitFor(
    "the count",
    () => scaleOf(plane(), "handed"),
    (count) => count === 3,
  );
  const before = await waitFor(
    "its status",
    () => readOwn(plane(), document),
    ({ status }) => status?.replicas?.ready === 3,
  );

  await waitFor(
    "it is ready",
    () => get(second, "/readyz").then(({ status }) => status),
    (status) => status === 200,
  );
  await waitFor(
    "it hears who leads",
    () => text(second, "/readyz"),
    (said) => said === "ok: first leads\n",
  );
  expect(await metric(second, "tidegate_leader")).toBe("0");
  expect(await metric(first, "tidegate_leader")).toBe("1");
  // Asked of the one that waits, answered by the one that leads.
  expect(await json<DesiredAnswer>(second, "/api/v1/desired")).toMatchObject({ endpoints: [{ name: "handed", pools: [{ desired: 3 }] }] });
  expect(await leads(second)).toMatchObject({ identity: "first", leads: true });

  first.child.kill("SIGKILL");
  await first.exited;
  const killedAtMs = performance.now();
  const alone = await waitFor(
    "nobody answers for it",
    () => leads(second),
    (said) => said?.identity === "second",
  );
  expect(alone).toMatchObject({ leads: false, leader: "first" });
  expect((await get(second, "/api/v1/desired")).status).toBe(503);
  await waitFor(
    "the other one leads",
    () => leads(second),
    (said) => said?.leads === true,
    60_000,
  );
  process.stdout.write(`takeover after kill -9: ${((performance.now() - killedAtMs) / 1000).toFixed(1)} s\n`);
  const view = await waitFor(
    "its decisions",
    () => json<ControllerView>(second, "/api/v1/view"),
    ({ endpoints }) => endpoints[0]?.decisions[0] !== undefined && endpoints[0].decisions[0].seq > 1,
    30_000,
  );
  expect(view.endpoints[0]!.decisions.every(({ changed }) => !changed)).toBe(true);
  expect(await scaleOf(plane(), "handed")).toBe(3);
  const rescales = (await eventsOf(plane(), "handed")).filter(({ reason }) => reason === "SuccessfulRescale");
  expect(rescales.map(({ note }) => note.split(";")[0])).toEqual(["New size: 3, from 1"]);

  // What the one before wrote stands, and a change is followed.
  const after = await readOwn(plane(), document);
  expect(after.status?.lastDecision).toEqual(before.status?.lastDecision);
  await apply(endpointDocument("handed", { policy: { kind: "static", replicas: 2 } }));
  await waitFor(
    "the change",
    () => readOwn(plane(), document),
    ({ status }) => status?.desired === 2 && status.observedGeneration === 2,
  );

  // One that ends gives the lease back.
  second.child.kill("SIGTERM");
  await second.exited;
  const lease = await plane().admin.ask<{ spec: { holderIdentity?: string } }>({
    path: "/apis/coordination.k8s.io/v1/namespaces/default/leases/handed",
  });
  expect(lease.spec.holderIdentity ?? "").toBe("");
  await plane().admin.ask({ method: "DELETE", path: kindPath(document) });
});

it("sums the gateways behind one name, which know the endpoints before any controller speaks", async () => {
  await applyWorkload(plane(), "held", { replicas: 0 });
  const document = endpointDocument("held", { policy: { kind: "slo" } });
  await apply(document);
  const adminPort = await freePort();
  // One name, every address of it, one port: as a headless Service has it. Where localhost has no IPv6 address it is one gateway.
  const hosts = [...new Set((await lookup("localhost", { all: true })).map(({ address }) => address))];
  const gateways: { readonly admin: string; readonly door: string }[] = [];
  for (const host of hosts) {
    const port = await freePort();
    const gateway = await runGateway(host, port, adminPort);
    gateways.push({ ...gateway, door: `http://${bracketed(host)}:${port}` });
  }
  for (const { admin } of gateways) {
    await waitFor(
      "it is ready",
      () => fetch(`${admin}/readyz`).then(({ status }) => status),
      (status) => status === 200,
    );
  }
  const models = async (door: string) =>
    ((await (await fetch(`${door}/v1/models`)).json()) as { data: { id: string }[] }).data.map(({ id }) => id);
  for (const { door } of gateways) expect(await models(door)).toContain("held");

  // A request is held, not refused, while nobody leads; the controller then wakes the endpoint for it.
  const abort = new AbortController();
  const asked = gateways.map(({ door }) =>
    fetch(`${door}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "held", messages: [{ role: "user", content: "hi" }] }),
      signal: abort.signal,
    }).catch((error: Error) => error),
  );
  const controller = await run("controller", ["--from-cluster", "--gateway", `dns+http://localhost:${adminPort}`]);
  const woken = await waitFor(
    "every held request is known",
    () =>
      json<ControllerView>(controller, "/api/v1/view").then(
        ({ endpoints }) => endpoints.find(({ name }) => name === "held"),
        () => undefined,
      ),
    (view) => view?.totals?.arrived === gateways.length,
    30_000,
  );
  expect(woken!.totals).toMatchObject({ arrived: gateways.length, held: gateways.length });
  await waitFor(
    "it wakes",
    () => scaleOf(plane(), "held"),
    (count) => count >= 1,
    30_000,
  );
  abort.abort();
  await Promise.all(asked);

  // A deleted Endpoint is no longer served.
  await plane().admin.ask({ method: "DELETE", path: kindPath(document) });
  for (const { door } of gateways)
    await waitFor(
      "it is forgotten",
      () => models(door),
      (all) => !all.includes("held"),
    );
});

const bracketed = (host: string) => (host.includes(":") ? `[${host}]` : host);

async function runGateway(host: string, port: number, adminPort: number) {
  let output = "";
  const child = spawn(
    process.execPath,
    [
      ...[cli, "gateway", "--from-cluster", "--host", host, "--port", String(port), "--admin-port", String(adminPort)],
      ...["--kubeconfig", plane().kubeconfig],
    ],
    { env: { ...process.env, POD_NAMESPACE: "default" } },
  );
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const admin = `http://${bracketed(host)}:${adminPort}`;
  await waitFor(
    "the gateway answers",
    () =>
      fetch(`${admin}/livez`).then(
        (answer) => answer.text(),
        (error: Error) => `${error.message}\n${output}`,
      ),
    (said) => said === "ok\n",
    60_000,
  );
  return { admin };
}
