import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool, ready, series } from "../../plant.fixture.ts";
import { kpaDialect, kpaPolicy, parseAnnotations } from "./index.ts";
import { loadBySecond } from "./load.ts";
import { codesOf, type Look, slotAt, type WorldOptions, world } from "./world.fixture.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const manifestOf = (annotations: Readonly<Record<string, string>> = {}, spec: Manifest["spec"] = {}): Manifest => ({
  name: "llama",
  namespace: "default",
  annotations: Object.fromEntries(Object.entries(annotations).map(([name, value]) => [`autoscaling.knative.dev/${name}`, value])),
  spec: { containerConcurrency: 0, ...spec },
});
const endpoint = endpointOf({ kind: "kpa", manifest: manifestOf() }, [pool({ max: 100 })]);
/** Ten requests at once a replica. */
const TEN = { target: "10", "target-utilization-percentage": "100" };
const run = (annotations: Readonly<Record<string, string>>, options: WorldOptions) =>
  world(kpaPolicy(endpoint, manifestOf(annotations)), options);

describe("a revision's life", () => {
  it("starts with its initial scale, or with its minimum where that is larger", () => {
    const first = run({}, {}).look();
    expect(first.after).toBe(1);
    expect(codesOf(first)).toContain("first-start");
    expect(run({ "initial-scale": "3" }, {}).look().after).toBe(3);
    expect(run({ "initial-scale": "3", "min-scale": "5" }, {}).look().after).toBe(5);
    expect(run({ "initial-scale": "3", "max-scale": "2" }, {}).look().after).toBe(2);
  });

  it("ticks every two seconds, whatever else it looks at in between", () => {
    const fleet = run(TEN, { replicas: 1, inFlight: () => 5 });
    const looks = fleet.run(20 * SECOND);
    expect(looks.map(({ atMs }) => (atMs - (looks[0]?.atMs ?? 0)) / SECOND)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  });

  it("wants load / target replicas once the stable window has seen the load", () => {
    const fleet = run(TEN, { replicas: 1, inFlight: () => 35 });
    fleet.run(2 * MINUTE);
    expect(fleet.wanted).toBe(4);
  });

  it("panics on a burst, does not shrink in it, and lets go a stable window later", () => {
    const start = 1_000_000_000_000;
    const burst = (atMs: number) => (atMs >= start + 2 * MINUTE && atMs < start + 2 * MINUTE + 10 * SECOND ? 100 : 10);
    const fleet = run(TEN, { startMs: start, replicas: 1, inFlight: burst });
    fleet.run(2 * MINUTE);
    expect(fleet.wanted).toBe(1);
    const during = fleet.run(30 * SECOND);
    expect(Math.max(...during.map(({ after }) => after))).toBe(10);
    expect(codesOf(during.at(-1) as Look)).toContain("panic");
    expect(fleet.wanted).toBe(10);
    fleet.run(30 * SECOND);
    expect(fleet.wanted).toBe(10);
    fleet.run(2 * MINUTE);
    expect(fleet.wanted).toBe(1);
  });

  it("shrinks by no more than half a tick", () => {
    const start = 1_000_000_000_000;
    const fleet = run(TEN, { startMs: start, replicas: 1, inFlight: (atMs) => (atMs < start + 3 * MINUTE ? 320 : 1) });
    fleet.run(3 * MINUTE);
    expect(fleet.wanted).toBe(32);
    const counts = fleet.run(3 * MINUTE).map(({ before, after }) => after / before);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(0.5);
    expect(fleet.wanted).toBe(1);
  });

  it("starts in panic with several replicas ready, so that a restart does not shrink the fleet", () => {
    const fleet = run(TEN, { replicas: 8, inFlight: () => 5 });
    const first = fleet.run(55 * SECOND);
    expect(first.every(({ after }) => after === 8)).toBe(true);
    fleet.run(MINUTE);
    expect(fleet.wanted).toBe(1);
  });

  it("keeps the largest count of the scale-down delay", () => {
    const start = 1_000_000_000_000;
    const inFlight = (atMs: number) => (atMs < start + 2 * MINUTE ? 40 : 5);
    const fleet = run({ ...TEN, "scale-down-delay": "5m", "min-scale": "1" }, { startMs: start, replicas: 1, inFlight });
    const last = fleet.run(6 * MINUTE).at(-1) as Look;
    expect(fleet.wanted).toBe(4);
    expect(codesOf(last)).toContain("delayed");
    // The rates hold inside the delay: half of the ready replicas a time.
    fleet.run(3 * MINUTE);
    expect(fleet.wanted).toBe(2);
    fleet.run(6 * MINUTE);
    expect(fleet.wanted).toBe(1);
  });
});

describe("zero", () => {
  const start = 1_000_000_000_000;
  const until = (ms: number) => (atMs: number) => (atMs < start + ms ? 5 : 0);
  /** After so many seconds without a request it had gone, on the policy's own clock. */
  const gone = (annotations: Readonly<Record<string, string>>, options: Partial<WorldOptions> = {}) => {
    const fleet = run({ ...TEN, ...annotations }, { startMs: start, replicas: 1, inFlight: until(2 * MINUTE), ...options });
    const zero = fleet.run(20 * MINUTE).find(({ after }) => after === 0);
    return zero === undefined ? null : (zero.atMs - start - 2 * MINUTE) / SECOND;
  };

  it("comes a stable window after the last request, the activator being in the path already", () => {
    expect(gone({})).toBeGreaterThanOrEqual(60);
    expect(gone({})).toBeLessThanOrEqual(66);
  });

  it("waits for the grace period where the activator has to come into the path first", () => {
    expect(gone({ "target-burst-capacity": "0" })).toBeGreaterThanOrEqual(90);
    expect(gone({ "target-burst-capacity": "0" })).toBeLessThanOrEqual(96);
  });

  it("waits for the pod retention period where that is longer", () => {
    expect(gone({ "scale-to-zero-pod-retention-period": "5m" })).toBeGreaterThanOrEqual(360);
    expect(gone({ "scale-to-zero-pod-retention-period": "5m" })).toBeLessThanOrEqual(366);
  });

  it("never comes with a minimum", () => {
    expect(gone({ "min-scale": "1" })).toBeNull();
  });

  it("ends at once on a held request, with the activation scale", () => {
    for (const [annotations, count] of [
      [{}, 1],
      [{ "activation-scale": "3" }, 3],
    ] as const) {
      const fleet = run({ ...TEN, ...annotations }, { startMs: start, replicas: 1, inFlight: until(MINUTE), coldStartMs: MINUTE });
      fleet.run(6 * MINUTE);
      expect(fleet.wanted).toBe(0);
      expect(fleet.look("held")).toMatchObject({ before: 0, after: count });
      fleet.run(50 * SECOND);
      expect(fleet.wanted).toBe(count);
    }
  });

  it("follows a failed activation, after the progress deadline", () => {
    const fleet = run({ ...TEN }, { startMs: start, replicas: 0, inFlight: () => 0, coldStartMs: 100 * MINUTE });
    fleet.look();
    expect(fleet.wanted).toBe(1);
    fleet.run(5 * MINUTE);
    expect(fleet.wanted).toBe(1);
  });
});

describe("what is not known", () => {
  it("holds the count for as long as nobody reports", () => {
    const start = 1_000_000_000_000;
    const inFlight = (atMs: number) => (atMs < start + 2 * MINUTE ? 80 : null);
    const fleet = run({ ...TEN, window: "30s" }, { startMs: start, replicas: 1, inFlight });
    fleet.run(2 * MINUTE);
    expect(fleet.wanted).toBe(8);
    const blind = fleet.run(30 * MINUTE);
    expect(blind.every(({ after }) => after === 8)).toBe(true);
    expect(codesOf(blind.at(-1) as Look)).toContain("no-data");
  });

  it("does not shrink a fleet that it finds running, be it ready or still starting", () => {
    for (const coldStartMs of [0, 10 * MINUTE]) {
      const fleet = run({ ...TEN, "min-scale": "1" }, { replicas: 6, coldStartMs });
      expect(fleet.run(5 * MINUTE).every(({ after }) => after === 6)).toBe(true);
    }
  });

  it("holds where the platform does not say how many replicas there are", () => {
    const fleet = run(TEN, { replicas: 4, inFlight: () => 0 });
    fleet.run(2 * MINUTE);
    expect(fleet.look("tick", { pools: {} }).decision.wants).toEqual({ default: { kind: "hold" } });
  });
});

describe("load from series", () => {
  const nowMs = 1_000_000;
  const from = nowMs - 3 * SECOND;
  const read = (list: Parameters<typeof observation>[0]["series"], ids: readonly string[]) =>
    loadBySecond(endpoint, "concurrency", observation({ nowMs, series: list ?? [], replicas: ids.map((id) => ready(id)) }), ids, from);
  const one = (id: string, running: number, waiting: number) => [
    series("running", id, running, nowMs - 1_000),
    series("waiting", id, waiting, nowMs - 1_000),
  ];

  it("takes what engines run and queue, summed over replicas, for every second since", () => {
    expect(read([...one("a", 3, 1), ...one("b", 2, 0)], ["a", "b"]).map(({ value }) => value)).toEqual([6, 6, 6]);
  });
  it("prefers the endpoint's own number", () => {
    expect(read([series("in_flight", null, 9, nowMs), ...one("a", 3, 1)], ["a"]).map(({ value }) => value)).toEqual([9, 9, 9]);
  });
  it("says nothing of few replicas of which one is silent", () => {
    expect(read(one("a", 3, 1), ["a", "b"])).toEqual([]);
    expect(read([series("running", "a", 3, nowMs)], ["a"])).toEqual([]);
  });
  it("lets a large enough sample of replicas stand for all", () => {
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
    const answering = ids.slice(0, 10).flatMap((id) => one(id, 2, 0));
    expect(read(answering, ids).map(({ value }) => value)).toEqual([40, 40, 40]);
    expect(read(answering.slice(4), ids)).toEqual([]);
  });
  it("counts a stale reading as none", () => {
    expect(read([series("in_flight", null, 9, nowMs - 5 * MINUTE)], [])).toEqual([]);
  });
  it("reads another signal where the endpoint names one", () => {
    const mapped = { ...endpoint, metrics: { concurrency: "running" } };
    const seen = observation({ nowMs, series: one("a", 3, 7), replicas: [ready("a")], slots: [slotAt(from, 50)] });
    expect(loadBySecond(mapped, "concurrency", seen, ["a"], from).map(({ value }) => value)).toEqual([3, 3, 3]);
  });
});

describe("annotations", () => {
  const parse = (name: string, value: string) => parseAnnotations({ [`autoscaling.knative.dev/${name}`]: value });
  it.each([
    ["target", "0.001"],
    ["target-utilization-percentage", "0"],
    ["target-burst-capacity", "-2"],
    ["window", "5s"],
    ["window", "2h"],
    ["window", "10500ms"],
    ["panic-window-percentage", "101"],
    ["panic-threshold-percentage", "100"],
    ["scale-down-delay", "61m"],
    ["scale-down-delay", "60"],
    ["min-scale", "-1"],
    ["max-scale", "1.5"],
    ["activation-scale", "1"],
    ["metric", "cpu"],
    ["metric-aggregation-algorithm", "median"],
    ["min-scales", "1"],
  ])("refuses %s: %s", (name, value) => {
    expect(parse(name, value).issues).toHaveLength(1);
  });
  it("reads the older spelling, and prefers the present one", () => {
    expect(parse("minScale", "2").values).toEqual({ minScale: 2 });
    expect(parseAnnotations({ "autoscaling.knative.dev/minScale": "2", "autoscaling.knative.dev/min-scale": "3" }).values).toEqual({
      minScale: 3,
    });
  });
});

it("gives and takes bounds; a maximum of 0 is none", () => {
  expect(kpaDialect.bounds(manifestOf({}))).toEqual({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const narrowed = kpaDialect.withBounds(manifestOf({ "max-scale": "9" }), { min: 1, max: 4 });
  expect(kpaDialect.bounds(narrowed)).toEqual({ min: 1, max: 4 });
  expect(kpaDialect.bounds(kpaDialect.withBounds(narrowed, { min: 2, max: Number.MAX_SAFE_INTEGER }))).toEqual({
    min: 2,
    max: Number.MAX_SAFE_INTEGER,
  });
});

describe("for any load", () => {
  const loads = fc.array(fc.option(fc.integer({ min: 0, max: 400 })), { minLength: 5, maxLength: 60 });
  const start = 1_000_000_000_000;
  /** One value for each six seconds. */
  const curve = (values: readonly (number | null)[]) => (atMs: number) =>
    values[Math.min(values.length - 1, Math.floor((atMs - start) / (6 * SECOND)))] as number | null;

  it("keeps to the bounds and to its rates from tick to tick", () => {
    fc.assert(
      fc.property(loads, fc.integer({ min: 2, max: 12 }), (values, first) => {
        const fleet = run({ ...TEN, "min-scale": "2", "max-scale": "12" }, { startMs: start, replicas: first, inFlight: curve(values) });
        for (const { before, after, ready } of fleet.run(values.length * 6 * SECOND)) {
          expect(after).toBeGreaterThanOrEqual(2);
          expect(after).toBeLessThanOrEqual(12);
          if (after < before) expect(after).toBeGreaterThanOrEqual(Math.floor(ready / 2));
        }
      }),
      { numRuns: 40 },
    );
  });

  it("wants no less for more load, all replicas being there", () => {
    const wantedAt = (load: number, replicas: number) => {
      const fleet = run(TEN, { startMs: start, replicas, inFlight: () => load });
      fleet.run(10 * SECOND);
      return fleet.wanted;
    };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.nat(300), fc.nat(300), (replicas, a, b) => {
        expect(wantedAt(Math.max(a, b), replicas)).toBeGreaterThanOrEqual(wantedAt(Math.min(a, b), replicas));
      }),
      { numRuns: 60 },
    );
  });

  it("decides the same whatever the order of replicas and series, and whatever else is reported", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 2, maxLength: 8 }), fc.nat(), (values, turn) => {
        const ids = values.map((_, index) => `r${index}`);
        const rotated = <T>(list: readonly T[]) => [...list.slice(turn % list.length), ...list.slice(0, turn % list.length)];
        const decide = (order: <T>(list: readonly T[]) => readonly T[], noise: readonly ReturnType<typeof series>[]) => {
          const policy = kpaPolicy(endpoint, manifestOf(TEN));
          let state = policy.start(observation({ nowMs: start, replicas: ids.map((id) => ready(id)) }));
          let last: unknown;
          for (let tick = 1; tick <= 5; tick++) {
            const nowMs = start + tick * 2 * SECOND;
            const engines = ids.flatMap((id, at) => [
              series("running", id, values[at] as number, nowMs),
              series("waiting", id, 0.1, nowMs),
            ]);
            const seen = { nowMs, replicas: order(ids).map((id) => ready(id)), series: [...noise, ...order(engines)] };
            const next = policy.decide(state, observation(seen));
            state = next.state;
            last = next.decision;
          }
          return last;
        };
        const noise = [series("running", "stranger", 99, start + 2_000), series("kv_used", "r0", 0.5, start + 2_000)];
        expect(decide(rotated, noise)).toEqual(decide((list) => list, []));
      }),
      { numRuns: 40 },
    );
  });
});
