import { expect, it } from "vitest";
import type { Observation, Slot } from "../model/index.ts";
import { recordedTraffic } from "./index.ts";
import type { Entry } from "./store.ts";

const slot = (atMs: number, more: Partial<Slot>): Slot => ({
  atMs,
  class: "",
  promptBand: 0,
  arrivals: 0,
  promptTokens: 0,
  prefixHitTokens: 0,
  completed: 0,
  outputTokens: 0,
  failed: 0,
  cancelled: 0,
  rejected: 0,
  withinObjective: 0,
  inFlightMean: 0,
  heldMean: 0,
  ...more,
});
const decision = (seq: number, slots: readonly Slot[] | null): Entry => {
  const observation: Observation = { seq, nowMs: seq * 5000, cause: "tick", pools: {}, replicas: [], series: [], slots };
  return { kind: "decision", atMs: seq * 5000, observation, decision: { seq, wants: {}, steps: [], conditions: [], nextAtMs: 0 } };
};

it("gives every second's arrivals with the mean sizes of their class and band, answers by what ended later", () => {
  const entries = [
    decision(1, [slot(1000, { arrivals: 2, promptTokens: 100 }), slot(0, { arrivals: 1, promptTokens: 40, promptBand: 1 })]),
    decision(2, null),
    decision(3, [slot(12_000, { completed: 2, outputTokens: 60 }), slot(13_000, { completed: 1, outputTokens: 300, class: "batch" })]),
  ];
  expect([...recordedTraffic(() => entries)]).toEqual([
    // Nothing of its band ever ended: the mean of all answers.
    {
      atMs: 0,
      durationMs: 1000,
      requests: 1,
      promptTokens: { kind: "mean", tokens: 40 },
      outputTokens: { kind: "mean", tokens: 120 },
      class: "",
    },
    {
      atMs: 1000,
      durationMs: 1000,
      requests: 2,
      promptTokens: { kind: "mean", tokens: 50 },
      outputTokens: { kind: "mean", tokens: 30 },
      class: "",
    },
  ]);
});
