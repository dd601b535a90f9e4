import { fileURLToPath } from "node:url";
import { afterEach, expect, it, vi } from "vitest";
import { BUILTIN_SCENARIOS, endpointOf, parseScenarios } from "../simulator/index.ts";
import { contenderIn, FAMILY_NAMES, nameOf, readChoice } from "./compare-policies.ts";

const example = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
const scenarios = parseScenarios({ file: "built-in", text: BUILTIN_SCENARIOS });
afterEach(() => vi.restoreAllMocks());

it.each(FAMILY_NAMES)("%s is a policy in every built-in scenario", async (name) => {
  const choice = await readChoice(name);
  expect(nameOf(choice)).toBe(name);
  for (const scenario of scenarios) expect(endpointOf(scenario, contenderIn(choice, scenario)).pools).toHaveLength(1);
});

it.each([
  ["compare/hpa-running.yaml", "hpa-running", { "vllm:num_requests_running": "running" }],
  ["hpa-gpu-utilization.yaml", "hpa-gpu-utilization", { dcgm_gpu_utilization: "gpu_utilization" }],
])("a manifest alone, %s, is named by its file, and its metric by what the name tells", async (file, name, metrics) => {
  const choice = await readChoice(example(file));
  expect(choice).toMatchObject({ kind: "stated", contender: { name, policy: { kind: "hpa" }, metrics } });
  const [scenario] = scenarios;
  expect(endpointOf(scenario!, contenderIn(choice, scenario!)).policy.kind).toBe("hpa");
});

it("says which metric nothing tells of, since its policy would be blind", async () => {
  const told = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  await readChoice(example("manifests/production-stack-keda.yaml"));
  expect(told.mock.calls.flat().join("")).toMatch(
    /^warning: .*production-stack-keda\.yaml:5: nothing tells what traffic is; put an Endpoint/,
  );
});

it("takes the policy of an Endpoint, and a fixed count", async () => {
  expect(await readChoice(example("gpu-and-latency.yaml"))).toMatchObject({ contender: { policy: { kind: "signals" } } });
  expect(await readChoice("static:7")).toEqual({
    kind: "stated",
    contender: { name: "static:7", policy: { kind: "static", replicas: 7 } },
  });
});
