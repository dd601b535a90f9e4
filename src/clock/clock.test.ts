import { expect, it } from "vitest";
import { epochOf, realClock, shiftBetween } from "./index.ts";

it("works out the epoch with which another process shows the same time", () => {
  const epochMs = Date.now() - 100_000;
  expect(Math.abs(epochOf(realClock(20, epochMs)) - epochMs)).toBeLessThanOrEqual(3);
});

it("is the wall clock at speed 1, whatever the epoch", () => {
  expect(Math.abs(realClock(1, 0).now() - Date.now())).toBeLessThanOrEqual(20);
  expect(shiftBetween({ speed: 1, epochMs: 5_000 }, { epochMs: 90_000 })).toBe(0);
});

it.each([
  { speed: 20, earlierMs: 30_000 },
  { speed: 5, earlierMs: -7_400 },
  { speed: 0.5, earlierMs: 61_234 },
])("brings the times of a clock of speed $speed that started $earlierMs ms earlier onto ours, to half a second", ({ speed, earlierMs }) => {
  const epochMs = Date.now();
  const theirs = realClock(speed, epochMs - earlierMs);
  const ours = realClock(speed, epochMs);
  const shiftMs = shiftBetween({ speed, epochMs }, { epochMs: epochMs - earlierMs });
  expect(Math.abs(shiftMs % 1000)).toBe(0);
  expect(Math.abs(theirs.now() + shiftMs - ours.now())).toBeLessThanOrEqual(500 + 20 * speed);
});
