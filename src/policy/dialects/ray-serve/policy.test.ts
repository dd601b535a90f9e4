import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Endpoint, Json, Manifest, Observation, Policy, Pool, Replica, Series } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool, ready, series, starting } from "../../plant.fixture.ts";
import { AUTOSCALING_DEFAULTS, type AutoscalingConfig, rayServeDialect, rayServePolicy } from "./index.ts";
import { AGGREGATE_ANNOTATION, RAY_VERSION_ANNOTATION } from "./policy.ts";

const START = 1_700_000_000_000;
const WATCHED = endpointOf({ kind: "static", replicas: {} });

const autoscaled = (config: Partial<AutoscalingConfig>, deployment: { readonly [key: string]: Json } = {}): Manifest => ({
  name: "llm",
  namespace: "default",
  spec: {
    applications: [
      {
        name: "default",
        import_path: "app:main",
        deployments: [{ name: "Model", autoscaling_config: { ...AUTOSCALING_DEFAULTS, ...config } as unknown as Json, ...deployment }],
      },
    ],
  },
});

interface Moment {
  readonly atMs: number;
  /** Running and waiting on each replica that is ready. */
  readonly load: readonly number[];
  readonly held?: number;
  readonly more?: readonly Replica[];
  readonly series?: readonly Series[];
  readonly cause?: Observation["cause"];
  readonly wanted?: number;
}
let seq = 0;
function observe({ atMs, load, held = 0, more = [], series: extra = [], cause = "tick", wanted }: Moment): Observation {
  return observation({
    seq: ++seq,
    nowMs: atMs,
    cause,
    wanted: wanted ?? load.length + more.length,
    replicas: [...load.map((_, at) => ready(`r${at}`, START)), ...more],
    series: [
      series("held", null, held, atMs),
      ...load.flatMap((ongoing, at) => [series("running", `r${at}`, ongoing, atMs), series("waiting", `r${at}`, 0, atMs)]),
      ...extra,
    ],
  });
}

/** A policy whose state goes through text at every step, as a restart would put it. */
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

/**
 * Follows `nextAtMs`, or ticks by `tickMs`, with instant replicas.
 * @returns when and to what the count changed, in ms since START, and after how many decisions
 */
function run(policy: Policy<Json>, untilMs: number, load: (atMs: number, replicas: number) => number, from: number, tickMs?: number) {
  const step = loop(policy);
  const changes: [number, number][] = [];
  let [atMs, replicas, decisions] = [START, from, 0];
  while (atMs <= START + untilMs) {
    const total = load(atMs - START, replicas);
    const decision = step(
      observe({ atMs, load: Array.from({ length: replicas }, () => total / replicas), held: replicas === 0 ? total : 0 }),
    );
    decisions++;
    const count = countOf(decision) as number;
    if (count !== replicas) changes.push([atMs - START, count]);
    replicas = count;
    expect(decision.nextAtMs).toBeGreaterThan(atMs);
    atMs = tickMs === undefined ? decision.nextAtMs : atMs + tickMs;
  }
  return { changes, decisions };
}

describe("a deployment of 1 to 10 with Ray's own delays", () => {
  const manifest = autoscaled({ max_replicas: 10 });

  it("rises exactly upscale_delay_s after the report that says so, without a decision per tick", () => {
    const { changes, decisions } = run(rayServePolicy(WATCHED, manifest), 60_000, () => 12, 1);
    expect(changes).toEqual([[30_000, 6]]);
    expect(decisions).toBeLessThan(25);
  });

  it("falls after downscale_delay_s, and averages over the look-back first", () => {
    const { changes } = run(rayServePolicy(WATCHED, manifest), 1_300_000, (atMs) => (atMs < 100_000 ? 12 : 0), 6);
    // The report at 110 s is the first with a quiet sample in it: 6 × 4/5 wanted.
    expect(changes).toEqual([[710_000, 1]]);
  });

  it("says each stage in a sentence with its numbers", () => {
    const step = loop(rayServePolicy(WATCHED, manifest));
    const decision = step(observe({ atMs: START, load: [12] }));
    expect(codes(decision)).toEqual(["requests", "delay", "desired"]);
    expect(decision.steps.map(({ text }) => text)).toEqual([
      "12 requests queued or running on 1 replica against 2 each: 6 wanted.",
      "Going up from 1 to 6 waits until that has been so for 30 s; it has been for 0 s.",
      "The target stays at 1.",
    ]);
    expect(decision.nextAtMs).toBe(START + 6_000);
  });

  it("fires a delay at the loop's tick, not at the next sample", () => {
    const quick = autoscaled({ max_replicas: 10, upscale_delay_s: 1.25 });
    expect(run(rayServePolicy(WATCHED, quick), 5_000, () => 12, 1).changes).toEqual([[1_300, 6]]);
  });
});

describe("zero", () => {
  const manifest = autoscaled({ min_replicas: 0, max_replicas: 10, downscale_delay_s: 60, downscale_to_zero_delay_s: 20 });

  it("is reached by way of one, each step after its own delay", () => {
    const { changes } = run(rayServePolicy(WATCHED, manifest), 200_000, () => 0, 4);
    expect(changes).toEqual([
      [60_000, 1],
      [80_100, 0],
    ]);
  });

  it("is left at once for a held request, to ceil(upscaling_factor)", () => {
    const step = loop(rayServePolicy(WATCHED, autoscaled({ min_replicas: 0, max_replicas: 10, upscaling_factor: 2.5 })));
    expect(countOf(step(observe({ atMs: START, load: [] })))).toBe(0);
    const woken = step(observe({ atMs: START + 3_000, load: [], cause: "held" }));
    expect(countOf(woken)).toBe(3);
    expect(codes(woken)).toEqual(["cold-start", "desired"]);
    expect(rayServePolicy(WATCHED, manifest).wakesOn).toContain("held");
  });

  it("stays what it was while the first replicas start: nothing runs, so nothing compounds", () => {
    const step = loop(rayServePolicy(WATCHED, autoscaled({ min_replicas: 2, max_replicas: 10, upscaling_factor: 10 })));
    for (let tick = 0; tick < 50; tick++) {
      expect(countOf(step(observe({ atMs: START + tick * 10_000, load: [], more: [starting("a"), starting("b")] })))).toBe(2);
    }
  });
});

describe("where a deployment starts", () => {
  it.each([
    { rule: "at min_replicas from nothing", config: { min_replicas: 3, max_replicas: 10 }, wanted: 0, count: 3 },
    { rule: "where it is, inside the bounds", config: { min_replicas: 3, max_replicas: 10 }, wanted: 5, count: 5 },
    { rule: "at initial_replicas", config: { min_replicas: 1, initial_replicas: 4, max_replicas: 10 }, wanted: 0, count: 4 },
    { rule: "at max_replicas from above", config: { min_replicas: 1, max_replicas: 10 }, wanted: 12, count: 10 },
  ])("$rule", ({ config, wanted, count }) => {
    const blind = observation({ nowMs: START, wanted });
    expect(countOf(loop(rayServePolicy(WATCHED, autoscaled(config)))(blind))).toBe(count);
  });

  it("starts again at initial_replicas when its config changes, and keeps its target otherwise", () => {
    const before = rayServePolicy(WATCHED, autoscaled({ initial_replicas: 4, max_replicas: 10 }));
    const { state } = before.decide(before.start(observe({ atMs: START, load: [] })), observe({ atMs: START, load: [1, 1] }));
    const changedTo = (config: Partial<AutoscalingConfig>) =>
      countOf(rayServePolicy(WATCHED, autoscaled(config)).decide(state, observe({ atMs: START + 100, load: [1, 1] })).decision);
    expect(changedTo({ initial_replicas: 4, max_replicas: 10 })).toBe(4);
    expect(changedTo({ initial_replicas: 6, max_replicas: 10 })).toBe(6);
    expect(changedTo({ max_replicas: 3 })).toBe(3);
  });
});

describe("readings", () => {
  const manifest = autoscaled({
    min_replicas: 0,
    max_replicas: 10,
    upscale_delay_s: 0,
    downscale_delay_s: 0,
    downscale_to_zero_delay_s: 0,
  });

  it("holds while nobody says how many requests there are", () => {
    const step = loop(rayServePolicy(WATCHED, manifest));
    step(observe({ atMs: START, load: [4, 4, 4] }));
    for (let atMs = START + 60_000; atMs < START + 600_000; atMs += 10_000) {
      const decision = step(observation({ nowMs: atMs, replicas: [0, 1, 2].map((at) => ready(`r${at}`)) }));
      expect(countOf(decision)).toBe(6);
      expect(codes(decision)).toEqual(["no-data"]);
    }
  });

  it("does not fall, but may rise, on what only some replicas say", () => {
    const two: Endpoint = { ...WATCHED, pools: [pool({ name: "Model" }), pool({ name: "other" })] };
    const mute = (load: readonly number[], atMs: number): Observation => ({
      ...observe({ atMs, load, more: [ready("mute")] }),
      replicas: [...load.map((_, at) => `r${at}`), "mute"].map((id) => ready(id, START, { pool: "Model" })),
      pools: { Model: { wanted: load.length + 1, reported: load.length + 1, otherWriter: false } },
    });
    const falls = loop(rayServePolicy(two, manifest))(mute([0, 0], START));
    expect(countOf(falls, "Model")).toBe(3);
    expect(codes(falls)).toContain("partial");
    expect(countOf(loop(rayServePolicy(two, manifest))(mute([8, 8], START)), "Model")).toBe(8);
  });

  it("takes the endpoint's own count where the engines say nothing", () => {
    const seen = observation({ nowMs: START, replicas: [ready("a")], series: [series("in_flight", null, 9, START)] });
    expect(countOf(loop(rayServePolicy(WATCHED, manifest))(seen))).toBe(5);
  });

  it("maps Ray's gauges to other signals", () => {
    const mapped = rayServePolicy({ ...WATCHED, metrics: { ongoing_requests: "running" } }, manifest);
    const seen = observation({ nowMs: START, replicas: [ready("a")], series: [series("running", "a", 7, START)] });
    expect(countOf(loop(mapped)(seen))).toBe(4);
  });

  it("counts a replica that came midway by its share of the samples", () => {
    const step = loop(rayServePolicy(WATCHED, autoscaled({ max_replicas: 20, upscale_delay_s: 0, metrics_interval_s: 6 })));
    step(observe({ atMs: START, load: [2] }));
    const joined = step(observe({ atMs: START + 6_000, load: [2, 8] }));
    expect(joined.steps[0]?.numbers["requests"]).toBe(6);
  });

  it("totals raw series at the controller where the cluster is told to", () => {
    const at = (annotations: Record<string, string>) => {
      const step = loop(
        rayServePolicy(WATCHED, {
          ...autoscaled({ max_replicas: 20, upscale_delay_s: 0, metrics_interval_s: 6, aggregation_function: "max" }),
          annotations,
        }),
      );
      step(observe({ atMs: START, load: [20] }));
      return step(observe({ atMs: START + 6_000, load: [2] })).steps[0]?.numbers["requests"];
    };
    expect(at({})).toBe(11);
    expect(at({ [AGGREGATE_ANNOTATION]: "1" })).toBe(20);
    expect(at({ [RAY_VERSION_ANNOTATION]: "2.60.0" })).toBe(20);
  });

  it("asks again when the drifting mean crosses the target", () => {
    const manifest = {
      ...autoscaled({ max_replicas: 20, upscale_delay_s: 0, downscale_delay_s: 0, look_back_period_s: 60, metrics_interval_s: 30 }),
      annotations: { [AGGREGATE_ANNOTATION]: "1" },
    };
    const step = loop(rayServePolicy(WATCHED, manifest));
    step(observe({ atMs: START, load: [4] }));
    step(observe({ atMs: START + 12_000, load: [4] }));
    const rise = step(observe({ atMs: START + 30_000, load: [10] }));
    // 4 for 30 s and then 10: more than 4 is needed from the next tick on.
    expect(rise.nextAtMs).toBe(START + 30_100);
    expect(countOf(step(observe({ atMs: rise.nextAtMs, load: [10] })))).toBe(3);
  });
});

it("a queue of tasks counts like requests", () => {
  const policy = {
    policy_function: "ray.serve.async_inference_autoscaling_policy:AsyncInferenceAutoscalingPolicy",
    policy_kwargs: { queue_name: "tasks" },
  };
  const manifest = autoscaled({ min_replicas: 0, max_replicas: 10, upscale_delay_s: 0, policy });
  const queue = (length: number) => [series("tasks", null, length, START)];
  expect(countOf(loop(rayServePolicy(WATCHED, manifest))(observe({ atMs: START, load: [2], series: queue(7) })))).toBe(5);
  expect(countOf(loop(rayServePolicy(WATCHED, manifest))(observe({ atMs: START, load: [], series: queue(7) })))).toBe(1);
  expect(codes(loop(rayServePolicy(WATCHED, manifest))(observe({ atMs: START, load: [2] })))).toEqual(["no-data"]);
});

describe("counts that the config states otherwise", () => {
  const only = (deployment: { readonly [key: string]: Json }, more: { readonly [key: string]: Json } = {}, application = {}): Manifest => ({
    name: "llm",
    namespace: "default",
    spec: { ...more, applications: [{ name: "default", deployments: [{ name: "Model", ...deployment }], ...application }] },
  });
  const count = (manifest: Manifest) => countOf(loop(rayServePolicy(WATCHED, manifest))(observe({ atMs: START, load: [99] })));

  it("keeps a fixed number, scaled by the target capacity", () => {
    expect(count(only({ num_replicas: 4 }))).toBe(4);
    expect(count(only({ num_replicas: 5 }, { target_capacity: 50 }))).toBe(3);
    expect(count(only({ num_replicas: 5 }, { target_capacity: 0 }))).toBe(0);
  });

  it("leaves to others what is scaled from outside, or by the Python code", () => {
    expect(count(only({ num_replicas: 4 }, {}, { external_scaler_enabled: true }))).toBeUndefined();
    expect(count(only({ max_ongoing_requests: 4 }))).toBeUndefined();
  });

  it("starts at initial_replicas of a capacity that grows, and does not fall below", () => {
    const config = { ...AUTOSCALING_DEFAULTS, initial_replicas: 8, max_replicas: 20, downscale_delay_s: 0 } as unknown as Json;
    const step = loop(rayServePolicy(WATCHED, only({ autoscaling_config: config }, { target_capacity: 50 })));
    for (let atMs = START; atMs < START + 100_000; atMs += 10_000) expect(countOf(step(observe({ atMs, load: [0, 0] })))).toBe(4);
  });

  it("moves whole gangs", () => {
    const manifest = autoscaled({ min_replicas: 4, max_replicas: 16, upscale_delay_s: 0 }, { gang_scheduling_config: { gang_size: 4 } });
    expect(countOf(loop(rayServePolicy(WATCHED, manifest))(observe({ atMs: START, load: [4, 4, 4, 4] })))).toBe(8);
  });
});

describe("Ray Serve LLM", () => {
  const llm = (id: string, over: { readonly [key: string]: Json } = {}) => ({ model_loading_config: { model_id: id }, ...over });
  const config = (over: Partial<AutoscalingConfig>): Json => ({ ...over }) as unknown as Json;
  const pools: readonly Pool[] = [pool({ name: "p", role: "prefill" }), pool({ name: "d", role: "decode" })];

  it("never grows without a target of its own", () => {
    const manifest: Manifest = {
      name: "llm",
      namespace: "default",
      spec: {
        applications: [{ args: { llm_configs: [llm("a/b.c", { deployment_config: { autoscaling_config: { max_replicas: 9 } } })] } }],
      },
    };
    expect(run(rayServePolicy(WATCHED, manifest), 100_000, () => 500, 1).changes).toEqual([]);
  });

  it("gives prefill and decode a count each", () => {
    const of = (target: number) => ({
      deployment_config: { autoscaling_config: config({ max_replicas: 9, target_ongoing_requests: target, upscale_delay_s: 0 }) },
    });
    const manifest: Manifest = {
      name: "llm",
      namespace: "default",
      spec: { applications: [{ args: { prefill_config: llm("m", of(2)), decode_config: llm("m", of(4)) } }] },
    };
    const split: Endpoint = { ...WATCHED, pools };
    const seen = observation({
      nowMs: START,
      replicas: [ready("p0", START, { pool: "p" }), ready("d0", START, { pool: "d" })],
      series: [series("in_flight", "p0", 4, START), series("in_flight", "d0", 10, START), series("held", null, 3, START)],
    });
    const decision = loop(rayServePolicy(split, manifest))(seen);
    expect([countOf(decision, "p"), countOf(decision, "d")]).toEqual([4, 3]);
  });

  it("makes one gang of the ranks of a data-parallel replica", () => {
    const manifest: Manifest = {
      name: "llm",
      namespace: "default",
      spec: {
        applications: [
          {
            args: {
              llm_configs: [
                llm("m", {
                  engine_kwargs: { data_parallel_size: 4 },
                  deployment_config: { autoscaling_config: { min_replicas: 1, max_replicas: 3 } },
                }),
              ],
            },
          },
        ],
      },
    };
    expect(rayServeDialect.bounds(manifest)).toEqual({ min: 4, max: 12 });
    expect(rayServeDialect.bounds(rayServeDialect.withBounds(manifest, { min: 8, max: 16 }))).toEqual({ min: 8, max: 16 });
  });
});

describe("bounds of a manifest", () => {
  it.each([
    { rule: "are the autoscaling config's", config: { min_replicas: 2, max_replicas: 7 }, capacity: null, bounds: { min: 2, max: 7 } },
    { rule: "follow the target capacity", config: { min_replicas: 2, max_replicas: 7 }, capacity: 50, bounds: { min: 1, max: 4 } },
  ])("$rule", ({ config, capacity, bounds }) => {
    const manifest = autoscaled(config);
    const stated = { ...manifest, spec: { ...manifest.spec, target_capacity: capacity } };
    expect(rayServeDialect.bounds(stated)).toEqual(bounds);
    expect(rayServeDialect.bounds(rayServeDialect.withBounds(stated, { min: 3, max: 5 }))).toEqual({ min: 3, max: 5 });
  });
});

describe("for any config and load", () => {
  const configs = fc
    .record({
      min: fc.integer({ min: 0, max: 3 }),
      span: fc.integer({ min: 1, max: 12 }),
      target_ongoing_requests: fc.double({ min: 0.2, max: 20, noNaN: true }),
      upscale_delay_s: fc.constantFrom(0, 0.25, 5, 30),
      downscale_delay_s: fc.constantFrom(0, 7, 60),
      downscale_to_zero_delay_s: fc.constantFrom(null, 0, 11),
      upscaling_factor: fc.constantFrom(null, 0.3, 1, 2),
      downscaling_factor: fc.constantFrom(null, 0.3, 1),
      look_back_period_s: fc.constantFrom(5, 30),
      metrics_interval_s: fc.constantFrom(1, 10),
      aggregation_function: fc.constantFrom("mean" as const, "max" as const, "min" as const),
    })
    .map(({ min, span, ...config }) => ({ ...config, min_replicas: min, max_replicas: Math.max(1, min + span) }));
  const manifests = fc.tuple(configs, fc.boolean()).map(([config, aggregate]) => ({
    ...autoscaled(config),
    annotations: { [AGGREGATE_ANNOTATION]: aggregate ? "1" : "0" },
    config,
  }));
  const loads = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 5, maxLength: 40 });

  it("stays inside its bounds, waits out its delays, and survives a restart at every step", () => {
    fc.assert(
      fc.property(manifests, loads, ({ config, ...manifest }, load) => {
        const { changes } = run(
          rayServePolicy(WATCHED, manifest),
          200_000,
          (atMs) => load[Math.floor(atMs / 10_000) % load.length] ?? 0,
          1,
        );
        let [before, lastMs] = [Math.max(1, config.min_replicas), Number.NEGATIVE_INFINITY];
        for (const [atMs, count] of changes) {
          expect(count).toBeGreaterThanOrEqual(config.min_replicas);
          expect(count).toBeLessThanOrEqual(config.max_replicas);
          const toZeroS = config.downscale_to_zero_delay_s ?? config.downscale_delay_s;
          const delayS = count > before ? config.upscale_delay_s : before === 1 ? toZeroS : config.downscale_delay_s;
          // Ray's own exemption: from zero there is no delay.
          if (before > 0 && atMs > 0) expect(atMs - lastMs).toBeGreaterThanOrEqual(delayS * 1000 - 1);
          if (count === 0) expect(before).toBe(1);
          [before, lastMs] = [count, atMs];
        }
      }),
      { numRuns: 40 },
    );
  });

  it("decides what a loop of 0.1 s would, at a few of its ticks", () => {
    fc.assert(
      fc.property(manifests, loads, (manifest, load) => {
        const at = (tickMs?: number) =>
          run(rayServePolicy(WATCHED, manifest), 40_000, (atMs) => load[Math.floor(atMs / 7_000) % load.length] ?? 0, 2, tickMs);
        expect(at().changes).toEqual(at(100).changes);
      }),
      { numRuns: 12 },
    );
  });

  it("wants no fewer for more requests", () => {
    fc.assert(
      fc.property(
        manifests,
        fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 6 }),
        fc.nat(30),
        (manifest, load, extra) => {
          const first = (of: readonly number[]) => {
            const { config: _, ...undelayed } = manifest;
            const applications = autoscaled({ ...manifest.config, upscale_delay_s: 0, downscale_delay_s: 0 }).spec;
            return countOf(
              loop(rayServePolicy(WATCHED, { ...undelayed, spec: applications }))(observe({ atMs: START, load: of })),
            ) as number;
          };
          expect(first(load.map((each) => each + extra))).toBeGreaterThanOrEqual(first(load));
        },
      ),
      { numRuns: 150 },
    );
  });

  it("does not care for the order of replicas and series, nor for what it does not know", () => {
    fc.assert(
      fc.property(manifests, fc.array(fc.double({ min: 0, max: 40, noNaN: true }), { minLength: 1, maxLength: 6 }), (manifest, load) => {
        const [one, other] = [loop(rayServePolicy(WATCHED, manifest)), loop(rayServePolicy(WATCHED, manifest))];
        for (let atMs = START; atMs < START + 60_000; atMs += 6_000) {
          const seen = observe({ atMs, load });
          const stranger: Series = {
            name: "held",
            subject: { kind: "external", labels: { zone: "b" } },
            samples: [],
            latest: { atMs, windowMs: 0, value: 1e6 },
            fault: null,
          };
          const shuffled = { ...seen, replicas: seen.replicas.toReversed(), series: [stranger, ...seen.series.toReversed()] };
          expect(other(shuffled)).toEqual(one(seen));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("never falls while nobody says anything", () => {
    fc.assert(
      fc.property(manifests, fc.integer({ min: 1, max: 8 }), ({ config, ...manifest }, replicas) => {
        const step = loop(rayServePolicy(WATCHED, manifest));
        let before = 0;
        for (let atMs = START; atMs < START + 100_000; atMs += 5_000) {
          const silent = observation({ nowMs: atMs, replicas: Array.from({ length: replicas }, (_, at) => ready(`r${at}`)) });
          const count = countOf(step(silent)) as number;
          expect(count).toBeGreaterThanOrEqual(Math.min(config.max_replicas, Math.max(before, replicas)));
          before = count;
        }
      }),
    );
  });
});
