import { expect, it } from "vitest";
import type { Observation, Replica, Series } from "../model/index.ts";
import { engineTraffic, recordedTraffic } from "./index.ts";
import type { Entry } from "./store.ts";

type Page = Readonly<Record<string, number>>;
const series = (id: string, atMs: number, page: Page): readonly Series[] =>
  Object.entries(page).map(([name, value]) => {
    const sample = { atMs, windowMs: 0, value };
    return { name, subject: { kind: "replica", id }, samples: [sample], latest: sample, fault: null };
  });
const replica = (id: string, readyMs: number): Replica => ({
  id,
  pool: "default",
  state: "ready",
  entered: { ready: readyMs },
  readiness: null,
});

/** A look at pages by replica. */
function look(atMs: number, pages: Readonly<Record<string, Page>>, readyMs = 0): Entry {
  const observation: Observation = {
    ...{ seq: atMs / 1000, nowMs: atMs, cause: "tick", pools: {}, slots: null },
    replicas: Object.keys(pages).map((id) => replica(id, readyMs)),
    series: Object.entries(pages).flatMap(([id, page]) => series(id, atMs, page)),
  };
  return { kind: "decision", atMs, observation, decision: { seq: 1, wants: {}, steps: [], conditions: [], nextAtMs: 0 } };
}
const total = (entries: readonly Entry[]) => {
  const stretches = engineTraffic(() => entries);
  const tokens = (of: "promptTokens" | "outputTokens") =>
    stretches.reduce((sum, { requests, [of]: sizes }) => sum + requests * (sizes.kind === "mean" ? sizes.tokens : Number.NaN), 0);
  return {
    requests: stretches.reduce((sum, { requests }) => sum + requests, 0),
    prompt: Math.round(tokens("promptTokens")),
    output: Math.round(tokens("outputTokens")),
  };
};
const page = (finished: number, running: number, waiting = 0): Page => ({
  ...{ finished, running, waiting, prompt_tokens: 100 * (finished + running), gen_tokens: 50 * finished },
});

it.each([
  { rule: "what finished has arrived", entries: [look(0, { a: page(10, 0) }), look(5000, { a: page(14, 0) })], requests: 4 },
  { rule: "what is in flight has arrived", entries: [look(0, { a: page(10, 0) }), look(5000, { a: page(10, 3, 2) })], requests: 5 },
  { rule: "what was in flight before has not", entries: [look(0, { a: page(10, 6) }), look(5000, { a: page(16, 0) })], requests: 0 },
  {
    rule: "counters bridge a time without readings",
    entries: [look(0, { a: page(10, 0) }), look(5000, {}), look(600_000, { a: page(70, 0) })],
    requests: 60,
  },
  { rule: "a counter that fell began anew", entries: [look(0, { a: page(10, 4) }), look(5000, { a: page(3, 1) })], requests: 4 },
  {
    rule: "a replica that came while we watched had counted nothing",
    entries: [look(0, {}), look(5000, { b: page(2, 1) }, 3000)],
    requests: 3,
  },
  { rule: "one that was there before counts from its first page on", entries: [look(0, {}), look(5000, { b: page(200, 1) })], requests: 0 },
  {
    rule: "replicas add up",
    entries: [look(0, { a: page(0, 0), b: page(5, 0) }), look(5000, { a: page(2, 0), b: page(6, 1) })],
    requests: 4,
  },
])("$rule", ({ entries, requests }) => expect(total(entries).requests).toBe(requests));

it("keeps the recorded tokens, whatever the stretches are", () => {
  const kept = [look(0, { a: page(0, 0) })];
  let finished = 0;
  for (let at = 1; at <= 60; at++) {
    finished += at % 7;
    kept.push(look(at * 5000, { a: page(finished, 0) }));
  }
  expect(total(kept)).toEqual({ requests: finished, prompt: 100 * finished, output: 50 * finished });
});

it("tells the share of prompts that the prefix cache held", () => {
  const entries = [look(0, { a: { ...page(0, 0), prefix_hits: 0 } }), look(5000, { a: { ...page(4, 0), prefix_hits: 100 } })];
  expect(engineTraffic(() => entries)[0]?.prefixHitShare).toBeCloseTo(0.25);
});

it("is what recordedTraffic gives where no gateway was in the path, from the first decision on", () => {
  const entries = [look(0, { a: page(0, 0) }), look(5000, { a: page(0, 0) }), look(10_000, { a: page(2, 0) })];
  expect([...recordedTraffic(() => entries)].map(({ atMs, requests }) => [atMs, requests])).toEqual([
    [0, 0],
    [5000, 2],
  ]);
});

it("takes the endpoint's own rates where no replica says anything, as of queries to a Prometheus server", () => {
  const rates = (atMs: number, perSecond: number | null): Entry => {
    const entry = look(atMs, {}) as Extract<Entry, { kind: "decision" }>;
    const told: Series[] = Object.entries({ request_rate: 1, prompt_tokens_per_second: 300, output_tokens_per_second: 80 }).map(
      ([name, times]) => {
        const sample = { atMs, windowMs: 0, value: times * (perSecond ?? 0) };
        const fault = perSecond === null ? { code: "signal/unreachable", sinceMs: atMs } : null;
        return { name, subject: { kind: "endpoint" }, samples: [sample], latest: sample, fault };
      },
    );
    return { ...entry, observation: { ...entry.observation, series: told } };
  };
  // What could not be read is not there: neither a rate nor 0.
  expect(total([rates(0, 4), rates(15_000, 4), rates(30_000, null), rates(45_000, 2)])).toEqual({
    requests: 90,
    prompt: 27_000,
    output: 7_200,
  });
});
