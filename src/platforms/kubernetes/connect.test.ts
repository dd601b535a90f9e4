import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { connectKubernetes } from "./connect.ts";
import type { KubernetesObject } from "./objects.ts";

type Answer = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

/** Our client before a server that answers as told. */
async function setUp(answer: Answer) {
  let requests = 0;
  const server = createServer((request, response) => answer(request, response, ++requests));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const folder = mkdtempSync(join(tmpdir(), "tidegate-kubeconfig-"));
  const kubeconfig = join(folder, "config");
  const config = {
    ...{ apiVersion: "v1", kind: "Config", "current-context": "c" },
    clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${port}/base`, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token: "secret-token" } }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
  const api = await connectKubernetes({ kubeconfig, context: null });
  onTestFinished(() => {
    api.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { api, kubeconfig, requests: () => requests };
}
const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

it("asks below the server's own path, with its credentials, and sends merge patches", async () => {
  const { api } = await setUp((request, response) => {
    const { authorization, "content-type": type } = request.headers;
    json(response, 200, { url: request.url, method: request.method, authorization, type });
  });
  expect(await api.ask({ method: "PATCH", path: "/x", query: { a: "b c", none: undefined }, body: {} })).toEqual({
    ...{ url: "/base/x?a=b+c", method: "PATCH", authorization: "Bearer secret-token", type: "application/merge-patch+json" },
  });
});

it("waits as a 429 asks, and asks again whatever it was", async () => {
  const { api, requests } = await setUp((_, response, nth) =>
    nth === 1 ? json(response, 429, { kind: "Status", reason: "TooManyRequests" }, { "retry-after": "0" }) : json(response, 200, { nth }),
  );
  expect(await api.ask({ method: "POST", path: "/x", body: {} })).toEqual({ nth: 2 });
  expect(requests()).toBe(2);
});

it("does not wait longer than is sensible", async () => {
  const { api, requests } = await setUp((_, response) => json(response, 429, { kind: "Status" }, { "retry-after": "600" }));
  await expect(api.ask({ path: "/x" })).rejects.toMatchObject({ code: "platform/busy", retryable: true, retryAfterMs: 600_000 });
  expect(requests()).toBe(1);
});

it("asks once more what changes nothing when a connection was closed under it, and nothing else", async () => {
  const { api, requests } = await setUp((request, response, nth) => {
    if (nth % 2 === 1) request.socket.destroy();
    else json(response, 200, { nth });
  });
  expect(await api.ask({ path: "/x" })).toEqual({ nth: 2 });
  await expect(api.ask({ method: "POST", path: "/x", body: {} })).rejects.toMatchObject({ code: "platform/unreachable", status: null });
  expect(requests()).toBe(3);
});

it.each([
  { status: 401, code: "platform/refused", says: "renew the kubeconfig" },
  { status: 403, code: "platform/refused", says: "grant this right" },
  { status: 404, code: "platform/refused", says: "GET /x answered 404: because" },
  { status: 409, code: "platform/busy", says: "because" },
  { status: 422, code: "platform/refused", says: "because" },
  { status: 500, code: "platform/unreachable", says: "because" },
])("takes $status for $code", async ({ status, code, says }) => {
  const { api } = await setUp((_, response) => json(response, status, { kind: "Status", message: "because", reason: "Some" }));
  await expect(api.ask({ path: "/x" })).rejects.toMatchObject({ code, status, reason: "Some", message: expect.stringContaining(says) });
});

it("takes a proxy's page for what it is", async () => {
  const { api } = await setUp((_, response) => response.writeHead(502).end("<h1>Bad Gateway</h1>"));
  await expect(api.ask({ path: "/x" })).rejects.toMatchObject({
    code: "platform/unreachable",
    status: 502,
    message: expect.stringContaining("Bad Gateway"),
  });
});

it("gives a watch's events as they come, and ends when it is aborted", async () => {
  const event = (name: string) => `${JSON.stringify({ type: "ADDED", object: { metadata: { name } } })}\n`;
  const { api } = await setUp((_, response) => {
    response.write(event("a").slice(0, 20));
    setImmediate(() => response.write(`${event("a").slice(20)}${event("b")}`));
  });
  const closing = new AbortController();
  const events = await api.watch<KubernetesObject>({ path: "/x", signal: closing.signal });
  const seen: string[] = [];
  const reason = new Error("enough");
  const reading = (async () => {
    for await (const one of events) {
      if (one.type !== "ERROR") seen.push(one.object.metadata.name);
      if (seen.length === 2) closing.abort(reason);
    }
  })();
  await expect(reading).rejects.toBe(reason);
  expect(seen).toEqual(["a", "b"]);
});

it("tells a refused watch from a broken one", async () => {
  const { api } = await setUp((_, response, nth) => {
    if (nth === 1) return void json(response, 410, { kind: "Status", reason: "Expired", message: "too old" });
    response.write("{");
    setImmediate(() => response.destroy());
  });
  await expect(api.watch({ path: "/x" })).rejects.toMatchObject({ status: 410, reason: "Expired" });
  const broken = (async () => {
    for await (const _ of await api.watch({ path: "/x" }));
  })();
  await expect(broken).rejects.toMatchObject({ code: "platform/unreachable", status: null });
});

it("knows how far the server's clock is from ours, to a second", async () => {
  const { api } = await setUp((_, response) => json(response, 200, {}, { date: new Date(Date.now() + 90_000).toUTCString() }));
  await api.ask({ path: "/x" });
  expect(Math.abs(api.skewMs() - 90_000)).toBeLessThan(1_500);
});

it.each([
  { rule: "an unknown context", context: "none", says: "platform.context" },
  { rule: "a file that is not there", kubeconfig: "/no/such/file", says: "correct platform.kubeconfig" },
])("says what is wrong with $rule", async ({ context = null, kubeconfig, says }) => {
  const made = await setUp(() => {});
  const opened = connectKubernetes({ kubeconfig: kubeconfig ?? made.kubeconfig, context });
  await expect(opened).rejects.toMatchObject({ code: "platform/refused", message: expect.stringContaining(says) });
});

it("asks what is urgent on a connection of its own, while all others wait for their answers", async () => {
  const { api, requests } = await setUp((request, response) => {
    if (request.url === "/base/lease") json(response, 200, { held: true });
  });
  const leave = new AbortController();
  const waiting = Array.from({ length: 50 }, () => api.ask({ path: "/slow", signal: leave.signal }).catch(() => {}));
  expect(await api.ask({ path: "/lease", urgent: true })).toEqual({ held: true });
  expect(requests()).toBeLessThan(50);
  leave.abort(new Error("left"));
  await Promise.all(waiting);
});
