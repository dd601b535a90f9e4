import { expect, it } from "vitest";
import type { Entry } from "../history/index.ts";
import { measure } from "./measured.ts";
import { endpoint, histogram, moment, replica } from "./record.fixture.ts";

const hour = 3_600_000;
const of = { gpus: 2, price: 5 };
const measured = (entries: readonly Entry[]) => {
  const found = measure(entries, endpoint.objective, of);
  if (found === null) throw new Error("nothing was measured");
  return found;
};

it("bills pods by their own times, not by when they were looked at", () => {
  const a = replica("a", { starting: -hour, ready: -hour / 2 });
  const b = replica("b", { starting: hour / 4, ready: hour / 2 });
  const found = measured([
    moment(0, { wanted: 1, replicas: [a] }),
    moment(hour / 2 + 10_000, { wanted: 2, replicas: [a, b] }),
    moment(hour, { wanted: 1, replicas: [a, replica("b", { ...b.entered, gone: 0.75 * hour }, "gone")] }),
  ]);
  expect(found.gpuHours).toBeCloseTo(2 * (1 + 0.5), 6);
  expect(found.cost).toBeCloseTo(5 * 1.5, 6);
  expect(found.readyMean).toBeCloseTo(1.25, 6);
  expect([found.ups, found.downs]).toEqual([1, 1]);
  expect(found.coldStartsMs).toEqual([hour / 4]);
  expect(found.fleet.map(({ ready, billed }) => [ready, billed])).toEqual([
    [1, 1],
    [1, 2],
    [2, 2],
    [2, 2],
    [1, 1],
    [1, 1],
  ]);
});

it("a pod that was never said to be gone counts as long as it was seen", () => {
  const found = measured([moment(0, { wanted: 1, replicas: [replica("a", { starting: 0 }, "starting")] }), moment(hour, { wanted: 0 })]);
  expect(found.gpuHours).toBe(0);
});

it("says within what the attainment lies, as both latencies are counted apart", () => {
  const ttft = { bounds: [1, 2, 4], counts: [50, 40, 10, 0], sum: 100 };
  const tpot = { bounds: [0.05, 0.1], counts: [95, 5, 0], sum: 4 };
  const found = measured([
    moment(0, { wanted: 1 }),
    moment(5000, { wanted: 1, series: [histogram("ttft", ttft, 5000), histogram("tpot", tpot, 5000)] }),
  ]);
  expect(found.attainment?.most).toBeCloseTo(0.9);
  expect(found.attainment?.least).toBeCloseTo(0.85);
  expect(found.ttft).toMatchObject({ count: 100, p50Ms: 1000 });
});

it("knows no latency where the engines tell none: absent, not 0", () => {
  expect(measured([moment(0, { wanted: 1 }), moment(5000, { wanted: 1 })])).toMatchObject({ ttft: null, tpot: null, attainment: null });
  expect(measure([], endpoint.objective, of)).toBeNull();
});

it("tells how long nothing was looked at, and what slo wanted beside it", () => {
  const found = measured([
    moment(0, { wanted: 2, wants: 1 }),
    moment(5000, { wanted: 2, wants: null }),
    moment(125_000, { wanted: 2, wants: 3 }),
  ]);
  expect(found.unseenMs).toBe(120_000);
  expect(found.ours.map(({ replicas }) => replicas)).toEqual([1, 2, 3]);
});
