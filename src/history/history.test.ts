import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Decision, Endpoint, Observation } from "../model/index.ts";
import { createPolicy } from "../policy/index.ts";
import { type Entry, explain, openHistory, replay, sentences } from "./index.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tidegate-history-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const endpoint: Endpoint = {
  name: "chat",
  namespace: "default",
  model: "m",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools: [{ name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 1, min: 0, max: 4, standby: 0 }],
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 },
  policy: { kind: "static", replicas: { default: 2 } },
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 10, holdTimeoutMs: 1000, upstreamTimeoutMs: 1000, maxBodyBytes: 1000, attempts: 2 },
  dryRun: false,
};
const observation = (seq: number, wanted: number): Observation => ({
  seq,
  nowMs: seq * 1000,
  cause: "tick",
  pools: { default: { wanted, reported: wanted, otherWriter: false } },
  replicas: [],
  series: [],
  slots: null,
});

/** What a controller would have recorded over `count` decisions. */
function recorded(count: number): Entry[] {
  const policy = createPolicy(endpoint);
  const first = observation(1, 0);
  let state = policy.start(first);
  const entries: Entry[] = [{ kind: "start", atMs: 0, endpoint, state: null }];
  for (let seq = 1; seq <= count; seq++) {
    const seen = observation(seq, seq === 1 ? 0 : 2);
    const next = policy.decide(state, seen);
    state = next.state;
    entries.push({ kind: "decision", atMs: seen.nowMs, observation: seen, decision: next.decision });
    if (seq === 1) {
      const outcome = { seq, pool: "default", atMs: 1001, result: "accepted" } as const;
      state = policy.settle(state, outcome).state;
      entries.push({
        kind: "action",
        atMs: 1001,
        action: { seq, atMs: 1001, pool: "default", replicas: 2, drain: [], by: "policy", result: "accepted" },
      });
      entries.push({ kind: "outcome", atMs: 1001, outcome });
    }
    if (seq % 10 === 0) entries.push({ kind: "snapshot", atMs: seen.nowMs, endpoint, state });
  }
  return entries;
}

it("gives back what was recorded, in order, also after it was closed", () => {
  const entries = recorded(12);
  const first = openHistory(folder);
  first.append("chat", entries);
  first.save("chat", { key: "k", state: { a: 1 }, seq: 12, atMs: 5, pausedUntilMs: null, pin: null });
  first.close();
  const second = openHistory(folder, { readOnly: true });
  expect([...second.entries("chat")]).toEqual(JSON.parse(JSON.stringify(entries)));
  expect([...second.entries("chat", { fromMs: 3000, toMs: 5000 })].map(({ atMs }) => atMs)).toEqual([3000, 4000]);
  expect(second.latest("chat", "decision", 2).map(({ atMs }) => atMs)).toEqual([12_000, 11_000]);
  expect(second.endpoints()).toEqual(["chat"]);
  expect(second.load("chat")).toMatchObject({ state: { a: 1 }, seq: 12 });
  expect(second.load("other")).toBeNull();
  second.close();
});

it("replays recorded decisions to the same decisions", () => {
  expect(replay(recorded(25))).toMatchObject({ decisions: 25, outcomes: 1, snapshots: 2, skipped: 0, differences: [] });
});

it("names a decision that differs, and a state that does", () => {
  const entries = recorded(12).map((entry): Entry => {
    if (entry.kind === "decision" && entry.decision.seq === 3) {
      return {
        ...entry,
        decision: { ...entry.decision, wants: { default: { kind: "scale", replicas: 9, drain: [] } } } satisfies Decision,
      };
    }
    return entry.kind === "snapshot" ? { ...entry, state: { ...(entry.state as object), other: true } } : entry;
  });
  expect(replay(entries).differences.map(({ what, seq }) => [what, seq])).toEqual([
    ["decision", 3],
    ["state", 10],
  ]);
});

it("begins at the first snapshot where the beginning was pruned", () => {
  const report = replay(recorded(25).slice(5));
  expect(report.skipped).toBeGreaterThan(0);
  expect(report).toMatchObject({ decisions: 15, differences: [] });
});

it("stays within its bound by dropping the oldest", () => {
  const bounds = { maxBytes: 20_000 };
  const history = openHistory(folder, { bounds });
  for (let round = 0; round < 40; round++) history.append("chat", recorded(10));
  expect(history.bytes()).toBeLessThanOrEqual(bounds.maxBytes);
  expect([...history.entries("chat")].at(-1)).toMatchObject({ kind: "snapshot", atMs: 10_000 });
  history.close();
});

it("explains the decision in force at a moment, with what became of it", () => {
  const found = explain(recorded(5), 1500);
  expect(found).toMatchObject({ atMs: 1000, actions: [{ replicas: 2, result: "accepted" }] });
  const text = sentences(found as NonNullable<typeof found>).join("\n");
  expect(text).toContain("=> default: 2 replicas");
  expect(text).toContain("accepted");
  expect(explain(recorded(5), 10)).toBeNull();
});

it("says what is wrong with a folder or file that it cannot use", () => {
  const file = join(folder, "history.sqlite");
  writeFileSync(file, "this is no database, but a text of some length that SQLite will not take for one".repeat(20));
  expect(() => openHistory(folder)).toThrow(
    expect.objectContaining({ code: "history/corrupt", message: expect.stringContaining("history.sqlite") }),
  );
  expect(() => openHistory(join(file, "below"))).toThrow(expect.objectContaining({ code: "history/unwritable" }));
  expect(() => openHistory(join(folder, "none"), { readOnly: true })).toThrow(/--state/);
});
