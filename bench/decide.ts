import { Bench } from "tinybench";
import { parseConfig } from "../src/config/index.ts";
import type { Endpoint, Observation, Replica, Series, Slot } from "../src/model/index.ts";
import { createPolicy } from "../src/policy/index.ts";

const head = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat, namespace: n }
spec:
  model: m
  engine: { kind: vllm }
  platform: { kind: static, urls: ["http://127.0.0.1:1"], target: { apiVersion: apps/v1, kind: Deployment, name: d } }
  replicas: { min: 1, max: 200 }
  metrics: { a: gpu_utilization, b: running, c: kv_used }
`;
const hpa = `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: h, namespace: n }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: d }
  minReplicas: 1
  maxReplicas: 200
  metrics:
    - { type: Pods, pods: { metric: { name: a }, target: { type: AverageValue, averageValue: 75 } } }
    - { type: Pods, pods: { metric: { name: b }, target: { type: AverageValue, averageValue: 20 } } }
    - { type: Pods, pods: { metric: { name: c }, target: { type: AverageValue, averageValue: 700m } } }
`;
const policies: Readonly<Record<string, string>> = {
  hpa: head + hpa,
  signals: `${head}  policy: { kind: signals, rules: [{ signal: gpu_utilization, target: 75 }, { signal: running, target: 20 }, { signal: ttft_p95, ceiling: 2s }] }\n`,
  slo: `${head}  policy: { kind: slo }\n`,
};

/** An endpoint of `count` busy replicas that has run for a while; `at` moves its time and load. */
function observation(count: number, at: number): Observation {
  const nowMs = 10_000_000 + at * 15_000;
  const replicas = Array.from(
    { length: count },
    (_, id): Replica => ({
      id: `r-${id}`,
      pool: "default",
      state: "ready",
      entered: { starting: 0, load: 10, ready: 90_000 },
      readiness: { status: true, sinceMs: 90_000 },
    }),
  );
  const value = (name: string, id: number) =>
    ({
      gpu_utilization: 70 + (id % 9),
      running: 15 + ((id + at) % 7),
      kv_used: 0.5,
      waiting: id % 2,
      prompt_tokens: 1000 * at + id,
      gen_tokens: 300 * at + id,
    })[name] ?? 0;
  const series = ["gpu_utilization", "running", "kv_used", "waiting", "prompt_tokens", "gen_tokens"].flatMap((name) =>
    replicas.map(({ id }, index): Series => {
      const sample = { atMs: nowMs - 2000, windowMs: 0, value: value(name, index) };
      return { name, subject: { kind: "replica", id }, samples: [sample], latest: sample, fault: null };
    }),
  );
  for (const [name, of] of [
    ["ttft_p95", 0.9],
    ["tpot_p95", 0.05],
    ["queue_depth", 3],
    ["request_rate", 200 + (at % 10)],
  ] as const) {
    const sample = { atMs: nowMs - 1000, windowMs: 0, value: of };
    series.push({ name, subject: { kind: "endpoint" }, samples: [sample], latest: sample, fault: null });
  }
  const slots = Array.from(
    { length: 15 },
    (_, second): Slot => ({
      atMs: nowMs - 15_000 + second * 1000,
      class: "default",
      promptBand: 3,
      arrivals: 200,
      promptTokens: 240_000,
      prefixHitTokens: 0,
      completed: 199,
      outputTokens: 43_000,
      failed: 0,
      cancelled: 0,
      rejected: 0,
      withinObjective: 198,
      inFlightMean: 1500,
      heldMean: 0,
    }),
  );
  return {
    seq: at,
    nowMs,
    cause: "tick",
    pools: { default: { wanted: count, reported: count, otherWriter: false } },
    replicas,
    series,
    slots,
  };
}

/** Time of one decision at 100 replicas, and of 10,000 endpoints of 10 replicas. */
export async function bench(): Promise<void> {
  const suite = new Bench({ time: 1500, warmupTime: 500 });
  for (const [name, text] of Object.entries(policies)) {
    const endpoint = parseConfig(text, { file: `${name}.yaml`, env: {} }).endpoints[0] as Endpoint;
    const policy = createPolicy(endpoint);
    const seen = Array.from({ length: 64 }, (_, at) => observation(100, at + 1));
    let state = policy.start(seen[0] as Observation);
    let at = 0;
    suite.add(`${name}, 100 replicas`, () => {
      // Time goes on for ever, as it does for a policy.
      const base = seen[at % seen.length] as Observation;
      state = policy.decide(state, { ...base, seq: at, nowMs: base.nowMs }).state;
      at++;
      if (at % seen.length === 0) state = policy.start(seen[0] as Observation);
    });
  }
  await suite.run();
  for (const task of suite.tasks) {
    const { result } = task;
    if (result !== undefined && "latency" in result) {
      process.stdout.write(
        `${task.name.padEnd(24)} median ${(1000 * result.latency.p50).toFixed(1)} µs, p99 ${(1000 * result.latency.p99).toFixed(1)} µs\n`,
      );
    }
  }
  const endpoint = parseConfig(policies["hpa"] as string, { file: "hpa.yaml", env: {} }).endpoints[0] as Endpoint;
  const policy = createPolicy(endpoint);
  const small = observation(10, 1);
  const startedAt = performance.now();
  for (let one = 0; one < 10_000; one++) policy.decide(policy.start(small), small);
  process.stdout.write(`hpa, 10,000 endpoints of 10 replicas: ${(performance.now() - startedAt).toFixed(0)} ms\n`);
}
