import type { Entry } from "../history/index.ts";
import type { Decision, Endpoint, Histogram, Ms, Observation, Replica, Series } from "../model/index.ts";
import { slo } from "../policy/plant.fixture.ts";

export const endpoint: Endpoint = {
  name: "chat",
  namespace: "llm",
  model: "meta-llama/Llama-3.1-8B-Instruct",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target: null, urls: [] },
  pools: [
    { name: "default", role: "serve", gpu: "a100-80g", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 2, min: 1, max: 6, standby: 0 },
  ],
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 50 },
  policy: slo({ intervalMs: 5000, coldStartMs: 60_000, zeroAfterMs: 600_000 }),
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5000,
  staleAfterMs: 30_000,
  gateway: { maxHeld: 10, holdTimeoutMs: 1000, upstreamTimeoutMs: 1000, maxBodyBytes: 1000, attempts: 2 },
  dryRun: true,
};

export const replica = (id: string, entered: Replica["entered"], state: Replica["state"] = "ready"): Replica => ({
  ...{ id, pool: "default", state, entered },
  readiness: { status: state === "ready", sinceMs: 0 },
});

export const histogram = (name: string, value: Histogram, atMs: Ms): Series => {
  const sample = { atMs, windowMs: 5000, value };
  return { name, subject: { kind: "endpoint" }, samples: [sample], latest: sample, fault: null };
};

/** A recorded moment; `wants`: what slo wanted, null: it held. */
export function moment(
  atMs: Ms,
  about: {
    readonly wanted: number;
    readonly replicas?: readonly Replica[];
    readonly wants?: number | null;
    readonly series?: readonly Series[];
  },
): Entry {
  const observation: Observation = {
    ...{ seq: Math.round(atMs / 1000), nowMs: atMs, cause: "tick" },
    pools: { default: { wanted: about.wanted, reported: about.wanted, otherWriter: true } },
    ...{ replicas: about.replicas ?? [], series: about.series ?? [], slots: null },
  };
  const wants: Decision["wants"] = {
    default: typeof about.wants === "number" ? { kind: "scale", replicas: about.wants, drain: [] } : { kind: "hold" },
  };
  return {
    kind: "decision",
    atMs,
    observation,
    decision: { seq: observation.seq, wants, steps: [], conditions: [], nextAtMs: atMs + 5000 },
  };
}
