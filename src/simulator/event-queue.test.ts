import fc from "fast-check";
import { expect, it } from "vitest";
import { EventQueue } from "./event-queue.ts";

it("fires in order of time, and of equal times in the order in which they were set", () => {
  const command = fc.record({
    timer: fc.nat(40),
    atMs: fc.integer({ min: 0, max: 12 }),
    act: fc.constantFrom("set", "set", "set", "clear"),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
      const queue = new EventQueue();
      const fired: number[] = [];
      const ids = Array.from({ length: 41 }, (_, timer) => queue.add(() => fired.push(timer)));
      const expected = new Map<number, { atMs: number; order: number }>();
      commands.forEach(({ timer, atMs, act }, order) => {
        if (act === "clear") {
          queue.clear(ids[timer]!);
          expected.delete(timer);
        } else {
          queue.set(ids[timer]!, atMs);
          if (expected.get(timer)?.atMs !== atMs) expected.set(timer, { atMs, order });
        }
      });
      expect(queue.size).toBe(expected.size);
      while (queue.size > 0) queue.fireNext();
      const sorted = [...expected].sort(([, a], [, b]) => a.atMs - b.atMs || a.order - b.order);
      expect(fired).toEqual(sorted.map(([timer]) => timer));
      expect(queue.nextMs).toBe(Number.POSITIVE_INFINITY);
    }),
  );
});

it("lets a timer set itself again, and gives the number of a removed one to the next", () => {
  const queue = new EventQueue();
  const seen: number[] = [];
  const again = queue.add((nowMs) => {
    seen.push(nowMs);
    if (nowMs < 3) queue.set(again, nowMs + 1);
  });
  queue.set(again, 1);
  while (queue.size > 0) queue.fireNext();
  expect(seen).toEqual([1, 2, 3]);
  queue.remove(again);
  expect(queue.add(() => {})).toBe(again);
});
