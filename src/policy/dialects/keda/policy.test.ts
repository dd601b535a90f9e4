import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Endpoint, Json, Manifest, Observation, Outcome, Policy, Replica, Series, Slot } from "../../../model/index.ts";
import { createPlant, endpoint as endpointOf, pool, ready, series as seriesOf, starting } from "../../plant.fixture.ts";
import { kedaDialect } from "./index.ts";

const START = Date.UTC(2026, 7, 20, 6);
const NOW = START;

const endpoint: Endpoint = {
  ...endpointOf({ kind: "static", replicas: {} }, [pool({ max: 10 })]),
  metrics: { backlog: "queue_depth" },
};

const queue = { type: "rabbitmq", name: "backlog", metadata: { host: "http://mq", queueName: "q", mode: "QueueLength", value: "10" } };
const object = (spec: Record<string, Json>, annotations?: Manifest["annotations"]): Manifest => ({
  name: "llm",
  namespace: "llm-serving",
  ...(annotations === undefined ? {} : { annotations }),
  spec: { scaleTargetRef: { name: "llm" }, maxReplicaCount: 10, triggers: [queue], ...spec },
});
const PAUSE = "autoscaling.keda.sh/paused";

const LONG_AGO = START - 3_500_000;
const replicas = (count: number) => Array.from({ length: count }, (_, index) => ready(`r${index}`, LONG_AGO));
const series = (name: string, value: number, atMs: number, subject: Series["subject"] = { kind: "endpoint" }): Series => ({
  ...seriesOf(name, null, value, atMs),
  subject,
});
const slot = (atMs: number, change: Partial<Slot>): Slot => ({
  ...{ atMs, class: "", promptBand: 0, arrivals: 0, promptTokens: 0, prefixHitTokens: 0, completed: 0, outputTokens: 0 },
  ...{ failed: 0, cancelled: 0, rejected: 0, withinObjective: 0, inFlightMean: 0, heldMean: 0 },
  ...change,
});

interface Moment {
  readonly at: number;
  readonly wanted: number;
  readonly depth?: number | null;
  readonly series?: readonly Series[];
  readonly replicas?: readonly Replica[];
  readonly slots?: readonly Slot[];
  readonly cause?: Observation["cause"];
  readonly otherWriter?: boolean;
}
let seq = 0;
function observe({ at, wanted, depth, series: given, replicas: listed, slots, cause, otherWriter }: Moment): Observation {
  const nowMs = NOW + at * 1000;
  const own = depth === undefined || depth === null ? [] : [series("queue_depth", depth, nowMs)];
  return {
    seq: ++seq,
    nowMs,
    cause: cause ?? "tick",
    pools: { default: { wanted, reported: listed?.length ?? wanted, otherWriter: otherWriter ?? false } },
    replicas: listed ?? replicas(wanted),
    series: given ?? own,
    slots: slots ?? null,
  };
}

/** A loop that keeps its state as text, as a restart would. */
function loop(policy: Policy<Json>) {
  let state: string | null = null;
  return {
    step(moment: Moment, result: Outcome["result"] | null = "accepted"): Decision {
      const observation = observe(moment);
      const before: Json = state === null ? policy.start(observation) : JSON.parse(state);
      const { state: decided, decision } = policy.decide(before, observation);
      const want = decision.wants["default"];
      const moves = want?.kind === "scale" && want.replicas !== moment.wanted;
      const after =
        moves && result !== null
          ? policy.settle(JSON.parse(JSON.stringify(decided)), { seq: observation.seq, pool: "default", atMs: observation.nowMs, result })
              .state
          : decided;
      expect(JSON.parse(JSON.stringify(after))).toEqual(after);
      state = JSON.stringify(after);
      return decision;
    },
  };
}
const run = (manifest: Manifest, on: Endpoint = endpoint) => loop(kedaDialect.policy(on, manifest));
const countOf = (decision: Decision, wanted: number) => {
  const want = decision.wants["default"];
  return want?.kind === "scale" ? want.replicas : wanted;
};
const codes = (decision: Decision) => decision.steps.map(({ code }) => code);
const reason = (decision: Decision, type: string) => decision.conditions.find((condition) => condition.type === type)?.reason;

it("says what it reads, how often, and what wakes it", () => {
  const policy = kedaDialect.policy(endpoint, object({}));
  expect(policy.needs).toEqual([{ name: "queue_depth", per: "endpoint", sampleEveryMs: 15_000 }]);
  expect(policy.wakesOn).toEqual(["config"]);
});

describe("two loops", () => {
  it("wakes by activity to one, and from there the HPA sizes", () => {
    const fleet = run(object({}));
    const woken = fleet.step({ at: 0, wanted: 0, depth: 35 });
    expect(countOf(woken, 0)).toBe(1);
    expect(codes(woken)).toEqual(["trigger", "activated"]);
    expect(woken.steps[0]?.text).toBe("s0-rabbitmq-q: 35 against 10 per replica, active above 0: active.");
    expect(woken.nextAtMs).toBe(NOW + 15_000);
    const sized = fleet.step({ at: 15, wanted: 1, depth: 35 });
    expect(countOf(sized, 1)).toBe(4);
    expect(reason(sized, "ScalingActive")).toBe("ValidMetricFound");
    expect(reason(sized, "HPAActive")).toBe("HPAActive");
  });

  it("polls every pollingInterval, syncs every 15 s", () => {
    const fleet = run(object({ pollingInterval: 40 }));
    const nexts: number[] = [];
    for (const at of [0, 15, 30, 40, 45, 60, 75, 80]) nexts.push((fleet.step({ at, wanted: 2, depth: 20 }).nextAtMs - NOW) / 1000);
    expect(nexts).toEqual([15, 30, 40, 45, 60, 75, 80, 90]);
  });

  it("lets activity rule over size: below its activation value nothing is kept, though the HPA would want four", () => {
    const trigger = { ...queue, metadata: { ...queue.metadata, activationValue: "50" } };
    const fleet = run(object({ triggers: [trigger], cooldownPeriod: 60 }));
    expect(countOf(fleet.step({ at: 0, wanted: 0, depth: 40 }), 0)).toBe(0);
    expect(countOf(fleet.step({ at: 30, wanted: 4, depth: 40 }), 4)).toBe(0);
  });

  it("waits for the cooldown after the last activity, and says how long", () => {
    const fleet = run(object({ cooldownPeriod: 60 }));
    fleet.step({ at: 0, wanted: 1, depth: 3 });
    const cooling = fleet.step({ at: 60, wanted: 1, depth: 0 });
    expect(countOf(cooling, 1)).toBe(1);
    expect(reason(cooling, "Active")).toBe("ScalerCooldown");
    expect(cooling.steps.find(({ code }) => code === "cooling-down")?.text).toBe(
      "Not active for 60 s; going to zero waits for a cooldown of 60 s.",
    );
    expect(countOf(fleet.step({ at: 90, wanted: 1, depth: 0 }), 1)).toBe(0);
  });

  it("waits for the initial cooldown only while nothing was ever active", () => {
    const fleet = run(object({ initialCooldownPeriod: 60 }));
    expect(countOf(fleet.step({ at: 0, wanted: 2, depth: 0 }), 2)).toBe(2);
    expect(countOf(fleet.step({ at: 60, wanted: 2, depth: 0 }), 2)).toBe(2);
    expect(countOf(fleet.step({ at: 90, wanted: 2, depth: 0 }), 2)).toBe(0);
  });

  it("goes between idle and the minimum where an idle count is set", () => {
    const fleet = run(object({ minReplicaCount: 3, idleReplicaCount: 0, cooldownPeriod: 0 }));
    expect(countOf(fleet.step({ at: 0, wanted: 0, depth: 5 }), 0)).toBe(3);
    expect(countOf(fleet.step({ at: 30, wanted: 3, depth: 0 }), 3)).toBe(0);
  });

  it("remembers activity only once the activation was accepted", () => {
    const fleet = run(object({ cooldownPeriod: 300 }));
    fleet.step({ at: 0, wanted: 0, depth: 5 }, "refused");
    expect(countOf(fleet.step({ at: 30, wanted: 1, depth: 0 }), 1)).toBe(0);
  });

  it("starts a fleet that nobody has set at its minimum, even while nothing answers", () => {
    const first = run(object({ minReplicaCount: 2 })).step({ at: 0, wanted: 0, depth: null });
    expect(countOf(first, 0)).toBe(2);
    expect(codes(first)).toContain("first-start");
    expect(countOf(run(object({ minReplicaCount: 2 })).step({ at: 0, wanted: 0, depth: null, otherWriter: true }), 0)).toBe(0);
  });
});

describe("without an answer", () => {
  it("holds, says so, and never shrinks; a stale reading is none", () => {
    const fleet = run(object({ cooldownPeriod: 0 }));
    fleet.step({ at: 0, wanted: 6, depth: 60 });
    const blind = fleet.step({ at: 60, wanted: 6, depth: null });
    expect(blind.wants["default"]).toEqual({ kind: "hold" });
    expect(reason(blind, "Ready")).toBe("TriggerError");
    expect(reason(blind, "ScalingActive")).toBe("FailedGetExternalMetric");
    const stale = fleet.step({ at: 120, wanted: 6, series: [series("queue_depth", 0, NOW + 60_000)] });
    expect(stale.wants["default"]).toEqual({ kind: "hold" });
  });

  it("counts failures of both loops, and then lets the fallback stand in, from zero too", () => {
    const fallback = { failureThreshold: 3, replicas: 4, behavior: "static" };
    const fleet = run(object({ fallback }));
    const blind = (at: number, wanted: number) => fleet.step({ at, wanted, depth: null });
    expect(countOf(blind(0, 2), 2)).toBe(2); // poll 1, sync 2
    expect(countOf(blind(15, 2), 2)).toBe(2); // sync 3
    const fallen = blind(30, 2); // poll 4: above the threshold
    expect(reason(fallen, "Fallback")).toBe("FallbackExists");
    expect(countOf(fallen, 2)).toBe(4);
    const asleep = run(object({ fallback: { ...fallback, failureThreshold: 0 } }));
    expect(countOf(asleep.step({ at: 0, wanted: 0, depth: null }), 0)).toBe(1);
  });

  it("with a fallback of 0 replicas goes to zero, as the original does", () => {
    const fleet = run(object({ fallback: { failureThreshold: 100, replicas: 0, behavior: "static" }, cooldownPeriod: 0 }));
    fleet.step({ at: 0, wanted: 2, depth: 20 });
    expect(countOf(fleet.step({ at: 30, wanted: 2, depth: null }), 2)).toBe(0);
  });

  it("takes an empty Prometheus answer for 0 only where no replica is there to report", () => {
    const trigger = {
      type: "prometheus",
      metadata: { serverAddress: "http://p", query: "sum(vllm:num_requests_waiting)", threshold: "5" },
    };
    const fleet = run(object({ triggers: [trigger] }));
    const none = fleet.step({ at: 0, wanted: 0, series: [] });
    expect(reason(none, "Ready")).toBe("ScaledObjectReady");
    const some = fleet.step({ at: 30, wanted: 1, series: [] });
    expect(reason(some, "Ready")).toBe("TriggerError");
    expect(kedaDialect.policy(endpoint, object({ triggers: [trigger] })).needs).toMatchObject([{ name: "waiting" }]);
  });
});

describe("annotations", () => {
  it.each([
    ["paused", { [PAUSE]: "true" }, 5, "paused"],
    ["paused by nonsense", { [PAUSE]: "please" }, 5, "paused"],
    ["scale-in paused", { [`${PAUSE}-scale-in`]: "true" }, 5, "scale-in-paused"],
  ])("%s keeps the count", (_, annotations, wanted, code) => {
    const fleet = run(object({ cooldownPeriod: 0 }, annotations));
    fleet.step({ at: 0, wanted, depth: 50 });
    const later = fleet.step({ at: 60, wanted, depth: 0 });
    expect(countOf(later, wanted)).toBe(wanted);
    expect(codes(later)).toContain(code);
  });

  it("scale-out paused neither wakes nor grows", () => {
    const fleet = run(object({}, { [`${PAUSE}-scale-out`]: "true" }));
    expect(countOf(fleet.step({ at: 0, wanted: 0, depth: 500 }), 0)).toBe(0);
    expect(countOf(fleet.step({ at: 30, wanted: 2, depth: 500 }), 2)).toBe(2);
  });

  it("paused-replicas sets its count once, even beyond the bounds", () => {
    const fleet = run(object({}, { [`${PAUSE}-replicas`]: "12" }));
    expect(countOf(fleet.step({ at: 0, wanted: 2, depth: 0 }), 2)).toBe(12);
    expect(fleet.step({ at: 30, wanted: 12, depth: 0 }).wants["default"]).toEqual({ kind: "hold" });
    expect(fleet.step({ at: 60, wanted: 3, depth: 0 }).wants["default"]).toEqual({ kind: "hold" });
  });

  it("force-activation counts as active, whatever the triggers say", () => {
    const fleet = run(object({}, { "autoscaling.keda.sh/force-activation": "true" }));
    expect(countOf(fleet.step({ at: 0, wanted: 0, depth: 0 }), 0)).toBe(1);
  });
});

describe("several triggers", () => {
  const cron = { type: "cron", metadata: { timezone: "Etc/UTC", start: "0 8 * * *", end: "0 18 * * *", desiredReplicas: "6" } };

  it("computes cron from the time alone", () => {
    const fleet = run(object({ triggers: [cron], cooldownPeriod: 0 }));
    expect(countOf(fleet.step({ at: 0, wanted: 0 }), 0)).toBe(0);
    expect(countOf(fleet.step({ at: 7200, wanted: 0 }), 0)).toBe(1);
    expect(countOf(fleet.step({ at: 7215, wanted: 1 }), 1)).toBe(4); // without a behavior at most four, or twice as many
    expect(countOf(fleet.step({ at: 12 * 3600 + 60, wanted: 6 }), 6)).toBe(0);
  });

  it("takes the largest, and with one of them silent does not shrink", () => {
    const fleet = run(object({ minReplicaCount: 1, triggers: [cron, queue] }));
    expect(countOf(fleet.step({ at: 7200, wanted: 6, depth: 90 }), 6)).toBe(9);
    const partial = fleet.step({ at: 7800, wanted: 9, depth: null });
    expect(countOf(partial, 9)).toBe(9);
    expect(reason(partial, "Ready")).toBe("PartialTriggerError");
  });

  it("puts a formula in the place of all, and its nil in the hands of the fallback", () => {
    const other = { ...queue, name: "other", metadata: { ...queue.metadata, queueName: "o" } };
    const modifiers = { formula: "max(backlog ?? other ?? 30, 10)", target: "10", activationTarget: "5" };
    const manifest = object({
      triggers: [queue, other],
      fallback: { failureThreshold: 0, replicas: 2, behavior: "scalingModifiers" },
      advanced: { scalingModifiers: modifiers },
    });
    const fleet = run(manifest);
    const both = fleet.step({ at: 0, wanted: 2, series: [series("queue_depth", 80, NOW), series("other", 20, NOW)] });
    expect(both.steps.find(({ code }) => code === "formula")?.numbers).toEqual({ value: 80, target: 10 });
    expect(countOf(both, 2)).toBe(4);
    const one = fleet.step({ at: 30, wanted: 8, series: [series("other", 90, NOW + 30_000)] });
    expect(one.steps.find(({ code }) => code === "formula")?.numbers["value"]).toBe(90);
    const none = fleet.step({ at: 60, wanted: 9, series: [] });
    expect(none.steps.find(({ code }) => code === "formula")?.numbers["value"]).toBe(30);
  });

  it("reads cached metrics from the last poll", () => {
    const fleet = run(object({ minReplicaCount: 1, pollingInterval: 60, triggers: [{ ...queue, useCachedMetrics: true }] }));
    fleet.step({ at: 0, wanted: 3, depth: 30 });
    expect(countOf(fleet.step({ at: 15, wanted: 3, depth: 900 }), 3)).toBe(3);
    expect(countOf(fleet.step({ at: 60, wanted: 3, depth: 900 }), 3)).toBe(6);
  });

  it("leaves cpu to the HPA, and is active by cpu alone", () => {
    const cpu = { type: "cpu", metricType: "Utilization", metadata: { value: "50" } };
    const usage = (at: number, count: number, value: number) =>
      replicas(count).map(({ id }) => series("cpu", value, NOW + at * 1000, { kind: "replica", id }));
    const listed = (count: number) => replicas(count).map((one) => ({ ...one, requests: { engine: { cpu: 2 } } }));
    const fleet = run(object({ minReplicaCount: 1, triggers: [cpu] }));
    const busy = fleet.step({ at: 0, wanted: 2, replicas: listed(2), series: usage(0, 2, 2) });
    expect(countOf(busy, 2)).toBe(4);
    expect(reason(busy, "Active")).toBe("ScalerActive");
  });
});

describe("HTTPScaledObject", () => {
  const http = (scalingMetric: Record<string, Json>): Manifest => ({
    name: "chat",
    namespace: "llm",
    spec: { scaleTargetRef: { name: "chat", service: "chat", port: 80 }, replicas: { min: 0, max: 8 }, scaledownPeriod: 60, scalingMetric },
  });

  it("wakes at once when a request is held", () => {
    const policy = kedaDialect.policy(endpoint, http({}));
    expect(policy.wakesOn).toContain("held");
    const fleet = loop(policy);
    expect(countOf(fleet.step({ at: 0, wanted: 0, slots: [] }), 0)).toBe(0);
    const held = fleet.step({ at: 4, wanted: 0, slots: [], cause: "held" });
    expect(countOf(held, 0)).toBe(1);
    expect(held.nextAtMs).toBe(NOW + 15_000);
  });

  it("sizes by requests in flight, held ones included, and goes to zero after scaledownPeriod", () => {
    const fleet = run(http({ concurrency: { targetValue: 10 } }));
    const busy = fleet.step({ at: 15, wanted: 1, slots: [slot(NOW + 14_000, { inFlightMean: 22, heldMean: 3 })] });
    expect(countOf(busy, 1)).toBe(3);
    expect(countOf(fleet.step({ at: 60, wanted: 3, slots: [] }), 3)).toBe(3);
    expect(countOf(fleet.step({ at: 90, wanted: 3, slots: [] }), 3)).toBe(0);
  });

  it("sizes by the windowed rate of arrivals, rounded up", () => {
    const fleet = run(http({ requestRate: { targetValue: 2, window: "10s", granularity: "1s" } }));
    fleet.step({ at: 0, wanted: 2, slots: [] });
    const arrivals = Array.from({ length: 10 }, (_, second) => slot(NOW + (20 + second) * 1000, { arrivals: second < 5 ? 5 : 4 }));
    const busy = fleet.step({ at: 30, wanted: 2, slots: arrivals });
    // Nine seconds with arrivals are inside of the window that ends in a second without any: 40 / 10.
    expect(busy.steps[0]?.numbers["value"]).toBe(4);
    expect(countOf(fleet.step({ at: 45, wanted: 2, slots: [] }), 2)).toBe(2);
  });

  it("holds without a ledger and without the series", () => {
    const fleet = run(http({ concurrency: { targetValue: 10 } }));
    fleet.step({ at: 0, wanted: 3, series: [series("in_flight", 30, NOW)] });
    expect(fleet.step({ at: 120, wanted: 3, series: [] }).wants["default"]).toEqual({ kind: "hold" });
  });
});

it("in a closed loop wakes a sleeping fleet, carries the load and goes back to zero", () => {
  const manifest: Manifest = {
    name: "chat",
    namespace: "llm",
    spec: { scaleTargetRef: { name: "chat", service: "chat", port: 80 }, replicas: { min: 0, max: 6 }, scaledownPeriod: 60 },
  };
  const scaling = { ...manifest, spec: { ...manifest.spec, scalingMetric: { concurrency: { targetValue: 20 } } } };
  const policy = kedaDialect.policy(endpoint, scaling);
  const plant = createPlant(endpoint, {
    seed: 7,
    coldStartMs: 20_000,
    replicas: 0,
    rate: (atMs) => (atMs > 60_000 && atMs < 660_000 ? 6 : 0),
    sees: "ledger",
  });
  let state = policy.start(plant.observe("config"));
  let nextAtMs = 0;
  const wanted: number[] = [];
  while (plant.nowMs < 1_500_000) {
    const isHeld = plant.step();
    if (!isHeld && plant.nowMs < nextAtMs) continue;
    const observation = plant.observe(isHeld ? "held" : "tick");
    const decided = policy.decide(state, observation);
    ({ state } = decided);
    ({ nextAtMs } = decided.decision);
    const want = decided.decision.wants["default"];
    if (want?.kind === "scale" && want.replicas !== plant.wanted) {
      const alive = observation.replicas.filter((replica) => replica.state !== "draining").map(({ id }) => id);
      plant.apply({ ...want, drain: alive.slice(want.replicas) });
      ({ state } = policy.settle(state, { seq: decided.decision.seq, pool: "default", atMs: plant.nowMs, result: "accepted" }));
    }
    wanted.push(plant.wanted);
  }
  expect(wanted[0]).toBe(0);
  expect(Math.max(...wanted)).toBeGreaterThan(1);
  expect(Math.max(...wanted)).toBeLessThanOrEqual(6);
  expect(wanted.at(-1)).toBe(0);
  expect(plant.totals().completed).toBeGreaterThan(3000);
  expect(plant.heldCount).toBe(0);
});

describe("ScaledJob", () => {
  const job = (spec: Record<string, Json>, annotations?: Manifest["annotations"]): Manifest => ({
    ...object({}, annotations),
    spec: { jobTargetRef: { template: {} }, maxReplicaCount: 10, triggers: [queue], ...spec },
  });
  const start = (decision: Decision) => {
    const want = decision.wants["default"];
    return want?.kind === "jobs" ? want.start : null;
  };

  it("starts what the queue fills beyond what runs, every pollingInterval", () => {
    const fleet = run(job({}));
    const first = fleet.step({ at: 0, wanted: 2, depth: 55 });
    expect(start(first)).toBe(4); // ceil(55 / 10) − 2
    expect(first.nextAtMs).toBe(NOW + 30_000);
    expect(start(fleet.step({ at: 15, wanted: 6, depth: 500 }))).toBe(0);
    expect(start(fleet.step({ at: 30, wanted: 6, depth: 500 }))).toBe(4);
  });

  it("fills up to the minimum, takes pending jobs into account where asked to, and starts nothing blind or paused", () => {
    expect(start(run(job({ minReplicaCount: 3 })).step({ at: 0, wanted: 1, depth: 0 }))).toBe(2);
    const waiting = [starting("r0", START, { stage: "schedule" }), ready("r1", LONG_AGO)];
    const accurate = run(job({ scalingStrategy: { strategy: "accurate" } }));
    expect(start(accurate.step({ at: 0, wanted: 2, depth: 40, replicas: waiting }))).toBe(3);
    const blind = run(job({})).step({ at: 0, wanted: 2, depth: null });
    expect([start(blind), reason(blind, "Ready")]).toEqual([0, "TriggerError"]);
    expect(start(run(job({}, { [PAUSE]: "true" })).step({ at: 0, wanted: 0, depth: 50 }))).toBe(0);
  });
});

describe("in every run", () => {
  const moments = fc.array(
    fc.record({
      gap: fc.integer({ min: 1, max: 90 }),
      depth: fc.option(fc.integer({ min: 0, max: 300 }), { nil: null, freq: 4 }),
    }),
    { minLength: 1, maxLength: 25 },
  );
  const specs = fc.record({
    minReplicaCount: fc.integer({ min: 0, max: 3 }),
    maxReplicaCount: fc.integer({ min: 3, max: 12 }),
    cooldownPeriod: fc.integer({ min: 0, max: 120 }),
    pollingInterval: fc.integer({ min: 5, max: 60 }),
  });

  it("keeps the bounds, and without an answer never shrinks", () => {
    fc.assert(
      fc.property(specs, moments, (spec, list) => {
        const fleet = run(object(spec));
        let [at, wanted] = [0, spec.minReplicaCount];
        for (const { gap, depth } of list) {
          at += gap;
          const next = countOf(fleet.step({ at, wanted, depth, otherWriter: true }), wanted);
          expect(next).toBeGreaterThanOrEqual(spec.minReplicaCount);
          expect(next).toBeLessThanOrEqual(spec.maxReplicaCount);
          if (depth === null) expect(next).toBeGreaterThanOrEqual(wanted);
          wanted = next;
        }
      }),
      { numRuns: 60 },
    );
  });

  it("grows by no more than its behavior allows in any window (activation from zero and the jump to a bound are exempt)", () => {
    const behavior = { scaleUp: { policies: [{ type: "Pods", value: 2, periodSeconds: 60 }] } };
    const manifest = object({ minReplicaCount: 1, maxReplicaCount: 12, advanced: { horizontalPodAutoscalerConfig: { behavior } } });
    fc.assert(
      fc.property(moments, (list) => {
        const fleet = run(manifest);
        let [at, wanted] = [0, 1];
        const changes: { readonly at: number; readonly by: number }[] = [];
        for (const { gap, depth } of list) {
          at += gap;
          const next = countOf(fleet.step({ at, wanted, depth, otherWriter: true }), wanted);
          changes.push({ at, by: next - wanted });
          const grown = changes.filter((change) => change.at > at - 60 && change.by > 0).reduce((sum, { by }) => sum + by, 0);
          expect(grown).toBeLessThanOrEqual(2);
          wanted = next;
        }
      }),
      { numRuns: 60 },
    );
  });

  it("wants no less for more load, where all replicas are there and report", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 }), fc.nat(300), fc.nat(300), (wanted, one, other) => {
        const at = (depth: number) => countOf(run(object({})).step({ at: 0, wanted, depth, otherWriter: true }), wanted);
        expect(at(Math.max(one, other))).toBeGreaterThanOrEqual(at(Math.min(one, other)));
      }),
      { numRuns: 60 },
    );
  });

  it("looks neither at the order of replicas and series nor at labels that nobody asked for", () => {
    const noise = series("weather", 3, NOW, { kind: "external", labels: { a: "b" } });
    const given = [series("queue_depth", 77, NOW), noise, series("running", 1, NOW, { kind: "replica", id: "r1" })];
    const plain = run(object({})).step({ at: 0, wanted: 4, series: given });
    const turned = run(object({})).step({ at: 0, wanted: 4, series: given.toReversed(), replicas: replicas(4).toReversed() });
    expect(turned.wants).toEqual(plain.wants);
    expect(turned.steps).toEqual(plain.steps);
  });
});
