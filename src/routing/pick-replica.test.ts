import fc from "fast-check";
import { expect, it } from "vitest";
import { type Candidate, hashText, pickReplica, ROUTINGS, workOf } from "./index.ts";

const replica = (id: string, outstanding = 0, inFlight = 0): Candidate => ({ id, outstanding, inFlight });
const request = { key: "k", turn: 0 };

it.each([
  { rule: "least work by default", routing: undefined, of: [replica("a", 9, 1), replica("b", 5, 9)], picks: "b" },
  { rule: "fewest in flight", routing: "least-in-flight", of: [replica("a", 9, 1), replica("b", 5, 9)], picks: "a" },
  { rule: "nobody of none", routing: undefined, of: [], picks: undefined },
] as const)("picks $rule", ({ routing, of, picks }) => {
  expect(pickReplica(of, request, routing)?.id).toBe(picks);
});

it("goes round in order of names", () => {
  const all = [replica("c"), replica("a"), replica("b")];
  expect([0, 1, 2, 3].map((turn) => pickReplica(all, { key: "k", turn }, "round-robin")?.id)).toEqual(["a", "b", "c", "a"]);
});

it("weighs an output token above a prompt token", () => {
  expect(workOf({ promptTokens: 100, outputTokens: 50 })).toBe(300);
});

const candidates = fc.uniqueArray(fc.record({ id: fc.string(), outstanding: fc.nat(5), inFlight: fc.nat(5) }), {
  selector: (one) => one.id,
  minLength: 1,
  maxLength: 12,
});

it("gives the same answer in whatever order candidates come, and never an excluded one", () => {
  fc.assert(
    fc.property(candidates, fc.string(), fc.nat(), fc.constantFrom(...ROUTINGS), (all, key, turn, routing) => {
      const picked = pickReplica(all, { key, turn }, routing) as Candidate;
      expect(pickReplica([...all].reverse(), { key, turn }, routing)?.id).toBe(picked.id);
      const second = pickReplica(all, { key, turn, excluded: new Set([picked.id]) }, routing);
      if (all.length === 1) expect(second).toBeNull();
      else expect(second?.id).not.toBe(picked.id);
    }),
  );
});

it("with affinity a key keeps its replica when others come and go", () => {
  const ids = Array.from({ length: 10 }, (_, at) => `replica-${at}`);
  const keys = Array.from({ length: 2000 }, (_, at) => `session ${at}`);
  const pick = (key: string, of: readonly string[]) =>
    pickReplica(
      of.map((id) => replica(id)),
      { key, turn: 0 },
      "affinity",
    )?.id as string;
  const counts = new Map<string, number>();
  for (const key of keys) {
    const picked = pick(key, ids);
    counts.set(picked, (counts.get(picked) ?? 0) + 1);
    const gone = ids.find((id) => id !== picked);
    expect(
      pick(
        key,
        ids.filter((id) => id !== gone),
      ),
    ).toBe(picked);
  }
  // Even shares: 200 each, with a standard deviation of 13.
  expect(Math.min(...counts.values())).toBeGreaterThan(140);
  expect(Math.max(...counts.values())).toBeLessThan(260);
});

it("with affinity no replica is given more while it has over 1.25 times the mean", () => {
  const load = new Map<string, number>(["a", "b", "c", "d"].map((id) => [id, 0]));
  for (let turn = 0; turn < 1000; turn++) {
    const all = [...load].map(([id, outstanding]) => replica(id, outstanding));
    const { id } = pickReplica(all, { key: "the one hot prompt", turn }, "affinity") as Candidate;
    load.set(id, (load.get(id) as number) + 1);
  }
  expect(Math.max(...load.values())).toBeLessThanOrEqual(1.25 * 250 + 1);
});

it("spreads hashes of alike texts", () => {
  const hashes = Array.from({ length: 1000 }, (_, at) => hashText(`replica-${at}`) >>> 24);
  expect(new Set(hashes).size).toBeGreaterThan(240);
});
