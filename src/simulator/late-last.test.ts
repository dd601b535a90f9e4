import { expect, it } from "vitest";
import type { DoorBound, DoorOrder, Endpoint, Json } from "../model/index.ts";
import { createPolicy } from "../policy/index.ts";
import { slo } from "../policy/plant.fixture.ts";
import type { TraceRequest } from "../traces/index.ts";
import { type DecisionRecord, type SimulationOptions, simulate } from "./index.ts";
import { endpoint, options, poisson, pool, row, scripted, simulated, to } from "./world.fixture.ts";

const sizes = (u: number) => ({ promptTokens: 200 + Math.floor(2000 * u), outputTokens: 20 + Math.floor(300 * ((7 * u) % 1)) });
const bound: DoorBound = { maxInFlight: 107, maxPromptTokens: 7000, promptTokensPerSecond: 13_000 };
const orderOf = (over: Partial<DoorOrder> = {}): DoorOrder => ({
  kind: "late-last",
  perReplica: bound,
  oldestEvery: 10,
  classes: {},
  ...over,
});
const under = (order: DoorOrder | undefined, over: Partial<Endpoint> = {}): Endpoint => {
  const base = endpoint([pool()], over);
  return order === undefined ? base : { ...base, gateway: { ...base.gateway, order } };
};
/** One replica serves some 7 of these a second inside the objective. */
const overload = (perSecond: number, seconds: number, seed = 5) => poisson(perSecond, perSecond * seconds, seed, sizes);

/** Two replicas' load and a half for three minutes; what was asked for at once is there after 90 s. */
const jump = (order: DoorOrder | undefined, over: Partial<SimulationOptions> = {}) =>
  simulate(
    options({
      endpoint: under(order),
      trace: overload(21, 180),
      pools: { default: simulated({ initial: 2, coldStart: { total: 90_000 } }) },
      policy: scripted([[1000, to(4)]]),
      ...over,
    }),
  );
const share = ({ withinObjective, requests }: ReturnType<typeof jump>["whole"]) => withinObjective / requests.arrived;

it("meets the objective for more in an overload, and drops nobody", () => {
  const [asToday, lateLast] = [jump(undefined), jump(orderOf())];
  expect(lateLast.whole.requests).toMatchObject({ completed: 3780, rejected: 0, failed: 0, open: 0 });
  expect(share(asToday.whole)).toBeLessThan(0.5);
  expect(share(lateLast.whole)).toBeGreaterThan(share(asToday.whole) + 0.15);
});

it("changes nothing where the bound is never reached", () => {
  const calm = { trace: overload(6, 180) };
  const [asToday, lateLast] = [
    jump(undefined, calm),
    jump(orderOf({ perReplica: { ...bound, maxInFlight: 1000, maxPromptTokens: 1e9 } }), calm),
  ];
  expect({ ...lateLast, events: 0 }).toEqual({ ...asToday, events: 0 });
});

it("bounds the wait of the late: with a smaller share of the places for them the longest wait is longer, and all end", () => {
  const longest = [3, 30].map((oldestEvery) => {
    const { whole } = jump(orderOf({ oldestEvery }));
    expect(whole.requests.completed).toBe(3780);
    return whole.ttft.maxMs as number;
  });
  expect(longest[0]).toBeLessThan(longest[1] as number);
  // By arrival alone nobody is older than the queue is long.
  expect(jump(orderOf({ oldestEvery: 1 })).whole.ttft.maxMs).toBeLessThan(longest[0] as number);
});

it("keeps a queue that is no longer than a bound leaves by arrival under fifo", () => {
  const { whole } = jump(orderOf({ kind: "fifo" }));
  expect(whole.requests.completed).toBe(3780);
  expect(share(whole)).toBeLessThan(share(jump(orderOf()).whole));
});

it.each([
  { named: "first", other: "last" },
  { named: "first", other: undefined },
] as const)("serves a class that comes $named before one that comes $other", ({ named, other }) => {
  const trace = overload(21, 180).map((request, at): TraceRequest => ({ ...request, class: at % 2 === 0 ? "a" : "b" }));
  const classes = { a: named, ...(other === undefined ? {} : { b: other }) };
  const met = { a: 0, b: 0 };
  jump(orderOf({ classes }), {
    trace,
    policy: scripted(
      [[1000, to(4)]],
      {},
      new Proxy([], {
        set: (_, key, now) => {
          if (key !== "length") for (const slot of now.slots) met[slot.class as "a" | "b"] += slot.withinObjective;
          return true;
        },
      }),
    ),
  });
  expect(met.a).toBeGreaterThan(1.1 * met.b);
});

it("tells the policy of what waits at the door as queue, and of nothing held", () => {
  const seen: Parameters<typeof scripted>[2] = [];
  const needs = ["queue_depth", "held", "in_flight"].map((name) => ({ name, per: "endpoint" as const, sampleEveryMs: 1000 }));
  jump(orderOf(), { policy: scripted([[1000, to(4)]], { needs }, seen) });
  const most = (name: string) =>
    Math.max(
      ...seen.flatMap(({ series }) => series.filter((one) => one.name === name).map(({ latest }) => (latest?.value as number) ?? 0)),
    );
  expect(most("queue_depth")).toBeGreaterThan(100);
  expect(most("in_flight")).toBeGreaterThan(most("queue_depth"));
  expect(most("held")).toBe(0);
});

it("follows a policy's advice, unless the order is fifo or it only recommends", () => {
  const advises = (of: DoorOrder, dryRun = false) => {
    const policy = scripted([[1000, to(4)]]);
    return jump(undefined, {
      endpoint: under({ ...of, perReplica: null }, { dryRun }),
      policy: {
        ...policy,
        decide(state, now) {
          const next = policy.decide(state, now);
          return { ...next, decision: { ...next.decision, door: { default: bound } } };
        },
      },
    });
  };
  const asToday = jump(undefined);
  expect(share(advises(orderOf()).whole)).toBeGreaterThan(share(asToday.whole) + 0.15);
  expect(share(advises(orderOf({ kind: "fifo" })).whole)).toBe(share(asToday.whole));
  expect(advises(orderOf(), true).whole.ttft).toEqual(jump(undefined, { endpoint: under(undefined, { dryRun: true }) }).whole.ttft);
});

it("queues what a crash gives back by its arrival, and holds what is queued when the last replica goes", () => {
  const { whole } = simulate(
    options({
      endpoint: under(orderOf()),
      trace: [...overload(14, 60), row(400_000)],
      pools: { default: simulated({ initial: 1, coldStart: { total: 30_000 } }) },
      policy: scripted([]),
      faults: [{ kind: "crash", atMs: 20_000, share: 1 }],
    }),
  );
  expect(whole.requests).toMatchObject({ arrived: 841, rejected: 0, open: 0 });
  expect(whole.requests.completed + whole.requests.failed).toBe(841);
  expect(whole.held).toBeGreaterThan(0);
  expect(whole.retries).toBeGreaterThan(0);
});

it("slo advises once it knows the engine, the advice is recorded, and a replay gives it again", () => {
  const of = under(orderOf({ perReplica: null }), {
    policy: slo({ intervalMs: 5000, coldStartMs: 60_000, zeroAfterMs: 600_000 }),
  });
  const records: DecisionRecord[] = [];
  const policy = createPolicy(of);
  simulate(
    options({
      endpoint: of,
      trace: overload(12, 600),
      pools: { default: simulated({ initial: 2 }) },
      policy,
      onDecision: (record) => records.push(record),
    }),
  );
  const advised = records.map(({ decision }) => decision.door?.["default"]);
  expect(advised[0]).toBeUndefined();
  const last = advised.at(-1) as DoorBound;
  // The profile prefills a thousand tokens in some 72 ms; an iteration of 90 ms holds what is left of it after its base.
  expect(last.promptTokensPerSecond).toBeGreaterThan(8_000);
  expect(last.promptTokensPerSecond).toBeLessThan(20_000);
  expect(last.maxInFlight).toBeGreaterThan(40);
  expect(last.maxInFlight).toBeLessThan(250);
  const again = createPolicy(of);
  let state: Json | null = null;
  for (const { observation, decision, orders } of JSON.parse(JSON.stringify(records)) as DecisionRecord[]) {
    if (state === null) state = again.start(observation);
    const next = again.decide(state, observation);
    expect(JSON.parse(JSON.stringify(next.decision))).toEqual(decision);
    state = next.state;
    for (const { pool: name } of orders)
      state = again.settle(state, { seq: observation.seq, pool: name, atMs: observation.nowMs, result: "accepted" }).state;
  }
});
