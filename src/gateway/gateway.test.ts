import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type FakeClock, fakeClock, realClock } from "../clock/index.ts";
import { adminDoor } from "../http/index.ts";
import type { Clock, DoorEndpoint, DoorTotals, Route } from "../model/index.ts";
import { type Gateway, type GatewayOptions, startGateway } from "./index.ts";

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const limits = { maxHeld: 10, holdTimeoutMs: 60_000, upstreamTimeoutMs: 30_000, maxBodyBytes: 100_000, attempts: 3 };
const endpoint: DoorEndpoint = {
  name: "llama",
  model: "meta/llama",
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 },
  limits,
};

async function gatewayWith(options: Partial<GatewayOptions> & { clock?: Clock } = {}): Promise<Gateway> {
  const gateway = await startGateway({ port: 0, clock: realClock(), log: () => {}, ...options });
  closers.push(() => gateway.close({ graceMs: 0 }));
  return gateway;
}

async function upstream(listener: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const ready = (...urls: string[]): Route[] => urls.map((url, at) => ({ replica: `r${at}`, url, state: "ready" }));
const chat = (more: object = {}) => JSON.stringify({ model: "meta/llama", messages: [{ role: "user", content: "hello" }], ...more });
const post = (gateway: Gateway, body: string | Buffer = chat(), headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: body as string,
    ...(signal === undefined ? {} : { signal }),
  });

const usage = { prompt_tokens: 12, completion_tokens: 7 };
const unary: RequestListener = (_, response) =>
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ choices: [{ message: { content: "hi" } }], usage }));

const totalsOf = async (gateway: Gateway): Promise<DoorTotals> => (await gateway.report("llama", null)).totals;
const balance = (totals: DoorTotals) =>
  totals.completed + totals.failed + totals.cancelled + totals.rejected + totals.inFlight + totals.held - totals.arrived;

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("did not come about");
}

it("forwards a request's bytes unchanged, drops hop-by-hop fields, passes the rest on and counts usage", async () => {
  let seen: { body: string; message: IncomingMessage } | null = null;
  const { url } = await upstream(async (message, response) => {
    let body = "";
    for await (const chunk of message.setEncoding("utf8")) body += chunk;
    seen = { body, message };
    response.writeHead(200, { "content-type": "application/json", "x-engine": "yes", "keep-alive": "timeout=5" });
    response.end(JSON.stringify({ choices: [], usage }));
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(`${url}/base/`));
  const body = `{ "model":"meta/llama",  "messages":[], "unknown": "\u00fc" }`;
  const response = await post(gateway, body, { traceparent: "00-abc-def-01", authorization: "Bearer key", te: "trailers" });
  expect(response.status).toBe(200);
  expect(response.headers.get("x-engine")).toBe("yes");
  expect(response.headers.get("x-tidegate-replica")).toBe("r0");
  await expect(response.json()).resolves.toEqual({ choices: [], usage });
  const { message, body: got } = seen as unknown as { body: string; message: IncomingMessage };
  expect(got).toBe(body);
  expect(message.url).toBe("/base/v1/chat/completions");
  expect(message.headers).toMatchObject({
    traceparent: "00-abc-def-01",
    authorization: "Bearer key",
    host: new URL(url).host,
    via: "1.1 tidegate",
  });
  expect(message.headers.te).toBeUndefined();
  expect(message.headers["accept-encoding"]).toBeUndefined();
  const { totals, replicas } = await gateway.report("llama", null);
  expect(totals).toMatchObject({ arrived: 1, completed: 1, outputTokens: 7, withinObjective: 1, inFlight: 0 });
  expect(replicas).toEqual([{ replica: "r0", inFlight: 0, completed: 1, failed: 0, outputTokens: 7 }]);
});

it("passes a stream on as it comes, byte for byte, and takes the first event with text for the first token", async () => {
  const events = [
    `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n`,
    `data: {"choices":[{"delta":{"content":"Grüße \\"content\\":\\"x\\""}}]}\n\n`,
    `: ping\n\ndata: {"choices":[{"delta":{"content":" you"}}]}\n\ndata: {"choices":[{"delta":{"con`,
    `tent":"!"}}]}\n\ndata: [DONE]\n\n`,
  ];
  let next = () => {};
  const { url } = await upstream((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    let at = 0;
    next = () => {
      response.write(events[at++]);
      if (at === events.length) response.end();
    };
    next();
  });
  const clock = fakeClock(5000);
  const gateway = await gatewayWith({ clock });
  await gateway.setRoutes(endpoint, ready(url));
  const response = await post(gateway, chat({ stream: true }));
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = "";
  const decoder = new TextDecoder();
  for (const event of events) {
    // Each piece arrives before the next is sent: nothing is buffered.
    const wanted = Buffer.byteLength(event);
    let got = 0;
    while (got < wanted) {
      const { value, done } = await reader.read();
      if (done) break;
      got += value.length;
      text += decoder.decode(value, { stream: true });
    }
    await clock.advance(300);
    if (text.length < events.join("").length) next();
  }
  expect(text).toBe(events.join(""));
  await until(async () => (await totalsOf(gateway)).completed === 1);
  await clock.advance(1000);
  const { latency, totals } = await gateway.report("llama", null);
  expect(totals.outputTokens).toBe(3);
  expect(latency.ttft.sum).toBeCloseTo(0.3, 5);
  expect(latency.tpot.sum).toBeCloseTo((latency.e2e.sum - latency.ttft.sum) / 15, 5);
});

it("holds while no replica is ready, says so at once, and lets them go in order", async () => {
  const order: string[] = [];
  const { url } = await upstream((message, response) => {
    order.push(message.headers["x-number"] as string);
    unary(message, response);
  });
  const clock = fakeClock();
  const gateway = await gatewayWith({ clock });
  const said: string[] = [];
  gateway.onHeld((name) => said.push(name));
  await gateway.setRoutes(endpoint, []);
  const answers: Promise<Response>[] = [];
  for (let number = 0; number < 5; number++) {
    answers.push(post(gateway, chat(), { "x-number": String(number) }));
    await until(async () => (await totalsOf(gateway)).held === number + 1);
  }
  expect(said).toEqual(["llama"]);
  expect(gateway.held()).toEqual(["llama"]);
  await clock.advance(3000);
  await gateway.setRoutes(endpoint, ready(url));
  for (const answer of answers) expect((await answer).status).toBe(200);
  expect(order).toEqual(["0", "1", "2", "3", "4"]);
  const { slots, totals } = await gateway.report("llama", null);
  expect(totals).toMatchObject({ held: 0, completed: 5, arrived: 5 });
  expect(slots.find((slot) => slot.atMs === 1000)).toMatchObject({ heldMean: 5, inFlightMean: 0, arrivals: 0 });
});

it("refuses with 503 and retry-after when too many wait, and when one has waited too long", async () => {
  const clock = fakeClock();
  const gateway = await gatewayWith({ clock });
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, maxHeld: 1 } }, []);
  const held = post(gateway);
  await until(async () => (await totalsOf(gateway)).held === 1);
  const full = await post(gateway);
  expect(full.status).toBe(503);
  expect(full.headers.get("retry-after")).toBe("5");
  await expect(full.json()).resolves.toMatchObject({ error: { type: "server_error", code: "queue_full" } });
  await clock.advance(60_200);
  const late = await held;
  expect(late.status).toBe(503);
  await expect(late.json()).resolves.toMatchObject({ error: { code: "no_replica", message: expect.stringContaining("60 s") } });
  expect(await totalsOf(gateway)).toMatchObject({ arrived: 2, rejected: 2, held: 0, inFlight: 0 });
});

it.each([
  { rule: "a refused connection", broken: null },
  { rule: "a connection that breaks before the answer", broken: ((message) => message.socket.destroy()) as RequestListener },
  { rule: "a 503", broken: ((_, response) => response.writeHead(503).end("loading")) as RequestListener },
])("tries another replica after $rule", async ({ broken }) => {
  const good = await upstream(unary);
  const bad = await upstream(broken ?? unary);
  if (broken === null) await new Promise((resolve) => bad.server.close(resolve));
  const gateway = await gatewayWith({ routing: "round-robin" });
  await gateway.setRoutes(endpoint, ready(bad.url, good.url));
  for (let tries = 0; tries < 4; tries++) expect((await post(gateway)).status).toBe(200);
  const { totals, replicas } = await gateway.report("llama", null);
  expect(totals).toMatchObject({ arrived: 4, completed: 4, failed: 0 });
  expect(totals.retried).toBeGreaterThan(0);
  // One that refuses connections is left alone after the first time.
  if (broken === null) expect(totals.retried).toBe(1);
  expect(replicas.find((replica) => replica.replica === "r0")).toMatchObject({ failed: totals.retried, completed: 0 });
});

it("passes a replica's 503 on where there is no other", async () => {
  const { url } = await upstream((_, response) => response.writeHead(503, { "retry-after": "9" }).end("loading"));
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const response = await post(gateway);
  expect([response.status, response.headers.get("retry-after"), await response.text()]).toEqual([503, "9", "loading"]);
  expect(await totalsOf(gateway)).toMatchObject({ failed: 1, retried: 0 });
});

it("does not try again once a byte has come, and lets the client see the break", async () => {
  let asked = 0;
  const listener: RequestListener = (message, response) => {
    asked++;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: {"choices":[{"delta":{"content":"a"}}]}\n\n`, () => setTimeout(() => message.socket.destroy(), 20));
  };
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready((await upstream(listener)).url, (await upstream(listener)).url));
  const response = await post(gateway, chat({ stream: true }));
  await expect(response.text()).rejects.toThrow();
  expect(asked).toBe(1);
  expect(await totalsOf(gateway)).toMatchObject({ failed: 1, completed: 0, retried: 0, outputTokens: 1 });
});

it("gives up after so many attempts with 502", async () => {
  const { url } = await upstream((message) => message.socket.destroy());
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const response = await post(gateway);
  expect(response.status).toBe(502);
  await expect(response.json()).resolves.toMatchObject({ error: { code: "upstream_unreachable", type: "server_error" } });
  expect(await totalsOf(gateway)).toMatchObject({ failed: 1, retried: 2 });
});

it("cancels upstream when the client leaves, before and within the answer, and while held", async () => {
  let open = 0;
  const { url } = await upstream((message, response) => {
    open++;
    message.socket.once("close", () => open--);
    if (message.headers["x-late"] !== undefined) return;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: {"choices":[{"delta":{"content":"a"}}]}\n\n`);
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const early = new AbortController();
  const waiting = post(gateway, chat(), { "x-late": "1" }, early.signal).catch(() => "gone");
  await until(() => open === 1);
  early.abort();
  expect(await waiting).toBe("gone");
  await until(() => open === 0);

  const mid = new AbortController();
  const response = await post(gateway, chat({ stream: true }), {}, mid.signal);
  await response.body?.getReader().read();
  mid.abort();
  await until(() => open === 0);

  await gateway.setRoutes(endpoint, []);
  const held = new AbortController();
  const holding = post(gateway, chat(), {}, held.signal).catch(() => "gone");
  await until(async () => (await totalsOf(gateway)).held === 1);
  held.abort();
  await holding;
  await until(async () => (await totalsOf(gateway)).held === 0);
  expect(await totalsOf(gateway)).toMatchObject({ arrived: 3, cancelled: 3, inFlight: 0 });
});

it("gives a draining replica nothing new and lets it finish; one that is no longer named too", async () => {
  const finish: (() => void)[] = [];
  const slow = await upstream((message, response) => void finish.push(() => unary(message, response)));
  const other = await upstream(unary);
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(slow.url));
  const old = post(gateway);
  await until(() => finish.length === 1);
  await gateway.setRoutes(endpoint, [
    { replica: "r0", url: slow.url, state: "draining" },
    { replica: "r9", url: other.url, state: "ready" },
  ]);
  for (let tries = 0; tries < 3; tries++) expect((await post(gateway)).headers.get("x-tidegate-replica")).toBe("r9");
  expect((await gateway.report("llama", null)).replicas.find((one) => one.replica === "r0")?.inFlight).toBe(1);
  await gateway.setRoutes(endpoint, [{ replica: "r9", url: other.url, state: "ready" }]);
  expect((await gateway.report("llama", null)).replicas.find((one) => one.replica === "r0")?.inFlight).toBe(1);
  finish[0]?.();
  expect((await old).status).toBe(200);
  await until(async () => (await gateway.report("llama", null)).replicas.every((one) => one.replica !== "r0"));
});

it("answers 504 after a replica's silence, and breaks a stream that falls silent", async () => {
  const clock = fakeClock();
  let asked = 0;
  const { url } = await upstream((message, response) => {
    asked++;
    if (message.headers["x-begin"] === undefined) return;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: {}\n\n");
  });
  const gateway = await gatewayWith({ clock });
  await gateway.setRoutes(endpoint, ready(url));
  const silent = post(gateway);
  await until(() => asked === 1);
  await clock.advance(30_200);
  expect((await silent).status).toBe(504);
  const stream = await post(gateway, chat(), { "x-begin": "1" });
  const text = stream.text().then(
    () => "whole",
    () => "broken",
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  await clock.advance(30_200);
  expect(await text).toBe("broken");
  expect(await totalsOf(gateway)).toMatchObject({ failed: 2, inFlight: 0 });
});

it("slows a replica down to the pace of its client", async () => {
  const size = 64 * 1024;
  const all = 600;
  let sent = 0;
  const { url } = await upstream((_, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    const more = () => {
      while (sent < all) {
        sent++;
        if (!response.write(Buffer.alloc(size, sent % 256))) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const response = await new Promise<IncomingMessage>((resolve) => {
    const request = httpRequest(
      `${gateway.url}/v1/audio/speech`,
      { method: "POST", headers: { "content-type": "application/json" } },
      resolve,
    );
    request.end(JSON.stringify({ model: "meta/llama" }));
  });
  response.pause();
  let before = -1;
  await until(async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const still = before === sent;
    before = sent;
    return still;
  });
  // Socket buffers take some; nothing near all of it.
  expect(sent).toBeLessThan(all * 0.75);
  let bytes = 0;
  for await (const chunk of response) bytes += chunk.length;
  expect(bytes).toBe(all * size);
});

it("knows its models, and names them where another is asked for", async () => {
  const gateway = await gatewayWith();
  await expect((await post(gateway)).json()).resolves.toMatchObject({ error: { code: "model_not_found" } });
  await gateway.setRoutes(endpoint, []);
  await gateway.setRoutes({ ...endpoint, name: "other", model: "other" }, []);
  const models = await (await fetch(`${gateway.url}/v1/models`)).json();
  expect(models).toMatchObject({ object: "list", data: [{ id: "meta/llama", object: "model" }, { id: "other" }] });
  expect((await fetch(`${gateway.url}/v1/models/meta%2Fllama`)).status).toBe(200);
  expect((await fetch(`${gateway.url}/v1/models/meta/llama`)).status).toBe(200);
  const unknown = await post(gateway, chat({ model: "gpt-9" }));
  expect(unknown.status).toBe(404);
  await expect(unknown.json()).resolves.toMatchObject({
    error: {
      type: "invalid_request_error",
      param: "model",
      code: "model_not_found",
      message: expect.stringContaining("meta/llama, other"),
    },
  });
  expect((await post(gateway, "{}")).status).toBe(400);
  expect((await post(gateway, "{nonsense")).status).toBe(400);
  expect((await fetch(`${gateway.url}/elsewhere`)).status).toBe(404);
});

it("routes by the model of a multipart form and leaves its bytes alone", async () => {
  let got = 0;
  const { url } = await upstream(async (message, response) => {
    for await (const chunk of message) got += chunk.length;
    unary(message, response);
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes({ ...endpoint, name: "other", model: "other" }, []);
  await gateway.setRoutes(endpoint, ready(url));
  const form = new FormData();
  form.set("file", new Blob([new Uint8Array(2000)]), "a.wav");
  form.set("model", "meta/llama");
  expect((await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: "POST", body: form })).status).toBe(200);
  expect(got).toBeGreaterThan(2000);
});

it("refuses a body that is too large, announced or not", async () => {
  const { url } = await upstream(unary);
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const large = Buffer.alloc(200_000, 32);
  expect((await post(gateway, large)).status).toBe(413);
  const chunked = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    body: new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(large));
        controller.close();
      },
    }),
    duplex: "half",
  } as RequestInit);
  expect(chunked.status).toBe(413);
  await expect(chunked.json()).resolves.toMatchObject({ error: { code: "request_too_large" } });
  expect((await totalsOf(gateway)).arrived).toBe(0);
});

it("answers what is not HTTP in the same shape", async () => {
  const gateway = await gatewayWith();
  const answer = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1", () => socket.write("GARBAGE\r\n\r\n"));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("close", () => resolve(text));
  });
  expect(answer).toMatch(/^HTTP\/1.1 400 [\s\S]*"code":"bad_request"/);
});

it("on close refuses what is held, finishes what is in flight, and takes nothing new", async () => {
  let finish = () => {};
  const { url } = await upstream((message, response) => {
    finish = () => unary(message, response);
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const flying = post(gateway);
  await until(async () => (await totalsOf(gateway)).inFlight === 1);
  await gateway.setRoutes({ ...endpoint, name: "empty", model: "empty" }, []);
  const held = post(gateway, chat({ model: "empty" }));
  await until(() => gateway.held().length === 1);
  const closed = gateway.close({ graceMs: 5000 });
  expect((await held).status).toBe(503);
  expect(gateway.ready).toBe(false);
  await expect(post(gateway)).rejects.toThrow();
  finish();
  expect((await flying).status).toBe(200);
  await closed;
  expect(await totalsOf(gateway)).toMatchObject({ completed: 1, inFlight: 0 });
});

it("on close destroys what outlasts the grace", async () => {
  const { url } = await upstream(() => {});
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const flying = post(gateway).then((response) => response.status);
  await until(async () => (await totalsOf(gateway)).inFlight === 1);
  await gateway.close({ graceMs: 20 });
  expect(await flying).toBe(503);
  expect(await totalsOf(gateway)).toMatchObject({ failed: 1, inFlight: 0 });
});

it("says which port is taken and what to do", async () => {
  const gateway = await gatewayWith();
  const port = Number(new URL(gateway.url).port);
  const options = { port, clock: realClock(), log: () => {} };
  await expect(startGateway(options)).rejects.toMatchObject({
    code: "gateway/port",
    message: `port ${port} on 127.0.0.1 is taken; end what holds it or choose another with --port`,
  });
  await expect(startGateway({ ...options, port: 0, adminPort: port })).rejects.toThrow("choose another with --admin-port");
});

it("is the same door over its admin API", async () => {
  const { url } = await upstream(unary);
  const clock = realClock();
  const gateway = await gatewayWith({ adminPort: 0, adminToken: "secret" });
  const door = adminDoor(gateway.adminUrl as string, { token: "secret", clock });
  const said: string[] = [];
  const stop = door.onHeld((name) => said.push(name));
  closers.push(stop);
  await expect(door.report("llama", null)).resolves.toMatchObject({ totals: { arrived: 0 }, slots: [] });
  await door.setRoutes(endpoint, []);
  const held = post(gateway);
  await until(() => said.length > 0);
  expect(said).toEqual(["llama"]);
  await door.setRoutes(endpoint, ready(url));
  expect((await held).status).toBe(200);
  const report = await door.report("llama", null);
  expect(report.totals).toMatchObject({ arrived: 1, completed: 1 });
  expect(report).toMatchObject({ ...(await gateway.report("llama", null)), atMs: expect.any(Number) });
  const page = await (await fetch(`${gateway.adminUrl}/metrics`, { headers: { authorization: "Bearer secret" } })).text();
  expect(page).toContain('tidegate_gateway_requests_total{endpoint="llama",outcome="completed"} 1');
  expect(page).toContain('tidegate_gateway_arrived_total{endpoint="llama"} 1');
  expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
  const stranger = adminDoor(gateway.adminUrl as string, { token: null, clock });
  await expect(stranger.report("llama", null)).rejects.toMatchObject({ code: "admin/refused" });
  await expect(door.setRoutes({ ...endpoint, limits: { ...limits, attempts: 0 } }, [])).rejects.toThrow("endpoint.limits.attempts");
  const nobody = adminDoor("http://127.0.0.1:1", { token: null, clock });
  await expect(nobody.report("llama", null)).rejects.toMatchObject({ code: "admin/unreachable", retryable: true });
});

it("tells over its admin API of its own time, which the reader has on a clock that started earlier", async () => {
  const { url } = await upstream(unary);
  const epochMs = Date.now();
  const clock = realClock(20, epochMs - 60_000);
  const gateway = await gatewayWith({ adminPort: 0, clock: realClock(20, epochMs) });
  const door = adminDoor(gateway.adminUrl as string, { token: null, clock });
  await door.setRoutes(endpoint, ready(url));
  expect((await post(gateway)).status).toBe(200);
  await until(async () => (await door.report("llama", null)).slots.length > 0);
  const report = await door.report("llama", null);
  expect(Math.abs(report.atMs - clock.now())).toBeLessThan(2_000);
  const own = await gateway.report("llama", null);
  const shiftMs = (report.slots[0]?.atMs as number) - (own.slots[0]?.atMs as number);
  expect(Math.abs(shiftMs - 19 * 60_000)).toBeLessThanOrEqual(1_000);
  expect(shiftMs % 1000).toBe(0);
  const slower = adminDoor(gateway.adminUrl as string, { token: null, clock: realClock(5) });
  await expect(slower.report("llama", null)).rejects.toThrow("runs at --speed 20 and this process at 5");
});

it("opens the stream of held requests again after a gateway restarted", async () => {
  const clock = realClock(20);
  const first = await startGateway({ port: 0, adminPort: 0, clock, log: () => {} });
  const adminPort = Number(new URL(first.adminUrl as string).port);
  const door = adminDoor(first.adminUrl as string, { token: null, clock });
  const said: string[] = [];
  closers.push(door.onHeld((name) => said.push(name)));
  await door.setRoutes(endpoint, []);
  const { cursor } = await door.report("llama", null);
  await first.close({ graceMs: 0 });
  await expect(door.report("llama", cursor)).rejects.toMatchObject({ code: "admin/unreachable" });
  const second = await gatewayWith({ adminPort, clock });
  await door.setRoutes(endpoint, []);
  const stop = new AbortController();
  const held = post(second, chat(), {}, stop.signal).catch(() => null);
  await until(() => said.length > 0);
  stop.abort();
  await held;
  await expect(door.report("llama", cursor)).resolves.toMatchObject({ totals: { arrived: 1 } });
});

it("keeps the books through a storm of breaks, refusals, cancels and changes of routes", async () => {
  let seed = 7;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const wild: RequestListener = (message: IncomingMessage, response: ServerResponse) => {
    const dice = random();
    if (dice < 0.1) return void message.socket.destroy();
    if (dice < 0.2) return void response.writeHead(503).end();
    if (dice < 0.25) return void response.writeHead(400, { "content-type": "application/json" }).end("{}");
    if (dice < 0.5) return void unary(message, response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    let left = Math.floor(random() * 5) + 1;
    const more = () => {
      if (response.destroyed) return;
      if (dice > 0.9 && left === 1) return void message.socket.destroy();
      response.write(`data: {"choices":[{"delta":{"content":"a"}}]}\n\n`);
      if (--left > 0) setTimeout(more, 2);
      else response.end("data: [DONE]\n\n");
    };
    more();
  };
  const urls = await Promise.all([upstream(wild), upstream(wild), upstream(wild)]).then((all) => all.map((one) => one.url));
  const dead = "http://127.0.0.1:1";
  const gateway = await gatewayWith({ clock: realClock(20) });
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, maxHeld: 30 } }, []);
  const shuffle = setInterval(() => {
    const routes = [...urls, dead].flatMap((url, at): Route[] =>
      random() < 0.6 ? [{ replica: `r${at}`, url, state: random() < 0.8 ? "ready" : "draining" }] : [],
    );
    void gateway.setRoutes({ ...endpoint, limits: { ...limits, maxHeld: 30, holdTimeoutMs: 4000 } }, routes);
  }, 10);
  const drifts: number[] = [];
  const watch = setInterval(() => void totalsOf(gateway).then((totals) => drifts.push(balance(totals))), 3);
  const clients = Array.from({ length: 400 }, async (_, at) => {
    await new Promise((resolve) => setTimeout(resolve, random() * 800));
    const stop = new AbortController();
    if (at % 5 === 0) setTimeout(() => stop.abort(), random() * 30);
    await post(gateway, chat({ stream: true }), { "x-tidegate-class": `class-${at % 30}` }, stop.signal)
      .then((response) => response.text())
      .catch(() => {});
  });
  await Promise.all(clients);
  clearInterval(shuffle);
  clearInterval(watch);
  await until(async () => (await totalsOf(gateway)).inFlight === 0);
  const { totals, replicas, slots } = await gateway.report("llama", null);
  expect(drifts.length).toBeGreaterThan(20);
  expect(drifts.every((drift) => drift === 0)).toBe(true);
  expect(balance(totals)).toBe(0);
  expect(totals).toMatchObject({ inFlight: 0, held: 0 });
  expect(totals.arrived).toBeLessThanOrEqual(400);
  for (const kind of ["completed", "failed", "cancelled"] as const) expect(totals[kind]).toBeGreaterThan(0);
  expect(replicas.every((replica) => replica.inFlight === 0)).toBe(true);
  expect(new Set(slots.map((slot) => slot.class)).size).toBeLessThanOrEqual(17);
});

/** Answers begin and end when the test says; each request is named by its user. */
async function slowReplica(named: string[] = []) {
  const open = new Map<string, ServerResponse>();
  const { url } = await upstream(async (message, response) => {
    let body = "";
    for await (const chunk of message.setEncoding("utf8")) body += chunk;
    const { user } = JSON.parse(body) as { user: string };
    named.push(user);
    open.set(user, response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
  });
  return {
    url,
    named,
    token: (user: string) => open.get(user)?.write(`data: {"choices":[{"delta":{"content":"a"}}]}\n\n`),
    end: (user: string) => open.get(user)?.end("data: [DONE]\n\n"),
  };
}
const order = { kind: "late-last", perReplica: null, oldestEvery: 1000, classes: { top: "first", low: "last", strict: "fifo" } } as const;
const bounded = (url: string, maxInFlight: number, maxPromptTokens = 1_000_000): Route[] => [
  { replica: "r0", url, state: "ready", bound: { maxInFlight, maxPromptTokens, promptTokensPerSecond: null } },
];
const ask = (gateway: Gateway, user: string, named = "default", signal?: AbortSignal) =>
  post(gateway, chat({ stream: true, user }), { "x-tidegate-class": named }, signal).then(async (response) => {
    await response.text();
    return response.status;
  });

it("gives a replica what its bound allows, keeps the rest as queued, and lets those on time go before the late", async () => {
  const clock = fakeClock();
  const replica = await slowReplica();
  const said: string[] = [];
  const gateway = await gatewayWith({ clock });
  gateway.onHeld((name) => said.push(name));
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, order } }, bounded(replica.url, 1));
  const answers: Promise<number>[] = [];
  const queued = async (count: number) => until(async () => (await totalsOf(gateway)).queued === count);
  answers.push(ask(gateway, "a"));
  await until(() => replica.named.length === 1);
  for (const [at, user] of ["b", "c"].entries()) {
    answers.push(ask(gateway, user));
    await queued(at + 1);
  }
  await clock.advance(2500);
  for (const [at, [user, named]] of ([["d"], ["low", "low"], ["e"], ["top", "top"], ["strict", "strict"]] as const).entries()) {
    await clock.advance(1);
    answers.push(ask(gateway, user, named));
    await queued(at + 3);
  }
  expect(await totalsOf(gateway)).toMatchObject({ arrived: 8, inFlight: 8, queued: 7, held: 0 });
  expect(gateway.held()).toEqual([]);
  const page = await gateway.registry.metrics();
  expect(page).toContain('tidegate_gateway_queued{endpoint="llama",lateness="late"} 2');
  expect(page).toContain('tidegate_gateway_queued{endpoint="llama",lateness="on-time"} 5');
  expect(page).toContain('tidegate_gateway_replica_max_in_flight{endpoint="llama"} 1');
  for (let at = 0; at < 8; at++) {
    await until(() => replica.named.length === at + 1);
    replica.token(replica.named[at] as string);
    replica.end(replica.named[at] as string);
  }
  expect(await Promise.all(answers)).toEqual(new Array(8).fill(200));
  expect(replica.named).toEqual(["a", "top", "d", "e", "strict", "low", "b", "c"]);
  expect(await gateway.registry.metrics()).toContain('tidegate_gateway_late_dispatched_total{endpoint="llama"} 2');
  expect(await totalsOf(gateway)).toMatchObject({ completed: 8, queued: 0, inFlight: 0 });
  expect(said).toEqual([]);
});

it("counts prompt tokens until the first token comes, of streamed requests alone", async () => {
  const replica = await slowReplica();
  const gateway = await gatewayWith();
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, order } }, bounded(replica.url, 100, 1));
  const answers = [ask(gateway, "a"), ask(gateway, "b")];
  await until(async () => (await totalsOf(gateway)).queued === 1);
  const whole = post(gateway, chat({ user: "whole" }));
  await until(async () => (await totalsOf(gateway)).queued === 2);
  replica.token(replica.named[0] as string);
  await until(() => replica.named.length === 2);
  replica.token(replica.named[1] as string);
  await until(() => replica.named.length === 3);
  const other = post(gateway, chat({ user: "other" }));
  await until(() => replica.named.length === 4);
  for (const user of replica.named) replica.end(user);
  expect(await Promise.all(answers)).toEqual([200, 200]);
  for (const answer of [await whole, await other]) await answer.text();
});

it("lets a client that waits leave, and the next go", async () => {
  const replica = await slowReplica();
  const gateway = await gatewayWith();
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, order } }, bounded(replica.url, 1));
  const first = ask(gateway, "a");
  await until(() => replica.named.length === 1);
  const stop = new AbortController();
  const gone = ask(gateway, "gone", "default", stop.signal).catch(() => 0);
  await until(async () => (await totalsOf(gateway)).queued === 1);
  const last = ask(gateway, "last");
  await until(async () => (await totalsOf(gateway)).queued === 2);
  stop.abort();
  await until(async () => (await totalsOf(gateway)).queued === 1);
  replica.end("a");
  await until(() => replica.named.length === 2);
  replica.end("last");
  expect(await Promise.all([first, gone, last])).toEqual([200, 0, 200]);
  expect(await totalsOf(gateway)).toMatchObject({ cancelled: 1, completed: 2, queued: 0 });
});

it("holds what is queued when the last replica goes, says so, and queues it when one comes", async () => {
  const replica = await slowReplica();
  const said: string[] = [];
  const gateway = await gatewayWith();
  gateway.onHeld((name) => said.push(name));
  const bound = { ...endpoint, limits: { ...limits, order } };
  await gateway.setRoutes(bound, bounded(replica.url, 1));
  const answers = ["a", "b", "c"].map((user) => ask(gateway, user));
  await until(async () => (await totalsOf(gateway)).queued === 2);
  await gateway.setRoutes(bound, []);
  expect(await totalsOf(gateway)).toMatchObject({ queued: 0, held: 2, inFlight: 1 });
  expect([said, gateway.held()]).toEqual([["llama"], ["llama"]]);
  await gateway.setRoutes(bound, bounded(replica.url, 2));
  await until(() => replica.named.length === 2);
  expect(await totalsOf(gateway)).toMatchObject({ queued: 1, held: 0, inFlight: 3 });
  // A controller that has not decided yet says none, which changes none; one that says there is none lets all go.
  await gateway.setRoutes(bound, ready(replica.url));
  expect(await totalsOf(gateway)).toMatchObject({ queued: 1 });
  await gateway.setRoutes(bound, [{ ...(ready(replica.url)[0] as Route), bound: null }]);
  await until(() => replica.named.length === 3);
  for (const user of replica.named) replica.end(user);
  expect(await Promise.all(answers)).toEqual([200, 200, 200]);
});

it("gives a request that its replica failed back to its place by arrival", async () => {
  const clock = fakeClock();
  const replica = await slowReplica();
  const broken = await upstream((message) => void setTimeout(() => message.socket.destroy(), 50));
  const gateway = await gatewayWith({ clock, routing: "round-robin" });
  const bound = { ...endpoint, limits: { ...limits, order: { ...order, kind: "fifo" } as const } };
  await gateway.setRoutes(bound, bounded(replica.url, 1));
  const answers = [ask(gateway, "a")];
  await until(() => replica.named.length === 1);
  await clock.advance(1);
  const both = [...bounded(replica.url, 1), { ...(bounded(broken.url, 1)[0] as Route), replica: "r1" }];
  await gateway.setRoutes(bound, both);
  answers.push(ask(gateway, "older"));
  await until(async () => (await totalsOf(gateway)).inFlight === 2);
  await clock.advance(1);
  answers.push(ask(gateway, "younger"));
  await until(async () => (await totalsOf(gateway)).queued >= 1);
  await gateway.setRoutes(bound, [both[0] as Route, { ...(both[1] as Route), state: "draining" }]);
  await until(async () => (await totalsOf(gateway)).queued === 2);
  for (const user of ["a", "older", "younger"]) {
    await until(() => replica.named.includes(user));
    replica.end(user);
  }
  expect(await Promise.all(answers)).toEqual([200, 200, 200]);
  expect(replica.named).toEqual(["a", "older", "younger"]);
});

it("sends on what is queued while it ends, within its grace", async () => {
  const replica = await slowReplica();
  const gateway = await gatewayWith();
  await gateway.setRoutes({ ...endpoint, limits: { ...limits, order } }, bounded(replica.url, 1));
  const answers = ["a", "b"].map((user) => ask(gateway, user));
  await until(async () => (await totalsOf(gateway)).queued === 1);
  const closed = gateway.close({ graceMs: 20_000 });
  await until(() => !gateway.ready);
  for (let at = 0; at < 2; at++) {
    await until(() => replica.named.length === at + 1);
    replica.end(replica.named[at] as string);
  }
  expect(await Promise.all(answers)).toEqual([200, 200]);
  await closed;
});

it("watches time on the clock it is given", async () => {
  const clock: FakeClock = fakeClock(0);
  const gateway = await gatewayWith({ clock });
  await gateway.setRoutes(endpoint, []);
  expect((await gateway.report("llama", null)).atMs).toBe(0);
  await clock.advance(2500);
  expect((await gateway.report("llama", null)).atMs).toBe(2500);
});

it("holds requests for an endpoint that it only knows, and refuses those for one that it was told to forget", async () => {
  const { url } = await upstream(unary);
  const gateway = await gatewayWith({ adminPort: 0, informed: () => false });
  const admin = adminDoor(gateway.adminUrl as string, { token: null, clock: realClock() });
  expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(503);
  gateway.know(endpoint);
  expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
  const held = post(gateway);
  await until(async () => (await totalsOf(gateway)).held === 1);
  // Known anew, it keeps its routes.
  await gateway.setRoutes(endpoint, ready(url));
  gateway.know({ ...endpoint, limits: { ...limits, maxHeld: 3 } });
  expect((await held).status).toBe(200);
  expect((await post(gateway)).status).toBe(200);
  await admin.forget("llama");
  const refused = await post(gateway);
  expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([404, "model_not_found"]);
  await expect(admin.forget("never heard of")).resolves.toBeUndefined();
});

it("lets a stream that runs finish when its endpoint is forgotten", async () => {
  let finish = () => {};
  const { url } = await upstream((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
    finish = () => response.end("data: [DONE]\n\n");
  });
  const gateway = await gatewayWith();
  await gateway.setRoutes(endpoint, ready(url));
  const answer = await post(gateway, chat({ stream: true }));
  await gateway.forget("llama");
  finish();
  expect(await answer.text()).toContain("[DONE]");
});
