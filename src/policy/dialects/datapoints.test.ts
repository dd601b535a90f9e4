import { describe, expect, it } from "vitest";
import { observation, ready, series } from "../plant.fixture.ts";
import { cloudEndpoint } from "./cloud.fixture.ts";
import {
  collectDatapoints,
  foldDatapoint,
  NO_DATAPOINTS,
  needsOf,
  newestDatapoints,
  type SourceSample,
  samplerOf,
  scopeOf,
  signalOf,
} from "./datapoints.ts";

const sample = (source: string, atMs: number, value: number): SourceSample => ({ source, atMs, value });
const options = (nowMs: number) => ({ nowMs, periodMs: 60_000, keepMs: 300_000, replicas: 2 });

describe("a period's datapoint", () => {
  it("has the mean of each source once, whatever the number of its samples", () => {
    const samples = [sample("a", 1_000, 10), sample("a", 2_000, 30), sample("b", 3_000, 50)];
    const { closed } = collectDatapoints(NO_DATAPOINTS, samples, options(60_000));
    expect(closed).toEqual([{ startMs: 0, sources: 2, sum: 70, min: 20, max: 50, replicas: 2 }]);
    const [point] = closed;
    if (point === undefined) throw new Error("no datapoint");
    const fold = (by: Parameters<typeof foldDatapoint>[1], signal = "running") => foldDatapoint(point, by, signal, 60_000);
    expect([fold("Average"), fold("Minimum"), fold("Maximum"), fold("Sum"), fold("Count")]).toEqual([35, 20, 50, 70, 2]);
    // A total of what is per second.
    expect(fold("Sum", "request_rate")).toBe(4_200);
  });

  it("stays open until the period is over, over several observations, and counts no sample twice", () => {
    const first = collectDatapoints(NO_DATAPOINTS, [sample("a", 10_000, 10)], options(30_000));
    expect(first.closed).toEqual([]);
    const second = collectDatapoints(first, [sample("a", 10_000, 10), sample("a", 40_000, 20)], options(59_000));
    const third = collectDatapoints(second, [sample("a", 61_000, 99)], options(60_001));
    expect(third.closed).toMatchObject([{ startMs: 0, sum: 15 }]);
    expect(Object.keys(third.open)).toEqual(["60000"]);
  });

  it("is missing where nothing was reported, and is never 0", () => {
    const memory = collectDatapoints(NO_DATAPOINTS, [sample("a", 10_000, 10), sample("a", 130_000, 20)], options(180_000));
    expect(newestDatapoints(memory, 185_000, 60_000, 4).map((point) => point?.sum ?? null)).toEqual([null, 10, null, 20]);
  });

  it("is forgotten in time, and takes no sample after it is closed", () => {
    const first = collectDatapoints(NO_DATAPOINTS, [sample("a", 10_000, 10)], options(60_000));
    const late = collectDatapoints(first, [sample("b", 50_000, 90)], options(70_000));
    expect(late.closed).toMatchObject([{ startMs: 0, sum: 10 }]);
    expect(collectDatapoints(late, [], options(360_000)).closed).toEqual([]);
  });

  it("counts replicas instead of the endpoint where both speak", () => {
    const samples = [sample("*", 1_000, 100), sample("a", 2_000, 30), sample("b", 2_000, 50)];
    expect(collectDatapoints(NO_DATAPOINTS, samples, options(60_000)).closed).toMatchObject([{ sources: 2, sum: 80 }]);
  });
});

describe("samples", () => {
  const replicas = [ready("a"), ready("b")];
  const from = (over: Parameters<typeof observation>[0], signal: string, per: "replica" | "endpoint") => {
    const seen = observation({ replicas, ...over });
    return samplerOf(seen, 30_000)(signal, per, ["a", "b"]);
  };

  it("are those of the replicas, else the endpoint's own, else of the gateway's slots", () => {
    const own = series("running", null, 9, 5_000);
    const each = [series("running", "a", 1, 5_000), series("running", "b", 2, 5_000), series("running", "stranger", 7, 5_000)];
    expect(from({ series: [own, ...each] }, "running", "replica").map(({ value }) => value)).toEqual([1, 2]);
    expect(from({ series: [own] }, "running", "replica")).toEqual([{ source: "*", atMs: 5_000, value: 9 }]);
    expect(from({ series: [own, ...each] }, "running", "endpoint")).toEqual([{ source: "*", atMs: 5_000, value: 9 }]);
    expect(from({ series: each }, "running", "endpoint")).toHaveLength(2);
    const slot = { atMs: 7_000, class: "", promptBand: 0, arrivals: 3, promptTokens: 0, prefixHitTokens: 0, completed: 0, outputTokens: 0 };
    const ended = { failed: 0, cancelled: 0, rejected: 0, withinObjective: 0, inFlightMean: 0, heldMean: 0 };
    expect(from({ slots: [{ ...slot, ...ended }] }, "request_rate", "endpoint")).toEqual([{ source: "*", atMs: 7_000, value: 3 }]);
    expect(from({}, "request_rate", "endpoint")).toEqual([]);
  });
});

it("looks a signal up by each of a metric's names, and asks for it where it is to be found", () => {
  const endpoint = cloudEndpoint({ metrics: { "NS/Load": "kv_used", Load: "running" } });
  expect([signalOf(endpoint, "NS/Load", "Load"), signalOf(endpoint, "Other/Load", "Load"), signalOf(endpoint, "X/Y", "Y")]).toEqual([
    "kv_used",
    "running",
    "Y",
  ]);
  expect([scopeOf(endpoint, "kv_used"), scopeOf(endpoint, "request_rate"), scopeOf(endpoint, "own")]).toEqual([
    "replica",
    "endpoint",
    "replica",
  ]);
  const reads = [
    { signal: "kv_used", periodMs: 60_000 },
    { signal: "kv_used", periodMs: 30_000 },
  ];
  expect(needsOf(endpoint, reads)).toEqual([{ name: "kv_used", per: "replica", sampleEveryMs: 5_000 }]);
});
