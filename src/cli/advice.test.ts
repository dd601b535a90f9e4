import { expect, it } from "vitest";
import type { Replica } from "../model/index.ts";
import { costFor, measuredStarts, savingOf, stageShares, withFaster } from "./advice.ts";

const replica = (id: string, entered: Replica["entered"]): Replica => ({ id, pool: "default", state: "ready", entered, readiness: null });
const a = replica("a", { starting: 0, pull: 0, load: 10_000, warmup: 80_000, ready: 100_000 });
const b = replica("b", { starting: 50_000, pull: 50_000, load: 70_000, warmup: 140_000, ready: 150_000 });

it("takes each start once, and neither wakes nor what is not ready", () => {
  const asleep = replica("c", { starting: 0, wake: 5, ready: 10 });
  const loading = replica("d", { starting: 0, load: 0 });
  const starts = measuredStarts([
    [a, asleep],
    [a, b, loading],
  ]);
  expect(starts).toEqual([
    { totalMs: 100_000, stages: { pull: 10_000, load: 70_000, warmup: 20_000 } },
    { totalMs: 100_000, stages: { pull: 20_000, load: 70_000, warmup: 10_000 } },
  ]);
  expect(stageShares(starts)).toEqual([
    { stage: "pull", share: 0.15 },
    { stage: "load", share: 0.7 },
    { stage: "warmup", share: 0.15 },
  ]);
  expect(withFaster(starts, "load", 40_000)[0]).toEqual({ totalMs: 60_000, stages: { pull: 10_000, load: 30_000, warmup: 20_000 } });
  expect(withFaster(starts, "load", 90_000)[0]!.totalMs).toBe(30_000);
});

const floors = [
  { attainment: 0.9, cost: 10 },
  { attainment: 0.96, cost: 13 },
  { attainment: 1, cost: 20 },
];
it.each([
  ["at a floor", 0.9, 10],
  ["between two floors", 0.93, 11.5],
  ["a hair above one, which is noise", 0.9604, 13],
  ["below all, which the cheapest does", 0.8, 10],
  ["above all", 1.01, null],
  ["of nothing", null, null],
])("the cost of an attainment %s", (_, attainment, cost) => {
  const found = costFor(attainment, floors);
  if (cost === null) expect(found).toBeNull();
  else expect(found).toBeCloseTo(cost, 9);
});

it("saves against the cheapest way to the same attainment, not against today's bill", () => {
  expect(savingOf({ attainment: 0.93, cost: 10.35 }, floors)).toBeCloseTo(0.1, 9);
  expect(savingOf({ attainment: 0.9, cost: 11 }, floors)).toBeCloseTo(-0.1, 9);
});
