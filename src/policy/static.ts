import type { Endpoint, Json, Policy } from "../model/index.ts";
import { pipelinePolicy, unlimited } from "./pipeline.ts";

const INTERVAL_MS = 15_000;

/** The count that the config names, whatever happens; pools that it does not name stay at their `min`. */
export function staticPolicy(endpoint: Endpoint, replicas: Readonly<Record<string, number>>): Policy<Json> {
  return pipelinePolicy({
    kind: "static",
    endpoint,
    needs: [],
    own: () => ({}),
    propose: (own) => ({
      own,
      rules: { intervalMs: INTERVAL_MS, scaleUp: unlimited, scaleDown: unlimited, assumedColdStartMs: 0 },
      steps: [],
      proposals: endpoint.pools.map((pool) => {
        const desired = replicas[pool.name] ?? pool.min;
        return {
          pool,
          desired,
          blind: [],
          wake: false,
          toZero: true,
          otherwise: { text: `The config names ${desired} for pool ${pool.name}; only another config changes that.`, numbers: { desired } },
        };
      }),
    }),
  });
}
