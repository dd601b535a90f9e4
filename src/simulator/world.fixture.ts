import { type EngineConfig, type EngineProfile, findProfile } from "../engine/index.ts";
import type { Endpoint, Json, Ms, Observation, Policy, Pool, Want } from "../model/index.ts";
import { randomStreams, type TraceRequest } from "../traces/index.ts";
import { defaultEngine, type SimulatedPool, type SimulationOptions } from "./index.ts";

/** Words for the tests of this room. */
export const pool = (over: Partial<Pool> = {}): Pool => ({
  name: "default",
  role: "serve",
  gpu: "a100-80g",
  gpusPerReplica: 1,
  spot: false,
  pricePerReplicaHour: 2,
  min: 1,
  max: 20,
  standby: 0,
  ...over,
});

export const endpoint = (pools: readonly Pool[] = [pool()], over: Partial<Endpoint> = {}): Endpoint => ({
  name: "test",
  namespace: "default",
  model: "m",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools,
  objective: { attainment: 0.99, timeToFirstTokenMs: 2_000, timePerOutputTokenMs: 100 },
  policy: { kind: "static", replicas: {} },
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5_000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 1_000, holdTimeoutMs: 600_000, upstreamTimeoutMs: 600_000, maxBodyBytes: 1e7, attempts: 3 },
  dryRun: false,
  ...over,
});

export const profile = findProfile("8B");

/** Every iteration takes `stepMs`, whatever is in it. */
const evenProfile = (stepMs: Ms): EngineProfile => ({
  ...profile,
  decAMs: stepMs,
  decCUsPerSeq: 0,
  decDUsPer1kCtx: 0,
  mixAMs: stepMs,
  mixBUsPerPrefillToken: 0,
  mixCUsPerSeq: 0,
  mixDUsPer1kCtx: 0,
});
export const evenEngine = (stepMs: Ms, maxNumSeqs: number): EngineConfig => ({
  ...defaultEngine(evenProfile(stepMs)),
  maxNumSeqs,
  maxNumBatchedTokens: 1_000_000,
  overheadMs: 0,
});

export const simulated = (over: Partial<SimulatedPool> = {}): SimulatedPool => ({
  engine: defaultEngine(profile),
  coldStart: { total: 60_000 },
  ...over,
});

/** A policy that holds but at the times given, when it wants what is written there; it sees everything that it is shown. */
export function scripted(script: readonly (readonly [Ms, Want])[], over: Partial<Policy> = {}, seen: Observation[] = []): Policy {
  return {
    kind: "scripted",
    needs: [],
    wakesOn: [],
    start: () => 0,
    decide(state: Json, now) {
      seen.push(now);
      const at = state as number;
      const due = script[at];
      const isDue = due !== undefined && now.nowMs >= due[0];
      const next = script[isDue ? at + 1 : at];
      const want: Want = isDue ? due[1] : { kind: "hold" };
      const decision = {
        seq: now.seq,
        wants: Object.fromEntries(Object.keys(now.pools).map((name) => [name, want])),
        steps: [],
        conditions: [],
        nextAtMs: next === undefined ? now.nowMs + 10_000 : Math.min(now.nowMs + 10_000, Math.max(now.nowMs + 1, next[0])),
      };
      return { state: isDue ? at + 1 : at, decision };
    },
    settle: (state) => ({ state, conditions: [] }),
    ...over,
  };
}
export const to = (replicas: number, over: { readonly standby?: number; readonly drain?: readonly string[] } = {}): Want => ({
  kind: "scale",
  replicas,
  drain: [],
  ...over,
});

export const row = (arrivalMs: Ms, promptTokens = 1000, outputTokens = 10, over: Partial<TraceRequest> = {}): TraceRequest => ({
  arrivalMs,
  promptTokens,
  outputTokens,
  ...over,
});

/** Poisson arrivals. */
export function poisson(
  perSecond: number,
  count: number,
  seed: number,
  sizes: (u: number) => Pick<TraceRequest, "promptTokens" | "outputTokens">,
) {
  const [gaps, tokens] = randomStreams(seed, 3).slice(1) as [() => number, () => number];
  let atMs = 0;
  return Array.from({ length: count }, (): TraceRequest => {
    atMs += (-1000 * Math.log1p(-gaps())) / perSecond;
    return { arrivalMs: atMs, ...sizes(tokens()) };
  });
}

export const options = (over: Partial<SimulationOptions> & Pick<SimulationOptions, "trace">): SimulationOptions => ({
  endpoint: endpoint(),
  seed: 1,
  pools: { default: simulated() },
  policy: scripted([]),
  ...over,
});
