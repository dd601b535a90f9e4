import { expect, it } from "vitest";
import type { Endpoint, Target } from "../model/index.ts";
import { slo } from "../policy/plant.fixture.ts";
import { exportPolicy, readerOf } from "./index.ts";

const endpoint = (target: Target): Endpoint => ({
  name: "llama",
  namespace: "default",
  model: "llama",
  engine: { kind: "vllm", healthPath: "/health", metricsPath: "/metrics", gpuMetrics: null },
  platform: { kind: "static", target, urls: [] },
  pools: [{ name: "default", role: "serve", gpu: "", gpusPerReplica: 1, spot: false, pricePerReplicaHour: 1, min: 1, max: 4, standby: 0 }],
  objective: { attainment: 0.99, timeToFirstTokenMs: 2000, timePerOutputTokenMs: 100 },
  policy: slo({ intervalMs: 10_000, coldStartMs: 60_000, zeroAfterMs: 600_000 }),
  metrics: {},
  prometheus: null,
  scrapeEveryMs: 5000,
  staleAfterMs: 15_000,
  gateway: { maxHeld: 100, holdTimeoutMs: 60_000, upstreamTimeoutMs: 60_000, maxBodyBytes: 1_000_000, attempts: 3 },
  dryRun: false,
});
const storm: Target = { apiVersion: "orchestration.aibrix.ai/v1alpha1", kind: "StormService", name: "pd", part: "decode" };

it("says which role of a StormService a PodAutoscaler of AIBrix scales, and reads it so", () => {
  const aibrix = readerOf("aibrix");
  const { document, lost } = exportPolicy(endpoint(storm), null, aibrix);
  expect(document).toMatchObject({
    spec: { scaleTargetRef: { kind: "StormService", name: "pd" }, subTargetSelector: { roleName: "decode" } },
  });
  expect(lost.join("\n")).not.toContain("part");
  expect(aibrix.read(document)).toMatchObject({ target: storm });
});

it.each(["hpa", "keda"] as const)("leaves a part out of what cannot name one, and says so: %s", (dialect) => {
  const { document, lost } = exportPolicy(endpoint(storm), null, readerOf(dialect));
  expect(JSON.stringify(document)).not.toContain('"part"');
  expect(lost).toContain("A scaleTargetRef names no part: decode of StormService pd is not said.");
});
