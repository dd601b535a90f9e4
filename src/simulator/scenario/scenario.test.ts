import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { TraceRequest } from "../../traces/index.ts";
import { parseScenarios, type Scenario, scenarioRun } from "./index.ts";

const file = new URL("../../../bench/scenarios.yaml", import.meta.url);
const shipped = parseScenarios({ file: "scenarios.yaml", text: readFileSync(file, "utf8") });
const named = (name: string): Scenario => shipped.find((scenario) => scenario.name === name)!;
const parse = (text: string) => parseScenarios({ file: "s.yaml", text });

it("reads the example that users start from", () => {
  const text = readFileSync(new URL("../../../examples/compare/scenarios.yaml", import.meta.url), "utf8");
  const names = parseScenarios({ file: "scenarios.yaml", text }).map(({ name }) => name);
  expect(names).toEqual(["recorded", "launch", "trouble", "nights"]);
});

it("reads the scenarios that figures are reported on", () => {
  expect(shipped).toHaveLength(19);
  expect(named("chat-4d")).toMatchObject({
    traffic: { kind: "trace", file: "azure2024-conv-week-d0-3.csv.gz", overlay: 24 },
    profile: "70B",
    splitMs: 48 * 3_600_000,
    objective: { attainment: 0.99, timeToFirstTokenMs: 4000, timePerOutputTokenMs: 200 },
    coldStart: { medianMs: 240_000, sigma: 0.25 },
    replicas: { min: 1, max: 64 },
    intervalMs: 15_000,
    seeds: 10,
  });
  expect(named("blind").faults).toEqual([
    { kind: "missing", share: 0.2 },
    { kind: "lag", lagMs: 60_000 },
    { kind: "outage", fromMs: 21_600_000, forMs: 180_000, everyMs: 21_600_000 },
  ]);
  expect(named("crash").faults).toEqual([{ kind: "crash", atMs: 720_000, share: 0.2 }]);
  expect(named("long-prompts").traffic).toMatchObject({ longPrompts: { times: 4, fromMs: 1_200_000, toMs: 2_400_000 } });
  expect(named("sparse-7d")).toMatchObject({ replicas: { min: 0, max: 4 }, traffic: { perClientEndpoint: true } });
});

it.each([
  [
    "a rate without unit",
    "scenarios: { a: { shape: steady, rate: 50 } }",
    "s.yaml:1:40 scenarios.a.rate: needs its unit (value 50); write for example 50/s",
  ],
  [
    "a key that is none",
    "scenarios: { a: { shape: steady, rate: 5/s, seed: 1 } }",
    's.yaml:1:45 scenarios.a.seed: is not a known key; did you mean "seeds"?',
  ],
  [
    "a shape that is none",
    "scenarios: { a: { shape: stedy, rate: 5/s } }",
    's.yaml:1:26 scenarios.a.shape: is not a known value (value "stedy"); did you mean "steady"?',
  ],
  ["half of long prompts", "scenarios: { a: { shape: steady, rate: 5/s, promptsTimes: 4 } }", "promptsTimes and during belong together"],
  ["an empty file", "", "s.yaml is empty; it should be a file of scenarios"],
])("names %s", (_, text, message) => expect(() => parse(text)).toThrow(message));

const trace: readonly TraceRequest[] = Array.from({ length: 100 }, (_, at) => ({
  arrivalMs: at * 1000,
  promptTokens: 10 + at,
  outputTokens: 5,
  client: String(at % 2),
}));
const open = () => Promise.resolve(trace);
const rowsOf = async (scenario: Scenario, part: "tune" | "report", seed = 1) =>
  (await scenarioRun(scenario, part, seed, open)).map(({ rows, ...rest }) => ({ rows: [...(rows as Iterable<TraceRequest>)], ...rest }));

it("gives the trace before its split to tune on, and all of it, reported from the split on, to report", async () => {
  const [scenario] = parse("scenarios: { a: { trace: t.csv, split: 40s } }") as [Scenario];
  const [tune] = await rowsOf(scenario, "tune");
  expect(tune).toMatchObject({ fromMs: 0, untilMs: 40_000 });
  expect(tune!.rows).toEqual(trace.slice(0, 40));
  expect(await rowsOf(scenario, "report")).toEqual([{ rows: trace, fromMs: 40_000, beginMs: 0, untilMs: null }]);
});

it("makes each client an endpoint of its own where asked", async () => {
  const [scenario] = parse("scenarios: { a: { trace: t.csv, perClientEndpoint: true } }") as [Scenario];
  const runs = await rowsOf(scenario, "report");
  expect(runs.map(({ rows }) => rows.length)).toEqual([50, 50]);
  expect(runs.map(({ untilMs }) => untilMs)).toEqual([99_000, 99_000]);
});

it("tunes a shape on a sibling: other rows, another height, the same sibling for the same seed", async () => {
  const [scenario] = parse("scenarios: { a: { shape: steady, rate: 20/s, for: 10m } }") as [Scenario];
  const [[report], [tune], [again], [other]] = await Promise.all([
    rowsOf(scenario, "report"),
    rowsOf(scenario, "tune"),
    rowsOf(scenario, "tune"),
    rowsOf(scenario, "report", 2),
  ]);
  expect(tune!.rows).toEqual(again!.rows);
  expect(other!.rows).not.toEqual(report!.rows);
  expect(Math.abs(report!.rows.length - 12_000)).toBeLessThan(500);
  expect(Math.abs(tune!.rows.length / report!.rows.length - 1)).toBeLessThan(0.25);
  expect(Math.abs(tune!.rows.length - report!.rows.length)).toBeGreaterThan(200);
});

it("lays the sibling before the shape where a policy should have seen one, and counts what comes behind the warm-up", async () => {
  const [scenario] = parse("scenarios: { a: { shape: step, from: 2/s, to: 4/s, hold: 5m, tail: 5m, warmup: 8m } }") as [Scenario];
  const [plain] = await scenarioRun(scenario, "report", 1, open);
  const [learnt] = await scenarioRun(scenario, "report", 1, open, { learnFirst: true });
  expect(plain).toMatchObject({ fromMs: 480_000, beginMs: 0, untilMs: 1_200_000 });
  const { beginMs, fromMs, untilMs } = learnt!;
  expect(beginMs).toBeGreaterThan(600_000);
  expect([fromMs - beginMs, untilMs! - beginMs]).toEqual([480_000, 1_200_000]);
  const own = [...learnt!.rows].filter(({ arrivalMs }) => arrivalMs >= beginMs);
  expect(own.map(({ arrivalMs }) => Math.round(arrivalMs - beginMs))).toEqual(
    [...plain!.rows].map(({ arrivalMs }) => Math.round(arrivalMs)),
  );
});
