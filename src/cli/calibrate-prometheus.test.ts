import { expect, it } from "vitest";
import { fitProfile } from "../engine/index.ts";
import { recordedStretches } from "./calibrate-prometheus.ts";

const range = { startMs: 0, endMs: 40 * 60_000, stepMs: 60_000 };
const minutes = Array.from({ length: 40 }, (_, at) => (at + 1) * 60_000);
/** An engine of 12 ms + 0.05 ms a sequence + 0.08 ms a prompt token, under loads that move apart. */
const running = (at: number) => 2 + 6 * (1 + Math.sin(at));
const prompts = (at: number) => 20_000 * (1 + Math.cos(1.7 * at));
const iterations = (at: number) => (60_000 - 0.08 * prompts(at)) / (12 + 0.05 * running(at));

const client = (kvLabels: Record<string, string>) => {
  const shown = (query: string, at: number): number | null => {
    if (query.includes("num_requests_running")) return running(at);
    if (query.includes("generation_tokens")) return running(at) * iterations(at);
    if (query.includes("prompt_tokens")) return prompts(at) + 500;
    if (query.includes("prefix_cache_hits")) return 500;
    return null;
  };
  return {
    query: async () => ({ series: [{ labels: kvLabels, points: [{ atMs: 0, value: 1 }] }], warnings: [], partial: false }),
    queryRange: async (query: string) => ({
      series: [
        {
          labels: { instance: "a:8000" },
          points: minutes.flatMap((atMs, at) => {
            const value = shown(query, at);
            return value === null ? [] : [{ atMs, value }];
          }),
        },
      ],
      warnings: [],
      partial: false,
    }),
  };
};

it("an engine's own counters give its coefficients back, without what prefixes hit", async () => {
  const { stretches, kvTokens, replicas } = await recordedStretches(client({ num_gpu_blocks: "100", block_size: "16" }), "", range, null);
  expect({ count: stretches.length, kvTokens, replicas }).toEqual({ count: 40, kvTokens: 1600, replicas: 1 });
  const { profile } = fitProfile(stretches, { model: "m", gpu: "", tp: 1, kvCapacityTokens: 1600 }, { kinds: "one" });
  expect(profile.decAMs).toBeCloseTo(12, 1);
  expect(profile.decCUsPerSeq).toBeCloseTo(50, 0);
  expect(profile.mixBUsPerPrefillToken).toBeCloseTo(80, 0);
});

it("nothing recorded is an error that says what to check, not an engine of 0 ms", async () => {
  const empty = { query: client({}).query, queryRange: async () => ({ series: [], warnings: [], partial: false }) };
  await expect(recordedStretches(empty, 'model_name="x"', range, null)).rejects.toThrow('with {model_name="x"}');
});
