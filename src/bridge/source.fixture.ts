import { TidegateError } from "../model/index.ts";
import type { FollowedEndpoint, FollowedPool, Reading, Source } from "./source.ts";

/** A source whose words a test writes. */
export function fakeSource(endpoints: readonly FollowedEndpoint[]) {
  const listeners = new Set<(endpoint: string) => void>();
  const state = {
    endpoints: [...endpoints],
    /** By `endpoint/signal`. */
    readings: new Map<string, readonly Reading[]>(),
    unreachable: false,
    connected: true,
  };
  const source: Source = {
    endpoints: () => state.endpoints,
    readings: async (endpoint, signal) => {
      if (state.unreachable) throw new TidegateError("admin/unreachable", "the controller cannot be reached", { retryable: true });
      return state.readings.get(`${endpoint}/${signal}`) ?? [];
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    connected: () => state.connected,
    close() {},
  };
  /** Says something new of an endpoint. */
  const tell = (name: string, more: Partial<FollowedEndpoint>) => {
    state.endpoints = state.endpoints.map((one) => (one.name === name ? { ...one, ...more } : one));
    for (const listener of listeners) listener(name);
  };
  return { source, state, tell };
}

export const atMs = Date.UTC(2026, 10, 24, 12, 0, 0, 400);
export const timed = (value: number, windowMs = 0) => ({ value, atMs, windowMs });

/** One that scales the Deployment of the example; `desired` null: missing or stale. */
export const pool = (name: string, desired: number | null, min = 0, max = 10): FollowedPool => ({
  name,
  target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm-inference-deployment" },
  min,
  max,
  desired: desired === null ? null : timed(desired),
});

/** llama in llm-serving, as examples/hpa-gpu-utilization.yaml has it. */
export const llama: FollowedEndpoint = {
  name: "llama",
  namespace: "llm-serving",
  metrics: { dcgm_gpu_utilization: "gpu_utilization" },
  pools: [pool("default", 4, 1, 10)],
  held: 0,
  replicas: ["llm-0", "llm-1", "other-0"],
};
