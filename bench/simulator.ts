import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parseConfig } from "../src/config/index.ts";
import { findProfile } from "../src/engine/index.ts";
import type { Endpoint, Policy } from "../src/model/index.ts";
import { createPolicy } from "../src/policy/index.ts";
import { columnsOf, createSimulation, defaultEngine, type Rows } from "../src/simulator/index.ts";
import { overlay, parseTrace, type TraceRequest } from "../src/traces/index.ts";

const config = fileURLToPath(new URL("./simulator.yaml", import.meta.url));
const published = fileURLToPath(new URL("../../shared/traces/azure2023-conv-a.csv", import.meta.url));

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Adds up the CPU time of a policy's calls, so that it can be told apart from the simulator's. */
function timed(policy: Policy): { readonly policy: Policy; spentMs(): number } {
  let spentMs = 0;
  const measure = <T>(call: () => T): T => {
    const before = cpuMs();
    const result = call();
    spentMs += cpuMs() - before;
    return result;
  };
  return {
    policy: {
      kind: policy.kind,
      needs: policy.needs,
      wakesOn: policy.wakesOn,
      start: (first) => measure(() => policy.start(first)),
      decide: (state, now) => measure(() => policy.decide(state, now)),
      settle: (state, outcome) => measure(() => policy.settle(state, outcome)),
    },
    spentMs: () => spentMs,
  };
}

const prepare = (endpoint: Endpoint, trace: Rows, seed: number, policy: Policy) =>
  createSimulation({
    endpoint,
    trace,
    seed,
    policy,
    pools: {
      default: { engine: defaultEngine(findProfile("8B")), coldStart: { total: { medianMs: 90_000, sigma: 0.25 } }, initial: 8 },
    },
  });

function run(endpoint: Endpoint, trace: Rows, seed: number) {
  const { policy, spentMs } = timed(createPolicy(endpoint));
  const before = cpuMs();
  const simulation = prepare(endpoint, trace, seed, policy);
  while (simulation.step(1_000_000));
  const result = simulation.result();
  return { result, arrived: simulation.arrived, cpuMs: cpuMs() - before, policyMs: spentMs() };
}

/** The trace so many times, one after another. */
function* repeated(rows: readonly TraceRequest[], times: number): Generator<TraceRequest> {
  const lengthMs = rows.at(-1)?.arrivalMs ?? 0;
  for (let at = 0; at < times; at++) for (const row of rows) yield { ...row, arrivalMs: row.arrivalMs + at * lengthMs };
}

/** What a run itself holds when its last row is in, in MiB: what is live after a collection, without what was live before the run. */
function heldMiB(endpoint: Endpoint, trace: Rows): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const live = () => {
    collect();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const before = live();
  const simulation = prepare(endpoint, trace, 1, createPolicy(endpoint));
  while (simulation.step(1_000_000));
  const held = live() - before;
  simulation.result();
  return held;
}

/** `npm run bench -- simulator [TRACE] [OVERLAY] [RUNS]`: conversations under an HPA on running requests, on one core. */
export async function bench([file = published, copies = "12", runs = "7"]: readonly string[]): Promise<void> {
  const endpoint = parseConfig(readFileSync(config, "utf8"), { file: config, env: {} }).endpoints[0] as Endpoint;
  const rows = overlay(parseTrace(readFileSync(file, "utf8"), file), Number(copies), 1);
  const trace = columnsOf(rows);
  const all = Array.from({ length: Number(runs) }, (_, at) => run(endpoint, trace, at + 1));
  const rate = (of: (typeof all)[number]) => of.arrived / ((of.cpuMs - of.policyMs) / 1000);
  const sorted = [...all].sort((a, b) => rate(a) - rate(b));
  const middle = sorted[Math.floor(sorted.length / 2)] as (typeof all)[number];
  const { whole, events, decisions } = middle.result;
  const line = (name: string, text: string) => process.stdout.write(`${name.padEnd(34)} ${text}\n`);
  line("requests, simulated minutes", `${middle.arrived}, ${(middle.result.endMs / 60_000).toFixed(1)}`);
  line(
    "requests/s of CPU, median and best",
    sorted
      .map(rate)
      .flatMap((one, at) =>
        at === Math.floor(sorted.length / 2) || at === sorted.length - 1 ? [Math.round(one).toLocaleString("en")] : [],
      )
      .join(", "),
  );
  line(
    "CPU of a run",
    `${middle.cpuMs.toFixed(0)} ms, of which policy ${middle.policyMs.toFixed(1)} ms (${((100 * middle.policyMs) / middle.cpuMs).toFixed(1)} %, ${decisions} decisions)`,
  );
  line("events, time of one", `${events.toLocaleString("en")}, ${((1e6 * (middle.cpuMs - middle.policyMs)) / events).toFixed(0)} ns`);
  const memory = [1, 8].map((times) => heldMiB(endpoint, repeated(rows, times)).toFixed(1));
  line("held by a run, 1 and 8 such traces", `${memory.join(", ")} MiB of heap`);
  line("attainment, GPU-hours", `${((whole.attainment ?? 0) * 100).toFixed(2)} %, ${whole.gpuHours.toFixed(2)}`);
}
