import fc from "fast-check";
import { expect, it } from "vitest";
import type { Observation, Want } from "../model/index.ts";
import { ROUTINGS } from "../routing/index.ts";
import { type Fault, type SimulationOptions, simulate } from "./index.ts";
import { endpoint, options, pool, profile, scripted, simulated, to } from "./world.fixture.ts";

const rows = fc
  .array(
    fc.record({
      gapMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20_000 })),
      promptTokens: fc.integer({ min: 1, max: 6_000 }),
      outputTokens: fc.integer({ min: 1, max: 600 }),
      prefixHitTokens: fc.integer({ min: 0, max: 500 }),
      sessionId: fc.constantFrom("a", "b", "c"),
    }),
    { minLength: 1, maxLength: 150, size: "large" },
  )
  .map((gaps) => {
    let arrivalMs = 0;
    return gaps.map(({ gapMs, prefixHitTokens, ...rest }) => {
      arrivalMs += gapMs;
      return { arrivalMs, ...rest, prefixHitTokens: Math.min(prefixHitTokens, rest.promptTokens) };
    });
  });
const atMs = fc.integer({ min: 0, max: 400_000 });
const share = fc.constantFrom(0.3, 1);
const fault = fc.oneof<fc.Arbitrary<Fault>[]>(
  fc.record({ kind: fc.constant("crash"), atMs, share }),
  fc.record({ kind: fc.constant("crashes"), meanMs: fc.integer({ min: 30_000, max: 500_000 }) }),
  fc.record({ kind: fc.constant("hang"), atMs, share, forMs: fc.integer({ min: 1, max: 90_000 }) }),
  fc.record({ kind: fc.constant("stock-out"), fromMs: atMs, toMs: fc.constant(500_000), most: fc.nat(3) }),
  fc.record({ kind: fc.constant("spot-notice"), atMs, share, noticeMs: fc.integer({ min: 0, max: 120_000 }) }),
  fc.record({ kind: fc.constant("rollout"), atMs, surge: fc.integer({ min: 1, max: 3 }) }),
);
const script = fc
  .array(fc.tuple(atMs, fc.nat(5), fc.nat(2)), { maxLength: 8 })
  .map((steps) =>
    steps.sort(([a], [b]) => a - b).map(([ms, replicas, standby]): readonly [number, Want] => [ms, to(replicas, { standby })]),
  );

const world = fc.record({
  rows,
  script,
  faults: fc.array(fault, { maxLength: 3 }),
  routing: fc.constantFrom(...ROUTINGS),
  split: fc.boolean(),
  nodes: fc.constantFrom(null, { gpusPerNode: 2, idleMs: 60_000 }),
  kvCapacityTokens: fc.constantFrom(7_000, 20_000, profile.kvCapacityTokens),
  maxNumSeqs: fc.constantFrom(2, 32),
  patienceMs: fc.constantFrom(null, 30_000),
  speedSigma: fc.constantFrom(0, 0.5),
  coldMs: fc.constantFrom(0, 1, 90_000),
  initial: fc.nat(3),
});
type World = typeof world extends fc.Arbitrary<infer W> ? W : never;

function optionsOf(of: World, seen: Observation[]): SimulationOptions {
  const { split, kvCapacityTokens, maxNumSeqs } = of;
  const one = simulated({
    coldStart: { total: of.coldMs, wake: of.coldMs / 10 },
    initial: of.initial,
    nodes: of.nodes,
    speedSigma: of.speedSigma,
  });
  const sim = { ...one, engine: { ...one.engine, kvCapacityTokens, maxNumSeqs } };
  const base = endpoint(split ? [pool({ name: "p", role: "prefill" }), pool({ name: "d", role: "decode" })] : [pool()]);
  return options({
    endpoint: { ...base, gateway: { ...base.gateway, maxHeld: 20, holdTimeoutMs: 60_000, upstreamTimeoutMs: 100_000 } },
    trace: of.rows,
    pools: split ? { p: sim, d: sim } : { default: sim },
    policy: scripted(of.script, { wakesOn: ["replica", "held"] }, seen),
    faults: of.faults,
    routing: of.routing,
    patienceMs: of.patienceMs,
    durationMs: 600_000,
    allSeries: of.rows.length % 8 === 0,
  });
}

it("in any world every request ends once, tokens add up, the KV cache holds what it can and every replica-hour is paid", () => {
  fc.assert(
    fc.property(world, (of) => {
      const seen: Observation[] = [];
      const { whole, pools, engine, minutes } = simulate(optionsOf(of, seen));
      const { arrived, completed, failed, cancelled, rejected, open } = whole.requests;
      const within = of.rows.filter(({ arrivalMs }) => arrivalMs <= 600_000);
      expect(arrived).toBe(within.length);
      expect(completed + failed + cancelled + rejected + open).toBe(arrived);
      expect(whole.promptTokens).toBe(within.reduce((sum, row) => sum + row.promptTokens, 0));
      expect(minutes.arrivals.reduce((sum, count) => sum + count, 0)).toBe(arrived);

      for (const { kvPeak } of Object.values(pools)) expect(kvPeak).toBeLessThanOrEqual(1);

      // Without loss every token of every answer was made once, and none else.
      if (failed + cancelled + rejected + open === 0 && whole.retries === 0)
        expect(engine.genTokens).toBe(within.reduce((sum, row) => sum + row.outputTokens, 0));
      expect(engine.genTokens).toBeGreaterThanOrEqual(whole.outputTokens);

      const gpuSeconds = whole.gpuHours * 3600;
      expect(gpuSeconds + 1e-6).toBeGreaterThanOrEqual(whole.readyMean * 600);
      expect(whole.cost).toBeCloseTo(whole.gpuHours * 2, 9);
      for (const one of seen) {
        for (const [name, status] of Object.entries(one.pools)) {
          const up = one.replicas.filter(({ pool: of, state }) => of === name && (state === "ready" || state === "starting"));
          expect(status.reported).toBe(up.length);
        }
        expect(new Set(one.replicas.map(({ id }) => id)).size).toBe(one.replicas.length);
        for (const series of one.series) expect(series.latest === null || series.latest.atMs <= one.nowMs).toBe(true);
      }
    }),
    { numRuns: 80 },
  );
}, 60_000);

it("the same options give the same bytes", () => {
  fc.assert(
    fc.property(world, (of) => {
      const [first, second]: [Observation[], Observation[]] = [[], []];
      const bytes = JSON.stringify(simulate(optionsOf(of, first)));
      expect(JSON.stringify(simulate(optionsOf(of, second)))).toBe(bytes);
      expect(JSON.stringify(second)).toBe(JSON.stringify(first));
    }),
    { numRuns: 15 },
  );
}, 60_000);
