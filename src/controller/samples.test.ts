import { expect, it } from "vitest";
import type { Sample, Series } from "../model/index.ts";
import { createSampleStore } from "./samples.ts";

const sample = (atMs: number): Sample => ({ atMs, windowMs: 0, value: atMs });
const series = (name: string, ...atMs: readonly number[]): Series => ({
  name,
  subject: { kind: "replica", id: "r-1" },
  samples: atMs.map(sample),
  latest: atMs.length === 0 ? null : sample(atMs.at(-1) as number),
  fault: null,
});
const times = (all: readonly Series[]) => Object.fromEntries(all.map(({ name, samples }) => [name, samples.map(({ atMs }) => atMs)]));

it("hands out every sample between two decisions, once and in order", () => {
  const store = createSampleStore();
  store.add([series("running", 1), series("waiting", 1)]);
  store.add([series("running", 2, 3), series("waiting")]);
  expect(times(store.take())).toEqual({ running: [1, 2, 3], waiting: [1] });
  expect(times(store.take())).toEqual({ running: [], waiting: [] });
  store.add([series("running", 4), series("waiting")]);
  expect(times(store.take())).toEqual({ running: [4], waiting: [] });
});

it("forgets a series that is no longer there, as of a replica that is gone", () => {
  const store = createSampleStore();
  store.add([series("running", 1), series("waiting", 1)]);
  store.add([series("running", 2)]);
  expect(times(store.take())).toEqual({ running: [1, 2] });
});

it("does not grow without end while no decision comes", () => {
  const store = createSampleStore();
  for (let atMs = 0; atMs < 2500; atMs++) store.add([series("running", atMs)]);
  const kept = times(store.take())["running"] as number[];
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([1000, 1500, 2499]);
});
