import { describe, expect, it } from "vitest";
import { parseScenarios, scenarioRun, simulate, simulationOf } from "../simulator/index.ts";
import { FAMILIES, type Family, type Situation } from "./families.ts";
import { type Knob, type PolicyDocument, placeOf, valueAtPlace, withValues } from "./knob.ts";
import { knobsOf } from "./knobs.ts";

const [scenario] = parseScenarios({
  file: "tiny.yaml",
  text: "scenarios: { tiny: { shape: steady, rate: 6/s, for: 3m, coldStart: { median: 20s, sigma: 0 }, replicas: { min: 1, max: 8 } } }",
}) as [ReturnType<typeof parseScenarios>[number]];
const situation: Situation = { bounds: scenario.replicas, objective: scenario.objective };
const runs = await scenarioRun(scenario, "tune", 1, () => Promise.resolve([]));
const figuresOf = ({ name, metrics }: Family, policy: PolicyDocument) =>
  simulate(simulationOf(scenario, { name, policy, metrics }, runs[0] as (typeof runs)[number], 1)).whole;
const knobs = ({ metrics }: Family, policy: PolicyDocument): readonly Knob[] => knobsOf({ policy, metrics, bounds: scenario.replicas });

describe.each(FAMILIES.map((family) => [family.name, family] as const))("%s", (_, family) => {
  const policy = family.policy(situation);
  const own = knobs(family, policy);

  it("runs with the defaults of its documentation", () => {
    const { requests, gpuHours } = figuresOf(family, policy);
    expect(requests.arrived).toBeGreaterThan(500);
    expect(gpuHours).toBeGreaterThan(0);
  });

  it("has knobs that start at the default, and back at it change nothing in what it does", () => {
    expect(own.length).toBeGreaterThan(0);
    for (const knob of own) {
      const value = knob.read(policy);
      expect(value).toBeGreaterThanOrEqual(knob.min);
      expect(value).toBeLessThanOrEqual(knob.max);
      expect(valueAtPlace(knob, placeOf(knob, value))).toBeCloseTo(value, 6);
    }
    const values = own.map((knob) => knob.read(policy));
    expect(figuresOf(family, withValues(policy, own, values))).toEqual(figuresOf(family, policy));
  });

  it.each([0, 0.3, 0.7, 1])("reads back what its knobs say at place %d of their range", (place) => {
    const document = withValues(
      policy,
      own,
      own.map((knob) => valueAtPlace(knob, place)),
    );
    for (const knob of own) expect(knob.read(knob.apply(document, knob.read(document)))).toBe(knob.read(document));
    expect(() =>
      simulationOf(scenario, { name: family.name, policy: document, metrics: family.metrics }, runs[0] as (typeof runs)[number], 1),
    ).not.toThrow();
  });
});

it("finds nothing to turn in a policy that has no numbers it knows", () => {
  expect(knobsOf({ policy: { kind: "chiron", manifest: {} }, metrics: {}, bounds: { min: 1, max: 4 } })).toEqual([]);
});
