import type { EngineKind, EngineSpec } from "../model/index.ts";

/**
 * Every default of the config in one place, in the config's own words. `examples/tidegate.yaml` states them all again, and a test
 * compares the two.
 */
export const DEFAULTS = {
  namespace: "default",
  replicas: { min: 0, standby: 0 },
  pool: { role: "serve", gpu: "", gpusPerReplica: 1, spot: false },
  price: { perReplicaHour: 0 },
  objective: { attainment: 0.99, timeToFirstToken: "2s", timePerOutputToken: "50ms" },
  process: {
    host: "127.0.0.1",
    startTimeout: "10m",
    drainTimeout: "5m",
    terminateGrace: "30s",
    restartBackoff: { initial: "1s", max: "1m" },
  },
  kubernetes: { drainTimeout: "5m" },
  emulated: { profile: "8B", coldStart: "20s", seed: 1 },
  prometheus: { timeout: "5s", insecureSkipVerify: false },
  signals: { scrapeInterval: "5s", staleAfter: "30s" },
  gateway: {
    maxHeld: 1000,
    holdTimeout: "10m",
    upstreamTimeout: "10m",
    maxBody: "10MiB",
    attempts: 3,
    order: "late-last",
    oldestEvery: 10,
  },
  dryRun: false,
  policy: {
    signals: { tolerance: 0.1, interval: "15s", zeroAfter: "never" },
    ceiling: { maxStep: 0.5 },
    saturation: { throughput: "output_tokens_per_second", below: 0.9, waiting: 1, step: 0.25 },
    schedule: { timezone: "UTC" },
    slo: { interval: "5s", coldStart: "1m", zeroAfter: "10m", wakeUpPenalty: null },
  },
  // Kubernetes API reference, autoscaling/v2 HorizontalPodAutoscalerBehavior.
  behavior: {
    selectPolicy: "Max",
    scaleUp: {
      stabilizationWindowSeconds: 0,
      policies: [
        { type: "Percent", value: 100, periodSeconds: 15 },
        { type: "Pods", value: 4, periodSeconds: 15 },
      ],
    },
    scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
  },
} as const;

type Paths = Omit<EngineSpec, "kind">;
const noGpu = { gpuMetrics: null };

/**
 * Where each engine answers by its own documentation. Ollama and LMDeploy's status page have no readiness route of their own, so a
 * cheap GET that succeeds once they serve stands for it; SGLang and llama.cpp serve `/metrics` only when told to, TensorRT-LLM
 * likewise, and Triton on a port of its own (name it by a full URL).
 */
export const ENGINE_DEFAULTS: Readonly<Record<EngineKind, Paths>> = {
  vllm: { healthPath: "/health", metricsPath: "/metrics", ...noGpu },
  sglang: { healthPath: "/health", metricsPath: "/metrics", ...noGpu },
  tgi: { healthPath: "/health", metricsPath: "/metrics", ...noGpu },
  trtllm: { healthPath: "/health", metricsPath: "/prometheus/metrics", ...noGpu },
  triton: { healthPath: "/v2/health/ready", metricsPath: "/metrics", ...noGpu },
  nim: { healthPath: "/v1/health/ready", metricsPath: "/v1/metrics", ...noGpu },
  llamacpp: { healthPath: "/health", metricsPath: "/metrics", ...noGpu },
  ollama: { healthPath: "/api/version", metricsPath: null, ...noGpu },
  lmdeploy: { healthPath: "/health", metricsPath: "/metrics", ...noGpu },
  emulated: { healthPath: "/health", metricsPath: "/metrics", gpuMetrics: "/metrics/gpu" },
  other: { healthPath: "/health", metricsPath: null, ...noGpu },
};
