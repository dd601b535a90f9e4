import fc from "fast-check";
import { expect, it } from "vitest";
import type { ClassOrder, Ms } from "../model/index.ts";
import { DoorQueue, type DoorWaiter, hasRoom, lateFromMs, NOWHERE, shareOfBound } from "./index.ts";

interface Named extends DoorWaiter {
  readonly name: string;
}
const waiter = (name: string, arrivedMs: Ms, lateFrom: Ms = Number.POSITIVE_INFINITY, classOrder: ClassOrder | null = null): Named => ({
  name,
  arrivedMs,
  lateFromMs: lateFrom,
  classOrder,
  lane: NOWHERE,
  place: 0,
  order: 0,
});
const queueOf = (...waiters: readonly Named[]) => {
  const queue = new DoorQueue<Named>();
  for (const one of waiters) queue.push(one);
  return queue;
};
const drain = (queue: DoorQueue<Named>, nowMs: Ms, oldestEvery = 1000) => {
  const names: string[] = [];
  for (let next = queue.take(nowMs, oldestEvery); next !== null; next = queue.take(nowMs, oldestEvery)) names.push(next.waiter.name);
  return names.join(" ");
};

it.each([
  {
    rule: "by arrival while nobody is late",
    nowMs: 10,
    waiters: [waiter("b", 2, 50), waiter("a", 1, 50), waiter("c", 3, 50)],
    goes: "a b c",
  },
  { rule: "the late after those on time", nowMs: 10, waiters: [waiter("a", 1, 10), waiter("b", 2, 11), waiter("c", 3, 11)], goes: "b c a" },
  {
    rule: "a long prompt is late before it looks so, and does not hide who stands behind it",
    nowMs: 10,
    waiters: [waiter("a", 1, 20), waiter("long", 2, 5), waiter("b", 3, 20), waiter("c", 4, 20)],
    goes: "a b c long",
  },
  {
    rule: "classes first and last among those on time, and alike once late",
    nowMs: 10,
    waiters: [
      waiter("low", 1, 50, "last"),
      waiter("mid", 2, 50),
      waiter("top", 3, 50, "first"),
      waiter("old", 0, 5),
      waiter("topold", 1, 5, "first"),
    ],
    goes: "top mid low old topold",
  },
  {
    rule: "a class that is fifo goes by arrival, however old",
    nowMs: 10_000,
    waiters: [
      waiter("fifo", 1, lateFromMs(1, 10, { attainment: 0.9, timeToFirstTokenMs: 5, timePerOutputTokenMs: 5 }, null, "fifo"), "fifo"),
      waiter("late", 0, 5),
    ],
    goes: "fifo late",
  },
])("$rule", ({ nowMs, waiters, goes }) => {
  expect(drain(queueOf(...waiters), nowMs)).toBe(goes);
});

it("lets the one that has waited longest go after so many that passed over it", () => {
  const queue = queueOf(
    waiter("old", 0, 5),
    waiter("older", -1, 5),
    ...Array.from({ length: 7 }, (_, at) => waiter(String(at), at + 1, 100)),
  );
  expect(drain(queue, 10, 3)).toBe("0 1 older 2 3 old 4 5 6");
  expect(drain(queueOf(waiter("a", 0, 5), waiter("b", 1, 50)), 10, 1)).toBe("a b");
});

it("says who is late, and takes one away from wherever it waits", () => {
  const [a, b, c] = [waiter("a", 0, 5), waiter("b", 1, 6), waiter("c", 2, 7)] as const;
  const queue = queueOf(a, b, c);
  expect([queue.lateBy(4), queue.lateBy(6), queue.size]).toEqual([0, 2, 3]);
  queue.remove(b);
  queue.remove(b);
  expect([queue.lateBy(6), queue.size, b.lane]).toEqual([1, 2, NOWHERE]);
  expect(queue.take(6, 10)).toMatchObject({ waiter: c, late: false });
  expect(queue.take(6, 10)).toMatchObject({ waiter: a, late: true });
  expect([queue.take(6, 10), queue.takeOldest()]).toEqual([null, null]);
});

it.each([
  { rule: "its bound, where no speed is known", tokens: 1000, speed: null, order: null, late: 2100 },
  { rule: "less its own prefill and what may be ahead of it", tokens: 1000, speed: 10_000, order: null, late: 1800 },
  { rule: "before it has arrived, where its own prefill alone takes too long", tokens: 30_000, speed: 10_000, order: "first", late: -1100 },
  { rule: "never, in a class that is fifo", tokens: 1000, speed: 10_000, order: "fifo", late: Number.POSITIVE_INFINITY },
] as const)("a request becomes late: $rule", ({ tokens, speed, order, late }) => {
  const objective = { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 50 };
  const bound = { maxInFlight: 10, maxPromptTokens: 2000, promptTokensPerSecond: speed };
  expect(lateFromMs(100, tokens, objective, bound, order)).toBe(late);
});

it("takes one more while both counts are below the bound, whatever its prompt", () => {
  const bound = { maxInFlight: 2, maxPromptTokens: 100, promptTokensPerSecond: null };
  expect([hasRoom(bound, 1, 99), hasRoom(bound, 2, 0), hasRoom(bound, 0, 100), hasRoom(null, 1e6, 1e9)]).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect(shareOfBound(bound, 3)).toEqual({ maxInFlight: 1, maxPromptTokens: 34, promptTokensPerSecond: null });
});

interface Step {
  readonly kind: "push" | "take" | "remove";
  readonly afterMs: number;
  readonly patienceMs: number;
  readonly ageMs: number;
  readonly classOrder: ClassOrder | null;
  readonly which: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("push", "push", "push", "take", "take", "remove"),
  afterMs: fc.integer({ min: 0, max: 5 }),
  patienceMs: fc.integer({ min: -5, max: 30 }),
  ageMs: fc.constant(0),
  classOrder: fc.constantFrom("first", "last", "fifo", null),
  which: fc.nat(),
});

it("goes as a plain list that is searched each time would", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (steps, oldestEvery) => {
      const queue = new DoorQueue<Named>();
      let list: Named[] = [];
      let [nowMs, passed] = [0, 0];
      for (const [at, { kind, afterMs, patienceMs, classOrder, which }] of steps.entries()) {
        nowMs += afterMs;
        if (kind === "push") {
          const one = waiter(String(at), nowMs, classOrder === "fifo" ? Number.POSITIVE_INFINITY : nowMs + patienceMs, classOrder);
          queue.push(one);
          list.push(one);
        } else if (kind === "remove" && list.length > 0) {
          const one = list[which % list.length] as Named;
          queue.remove(one);
          list = list.filter((other) => other !== one);
        } else if (kind === "take") {
          // One that is late counts as such once nobody of its class before it is on time: that is when anyone could tell the difference.
          const rank = (one: Named) => {
            const own = one.classOrder === "first" ? 0 : one.classOrder === "last" ? 2 : 1;
            return one.lateFromMs <= nowMs ? 3 : own;
          };
          const sorted = list.toSorted((a, b) => rank(a) - rank(b) || a.arrivedMs - b.arrivedMs || a.order - b.order);
          const oldest = list.toSorted((a, b) => a.arrivedMs - b.arrivedMs || a.order - b.order)[0];
          const wanted = passed + 1 >= oldestEvery ? oldest : sorted[0];
          const got = queue.take(nowMs, oldestEvery)?.waiter;
          expect(got?.name).toBe(wanted?.name);
          if (wanted !== undefined) passed = wanted === oldest ? 0 : passed + 1;
          list = list.filter((other) => other !== got);
        }
        expect(queue.size).toBe(list.length);
      }
    }),
  );
});

it("starves nobody: one with n older ones before it goes within oldestEvery × (n + 1) departures", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 300 }), fc.integer({ min: 1, max: 12 }), (steps, oldestEvery) => {
      const queue = new DoorQueue<Named>();
      const dueBy = new Map<Named, number>();
      let [nowMs, gone] = [0, 0];
      const take = () => {
        const next = queue.take(nowMs, oldestEvery);
        if (next === null) return;
        gone++;
        expect(gone).toBeLessThanOrEqual(dueBy.get(next.waiter) as number);
        dueBy.delete(next.waiter);
      };
      for (const [at, { kind, afterMs, patienceMs, classOrder }] of steps.entries()) {
        nowMs += afterMs;
        if (kind === "take") take();
        else {
          // Everyone who comes later is younger, and most are on time while the oldest are not.
          dueBy.set(pushed(queue, waiter(String(at), nowMs, nowMs + patienceMs, classOrder)), gone + oldestEvery * queue.size);
        }
      }
      // Younger ones that are on time keep coming, one for each that goes: the worst that can happen.
      for (let more = 0; dueBy.size > 0 && more < 5000; more++) {
        nowMs++;
        queue.push(waiter("young", nowMs, nowMs + 1000, "first"));
        const before = queue.take(nowMs, oldestEvery);
        gone++;
        const due = dueBy.get(before?.waiter as Named);
        if (due !== undefined) {
          expect(gone).toBeLessThanOrEqual(due);
          dueBy.delete(before?.waiter as Named);
        }
      }
      expect(dueBy.size).toBe(0);
    }),
  );
});

function pushed(queue: DoorQueue<Named>, one: Named): Named {
  queue.push(one);
  return one;
}
