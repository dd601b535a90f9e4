import { expect, it } from "vitest";
import type { DoorReport, Histogram, Series, Slot } from "../model/index.ts";
import { createDoorSeries, doorSeries, emptyDoorMemory } from "./index.ts";

const startMs = 1_000_000;
const slot = (atMs: number, counts: Partial<Slot> = {}): Slot => ({
  atMs,
  class: "default",
  promptBand: 0,
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
  ...counts,
});
const ttft = (...counts: number[]): Histogram => ({ bounds: [1, 2], counts, sum: counts.reduce((a, b) => a + b, 0) });
const none = ttft(0, 0, 0);
const report = (atMs: number, slots: readonly Slot[], more: Partial<DoorReport["totals"]> = {}, first: Histogram = none): DoorReport => ({
  cursor: String(atMs),
  atMs,
  slots,
  latency: { ttft: first, tpot: none, e2e: none },
  replicas: [],
  totals: {
    arrived: atMs,
    completed: 0,
    failed: 0,
    cancelled: 0,
    rejected: 0,
    inFlight: 0,
    queued: 0,
    held: 0,
    promptTokens: 0,
    outputTokens: 0,
    withinObjective: 0,
    retried: 0,
    ...more,
  },
});
const engineSeries = (name: string, value: number, atMs: number, fault: Series["fault"] = null): Series => {
  const sample = { atMs, windowMs: 0, value };
  return { name, subject: { kind: "endpoint" }, samples: [sample], latest: sample, fault };
};
const find = (series: readonly Series[], name: string) => series.filter((one) => one.name === name && one.subject.kind === "endpoint");
const value = (series: readonly Series[], name: string) => find(series, name)[0]?.latest?.value;

it("makes rates of closed seconds over the part of the window that was watched", () => {
  const step = createDoorSeries();
  const first = step(
    [],
    report(startMs + 4200, [slot(startMs, { arrivals: 2, promptTokens: 400 }), slot(startMs + 3000, { arrivals: 2, outputTokens: 80 })]),
    startMs + 4200,
  );
  expect(find(first, "request_rate")[0]?.latest).toEqual({ atMs: startMs + 4000, windowMs: 4000, value: 1 });
  expect([value(first, "prompt_tokens_per_second"), value(first, "output_tokens_per_second")]).toEqual([100, 20]);
  const later = step([], report(startMs + 16_000, [slot(startMs + 10_000, { arrivals: 13 })]), startMs + 16_000);
  expect(find(later, "request_rate")[0]?.latest).toEqual({ atMs: startMs + 16_000, windowMs: 15_000, value: 1 });
  const idle = step([], report(startMs + 60_000, []), startMs + 60_000);
  expect(value(idle, "request_rate")).toBe(0);
});

it("knows no rate of a ledger that it has not watched", () => {
  const series = createDoorSeries()([], report(startMs + 900, []), startMs + 900);
  expect(find(series, "request_rate")).toEqual([]);
  expect(value(series, "in_flight")).toBe(0);
});

it("counts held requests as in flight and queued, with the engines' waiting where it is known", () => {
  const at = report(startMs, [], { inFlight: 5, held: 2 });
  const run = (engine: readonly Series[]) => doorSeries(emptyDoorMemory, engine, at, startMs).series;
  expect([value(run([]), "in_flight"), value(run([]), "held"), value(run([]), "queue_depth")]).toEqual([7, 2, 2]);
  expect(value(run([engineSeries("waiting", 4, startMs - 1000)]), "queue_depth")).toBe(6);
  expect(value(run([engineSeries("waiting", 4, startMs - 90_000, { code: "no-replicas", sinceMs: 0 })]), "queue_depth")).toBe(2);
  for (const unknown of [
    engineSeries("waiting", 4, startMs - 16_000),
    engineSeries("waiting", 4, startMs, { code: "partial", sinceMs: 0 }),
  ]) {
    expect(find(run([unknown]), "queue_depth")[0]).toMatchObject({
      latest: null,
      samples: [],
      fault: { code: "partial", sinceMs: startMs },
    });
  }
});

it("slides quantiles over a minute and makes none of no request", () => {
  const step = createDoorSeries();
  step([], report(startMs, []), startMs);
  const busy = step([], report(startMs + 1000, [], {}, ttft(4, 0, 0)), startMs + 1000);
  expect(value(busy, "ttft_p50")).toBe(0.5);
  const both = step([], report(startMs + 31_000, [], {}, ttft(0, 4, 0)), startMs + 31_000);
  expect(find(both, "ttft_p50")[0]?.latest).toEqual({ atMs: startMs + 31_000, windowMs: 31_000, value: 1 });
  const half = step([], report(startMs + 62_000, [], {}, none), startMs + 62_000);
  expect(value(half, "ttft_p50")).toBe(1.5);
  const quiet = step([], report(startMs + 122_000, [], {}, none), startMs + 122_000);
  expect(find(quiet, "ttft_p50")[0]).toMatchObject({ samples: [], latest: { atMs: startMs + 62_000 }, fault: null });
  expect(value(quiet, "ttft")).toEqual(none);
});

it("replaces the endpoint's series of engines and leaves those of replicas", () => {
  const replica: Series = { ...engineSeries("request_rate", 3, startMs), subject: { kind: "replica", id: "a" } };
  const engine = [
    engineSeries("request_rate", 9, startMs),
    engineSeries("ttft_p95", 9, startMs),
    engineSeries("kv_used", 0.5, startMs),
    replica,
  ];
  const series = createDoorSeries()(engine, report(startMs + 2000, [slot(startMs)]), startMs + 2000);
  expect(find(series, "request_rate").map(({ latest }) => latest?.value)).toEqual([0]);
  expect(find(series, "ttft_p95")).toEqual([]); // no request ended yet: what engines say is another thing
  expect(value(series, "kv_used")).toBe(0.5);
  expect(series).toContain(replica);
});

it("leaves alone what is not asked of it, before it could say anything and after", () => {
  const engine = [engineSeries("request_rate", 9, startMs), engineSeries("ttft_p95", 8, startMs), engineSeries("queue_depth", 7, startMs)];
  const step = createDoorSeries({ names: new Set(["in_flight"]) });
  for (const atMs of [startMs, startMs + 2000]) {
    const series = step(engine, report(atMs, [slot(startMs)], { inFlight: 3 }), atMs);
    expect(["request_rate", "ttft_p95", "queue_depth"].map((name) => value(series, name))).toEqual([9, 8, 7]);
    expect(value(series, "in_flight")).toBe(3);
  }
});

it("keeps its last values through a silence and then gives way to engines", () => {
  const step = createDoorSeries();
  const engine = (atMs: number) => [engineSeries("request_rate", 9, atMs)];
  step(engine(startMs), report(startMs + 2000, [slot(startMs, { arrivals: 2 })], { held: 1 }), startMs + 2000);
  const silent = step(engine(startMs + 5000), null, startMs + 5000);
  expect(find(silent, "request_rate")).toMatchObject([
    { samples: [], latest: { value: 1 }, fault: { code: "admin/unreachable", sinceMs: startMs + 5000 } },
  ]);
  const stale = step(engine(startMs + 20_000), null, startMs + 20_000);
  expect(find(stale, "request_rate")).toMatchObject([{ latest: { value: 9 } }]);
  expect(find(stale, "held")).toMatchObject([{ latest: { value: 1 }, fault: { sinceMs: startMs + 5000 } }]);
  const back = step(engine(startMs + 21_000), report(startMs + 21_000, [slot(startMs + 9000, { arrivals: 15 })]), startMs + 21_000);
  expect(find(back, "request_rate")).toMatchObject([{ latest: { value: 1 }, fault: null }]);
});

it("counts a report given twice once", () => {
  const step = createDoorSeries();
  step([], report(startMs, []), startMs);
  const next = report(startMs + 2000, [slot(startMs, { arrivals: 4 })], {}, ttft(1, 0, 0));
  expect(find(step([], next, startMs + 2000), "request_rate")[0]?.samples).toHaveLength(1);
  const again = step([], next, startMs + 3000);
  expect(find(again, "request_rate")[0]).toMatchObject({ samples: [], latest: { value: 2 } });
});

it("starts anew with a gateway that did", () => {
  const step = createDoorSeries();
  step([], report(startMs + 2000, [slot(startMs, { arrivals: 100 })], { arrived: 100 }), startMs + 2000);
  const fresh = step([], report(startMs + 6000, [slot(startMs + 5000, { arrivals: 3 })], { arrived: 3 }), startMs + 6000);
  expect(find(fresh, "request_rate")[0]?.latest).toEqual({ atMs: startMs + 6000, windowMs: 1000, value: 3 });
});
