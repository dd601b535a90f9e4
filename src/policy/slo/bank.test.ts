import { describe, expect, it } from "vitest";
import type { Ms } from "../../model/index.ts";
import { allowedLate, correctionOf, noAttainment, spentOf } from "./attainment.ts";
import { type Bank, learnBank, noBank, type Plant, replicasFor } from "./bank.ts";
import { choose } from "./choice.ts";
import { fileDays, highestBetween } from "./days.ts";
import { addMark, type MutableMarks } from "./marks.ts";
import { learnSurges, nextSurge, noSurges, type Surges } from "./surges.ts";
import { addRecent, projected } from "./trend.ts";

const MINUTE: Ms = 60_000;
const plant: Plant = {
  lateLast: false,
  lateness: (use) => (use > 0.9 ? 1 : 0),
  coldStartMs: 100_000,
  answerMs: 5_000,
  toleratedMs: 1_400,
  min: 1,
  max: 60,
  standby: 0,
  reckoning: { perPrefill: 1e-4, perSequence: 1e-4 },
  mix: { prefill: 800, output: 200 },
};
function replayed(minutes: number, workAt: (ms: Ms) => number): Bank {
  let bank = learnBank(noBank, 1_000, workAt, plant);
  for (let atMs = 15_000; atMs <= minutes * MINUTE; atMs += 15_000) bank = learnBank(bank, atMs, workAt, plant);
  return bank;
}
const chosen = (bank: Bank) => choose(bank, 0.006, 1, bank.atMs as Ms, plant.coldStartMs);

describe("the bank", () => {
  it("sizes a steady load within a quarter of what it takes", () => {
    const choice = chosen(replayed(60, () => 5));
    expect(choice.tooLate).toBe(false);
    expect(replicasFor(choice.work)).toBeGreaterThanOrEqual(6);
    expect(replicasFor(choice.work)).toBeLessThanOrEqual(8);
  });

  it("remembers a surge until the like of it would be forgivable", () => {
    const surge = (ms: Ms) => (ms >= 10 * MINUTE && ms < 15 * MINUTE ? 20 : 4);
    const choice = chosen(replayed(40, surge));
    expect(replicasFor(choice.work)).toBeGreaterThanOrEqual(21);
  });

  it("goes down between surges that recur, and up before the next one", { timeout: 120_000 }, () => {
    const recurring = (ms: Ms) => (ms % (40 * MINUTE) >= 20 * MINUTE && ms % (40 * MINUTE) < 28 * MINUTE ? 16 : 2);
    const bank = replayed(331, recurring);
    expect(chosen(bank).by).toBe("surges that recur");
    expect(replicasFor(chosen(bank).work)).toBeLessThan(8);
    expect(replicasFor(chosen(replayed(337, recurring)).work)).toBeGreaterThanOrEqual(17);
  });

  it("gives the same after a restart", () => {
    const bank = replayed(10, (ms) => 3 + Math.sin(ms / 9_000));
    const again = JSON.parse(JSON.stringify(bank)) as Bank;
    expect(learnBank(again, 615_000, () => 3, plant)).toEqual(learnBank(bank, 615_000, () => 3, plant));
  });

  it("does not replay a stretch that nobody saw", () => {
    const bank = replayed(10, () => 5);
    const after = learnBank(bank, 60 * MINUTE, () => 0, plant);
    expect(after.arrived).toBe(bank.arrived);
    expect(after.excusedUntilMs).toBe(60 * MINUTE + plant.coldStartMs);
  });

  it("counts in another unit once work is learned anew", () => {
    const bank = replayed(10, () => 5);
    const doubled = learnBank(bank, 615_000, () => 10, { ...plant, reckoning: { perPrefill: 2e-4, perSequence: 2e-4 } });
    expect(doubled.known.fast / bank.known.fast).toBeCloseTo(2, 1);
  });
});

it("keeps the extreme of a window that slides", () => {
  const marks: MutableMarks = { atMs: [], value: [] };
  const all: number[] = [];
  for (let at = 0; at < 400; at++) {
    const value = (at * 7919) % 101;
    all.push(value);
    addMark(marks, at * 1_000, value, 60_000, 1);
    // A mark goes up to a twentieth of the window late.
    expect(marks.value[0]).toBeGreaterThanOrEqual(Math.max(...all.slice(-59)));
    expect(marks.value[0]).toBeLessThanOrEqual(Math.max(...all.slice(-65)));
  }
});

it("finds what was at this time yesterday, and says when it reaches back too far", () => {
  const days = { untilMs: 0, highest: [] as number[] };
  for (let ms = 0; ms < 30 * 60 * MINUTE; ms += MINUTE) fileDays(days, ms, ms === 5 * 60 * MINUTE ? 9 : 2);
  expect(highestBetween(days, 4 * 60 * MINUTE, 4.5 * 60 * MINUTE)).toBe(2);
  expect(highestBetween(days, 4.9 * 60 * MINUTE, 5.2 * 60 * MINUTE)).toBe(9);
  expect(highestBetween(days, -MINUTE, MINUTE)).toBeNull();
});

describe("surges", () => {
  const learned = (starts: readonly number[], untilMinute: number) => {
    let surges: Surges = noSurges;
    for (let ms = 0; ms < untilMinute * MINUTE; ms += 5_000) {
      const on = starts.some((start) => ms >= start * MINUTE && ms < (start + 5) * MINUTE);
      surges = learnSurges(surges, ms, 5_000, on ? 8 : 2);
    }
    return surges;
  };
  it("are expected once three gaps were seen, early by what the gaps vary", () => {
    expect(nextSurge(learned([10, 50, 90], 100))).toBeNull();
    const next = nextSurge(learned([10, 50, 90, 130], 140));
    expect(next?.peak).toBe(8);
    expect((next?.fromMs ?? 0) / MINUTE).toBeGreaterThan(150);
    expect((next?.fromMs ?? 0) / MINUTE).toBeLessThan(170);
  });
  it("that come at any time are expected at any time", () => {
    const next = nextSurge(learned([10, 20, 90, 97, 190], 200));
    expect((next?.fromMs ?? 0) / MINUTE).toBe(190);
  });
});

describe("a rise", () => {
  const of = (at: (step: number) => number) => {
    const recent: number[] = [];
    for (let step = 0; step < 36; step++) addRecent(recent, at(step));
    return recent;
  };
  it.each([
    { rule: "is carried on where it lasts", recent: of((step) => 10 + step), ahead: [45, 60] },
    { rule: "is none in a jump", recent: of((step) => (step < 18 ? 10 : 40)), ahead: [40, 40] },
    { rule: "is none in noise", recent: of((step) => 10 + ((step * 7) % 5)), ahead: [10, 13] },
    { rule: "is none where it falls", recent: of((step) => 50 - step), ahead: [14, 22] },
  ])("$rule", ({ recent, ahead: [low, high] }) => {
    expect(projected(recent, 60_000)).toBeGreaterThanOrEqual(low as number);
    expect(projected(recent, 60_000)).toBeLessThanOrEqual(high as number);
  });
});

describe("the error budget", () => {
  it("may be spent further while it is not used", () => {
    const used = (missed: number) => allowedLate({ ...noAttainment, ended: 100_000, missed }, 0.99);
    expect(used(0)).toBeGreaterThan(used(1_000));
    expect(used(1_000)).toBeGreaterThanOrEqual(used(5_000));
    expect(used(0)).toBeLessThan(0.01);
    expect(spentOf({ ...noAttainment, ended: 1e7, missed: 1e5 }, 0.99)).toBeCloseTo(1, 2);
  });
  it("trusts the replay less when more is missed than it foretells, within bounds", () => {
    const at = (seen: number, foretold: number) => correctionOf({ ...noAttainment, ended: 10_000, seen, foretold });
    expect(at(0, 0)).toBe(1);
    expect(at(5_000, 10)).toBe(3);
    expect(at(0, 5_000)).toBe(0.6);
  });
});
