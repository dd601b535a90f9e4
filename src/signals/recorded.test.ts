import { expect, it } from "vitest";
import { type RecordedStretch, resample } from "../traces/index.ts";
import { type PrometheusClient, recordedByPrometheus, VLLM_QUERIES } from "./index.ts";

const stepMs = 60_000;
const points = (values: readonly number[]) => values.map((value, at) => ({ atMs: (at + 1) * stepMs, value }));
const buckets = (rows: Readonly<Record<string, readonly number[]>>) =>
  Object.entries(rows).map(([le, values]) => ({ labels: { le }, points: points(values) }));
/** A server that knows these answers and keeps what it was asked. */
function server(
  answers: Readonly<
    Record<"requests" | "prompt" | "generation", readonly { labels: Record<string, string>; points: ReturnType<typeof points> }[]>
  >,
) {
  const asked: string[] = [];
  const client: PrometheusClient = {
    query: () => Promise.reject(new Error("not asked")),
    queryRange(query, range) {
      asked.push(query);
      const kind = query.includes("prompt_tokens") ? "prompt" : query.includes("generation_tokens") ? "generation" : "requests";
      const series = answers[kind].map(({ labels, points }) => ({
        labels,
        points: points.filter(({ atMs }) => atMs >= range.startMs && atMs <= range.endMs),
      }));
      return Promise.resolve({ series, warnings: [], partial: false });
    },
    close: () => Promise.resolve(),
  };
  return { client, asked };
}
async function all(stretches: AsyncIterable<RecordedStretch>): Promise<RecordedStretch[]> {
  const found: RecordedStretch[] = [];
  for await (const stretch of stretches) found.push(stretch);
  return found;
}
const range = { startMs: 0, endMs: 3 * stepMs, stepMs };
const prompt = buckets({ "100": [10, 0, 20], "10": [4, 0, 0], "+Inf": [12, 0, 20] });
const generation = buckets({ "50": [12, 0, 20], "+Inf": [12, 0, 20] });

it("makes a stretch of each step that had requests, buckets in order of their bounds", async () => {
  const { client, asked } = server({ requests: [{ labels: {}, points: points([12, 0, 20.4]) }], prompt, generation });
  const stretches = await all(recordedByPrometheus(client, VLLM_QUERIES, range));
  expect(stretches).toMatchObject([
    {
      atMs: 0,
      durationMs: stepMs,
      requests: 12,
      promptTokens: { bounds: [10, 100], counts: [4, 6, 2] },
      outputTokens: { counts: [12, 0] },
    },
    { atMs: 2 * stepMs, requests: 20.4, promptTokens: { counts: [0, 20, 0] } },
  ]);
  expect(asked).toContain("sum(increase(vllm:request_success_total[60s]))");
  const rows = [...resample(stretches, 1)];
  expect(rows.length).toBeGreaterThanOrEqual(32);
  expect(rows.every(({ arrivalMs }) => arrivalMs < stepMs || arrivalMs >= 2 * stepMs)).toBe(true);
});

it("asks in parts that the server answers", async () => {
  const { client, asked } = server({ requests: [{ labels: {}, points: points([12]) }], prompt, generation });
  await all(recordedByPrometheus(client, VLLM_QUERIES, { startMs: 0, endMs: 25_000 * stepMs, stepMs }));
  expect(asked).toHaveLength(9);
});

it("leaves out a step of which the sizes are not known", async () => {
  const holey = buckets({ "10": [4, 1, 0], "+Inf": [12, 3] });
  const { client } = server({ requests: [{ labels: {}, points: points([12, 3, 20]) }], prompt: holey, generation: holey });
  expect((await all(recordedByPrometheus(client, VLLM_QUERIES, range))).map(({ atMs }) => atMs)).toEqual([0, stepMs]);
});

it.each([
  [
    "several series of requests",
    [
      { labels: { a: "1" }, points: points([1]) },
      { labels: { a: "2" }, points: points([1]) },
    ],
    "gives 2 series; wrap it in sum(…)",
  ],
  ["no requests at all", [], "Prometheus has no requests with sizes in that range"],
])("refuses %s", async (_, requests, message) => {
  const { client } = server({ requests, prompt, generation });
  await expect(all(recordedByPrometheus(client, VLLM_QUERIES, range))).rejects.toThrow(message);
});
