import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { realClock } from "../clock/index.ts";
import type { DesiredAnswer, SignalsAnswer } from "../controller/index.ts";
import type { Clock } from "../model/index.ts";
import { adminSource } from "./admin-source.ts";
import { DESIRED_REPLICAS, desiredSum, type Source } from "./source.ts";

/** What the real controller says: the compiler holds the two ends together. */
const desired = (more: Partial<DesiredAnswer["endpoints"][0]> = {}, said: Partial<DesiredAnswer> = {}): DesiredAnswer => ({
  atMs: 1_000_000,
  speed: 1,
  endpoints: [
    {
      name: "llama",
      namespace: "default",
      metrics: { dcgm_gpu_utilization: "gpu_utilization" },
      staleAfterMs: 15_000,
      pools: [{ name: "default", target: null, gpu: "a100", min: 0, max: 9, current: 2, desired: 3 }],
      desiredAtMs: 999_000,
      held: 0,
      replicas: ["a", "b"],
      ...more,
    },
  ],
  ...said,
});
const signals = (more: Partial<SignalsAnswer> = {}): SignalsAnswer => ({
  atMs: 1_000_000,
  speed: 1,
  staleAfterMs: 15_000,
  readings: [
    { name: "running", subject: { kind: "replica", id: "a" }, atMs: 990_000, windowMs: 10_000, value: 4 },
    { name: "running", subject: { kind: "replica", id: "b" }, atMs: 984_999, windowMs: 0, value: 5 },
  ],
  ...more,
});

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(first: unknown, answer: unknown = signals()) {
  const streams = new Set<ServerResponse>();
  const state = { first, answer, asked: [] as { url: string; token: string | undefined }[] };
  const server = createServer((request, response) => {
    state.asked.push({ url: request.url ?? "", token: request.headers.authorization });
    if (request.url !== "/api/v1/desired/events") {
      response.end(JSON.stringify(state.answer));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${JSON.stringify(state.first)}\n\n`);
    streams.add(response);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  closers.push(() => server.closeAllConnections());
  // Our own time moves only when a test says so; waiting is real.
  const real = realClock();
  let shiftMs = 0;
  const frozenMs = 50_000_000;
  const clock: Clock = { ...real, now: () => frozenMs + shiftMs };
  const lines: string[] = [];
  const source = adminSource({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    token: "secret",
    clock,
    log: (level, message) => lines.push(`${level} ${message}`),
  });
  closers.push(() => source.close());
  const changed = () => new Promise<string>((resolve) => closers.push(source.onChange(resolve)));
  return {
    source,
    state,
    lines,
    changed,
    frozenMs,
    pass: (ms: number) => {
      shiftMs += ms;
    },
    say: (message: unknown) => {
      for (const stream of streams) stream.write(`data: ${JSON.stringify(message)}\n\n`);
    },
    drop: () => {
      for (const stream of streams) stream.destroy();
      streams.clear();
    },
  };
}
const desiredOf = (source: Source) => source.endpoints()[0]?.pools[0]?.desired;

it("knows what stands decided, in our own time, and forgets it once it is stale", async () => {
  const { source, changed, state, pass, frozenMs } = await start(desired());
  await changed();
  expect(state.asked[0]?.token).toBe("Bearer secret");
  expect(desiredOf(source)).toEqual({ value: 3, atMs: frozenMs - 1000, windowMs: 0 });
  expect(source.endpoints()[0]).toMatchObject({ held: 0, metrics: { dcgm_gpu_utilization: "gpu_utilization" } });
  pass(14_000);
  expect(desiredOf(source)).toMatchObject({ value: 3 });
  pass(1);
  expect(desiredOf(source)).toBeNull();
  pass(1000);
  expect(source.endpoints()[0]?.held).toBeNull();
});

it.each([
  { rule: "before the first decision", more: { desiredAtMs: null } },
  { rule: "where the loop could not stand by it for too long", more: { desiredAtMs: 984_999 } },
  {
    rule: "for a pool without a count",
    more: { pools: [{ name: "default", target: null, gpu: "", min: 0, max: 9, current: 0, desired: null }] },
  },
])("nothing stands decided $rule", async ({ more }) => {
  const { source, changed } = await start(desired(more));
  await changed();
  expect(desiredOf(source)).toBeNull();
});

it("a controller at five times the speed grows stale five times as fast", async () => {
  const { source, changed, pass, frozenMs } = await start(desired({ desiredAtMs: 990_000 }, { speed: 5 }));
  await changed();
  expect(desiredOf(source)?.atMs).toBe(frozenMs - 2000);
  pass(1001);
  expect(desiredOf(source)).toBeNull();
});

it("takes each endpoint's news, and drops who is gone when the stream begins anew", async () => {
  const { source, changed, say, drop, state } = await start(desired());
  await changed();
  const news = changed();
  say(desired({ name: "qwen" }));
  expect(await news).toBe("qwen");
  expect(source.endpoints().map(({ name }) => name)).toEqual(["llama", "qwen"]);
  state.first = desired({ name: "qwen", held: 2 });
  const again = changed();
  drop();
  await again;
  expect(source.endpoints()).toMatchObject([{ name: "qwen", held: 2 }]);
  expect(source.connected()).toBe(true);
});

it("says what it does not understand and goes on", async () => {
  const { source, changed, say, lines } = await start(desired());
  await changed();
  say({ endpoints: "all" });
  const news = changed();
  say(desired({ held: 1 }));
  await news;
  expect(source.endpoints()).toMatchObject([{ held: 1 }]);
  expect(lines.join("\n")).toContain("not understood");
});

it("reads only what is fresh", async () => {
  const { source, state, frozenMs } = await start(desired());
  expect(await source.readings("a/b", "running")).toEqual([
    { subject: { kind: "replica", id: "a" }, value: 4, atMs: frozenMs - 10_000, windowMs: 10_000 },
  ]);
  expect(state.asked.map(({ url }) => url)).toContain("/api/v1/endpoints/a%2Fb/signals?name=running");
  state.answer = { readings: 1 };
  await expect(source.readings("llama", "running")).rejects.toMatchObject({ code: "admin/refused" });
});

it("the sum over pools is unknown as soon as one is", () => {
  const pool = (value: number | null) => ({
    name: "p",
    target: null,
    min: 0,
    max: 9,
    desired: value === null ? null : { value, atMs: value, windowMs: 0 },
  });
  expect(desiredSum([pool(2), pool(3)]), DESIRED_REPLICAS).toEqual({ value: 5, atMs: 2, windowMs: 0 });
  expect(desiredSum([pool(2), pool(null)])).toBeNull();
  expect(desiredSum([])).toBeNull();
});
