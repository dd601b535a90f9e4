import { expect, it } from "vitest";
import type { Decision, Endpoint, Json, Policy } from "../model/index.ts";
import { createLoop, forever, type StepInput } from "./step.ts";

const endpoint: Endpoint = {
  name: "chat",
  namespace: "default",
  model: "m",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools: [{ name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 1, min: 0, max: 9, standby: 0 }],
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 },
  policy: { kind: "static", replicas: { default: 5 } },
  metrics: {},
  prometheus: {
    url: "http://p",
    timeoutMs: 1,
    bearerToken: "secret",
    basic: null,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false },
    queries: [],
  },
  scrapeEveryMs: 5000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 10, holdTimeoutMs: 1000, upstreamTimeoutMs: 1000, maxBodyBytes: 1000, attempts: 2 },
  dryRun: false,
};

/** Wants 5, and counts what it is told. */
const five: Policy<Json> = {
  kind: "five",
  needs: [],
  wakesOn: ["held"],
  start: () => ({ asked: 0, settled: [] }),
  decide: (state, now) => ({
    state: { ...(state as object), asked: (state as { asked: number }).asked + 1 },
    decision: {
      seq: now.seq,
      wants: { default: { kind: "scale", replicas: 5, drain: [] } },
      steps: [],
      conditions: [],
      nextAtMs: now.nowMs + 15_000,
    } satisfies Decision,
  }),
  settle: (state, outcome) => ({
    state: { ...(state as object), settled: [...(state as { settled: string[] }).settled, outcome.result] },
    conditions: [],
  }),
};
const input = (nowMs: number, wanted: number): StepInput => ({
  nowMs,
  cause: "tick",
  status: { pools: { default: { wanted, reported: wanted, otherWriter: false } }, replicas: [] },
  series: [],
  slots: null,
  grant: null,
});

it("is due when its time has come, and at once only on a cause that the policy wakes on", () => {
  const loop = createLoop(endpoint, five, true, null);
  expect(loop.due(0, "tick")).toBe(true);
  loop.step(input(1000, 5));
  expect(loop.due(15_999, "tick")).toBe(false);
  expect(loop.due(2000, "replica")).toBe(false);
  expect(loop.due(2000, "held")).toBe(true);
  expect(loop.due(16_000, "tick")).toBe(true);
});

it("orders only what differs, and tells the policy how it went", () => {
  const loop = createLoop(endpoint, five, true, null);
  expect(loop.step(input(0, 5)).orders).toEqual([]);
  const { orders } = loop.step(input(1, 3));
  expect(orders).toEqual([{ pool: "default", replicas: 5, drain: [], by: "policy" }]);
  const entries = loop.settle(orders[0] as (typeof orders)[0], "conflict", 2);
  expect(entries.map(({ kind }) => kind)).toEqual(["action", "outcome"]);
  expect(loop.save(3, []).state).toEqual({ asked: 2, settled: ["conflict"] });
});

it.each([
  {
    rule: "a paused loop decides but does not act",
    change: (loop: ReturnType<typeof createLoop>) => loop.pause(forever),
    by: "paused",
    replicas: 5,
    acts: true,
  },
  {
    rule: "a pin holds its own count",
    change: (loop: ReturnType<typeof createLoop>) => loop.setPin({ replicas: 7, untilMs: forever }),
    by: "pin",
    replicas: 7,
    acts: true,
  },
  { rule: "a platform that does not act is only recommended to", change: () => {}, by: "recommend-only", replicas: 5, acts: false },
])("$rule", ({ change, by, replicas, acts }) => {
  const loop = createLoop(endpoint, five, acts, null);
  change(loop);
  const { orders } = loop.step(input(0, 3));
  expect(orders).toEqual([{ pool: "default", replicas, drain: [], by }]);
  // What a person ordered, or what was not done, is no outcome of the policy's.
  expect(loop.settle(orders[0] as (typeof orders)[0], "accepted", 1).map(({ kind }) => kind)).toEqual(["action"]);
});

it("a pin ends by itself", () => {
  const loop = createLoop(endpoint, five, true, null);
  loop.setPin({ replicas: 7, untilMs: 100 });
  expect(loop.step(input(99, 3)).orders[0]).toMatchObject({ replicas: 7 });
  expect(loop.step(input(100, 7)).orders[0]).toMatchObject({ replicas: 5, by: "policy" });
});

it("resumes the saved state through JSON, pause and pin included, and not that of another spec", () => {
  const first = createLoop(endpoint, five, true, null);
  first.step(input(0, 5));
  first.pause(forever);
  const saved = JSON.parse(JSON.stringify(first.save(10, ["run:5000", null])));
  const second = createLoop(endpoint, five, true, saved);
  expect(second.started(20)).toMatchObject({ state: { asked: 1 } });
  expect(second.pausedUntilMs).toBe(forever);
  second.step(input(30, 5));
  expect(second.save(40, second.cursors)).toMatchObject({ seq: 2, state: { asked: 2 }, cursors: ["run:5000", null] });
  const other = createLoop({ ...endpoint, policy: { kind: "static", replicas: { default: 1 } } }, five, true, saved);
  expect(other.started(20)).toMatchObject({ state: null });
  expect(other.seq).toBe(1);
});

it("records no secret", () => {
  const text = JSON.stringify(createLoop(endpoint, five, true, null).started(0));
  expect(text).not.toContain("secret");
});

it("asks for what the fleet's quota leaves, and does not tell the policy that this was its own doing", () => {
  const loop = createLoop(endpoint, five, true, null);
  const asked: unknown[] = [];
  const grant = (counts: Readonly<Record<string, number>>) => {
    asked.push(counts);
    return { default: 3 };
  };
  const { orders, decision } = loop.step({ ...input(0, 1), grant });
  expect(asked).toEqual([{ default: 5 }]);
  expect(decision.wants).toMatchObject({ default: { replicas: 5 } });
  expect(orders).toEqual([{ pool: "default", replicas: 3, drain: [], by: "quota" }]);
  expect(loop.settle(orders[0]!, "accepted", 1).map(({ kind }) => kind)).toEqual(["action"]);
  // What it holds beyond its share is given back even where the policy would keep it.
  expect(loop.step({ ...input(15_000, 5), grant }).orders).toEqual([{ pool: "default", replicas: 3, drain: [], by: "quota" }]);
  expect(loop.step({ ...input(30_000, 3), grant }).orders).toEqual([]);
});

it("claims what it has while it is paused, and nothing while it only recommends", () => {
  const asked: unknown[] = [];
  const grant = (counts: Readonly<Record<string, number>>) => {
    asked.push(counts);
    return counts;
  };
  const paused = createLoop(endpoint, five, true, null);
  paused.pause(forever);
  expect(paused.step({ ...input(0, 2), grant }).orders).toEqual([{ pool: "default", replicas: 5, drain: [], by: "paused" }]);
  createLoop(endpoint, five, false, null).step({ ...input(0, 2), grant });
  expect(asked).toEqual([{ default: 2 }]);
});

it("keeps what was learned through a change of bounds and prices, and starts afresh with other pools", () => {
  const loop = createLoop(endpoint, five, true, null);
  loop.step(input(0, 3));
  const saved = loop.save(0, []);
  const pools = endpoint.pools.map((pool) => ({ ...pool, min: 2, max: 20, pricePerReplicaHour: 7, standby: 1 }));
  expect(createLoop({ ...endpoint, pools }, five, true, saved).started(0)).toMatchObject({ state: { asked: 1 } });
  const renamed = endpoint.pools.map((pool) => ({ ...pool, name: "other" }));
  expect(createLoop({ ...endpoint, pools: renamed }, five, true, saved).started(0)).toMatchObject({ state: null });
});

it("says to which pools the fleet's budget leaves less, also when that is what there is already", () => {
  const loop = createLoop(endpoint, five, true, null);
  const { orders, limited } = loop.step({ ...input(0, 3), grant: () => ({ default: 3 }) });
  expect([orders, limited]).toEqual([[], ["default"]]);
  expect(loop.step({ ...input(15_000, 3), grant: (asked) => asked }).limited).toEqual([]);
});
