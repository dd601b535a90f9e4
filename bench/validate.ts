import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { realClock } from "../src/clock/index.ts";
import { parseConfig } from "../src/config/index.ts";
import type { ControllerView } from "../src/controller/index.ts";
import { findProfile } from "../src/engine/index.ts";
import { runLoad } from "../src/load/index.ts";
import type { Endpoint } from "../src/model/index.ts";
import { defaultEngine, simulate } from "../src/simulator/index.ts";
import { builtinSizes, generate, type TraceRequest } from "../src/traces/index.ts";
import type { LoopDelay } from "./loop-delay.ts";

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const config = fileURLToPath(new URL("./validate.yaml", import.meta.url));
const loopDelay = new URL("./loop-delay.ts", import.meta.url).href;
const [port, adminPort] = [18_280, 19_280];

/** Requests per second before and after, and in the middle. */
const levels = [
  [0.75, 1.5],
  [1.5, 4.5],
  [2, 6],
] as const;
const runsOfLevel = 3;
const triesOfLevel = 5;
const tolerance = { gpuHours: 0.03, ttft: 0.1 };
/** A loop that was later than this share of the tolerance is what was measured, and not the fleet. */
const spoils = 0.5;

interface Outcome {
  readonly gpuHours: number;
  readonly ttftP95Ms: number;
  /** Such as `2 at 105 s`. */
  readonly changes: string;
}
interface LiveRun extends Outcome {
  readonly failed: number;
  /** Real time: the p95 of each process's worst half seconds, the worst process. */
  readonly loopP95Ms: number;
  readonly lateP95Ms: number;
}

const traceOf = ([from, to]: (typeof levels)[number], seed: number): readonly TraceRequest[] => [
  ...generate({ kind: "step", from, to, leadMs: 90_000, holdMs: 120_000, tailMs: 90_000 }, { seed, sizes: builtinSizes() }),
];

const change = (to: number, atMs: number) => `${to} at ${Math.round(atMs / 1000)} s`;

function simulated(endpoint: Endpoint, trace: readonly TraceRequest[], seed: number): Outcome {
  const changes: string[] = [];
  const { whole } = simulate({
    endpoint,
    trace,
    seed,
    pools: { default: { engine: defaultEngine(findProfile("8B")), coldStart: { total: 30_000 }, initial: 1 } },
    onDecision: ({ observation, orders }) => {
      for (const { to } of orders) changes.push(change(to, observation.nowMs));
    },
  });
  return { gpuHours: whole.gpuHours, ttftP95Ms: whole.ttft.p95Ms ?? 0, changes: changes.join(", ") };
}

async function live(endpoint: Endpoint, trace: readonly TraceRequest[], seed: number, speed: number): Promise<LiveRun> {
  const state = mkdtempSync(join(tmpdir(), "tidegate-validate-"));
  const delays = mkdtempSync(join(tmpdir(), "tidegate-delays-"));
  const up: ChildProcess = spawn(
    process.execPath,
    [
      ...[main, "up", config, "--port", String(port), "--admin-port", String(adminPort)],
      ...["--state", state, "--speed", String(speed), "--plain"],
    ],
    { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, NODE_OPTIONS: `--import ${loopDelay}`, TIDEGATE_LOOP_DELAY: delays } },
  );
  const ended = new Promise((resolve) => up.on("close", resolve));
  const whole = async () => (await (await fetch(`http://127.0.0.1:${adminPort}/api/v1/view`)).json()) as ControllerView;
  const view = async () => (await whole()).endpoints[0];
  const own = monitorEventLoopDelay({ resolution: 5 });
  try {
    for (;;) {
      if ((await view().catch(() => undefined))?.now?.ready === 1) break;
      await sleep(250);
    }
    // What starting has left behind is over.
    await sleep(3000);
    // The loop's ticks lie to the trace as they do in the simulator, whose first is at 0.
    const waiting = await whole();
    await sleep(Math.max(0, ((waiting.endpoints[0]?.nextAtMs ?? waiting.atMs) - waiting.atMs) / speed));
    own.enable();
    const startedMs = Date.now();
    const before = (await view())?.cost.replicaHours ?? Number.NaN;
    const clock = realClock(speed);
    const beganMs = (await whole()).atMs;
    const lastMs = trace.at(-1)?.arrivalMs ?? 0;
    const after = sleep(lastMs / speed).then(async () => (await view())?.cost.replicaHours ?? Number.NaN);
    const report = await runLoad({ url: `http://127.0.0.1:${port}`, model: endpoint.model, trace, clock, seed });
    const gpuHours = (await after) - before;
    const decisions = (await view())?.decisions ?? [];
    return {
      gpuHours,
      changes: decisions
        .filter(({ changed, atMs }) => changed && atMs >= beganMs && atMs <= beganMs + lastMs)
        .map(({ to, atMs }) => change(to, atMs - beganMs))
        .reverse()
        .join(", "),
      ttftP95Ms: report.ttftMs.p95 ?? Number.NaN,
      failed: report.failed,
      loopP95Ms: Math.max(own.percentile(95) / 1e6 - 5, ...delaysIn(delays, startedMs)),
      lateP95Ms: report.lateRealMs.p95 ?? 0,
    };
  } finally {
    own.disable();
    up.kill("SIGTERM");
    await ended;
    for (const folder of [state, delays]) rmSync(folder, { recursive: true, force: true });
  }
}

/** Of each process: the p95 of its half seconds, in the worst tenth of them, as p95 latencies are of bad moments. One that has only begun says nothing yet. */
function delaysIn(folder: string, sinceMs: number): readonly number[] {
  return readdirSync(folder).flatMap((file) => {
    const lines = readFileSync(join(folder, file), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LoopDelay)
      .filter(({ atMs }) => atMs >= sinceMs)
      .slice(2);
    return lines.length < 10 ? [] : [worst(lines.map(({ p95Ms }) => p95Ms))];
  });
}

const worst = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(0.9 * values.length)] ?? 0;
const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};
const percent = (share: number) => `${share >= 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;

/**
 * `npm run bench -- validate [SPEED] [RUNS]`: the same traces and seeds through the emulated fleet in real time and through the simulator, at
 * three loads; GPU-hours must agree within 3 % and p95 time to first token within 10 %, in the median of the runs' differences. A run in which some
 * event loop was late by more than half of what is allowed is void, and is run again.
 */
export async function bench([speedText = "3", runsText = String(runsOfLevel)]: readonly string[]): Promise<void> {
  const speed = Number(speedText);
  if (!(speed > 0 && speed <= 5)) throw new Error(`SPEED is ${speedText}; give a number above 0 and up to 5`);
  const endpoint = parseConfig(readFileSync(config, "utf8"), { file: config, env: {} }).endpoints[0] as Endpoint;
  const say = (line: string) => process.stdout.write(`${line}\n`);
  let misses = 0;
  for (const level of levels) {
    const pairs: { readonly real: LiveRun; readonly virtual: Outcome }[] = [];
    for (let attempt = 1; attempt <= triesOfLevel && pairs.length < Number(runsText); attempt++) {
      const seed = pairs.length + 1;
      const trace = traceOf(level, seed);
      const virtual = simulated(endpoint, trace, seed);
      const real = await live(endpoint, trace, seed, speed);
      const allowedMs = (virtual.ttftP95Ms * tolerance.ttft * spoils) / speed;
      const isVoid = real.failed > 0 || real.loopP95Ms > allowedMs || real.lateP95Ms > allowedMs;
      say(
        `${level.join(" to ")} req/s, seed ${seed}${isVoid ? " VOID" : ""}: GPU-hours ${real.gpuHours.toFixed(4)} live, ${virtual.gpuHours.toFixed(4)} simulated (${percent(virtual.gpuHours / real.gpuHours - 1)}); ` +
          `p95 TTFT ${real.ttftP95Ms.toFixed(0)} ms live, ${virtual.ttftP95Ms.toFixed(0)} ms simulated (${percent(virtual.ttftP95Ms / real.ttftP95Ms - 1)}); ` +
          `loop ${real.loopP95Ms.toFixed(2)} ms late, sent ${real.lateP95Ms.toFixed(2)} ms late, ${allowedMs.toFixed(2)} allowed; ${real.failed} failed; replicas live ${real.changes || "unchanged"}, simulated ${virtual.changes || "unchanged"}`,
      );
      if (!isVoid) pairs.push({ real, virtual });
    }
    if (pairs.length < Number(runsText)) {
      say(`${level.join(" to ")} req/s: VOID, only ${pairs.length} of ${runsText} runs count`);
      continue;
    }
    const off = (of: "gpuHours" | "ttftP95Ms") => median(pairs.map(({ real, virtual }) => virtual[of] / real[of] - 1));
    const [hours, ttft] = [off("gpuHours"), off("ttftP95Ms")];
    const holds = Math.abs(hours) <= tolerance.gpuHours && Math.abs(ttft) <= tolerance.ttft;
    if (!holds) misses++;
    say(
      `${level.join(" to ")} req/s, medians of ${pairs.length}: GPU-hours ${percent(hours)}, p95 TTFT ${percent(ttft)}: ${holds ? "within" : "OUTSIDE"} 3 % and 10 %`,
    );
  }
  if (misses > 0) process.exitCode = 1;
}
