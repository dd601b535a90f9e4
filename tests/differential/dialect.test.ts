import { expect, it } from "vitest";
import { changesBy, runDialect } from "./dialect.ts";
import { SCENARIOS } from "./scenarios.ts";

const countsOf = async (name: string) => {
  const scenario = SCENARIOS.find((one) => one.name.startsWith(name));
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  return (await runDialect(scenario)).map(({ replicas }) => replicas);
};

it("takes the GPU manifest up by half and down one a minute", async () => {
  // 99 against 75 asks for a third more, after 60 s of agreement: ceil(2.64), ceil(3.96), ceil(5.28), ceil(7.92), then the maximum.
  expect(await countsOf("the GPU manifest")).toEqual([2, 3, 4, 6, 8, 10, 9, 8, 7, 6]);
});

it("follows single steps from ten on only where the tolerance is 0", async () => {
  expect(await countsOf("ten and one more")).toEqual([10, 20]);
  expect(await countsOf("the same with tolerance 0")).toEqual([10, 11, 10, 20, 21]);
});

it("comes to the same by the rules of 1.36, whose controller the scenarios also run through", async () => {
  for (const scenario of SCENARIOS) expect(changesBy(scenario, "1.36")).toEqual(await runDialect(scenario));
});

it.each(SCENARIOS)("$name: stays within its bounds, the same each time", async (scenario) => {
  const changes = await runDialect(scenario);
  const { minReplicas, maxReplicas } = scenario.spec as { minReplicas: number; maxReplicas: number };
  for (const { replicas } of changes.slice(1)) {
    expect(replicas).toBeGreaterThanOrEqual(minReplicas);
    expect(replicas).toBeLessThanOrEqual(maxReplicas);
  }
  expect(await runDialect(scenario)).toEqual(changes);
});
