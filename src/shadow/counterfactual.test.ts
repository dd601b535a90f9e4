import { expect, it } from "vitest";
import { findProfile } from "../engine/index.ts";
import type { RecordedStretch } from "../traces/index.ts";
import { simulateBeside } from "./counterfactual.ts";
import { measure } from "./measured.ts";
import { endpoint, moment, replica } from "./record.fixture.ts";

const minute = 60_000;
const lives = [
  replica("a", { starting: -minute, ready: -1 }),
  replica("b", { starting: 5 * minute, ready: 6 * minute }),
  replica("c", { starting: 5 * minute, ready: 6 * minute }),
];
const measured = measure(
  [
    moment(0, { wanted: 1, replicas: lives.slice(0, 1) }),
    moment(5 * minute, { wanted: 3, replicas: lives }),
    moment(20 * minute, { wanted: 3, replicas: lives }),
  ],
  endpoint.objective,
  { gpus: 1, price: 2 },
);
const stretches = Array.from(
  { length: 240 },
  (_, at): RecordedStretch => ({
    ...{ atMs: at * 5000, durationMs: 5000, requests: 5 },
    promptTokens: { kind: "mean", tokens: 400 },
    outputTokens: { kind: "mean", tokens: 150 },
  }),
);

it("runs the recorded demand on the recorded counts, and takes the difference seed by seed", async () => {
  if (measured === null) throw new Error("nothing was measured");
  const shares: number[] = [];
  const found = await simulateBeside({
    ...{ ours: endpoint, theirs: null, measured, stretches, profile: findProfile("8B"), coldStart: 60_000, seeds: 2 },
    onProgress: (share) => shares.push(share),
  });
  const [recorded, slo] = found.contenders;
  expect([recorded?.name, slo?.name]).toEqual(["recorded", "slo"]);
  // 1 for 5 min, 3 for 15 min.
  expect(recorded?.figures.gpuHours.mean).toBeCloseTo((5 + 45) / 60, 2);
  expect(recorded?.figures.gpuHours.halfWidth).toBeLessThan(0.01);
  expect(recorded?.course.wanted.map(Math.round)).toEqual([1, 1, 1, 1, 1, ...Array.from({ length: 15 }, () => 3)]);
  expect(recorded?.figures.arrived.values).toEqual([1200, 1200]);
  expect(slo?.figures.arrived.values).toEqual([1200, 1200]);
  expect(slo?.figures.gpuHours.mean).toBeLessThan(recorded?.figures.gpuHours.mean as number);
  expect(found.difference.cost.values).toEqual(
    [0, 1].map((seed) => (slo?.figures.cost.values[seed] as number) - (recorded?.figures.cost.values[seed] as number)),
  );
  expect(found.coldStart).toEqual({ distribution: 60_000, from: "assumed" });
});
