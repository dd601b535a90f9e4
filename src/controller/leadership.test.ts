import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { type FakeClock, fakeClock } from "../clock/fake-clock.ts";
import type { History, Saved } from "../history/index.ts";
import type { Ms } from "../model/index.ts";
import { type KubernetesApi, KubernetesError, type KubernetesObject } from "../platforms/index.ts";
import { joinElection, type LeadershipOptions } from "./leadership.ts";
import { sharedHistory, sharedState } from "./leadership-state.ts";
import { takeTurns } from "./leadership-turn.ts";

type Stored = KubernetesObject & { spec?: Record<string, unknown>; binaryData?: Record<string, string> };

/** Objects with resource versions, as an API server keeps them; `down` makes it unreachable, `delayMs` slow on this clock. */
function fakeServer(clock: FakeClock) {
  const objects = new Map<string, Stored>();
  let version = 0;
  const server = { down: false, delayMs: 0, objects, requests: 0, api: null as unknown as KubernetesApi };
  const failure = (status: number | null) => new KubernetesError("platform/unreachable", `status ${status}`, { status });
  server.api = {
    server: "https://fake",
    async ask<Answer>({ method = "GET", path, body, query, signal }: Parameters<KubernetesApi["ask"]>[0]) {
      server.requests++;
      if (server.delayMs > 0) await clock.sleep(server.delayMs, signal);
      if (server.down) throw failure(null);
      if (method === "GET" && query?.["labelSelector"] !== undefined)
        return {
          metadata: { resourceVersion: "0" },
          items: [...objects.values()].filter(({ binaryData }) => binaryData !== undefined),
        } as Answer;
      const stored = objects.get(method === "POST" ? `${path}/${(body as Stored).metadata.name}` : path);
      if (method === "GET") {
        if (stored === undefined) throw failure(404);
        return stored as Answer;
      }
      const next = body as Stored;
      if (method === "POST" && stored !== undefined) throw failure(409);
      if (method === "PATCH") {
        if (stored === undefined) throw failure(404);
        const binaryData = Object.entries({ ...stored.binaryData, ...next.binaryData }).filter(([, text]) => text !== null);
        objects.set(path, { ...stored, binaryData: Object.fromEntries(binaryData) });
        return objects.get(path) as Answer;
      }
      if (method === "PUT" && next.metadata.resourceVersion !== stored?.metadata.resourceVersion) throw failure(409);
      const kept = { ...next, metadata: { ...next.metadata, resourceVersion: String(++version) } };
      objects.set(method === "POST" ? `${path}/${next.metadata.name}` : path, kept);
      return kept as Answer;
    },
    watch: () => Promise.reject(new Error("not used")),
    // Its clock is the right one.
    skewMs: () => clock.now() - Date.now(),
    close() {},
  };
  return server;
}

/** A clock that runs with another one and is wrong by `skewMs`. */
const skewed = (clock: FakeClock, skewMs: Ms): LeadershipOptions["clock"] => ({ ...clock, now: () => clock.now() + skewMs });
const leasePath = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/tidegate";

function setUp() {
  const clock = fakeClock(1_000_000);
  const server = fakeServer(clock);
  const join = (identity: string, skewMs = 0, api = server.api) =>
    joinElection({ api, namespace: "ns", name: "tidegate", identity, clock: skewed(clock, skewMs), log: () => {} });
  return { clock, server, join };
}

it("takes a lease that nobody holds, keeps it by renewing, and the other one waits", async () => {
  const { clock, server, join } = setUp();
  const a = join("a");
  await clock.advance(1);
  const b = join("b");
  await clock.advance(120_000);
  expect([a.leads(), b.leads(), a.holder(), b.holder()]).toEqual([true, false, "a", "a"]);
  expect(server.objects.get(leasePath)?.spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 15, leaseTransitions: 0 });
});

it.each([0, 60_000, -60_000])("hands over when the leader is cut off, never two at once, with a clock skew of %i ms", async (skewMs) => {
  const { clock, server, join } = setUp();
  let cut = false;
  const cutOff: KubernetesApi = { ...server.api, ask: (request) => (cut ? Promise.reject(new Error("cut off")) : server.api.ask(request)) };
  const a = join("a", 0, cutOff);
  await clock.advance(1);
  const b = join("b", skewMs);
  await clock.advance(30_000);
  cut = true;
  let stoppedMs = 0;
  let takenMs = 0;
  for (let atMs = 0; atMs < 40_000; atMs += 250) {
    await clock.advance(250);
    expect(a.leads() && b.leads()).toBe(false);
    if (!a.leads()) stoppedMs ||= atMs;
    if (b.leads()) takenMs ||= atMs;
  }
  expect(stoppedMs).toBeLessThanOrEqual(10_000);
  expect(takenMs).toBeGreaterThan(stoppedMs);
  expect(takenMs).toBeLessThanOrEqual(18_000);
  expect(server.objects.get(leasePath)?.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
});

it("counts the deadline from before it asked: a slow answer makes nobody lead longer", async () => {
  const { clock, server, join } = setUp();
  server.delayMs = 4_000; // read and write: the lease is granted 8 s after it was asked for
  const a = join("a");
  await clock.advance(8_500);
  expect(a.leads()).toBe(true);
  server.down = true;
  await clock.advance(1_600);
  expect(a.leads()).toBe(false);
});

it("tells when it stops leading, once, and leads again when it can renew its own lease", async () => {
  const { clock, server, join } = setUp();
  const a = join("a");
  const told: boolean[] = [];
  a.onChange(() => told.push(a.leads()));
  await clock.advance(5_000);
  server.down = true;
  await clock.advance(60_000);
  server.down = false;
  await clock.advance(5_000);
  expect(told).toEqual([true, false, true]);
});

it("gives the lease back when it leaves, so that the next one leads at once", async () => {
  const { clock, join } = setUp();
  const a = join("a");
  await clock.advance(1);
  const b = join("b");
  await clock.advance(5_000);
  await a.close();
  expect(a.leads()).toBe(false);
  await clock.advance(2_100);
  expect(b.leads()).toBe(true);
});

it.each([
  [10_000, 15_000, 2_000],
  [15_000, 15_000, 2_000],
  [15_000, 2_000, 2_000],
])("refuses times that leave no room: lease %i, deadline %i, retry %i", (leaseMs, renewDeadlineMs, retryMs) => {
  const { clock, server } = setUp();
  const options = { api: server.api, namespace: "ns", name: "n", identity: "a", clock, log: () => {}, leaseMs, renewDeadlineMs, retryMs };
  expect(() => joinElection(options)).toThrow(RangeError);
});

const saved = (seq: number): Saved => ({ key: "k", state: { seq }, seq, atMs: 0, pausedUntilMs: null, pin: null });

it("keeps the newest state of each endpoint in the cluster, and writes no more often than it must", async () => {
  const { clock, server } = setUp();
  const options = { api: server.api, namespace: "ns", name: "tidegate", leads: () => true, clock, log: () => {} };
  const shared = sharedState(options);
  for (let seq = 1; seq <= 50; seq++) {
    shared.save("chat", saved(seq));
    await clock.advance(100);
  }
  // That it is not there yet, and its making.
  expect(server.requests).toBe(2);
  await clock.advance(5_000);
  shared.save("code", saved(7));
  await shared.flush();
  expect([...(await sharedState(options).load())]).toEqual([
    ["chat", saved(50)],
    ["code", saved(7)],
  ]);
});

it("writes nothing once another one leads, and tries again while the server is away", async () => {
  const { clock, server } = setUp();
  let leading = true;
  const shared = sharedState({ api: server.api, namespace: "ns", name: "t", leads: () => leading, clock, log: () => {} });
  server.down = true;
  shared.save("chat", saved(1));
  await clock.advance(6_000);
  server.down = false;
  await clock.advance(5_000);
  expect(server.objects.size).toBe(1);
  leading = false;
  server.objects.clear();
  shared.save("chat", saved(2));
  await clock.advance(10_000);
  expect(server.objects.size).toBe(0);
});

it.each([
  { rule: "the cluster's where it is newer", here: 3, there: 5, seq: 5 },
  { rule: "the local one where it is newer", here: 5, there: 3, seq: 5 },
  { rule: "the only one there is", here: null, there: 3, seq: 3 },
  { rule: "none", here: null, there: null, seq: undefined },
])("goes on from $rule", ({ here, there, seq }) => {
  const local = { load: () => (here === null ? null : saved(here)) } as unknown as History;
  const states = new Map(there === null ? [] : [["chat", saved(there)]]);
  expect(sharedHistory(local, states, null as never).load("chat")?.seq).toBe(seq);
});

it("runs only while it leads, ends at the loss, and starts again with what was known", async () => {
  const { clock, server } = setUp();
  const life: string[] = [];
  const turns = takeTurns({
    ...{ api: server.api, namespace: "ns", name: "tidegate", identity: "a", clock, log: () => {} },
    start: async (turn) => {
      const local = { load: () => null, save: () => {} } as unknown as History;
      const history = turn.history(local);
      life.push(`start after ${history.load("chat")?.seq ?? "nothing"}`);
      history.save("chat", saved(9));
      return { close: async () => void life.push(`end, leads ${turn.leads()}`) };
    },
  });
  await clock.advance(7_000);
  expect(turns.current()).not.toBeNull();
  server.down = true;
  await clock.advance(20_000);
  expect(turns.current()).toBeNull();
  server.down = false;
  await clock.advance(5_000);
  expect(life).toEqual(["start after nothing", "end, leads false", "start after 9"]);
  await turns.close();
  expect(life.at(-1)).toBe("end, leads true");
});

it("gives each leader the server's time, so that a state left by one is as old for the next as it is", async () => {
  const { clock, server } = setUp();
  const times: number[] = [];
  const member = (identity: string, skewMs: number) =>
    takeTurns({
      ...{ api: server.api, namespace: "ns", name: "tidegate", identity, clock: skewed(clock, skewMs), log: () => {} },
      start: async (turn) => {
        times.push(turn.clock.now() - clock.now());
        return { close: async () => {} };
      },
    });
  for (const skewMs of [0, 60_000, -60_000, 700]) {
    const turns = member(`off by ${skewMs}`, skewMs);
    await clock.advance(5_000);
    await turns.close();
  }
  // Less than two seconds cannot be told.
  expect(times.map((ms) => (Math.abs(ms) < 2_000 ? "right" : ms))).toEqual(["right", "right", "right", "right"]);
});

it("keeps hundreds of endpoints in a few writes, and each where there is room", async () => {
  const { clock, server } = setUp();
  const options = { api: server.api, namespace: "ns", name: "tidegate", leads: () => true, clock, log: () => {} };
  // Text that does not compress, so that a state takes some 8 KiB.
  const state = (seed: number, bytes = 6_000): Saved => ({ ...saved(seed), state: { text: randomBytes(bytes).toString("base64") } });
  const first = sharedState(options);
  await first.load();
  const names = Array.from({ length: 200 }, (_, at) => `chat-${at}`);
  for (const name of names) first.save(name, state(1));
  await first.flush();
  expect(server.objects.size).toBeLessThan(20);
  const second = sharedState(options);
  expect((await second.load()).size).toBe(200);
  const before = server.requests;
  const places = server.objects.size;
  for (const name of names) second.save(name, state(2));
  await second.flush();
  expect(server.requests - before).toBe(places);
  // What outgrows its place moves, and is read once.
  for (const name of names.slice(0, 3)) second.save(name, state(3, 450_000));
  await second.flush();
  const third = await sharedState(options).load();
  expect(third.size).toBe(200);
  expect(names.slice(0, 4).map((name) => third.get(name)?.seq)).toEqual([3, 3, 3, 2]);
  const sizes = [...server.objects.values()].map(({ binaryData }) => Object.values(binaryData ?? {}).join("").length);
  expect(Math.max(...sizes)).toBeLessThan(1_000_000);
});
