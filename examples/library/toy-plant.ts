// Drives a toy plant of replicas with the library alone: no server, no clock but the loop's own seconds.
//   node examples/library/toy-plant.ts
import { createAutoscaler, type Replica } from "tidegate";

const autoscaler = createAutoscaler([
  {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: "toy" },
    spec: {
      model: "toy-model",
      engine: { kind: "other" },
      platform: { kind: "static", urls: ["http://127.0.0.1:1"] },
      replicas: { min: 0, max: 8 },
      policy: { kind: "slo", interval: "5s", coldStart: "30s", zeroAfter: "3m" },
    },
  },
]);

// The plant: a replica is ready 30 s after it was asked for, serves up to 8 requests at a time and takes 5 s for each. One that drains
// finishes what it has and goes.
type Request = { id: string; doneAtMs: number };
let replicas: { id: string; askedMs: number; serving: Request[]; draining: boolean }[] = [];
const queue: string[] = [];
const demand = (second: number) => (second < 60 ? 0 : second < 300 ? 1 : second < 600 ? 4 : second < 780 ? 1 : 0);
let [wanted, born, arrived, due, nextAtMs, seq] = [0, 0, 0, 0, 0, 0];

console.log("  time  requests/s  queue  ready  wanted  because");
for (let nowMs = 0; nowMs <= 1_200_000; nowMs += 1_000) {
  for (due += demand(nowMs / 1000); due >= 1; due--) {
    const request = `request-${arrived++}`;
    autoscaler.observe({ kind: "arrived", atMs: nowMs, request, promptTokens: 600 });
    autoscaler.observe({ kind: "held", atMs: nowMs, request });
    queue.push(request);
  }
  const ready = replicas.filter((replica) => nowMs >= replica.askedMs + 30_000);
  for (const replica of ready) {
    for (const { id, doneAtMs } of replica.serving)
      if (doneAtMs <= nowMs) autoscaler.observe({ kind: "completed", atMs: nowMs, request: id, outputTokens: 120 });
    replica.serving = replica.serving.filter(({ doneAtMs }) => doneAtMs > nowMs);
    while (!replica.draining && replica.serving.length < 8 && queue.length > 0) {
      const id = queue.shift() as string;
      autoscaler.observe({ kind: "dispatched", atMs: nowMs, request: id, replica: replica.id });
      autoscaler.observe({ kind: "firstToken", atMs: nowMs + 200, request: id });
      replica.serving.push({ id, doneAtMs: nowMs + 5_000 });
    }
  }

  replicas = replicas.filter(({ draining, serving }) => !draining || serving.length > 0);

  const held = ready.length === 0 && queue.length > 0;
  if (nowMs < nextAtMs && !(held && wanted === 0)) continue;
  const decision = autoscaler.decide({
    seq: ++seq,
    nowMs,
    cause: held ? "held" : "tick",
    pools: { default: { wanted, reported: wanted, otherWriter: false } },
    replicas: replicas.map(({ id, askedMs, draining }): Replica => {
      const isReady = nowMs >= askedMs + 30_000;
      const entered = { starting: askedMs, ...(isReady ? { ready: askedMs + 30_000 } : {}) };
      return { id, pool: "default", state: draining ? "draining" : isReady ? "ready" : "starting", entered, readiness: null };
    }),
    series: [],
  });
  nextAtMs = decision.nextAtMs;
  const want = decision.wants["default"];
  if (want?.kind !== "scale") continue;
  for (const replica of replicas) if (want.drain.includes(replica.id)) replica.draining = true;
  const kept = replicas.filter(({ draining }) => !draining).length;
  for (let more = kept; more < want.replicas; more++)
    replicas.push({ id: `replica-${born++}`, askedMs: nowMs, serving: [], draining: false });
  autoscaler.settle({ seq: decision.seq, pool: "default", atMs: nowMs, result: "accepted" });
  const because = decision.steps.find(({ code }) => code === "need" || code === "idle" || code === "wake")?.text ?? "";
  const cells = [`${nowMs / 1000} s`.padStart(6), demand(nowMs / 1000), queue.length, ready.length, `${wanted} → ${want.replicas}`];
  console.log(cells.map((cell, at) => String(cell).padStart([6, 11, 6, 6, 7][at] as number)).join(" "), "", because);
  wanted = want.replicas;
}
