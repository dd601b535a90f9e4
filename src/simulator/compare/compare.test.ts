import { expect, it } from "vitest";
import { findProfile } from "../../engine/index.ts";
import { parseScenarios, type Scenario, scenarioRun } from "../scenario/index.ts";
import { type CellResult, type Change, Changes, compareScenario, endpointOf, runCell, simulationOf } from "./index.ts";
import { busyReplicas } from "./work.ts";

const scenarioOf = (text: string): Scenario => parseScenarios({ file: "s.yaml", text: `scenarios: { a: { ${text} } }` })[0] as Scenario;
const open = () => Promise.reject(new Error("no trace is needed"));
const objective = { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 };
const slo = { name: "slo", policy: { kind: "slo" } };

const none = { count: 0, meanMs: null, p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null };
const cell = (cost: number, attainment: number | null): CellResult => ({
  figures: {
    fromMs: 0,
    toMs: 1,
    requests: { arrived: 0, completed: 0, failed: 0, cancelled: 0, rejected: 0, open: 0 },
    promptTokens: 0,
    outputTokens: 0,
    withinObjective: 0,
    attainment,
    ttft: none,
    tpot: none,
    e2e: none,
    held: 0,
    retries: 0,
    gpuHours: cost,
    cost,
    readyMean: 0,
    scaleUps: 2,
    scaleDowns: 1,
    reversals: 0,
    violationMinutes: 0,
  },
  course: null,
  changes: null,
});

it("puts who met the objective first, by cost, then the others by how near they came", () => {
  const { standings } = compareScenario({ scenario: "a", describes: "", objective }, [
    { policy: "near", cells: [cell(3, 0.98)] },
    { policy: "dear", cells: [cell(9, 1)] },
    { policy: "far", cells: [cell(1, 0.2)] },
    { policy: "good", cells: [cell(4, 0.995), cell(6, 0.995)] },
    { policy: "wasteful", cells: [cell(8, 0.6)] },
    { policy: "idle", cells: [cell(5.5, null)] },
  ]);
  expect(standings.map(({ policy }) => policy)).toEqual(["good", "idle", "dear", "near", "wasteful", "far"]);
  expect(standings.filter(({ isMet }) => isMet)).toHaveLength(3);
  expect(standings.filter(({ isOnFrontier }) => !isOnFrontier).map(({ policy }) => policy)).toEqual(["dear", "wasteful"]);
  expect(standings[0]?.figures.cost).toMatchObject({ mean: 5, values: [4, 6] });
  expect(standings[0]?.figures.scaleEvents.mean).toBe(3);
});

it("compares with the clairvoyant of the same luck, where there is one", () => {
  const about = { scenario: "a", describes: "", objective };
  const runs = [{ policy: "p", cells: [cell(4, 1), cell(9, 1)] }];
  expect(compareScenario(about, runs).standings[0]?.toClairvoyant).toBeNull();
  const references = [
    { lowerBoundGpuHours: 1, clairvoyantGpuHours: 2 },
    { lowerBoundGpuHours: 1, clairvoyantGpuHours: 3 },
  ];
  const all = [{ policy: "clairvoyant", isReference: true, cells: [cell(2, 1), cell(3, 1)] }, ...runs];
  const { standings } = compareScenario(about, all, references);
  expect(standings.map(({ policy }) => policy)).toEqual(["p", "clairvoyant"]);
  expect(standings[0]?.toClairvoyant).toMatchObject({ mean: 2.5, values: [2, 3] });
  expect(standings.map(({ isOnFrontier }) => isOnFrontier)).toEqual([true, false]);
});

it("keeps so many changes, evenly, and counts all", () => {
  const changes = new Changes(10, 5);
  for (let at = 0; at < 100; at++)
    changes.add({
      observation: { nowMs: at } as never,
      decision: {
        steps: [
          { code: "a", text: "here" },
          { code: "b", text: "elsewhere", pool: "other" },
        ],
      } as never,
      orders: [
        { pool: "default", from: at, to: at + 1 },
        { pool: "default", from: 3, to: 3 },
      ],
    });
  expect(changes.count).toBe(95);
  expect(changes.list.length).toBeGreaterThan(4);
  expect(changes.list.length).toBeLessThanOrEqual(10);
  expect(changes.list[0]).toEqual<Change>({ atMs: 5, pool: "default", from: 5, to: 6, why: ["here"] });
  const gaps = changes.list.slice(1).map(({ atMs }, at) => atMs - (changes.list[at]?.atMs ?? 0));
  expect(new Set(gaps).size).toBe(1);
});

it("begins with what the first minutes keep busy, a fixed count with itself, and what the scenario says before all", async () => {
  const steady = scenarioOf("shape: steady, rate: 50/s, replicas: { min: 1, max: 64 }");
  const [run] = await scenarioRun(steady, "report", 1, open);
  const busy = busyReplicas(findProfile("8B"), run!.rows, 300_000);
  // 50 conversations a second: some 8 replicas by the estimate of 162 ms each.
  expect(busy).toBeGreaterThan(7);
  expect(busy).toBeLessThan(9);
  const initial = (scenario: Scenario, contender = slo) => simulationOf(scenario, contender, run!, 1).pools["default"]?.initial;
  expect(initial(steady)).toBe(Math.ceil(busy / 0.7));
  expect(initial(steady, { name: "static:3", policy: { kind: "static", replicas: 3 } } as never)).toBe(3);
  expect(initial({ ...steady, initial: 20 })).toBe(20);
  expect(initial({ ...steady, replicas: { min: 1, max: 4 } })).toBe(4);
});

it("decides at the scenario's interval unless a policy has one, and names who is wrong", () => {
  const scenario = scenarioOf("shape: steady, rate: 1/s, interval: 20s");
  expect(endpointOf(scenario, slo).policy).toMatchObject({ spec: { intervalMs: 20_000 } });
  expect(endpointOf(scenario, { name: "own", policy: { kind: "slo", interval: "7s" } }).policy).toMatchObject({
    spec: { intervalMs: 7000 },
  });
  expect(() => endpointOf(scenario, { name: "mine", policy: { kind: "slow" } })).toThrow(/^a under mine spec.policy.kind/);
});

it("moves faults behind what is there to learn from", async () => {
  const scenario = scenarioOf("shape: steady, rate: 1/s, for: 30m, crash: { share: 0.5, at: 12m }");
  const [run] = await scenarioRun(scenario, "report", 1, open, { learnFirst: true });
  expect(simulationOf(scenario, slo, run!, 1).faults).toEqual([{ kind: "crash", atMs: run!.beginMs + 720_000, share: 0.5 }]);
});

it("gives the same cell for the same seed, another for another, and the course from where figures count", async () => {
  const scenario = scenarioOf("shape: step, from: 2/s, to: 6/s, lead: 3m, hold: 3m, tail: 2m, warmup: 2m");
  const shares: number[] = [];
  const [one, again, other] = await Promise.all([
    runCell(scenario, slo, 1, open, { keepChanges: 20, onProgress: (share) => shares.push(share) }),
    runCell(scenario, slo, 1, open, { keepChanges: 20 }),
    runCell(scenario, slo, 2, open),
  ]);
  expect(again).toEqual(one);
  expect(other.figures).not.toEqual(one.figures);
  expect(other.course).toBeNull();
  expect(one.figures).toMatchObject({ fromMs: 120_000, toMs: 480_000 });
  expect(one.course?.atMs).toEqual([120_000, 180_000, 240_000, 300_000, 360_000, 420_000]);
  const { requests } = one.figures;
  expect(requests.completed + requests.failed + requests.rejected + requests.cancelled + requests.open).toBe(requests.arrived);
});

it("sums the endpoints of clients: requests, money and every latency", async () => {
  const rows = Array.from({ length: 120 }, (_, at) => ({
    arrivalMs: at * 5000,
    promptTokens: 200 + 10 * at,
    outputTokens: 20,
    client: at % 3 === 0 ? "a" : "b",
  }));
  const all = () => Promise.resolve(rows);
  const [both, a, b] = await Promise.all(
    [rows, rows.filter(({ client }) => client === "a"), rows.filter(({ client }) => client === "b")].map((part) =>
      runCell(scenarioOf("trace: t.csv, perClientEndpoint: true, initial: 1, coldStart: { median: 10s, sigma: 0 }"), slo, 1, () =>
        part === rows ? all() : Promise.resolve(part),
      ),
    ),
  );
  expect(both!.figures.requests.arrived).toBe(120);
  expect(both!.figures.ttft.count).toBe(a!.figures.ttft.count + b!.figures.ttft.count);
  expect(both!.figures.ttft.maxMs).toBe(Math.max(a!.figures.ttft.maxMs!, b!.figures.ttft.maxMs!));
  // Each is paid for until the last request of all.
  expect(both!.figures.gpuHours).toBeCloseTo((2 * 119 * 5) / 3600, 6);
});
