import { parseConfig } from "../src/config/index.ts";
import type { Endpoint, Json, Ms, Observation, Replica, Series, Slot } from "../src/model/index.ts";
import { createPolicy } from "../src/policy/index.ts";

const config = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat, namespace: n }
spec:
  model: m
  engine: { kind: vllm }
  platform: { kind: static, urls: ["http://127.0.0.1:1"] }
  replicas: { min: 1, max: 200 }
  policy: { kind: slo }
`;
const replicas = 100;
const intervalMs: Ms = 15_000;

/** Busy replicas of an endpoint whose load swings by a third, with a page and a second's slot for each second. */
function observation(at: number): Observation {
  const nowMs = 10_000_000 + at * intervalMs;
  const swing = 1 + Math.sin(at / 40) / 3;
  const fleet = Array.from(
    { length: replicas },
    (_, id): Replica => ({
      id: `r-${id}`,
      pool: "default",
      state: "ready",
      entered: { starting: 0, ready: 90_000 },
      readiness: { status: true, sinceMs: 90_000 },
    }),
  );
  const values = { running: 30 * swing, waiting: 0, kv_used: 0.4, prompt_tokens: 8_000 * 15 * at, gen_tokens: 1_000 * 15 * at };
  const series = Object.entries(values).flatMap(([name, value]) =>
    fleet.map(({ id }): Series => {
      const sample = { atMs: nowMs - 2_000, windowMs: 0, value };
      return { name, subject: { kind: "replica", id }, samples: [sample], latest: sample, fault: null };
    }),
  );
  const slots = Array.from({ length: 15 }, (_, second): Slot => {
    const arrivals = Math.round(800 * swing + ((at * 15 + second) % 7) * 12);
    return {
      atMs: nowMs - intervalMs + second * 1_000,
      class: "default",
      promptBand: 3,
      arrivals,
      promptTokens: arrivals * 1_000,
      prefixHitTokens: 0,
      completed: arrivals,
      outputTokens: arrivals * 120,
      failed: 0,
      cancelled: 0,
      rejected: 0,
      withinObjective: arrivals,
      inFlightMean: 3_000 * swing,
      heldMean: 0,
    };
  });
  const pools = { default: { wanted: replicas, reported: replicas, otherWriter: false } };
  return { seq: at, nowMs, cause: "tick", pools, replicas: fleet, series, slots };
}

/** `npm run bench -- policy [DECISIONS]`: time of a decision of the slo policy at 100 replicas, and the size of its state. */
export async function bench([decisions = "3000"]: readonly string[]): Promise<void> {
  const policy = createPolicy(parseConfig(config, { file: "slo.yaml", env: {} }).endpoints[0] as Endpoint);
  const took: number[] = [];
  let state: Json = policy.start(observation(0));
  for (let at = 0; at < Number(decisions); at++) {
    const now = observation(at);
    const startedAt = performance.now();
    state = policy.decide(state, now).state;
    if (at >= 100) took.push(performance.now() - startedAt);
  }
  took.sort((a, b) => a - b);
  const quantile = (q: number) => (took[Math.floor(q * (took.length - 1))] as number).toFixed(2);
  process.stdout.write(
    `slo, ${replicas} replicas: median ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, state ${(JSON.stringify(state).length / 1000).toFixed(0)} kB\n`,
  );
}
