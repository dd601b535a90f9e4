import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { createAutoscaler, type Json, type ObservationInput, type Replica } from "./index.ts";

const documents = [
  {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: "toy" },
    spec: {
      model: "toy",
      engine: { kind: "other" },
      platform: { kind: "static", urls: ["http://127.0.0.1:1"] },
      replicas: { min: 0, max: 8 },
      policy: { kind: "slo", interval: "5s", coldStart: "30s", zeroAfter: "2m" },
    },
  },
];
const up = (id: string): Replica => ({ id, pool: "default", state: "ready", entered: { ready: 0 }, readiness: null });
const look = (seq: number, nowMs: number, replicas: readonly Replica[], over: Partial<ObservationInput> = {}): ObservationInput => ({
  seq,
  nowMs,
  cause: "tick",
  pools: { default: { wanted: replicas.length, reported: replicas.length, otherWriter: false } },
  replicas,
  series: [],
  ...over,
});

function feed(autoscaler: ReturnType<typeof createAutoscaler>, fromMs: number, toMs: number, everyMs: number) {
  for (let atMs = fromMs; atMs < toMs; atMs += everyMs) {
    const request = `q${atMs}`;
    autoscaler.observe({ kind: "arrived", atMs, request, promptTokens: 600 });
    autoscaler.observe({ kind: "dispatched", atMs, request, replica: "a" });
    autoscaler.observe({ kind: "firstToken", atMs: atMs + 1, request });
    autoscaler.observe({ kind: "completed", atMs: atMs + 2, request, outputTokens: 100 });
  }
}

it("folds events into the slots of the next Observation", () => {
  const autoscaler = createAutoscaler(documents);
  feed(autoscaler, 0, 5_000, 100);
  const { steps } = autoscaler.decide(look(1, 5_000, [up("a")]));
  expect(steps.find(({ code }) => code === "demand")?.numbers).toMatchObject({ requests: 10, promptTokens: 6_000 });
});

it("takes no events for unknown, not for none", () => {
  const autoscaler = createAutoscaler(documents);
  const decision = autoscaler.decide(look(1, 5_000, [up("a"), up("b")]));
  expect(decision.wants["default"]).toEqual({ kind: "hold" });
  expect(decision.steps.map(({ code }) => code)).toContain("blind");
});

it("wakes from zero for a held request", () => {
  const autoscaler = createAutoscaler(documents);
  autoscaler.observe({ kind: "arrived", atMs: 900, request: "a", promptTokens: 10 });
  autoscaler.observe({ kind: "held", atMs: 900, request: "a" });
  expect(autoscaler.decide(look(1, 950, [], { cause: "held" })).wants["default"]).toMatchObject({ kind: "scale", replicas: 1 });
  expect(autoscaler.settle({ seq: 1, pool: "default", atMs: 960, result: "accepted" })[0]).toMatchObject({ reason: "SucceededRescale" });
});

it("goes on from a snapshot as if it had never stopped", () => {
  const [one, other] = [createAutoscaler(documents), createAutoscaler(documents)];
  for (let at = 1; at <= 6; at++) {
    feed(one, (at - 1) * 5_000, at * 5_000, 50);
    one.decide(look(at, at * 5_000, [up("a"), up("b")]));
  }
  other.restore(JSON.parse(JSON.stringify(one.snapshot())) as Json);
  other.observe({ kind: "completed", atMs: 30_000, request: "from before", outputTokens: 3 });
  for (const autoscaler of [one, other]) feed(autoscaler, 30_000, 36_000, 50);
  const now = look(7, 36_000, [up("a"), up("b")]);
  const [a, b] = [one.decide(now), other.decide(now)];
  expect(b).toEqual(a);
});

it("keeps in a snapshot the closed seconds that no decision has seen", () => {
  const [one, other] = [createAutoscaler(documents), createAutoscaler(documents)];
  feed(one, 0, 4_000, 50);
  one.observe({ kind: "arrived", atMs: 4_000, request: "open", promptTokens: 5 });
  other.restore(one.snapshot());
  const { steps } = other.decide(look(1, 5_000, [up("a")]));
  expect(steps.find(({ code }) => code === "demand")?.numbers).toMatchObject({ requests: 20 });
});

it.each([
  {
    mistake: "an event of an unknown request",
    make: () => createAutoscaler(documents).observe({ kind: "held", atMs: 0, request: "x" }),
    says: "not open",
  },
  {
    mistake: "no such endpoint",
    make: () => createAutoscaler(documents, { name: "other" }),
    says: "no Endpoint named other in the documents, which hold: toy",
  },
  {
    mistake: "a foreign snapshot",
    make: () => createAutoscaler(documents).restore({ version: 1, endpoint: "b", policy: "slo" }),
    says: "the snapshot is of b",
  },
  { mistake: "a document with a typo", make: () => createAutoscaler([{ ...documents[0], kind: "Endpont" }]), says: "Endpont" },
])("refuses $mistake with a way out", ({ make, says }) => expect(make).toThrow(says));

it("runs the documented example, which grows, shrinks and goes to zero", () => {
  const path = fileURLToPath(new URL("../examples/library/toy-plant.ts", import.meta.url));
  const output = execFileSync(process.execPath, [path], { encoding: "utf8" });
  expect(output).toMatch(/0 → 1/);
  expect(output).toMatch(/2 → 3/);
  expect(output).toMatch(/→ 0/);
});
