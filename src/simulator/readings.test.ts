import { expect, it } from "vitest";
import type { Need, Observation, Series } from "../model/index.ts";
import { type Fault, type SimulationOptions, simulate } from "./index.ts";
import { endpoint, options, poisson, scripted, simulated } from "./world.fixture.ts";

const replicaNeed = (name: string): Need => ({ name, per: "replica", sampleEveryMs: 5_000 });
const endpointNeed = (name: string): Need => ({ name, per: "endpoint", sampleEveryMs: 5_000 });
const sizes = (u: number) => ({ promptTokens: 500, outputTokens: 100 + Math.floor(100 * u) });

function watch(needs: readonly Need[], faults: readonly Fault[] = [], over: Partial<SimulationOptions> = {}): readonly Observation[] {
  const seen: Observation[] = [];
  simulate(
    options({
      trace: poisson(10, 3_000, 9, sizes),
      pools: { default: simulated({ initial: 2 }) },
      policy: scripted([], { needs }, seen),
      faults,
      ...over,
    }),
  );
  return seen;
}
const of = (observation: Observation | undefined, name: string, id: string | null): Series | undefined =>
  observation?.series.find(
    (one) => one.name === name && (id === null ? one.subject.kind === "endpoint" : one.subject.kind === "replica" && one.subject.id === id),
  );
const latest = (series: Series | undefined) => series?.latest?.value as number;

it("shows what is needed and nothing else, each sample once", () => {
  const seen = watch([replicaNeed("running"), replicaNeed("kv_used")]);
  expect(seen[0]?.series).toEqual([]);
  const names = new Set(seen.flatMap(({ series }) => series.map(({ name, subject }) => `${name} ${subject.kind}`)));
  expect([...names]).toEqual(["running replica", "kv_used replica"]);
  const samples = seen.flatMap((one) => of(one, "running", "default-0")?.samples ?? []);
  expect(samples.map(({ atMs }) => atMs)).toEqual([...new Set(samples.map(({ atMs }) => atMs))]);
  // Read every five seconds, decided every ten.
  expect(seen.slice(1).every((one) => of(one, "running", "default-0")?.samples.length === 2)).toBe(true);
  expect(samples.some(({ value }) => (value as number) > 0)).toBe(true);
});

it("counters grow, rates are their slopes, and the endpoint's value is the sum or the mean of the replicas'", () => {
  const seen = watch(
    ["gen_tokens", "output_tokens_per_second", "kv_used", "running"].flatMap((name) => [replicaNeed(name), endpointNeed(name)]),
    [],
    {
      ledgerSeen: false,
    },
  );
  const at = seen.slice(5, 25);
  for (const [index, one] of at.entries()) {
    const values = (name: string) => ["default-0", "default-1"].map((id) => latest(of(one, name, id)));
    const [tokens, rates, running, used] = ["gen_tokens", "output_tokens_per_second", "running", "kv_used"].map(values) as number[][];
    expect(latest(of(one, "running", null))).toBe(running!.reduce((a, b) => a + b, 0));
    expect(latest(of(one, "output_tokens_per_second", null))).toBeCloseTo(
      rates!.reduce((a, b) => a + b, 0),
      9,
    );
    expect(latest(of(one, "kv_used", null))).toBeCloseTo((used![0]! + used![1]!) / 2, 9);
    const series = of(one, "gen_tokens", "default-0")!;
    const [earlier, later] = series.samples;
    expect(rates![0]).toBeCloseTo(((later!.value as number) - (earlier!.value as number)) / 5, 6);
    const before = at[index - 1];
    if (before !== undefined) expect(tokens![0]).toBeGreaterThanOrEqual(latest(of(before, "gen_tokens", "default-0")));
    expect(one.slots).toBeNull();
  }
});

it("the GPU is as busy as steps run in the last second, and idle without any", () => {
  const seen = watch(["gpu_utilization", "gpu_power", "tensor_active"].map(replicaNeed), [], {
    trace: [...poisson(20, 2_000, 9, sizes)],
    durationMs: 300_000,
  });
  const busy = latest(of(seen[6], "gpu_utilization", "default-0"));
  expect(busy).toBeGreaterThan(90);
  expect(busy).toBeLessThanOrEqual(100);
  expect(latest(of(seen.at(-1), "gpu_utilization", "default-0"))).toBe(0);
  expect(latest(of(seen.at(-1), "gpu_power", "default-0"))).toBe(68);
});

it("the endpoint's latency and rates come from the ledger, as the gateway's users see them", () => {
  const seen = watch(["ttft_p95", "request_rate", "queue_depth", "in_flight"].map(endpointNeed));
  const one = seen.at(-3);
  expect(latest(of(one, "request_rate", null))).toBeGreaterThan(7);
  expect(latest(of(one, "request_rate", null))).toBeLessThan(13);
  expect(latest(of(one, "ttft_p95", null))).toBeGreaterThan(0.02);
  expect(latest(of(one, "ttft_p95", null))).toBeLessThan(0.5);
  expect(latest(of(one, "in_flight", null))).toBeGreaterThan(0);
  expect(of(one, "queue_depth", null)?.fault).toBeNull();
  expect(of(one, "waiting", null)).toBeUndefined();
});

it("without a gateway of ours latency is what engines' own histograms say", () => {
  const one = watch([endpointNeed("ttft_p95"), replicaNeed("ttft_p95")], [], { ledgerSeen: false }).at(-3);
  expect(latest(of(one, "ttft_p95", null))).toBeGreaterThan(0.02);
  expect(latest(of(one, "ttft_p95", "default-1"))).toBeGreaterThan(0.02);
});

it("slots are those of the ledger: complete, in order, each once", () => {
  const seen = watch([]);
  const slots = seen.flatMap((one) => one.slots ?? []);
  expect(slots.map(({ atMs }) => atMs)).toEqual(slots.map(({ atMs }) => atMs).sort((a, b) => a - b));
  const lastMs = slots.at(-1)?.atMs ?? 0;
  const arrived = poisson(10, 3_000, 9, sizes).filter(({ arrivalMs }) => arrivalMs < lastMs + 1000).length;
  expect(slots.reduce((sum, slot) => sum + slot.arrivals, 0)).toBe(arrived);
});

it.each([
  { rule: "a series that is absent is never there", fault: { kind: "absent", series: ["running"] }, there: 0, faulty: 0 },
  { rule: "a failed reading keeps the last value and says so", fault: { kind: "missing", share: 0.5 }, there: 1, faulty: 0.5 },
] as const)("$rule", ({ fault, there, faulty }) => {
  const seen = watch([replicaNeed("running"), replicaNeed("waiting")], [fault]).slice(2);
  const found = seen.flatMap((one) => of(one, "running", "default-0") ?? []);
  expect(found.length > 0 ? 1 : 0).toBe(there);
  const share = found.length === 0 ? 0 : found.filter((one) => one.fault !== null).length / found.length;
  expect(Math.abs(share - faulty)).toBeLessThan(0.25);
  expect(of(seen.at(-1), "waiting", "default-0")).toBeDefined();
});

it("with a lag pages and ledger say what was a minute ago, and nobody can tell from the reading", () => {
  const prompt = watch([replicaNeed("gen_tokens"), endpointNeed("request_rate")]);
  const late = watch([replicaNeed("gen_tokens"), endpointNeed("request_rate")], [{ kind: "lag", lagMs: 60_000 }]);
  const at = (seen: readonly Observation[], ms: number) => seen.find(({ nowMs }) => nowMs === ms);
  const lagged = of(at(late, 200_000), "gen_tokens", "default-0");
  expect(latest(lagged)).toBe(latest(of(at(prompt, 140_000), "gen_tokens", "default-0")));
  expect(200_000 - (lagged?.latest?.atMs ?? 0)).toBeLessThan(5_000);
  const rate = of(at(late, 200_000), "request_rate", null);
  expect(latest(rate)).toBe(latest(of(at(prompt, 140_000), "request_rate", null)));
  expect(at(late, 200_000)?.slots?.at(-1)?.atMs).toBeLessThanOrEqual(140_000);
});

it("during an outage nothing is read and the ledger is absent, not empty; what was missed comes after it", () => {
  const seen = watch(
    [replicaNeed("running"), endpointNeed("request_rate")],
    [{ kind: "outage", fromMs: 100_000, forMs: 40_000, everyMs: null }],
  );
  const during = seen.filter(({ nowMs }) => nowMs >= 110_000 && nowMs < 140_000);
  expect(during.length).toBeGreaterThan(2);
  for (const one of during) {
    expect(one.slots).toBeNull();
    expect(of(one, "running", "default-0")).toMatchObject({ samples: [], fault: { code: "signal/unreachable" } });
    expect(of(one, "request_rate", null)).toMatchObject({ samples: [], fault: { code: "admin/unreachable" } });
  }
  const after = seen.find(({ nowMs }) => nowMs >= 140_000);
  expect(after?.slots?.[0]?.atMs).toBeLessThanOrEqual(101_000);
});

it("reads pages by a clock of its own", () => {
  const base = endpoint();
  const seen = watch([{ ...replicaNeed("running"), sampleEveryMs: 60_000 }], [], { endpoint: { ...base, scrapeEveryMs: 10_000 } });
  const times = seen.flatMap((one) => of(one, "running", "default-0")?.samples.map(({ atMs }) => atMs) ?? []);
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBe(10_000);
  expect((times[0] ?? 0) % 10_000).toBeGreaterThan(0);
});
