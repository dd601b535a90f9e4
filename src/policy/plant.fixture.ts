import { createLedger, type Ticket } from "../ledger/index.ts";
import type { Cause, Endpoint, Ms, Observation, PolicySpec, Pool, Replica, Series, SloPolicySpec, Subject, Want } from "../model/index.ts";

/** Words for tests of this room, and a small plant to close the loop with. */
export const pool = (over: Partial<Pool> = {}): Pool => ({
  name: "default",
  role: "serve",
  gpu: "",
  gpusPerReplica: 1,
  spot: false,
  pricePerReplicaHour: 1,
  min: 0,
  max: 20,
  standby: 0,
  ...over,
});

export const endpoint = (policy: PolicySpec, pools: readonly Pool[] = [pool()]): Endpoint => ({
  name: "test",
  namespace: "default",
  model: "m",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools,
  objective: { attainment: 0.99, timeToFirstTokenMs: 2_000, timePerOutputTokenMs: 50 },
  policy,
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5_000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 1_000, holdTimeoutMs: 600_000, upstreamTimeoutMs: 120_000, maxBodyBytes: 1e7, attempts: 3 },
  dryRun: false,
});

export const ready = (id: string, atMs: Ms = 0, over: Partial<Replica> = {}): Replica => ({
  id,
  pool: "default",
  state: "ready",
  entered: { ready: atMs },
  readiness: { status: true, sinceMs: atMs },
  ...over,
});
export const starting = (id: string, atMs: Ms = 0, over: Partial<Replica> = {}): Replica => ({
  id,
  pool: "default",
  state: "starting",
  entered: { starting: atMs },
  readiness: null,
  ...over,
});

export const series = (name: string, of: string | null, value: number, atMs: Ms): Series => {
  const subject: Subject = of === null ? { kind: "endpoint" } : { kind: "replica", id: of };
  const sample = { atMs, windowMs: 0, value };
  return { name, subject, samples: [sample], latest: sample, fault: null };
};

export const observation = (over: Partial<Observation> & { readonly wanted?: number }): Observation => {
  const { wanted, ...rest } = over;
  const replicas = rest.replicas ?? [];
  const count = wanted ?? replicas.length;
  return {
    seq: 1,
    nowMs: 1_000_000,
    cause: "tick",
    pools: { default: { wanted: count, reported: replicas.length, otherWriter: false } },
    replicas,
    series: [],
    slots: null,
    ...rest,
  };
};

/** A stream of numbers in [0, 1) that is the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Request {
  readonly ticket: Ticket;
  readonly outputTokens: number;
  prefillLeft: number;
  outputLeft: number;
}

interface Server {
  readonly id: string;
  readonly askedMs: Ms;
  readyMs: Ms;
  draining: boolean;
  readonly queue: Request[];
  readonly batch: Request[];
  promptTokens: number;
  genTokens: number;
  /** How far the iteration that runs reaches into the next step, in seconds. */
  overrun: number;
}

/** An engine of iterations base + perPrefill × prompt tokens + perSequence × sequences, at 250 ms a step. */
export interface PlantOptions {
  readonly seed: number;
  readonly coldStartMs: Ms;
  readonly replicas: number;
  /** Requests per second at a time since the start. */
  readonly rate: (atMs: Ms) => number;
  readonly promptTokens?: number;
  readonly outputTokens?: number;
  readonly engine?: { readonly base: number; readonly perPrefill: number; readonly perSequence: number; readonly batch: number };
  /** What the policy may see: the gateway's ledger, the engines' pages, or both. */
  readonly sees?: "ledger" | "engines" | "both";
}

export function createPlant(of: Endpoint, options: PlantOptions) {
  const { seed, coldStartMs, rate, promptTokens = 800, outputTokens = 150, sees = "both" } = options;
  const engine = options.engine ?? { base: 0.012, perPrefill: 62e-6, perSequence: 100e-6, batch: 128 };
  const stepMs = 250;
  const draw = random(seed);
  const ledger = createLedger({ objective: of.objective, id: "plant" });
  const servers: Server[] = [];
  const held: Request[] = [];
  let [nowMs, cursor, born, wanted, seq] = [0, null as string | null, 0, options.replicas, 0];
  let [replicaMs, completed, within] = [0, 0, 0];
  const recent: { atMs: Ms; prompt: number; requests: number }[] = [];
  const exponential = (mean: number) => Math.max(1, Math.round(-mean * Math.log(1 - draw())));
  const launch = (delayMs: Ms) => {
    const server = {
      id: `r${born++}`,
      askedMs: nowMs,
      readyMs: nowMs + delayMs,
      draining: false,
      queue: [],
      batch: [],
      promptTokens: 0,
      genTokens: 0,
      overrun: 0,
    };
    servers.push(server);
  };
  for (let at = 0; at < wanted; at++) launch(0);

  function serve(server: Server): void {
    let left = stepMs / 1000 - server.overrun;
    server.overrun = 0;
    while (left > 0) {
      while (server.batch.length < engine.batch && server.queue.length > 0) server.batch.push(server.queue.shift() as Request);
      if (server.batch.length === 0) return;
      let budget = 2_048;
      let [prefilled, sequences] = [0, 0];
      const first: Request[] = [];
      for (const request of server.batch) {
        if (request.prefillLeft > 0) {
          const part = Math.min(budget, request.prefillLeft);
          request.prefillLeft -= part;
          budget -= part;
          prefilled += part;
          if (request.prefillLeft === 0 && part > 0) first.push(request);
        } else {
          request.outputLeft--;
          sequences++;
        }
      }
      left -= engine.base + engine.perPrefill * prefilled + engine.perSequence * sequences;
      const atMs = nowMs + stepMs - left * 1000;
      server.promptTokens += prefilled;
      server.genTokens += sequences + first.length;
      for (const request of first) {
        request.outputLeft--;
        ledger.firstToken(request.ticket, atMs);
      }
      for (let at = server.batch.length - 1; at >= 0; at--) {
        const request = server.batch[at] as Request;
        if (request.prefillLeft > 0 || request.outputLeft > 0) continue;
        server.batch.splice(at, 1);
        completed++;
        if (ledger.finish(request.ticket, atMs, "completed", { outputTokens: request.outputTokens }).withinObjective) within++;
      }
    }
    server.overrun = -left;
  }

  return {
    get nowMs() {
      return nowMs;
    },
    get wanted() {
      return wanted;
    },
    get heldCount() {
      return held.length;
    },
    get readyCount() {
      return servers.filter((server) => !server.draining && server.readyMs <= nowMs).length;
    },
    totals: () => ({ replicaHours: replicaMs / 3_600_000, completed, within, attainment: completed === 0 ? 1 : within / completed }),
    /** Puts requests in at once. */
    burst(count: number) {
      for (let at = 0; at < count; at++) this.arrive();
    },
    arrive() {
      const prompt = exponential(promptTokens);
      const output = exponential(outputTokens);
      const request = {
        ticket: ledger.arrive(nowMs, { promptTokens: prompt }),
        outputTokens: output,
        prefillLeft: prompt,
        outputLeft: output,
      };
      recent.push({ atMs: nowMs, prompt, requests: 1 });
      const up = servers.filter((server) => !server.draining && server.readyMs <= nowMs);
      const target = up.sort((a, b) => a.queue.length + a.batch.length - b.queue.length - b.batch.length)[0];
      if (target === undefined) {
        ledger.hold(request.ticket, nowMs);
        held.push(request);
      } else {
        ledger.dispatch(request.ticket, nowMs, target.id);
        target.queue.push(request);
      }
    },
    /** One step of 250 ms. @returns whether a request was held in it */
    step(): boolean {
      const before = held.length;
      let mean = (rate(nowMs) * stepMs) / 1000;
      for (
        mean = -Math.log(1 - draw()) / Math.max(1e-12, mean);
        mean < 1;
        mean += -Math.log(1 - draw()) / Math.max(1e-12, (rate(nowMs) * stepMs) / 1000)
      )
        this.arrive();
      const isHeld = held.length > before;
      const up = servers.filter((server) => !server.draining && server.readyMs <= nowMs);
      for (let at = 0; up.length > 0 && held.length > 0; at++) {
        const request = held.shift() as Request;
        const target = up[at % up.length] as Server;
        ledger.dispatch(request.ticket, nowMs, target.id);
        target.queue.push(request);
      }
      for (const server of servers) if (server.readyMs <= nowMs) serve(server);
      for (let at = servers.length - 1; at >= 0; at--) {
        const server = servers[at] as Server;
        if (server.draining && server.queue.length + server.batch.length === 0) servers.splice(at, 1);
      }
      replicaMs += stepMs * servers.length;
      nowMs += stepMs;
      return isHeld;
    },
    observe(cause: Cause): Observation {
      const report = ledger.report(nowMs, cursor);
      cursor = report.cursor;
      while (recent.length > 0 && (recent[0] as { atMs: Ms }).atMs < nowMs - 30_000) recent.shift();
      const alive = servers.filter((server) => !server.draining);
      const engines: Series[] = [];
      for (const server of alive.filter((one) => one.readyMs <= nowMs))
        engines.push(
          series("running", server.id, server.batch.length, nowMs),
          series("waiting", server.id, server.queue.length, nowMs),
          series("max_running", server.id, engine.batch, nowMs),
          series("prompt_tokens", server.id, server.promptTokens, nowMs),
          series("gen_tokens", server.id, server.genTokens, nowMs),
        );
      if (sees === "engines") {
        const span = Math.min(30, Math.max(1, nowMs / 1000));
        const sum = (value: (one: (typeof recent)[number]) => number) => recent.reduce((total, one) => total + value(one), 0) / span;
        engines.push(
          series(
            "request_rate",
            null,
            sum((one) => one.requests),
            nowMs,
          ),
          series(
            "prompt_tokens_per_second",
            null,
            sum((one) => one.prompt),
            nowMs,
          ),
          series("output_tokens_per_second", null, sum((one) => one.requests) * outputTokens, nowMs),
          series(
            "in_flight",
            null,
            servers.reduce((total, server) => total + server.queue.length + server.batch.length, held.length),
            nowMs,
          ),
        );
      }
      return {
        seq: ++seq,
        nowMs,
        cause,
        pools: { default: { wanted, reported: alive.length, otherWriter: false } },
        replicas: servers.map((server): Replica => {
          const state = server.draining ? "draining" : server.readyMs <= nowMs ? "ready" : "starting";
          const entered = { starting: server.askedMs, ...(server.readyMs <= nowMs ? { ready: server.readyMs } : {}) };
          return { id: server.id, pool: "default", state, entered, readiness: null };
        }),
        series: sees === "ledger" ? [] : engines,
        slots: sees === "engines" ? null : report.slots,
      };
    },
    apply(want: Want | undefined) {
      if (want?.kind !== "scale") return false;
      const alive = servers.filter((server) => !server.draining);
      for (let at = alive.length; at < want.replicas; at++) launch(coldStartMs);
      const going = want.drain.map((id) => alive.find((server) => server.id === id)).slice(0, Math.max(0, alive.length - want.replicas));
      for (const server of going) {
        if (server === undefined) continue;
        server.draining = true;
        if (server.readyMs > nowMs) servers.splice(servers.indexOf(server), 1);
      }
      wanted = want.replicas;
      return true;
    },
  };
}

export const slo = (over: Partial<SloPolicySpec> = {}): PolicySpec => ({
  kind: "slo",
  spec: { intervalMs: 5_000, coldStartMs: 60_000, zeroAfterMs: 300_000, wakeUpPenaltyGpuMs: null, schedule: [], ...over },
});
