import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { createPrometheus } from "./index.ts";

type Spec = Parameters<typeof createPrometheus>[0];
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

interface Asked {
  readonly path: string | undefined;
  readonly authorization: string | undefined;
  readonly parameters: Record<string, string>;
}
/** A client of a server that answers everything the same way, and what it was asked. */
async function setup(answer: object | string | ((response: ServerResponse) => void), spec: Partial<Spec> = {}) {
  const asked: Asked[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push({
      path: `${request.method} ${request.url}`,
      authorization: request.headers.authorization,
      parameters: Object.fromEntries(new URLSearchParams(body)),
    });
    if (typeof answer === "function") answer(response);
    else response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = createPrometheus({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prom/`,
    timeoutMs: 2000,
    bearerToken: null,
    basic: null,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false },
    ...spec,
  });
  endings.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  endings.push(() => client.close());
  return { client, asked };
}
const success = (resultType: string, result: unknown, more: object = {}) => ({ status: "success", data: { resultType, result }, ...more });
const refusal = (status: number, body: object) => (response: ServerResponse) => void response.writeHead(status).end(JSON.stringify(body));

it("asks by POST, under the path of its URL", async () => {
  const { client, asked } = await setup(success("vector", [{ metric: { pod: "a" }, value: [1700000000.5, "3.5"] }]));
  const answer = await client.query('sum(rate(x{a="b"}[1m]))', { atMs: 1_700_000_000_500, lookbackMs: 30_000 });
  expect(answer).toEqual({
    series: [{ labels: { pod: "a" }, points: [{ atMs: 1_700_000_000_500, value: 3.5 }] }],
    warnings: [],
    partial: false,
  });
  const parameters = { query: 'sum(rate(x{a="b"}[1m]))', time: "1700000000.5", timeout: "2000ms", lookback_delta: "30000ms" };
  expect(asked).toEqual([{ path: "POST /prom/api/v1/query", authorization: undefined, parameters }]);
});

it("asks for ranges", async () => {
  const { client, asked } = await setup(
    success("matrix", [
      {
        metric: {},
        values: [
          [1, "1"],
          [2, "+Inf"],
          [3, "NaN"],
        ],
      },
    ]),
  );
  const { series } = await client.queryRange("x", { startMs: 1000, endMs: 3000, stepMs: 500 });
  expect(series[0]?.points.map(({ value }) => value)).toEqual([1, Number.POSITIVE_INFINITY, Number.NaN]);
  expect(asked[0]).toMatchObject({ path: "POST /prom/api/v1/query_range", parameters: { query: "x", start: "1", end: "3", step: "0.5" } });
});

it.each([
  ["a bearer token", { bearerToken: "t0k" }, "Bearer t0k"],
  ["name and password", { basic: { username: "me", password: "pä" } }, `Basic ${Buffer.from("me:pä").toString("base64")}`],
])("shows %s", async (_, spec, authorization) => {
  const { client, asked } = await setup(success("vector", []), spec);
  expect((await client.query("x")).series).toEqual([]);
  expect(asked[0]?.authorization).toBe(authorization);
});

it("takes a scalar as one series, and nothing of native histograms", async () => {
  expect((await (await setup(success("scalar", [1, "7"]))).client.query("7")).series).toEqual([
    { labels: {}, points: [{ atMs: 1000, value: 7 }] },
  ]);
  expect((await (await setup(success("vector", [{ metric: {}, histogram: [1, {}] }]))).client.query("h")).series).toEqual([]);
});

it.each([
  [["PromQL warning: bucket label missing"], false],
  [["No StoreAPIs matched for this query"], true],
])("tells remarks from missing data: %s", async (warnings, partial) => {
  const { client } = await setup(success("vector", [], { warnings }));
  expect(await client.query("x")).toMatchObject({ warnings, partial });
});

it.each([
  [
    "its words on a bad query",
    refusal(400, { status: "error", errorType: "bad_data", error: "parse error: unclosed" }),
    "signal/malformed",
    false,
    /"sum\(".*unclosed/,
  ],
  [
    "a query that took too long",
    refusal(503, { status: "error", errorType: "timeout", error: "query timed out" }),
    "signal/unreachable",
    true,
    /timed out/,
  ],
  ["a wrong token", refusal(401, {}), "signal/unreachable", false, /bearerToken/],
  ["a broken proxy", (response: ServerResponse) => void response.writeHead(502).end("<html>"), "signal/unreachable", true, /502/],
  ["another kind of server", "<html>", "signal/malformed", false, /no JSON/],
  ["an unknown shape", success("vector", [{ metric: {}, value: [1, 2] }]), "signal/malformed", false, /shape/],
  ["streams", success("streams", []), "signal/malformed", false, /shape/],
])("passes on %s", async (_, answer, code, retryable, message) => {
  const { client } = await setup(answer as never);
  await expect(client.query("sum(")).rejects.toMatchObject({ code, retryable, message: expect.stringMatching(message) });
});

it("gives up on a silent server in time, and on one that is not there", async () => {
  const { client } = await setup(() => {}, { timeoutMs: 50 });
  await expect(client.query("x")).rejects.toMatchObject({
    code: "signal/unreachable",
    retryable: true,
    message: expect.stringContaining("50 ms"),
  });
  const { client: alone } = await setup("", { url: "http://127.0.0.1:1" });
  await expect(alone.query("x")).rejects.toMatchObject({ code: "signal/unreachable", message: expect.stringContaining("127.0.0.1:1") });
});

it("gives up in time on one that takes the connection and never finishes its TLS handshake", async () => {
  const server = createTcpServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => server.close());
  const { client } = await setup("", { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, timeoutMs: 60 });
  const startedAt = Date.now();
  await expect(client.query("x")).rejects.toMatchObject({ code: "signal/unreachable", message: expect.stringContaining("within 60 ms") });
  expect(Date.now() - startedAt).toBeLessThan(2_000);
});

it("names a TLS file that cannot be read", async () => {
  const { client } = await setup("", { tls: { caFile: "/nowhere/ca.pem", certFile: null, keyFile: null, insecureSkipVerify: false } });
  await expect(client.query("x")).rejects.toMatchObject({ code: "config/unreadable", message: expect.stringContaining("/nowhere/ca.pem") });
});
