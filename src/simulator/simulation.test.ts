import { expect, it } from "vitest";
import { createEngine, iterationMs, prefillAttentionMs } from "../engine/index.ts";
import type { Endpoint, Observation } from "../model/index.ts";
import { createSimulation, defaultEngine, type Fault, type SimulationOptions, simulate } from "./index.ts";
import { endpoint, options, poisson, pool, profile, row, scripted, simulated, to } from "./world.fixture.ts";

const engine = defaultEngine(profile);
const decodeMs = (seqs: number, ctx: number) => iterationMs(profile, { prefillTokens: 0, seqs, ctx }) + engine.overheadMs;
const prefillMs = (prefillTokens: number, cached = 0) =>
  iterationMs(profile, { prefillTokens, seqs: 0, ctx: 0 }) + prefillAttentionMs(profile, prefillTokens, cached) + engine.overheadMs;
const sizes = (u: number) => ({ promptTokens: 200 + Math.floor(1000 * u), outputTokens: 20 + Math.floor(200 * u) });

it("one request takes its prefill, and one step for each further token", () => {
  const { whole } = simulate(options({ trace: [row(1000, 1000, 3)] }));
  const e2eMs = prefillMs(1000) + decodeMs(1, 1000) + decodeMs(1, 1001);
  expect(whole.ttft.meanMs).toBeCloseTo(prefillMs(1000), 6);
  expect(whole.e2e.meanMs).toBeCloseTo(e2eMs, 6);
  // A short answer is given the time of one of 16 tokens.
  expect(whole.tpot.meanMs).toBeCloseTo((e2eMs - prefillMs(1000)) / 15, 6);
  expect(whole.requests).toEqual({ arrived: 1, completed: 1, failed: 0, cancelled: 0, rejected: 0, open: 0 });
});

it("requests of one moment are prefilled together and decode together", () => {
  const { whole } = simulate(options({ trace: Array.from({ length: 8 }, () => row(0, 100, 20)) }));
  let expected = prefillMs(800);
  for (let at = 0; at < 19; at++) expected += decodeMs(8, 8 * (100 + at));
  expect(whole.e2e.meanMs).toBeCloseTo(expected, 6);
});

it("a fleet of one is its engine alone, to the last bit", () => {
  const trace = poisson(9, 3_000, 12, sizes);
  const alone = createEngine({ ...engine, kvCapacityTokens: 30_000 });
  let sumMs = 0;
  for (const request of trace) alone.submit({ ...request, prefixHitTokens: 0 }, request.arrivalMs);
  alone.advance(Number.POSITIVE_INFINITY, {
    finished: (sequence, atMs) => {
      sumMs += atMs - sequence.arrivedMs;
    },
  });
  const { whole, engine: done } = simulate(
    options({
      trace,
      pools: { default: simulated({ engine: { ...engine, kvCapacityTokens: 30_000 } }) },
      policy: scripted([], { needs: [{ name: "running", per: "replica", sampleEveryMs: 700 }] }),
    }),
  );
  expect(alone.counters.preemptions).toBeGreaterThan(0);
  expect(done).toEqual({ genTokens: alone.counters.genTokens, preemptions: alone.counters.preemptions });
  expect(whole.e2e.meanMs).toBe(sumMs / 3_000);
});

it("bills from the request to the end: a start, service, and what drains", () => {
  const { whole, pools } = simulate(
    options({
      trace: [row(0), row(600_000)],
      durationMs: 600_000,
      policy: scripted([
        [100_000, to(3)],
        [400_000, to(1)],
      ]),
    }),
  );
  // One all along, two from 100 s to 400 s.
  expect(whole.gpuHours).toBeCloseTo((600 + 2 * 300) / 3600, 9);
  expect(whole.cost).toBeCloseTo((2 * (600 + 2 * 300)) / 3600, 9);
  expect(whole.readyMean).toBeCloseTo((600 + 2 * 240) / 600, 6);
  expect([whole.scaleUps, whole.scaleDowns, whole.reversals, pools["default"]?.born]).toEqual([1, 1, 1, 3]);
});

it("a draining replica is billed until what it serves has ended", () => {
  const { whole } = simulate(
    options({
      trace: [row(99_000, 1000, 400), row(99_000, 1000, 400)],
      durationMs: 200_000,
      pools: { default: simulated({ initial: 2 }) },
      policy: scripted([[100_000, to(1)]]),
    }),
  );
  const servesMs = (whole.e2e.maxMs as number) + 99_000;
  expect(whole.gpuHours * 3600).toBeCloseTo(200 + servesMs / 1000, 1);
  expect(whole.requests.completed).toBe(2);
});

it("sleeping replicas cost their share, wake in their time, and are replaced", () => {
  const seen: Observation[] = [];
  const zzz = pool({ standby: 1, pricePerReplicaHour: 1 });
  const { whole, minutes } = simulate(
    options({
      endpoint: endpoint([zzz]),
      trace: [row(0)],
      durationMs: 600_000,
      pools: { default: simulated({ coldStart: { total: 120_000, wake: 5_000 }, standbyPriceShare: 0.1 }) },
      policy: scripted([[300_000, to(2)]], {}, seen),
    }),
  );
  const woken = seen.at(-1)?.replicas.find(({ id }) => id === "default-1");
  expect(woken?.entered).toEqual({ standby: 0, starting: 300_000, wake: 300_000, ready: 305_000 });
  // Asleep for 300 s; awake for 300 s beside another that starts for 120 s and then sleeps for 180 s.
  expect(whole.cost * 3600).toBeCloseTo(600 + 0.1 * 300 + 300 + 120 + 0.1 * 180, 6);
  expect(whole.readyMean * 600).toBeCloseTo(600 + 295, 6);
  expect(minutes.standby[1]).toBe(1);
});

it("GPUs come in whole nodes, kept while they are used and a while longer; a second replica on one has its image", () => {
  const stages = { stages: { provision: 60_000, pull: 30_000, load: 20_000 } };
  const seen: Observation[] = [];
  const { whole } = simulate(
    options({
      trace: [row(0)],
      durationMs: 1_000_000,
      pools: { default: simulated({ initial: 0, coldStart: stages, nodes: { gpusPerNode: 4, idleMs: 50_000 } }) },
      policy: scripted(
        [
          [0, to(1)],
          [200_000, to(2)],
          [300_000, to(0)],
        ],
        {},
        seen,
      ),
    }),
  );
  expect(whole.gpuHours * 3600).toBeCloseTo(4 * 350, 1);
  const replicas = seen.find(({ nowMs }) => nowMs >= 230_000)?.replicas ?? [];
  expect(replicas.map(({ entered }) => (entered.ready ?? 0) - (entered.starting ?? 0))).toEqual([110_000, 20_000]);
});

it("holds at zero, wakes the policy that asked for it, and serves what waited in order", () => {
  const seen: Observation[] = [];
  const woken = scripted([], { wakesOn: ["held"] }, seen);
  const policy = {
    ...woken,
    decide: (state: Parameters<typeof woken.decide>[0], now: Observation) => {
      const { decision } = woken.decide(state, now);
      const isHeld = now.cause === "held" && now.pools["default"]?.wanted === 0;
      return { state, decision: { ...decision, nextAtMs: now.nowMs + 3_600_000, wants: isHeld ? { default: to(1) } : {} } };
    },
  };
  const { whole } = simulate(
    options({
      endpoint: endpoint([pool({ min: 0 })]),
      trace: [row(1_234), row(1_500), row(2_000)],
      pools: { default: simulated({ coldStart: { total: 30_000 } }) },
      policy,
    }),
  );
  expect(seen.map(({ nowMs, cause }) => [nowMs, cause])).toEqual([
    [0, "tick"],
    [1_234, "held"],
  ]);
  expect(whole.held).toBe(3);
  expect(whole.ttft.maxMs).toBeCloseTo(30_000 + prefillMs(2048), -3);
  expect(whole.requests.completed).toBe(3);
});

it.each([
  { rule: "more than may be held are rejected", limits: { maxHeld: 2 }, counts: { rejected: 3, completed: 2 } },
  { rule: "held for too long is rejected", limits: { holdTimeoutMs: 10_000 }, counts: { rejected: 5, completed: 0 } },
])("$rule", ({ limits, counts }) => {
  const base = endpoint([pool({ min: 0 })]);
  const { whole } = simulate(
    options({
      endpoint: { ...base, gateway: { ...base.gateway, ...limits } },
      trace: Array.from({ length: 5 }, (_, at) => row(1000 * at)),
      policy: scripted([[0, to(1)]]),
    }),
  );
  expect(whole.requests).toMatchObject(counts);
  expect(whole.attainment).toBe(0);
});

it("clients that lose patience are cancelled, and no miss of the objective", () => {
  const { whole } = simulate(
    options({ endpoint: endpoint([pool({ min: 0 })]), trace: [row(0), row(1000)], patienceMs: 20_000, policy: scripted([[0, to(1)]]) }),
  );
  expect(whole.requests).toMatchObject({ cancelled: 2, open: 0 });
  expect(whole.attainment).toBeNull();
});

const faulty = (fault: Fault, over: Partial<SimulationOptions> = {}) =>
  simulate(options({ trace: poisson(8, 4_000, 2, sizes), pools: { default: simulated({ initial: 4 }) }, faults: [fault], ...over }));

it("after a crash what had begun is lost, what had not is tried elsewhere, and another replica starts", () => {
  const burst = Array.from({ length: 40 }, () => row(99_990, 4000, 100));
  const { whole, pools, minutes } = faulty(
    { kind: "crash", atMs: 100_500, share: 0.25 },
    { trace: [...burst, row(400_000)], durationMs: 400_000 },
  );
  expect(whole.requests.failed).toBeGreaterThan(0);
  expect(whole.retries).toBeGreaterThan(0);
  expect(whole.requests.completed + whole.requests.failed).toBe(41);
  expect(pools["default"]?.born).toBe(5);
  expect(minutes.ready.map((ready) => Math.round(ready * 10) / 10).slice(0, 4)).toEqual([4, 3.7, 3.3, 4]);
});

it("no replica is ready and none may be tried: a crash of all fails what has no attempt left", () => {
  const base = endpoint();
  const { whole } = faulty(
    { kind: "crash", atMs: 100, share: 1 },
    { endpoint: { ...base, gateway: { ...base.gateway, attempts: 1 } }, trace: [row(0, 100_000, 5)], pools: { default: simulated() } },
  );
  expect(whole.requests.failed).toBe(1);
});

it("a hang stretches what is under way by as long as it lasts; for longer than the time-out it fails", () => {
  const hung = (limitMs: number) => {
    const base = endpoint();
    return faulty(
      { kind: "hang", atMs: 500, share: 1, forMs: 30_000 },
      {
        endpoint: { ...base, gateway: { ...base.gateway, upstreamTimeoutMs: limitMs } },
        trace: [row(0, 1000, 100), row(1000, 1000, 100)],
        pools: { default: simulated() },
      },
    ).whole;
  };
  const calm = simulate(options({ trace: [row(0, 1000, 100)] })).whole;
  expect(hung(600_000).e2e.maxMs).toBeGreaterThan(30_000 + (calm.e2e.maxMs as number) - 1);
  expect(hung(600_000).requests.completed).toBe(2);
  expect(hung(10_000).requests).toMatchObject({ failed: 2, completed: 0, open: 0 });
});

it("what is out of stock is not billed, waits in trouble, and comes when there is stock", () => {
  const seen: Observation[] = [];
  const { whole } = faulty(
    { kind: "stock-out", fromMs: 0, toMs: 300_000, most: 1 },
    {
      trace: [row(0)],
      durationMs: 600_000,
      pools: { default: simulated() },
      policy: scripted([[100_000, to(3)]], {}, seen),
    },
  );
  expect(whole.gpuHours * 3600).toBeCloseTo(600 + 2 * 300, 6);
  expect(whole.readyMean * 600).toBeCloseTo(600 + 2 * 240, 6);
  const during = seen.find(({ nowMs }) => nowMs > 150_000)?.replicas ?? [];
  expect(during.map(({ state, trouble }) => [state, trouble?.code])).toEqual([
    ["ready", undefined],
    ["starting", "stock-out"],
    ["starting", "stock-out"],
  ]);
});

it("a spot notice drains what is taken while another starts; what does not end in time is lost", () => {
  const { whole, pools } = faulty(
    { kind: "spot-notice", atMs: 100_000, share: 0.5, noticeMs: 1_000 },
    { trace: Array.from({ length: 8 }, () => row(99_000, 1000, 500)) },
  );
  expect(pools["default"]?.born).toBe(6);
  expect(whole.requests).toMatchObject({ failed: 4, completed: 4 });
});

it("a rollout replaces every replica, with no more than the surge beside them and never fewer ready than wanted", () => {
  const seen: Observation[] = [];
  const { pools, whole, minutes } = faulty(
    { kind: "rollout", atMs: 60_000, surge: 1 },
    { trace: [row(0), row(900_000)], policy: scripted([], { wakesOn: ["replica"] }, seen) },
  );
  expect(pools["default"]?.born).toBe(8);
  expect(Math.min(...minutes.ready.slice(0, 14))).toBeGreaterThanOrEqual(4);
  expect(Math.max(...seen.map(({ replicas }) => replicas.filter(({ state }) => state !== "draining").length))).toBe(5);
  expect(seen.every(({ pools: told }) => told["default"]?.wanted === 4)).toBe(true);
  expect(seen.at(-1)?.replicas.map(({ id }) => id)).toEqual(["default-4", "default-5", "default-6", "default-7"]);
  expect(whole.scaleUps + whole.scaleDowns).toBe(0);
});

it("replicas that crash by themselves do so at about the rate given", () => {
  const { pools } = faulty({ kind: "crashes", meanMs: 600_000 }, { trace: [row(0)], durationMs: 24 * 3_600_000 });
  // 4 replicas, one crash per 11 min (10 min up, 1 min start) each.
  const crashes = (pools["default"]?.born ?? 0) - 4;
  expect(crashes).toBeGreaterThan(480);
  expect(crashes).toBeLessThan(570);
});

it("prefill and decode apart: the first token comes from one, the rest, after the way between, from the other", () => {
  const pools = [pool({ name: "p", role: "prefill" }), pool({ name: "d", role: "decode" })];
  const { whole, engine: done } = simulate(
    options({
      endpoint: endpoint(pools),
      trace: [row(0, 1000, 40), row(60_000, 1000, 1)],
      pools: { p: simulated(), d: simulated() },
      kvTransfer: { baseMs: 5, msPerThousandTokens: 20 },
    }),
  );
  expect(whole.ttft.meanMs).toBeCloseTo(prefillMs(1000), 6);
  expect(done.genTokens).toBe(41);
  // 1000 tokens are 62 whole blocks: 9 are computed again with the second token.
  let expected = prefillMs(1000) + 25 + prefillMs(9, 992);
  for (let at = 0; at < 38; at++) expected += decodeMs(1, 1001 + at);
  expect(whole.e2e.maxMs).toBeCloseTo(expected, 6);
});

it.each([
  { cache: "none", hits: 0 },
  { cache: "fleet", hits: 2 },
  { cache: "replica", hits: 1 },
] as const)("with the prefix cache of $cache, $hits of two requests find their prefix", ({ cache, hits }) => {
  const { whole } = simulate(
    options({
      trace: [row(0, 1000, 10, { sessionId: "a", prefixHitTokens: 512 }), row(10_000, 1600, 10, { sessionId: "a", prefixHitTokens: 1008 })],
      prefixCache: cache,
    }),
  );
  const full = [prefillMs(1000), prefillMs(1600)];
  const found = [prefillMs(1000 - 512, 512), prefillMs(1600 - 1008, 1008)];
  const expected = hits === 0 ? full : hits === 2 ? found : [full[0] as number, found[1] as number];
  expect(whole.ttft.meanMs).toBeCloseTo(((expected[0] as number) + (expected[1] as number)) / 2, 6);
});

it("slow replicas are slow all along, and as many of them as the spread says", () => {
  const run = (speedSigma: number) =>
    simulate(options({ trace: poisson(3, 2_000, 4, sizes), pools: { default: simulated({ initial: 10, speedSigma }) } })).whole;
  const [even, uneven] = [run(0), run(0.5)];
  expect(uneven.tpot.p99Ms).toBeGreaterThan(1.4 * (even.tpot.p99Ms as number));
});

it("what can never fit is rejected and said", () => {
  const { whole, oversized } = simulate(options({ trace: [row(0, 10_000_000, 1), row(1)] }));
  expect([oversized, whole.requests.rejected, whole.requests.completed]).toEqual([1, 1, 1]);
});

it("figures begin after the warm-up, are given again after the split, and end with the duration", () => {
  const { whole, afterSplit } = simulate(
    options({
      trace: [row(10_000), row(70_000), row(130_000), row(190_000), row(300_000)],
      warmupMs: 60_000,
      splitMs: 120_000,
      durationMs: 240_000,
    }),
  );
  expect([whole.requests.arrived, afterSplit?.requests.arrived]).toEqual([3, 2]);
  expect([whole.gpuHours * 3600, (afterSplit?.gpuHours ?? 0) * 3600]).toEqual([expect.closeTo(180, 6), expect.closeTo(120, 6)]);
});

it("steps give the same as a run at once, and say how far they are", () => {
  const given = () => options({ trace: poisson(20, 3_000, 6, sizes), pools: { default: simulated({ initial: 2 }) } });
  const simulation = createSimulation(given());
  expect(() => simulation.result()).toThrow(RangeError);
  const times: number[] = [];
  while (simulation.step(100)) times.push(simulation.nowMs);
  expect(times.length).toBeGreaterThan(20);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(simulation.result()).toEqual(simulate(given()));
});

it.each([
  ["a pool without an entry", { pools: {} }, /pool default .* has no entry/],
  ["an entry without a pool", { pools: { default: simulated(), x: simulated() } }, /pools\.x is no pool/],
  ["a split before the warm-up", { warmupMs: 10, splitMs: 5 }, /splitMs \(5\)/],
  ["decode without prefill", { endpoint: endpoint([pool({ role: "decode" })]) }, /prefill and decode pools together/],
  ["half a replica", { pools: { default: simulated({ initial: 0.5 }) } }, /initial \(0\.5\)/],
])("refuses %s", (_, over, message) => {
  expect(() => createSimulation(options({ trace: [], ...over }))).toThrow(message);
});

it("a trace of nothing costs what stands around", () => {
  expect(simulate(options({ trace: [] })).whole).toMatchObject({ gpuHours: 0, attainment: null, toMs: 0 });
  const { whole, minutes } = simulate(options({ trace: [], durationMs: 150_000 }));
  expect(whole).toMatchObject({ gpuHours: expect.closeTo(150 / 3600, 9), attainment: null, ttft: { count: 0, p50Ms: null } });
  expect(minutes.attainment).toEqual([null, null, null]);
});

it("refuses rows out of order", () => {
  expect(() => simulate(options({ trace: [row(10), row(5)] }))).toThrow(/row 2 arrives at 5 ms/);
});

it("decides for an endpoint by its own policy, and acts on nothing in a dry run", () => {
  const at: Endpoint = { ...endpoint(), policy: { kind: "static", replicas: { default: 5 } } };
  const run = (dryRun: boolean) => {
    const { policy: _, ...rest } = options({ trace: [row(0)], durationMs: 600_000 });
    return simulate({ ...rest, endpoint: { ...at, dryRun } });
  };
  expect(run(false).pools["default"]?.born).toBe(5);
  expect(run(true).pools["default"]?.born).toBe(1);
});

it("the n-th replica has the same luck under every policy, and another under another seed", () => {
  const starts = (seed: number, script: Parameters<typeof scripted>[0]) => {
    const seen: Observation[] = [];
    simulate(
      options({
        trace: [row(0)],
        seed,
        durationMs: 900_000,
        pools: { default: simulated({ coldStart: { total: { medianMs: 60_000, sigma: 0.5 } } }) },
        policy: scripted(script, {}, seen),
      }),
    );
    return (seen.at(-1)?.replicas ?? []).slice(1, 4).map(({ entered }) => (entered.ready ?? 0) - (entered.starting ?? 0));
  };
  const atOnce = starts(1, [[100_000, to(4)]]);
  const oneByOne = starts(1, [
    [50_000, to(2)],
    [200_000, to(3)],
    [300_000, to(4)],
  ]);
  const rounded = (all: readonly number[]) => all.map((ms) => Math.round(ms * 1000));
  expect(rounded(oneByOne)).toEqual(rounded(atOnce));
  expect(new Set(rounded(atOnce)).size).toBe(3);
  expect(rounded(starts(2, [[100_000, to(4)]]))).not.toEqual(rounded(atOnce));
});
