import { spawn } from "node:child_process";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { realClock } from "../../../src/clock/index.ts";
import { parseConfigDocuments } from "../../../src/config/index.ts";
import { type EngineProfile, fitProfile } from "../../../src/engine/index.ts";
import { findingsOf, probe, runLoad } from "../../../src/load/index.ts";
import { defaultEngine, simulate } from "../../../src/simulator/index.ts";
import { generate, type TokenSizes, type TraceRequest } from "../../../src/traces/index.ts";
import { freePorts, until } from "../../e2e/tidegate.ts";

const model = process.env["TIDEGATE_LLAMACPP_MODEL"] ?? "";
const server = fileURLToPath(new URL("../llamacpp/server.ts", import.meta.url));
const slices = 5;
const parallel = 4;
const batchTokens = 512;
const contextTokens = 2048;
/** Our text has four bytes a token, and this model a token a byte, after one that begins the text. */
const promptOf = (tokens: number) => 4 * tokens + 1;

const sizes: readonly TokenSizes[] = [10, 20, 30, 45, 60, 90, 120].flatMap((promptTokens) =>
  [16, 32, 64].map((outputTokens) => ({ promptTokens, outputTokens })),
);
const asSeenByTheEngine = (rows: readonly TraceRequest[]) => rows.map((row) => ({ ...row, promptTokens: promptOf(row.promptTokens) }));
/** All at once: what the replica does at most. */
const burst: readonly TraceRequest[] = Array.from({ length: 42 }, (_, at) => ({
  arrivalMs: at,
  ...(sizes[at % sizes.length] as TokenSizes),
}));
const steady = (perSecond: number, seed: number): readonly TraceRequest[] => [
  ...generate({ kind: "steady", rps: perSecond, durationMs: (60 / perSecond) * 1000 }, { seed, sizes }),
];

let url = "";
let end: () => Promise<unknown> = async () => {};
beforeAll(async () => {
  const [port] = await freePorts(1);
  url = `http://127.0.0.1:${port}`;
  const flags = ["--model", model, "--port", String(port), "--parallel", String(parallel), "--ctx", String(contextTokens)];
  const child = spawn(process.execPath, [server, ...flags], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.on("close", resolve));
  end = () => {
    child.kill("SIGTERM");
    return ended;
  };
  const healthy = async () => (await fetch(`${url}/health`).catch(() => null))?.status ?? 0;
  await until(healthy, (status) => status === 200);
});
afterAll(() => end());

async function calibrated(seed: number): Promise<EngineProfile> {
  const seen = await probe({
    url,
    model: "random",
    clock: realClock(),
    api: "completions",
    seed,
    promptTokens: [40, 160, 480],
    levels: [1, 2, 4],
    outputTokens: 24,
    repeats: 2,
    kvTokens: parallel * contextTokens,
    longestMs: 40_000,
    timeoutMs: 60_000,
  });
  return fitProfile(findingsOf(seen).stretches, {
    model: "random",
    gpu: "",
    tp: 1,
    kvCapacityTokens: parallel * contextTokens,
    limits: { maxNumSeqs: parallel, maxNumBatchedTokens: batchTokens },
  }).profile;
}

const { endpoints } = parseConfigDocuments(
  [
    {
      apiVersion: "tidegate.dev/v1alpha1",
      kind: "Endpoint",
      metadata: { name: "calibrated" },
      spec: {
        model: "random",
        engine: { kind: "emulated" },
        platform: { kind: "process" },
        replicas: { min: 1, max: 1 },
        objective: { timeToFirstToken: "60s", timePerOutputToken: "1s" },
        policy: { kind: "static", replicas: 1 },
      },
    },
  ],
  { env: {}, name: "calibrate.test.ts" },
);
function simulated(profile: EngineProfile, trace: readonly TraceRequest[]) {
  const pools = { default: { engine: defaultEngine(profile), coldStart: { total: 0 }, initial: 1 } };
  return simulate({ endpoint: endpoints[0]!, trace: asSeenByTheEngine(trace), seed: 1, pools }).whole;
}
const real = (trace: readonly TraceRequest[], seed: number) =>
  runLoad({ url, model: "random", trace, clock: realClock(), api: "completions", seed });

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
const spread = (values: readonly number[]) => `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
const tokensOf = (trace: readonly TraceRequest[]) => trace.reduce((sum, { outputTokens }) => sum + outputTokens, 0);

it("a calibrated profile foretells the real replica: throughput within 15 %, p95 time to first token within 25 %", {
  timeout: 600_000,
}, async ({ skip }) => {
  const throughput = { real: [] as number[], simulated: [] as number[] };
  const ttft = { real: [] as number[], simulated: [] as number[] };
  const lateMs: number[] = [];
  // The probe's first requests warm the server up.
  await real(burst.slice(0, 8), 99);
  let perSecond: number | null = null;
  for (let slice = 1; slice <= slices; slice++) {
    const profile = await calibrated(slice);
    const loop = monitorEventLoopDelay({ resolution: 5 });
    loop.enable();
    const full = await real(burst, 100 + slice);
    const fullSimulated = simulated(profile, burst);
    throughput.real.push((full.outputTokens * 1000) / full.durationMs);
    throughput.simulated.push((tokensOf(burst) * 1000) / (fullSimulated.e2e.maxMs as number));
    // At three fifths of what it can do, the same rate in every slice.
    perSecond ??= (0.6 * burst.length * 1000) / (fullSimulated.e2e.maxMs as number);
    const trace = steady(perSecond, slice);
    const light = await real(trace, 200 + slice);
    loop.disable();
    lateMs.push(loop.percentile(95) / 1e6 - 5);
    expect([full.failed, light.failed]).toEqual([0, 0]);
    ttft.real.push(light.ttftMs.p95 as number);
    ttft.simulated.push(simulated(profile, trace).ttft.p95Ms as number);
  }
  // Calibration and measurement of one slice lie next to each other, so that a machine that slows down slows both.
  const ratioOf = (of: typeof ttft) => median(of.real.map((value, at) => (of.simulated[at] as number) / value));
  const ratios = { throughput: ratioOf(throughput), ttft: ratioOf(ttft) };
  process.stdout.write(
    `throughput, tokens/s: ${median(throughput.simulated).toFixed(1)} simulated (${spread(throughput.simulated)}), ${median(throughput.real).toFixed(1)} real (${spread(throughput.real)}): ${ratios.throughput.toFixed(3)}\n` +
      `p95 TTFT at ${perSecond?.toFixed(1)} req/s, ms: ${median(ttft.simulated).toFixed(1)} simulated (${spread(ttft.simulated)}), ${median(ttft.real).toFixed(1)} real (${spread(ttft.real)}): ${ratios.ttft.toFixed(3)}\n` +
      `event loop of the load, p95 late: ${spread(lateMs)} ms\n`,
  );
  const isVoid = median(lateMs) > 0.1 * median(ttft.real) || Math.max(...throughput.real) / Math.min(...throughput.real) > 1.5;
  if (isVoid) skip("void: this machine was too busy; the real engine differed from itself by more than the bounds");
  expect(ratios.throughput).toBeGreaterThan(0.85);
  expect(ratios.throughput).toBeLessThan(1.15);
  expect(ratios.ttft).toBeGreaterThan(0.75);
  expect(ratios.ttft).toBeLessThan(1.25);
});
