import { expect, it } from "vitest";
import { cheapestIdleMs, learnPause, noPauses } from "./idle.ts";

const after = (seconds: readonly number[]) => seconds.reduce((pauses, pause) => learnPause(pauses, pause * 1000), noPauses);
const many = (seconds: number, times: number) => Array.from({ length: times }, () => seconds);

it("waits the longer before anything was seen the more a wake-up costs, and no longer than that", () => {
  const waits = [300, 3000, 30_000].map((wakeSeconds) => (cheapestIdleMs(noPauses, wakeSeconds * 1000) as number) / 1000 / wakeSeconds);
  for (const share of waits) {
    expect(share).toBeGreaterThan(1 / 30);
    expect(share).toBeLessThan(1);
  }
});

it.each([
  { pauses: many(40, 50), wake: 100, from: 40, to: 62, why: "outlasts pauses that are shorter than a wake-up" },
  { pauses: many(4000, 50), wake: 100, from: 0, to: 5, why: "goes at once where every pause is long" },
  {
    pauses: [...many(20, 200), ...many(5000, 20)],
    wake: 100,
    from: 20,
    to: 32,
    why: "outlasts the short ones of two kinds, and no longer",
  },
])("$why", ({ pauses, wake, from, to }) => {
  const idleMs = cheapestIdleMs(after(pauses), wake * 1000) as number;
  expect(idleMs / 1000).toBeGreaterThanOrEqual(from);
  expect(idleMs / 1000).toBeLessThanOrEqual(to);
});

it("never goes where a wake-up costs more than all pauses", () => {
  expect(cheapestIdleMs(after(many(60, 20)), 1e12)).toBeNull();
});

it("learns other habits within some hundred pauses, and its state stays small", () => {
  const pauses = after([...many(30, 2000), ...many(2000, 600)]);
  expect(cheapestIdleMs(pauses, 100_000) as number).toBeLessThan(20_000);
  expect(JSON.stringify(pauses).length).toBeLessThan(1500);
});
