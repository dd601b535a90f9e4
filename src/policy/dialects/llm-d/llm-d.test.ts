import { describe, expect, it } from "vitest";
import {
  analyzeQueueing,
  analyzeSaturation,
  analyzeTokens,
  bootstrap,
  type CapacityBalance,
  costAwareTargets,
  createQueueModel,
  derivedCapacity,
  inferredTarget,
  latencyTarget,
  median,
  noSaturationMemory,
  type ReplicaMetrics,
  saturationTargets,
  startTuning,
  type Tuned,
  tune,
  type VariantCapacity,
  type VariantState,
  workloadOf,
} from "./index.ts";

const config = {
  kvCacheThreshold: 0.8,
  queueLengthThreshold: 5,
  kvSpareTrigger: 0.1,
  queueSpareTrigger: 3,
  scaleUpThreshold: 0.85,
  scaleDownBoundary: 0.7,
};
const pod = (kvCacheUsage: number, queueLength = 0, over: Partial<ReplicaMetrics> = {}): ReplicaMetrics => ({
  podName: "p",
  variantName: "a",
  kvCacheUsage,
  queueLength,
  totalKvCapacityTokens: 100_000,
  tokensInUse: kvCacheUsage * 100_000,
  avgInputTokens: 1000,
  avgOutputTokens: 200,
  prefixCacheHitRate: 0,
  ...over,
});
const variant = (variantName: string, currentReplicas: number, over: Partial<VariantState> = {}): VariantState => ({
  variantName,
  role: "both",
  acceleratorName: "A100",
  gpusPerReplica: 1,
  cost: 10,
  currentReplicas,
  pendingReplicas: 0,
  desiredReplicas: currentReplicas,
  minReplicas: 0,
  maxReplicas: 100,
  ...over,
});

describe("saturation V1", () => {
  it.each([
    { rule: "up below the KV trigger", pods: [pod(0.71), pod(0.72)], up: true, down: false },
    { rule: "no more at exactly the trigger", pods: [pod(0.5), pod(0.5)], up: false, down: false },
    { rule: "up below the queue trigger", pods: [pod(0.1, 3), pod(0.1, 2)], up: true, down: false },
    { rule: "only the non-saturated ones count", pods: [pod(0.9), pod(0.1), pod(0.1)], up: false, down: true },
    { rule: "a queue at its threshold saturates", pods: [pod(0.1, 5)], up: true, down: false },
    { rule: "all saturated: no spare at all", pods: [pod(0.9), pod(0.85)], up: true, down: false },
    { rule: "one alone is never removed", pods: [pod(0.1)], up: false, down: false },
    { rule: "down where the rest can carry it", pods: [pod(0.2), pod(0.2), pod(0.2)], up: false, down: true },
    { rule: "nothing reports: nothing happens", pods: [], up: false, down: false },
  ])("$rule", ({ pods, up, down }) => {
    expect(analyzeSaturation(pods, config)).toMatchObject({ shouldScaleUp: up, scaleDownSafe: down });
  });

  const busy = analyzeSaturation([pod(0.75), pod(0.75)], config);
  const quiet = analyzeSaturation([pod(0.1), pod(0.1), pod(0.1)], config);
  it.each([
    { rule: "the cheapest grows", analysis: busy, states: [variant("a", 2, { cost: 5 }), variant("b", 1)], targets: { a: 3, b: 1 } },
    { rule: "of equals the first by name grows", analysis: busy, states: [variant("b", 1), variant("a", 2)], targets: { a: 3, b: 1 } },
    { rule: "the dearest shrinks", analysis: quiet, states: [variant("a", 2, { cost: 5 }), variant("b", 2)], targets: { a: 2, b: 1 } },
    { rule: "of equals the last by name shrinks", analysis: quiet, states: [variant("a", 2), variant("b", 2)], targets: { a: 2, b: 1 } },
    { rule: "none shrinks below one", analysis: quiet, states: [variant("a", 2), variant("b", 1, { cost: 90 })], targets: { a: 1, b: 1 } },
    {
      rule: "one variant on its way freezes all",
      analysis: busy,
      states: [variant("a", 2), variant("b", 1, { desiredReplicas: 3 })],
      targets: { a: 2, b: 3 },
    },
    { rule: "pending replicas freeze", analysis: busy, states: [variant("a", 2, { pendingReplicas: 1 })], targets: { a: 2 } },
    { rule: "the maximum holds", analysis: busy, states: [variant("a", 2, { maxReplicas: 2 })], targets: { a: 2 } },
    { rule: "the minimum holds", analysis: quiet, states: [variant("a", 3, { minReplicas: 3 })], targets: { a: 3 } },
  ])("$rule", ({ analysis, states, targets }) => {
    expect(saturationTargets(analysis, states)).toEqual(targets);
  });
});

describe("saturation V2", () => {
  const params = { maxNumBatchedTokens: 2048, maxNumSeqs: 256, kvCapacityTokens: null };
  const analyze = (pods: readonly ReplicaMetrics[], states: readonly VariantState[], memory = noSaturationMemory) =>
    analyzeTokens(pods, states, { size: 0, bytes: 0 }, config, () => params, memory);

  it("takes N·(I + O/2) with N = min(B·O/(I + O), sequences) as what compute allows", () => {
    expect(derivedCapacity(params, 1000, 200)).toBe(Math.trunc(((2048 * 200) / 1200) * 0 + 256 * 1100));
    expect(derivedCapacity({ ...params, maxNumSeqs: 1024 }, 1000, 200)).toBe(Math.trunc(((2048 * 200) / 1200) * 1100));
    expect(derivedCapacity(params, 1000, 0)).toBe(0);
  });
  it("is bound by memory: k1 = KV tokens × threshold", () => {
    const { variants, replicas } = analyze([pod(0.5)], [variant("a", 1)]);
    expect(replicas[0]).toMatchObject({ k1: 80_000, k2Source: "derived", capacity: 80_000, demand: 50_000 });
    expect(variants[0]).toMatchObject({ perReplicaCapacity: 80_000, demand: 50_000 });
  });
  it("is bound by compute once a queue was seen, and remembers that for that output length", () => {
    const first = analyze([pod(0.32, 8)], [variant("a", 1)]);
    expect(first.replicas[0]).toMatchObject({ k2: 32_000, k2Source: "observed", demand: 40_000 });
    const later = analyze([pod(0.2)], [variant("a", 1)], first.memory);
    expect(later.replicas[0]).toMatchObject({ k2: 32_000, k2Source: "historical", capacity: 32_000 });
    expect(analyze([pod(0.2, 0, { avgOutputTokens: 600 })], [variant("a", 1)], first.memory).replicas[0]).toMatchObject({
      k2Source: "derived",
    });
  });
  it("keeps the last ten observations", () => {
    let { memory } = analyze([], []);
    for (let at = 1; at <= 12; at++) memory = analyze([pod(at / 100, 6)], [variant("a", 1)], memory).memory;
    expect(analyze([pod(0)], [variant("a", 1)], memory).replicas[0]?.k2).toBe(Math.trunc(1000 * ((3 + 12) / 2)));
  });
  it("falls back to k1 without a workload, and says nothing of a replica whose KV cache is unknown", () => {
    expect(analyze([pod(0.5, 0, { avgInputTokens: 0, avgOutputTokens: 0 })], [variant("a", 1)]).replicas[0]).toMatchObject({
      k2Source: "k1",
      capacity: 80_000,
    });
    expect(analyze([pod(0.5, 0, { totalKvCapacityTokens: null })], [variant("a", 1)]).replicas).toEqual([]);
  });
  it("takes the lower middle's mean as median, in whole tokens", () => {
    expect(median([5, 1, 2])).toBe(2);
    expect(median([5, 2])).toBe(3);
    expect(median([])).toBe(0);
  });
  it("counts what waits upstream: prompts less prefix hits, and answers", () => {
    const [balance] = analyzeTokens(
      [pod(0.5, 0, { prefixCacheHitRate: 0.5 })],
      [variant("a", 1)],
      { size: 10, bytes: 80_000 },
      config,
      () => params,
      noSaturationMemory,
    ).balances;
    expect(balance?.demand).toBe(50_000 + 20_000 * 0.5 + 10 * 200);
  });
  it("keeps prefill and decode apart", () => {
    const states = [variant("a", 1, { role: "prefill" }), variant("d", 1, { role: "decode" })];
    const { balances } = analyze([pod(0.9), pod(0.1, 0, { variantName: "d" })], states);
    expect(balances.map(({ role, required }) => [role, required > 0])).toEqual([
      ["decode", false],
      ["prefill", true],
    ]);
  });
});

describe("the cost-aware optimizer", () => {
  const capacity = (variantName: string, perReplicaCapacity: number, cost: number): VariantCapacity => ({
    variantName,
    role: "both",
    cost,
    readyReplicas: 1,
    pendingReplicas: 0,
    perReplicaCapacity,
    demand: 0,
  });
  const balance = (required: number, spare: number): CapacityBalance => ({
    role: "both",
    demand: 0,
    supply: 0,
    anticipated: 0,
    required,
    spare,
  });
  const states = [variant("big", 2, { cost: 40 }), variant("small", 3, { cost: 10 })];
  const capacities = [capacity("big", 800, 40), capacity("small", 100, 10)];
  it.each([
    { rule: "adds ceil(required / capacity) where capacity is cheapest", required: 900, spare: 0, targets: { big: 4, small: 3 } },
    { rule: "adds exactly one where one is exactly enough", required: 800, spare: 0, targets: { big: 3, small: 3 } },
    { rule: "removes whole replicas from the dearest on", required: 0, spare: 1000, targets: { big: 1, small: 1 } },
    { rule: "keeps the last one, on the cheapest", required: 0, spare: 1e9, targets: { big: 0, small: 1 } },
    { rule: "leaves all inside the band", required: 0, spare: 0, targets: { big: 2, small: 3 } },
  ])("$rule", ({ required, spare, targets }) => {
    expect(costAwareTargets(balance(required, spare), capacities, states)).toEqual(targets);
  });
  it("spills to the next variant at a maximum", () => {
    const bounded = [variant("big", 2, { cost: 40, maxReplicas: 3 }), variant("small", 3, { cost: 10 })];
    expect(costAwareTargets(balance(1000, 0), capacities, bounded)).toEqual({ big: 3, small: 5 });
  });
  it("leaves a variant of unknown capacity alone", () => {
    expect(costAwareTargets(balance(1000, 0), [capacity("big", 0, 40)], [variant("big", 2)])).toEqual({ big: 2 });
  });
});

describe("the queueing model", () => {
  const params = { alpha: 8, beta: 0.03, gamma: 0.0001 };
  const size = { inputTokens: 500, outputTokens: 150 };
  const model = createQueueModel(params, size, { maxBatchSize: 64, maxQueueSize: 640 });

  it("is M/M/1/K with a batch of one", () => {
    const single = createQueueModel(params, size, { maxBatchSize: 1, maxQueueSize: 9 });
    const mu = single.maxRate / 0.999;
    const rho = 0.6;
    const weights = Array.from({ length: 11 }, (_, n) => rho ** n);
    const total = weights.reduce((sum, one) => sum + one, 0);
    const inside = weights.reduce((sum, one, n) => sum + n * one, 0) / total;
    const served = rho * mu * (1 - (weights[10] as number) / total);
    const metrics = single.analyze(rho * mu);
    expect(metrics?.throughput).toBeCloseTo(served, 9);
    expect(metrics?.waitMs).toBeCloseTo(1000 * (inside / served - 1 / mu), 6);
  });
  it("has nearly no wait and the times of a batch of one at the least rate", () => {
    const metrics = model.analyze(model.minRate);
    expect(metrics?.waitMs).toBeCloseTo(0, 6);
    expect(metrics?.inService).toBeLessThan(0.01);
  });
  it("grows in both latencies with the rate", () => {
    let [ttft, itl] = [0, 0];
    for (let share = 0.05; share < 1; share += 0.05) {
      const metrics = model.analyze(model.minRate + share * (model.maxRate - model.minRate));
      expect(metrics?.ttftMs).toBeGreaterThan(ttft);
      expect(metrics?.itlMs).toBeGreaterThan(itl);
      [ttft, itl] = [metrics?.ttftMs ?? 0, metrics?.itlMs ?? 0];
    }
  });
  it("knows nothing of a rate that cannot be served, nor of none", () => {
    expect(model.analyze(model.maxRate * 1.01)).toBeNull();
    expect(model.analyze(0)).toBeNull();
  });
  it("finds the rate at which the tighter target is just met", () => {
    const sized = model.size({ ttftMs: 400, itlMs: 20 });
    expect(sized).not.toBeNull();
    const { metrics, rate } = sized as NonNullable<typeof sized>;
    expect(metrics.ttftMs <= 400 && metrics.itlMs <= 20).toBe(true);
    const beyond = model.analyze(rate * 1.001);
    expect((beyond?.ttftMs ?? 0) > 400 || (beyond?.itlMs ?? 0) > 20).toBe(true);
    expect(model.size({ ttftMs: 1, itlMs: 20 })).toBeNull();
    expect(model.size({ ttftMs: 1e9, itlMs: 1e9 })?.rate).toBe(model.maxRate);
    expect(model.size({ ttftMs: 0, itlMs: 0, tps: 1 })?.rate).toBeCloseTo(0.9 * model.maxRate, 9);
  });
});

describe("the tuner", () => {
  const truth = { alpha: 9, beta: 0.04, gamma: 0.00012 };
  const size = { inputTokens: 600, outputTokens: 180 };
  const at = (share: number) => {
    const model = createQueueModel(truth, size, { maxBatchSize: 64, maxQueueSize: 640 });
    const arrivalRate = share * model.maxRate;
    const { ttftMs, itlMs } = model.analyze(arrivalRate) as NonNullable<ReturnType<typeof model.analyze>>;
    // The tuner's TTFT is without the first decode.
    return { arrivalRate, ...size, maxBatchSize: 64, ttftMs: ttftMs - itlMs, itlMs };
  };
  it("begins at what light load suggests", () => {
    const environment = { ...at(0.01), ttftMs: 8.1 + 0.041 * 600, itlMs: 9 };
    const start = bootstrap(environment);
    expect(start?.alpha).toBeCloseTo(8.1, 9);
    expect((start?.beta ?? 0) + (start?.gamma ?? 0)).toBeCloseTo(0.041, 9);
    expect(bootstrap({ ...environment, ttftMs: 1 })).toBeNull();
    expect(startTuning({ ...environment, ttftMs: 1, itlMs: 5 }).params).toEqual({ alpha: 5, beta: 0.05, gamma: 0.00005 });
  });
  it.each([0.05, 0.3, 0.6])("comes to predict what it observes, first seen at %f of its capacity", (first) => {
    let tuned: Tuned | null = tune(null, at(first)).tuned;
    for (let cycle = 0; cycle < 80; cycle++) tuned = tune(tuned, at(0.1 + 0.5 * ((cycle % 8) / 8))).tuned;
    const { params } = tuned as Tuned;
    const learned = createQueueModel(params, size, { maxBatchSize: 64, maxQueueSize: 640 });
    for (const share of [0.15, 0.35, 0.55]) {
      const seen = at(share);
      const said = learned.analyze(seen.arrivalRate);
      expect(Math.abs(((said?.ttftMs ?? 0) - (said?.itlMs ?? 0)) / seen.ttftMs - 1)).toBeLessThan(0.1);
      expect(Math.abs((said?.itlMs ?? 0) / seen.itlMs - 1)).toBeLessThan(0.1);
    }
  });
  it("rejects an outlier, and what it cannot explain", () => {
    let tuned: Tuned | null = null;
    for (let cycle = 0; cycle < 30; cycle++) tuned = tune(tuned, at(0.3)).tuned;
    const outlier = tune(tuned, { ...at(0.3), ttftMs: 50 * at(0.3).ttftMs });
    expect(outlier.accepted).toBe(false);
    expect(outlier.nis).toBeGreaterThan(7.378);
    expect(outlier.tuned).toEqual(tuned);
    expect(tune(tuned, { ...at(0.3), arrivalRate: 1e6 })).toMatchObject({ accepted: false, nis: null });
  });
});

describe("targets and sizing by the queueing model", () => {
  const workload = { arrivalRate: 2, inputTokens: 500, outputTokens: 100, ttftMs: 200, itlMs: 10 };
  const config = { sloMultiplier: 3, tuningEnabled: true, target: null };
  it("infers k·alpha plus the request's own work", () => {
    const target = inferredTarget({ alpha: 10, beta: 0.02, gamma: 0.001 }, workload, 3);
    expect(target.ttftMs).toBeCloseTo(30 + 0.021 * 500, 9);
    expect(target.itlMs).toBeCloseTo(30 + 0.02 + 0.001 * (500 + 50.5), 9);
  });
  it("prefers what is stated, then what was learned, then 1.5 times what is seen, within caps", () => {
    const stated = { ttftMs: 1, itlMs: 2 };
    const environment = { ...workload, maxBatchSize: 64 };
    expect(latencyTarget({ ...config, target: stated }, [startTuning(environment)], workload)).toEqual(stated);
    expect(latencyTarget(config, [], workload)).toEqual({ ttftMs: 300, itlMs: 15 });
    expect(latencyTarget(config, [], { ...workload, ttftMs: 9e9, itlMs: 9e9 })).toEqual({ ttftMs: 10_000, itlMs: 500 });
    expect(latencyTarget(config, [], null)).toBeNull();
  });
  it("weighs replicas by their arrivals", () => {
    expect(workloadOf([workload, { ...workload, arrivalRate: 6, inputTokens: 900 }])).toMatchObject({
      totalRate: 8,
      arrivalRate: 4,
      inputTokens: 800,
    });
    expect(workloadOf([{ ...workload, arrivalRate: 0 }])).toBeNull();
  });
  it("comes to ceil(arrivals / λ*) replicas", () => {
    const target = { ttftMs: 600, itlMs: 25 };
    const total = 30;
    const input = (current: number) => ({
      state: variant("a", current),
      workload: { ...workload, totalRate: total, arrivalRate: total / current, busy: current },
      maxBatchSize: 64,
      settled: false,
    });
    const tuned = { a: { ...startTuning({ ...workload, maxBatchSize: 64 }), params: { alpha: 9, beta: 0.04, gamma: 0.00012 } } };
    const perReplica = analyzeQueueing([input(3)], { ...config, target }, tuned).variants[0]?.perReplicaCapacity as number;
    for (const current of [1, 3, 40]) {
      const { variants, balances } = analyzeQueueing([input(current)], { ...config, target }, tuned);
      expect(costAwareTargets(balances[0] as CapacityBalance, variants, [variant("a", current)])).toEqual({
        a: Math.ceil(total / perReplica),
      });
    }
  });
});
