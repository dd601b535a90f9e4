import { copyFileSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { get as getSecure } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PrometheusClient } from "../../../src/signals/index.ts";
import { folder, until } from "../../e2e/tidegate.ts";
import { type Authority, authority, login, prometheus, type Server } from "./server.ts";

const cleanups: (() => unknown)[] = [];
afterAll(async () => {
  for (const clean of cleanups.reverse()) await clean();
});

/** Counts upward with each scrape, in a family of each type. */
async function target(): Promise<string> {
  let scrapes = 0;
  const page = () => {
    scrapes++;
    return `# TYPE scrapes counter\nscrapes_total ${scrapes}\n# TYPE odd gauge\nodd{what="nan"} NaN\nodd{what="up"} +Inf\nodd{what="down"} -Inf\n`;
  };
  const server = createServer((_, response) => void response.setHeader("content-type", "text/plain; version=0.0.4").end(page()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Servers of before 2023 or so know no `lookback_delta`, and one that does not refuse nonsense in it does not read it. */
const knowsLookback = () =>
  new Promise<boolean>((resolve, reject) => {
    const auth = `${login.username}:${login.password}`;
    const url = `${server.url}/api/v1/query?query=1&lookback_delta=nonsense`;
    getSecure(url, { ca: readFileSync(ours.ca), auth }, (answer) => resolve(answer.resume().statusCode === 400)).on("error", reject);
  });
let ours: Authority;
let others: Authority;
let server: Server;
const tls = (more: object) => ({ caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false, ...more });
const open: PrometheusClient[] = [];
const asking = (more: Parameters<Server["client"]>[0], at = server) => {
  const client = at.client(more);
  open.push(client);
  return client;
};

beforeAll(async () => {
  const home = folder();
  cleanups.push(home.remove);
  ours = authority(home.path, "ours");
  others = authority(home.path, "others");
  const at = await target();
  server = await prometheus({
    folder: home.path,
    tls: { server: ours.server },
    basic: true,
    flags: ["--query.max-samples=1000", "--query.timeout=5s"],
    scrapes: [
      `{ job_name: quick, static_configs: [{ targets: ["${at}"] }] }`,
      `{ job_name: rare, scrape_interval: 1m, scrape_timeout: 1s, static_configs: [{ targets: ["${at}"] }] }`,
    ],
  });
  cleanups.push(server.kill, async () => void (await Promise.all(open.map((client) => client.close()))));
  await server.begin();
});

it("reads values, scalars, ranges and what is no number, over TLS by an authority of our own and with a password", async () => {
  const client = asking({ tls: tls({ caFile: ours.ca }) });
  const { series } = await until(
    () => client.query('scrapes_total{job="quick"}'),
    (answer) => (answer.series[0]?.points[0]?.value ?? 0) > 2,
  );
  expect(series).toHaveLength(1);
  expect(series[0]?.labels).toMatchObject({ __name__: "scrapes_total", job: "quick" });
  expect(Math.abs((series[0]?.points[0]?.atMs as number) - Date.now())).toBeLessThan(5_000);
  expect((await client.query("6 * 7")).series).toEqual([{ labels: {}, points: [{ atMs: expect.any(Number), value: 42 }] }]);
  expect((await client.query("absent_family")).series).toEqual([]);
  const odd = (await client.query('odd{job="quick"}')).series.map(({ labels, points }) => [labels["what"], points[0]?.value]);
  expect(Object.fromEntries(odd)).toEqual({ nan: Number.NaN, up: Number.POSITIVE_INFINITY, down: Number.NEGATIVE_INFINITY });
  const endMs = Date.now();
  const range = await client.queryRange('scrapes_total{job="quick"}', { startMs: endMs - 2_000, endMs, stepMs: 500 });
  const values = range.series[0]?.points.map(({ value }) => value) as number[];
  expect(values.length).toBeGreaterThan(1);
  expect(values).toEqual(values.toSorted((a, b) => a - b));
});

it("tells the server how long ago is too long, which an old one does not heed", async () => {
  const client = asking({ tls: tls({ caFile: ours.ca }) });
  await until(
    () => client.query('timestamp(scrapes_total{job="rare"}) < time() - 3'),
    (answer) => answer.series.length === 1,
    90_000,
  );
  expect((await client.query('scrapes_total{job="rare"}')).series).toHaveLength(1);
  expect((await client.query('scrapes_total{job="rare"}', { lookbackMs: 2_000 })).series).toHaveLength((await knowsLookback()) ? 0 : 1);
  expect((await client.query('scrapes_total{job="quick"}', { lookbackMs: 2_000 })).series).toHaveLength(1);
}, 120_000);

it.each([
  ["a query that does not parse", "sum(", "signal/malformed", false, /"sum\(".*bad_data: .*parse error/],
  [
    "a query that cannot be evaluated",
    "scrapes_total + on () odd",
    "signal/malformed",
    false,
    /many-to-(one|many) matching|multiple matches/,
  ],
  ["a query that takes more than the server gives", "max_over_time(vector(1)[2000s:1s])", "signal/malformed", false, /too many samples/],
])("passes on %s in the server's words", async (_, query, code, retryable, message) => {
  const client = asking({ tls: tls({ caFile: ours.ca }) });
  await expect(client.query(query)).rejects.toMatchObject({ code, retryable, message: expect.stringMatching(message) });
});

it.each([
  ["no password", { basic: null }, /refuses us \(status 401\); check prometheus.bearerToken or prometheus.basic/],
  ["another password", { basic: { ...login, password: "guess" } }, /refuses us \(status 401\)/],
  ["a token, which this server does not know", { basic: null, bearerToken: "token" }, /refuses us \(status 401\)/],
])("is turned away with %s", async (_, more, message) => {
  const client = asking({ ...more, tls: tls({ caFile: ours.ca }) });
  await expect(client.query("1")).rejects.toMatchObject({
    code: "signal/unreachable",
    retryable: false,
    message: expect.stringMatching(message),
  });
});

it("trusts nobody by itself: neither without an authority nor by another, unless told to", async () => {
  await expect(asking({ tls: tls({}) }).query("1")).rejects.toMatchObject({
    code: "signal/unreachable",
    message: expect.stringMatching(/certificate/),
  });
  await expect(asking({ tls: tls({ caFile: others.ca }) }).query("1")).rejects.toMatchObject({ code: "signal/unreachable" });
  expect((await asking({ tls: tls({ insecureSkipVerify: true }) }).query("1")).series).toHaveLength(1);
  const plain = asking({ url: server.url.replace("https:", "http:"), tls: tls({}) });
  await expect(plain.query("1")).rejects.toMatchObject({ message: expect.stringMatching(/status 400 and no JSON/) });
});

it("shows a certificate of its own where the server asks for one", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const strict = await prometheus({
    folder: home.path,
    tls: { server: ours.server, clientCa: ours.ca },
    scrapes: [],
  });
  cleanups.push(strict.kill);
  await strict.begin();
  const known = tls({ caFile: ours.ca, certFile: ours.client.cert, keyFile: ours.client.key });
  const { series } = await until(
    () => asking({ tls: known }, strict).query("1"),
    (answer) => answer.series.length === 1,
  );
  expect(series).toHaveLength(1);
  await expect(asking({ tls: tls({ caFile: ours.ca }) }, strict).query("1")).rejects.toMatchObject({ code: "signal/unreachable" });
  const foreign = tls({ caFile: ours.ca, certFile: others.client.cert, keyFile: others.client.key });
  await expect(asking({ tls: foreign }, strict).query("1")).rejects.toMatchObject({ code: "signal/unreachable" });
});

it("sends a bearer token through the proxy that asks for it, and says where to put one", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const plain = await prometheus({ folder: home.path, scrapes: [], prefix: "/prom" });
  cleanups.push(plain.kill);
  const proxy = createServer((incoming, response) => {
    if (incoming.headers.authorization !== "Bearer t0k") return void response.writeHead(401).end();
    const { method, url, headers } = incoming;
    const onward = request(new URL(url ?? "/", plain.url), { method: method ?? "GET", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.writeHead(502).end());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => proxy.close());
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/prom/`;
  await expect(asking({ url, bearerToken: "t0k" }, plain).query("1")).rejects.toMatchObject({
    retryable: true,
    message: expect.stringMatching(/502/),
  });
  await plain.begin();
  expect((await asking({ url, bearerToken: "t0k" }, plain).query("1")).series[0]?.points[0]?.value).toBe(1);
  await expect(asking({ url }, plain).query("1")).rejects.toMatchObject({ message: expect.stringMatching(/bearerToken/) });
});

it("gives up in time on a server that stands still, and goes on with it afterwards; says when it is gone", async () => {
  const client = asking({ tls: tls({ caFile: ours.ca }), timeoutMs: 700 });
  expect((await client.query("1")).series).toHaveLength(1);
  server.signal("SIGSTOP");
  const startedAt = Date.now();
  await expect(client.query("1")).rejects.toMatchObject({
    code: "signal/unreachable",
    retryable: true,
    message: expect.stringMatching(/no answer within 700 ms/),
  });
  expect(Date.now() - startedAt).toBeLessThan(2_000);
  server.signal("SIGCONT");
  await until(
    () => client.query("1"),
    ({ series }) => series.length === 1,
  );
  await server.kill();
  await expect(client.query("1")).rejects.toMatchObject({ code: "signal/unreachable", retryable: true });
  await server.begin();
  expect((await client.query("1")).series).toHaveLength(1);
});

it("names a file of the TLS settings that is not there yet, and reads it once it is", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const caFile = join(home.path, "ca.pem");
  const client = asking({ tls: tls({ caFile }) });
  await expect(client.query("1")).rejects.toMatchObject({ code: "config/unreadable", message: expect.stringContaining(caFile) });
  copyFileSync(ours.ca, caFile);
  expect((await client.query("1")).series).toHaveLength(1);
});
