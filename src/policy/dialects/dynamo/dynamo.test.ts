import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findProfile } from "../../../engine/index.ts";
import { decodeRate, mixedRate, prefillRate, profiledTime } from "../llm/index.ts";
import {
  addSample,
  addToAverage,
  averageOf,
  benchmark,
  capChange,
  clampPair,
  clampSingle,
  combineAggregated,
  corrections,
  type EngineLoad,
  fitIteration,
  iterationTime,
  type LoadDecision,
  latencyDecode,
  latencyPrefill,
  learnPass,
  nextTtftMs,
  noEngineModel,
  noPredictor,
  noRegression,
  observe,
  type PredictorConfig,
  predictNext,
  sizeCorrected,
  staticDecode,
  staticPrefill,
} from "./index.ts";

describe("the GPU budget", () => {
  const part = (replicas: number, gpus = 1, minEndpoint = 1) => ({ replicas, gpus, minEndpoint });
  const up = (maxGpus: number, minGpus = -1) => ({ minGpus, maxGpus });
  it.each([
    { rule: "leaves what fits", prefill: part(3), decode: part(4), budget: up(8), counts: [3, 4] },
    { rule: "shrinks in proportion, the rest to decode", prefill: part(6), decode: part(6), budget: up(8), counts: [4, 4] },
    { rule: "leaves decode its minimum", prefill: part(100), decode: part(1), budget: up(8), counts: [7, 1] },
    { rule: "counts GPUs, not replicas", prefill: part(4, 2), decode: part(4, 4), budget: up(16), counts: [2, 3] },
    { rule: "gives none where the minima do not fit", prefill: part(4, 4), decode: part(4, 4), budget: up(6), counts: [0, 0] },
    { rule: "has no limit below zero", prefill: part(90), decode: part(90), budget: up(-1), counts: [90, 90] },
    { rule: "grows to the least number of GPUs", prefill: part(1), decode: part(3), budget: up(-1, 8), counts: [2, 6] },
    { rule: "grows from nothing in halves", prefill: part(0, 1, 0), decode: part(0, 1, 0), budget: up(-1, 6), counts: [3, 3] },
    { rule: "is content within one replica of the least", prefill: part(2, 2), decode: part(1, 2), budget: up(8, 8), counts: [2, 1] },
  ])("$rule", ({ prefill, decode, budget, counts }) => {
    expect(clampPair(prefill, decode, budget)).toEqual(counts);
  });
  it.each([
    { rule: "fits one component", one: part(9, 2), budget: up(8), replicas: 4 },
    { rule: "keeps the minimum", one: part(9, 2, 3), budget: up(7), replicas: 3 },
    { rule: "gives none where the minimum does not fit", one: part(9, 2, 4), budget: up(7), replicas: 0 },
    { rule: "raises to the least number of GPUs", one: part(1, 2), budget: up(-1, 5), replicas: 3 },
    { rule: "raises no further than the most", one: part(1, 2), budget: up(5, 5), replicas: 2 },
  ])("$rule", ({ one, budget, replicas }) => {
    expect(clampSingle(one, budget)).toBe(replicas);
  });
  it("never exceeds the most GPUs where the minima fit", () => {
    const count = fc.nat(40);
    fc.assert(
      fc.property(
        count,
        count,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 8 }),
        fc.nat(200),
        fc.integer({ min: -1, max: 100 }),
        (p, d, pg, dg, most, least) => {
          const [a, b] = clampPair(part(p, pg), part(d, dg), up(most, Math.min(least, most)));
          if (pg + dg <= most && p * pg + d * dg > most)
            expect(a * pg + b * dg).toBeLessThanOrEqual(Math.max(most, p * pg + d * dg === 0 ? 0 : most));
        },
      ),
    );
  });
});

describe("predictors", () => {
  const config = (kind: PredictorConfig["kind"], over: Partial<PredictorConfig> = {}): PredictorConfig => ({
    kind,
    log1p: false,
    qLevel: 1,
    qTrend: 0.1,
    r: 10,
    ...over,
  });
  const fed = (values: readonly number[], of: PredictorConfig) =>
    values.reduce((predictor, value) => observe(predictor, value, of), noPredictor);
  const next = (values: readonly number[], of: PredictorConfig) => predictNext(fed(values, of), of).value;
  it("leaves leading zeros out and takes what is no number for 0", () => {
    expect(fed([0, 0, 5, 0, Number.NaN], config("constant")).seen).toEqual([5, 0, 0]);
  });
  it.each([
    { rule: "constant: the last value", of: config("constant"), values: [3, 9], value: 9 },
    { rule: "constant: 0 before anything came", of: config("constant"), values: [], value: 0 },
    { rule: "ARIMA: the last value before five points", of: config("arima"), values: [1, 2, 3, 4], value: 4 },
    { rule: "ARIMA: the value that never changed", of: config("arima"), values: [7, 7, 7, 7, 7, 7], value: 7 },
  ])("$rule", ({ of, values, value }) => {
    expect(next(values, of)).toBe(value);
  });
  it("ARIMA goes on with growth, keeps its orders, and chooses them anew when the series has doubled", () => {
    const of = config("arima");
    const fitted = predictNext(
      fed(
        Array.from({ length: 20 }, (_, at) => 10 * (at + 1)),
        of,
      ),
      of,
    );
    expect(fitted.value).toBeCloseTo(210, 0);
    const later = observe(fitted.predictor, 210, of);
    expect(later.arima).toEqual(fitted.predictor.arima);
    const doubled = Array.from({ length: 20 }, (_, at) => 210 + 10 * at).reduce(
      (predictor, value) => observe(predictor, value, of),
      fitted.predictor,
    );
    expect(predictNext(doubled, of).predictor.arima?.chosenAt).toBe(40);
    expect(predictNext(later, of).value).toBeCloseTo(220, 0);
  });
  it("Kalman follows a trend; in log space it stays positive", () => {
    expect(
      next(
        Array.from({ length: 50 }, (_, at) => 100 + 4 * at),
        config("kalman"),
      ),
    ).toBeCloseTo(300, 0);
    expect(next([500, 100, 20, 4, 1, 0, 0], config("kalman", { log1p: true }))).toBeGreaterThanOrEqual(0);
  });
  it("gives finite counts of anything, never below 0", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.constant(0)), { maxLength: 40 }),
        fc.constantFrom("constant" as const, "arima" as const, "kalman" as const),
        fc.boolean(),
        (values, kind, log1p) => {
          const value = next(values, config(kind, { log1p }));
          expect(Number.isFinite(value) && value >= 0).toBe(true);
        },
      ),
      { numRuns: 80 },
    );
  });
});

describe("what is learned of engines", () => {
  const config = { maxSamples: 8, buckets: 4 };
  it("retires the oldest of the fullest bucket, so that rare loads stay known", () => {
    let regression = addSample(noRegression, { features: [100], ms: 100 }, config);
    for (let at = 0; at < 30; at++) regression = addSample(regression, { features: [at % 3], ms: 1 + at }, config);
    expect(regression.samples).toHaveLength(8);
    expect(regression.samples[0]).toEqual({ features: [100], ms: 100 });
  });
  it("refuses a fit in which more load takes less time, and clips the feature that may turn", () => {
    const falling = [1, 2, 3].map((x) => ({ features: [x], ms: 10 - x })).reduce((all, one) => addSample(all, one, config), noRegression);
    expect(fitIteration(falling, 3)).toBeNull();
    // The intercept stays that of the whole fit, as in the original.
    expect(fitIteration(falling, 3, [0])?.([100])).toBeCloseTo(10, 6);
    expect(fitIteration(falling, 4, [0])).toBeNull();
  });
  it("leaves leading zeros out of means", () => {
    expect(averageOf([0, 0, 4, 0].reduce((average, value) => addToAverage(average, value, 3), [] as readonly number[]))).toBe(2);
    expect(averageOf([])).toBe(0);
  });
  it("learns a profile's iteration times from a sweep over it", () => {
    const profile = findProfile("8B");
    const shape = { maxNumBatchedTokens: 2048, maxNumSeqs: 256, maxKvTokens: profile.kvCapacityTokens };
    const sweep = { maxSamples: 64, buckets: 16 };
    const real = profiledTime(profile);
    const decode = iterationTime(benchmark(noEngineModel, "decode", profile, shape, sweep), "decode", 5);
    const prefill = iterationTime(benchmark(noEngineModel, "prefill", profile, shape, sweep), "prefill", 5);
    const pass = { prefillTokens: 0, requests: 64, kvTokens: 100_000 };
    expect(decode?.(pass)).toBeCloseTo(real(pass), 1);
    const prompt = { prefillTokens: 1500, requests: 0, kvTokens: 0 };
    expect(prefill?.(prompt)).toBeCloseTo(real(prompt), 0);
  });
  it("knows nothing before enough observations", () => {
    const pass = { prefillTokens: 100, decoding: 3, kvTokens: 900, promptTokens: 500, ms: 20 };
    const once = learnPass(noEngineModel, "decode", pass, { maxSamples: 64, buckets: 16 });
    expect(iterationTime(once, "decode", 5)).toBeNull();
    expect(iterationTime(once, "decode", 1)?.({ prefillTokens: 0, requests: 9, kvTokens: 9 })).toBe(20);
  });
});

describe("rates of one engine", () => {
  const time = ({ prefillTokens, requests, kvTokens }: { prefillTokens: number; requests: number; kvTokens: number }) =>
    10 + 0.05 * prefillTokens + 0.1 * requests + 0.0001 * kvTokens;
  const shape = { maxNumBatchedTokens: 1000, maxNumSeqs: 100, maxKvTokens: 100_000 };
  it("prefills in chunks, one prompt after the other", () => {
    expect(prefillRate(time, shape, 2500, 100)).toMatchObject({ ttftMs: 3 * 10 + 0.05 * 2500, perSecond: 1000 / 155, met: false });
    expect(prefillRate(time, shape, 0, 100)).toBeNull();
  });
  it("decodes the largest batch inside the target", () => {
    const rate = decodeRate(time, shape, 1000, 200, 16);
    expect(rate).toMatchObject({ itlMs: 10 + 30 * 0.2, met: true });
    expect(rate?.perSecond).toBeCloseTo((1000 * 30) / (200 * 16), 9);
    expect(decodeRate(time, shape, 1000, 200, 1e9)?.itlMs).toBe(10 + 100 * 0.2);
    expect(decodeRate(time, shape, 10_000, 200, 1e9)?.itlMs).toBe(10 + 10 * 1.1);
    expect(decodeRate(time, shape, 1000, 200, 1)).toMatchObject({ met: false, itlMs: 10.2 });
  });
  it("of both keeps both targets", () => {
    const load = { promptTokens: 500, outputTokens: 100, hitShare: 0 };
    const rate = mixedRate(time, shape, load, { ttftMs: 400, itlMs: 25 });
    expect(rate?.met).toBe(true);
    expect(rate?.itlMs).toBeLessThanOrEqual(25);
    const strict = mixedRate(time, shape, load, { ttftMs: 400, itlMs: 18 });
    expect(strict?.perSecond).toBeLessThan(rate?.perSecond as number);
    expect(mixedRate(time, shape, load, { ttftMs: 1, itlMs: 1 })?.met).toBe(false);
    expect(mixedRate(time, shape, { ...load, hitShare: 0.5 }, { ttftMs: 400, itlMs: 25 })?.perSecond).toBeGreaterThan(
      rate?.perSecond as number,
    );
  });
});

const load = (over: Partial<EngineLoad> = {}): EngineLoad => ({
  id: "e",
  queuedPrefillTokens: 0,
  scheduledDecodeKv: 0,
  queuedDecodeKv: 0,
  ...over,
});
const queue = (queuedPrefillTokens: number) => load({ queuedPrefillTokens });
const kv = (scheduledDecodeKv: number) => load({ scheduledDecodeKv });

describe("static thresholds", () => {
  const rules = (target: "throughput" | "latency" | "load") => ({
    target,
    minEndpoint: 1,
    prefillTokens: { up: 5000, down: 100 },
    kvPercent: { up: 80, down: 30 },
  });
  it.each([
    { rule: "prefill: up at the context length, if any is", target: "throughput", engines: [queue(0), queue(8000)], desired: 3 },
    { rule: "prefill: down where all are under a tenth", target: "throughput", engines: [queue(799), queue(0)], desired: 1 },
    { rule: "prefill: not at exactly a tenth", target: "throughput", engines: [queue(800), queue(0)], desired: null },
    { rule: "prefill, latency: up at a tenth", target: "latency", engines: [queue(800), queue(0)], desired: 3 },
    { rule: "prefill, latency: down where all queues are empty", target: "latency", engines: [queue(0), queue(0)], desired: 1 },
    { rule: "prefill, latency: not with one token queued", target: "latency", engines: [queue(1), queue(0)], desired: null },
    { rule: "prefill, load: own numbers of tokens", target: "load", engines: [queue(5000), queue(0)], desired: 3 },
    { rule: "prefill, load: down at the lower one", target: "load", engines: [queue(100), queue(0)], desired: 1 },
  ] as const)("$rule", ({ target, engines, desired }) => {
    expect(staticPrefill(engines, 2, 8000, rules(target)).desired).toBe(desired);
  });
  it.each([
    { rule: "decode: not at exactly full", target: "throughput", engines: [kv(1000), kv(0)], desired: null },
    {
      rule: "decode: up beyond, queues counted",
      target: "throughput",
      engines: [load({ scheduledDecodeKv: 900, queuedDecodeKv: 101 }), kv(0)],
      desired: 3,
    },
    { rule: "decode: down where all are under 60 %", target: "throughput", engines: [kv(599), kv(0)], desired: 1 },
    { rule: "decode, latency: up beyond 40 %", target: "latency", engines: [kv(401), kv(0)], desired: 3 },
    { rule: "decode, latency: down under 10 %", target: "latency", engines: [kv(99), kv(0)], desired: 1 },
    { rule: "decode, load: own percents", target: "load", engines: [kv(801), kv(0)], desired: 3 },
  ] as const)("$rule", ({ target, engines, desired }) => {
    expect(staticDecode(engines, 2, 1000, false, rules(target)).desired).toBe(desired);
  });
  it("counts queued prompts of aggregated engines too", () => {
    const engines = [load({ scheduledDecodeKv: 900, queuedPrefillTokens: 200 })];
    expect(staticDecode(engines, 1, 1000, true, rules("throughput")).desired).toBe(2);
    expect(staticDecode(engines, 1, 1000, false, rules("throughput")).desired).toBeNull();
  });
  it("never takes the last one, and says nothing where it cannot know", () => {
    expect(staticDecode([kv(0)], 1, 1000, false, rules("throughput")).desired).toBeNull();
    expect(staticDecode([kv(0)], 1, null, false, rules("throughput")).reason).toBe("insufficient_data");
    expect(staticPrefill([queue(0)], 1, null, rules("throughput")).reason).toBe("insufficient_data");
    expect(staticPrefill([], 0, 8000, rules("throughput")).reason).toBe("insufficient_data");
  });
});

describe("latency targets", () => {
  const model = { ...noEngineModel, promptTokens: [1000], decodeLength: [500], decoding: [9], prefillTokens: [100] };
  const estimator = {
    model,
    maxNumBatchedTokens: 1000,
    maxKvTokens: 10_000,
    hitShare: 0,
    time: ({ prefillTokens, kvTokens }: { prefillTokens: number; kvTokens: number }) => 10 + 0.1 * prefillTokens + 0.002 * kvTokens,
  };
  const rules = { targetMs: 400, sensitivity: 0.8, minEndpoint: 1 };
  it("estimates the first token by chunks behind the queue, less prefix hits", () => {
    expect(nextTtftMs(estimator, 1500, 0)).toBe(3 * 10 + 250);
    expect(nextTtftMs({ ...estimator, hitShare: 0.5 }, 1000, 0)).toBe(10 + 100);
  });
  it.each([
    { rule: "up where all are above", engines: [queue(3000), queue(4000)], desired: 3, reason: "scale_up" },
    { rule: "not where one is below", engines: [queue(3000), queue(0)], desired: null, reason: "scale_down_refused_consolidation" },
    { rule: "down where one could carry the queues of two", engines: [queue(100), queue(200)], desired: 1, reason: "scale_down" },
  ])("prefill: $rule", ({ engines, desired, reason }) => {
    expect(latencyPrefill(engines, 2, estimator, rules)).toMatchObject({ desired, reason });
  });
  it("prefill: never down where the prompt alone misses the target", () => {
    expect(latencyPrefill([queue(0), queue(0)], 2, estimator, { ...rules, targetMs: 100 }).desired).toBe(3);
    expect(latencyPrefill([queue(0), queue(0)], 2, estimator, { ...rules, targetMs: 110 }).reason).toBe("scale_down_refused_consolidation");
  });
  it.each([
    { rule: "up where all are above", engines: [kv(9000), kv(9500)], targetMs: 20, desired: 3 },
    { rule: "down where one would fit cache and target", engines: [kv(1000), kv(1000)], targetMs: 30, desired: 1 },
    { rule: "not where the cache would be too small", engines: [kv(5000), kv(100)], targetMs: 1000, desired: null },
    { rule: "not where the target would be near", engines: [kv(3000), kv(3000)], targetMs: 25, desired: null },
  ])("decode: $rule", ({ engines, targetMs, desired }) => {
    expect(latencyDecode(engines, 2, estimator, { ...rules, targetMs }).desired).toBe(desired);
  });
  const decision = (desired: number | null, reason: LoadDecision["reason"] = "no_change"): LoadDecision => ({
    desired,
    reason,
    worst: null,
  });
  it.each([
    { rule: "up if prefill says so", prefill: decision(3), decode: decision(1), count: 3 },
    { rule: "up if decode says so", prefill: decision(1), decode: decision(3), count: 3 },
    { rule: "down only if both do", prefill: decision(1), decode: decision(1), count: 1 },
    { rule: "not down by decode alone", prefill: decision(null), decode: decision(1), count: 2 },
    { rule: "down by decode alone where prefill cannot say", prefill: decision(null, "insufficient_data"), decode: decision(1), count: 1 },
  ])("aggregated: $rule", ({ prefill, decode, count }) => {
    expect(combineAggregated(prefill, decode, 2)).toBe(count);
  });
});

describe("throughput", () => {
  it("changes by no more than its cap", () => {
    expect([capChange(30, 4, 8), capChange(0, 20, 8), capChange(0, 3, 8), capChange(9, 4, 8)]).toEqual([12, 12, 0, 9]);
  });
  it("of 2025 bends the profile by what was observed", () => {
    const shape = { maxNumBatchedTokens: 8192, maxNumSeqs: 64, maxKvTokens: null };
    const prefillTime = ({ prefillTokens }: { prefillTokens: number }) => 0.1 * prefillTokens;
    const decodeTime = ({ requests }: { requests: number }) => 10 + requests;
    const seen = { ttftMs: 50, itlMs: 30, requestsPerSecond: 2, promptTokens: 1000, outputTokens: 100, decodeReplicas: 1 };
    const factors = corrections(prefillTime, decodeTime, shape, seen);
    expect(factors?.prefill).toBeCloseTo(0.5, 9);
    expect(factors?.decode).toBeCloseTo(30 / (10 + 2 * 3.05), 9);
    const forecast = { requestsPerSecond: 41, promptTokens: 1000, outputTokens: 100, hitShare: 0 };
    const targets = { ttftMs: 500, itlMs: 40 };
    const sized = sizeCorrected(prefillTime, decodeTime, { prefill: shape, decode: shape }, forecast, targets, { prefill: 0.5, decode: 2 });
    // 10 prompts/s and engine, half of that needed; a batch of 10 inside 40 / 2 ms gives 5 requests/s.
    expect([sized.prefill.replicas, sized.decode.replicas]).toEqual([3, 9]);
    expect(
      sizeCorrected(prefillTime, decodeTime, { prefill: shape, decode: shape }, forecast, targets, { prefill: 9, decode: 0 }).prefill
        .replicas,
    ).toBe(5);
  });
});
