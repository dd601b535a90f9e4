import { afterEach, expect, it } from "vitest";
import { realClock } from "../../src/clock/index.ts";
import { startEmulator } from "../../src/emulator/index.ts";
import { findProfile } from "../../src/engine/index.ts";
import { startGateway } from "../../src/gateway/index.ts";
import { runLoad } from "../../src/load/index.ts";
import type { DoorBound, DoorEndpoint, DoorLimits, DoorOrder, Endpoint } from "../../src/model/index.ts";
import { simulate } from "../../src/simulator/index.ts";
import type { TraceRequest } from "../../src/traces/index.ts";

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const speed = 4;
const profile = findProfile("8B");
const engine = { maxNumSeqs: 256, maxNumBatchedTokens: 2048, kvCapacityTokens: profile.kvCapacityTokens, watermark: 0.01, overheadMs: 1.5 };
const objective = { attainment: 0.99, timeToFirstTokenMs: 3000, timePerOutputTokenMs: 1000 };
const bound: DoorBound = { maxInFlight: 64, maxPromptTokens: 6000, promptTokensPerSecond: 13_000 };
/** 3,000 prompt tokens take some 0.23 s: 4.3 a second is all that one replica can do, and 7 come for half a minute. */
const trace = Array.from(
  { length: 210 },
  (_, at): TraceRequest => ({ arrivalMs: Math.round((at * 1000) / 7), promptTokens: 3000, outputTokens: 4 }),
);
const limitsOf = (kind: DoorOrder["kind"]): DoorLimits => ({
  maxHeld: 1000,
  holdTimeoutMs: 600_000,
  upstreamTimeoutMs: 600_000,
  maxBodyBytes: 1e7,
  attempts: 3,
  order: { kind, perReplica: kind === "fifo" ? null : bound, oldestEvery: 10, classes: {} },
});

async function live(kind: DoorOrder["kind"]) {
  const clock = realClock(speed);
  const emulator = await startEmulator({
    ...{ port: 0, host: "127.0.0.1", model: "m", profile, engine, maxModelLen: 8192, prefixCaching: false },
    ...{ coldStartMs: 0, coldStartSigma: 0, seed: 1, clock, podName: "pod" },
  });
  closers.push(() => emulator.close());
  const gateway = await startGateway({ port: 0, clock, log: () => {} });
  closers.push(() => gateway.close({ graceMs: 0 }));
  const endpoint: DoorEndpoint = { name: "chat", model: "m", objective, limits: limitsOf(kind) };
  const route = { replica: "r0", url: emulator.url, state: "ready" } as const;
  await gateway.setRoutes(endpoint, [kind === "fifo" ? route : { ...route, bound }]);
  const report = await runLoad({ url: gateway.url, model: "m", trace, clock, objective });
  expect(report).toMatchObject({ sent: 210, ok: 210, failed: 0 });
  const { totals } = await gateway.report("chat", null);
  expect(totals).toMatchObject({ arrived: 210, completed: 210, queued: 0, inFlight: 0 });
  return totals.withinObjective / totals.arrived;
}

function simulated(kind: DoorOrder["kind"]) {
  const pool = {
    name: "default",
    role: "serve",
    gpu: "",
    gpusPerReplica: 1,
    spot: false,
    pricePerReplicaHour: 1,
    min: 1,
    max: 1,
    standby: 0,
  } as const;
  const endpoint: Endpoint = {
    ...{ name: "chat", namespace: "default", model: "m", pools: [pool], objective, metrics: {}, prometheus: null, dryRun: false },
    engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
    platform: { kind: "static", target: null, urls: [] },
    policy: { kind: "static", replicas: { default: 1 } },
    ...{ scrapeEveryMs: 5000, staleAfterMs: 30_000, gateway: limitsOf(kind) },
  };
  const { whole } = simulate({
    endpoint,
    trace,
    seed: 1,
    pools: { default: { engine: { ...engine, profile }, coldStart: { total: 1000 } } },
  });
  expect(whole.requests).toMatchObject({ arrived: 210, completed: 210 });
  return whole.withinObjective / whole.requests.arrived;
}

it("late-last lifts an overload's attainment at a live gateway as it does in the simulator", async () => {
  const [fifo, lateLast] = [await live("fifo"), await live("late-last")];
  const expected = { fifo: simulated("fifo"), lateLast: simulated("late-last") };
  expect(expected.lateLast).toBeGreaterThan(expected.fifo + 0.2);
  expect(lateLast).toBeGreaterThan(fifo + 0.1);
  // A machine that is short of time only makes more of them late.
  expect(fifo).toBeLessThan(expected.fifo + 0.1);
  expect(lateLast).toBeLessThan(expected.lateLast + 0.1);
}, 120_000);
