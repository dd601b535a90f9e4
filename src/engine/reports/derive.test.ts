import fc from "fast-check";
import { expect, it } from "vitest";
import { addHistograms, countOf, mergeHistograms, quantileOf } from "../../model/index.ts";
import { derive, parseEnginePage, quantileSignals } from "./index.ts";

const report = (atMs: number, lines: readonly string[]) => parseEnginePage("vllm", `${lines.join("\n")}\n`, atMs);
const counters = (prompt: number, gen: number, finished: number) => [
  `vllm:prompt_tokens_total ${prompt}`,
  `vllm:generation_tokens_total ${gen}`,
  `vllm:request_success_total ${finished}`,
];
const ttft = (le1: number, le2: number, all: number, sum: number) => [
  `vllm:time_to_first_token_seconds_bucket{le="1"} ${le1}`,
  `vllm:time_to_first_token_seconds_bucket{le="2"} ${le2}`,
  `vllm:time_to_first_token_seconds_bucket{le="+Inf"} ${all}`,
  `vllm:time_to_first_token_seconds_sum ${sum}`,
];

it("makes rates of counters", () => {
  const derived = derive(report(0, counters(100, 10, 1)), report(5000, counters(600, 60, 1)));
  expect(derived).toMatchObject({ atMs: 5000, windowMs: 5000 });
  expect(derived?.rates).toEqual({ prompt_tokens_per_second: 100, output_tokens_per_second: 10, request_rate: 0 });
});

it.each([
  ["after a reset", counters(100, 10, 5), counters(40, 4, 2)],
  [
    "where the process says it started anew",
    [...counters(1, 1, 1), "process_start_time_seconds 10"],
    [...counters(5, 5, 5), "process_start_time_seconds 20"],
  ],
  ["where a counter was not there before", [], counters(1000, 1000, 1000)],
  ["where it is gone", counters(1, 1, 1), []],
])("knows no rate %s", (_, before, after) => {
  expect(derive(report(0, before), report(1000, after))?.rates).toEqual({});
});

it("knows that a counter not shown yet stands at 0 while nothing runs or waits", () => {
  const idle = ["vllm:num_requests_running 0", "vllm:num_requests_waiting 0"];
  expect(derive(report(0, idle), report(1000, idle))?.rates).toMatchObject({ output_tokens_per_second: 0 });
  const busy = ["vllm:num_requests_running 1", "vllm:num_requests_waiting 0"];
  expect(derive(report(0, idle), report(1000, busy))?.rates).toEqual({});
});

it("makes no window of no time", () => {
  expect(derive(report(5, []), report(5, []))).toBeNull();
});

it("takes what was observed in between, and no quantile of nothing", () => {
  const first = report(0, ttft(1, 2, 3, 5));
  const busy = derive(first, report(1000, ttft(1, 6, 7, 11)));
  expect(busy?.histograms.ttft).toEqual({ bounds: [1, 2], counts: [0, 4, 0], sum: 6 });
  expect(quantileSignals(busy?.histograms ?? {})).toEqual({ ttft_p50: 1.5, ttft_p95: 1.95, ttft_p99: 1.99 });
  const quiet = derive(first, report(1000, ttft(1, 2, 3, 5)));
  expect(quiet?.histograms.ttft?.counts).toEqual([0, 0, 0]);
  expect(quantileSignals(quiet?.histograms ?? {})).toEqual({});
});

it("takes no difference over a reset or other bounds", () => {
  const first = report(0, ttft(1, 2, 3, 5));
  expect(derive(first, report(1000, ttft(1, 1, 1, 1)))?.histograms).toEqual({});
  const other = ['vllm:time_to_first_token_seconds_bucket{le="+Inf"} 9', "vllm:time_to_first_token_seconds_sum 9"];
  expect(derive(first, report(1000, other))?.histograms).toEqual({});
});

it("takes tpot from gaps where there is no tpot", () => {
  const itl = { bounds: [1], counts: [4, 0], sum: 2 };
  expect(quantileSignals({ itl }).tpot_p50).toBe(0.5);
  expect(quantileSignals({ itl, tpot: { bounds: [1], counts: [0, 0], sum: 0 } })).toEqual({});
});

it("interpolates inside a bucket and stops at the largest bound", () => {
  const histogram = { bounds: [1, 2, 4], counts: [2, 0, 2, 1], sum: 0 };
  expect(quantileOf(histogram, 0.2)).toBe(0.5);
  expect(quantileOf(histogram, 0.6)).toBe(3);
  expect(quantileOf(histogram, 0.99)).toBe(4);
  expect(quantileOf({ bounds: [], counts: [3], sum: 0 }, 0.5)).toBeNull();
});

const histogram = (bounds: readonly number[]) =>
  fc.array(fc.nat(50), { minLength: bounds.length + 1, maxLength: bounds.length + 1 }).map((counts) => ({ bounds, counts, sum: 1 }));

it("merges over common bounds without losing an observation", () => {
  fc.assert(
    fc.property(histogram([1, 2, 4, 8]), histogram([2, 3, 8]), (a, b) => {
      const merged = mergeHistograms([a, b]);
      expect(merged?.bounds).toEqual([2, 8]);
      expect(countOf(merged as never)).toBe(countOf(a) + countOf(b));
      expect(merged?.counts[0]).toBe((a.counts[0] as number) + (a.counts[1] as number) + (b.counts[0] as number));
      expect(addHistograms(a, b)).toBeNull();
      expect(mergeHistograms([a, a])).toEqual(addHistograms(a, a));
    }),
  );
});

it("gives quantiles that grow with q and stay inside the bounds", () => {
  fc.assert(
    fc.property(histogram([1, 2, 4, 8]), (one) => {
      const values = [0, 0.25, 0.5, 0.75, 1].map((q) => quantileOf(one, q));
      if (countOf(one) === 0) return expect(values.every((value) => value === null)).toBe(true);
      expect(values).toEqual([...values].sort((a, b) => (a as number) - (b as number)));
      expect(Math.max(...(values as number[]))).toBeLessThanOrEqual(8);
    }),
  );
});
