import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bucketWindow,
  currentMax,
  isEmpty,
  linearAverage,
  maxWindow,
  record,
  recordAll,
  recordMax,
  resizeWindow,
  weightedAverage,
} from "./index.ts";

const SECOND = 1_000;
const START = 1_000_000_000_000;
const filled = (seconds: number, values: readonly number[]) =>
  recordAll(
    bucketWindow(seconds * SECOND, SECOND),
    values.map((value, at) => ({ atMs: START + at * SECOND, value })),
  );
const at = (seconds: number) => START + seconds * SECOND;

describe("a window of seconds", () => {
  it("adds up what is recorded twice in one second", () => {
    const window = record(record(bucketWindow(5 * SECOND, SECOND), START, 2), START + 999, 3);
    expect(linearAverage(window, START)).toBe(5);
  });
  it("divides by its age while it is young, and by what is left while it is silent", () => {
    const window = filled(5, [2, 4, 6]);
    expect([2, 3, 4, 5, 6, 7].map((seconds) => linearAverage(window, at(seconds)))).toEqual([4, 4, 4, 5, 6, 0]);
  });
  it("counts a second between two writes as 0", () => {
    expect(linearAverage(record(filled(5, [6]), at(2), 6), at(2))).toBe(4);
  });
  it("is empty only after more than a window of silence", () => {
    const window = filled(5, [1]);
    expect([isEmpty(window, at(5)), isEmpty(window, at(6))]).toEqual([false, true]);
    expect(isEmpty(bucketWindow(5 * SECOND, SECOND), START)).toBe(true);
  });
  it("keeps its newest seconds when it shrinks, and what it has when it grows", () => {
    const window = filled(5, [1, 2, 3, 4, 5]);
    expect(linearAverage(resizeWindow(window, 2 * SECOND, at(4)), at(4))).toBe(4.5);
    const grown = resizeWindow(window, 10 * SECOND, at(4));
    expect(linearAverage(grown, at(4))).toBe(3);
    expect(linearAverage(record(grown, at(5), 9), at(5))).toBe(4);
    expect(resizeWindow(window, 5 * SECOND, at(4))).toBe(window);
  });
  it("is emptied by a change of size after it has been silent", () => {
    const resized = resizeWindow(filled(5, [1, 2, 3]), 8 * SECOND, at(30));
    expect(linearAverage(resized, at(30))).toBe(0);
    expect(linearAverage(record(resized, at(31), 7), at(31))).toBe(7);
  });

  it("averages, linearly, what a plain list of the last seconds averages", () => {
    const steps = fc.array(fc.record({ skip: fc.integer({ min: 0, max: 3 }), value: fc.integer({ min: 0, max: 50 }) }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 4, max: 12 }), (list, seconds) => {
        let window = bucketWindow(seconds * SECOND, SECOND);
        const bySecond = new Map<number, number>();
        let now = 0;
        for (const { skip, value } of list) {
          now += skip;
          window = record(window, at(now), value);
          bySecond.set(now, (bySecond.get(now) ?? 0) + value);
        }
        const first = Math.min(...bySecond.keys());
        const inside = Array.from({ length: Math.min(seconds, now - first + 1) }, (_, back) => bySecond.get(now - back) ?? 0);
        expect(linearAverage(window, at(now))).toBeCloseTo(inside.reduce((sum, value) => sum + value, 0) / inside.length, 5);
        expect(weightedAverage(window, at(now))).toBeLessThanOrEqual(Math.max(...bySecond.values()));
      }),
    );
  });
});

it("a sliding maximum is the largest of the last indices", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ skip: fc.nat(3), value: fc.nat(9) }), { minLength: 1 }),
      fc.integer({ min: 1, max: 6 }),
      (list, size) => {
        let window = maxWindow(size);
        const seen: { index: number; value: number }[] = [];
        let index = 0;
        for (const { skip, value } of list) {
          index += skip;
          seen.push({ index, value });
          window = recordMax(window, index, value);
          expect(currentMax(window)).toBe(Math.max(...seen.filter((entry) => entry.index > index - size).map((entry) => entry.value)));
        }
      },
    ),
  );
});
