import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { fetchJson, fetchText } from "./index.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("returns the text of a 2xx answer and sends headers and body", async () => {
  const url = await serve((request, response) => {
    request.pipe(response.writeHead(200, { "x-method": request.method ?? "" }));
  });
  await expect(fetchText(url, { timeoutMs: 2000, code: "signal/unreachable", method: "POST", body: "grüße" })).resolves.toBe("grüße");
});

it.each([
  { status: 503, code: "signal/unreachable", becomes: "signal/unreachable", retryable: true },
  { status: 404, code: "signal/unreachable", becomes: "signal/unreachable", retryable: false },
  { status: 401, code: "admin/unreachable", becomes: "admin/refused", retryable: false },
  { status: 429, code: "admin/unreachable", becomes: "admin/unreachable", retryable: true },
] as const)("translates $status under $code", async ({ status, code, becomes, retryable }) => {
  const url = await serve((_, response) => response.writeHead(status).end("because"));
  await expect(fetchText(url, { timeoutMs: 2000, code })).rejects.toMatchObject({
    code: becomes,
    retryable,
    message: expect.stringMatching(new RegExp(`${status}: because`)),
  });
});

it("names the address and the reason when nothing listens", async () => {
  const url = await serve(() => {});
  servers[0]?.close();
  await expect(fetchText(`${url}/metrics`, { timeoutMs: 2000, code: "signal/unreachable" })).rejects.toMatchObject({
    code: "signal/unreachable",
    retryable: true,
    message: expect.stringContaining(`${url}/metrics cannot be reached (ECONNREFUSED)`),
  });
});

it("says how long it waited for one that stays silent", async () => {
  const url = await serve(() => {});
  await expect(fetchText(url, { timeoutMs: 50, code: "signal/unreachable" })).rejects.toThrow("no answer within 50 ms");
  // What is left of an interval at a speed of 8 is no whole number of milliseconds.
  await expect(fetchText(url, { timeoutMs: 62.5, code: "signal/unreachable" })).rejects.toThrow("no answer within 63 ms");
});

it("throws the caller's own reason when the caller aborts", async () => {
  const url = await serve(() => {});
  const stop = new AbortController();
  const fetched = fetchText(url, { timeoutMs: 5000, code: "signal/unreachable", signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(fetched).rejects.toThrow("enough");
});

it("refuses an answer that is too long, one that is not JSON, and an address that is none; never shows a password", async () => {
  const url = await serve((_, response) => response.end("x".repeat(1000)));
  await expect(fetchText(url, { timeoutMs: 2000, code: "signal/unreachable", maxBytes: 100 })).rejects.toThrow("more than 100 bytes");
  await expect(fetchJson(url, { timeoutMs: 2000, code: "signal/malformed" })).rejects.toMatchObject({ code: "signal/malformed" });
  await expect(fetchText("nowhere", { timeoutMs: 2000, code: "usage" })).rejects.toThrow("is not an address");
});

it("sends user and password of an address as basic authorization and never shows them", async () => {
  const url = await serve((request, response) =>
    response.writeHead(500).end(Buffer.from(String(request.headers.authorization).slice(6), "base64")),
  );
  const address = url.replace("//", "//me:se%20cret@");
  await expect(fetchText(address, { timeoutMs: 2000, code: "usage" })).rejects.toThrow(`${url}/ answered 500: me:se cret`);
});
