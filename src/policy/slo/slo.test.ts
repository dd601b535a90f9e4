import { describe, expect, it } from "vitest";
import type { Decision, Endpoint, Json, Ms, Observation, Outcome, SloPolicySpec } from "../../model/index.ts";
import { createPlant, endpoint, observation, type PlantOptions, pool, ready, series, slo } from "../plant.fixture.ts";
import { coefficients, learnEngine, noFit, safeLoad } from "./capacity.ts";
import { addSlots, expectedOutput, fastWork, meanRate, noDemand } from "./demand.ts";
import { sloPolicy } from "./policy.ts";
import { allocate, size } from "./sizing.ts";

const MINUTE = 60_000;
const spec = slo({ coldStartMs: 60_000 });
const policyOf = (of: Endpoint) => sloPolicy(of, (of.policy as Extract<Endpoint["policy"], { kind: "slo" }>).spec);

/** Closes the loop; the state goes through JSON at every step, as after a restart. */
function run(
  options: PlantOptions & {
    readonly forMs: Ms;
    readonly min?: number;
    readonly spec?: Partial<SloPolicySpec>;
    readonly at?: (plant: ReturnType<typeof createPlant>) => void;
  },
) {
  const of = endpoint(slo({ coldStartMs: 60_000, ...options.spec }), [pool({ min: options.min ?? 0, max: 12 })]);
  const policy = policyOf(of);
  const plant = createPlant(of, options);
  const changes: { readonly atMs: Ms; readonly to: number }[] = [];
  const decisions: Decision[] = [];
  let [state, nextMs] = [null as Json, 0];
  let started = false;
  while (plant.nowMs < options.forMs) {
    options.at?.(plant);
    const held = plant.step();
    if (!held && plant.nowMs < nextMs) continue;
    const now = plant.observe(plant.nowMs < nextMs ? "held" : "tick");
    if (!started) state = policy.start(now);
    started = true;
    const decided = policy.decide(state, now);
    decisions.push(decided.decision);
    nextMs = decided.decision.nextAtMs;
    state = JSON.parse(JSON.stringify(decided.state)) as Json;
    const want = decided.decision.wants["default"];
    if (!plant.apply(want) || want?.kind !== "scale") continue;
    changes.push({ atMs: now.nowMs, to: want.replicas });
    const outcome: Outcome = { seq: now.seq, pool: "default", atMs: now.nowMs, result: "accepted" };
    state = policy.settle(state, outcome).state;
  }
  return { plant, changes, decisions, state };
}

describe("on a toy plant", () => {
  it.each(["both", "ledger", "engines"] as const)("holds a steady load without flapping, seeing %s", (sees) => {
    const { plant, changes } = run({ seed: 3, coldStartMs: MINUTE, replicas: 3, rate: () => 12, forMs: 30 * MINUTE, sees });
    expect(plant.totals().attainment).toBeGreaterThan(0.99);
    expect(changes.filter(({ atMs }) => atMs > 10 * MINUTE).length).toBeLessThanOrEqual(2);
    expect(changes.length).toBeLessThanOrEqual(4);
    expect(plant.wanted).toBeLessThanOrEqual(3);
  });

  it("meets a jump with about one cold start of trouble and then holds", () => {
    const { plant, changes } = run({
      seed: 4,
      coldStartMs: MINUTE,
      replicas: 1,
      rate: (atMs) => (atMs < 10 * MINUTE ? 5 : 22),
      forMs: 20 * MINUTE,
    });
    const first = changes.find(({ atMs }) => atMs >= 10 * MINUTE);
    expect(first?.atMs).toBeLessThan(10 * MINUTE + 30_000);
    expect(Math.max(...changes.map(({ to }) => to))).toBeLessThanOrEqual(8);
    expect(plant.wanted).toBeGreaterThanOrEqual(3);
    expect(plant.totals().attainment).toBeGreaterThan(0.7);
  });

  it("keeps ahead of a ramp", () => {
    const { plant } = run({
      seed: 5,
      coldStartMs: MINUTE,
      replicas: 1,
      rate: (atMs) => 4 + (16 * atMs) / (40 * MINUTE),
      forMs: 40 * MINUTE,
    });
    expect(plant.totals().attainment).toBeGreaterThan(0.98);
  });

  it("goes to zero after zeroAfterMs without requests and wakes at once for a held one", () => {
    const { plant, changes } = run({
      seed: 6,
      coldStartMs: MINUTE,
      replicas: 2,
      rate: (atMs) => (atMs < 8 * MINUTE ? 4 : atMs < 20 * MINUTE ? 0 : 4),
      forMs: 26 * MINUTE,
    });
    const zero = changes.find(({ to }) => to === 0);
    expect(zero?.atMs).toBeGreaterThan(12 * MINUTE);
    expect(zero?.atMs).toBeLessThan(14 * MINUTE);
    const woken = changes.find(({ atMs }) => atMs >= 20 * MINUTE);
    expect(woken?.to).toBe(1);
    expect(woken?.atMs).toBeLessThan(20 * MINUTE + 3_000);
    expect(plant.heldCount).toBe(0);
  });

  it("learns by a penalty to outlast short pauses, and not long ones", { timeout: 120_000 }, () => {
    const busy = (atMs: Ms) => atMs % (8 * MINUTE) < 5 * MINUTE;
    const options = { coldStartMs: MINUTE, replicas: 1, forMs: 96 * MINUTE };
    const wakeUps = (penaltyMinutes: number) =>
      run({
        ...options,
        seed: 6,
        rate: (atMs) => (busy(atMs) ? 4 : 0),
        spec: { wakeUpPenaltyGpuMs: penaltyMinutes * MINUTE },
      }).changes.filter(({ atMs, to }) => to === 0 && atMs > 40 * MINUTE).length;
    expect(wakeUps(20)).toBe(0);
    expect(wakeUps(0.1)).toBeGreaterThanOrEqual(6);
  });

  it("is ready when an announced event begins, and goes on after it as before", () => {
    const schedule = [
      { name: "launch", cron: null, atMs: 40 * MINUTE, timeZone: "UTC", forMs: 10 * MINUTE, replicas: null, times: 4 },
    ] as const;
    const rate = (atMs: Ms) => (atMs >= 40 * MINUTE && atMs < 50 * MINUTE ? 16 : 4);
    const options = { seed: 11, coldStartMs: MINUTE, replicas: 1, rate, forMs: 50 * MINUTE };
    expect(run(options).plant.totals().attainment).toBeLessThan(0.97);
    const told = run({ ...options, spec: { schedule } });
    expect(told.plant.totals().attainment).toBeGreaterThan(0.99);
    expect(told.decisions.flatMap(({ steps }) => steps).find(({ code }) => code === "announced")?.text).toMatch(/^launch begins in \d/i);
  });

  it("wakes from zero for an announced event", () => {
    const schedule = [
      { name: "demo", cron: null, atMs: 20 * MINUTE, timeZone: "UTC", forMs: 10 * MINUTE, replicas: 3, times: null },
    ] as const;
    const { changes } = run({
      seed: 12,
      coldStartMs: MINUTE,
      replicas: 0,
      rate: (atMs) => (atMs >= 20 * MINUTE ? 4 : 0),
      forMs: 29 * MINUTE,
      spec: { schedule },
    });
    expect(changes[0]?.to).toBe(3);
    expect(changes[0]?.atMs).toBeLessThanOrEqual(19 * MINUTE);
    expect(changes[0]?.atMs).toBeGreaterThan(17 * MINUTE);
    expect(Math.min(...changes.map(({ to }) => to))).toBe(3);
  });

  it("adds replicas for a queue that the ready ones cannot drain, not one for each queued request", () => {
    let done = false;
    const { changes } = run({
      seed: 7,
      coldStartMs: MINUTE,
      replicas: 1,
      rate: () => 3,
      forMs: 16 * MINUTE,
      at: (plant) => {
        if (done || plant.nowMs < 10 * MINUTE) return;
        done = true;
        plant.burst(1_500);
      },
    });
    const after = changes.filter(({ atMs }) => atMs >= 10 * MINUTE).map(({ to }) => to);
    expect(Math.max(...after)).toBeGreaterThan(1);
    expect(Math.max(...after)).toBeLessThanOrEqual(12);
  });

  it("keeps its state small however long it runs", () => {
    const { state } = run({ seed: 8, coldStartMs: MINUTE, replicas: 2, rate: () => 6, forMs: 30 * MINUTE });
    expect(JSON.stringify(state).length).toBeLessThan(60_000);
  });

  it("explains itself in sentences with numbers", () => {
    const { decisions } = run({ seed: 9, coldStartMs: MINUTE, replicas: 2, rate: () => 6, forMs: 8 * MINUTE });
    const last = decisions.at(-1);
    expect(last?.steps.map(({ code }) => code)).toEqual(
      expect.arrayContaining(["demand", "capacity", "forecast", "need", "otherwise", "hold"]),
    );
    for (const step of last?.steps ?? []) {
      expect(step.text).toMatch(/^[A-Z0-9].*\.$/);
      expect(Object.values(step.numbers).every(Number.isFinite)).toBe(true);
    }
  });
});

it("holds when neither the ledger nor series say anything, and says what is missing", () => {
  const of = endpoint(spec, [pool({ min: 1 })]);
  const policy = policyOf(of);
  const now = observation({ replicas: [ready("a"), ready("b")] });
  const { decision } = policy.decide(policy.start(now), now);
  expect(decision.wants["default"]).toEqual({ kind: "hold" });
  expect(decision.conditions.find(({ type }) => type === "ScalingActive")).toMatchObject({ status: "False", reason: "FailedGetMetric" });
  expect(decision.steps.find(({ code }) => code === "blind")?.text).toContain("the gateway's ledger");
});

it("holds on stale series", () => {
  const policy = policyOf(endpoint(spec, [pool({ min: 1 })]));
  const names = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second"];
  const now = observation({ replicas: [ready("a"), ready("b")], series: names.map((name) => series(name, null, 0, 1_000_000 - 30_001)) });
  const { decision } = policy.decide(policy.start(now), now);
  expect(decision.wants["default"]).toEqual({ kind: "hold" });
});

it("does not shrink at its first look: nobody has seen the demand of a cold start yet", () => {
  const policy = policyOf(endpoint(spec, [pool({ min: 1 })]));
  const now = observation({ replicas: [ready("a"), ready("b"), ready("c")], slots: [] });
  expect(policy.decide(policy.start(now), now).decision.wants["default"]).toEqual({ kind: "hold" });
});

it("says when the objective cannot be met at all", () => {
  const of = { ...endpoint(spec), objective: { attainment: 0.99, timeToFirstTokenMs: 20, timePerOutputTokenMs: 50 } };
  const policy = policyOf(of);
  const slot = { ...emptySlot, atMs: 998_000, arrivals: 5, promptTokens: 5_000, completed: 5, outputTokens: 500 };
  const now = observation({ replicas: [ready("a")], slots: [slot] });
  const { decision } = policy.decide(policy.start(now), now);
  expect(decision.steps.find(({ code }) => code === "infeasible")?.text).toMatch(/cannot be met: one mean prompt alone takes \d+ ms/);
});

const emptySlot: NonNullable<Observation["slots"]>[number] = {
  atMs: 0,
  class: "default",
  promptBand: 2,
  arrivals: 0,
  promptTokens: 0,
  prefixHitTokens: 0,
  completed: 0,
  outputTokens: 0,
  failed: 0,
  cancelled: 0,
  rejected: 0,
  withinObjective: 0,
  inFlightMean: 0,
  heldMean: 0,
};

describe("capacity", () => {
  const truth = { base: 0.03, perPrefill: 300e-6, perSequence: 400e-6 };
  const sampleAt = (running: number, prefill: number) => {
    const time = (truth.base + truth.perSequence * running) / (1 - truth.perPrefill * prefill);
    return { running, prefill, output: running / time };
  };

  it("finds an engine's coefficients from counters alone, far from the prior", () => {
    let fit = noFit;
    for (let at = 0; at < 300; at++) fit = learnEngine(fit, sampleAt(1 + ((at * 7) % 60), (at * 131) % 2_000));
    const found = coefficients(fit);
    for (const key of ["base", "perPrefill", "perSequence"] as const) expect(found[key] / truth[key]).toBeCloseTo(1, 0);
  });

  it("stays bounded on samples that do not tell the coefficients apart", () => {
    let fit = noFit;
    for (let at = 0; at < 500; at++) fit = learnEngine(fit, sampleAt(4, 500));
    const found = coefficients(fit);
    const time = found.base + found.perSequence * 4 + found.perPrefill * 500 * (4 / sampleAt(4, 500).output);
    expect(time).toBeCloseTo(4 / sampleAt(4, 500).output, 2);
    for (const key of ["base", "perPrefill", "perSequence"] as const) {
      expect(found[key] / truth[key]).toBeGreaterThan(0.1);
      expect(found[key] / truth[key]).toBeLessThan(10);
    }
  });

  it("moves little by one stall", () => {
    let fit = noFit;
    for (let at = 0; at < 100; at++) fit = learnEngine(fit, sampleAt(1 + (at % 40), (at * 131) % 2_000));
    const before = coefficients(fit);
    const after = coefficients(learnEngine(fit, { running: 20, prefill: 0, output: 1 }));
    expect(Math.abs(after.base / before.base - 1)).toBeLessThan(0.2);
  });

  it("trusts a replica with less the tighter the objective is", () => {
    const c = { base: 0.012, perPrefill: 62e-6, perSequence: 100e-6 };
    const mix = { prefill: 800, output: 150, prefill2: 2 * 800 ** 2 };
    const at = (timePerOutputTokenMs: number) =>
      safeLoad(c, mix, { attainment: 0.99, timeToFirstTokenMs: 2_000, timePerOutputTokenMs }, 128).utilization;
    expect(at(20)).toBeLessThan(at(30));
    expect(at(30)).toBeLessThanOrEqual(at(100));
  });
});

describe("demand", () => {
  it("learns output lengths per prompt band", () => {
    const slots = Array.from({ length: 60 }, (_, at) => [
      { ...emptySlot, atMs: at * 1000, promptBand: 1, completed: 5, outputTokens: 250 },
      { ...emptySlot, atMs: at * 1000, promptBand: 6, completed: 5, outputTokens: 2_500 },
    ]).flat();
    const demand = addSlots(noDemand, slots, 60_000, false);
    expect(expectedOutput(demand, 1)).toBeCloseTo(50, -1.2);
    expect(expectedOutput(demand, 6)).toBeGreaterThan(480);
  });

  it("takes silence for a late report while requests are open, and for no arrivals once none is", () => {
    const busy = Array.from({ length: 60 }, (_, at) => ({ ...emptySlot, atMs: at * 1000, arrivals: 2, completed: at === 0 ? 0 : 2 }));
    const late = addSlots(noDemand, busy, 120_000, false);
    expect(late.toMs).toBe(60_000);
    expect(meanRate(late).requests).toBeCloseTo(2, 5);
    expect(addSlots(late, [], 135_000, false).toMs).toBe(60_000);
    const ended = addSlots(late, [{ ...emptySlot, atMs: 60_000, completed: 2 }], 136_000, false);
    expect(ended.toMs).toBe(135_000);
    expect(meanRate(ended).requests).toBe(0);
    // Whoever says nothing for five minutes has forgotten them.
    expect(addSlots(late, [], 420_000, false).toMs).toBe(419_000);
  });

  it("counts seconds without arrivals as empty, and unknown ones not at all", () => {
    const demand = addSlots(noDemand, [{ ...emptySlot, atMs: 0, arrivals: 20, completed: 20, promptTokens: 2_000 }], 11_000, false);
    expect(meanRate(demand).requests).toBeCloseTo(2);
    const after = addSlots(demand, [{ ...emptySlot, atMs: 100_000, arrivals: 2, completed: 2, promptTokens: 200 }], 102_000, true);
    expect(meanRate(after).requests).toBeCloseTo(2);
  });

  it("sees a jump in seconds, and no jump in a single request", () => {
    const calm = Array.from({ length: 60 }, (_, at) => ({ ...emptySlot, atMs: at * 1000, arrivals: 1, promptTokens: 500 }));
    const jump = [60, 61, 62, 63].map((at) => ({ ...emptySlot, atMs: at * 1000, arrivals: 40, promptTokens: 20_000 }));
    const requests = (rate: { readonly requests: number }) => rate.requests;
    expect(fastWork(addSlots(noDemand, [...calm, ...jump], 65_000, false), requests).work).toBeGreaterThan(25);
    expect(fastWork(addSlots(noDemand, calm, 61_000, false), requests).work).toBeLessThan(1);
  });
});

describe("sizing", () => {
  const base = {
    workNow: 2,
    workAhead: 2.4,
    backlog: 0,
    perReplica: 0.8,
    ready: 3,
    startingInMs: [],
    horizonMs: 65_000,
    toleratedMs: 2_000,
  };
  it.each([
    { rule: "sizes by the larger of now and ahead", input: base, demand: 3, backlog: 0 },
    { rule: "leaves a queue to replicas that have room for it", input: { ...base, ready: 4, backlog: 20 }, demand: 3, backlog: 0 },
    {
      rule: "counts what is starting already",
      input: { ...base, ready: 2, startingInMs: [10_000, 10_000], backlog: 10 },
      demand: 3,
      backlog: 0,
    },
  ])("$rule", ({ input, demand, backlog }) => {
    const sized = size(input);
    expect(sized.forDemand).toBeCloseTo(demand);
    expect(sized.forBacklog).toBeCloseTo(backlog);
  });

  it("adds replicas for what is left of a queue", () => {
    expect(size({ ...base, ready: 2, backlog: 30 }).forBacklog).toBeGreaterThan(1);
  });

  it("fills the cheapest pool first, above every minimum", () => {
    const pools = [
      pool({ name: "a", pricePerReplicaHour: 3, min: 1, max: 5 }),
      pool({ name: "b", pricePerReplicaHour: 1, min: 0, max: 2 }),
    ];
    expect(Object.fromEntries(allocate(pools, 5))).toEqual({ a: 3, b: 2 });
    expect(Object.fromEntries(allocate(pools, 0))).toEqual({ a: 1, b: 0 });
  });
});
