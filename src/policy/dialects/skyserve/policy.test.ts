import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Endpoint, Json, Manifest, Observation, Policy, Pool, Replica } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool, ready, series, starting } from "../../plant.fixture.ts";
import { slot } from "../llm/fleet.fixture.ts";
import { type ReplicaPolicy, skyserveDialect, skyservePolicy } from "./index.ts";

const START = 1_700_000_000_000;
const withPools = (...pools: readonly Pool[]): Endpoint => endpointOf({ kind: "static", replicas: {} }, pools);
const ONE = withPools(pool());
const SPOT = pool({ name: "spot", spot: true, pricePerReplicaHour: 1 });
const ON_DEMAND = pool({ name: "on-demand", pricePerReplicaHour: 3 });

const service = (policy: Partial<ReplicaPolicy>, resources: { readonly [key: string]: Json } = {}): Manifest => ({
  name: "llm",
  namespace: "default",
  spec: { resources, service: { readiness_probe: "/health", replica_policy: policy as unknown as Json } },
});
const usual: Partial<ReplicaPolicy> = { min_replicas: 1, max_replicas: 10, target_qps_per_replica: 2 };

interface Moment {
  readonly atMs: number;
  /** Requests since the last look. */
  readonly arrivals: number | null;
  readonly replicas?: readonly Replica[];
  readonly wanted?: Readonly<Record<string, number>>;
}
let seq = 0;
function observe({ atMs, arrivals, replicas = [], wanted = {} }: Moment): Observation {
  const names = new Set(["default", ...replicas.map((one) => one.pool), ...Object.keys(wanted)]);
  const countOf = (name: string) => wanted[name] ?? replicas.filter((one) => one.pool === name).length;
  return observation({
    seq: ++seq,
    nowMs: atMs,
    replicas,
    pools: Object.fromEntries([...names].map((name) => [name, { wanted: countOf(name), reported: countOf(name), otherWriter: false }])),
    slots: arrivals === null ? null : arrivals === 0 ? [] : [slot(atMs - 1_000, { arrivals })],
  });
}
function loop(policy: Policy<Json>) {
  let state: string | null = null;
  return (seen: Observation): Decision => {
    const before: Json = state === null ? policy.start(seen) : JSON.parse(state);
    const { state: after, decision } = policy.decide(before, seen);
    expect(JSON.parse(JSON.stringify(after))).toEqual(after);
    state = JSON.stringify(after);
    return decision;
  };
}
const countOf = (decision: Decision, of = "default") => {
  const want = decision.wants[of];
  return want?.kind === "scale" ? want.replicas : undefined;
};
const codes = (decision: Decision) => decision.steps.map(({ code }) => code);
const fleet = (count: number, of = "default") => Array.from({ length: count }, (_, at) => ready(`${of}${at}`, START, { pool: of }));

/** Follows `nextAtMs` with instant replicas. @returns when and to what the count changed, in seconds since START */
function run(policy: Policy<Json>, untilS: number, qps: (atS: number) => number, from: number): [number, number][] {
  const step = loop(policy);
  const changes: [number, number][] = [];
  let [atMs, lastMs, replicas] = [START, START, from];
  while (atMs <= START + untilS * 1000) {
    const arrivals = (qps((atMs - START) / 1000) * (atMs - lastMs)) / 1000;
    const decision = step(observe({ atMs, arrivals, replicas: fleet(replicas), wanted: { default: replicas } }));
    const count = countOf(decision) as number;
    if (count !== replicas) changes.push([(atMs - START) / 1000, count]);
    [lastMs, replicas] = [atMs, count];
    atMs = decision.nextAtMs;
  }
  return changes;
}

describe("a service of 1 to 10 at 2 requests per second each", () => {
  it("rises after fifteen decisions in a row that ask for more", () => {
    // The window of 60 s is full from the third decision on; the first with any requests is the second.
    expect(run(skyservePolicy(ONE, service(usual)), 400, () => 10, 1)).toEqual([[300, 5]]);
  });
  it("falls after sixty that ask for less", () => {
    expect(run(skyservePolicy(ONE, service(usual)), 1_400, () => 0, 4)).toEqual([[1180, 1]]);
  });
  it("looks every 20 s, every 5 s at zero, and goes from there at once", () => {
    const asleep = skyservePolicy(ONE, service({ ...usual, min_replicas: 0 }));
    const step = loop(asleep);
    const idle = step(observe({ atMs: START, arrivals: 0 }));
    expect([countOf(idle), idle.nextAtMs]).toEqual([0, START + 5_000]);
    const woken = step(observe({ atMs: START + 5_000, arrivals: 300 }));
    expect([countOf(woken), woken.nextAtMs, codes(woken)]).toEqual([3, START + 25_000, ["rate", "from-zero", "desired"]]);
  });
  it("says what it counted and how long it has been so", () => {
    const step = loop(skyservePolicy(ONE, service(usual)));
    const decision = step(observe({ atMs: START, arrivals: 600, replicas: fleet(1) }));
    expect(decision.steps.map(({ text }) => text)).toEqual([
      "10 requests per second over 60 s against 2 per replica: 5 replicas.",
      "1 of 15 decisions in a row asked for more than 1.",
      "The target stays at 1.",
    ]);
  });
  it("names who goes: what has come least far first", () => {
    const policy = skyservePolicy(ONE, service({ ...usual, downscale_delay_seconds: 0 }));
    const replicas = [...fleet(2), starting("new", START, { stage: "schedule" })];
    expect(loop(policy)(observe({ atMs: START, arrivals: 240, replicas })).wants["default"]).toEqual({
      kind: "scale",
      replicas: 2,
      drain: ["new"],
    });
  });
});

it.each([
  { rule: "at min_replicas from nothing", wanted: 0, count: 1 },
  { rule: "as it is where it runs", wanted: 6, count: 6 },
  { rule: "inside its bounds", wanted: 60, count: 10 },
])("a service starts $rule", ({ wanted, count }) => {
  expect(countOf(loop(skyservePolicy(ONE, service(usual)))(observe({ atMs: START, arrivals: 0, wanted: { default: wanted } })))).toBe(
    count,
  );
});

it("keeps a count that nothing moves, and some on top", () => {
  const fixed: Manifest = { name: "llm", namespace: "default", spec: { service: { replicas: 3 } } };
  expect(run(skyservePolicy(ONE, fixed), 2_000, () => 500, 3)).toEqual([]);
  const over = loop(skyservePolicy(ONE, service({ ...usual, min_replicas: 2, num_overprovision: 1 })));
  expect(countOf(over(observe({ atMs: START, arrivals: 0 })))).toBe(3);
});

it("an update takes its own target at once", () => {
  const before = skyservePolicy(ONE, service(usual));
  const first = observe({ atMs: START, arrivals: 600, replicas: fleet(1) });
  const { state } = before.decide(before.start(first), first);
  const after = skyservePolicy(ONE, service({ ...usual, target_qps_per_replica: 5 }));
  const { decision } = after.decide(state, observe({ atMs: START + 20_000, arrivals: 0, replicas: fleet(1) }));
  expect([countOf(decision), codes(decision)]).toEqual([2, ["rate", "updated", "desired"]]);
});

describe("readings", () => {
  const quick = service({ ...usual, upscale_delay_seconds: 0, downscale_delay_seconds: 0 });
  it("come from the endpoint's rate where no gateway of ours is", () => {
    const step = loop(skyservePolicy(ONE, quick));
    const rated = (atMs: number) => ({
      ...observe({ atMs, arrivals: null, replicas: fleet(1) }),
      series: [series("request_rate", null, 8, atMs)],
    });
    for (let atMs = START; atMs < START + 60_000; atMs += 20_000) step(rated(atMs));
    expect(countOf(step(rated(START + 60_000)))).toBe(4);
  });
  it("hold the target while there are none, and do not lower it until a minute has been counted", () => {
    const step = loop(skyservePolicy(ONE, quick));
    expect(countOf(step(observe({ atMs: START, arrivals: 600, replicas: fleet(5) })))).toBe(5);
    expect(codes(step(observe({ atMs: START + 20_000, arrivals: null, replicas: fleet(5) })))).toEqual(["no-data", "desired"]);
    for (const atS of [40, 60]) {
      const decision = step(observe({ atMs: START + atS * 1000, arrivals: 0, replicas: fleet(5) }));
      expect([countOf(decision), atS]).toEqual([5, atS]);
    }
    expect(countOf(step(observe({ atMs: START + 80_000, arrivals: 0, replicas: fleet(5) })))).toBe(1);
  });
  it("of a first version that fails by itself stop everything", () => {
    const failed = ready("r0", START, { state: "failed", trouble: { code: "crash", sinceMs: START } });
    const decision = loop(skyservePolicy(ONE, quick))(observe({ atMs: START, arrivals: 600, replicas: [failed] }));
    expect(decision.wants["default"]).toEqual({ kind: "hold" });
    const later = loop(skyservePolicy(ONE, quick));
    later(observe({ atMs: START, arrivals: 0, replicas: fleet(1) }));
    expect(later(observe({ atMs: START + 20_000, arrivals: 600, replicas: [failed] })).wants["default"]).toMatchObject({ kind: "scale" });
  });
});

describe("spot with on demand beside it", () => {
  const two = withPools(ON_DEMAND, SPOT);
  const policy = { ...usual, min_replicas: 4, dynamic_ondemand_fallback: true };
  it("fills in for spot that is not ready, and gives that back", () => {
    const step = loop(skyservePolicy(two, service(policy)));
    const none = step(observe({ atMs: START, arrivals: 0 }));
    expect([countOf(none, "spot"), countOf(none, "on-demand")]).toEqual([4, 4]);
    const some = step(observe({ atMs: START + 20_000, arrivals: 0, replicas: [...fleet(3, "spot"), ...fleet(4, "on-demand")] }));
    expect([countOf(some, "spot"), countOf(some, "on-demand")]).toEqual([4, 1]);
    expect(some.wants["on-demand"]).toMatchObject({ drain: expect.arrayContaining(["on-demand3"]) });
  });
  it("is one pool where there is only one", () => {
    const alone = withPools(SPOT);
    expect(countOf(loop(skyservePolicy(alone, service(policy)))(observe({ atMs: START, arrivals: 0 })), "spot")).toBe(4);
  });
  it("without fallback is the pool that the task's resources ask for; the other stays", () => {
    const asked = loop(skyservePolicy(two, service(usual, { use_spot: true })))(observe({ atMs: START, arrivals: 0 }));
    expect([countOf(asked, "spot"), asked.wants["on-demand"]]).toEqual([1, { kind: "hold" }]);
    const plain = loop(skyservePolicy(two, service(usual)))(observe({ atMs: START, arrivals: 0 }));
    expect([countOf(plain, "on-demand"), plain.wants["spot"]]).toEqual([1, { kind: "hold" }]);
  });
});

describe("replicas that differ", () => {
  const big = pool({ name: "big", gpu: "a100-80g", pricePerReplicaHour: 4 });
  const small = pool({ name: "small", gpu: "l4-24g", pricePerReplicaHour: 1, max: 3 });
  const manifest = service({ ...usual, target_qps_per_replica: { A100: 4, L4: 1 }, upscale_delay_seconds: 0, downscale_delay_seconds: 0 });
  const at = (arrivals: number, replicas: readonly Replica[]) => {
    const decision = loop(skyservePolicy(withPools(big, small), manifest))(observe({ atMs: START, arrivals, replicas }));
    return [countOf(decision, "big"), countOf(decision, "small")];
  };
  it("grow in the cheapest pool with room", () => {
    // 10 per second: what is alive carries 6 of them, and one more of the strongest the rest.
    expect(at(600, [...fleet(1, "big"), ...fleet(2, "small")])).toEqual([1, 3]);
    expect(at(1_200, [...fleet(1, "big"), ...fleet(3, "small")])).toEqual([5, 3]);
  });
  it("lose the weakest first", () => expect(at(60, [...fleet(1, "big"), ...fleet(2, "small")])).toEqual([1, 0]));
});

describe("bounds of a manifest", () => {
  it.each([
    {
      rule: "are the policy's, with what is overprovisioned on top",
      manifest: service({ ...usual, num_overprovision: 2 }),
      bounds: { min: 3, max: 12 },
    },
    {
      rule: "of a fixed count are that",
      manifest: { name: "", namespace: "", spec: { service: { replicas: 3 } } },
      bounds: { min: 3, max: 3 },
    },
  ])("$rule", ({ manifest, bounds }) => {
    expect(skyserveDialect.bounds(manifest)).toEqual(bounds);
    expect(skyserveDialect.withBounds(manifest, bounds)).toBe(manifest);
  });
  it("can be narrowed", () => {
    expect(skyserveDialect.bounds(skyserveDialect.withBounds(service(usual), { min: 2, max: 5 }))).toEqual({ min: 2, max: 5 });
    const fixed: Manifest = { name: "", namespace: "", spec: { service: { replicas: 3 } } };
    expect(skyserveDialect.bounds(skyserveDialect.withBounds(fixed, { min: 4, max: 6 }))).toEqual({ min: 4, max: 4 });
  });
});

describe("for any policy and load", () => {
  const policies = fc
    .record({
      min: fc.integer({ min: 0, max: 3 }),
      span: fc.integer({ min: 0, max: 9 }),
      target_qps_per_replica: fc.double({ min: 0.1, max: 9, noNaN: true }),
      upscale_delay_seconds: fc.constantFrom(0, 20, 65, 300),
      downscale_delay_seconds: fc.constantFrom(0, 45, 400),
    })
    .map(({ min, span, ...policy }) => ({ ...policy, min_replicas: min, max_replicas: Math.max(1, min + span) }));
  const loads = fc.array(fc.integer({ min: 0, max: 80 }), { minLength: 3, maxLength: 30 });

  it("stays inside its bounds and waits out its delays in decisions", () => {
    fc.assert(
      fc.property(policies, loads, (policy, load) => {
        const changes = run(
          skyservePolicy(ONE, service(policy)),
          900,
          (atS) => load[Math.floor(atS / 40) % load.length] ?? 0,
          policy.min_replicas,
        );
        let [before, lastS] = [policy.min_replicas, 0];
        for (const [atS, count] of changes) {
          expect(count).toBeGreaterThanOrEqual(policy.min_replicas);
          expect(count).toBeLessThanOrEqual(policy.max_replicas);
          const delayS = count > before ? policy.upscale_delay_seconds : policy.downscale_delay_seconds;
          // SkyServe's own exemption: from zero there is no delay. The decision that starts the count is one of it.
          if (before > 0) expect(atS - lastS).toBeGreaterThanOrEqual(Math.floor(delayS / 20) * 20 - 20);
          [before, lastS] = [count, atS];
        }
      }),
      { numRuns: 100 },
    );
  });
  it("keeps every pool inside them, too, but for on-demand replicas that stand in for spot", () => {
    const spotFleet = fc.record({
      policy: policies,
      base: fc.nat(3),
      dynamic: fc.boolean(),
      over: fc.nat(2),
      spot: fc.nat(9),
      onDemand: fc.nat(9),
      arrivals: fc.nat(5_000),
    });
    fc.assert(
      fc.property(spotFleet, ({ policy, base, dynamic, over, spot, onDemand, arrivals }) => {
        const mixed = { ...policy, num_overprovision: over, base_ondemand_fallback_replicas: base, dynamic_ondemand_fallback: dynamic };
        const replicas = [...fleet(spot, "spot"), ...fleet(onDemand, "on-demand")];
        const decision = loop(
          skyservePolicy(withPools(ON_DEMAND, SPOT), service({ ...mixed, upscale_delay_seconds: 0 }, { use_spot: true })),
        )(observe({ atMs: START, arrivals, replicas }));
        const counts = [countOf(decision, "spot"), countOf(decision, "on-demand")].map((count) => count ?? 0);
        const most = policy.max_replicas + over;
        expect(Math.max(...counts)).toBeLessThanOrEqual(most);
        // SkyServe's own exemption: spot replicas that are asked for and their stand-ins are both there for a time.
        if (!dynamic) expect((counts[0] as number) + (counts[1] as number)).toBeLessThanOrEqual(most);
        for (const [name, there] of [
          ["spot", spot],
          ["on-demand", onDemand],
        ] as const) {
          const want = decision.wants[name];
          if (want?.kind === "scale") expect(want.drain).toHaveLength(Math.max(0, there - want.replicas));
        }
      }),
    );
  });
  it("counts replicas that differ inside them", () => {
    const gpus = [pool({ name: "big", gpu: "a100-80g", pricePerReplicaHour: 4 }), pool({ name: "small", gpu: "l4-24g" })];
    fc.assert(
      fc.property(policies, fc.nat(6), fc.nat(6), fc.nat(5_000), (policy, big, small, arrivals) => {
        const manifest = service({
          ...policy,
          target_qps_per_replica: { A100: 4, L4: 1 },
          upscale_delay_seconds: 0,
          downscale_delay_seconds: 0,
        });
        const replicas = [...fleet(big, "big"), ...fleet(small, "small")];
        const decision = loop(skyservePolicy(withPools(...gpus), manifest))(observe({ atMs: START, arrivals, replicas }));
        const total = (countOf(decision, "big") ?? 0) + (countOf(decision, "small") ?? 0);
        expect(total).toBeLessThanOrEqual(policy.max_replicas);
        expect(total).toBeGreaterThanOrEqual(policy.min_replicas);
      }),
    );
  });
  it("wants no fewer for more requests", () => {
    fc.assert(
      fc.property(policies, fc.nat(5_000), fc.nat(5_000), (policy, arrivals, more) => {
        const manifest = service({ ...policy, upscale_delay_seconds: 0, downscale_delay_seconds: 0 });
        const first = (of: number) =>
          countOf(loop(skyservePolicy(ONE, manifest))(observe({ atMs: START, arrivals: of, replicas: fleet(3) }))) as number;
        expect(first(arrivals + more)).toBeGreaterThanOrEqual(first(arrivals));
      }),
    );
  });
  it("does not care for the order of replicas, nor for series that it does not read", () => {
    fc.assert(
      fc.property(policies, loads, (policy, load) => {
        const [one, other] = [loop(skyservePolicy(ONE, service(policy))), loop(skyservePolicy(ONE, service(policy)))];
        for (const [at, arrivals] of load.entries()) {
          const seen = observe({ atMs: START + at * 20_000, arrivals, replicas: fleet(4) });
          const shuffled = { ...seen, replicas: seen.replicas.toReversed(), series: [series("zone_load", "default0", 9, seen.nowMs)] };
          expect(other(shuffled)).toEqual(one(seen));
        }
      }),
    );
  });
  it("never falls while nobody counts", () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 9 }), (policy, replicas) => {
        const step = loop(skyservePolicy(ONE, service(policy)));
        step(observe({ atMs: START, arrivals: 0, replicas: fleet(replicas) }));
        const at = (tick: number) =>
          countOf(step(observe({ atMs: START + tick * 20_000, arrivals: null, replicas: fleet(replicas) }))) as number;
        const first = at(1);
        for (let tick = 2; tick < 100; tick++) expect(at(tick)).toBe(first);
      }),
      { numRuns: 30 },
    );
  });
});
