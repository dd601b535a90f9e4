import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json, Manifest, Slot, Want } from "../../../model/index.ts";
import { endpoint as endpointOf, observation, pool } from "../../plant.fixture.ts";
import { slotAt } from "../kpa/world.fixture.ts";
import { aibrixPolicy, cheapestMix, type Load, markOf, PROFILES_ANNOTATION, type Profile, parseProfiles } from "./index.ts";

const indexes: Profile["indexes"] = [
  [64, 512],
  [256, 2048],
];
/** The small GPU is the better buy for small requests, and cannot do large ones at all. */
const small: Profile = {
  gpu: "l4",
  cost: 1,
  tputs: [
    [4, 1],
    [1, 0],
  ],
  indexes,
};
const large: Profile = {
  gpu: "a100",
  cost: 4,
  tputs: [
    [8, 6],
    [5, 2],
  ],
  indexes,
};
const load = (inputTokens: number, outputTokens: number, ratePerSecond: number): Load => ({ inputTokens, outputTokens, ratePerSecond });

describe("the cheapest mix", () => {
  it.each([
    { rule: "takes the better buy", loads: [load(200, 60, 8)], mix: [2, 0] },
    { rule: "takes what alone can do it", loads: [load(2000, 500, 3)], mix: [0, 2] },
    { rule: "mixes", loads: [load(200, 60, 16), load(2000, 500, 2)], mix: [4, 1] },
    { rule: "fills what is bought already before it buys more", loads: [load(200, 60, 4), load(2000, 500, 1)], mix: [0, 1] },
    { rule: "is nothing for nothing", loads: [], mix: [0, 0] },
  ])("$rule", ({ loads, mix }) => {
    expect(cheapestMix([small, large], loads)).toEqual(mix);
  });
  it("has no answer for a size beyond every type", () => {
    expect(cheapestMix([small], [load(2000, 500, 1)])).toBeNull();
    expect(cheapestMix([], [load(200, 60, 1)])).toBeNull();
  });
  it("takes sizes for the nearest mark in powers of two, and the end beyond it", () => {
    expect([1, 64, 180, 182, 512, 9999].map((value) => markOf(indexes[0], value))).toEqual([0, 0, 0, 1, 1, 1]);
  });

  it("is as cheap as trying everything", () => {
    const rates = fc.array(
      fc.integer({ min: 1, max: 40 }).map((tenths) => tenths / 4),
      { minLength: 4, maxLength: 4 },
    );
    const tputs = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 4, maxLength: 4 });
    const types = fc.array(fc.record({ cost: fc.integer({ min: 1, max: 9 }), tputs }), { minLength: 1, maxLength: 3 });
    const sizes = [
      [200, 60],
      [200, 500],
      [2000, 60],
      [2000, 500],
    ] as const;
    fc.assert(
      fc.property(rates, types, (list, gpus) => {
        const profiles = gpus.map(
          ({ cost, tputs: [a, b, c, d] }, at): Profile => ({
            gpu: `g${at}`,
            cost,
            tputs: [
              [a as number, c as number],
              [b as number, d as number],
            ],
            indexes,
          }),
        );
        const costOf = (counts: readonly number[]) => counts.reduce((sum, count, at) => sum + count * (gpus[at]?.cost ?? 0), 0);
        const mix = cheapestMix(
          profiles,
          sizes.map(([input, output], at) => load(input, output, list[at] as number)),
        ) as readonly number[];
        let best = Number.POSITIVE_INFINITY;
        for (let choice = 0; choice < gpus.length ** 4; choice++) {
          const busy = gpus.map(() => 0);
          for (let cell = 0; cell < 4; cell++) {
            const type = Math.floor(choice / gpus.length ** cell) % gpus.length;
            busy[type] = (busy[type] as number) + (list[cell] as number) / (gpus[type]?.tputs[cell] as number);
          }
          best = Math.min(best, costOf(busy.map((replicas) => Math.ceil(replicas - 1e-9))));
        }
        expect(costOf(mix)).toBeCloseTo(best, 6);
      }),
      { numRuns: 60 },
    );
  });
});

describe("the optimizer over pools", () => {
  const START = 1_000_000_000_000;
  const manifest: Manifest = {
    name: "llama",
    namespace: "default",
    annotations: { [PROFILES_ANNOTATION]: JSON.stringify([small, large]), "autoscaling.aibrix.ai/max-scale-up-rate": "10" },
    spec: {
      scaleTargetRef: { kind: "Deployment", name: "llama" },
      minReplicas: 0,
      maxReplicas: 10,
      panicWindowSeconds: 10,
      observeWindowSeconds: 10,
      metricsSources: [{ metricSourceType: "external", targetMetric: "vllm:deployment_replicas", targetValue: "1" }],
      scalingStrategy: "KPA",
    },
  };
  const pools = [pool({ name: "cheap", gpu: "l4", max: 10 }), pool({ name: "a100", max: 10 }), pool({ name: "odd", gpu: "h200" })];
  const endpoint = endpointOf({ kind: "aibrix", manifest }, pools);
  const arrivals = (atMs: number, count: number): Slot =>
    slotAt(atMs, 1, { arrivals: count, promptTokens: 200 * count, completed: count, outputTokens: 60 * count });

  function run(slots: (atMs: number) => readonly Slot[] | null, looks: number) {
    const policy = aibrixPolicy(endpoint, manifest);
    let counts: Record<string, number> = { cheap: 1, a100: 1, odd: 3 };
    let state: Json | null = null;
    let last: Readonly<Record<string, Want>> = {};
    const codes: string[] = [];
    for (let look = 0; look <= looks; look++) {
      const nowMs = START + look * 10_000;
      const status = Object.fromEntries(
        pools.map(({ name }) => [name, { wanted: counts[name] ?? 0, reported: counts[name] ?? 0, otherWriter: false }]),
      );
      const seen = observation({ nowMs, pools: status, slots: look === 0 ? [] : slots(nowMs - 10_000) });
      state = JSON.parse(JSON.stringify(state ?? policy.start(seen)));
      const next = policy.decide(state as Json, seen);
      state = next.state;
      last = next.decision.wants;
      codes.push(...next.decision.steps.map(({ code }) => code));
      counts = Object.fromEntries(
        Object.entries(counts).map(([name, count]) => [name, last[name]?.kind === "scale" ? last[name].replicas : count]),
      );
    }
    return { counts, last, codes };
  }

  it("gives each pool its share at the least cost, and leaves pools without profile alone", () => {
    const { counts, codes } = run((atMs) => [arrivals(atMs, 80)], 12);
    expect(counts).toEqual({ cheap: 2, a100: 0, odd: 3 });
    expect(codes).toContain("no-profile");
  });
  it("goes to the minimum when nothing comes", () => {
    expect(run(() => [], 12).counts).toEqual({ cheap: 0, a100: 0, odd: 3 });
  });
  it("holds where no gateway says what comes", () => {
    const { last, counts } = run(() => null, 5);
    expect(last).toEqual({ cheap: { kind: "hold" }, a100: { kind: "hold" }, odd: { kind: "hold" } });
    expect(counts).toEqual({ cheap: 1, a100: 1, odd: 3 });
  });
});

it.each([
  ["not JSON", "{", "is not JSON"],
  ["no list", "{}", "no list"],
  ["no profile", '[{"gpu":"a"}]', "[0] is no profile"],
  ["another shape", JSON.stringify([{ ...small, tputs: [[1]] }]), "another shape"],
  [
    "other marks",
    JSON.stringify([
      small,
      {
        ...large,
        indexes: [
          [1, 2],
          [3, 4],
        ],
      },
    ]),
    "other indexes",
  ],
  ["one twice", JSON.stringify([small, small]), "is there twice"],
])("refuses profiles: %s", (_, text, says) => {
  expect(parseProfiles(text)).toMatchObject({ issue: expect.stringContaining(says) });
});
