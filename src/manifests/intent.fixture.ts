import type { Intent } from "./reader.ts";

/** An intent that asks for nothing but a Deployment's bounds. */
export const bareIntent: Intent = {
  name: "llm",
  namespace: "n",
  target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" },
  min: 1,
  max: 8,
  rules: [],
  tolerance: null,
  scaleUp: null,
  scaleDown: null,
  zeroAfterMs: null,
  intervalMs: null,
};

/** A level of the KV cache beside what a dialect of the KV cache cannot say: CPU, a tolerance, scale to zero, an interval. */
export const cacheIntent: Intent = {
  name: "llm",
  namespace: "a",
  target: null,
  min: 0,
  max: 6,
  rules: [
    { signal: "kv_used", level: 0.5, of: "perReplica" },
    { signal: "cpu", level: 80, of: "perReplica" },
  ],
  tolerance: 0.1,
  scaleUp: null,
  scaleDown: null,
  zeroAfterMs: 1000,
  intervalMs: 15_000,
};
