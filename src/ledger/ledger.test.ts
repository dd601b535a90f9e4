import fc from "fast-check";
import { expect, it } from "vitest";
import { type DoorTotals, quantileOf } from "../model/index.ts";
import { createLedger, type Ending, type Ledger, mergeReports, type Ticket } from "./index.ts";

const objective = { attainment: 0.99, timeToFirstTokenMs: 1000, timePerOutputTokenMs: 50 };
const ledgerOf = (more = {}) => createLedger({ objective, ...more });
const balance = (totals: DoorTotals) =>
  totals.completed + totals.failed + totals.cancelled + totals.rejected + totals.inFlight + totals.held - totals.arrived;

it("folds a request's life into seconds: events where they happened, means over time", () => {
  const ledger = ledgerOf();
  const ticket = ledger.arrive(10_250, { class: "chat", promptTokens: 600, prefixHitTokens: 100 });
  ledger.hold(ticket, 10_250);
  ledger.release(ticket, 11_500);
  ledger.dispatch(ticket, 11_500, "a");
  ledger.firstToken(ticket, 12_000);
  const finished = ledger.finish(ticket, 13_250, "completed", { outputTokens: 26 });
  expect(finished).toEqual({ ttftMs: 1750, tpotMs: 50, e2eMs: 3000, withinObjective: false });
  const { slots, cursor, replicas } = ledger.report(14_000, null);
  const row = { class: "chat", promptBand: 2, prefixHitTokens: 0, promptTokens: 0, arrivals: 0, completed: 0, outputTokens: 0 };
  expect(slots).toMatchObject([
    { ...row, atMs: 10_000, arrivals: 1, promptTokens: 600, prefixHitTokens: 100, heldMean: 0.75, inFlightMean: 0 },
    { ...row, atMs: 11_000, heldMean: 0.5, inFlightMean: 0.5 },
    { ...row, atMs: 12_000, heldMean: 0, inFlightMean: 1 },
    { ...row, atMs: 13_000, completed: 1, outputTokens: 26, withinObjective: 0, inFlightMean: 0.25 },
  ]);
  expect(replicas).toEqual([{ replica: "a", inFlight: 0, completed: 1, failed: 0, outputTokens: 26 }]);
  expect(ledger.report(20_000, cursor).slots).toEqual([]);
});

it("gives the same answer to the same cursor, only closed seconds, and everything to a stranger's", () => {
  const ledger = ledgerOf({ id: "run-1" });
  const first = ledger.arrive(0, { promptTokens: 1 });
  expect(ledger.report(500, null).slots).toEqual([]);
  const { cursor } = ledger.report(2000, null);
  ledger.firstToken(first, 2100);
  ledger.finish(first, 2200, "completed");
  const once = ledger.report(3500, cursor);
  expect(once.slots.map((slot) => slot.atMs)).toEqual([2000]);
  expect(once.latency.ttft.sum).toBeCloseTo(2.1);
  expect(ledger.report(3500, cursor)).toEqual(once);
  expect(ledger.report(3500, "run-0:2000").slots.map((slot) => slot.atMs)).toEqual([0, 1000, 2000]);
  expect(ledger.report(3600, once.cursor)).toMatchObject({ slots: [], latency: { ttft: { sum: 0 } } });
});

it("keeps no seconds in which nothing was in flight, and only as many as asked for", () => {
  const ledger = ledgerOf({ keepSeconds: 10 });
  const ticket = ledger.arrive(0, { promptTokens: 1 });
  ledger.finish(ticket, 100, "rejected");
  expect(ledger.report(5_000_000, null).slots).toHaveLength(1);
  ledger.arrive(6_000_000, { promptTokens: 1 });
  // A silence of a day is not walked through second by second.
  expect(ledger.report(90_000_000, null).slots.map((slot) => slot.inFlightMean)).toEqual(new Array(10).fill(1));
});

it("counts a retry once, and as a failure of the replica before", () => {
  const ledger = ledgerOf();
  const ticket = ledger.arrive(0, { promptTokens: 1 });
  ledger.dispatch(ticket, 0, "a");
  ledger.dispatch(ticket, 1, "b");
  expect(ledger.inFlightOn("a")).toBe(0);
  ledger.forget("b");
  expect(ledger.inFlightOn("b")).toBe(1);
  ledger.finish(ticket, 2, "completed");
  expect(ledger.report(3, null)).toMatchObject({
    totals: { retried: 1, completed: 1, failed: 0 },
    replicas: [{ replica: "a", failed: 1, inFlight: 0 }],
  });
  expect(() => ledger.finish(ticket, 3, "failed")).toThrow("has ended already");
});

it.each([
  { rule: "meets both bounds", ttft: 1000, e2e: 1000 + 50 * 99, tokens: 100, within: true },
  { rule: "first token too late", ttft: 1001, e2e: 1100, tokens: 100, within: false },
  { rule: "tokens too slow", ttft: 10, e2e: 10 + 51 * 99, tokens: 100, within: false },
  { rule: "a short answer is given the time of 16 tokens", ttft: 10, e2e: 10 + 750, tokens: 2, within: true },
  { rule: "and no more", ttft: 10, e2e: 10 + 751, tokens: 2, within: false },
  { rule: "without a stream both bounds together", ttft: null, e2e: 1000 + 50 * 99, tokens: 100, within: true },
  { rule: "without a stream too late", ttft: null, e2e: 1001 + 50 * 99, tokens: 100, within: false },
])("objective: $rule", ({ ttft, e2e, tokens, within }) => {
  const ledger = ledgerOf();
  const ticket = ledger.arrive(0, { promptTokens: 1 });
  if (ttft !== null) ledger.firstToken(ticket, ttft);
  expect(ledger.finish(ticket, e2e, "completed", { outputTokens: tokens }).withinObjective).toBe(within);
});

it("counts no latency of an answer that says nothing of the fleet, and no e2e of one that was cancelled", () => {
  const ledger = ledgerOf();
  const wrong = ledger.arrive(0, { promptTokens: 1 });
  const cancelled = ledger.arrive(0, { promptTokens: 1 });
  ledger.finish(wrong, 5000, "completed", { measured: false });
  ledger.firstToken(cancelled, 5000);
  ledger.finish(cancelled, 5000, "cancelled");
  const { latency, totals } = ledger.report(7000, null);
  expect(totals.withinObjective).toBe(1);
  expect(quantileOf(latency.e2e, 0.5)).toBeNull();
  expect(latency.ttft.sum).toBe(5);
});

it("tells only so many classes apart", () => {
  const ledger = ledgerOf({ classes: 2 });
  for (const name of ["a", "b", "c", "a", "default"]) ledger.arrive(0, { class: name, promptTokens: 1 });
  expect(ledger.report(1000, null).slots.map((slot) => [slot.class, slot.arrivals])).toEqual([
    ["a", 2],
    ["b", 1],
    ["default", 2],
  ]);
});

/** A random life: what happens next to which open request, after how long. */
const events = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 3000, noNaN: true })),
    act: fc.constantFrom("arrive", "arrive", "hold", "release", "dispatch", "first", "completed", "failed", "cancelled", "rejected"),
    which: fc.nat(20),
    tokens: fc.nat(40_000),
  }),
  { maxLength: 150 },
);

function live(ledger: Ledger, life: typeof events extends fc.Arbitrary<infer T> ? T : never, check: (totals: DoorTotals) => void): number {
  const open: Ticket[] = [];
  let nowMs = 0;
  for (const { afterMs, act, which, tokens } of life) {
    nowMs += afterMs;
    const at = open.length === 0 ? -1 : which % open.length;
    const ticket = open[at];
    if (act === "arrive") open.push(ledger.arrive(nowMs, { class: `c${which % 3}`, promptTokens: tokens }));
    else if (ticket === undefined) continue;
    else if (act === "hold") ledger.hold(ticket, nowMs);
    else if (act === "release") ledger.release(ticket, nowMs);
    else if (act === "dispatch") ledger.dispatch(ticket, nowMs, `r${which % 4}`);
    else if (act === "first") ledger.firstToken(ticket, nowMs);
    else {
      ledger.finish(ticket, nowMs, act as Ending, { outputTokens: tokens });
      open.splice(at, 1);
    }
    check(ledger.totals());
  }
  return nowMs;
}

it("keeps the books at every moment, and the slots add up to the totals", () => {
  fc.assert(
    fc.property(events, (life) => {
      const ledger = ledgerOf({ keepSeconds: 100_000 });
      const endMs = live(ledger, life, (totals) => {
        expect(balance(totals)).toBe(0);
        expect(Math.min(...Object.values(totals))).toBeGreaterThanOrEqual(0);
      });
      const { slots, totals, replicas } = ledger.report(Math.ceil(endMs / 1000 + 1) * 1000, null);
      const sum = (
        key: "arrivals" | "completed" | "failed" | "cancelled" | "rejected" | "outputTokens" | "promptTokens" | "withinObjective",
      ) => slots.reduce((total, slot) => total + slot[key], 0);
      expect(sum("arrivals")).toBe(totals.arrived);
      for (const key of ["completed", "failed", "cancelled", "rejected", "outputTokens", "promptTokens", "withinObjective"] as const) {
        expect(sum(key)).toBe(totals[key]);
      }
      for (const slot of slots) expect(slot.atMs % 1000).toBe(0);
      expect(replicas.every((replica) => replica.inFlight >= 0)).toBe(true);
    }),
    { numRuns: 150 },
  );
});

it("several gateways add up: whoever splits the requests, the sum is the same", () => {
  fc.assert(
    fc.property(events, events, (one, other) => {
      const [a, b] = [ledgerOf({ id: "a" }), ledgerOf({ id: "b" })];
      live(a, one, () => {});
      live(b, other, () => {});
      const reports = [a.report(1e6, null), b.report(1e6 + 5, null)];
      const merged = mergeReports(reports);
      expect(balance(merged.totals)).toBe(0);
      expect(merged.atMs).toBe(1e6);
      expect(merged.totals.arrived).toBe(reports[0]!.totals.arrived + reports[1]!.totals.arrived);
      expect(merged.latency.e2e.sum).toBeCloseTo(reports[0]!.latency.e2e.sum + reports[1]!.latency.e2e.sum, 6);
      const keys = merged.slots.map((slot) => `${slot.atMs} ${slot.class} ${slot.promptBand}`);
      expect(new Set(keys).size).toBe(keys.length);
    }),
    { numRuns: 50 },
  );
  expect(() => mergeReports([])).toThrow("absent");
});

it("counts one that waits for room as in flight, and apart, until it goes, is held or ends", () => {
  const ledger = ledgerOf();
  const counts = () => {
    const { inFlight, queued, held } = ledger.totals();
    return [inFlight, queued, held];
  };
  const [a, b, c] = [
    ledger.arrive(0, { promptTokens: 1 }),
    ledger.arrive(0, { promptTokens: 1 }),
    ledger.arrive(0, { promptTokens: 1 }),
  ] as const;
  ledger.dispatch(a, 0, "r0");
  for (const ticket of [a, b, b, c]) ledger.queue(ticket, 1);
  expect([counts(), ledger.inFlightOn("r0")]).toEqual([[3, 3, 0], 0]);
  ledger.hold(b, 2);
  expect(counts()).toEqual([2, 2, 1]);
  ledger.queue(b, 3);
  ledger.release(b, 4);
  expect(counts()).toEqual([3, 2, 0]);
  ledger.dispatch(a, 5, "r1");
  ledger.finish(c, 6, "cancelled");
  expect(counts()).toEqual([2, 0, 0]);
  expect(ledger.report(7, null).totals).toMatchObject({ arrived: 3, cancelled: 1, inFlight: 2, queued: 0, held: 0 });
});
