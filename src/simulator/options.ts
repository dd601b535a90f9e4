import type { EngineConfig, EngineProfile } from "../engine/index.ts";
import {
  type Decision,
  type Endpoint,
  type Ms,
  type Observation,
  type Policy,
  type Pool,
  STAGES,
  type Stage,
  TidegateError,
} from "../model/index.ts";
import type { Routing } from "../routing/index.ts";
import { checkDistribution, type Distribution } from "./distribution.ts";
import type { Fault } from "./faults.ts";
import type { Rows } from "./rows.ts";

/**
 * How long a replica starts: `total` is spread over the stages in fixed shares, `stages` gives each its own; a stage without one is
 * passed at once. Waking from standby takes `wake` alone.
 */
export type ColdStart =
  | { readonly total: Distribution; readonly wake?: Distribution }
  | { readonly stages: Readonly<Partial<Record<Stage, Distribution>>> };

/** Nodes come whole: a node is there from the request for the first replica on it until none has been on it for `idleMs`. */
export interface NodeSpec {
  readonly gpusPerNode: number;
  readonly idleMs: Ms;
}

/** What the world gives to one pool of the endpoint; bounds, price and GPUs are the endpoint's. */
export interface SimulatedPool {
  readonly engine: EngineConfig;
  readonly coldStart: ColdStart;
  /** Ready when the run begins; `min` unless told. */
  readonly initial?: number;
  /** What a sleeping replica costs, of its price; 1 unless told. */
  readonly standbyPriceShare?: number;
  /** Each replica's steps take exp(sigma × normal) times as long; 0 unless told. */
  readonly speedSigma?: number;
  /** null or absent: a replica's GPUs are had one by one. */
  readonly nodes?: NodeSpec | null;
}

/** Time for the KV cache to get from a prefill to a decode replica. */
export interface KvTransfer {
  readonly baseMs: Ms;
  readonly msPerThousandTokens: Ms;
}

/**
 * - `replica`: a request finds the prefix of its session where the session's last request was, and nothing elsewhere.
 * - `fleet`: every request finds what its row says, as if all replicas shared one endless cache.
 */
export type PrefixCache = "none" | "replica" | "fleet";

export interface DecisionRecord {
  readonly observation: Observation;
  readonly decision: Decision;
  /** What the platform was asked for. */
  readonly orders: readonly { readonly pool: string; readonly from: number; readonly to: number }[];
}

export interface SimulationOptions {
  readonly endpoint: Endpoint;
  readonly trace: Rows;
  readonly seed: number;
  /** By name, one for each of the endpoint's pools. */
  readonly pools: Readonly<Record<string, SimulatedPool>>;
  /** The endpoint's own (`createPolicy`) unless told. */
  readonly policy?: Policy;
  readonly faults?: readonly Fault[];
  /** `least-work` unless told, as at the gateway. */
  readonly routing?: Routing;
  /** `replica` unless told. */
  readonly prefixCache?: PrefixCache;
  readonly kvTransfer?: KvTransfer;
  /** False: no gateway of ours is in the path, so that the policy gets no slots and endpoint series come from engines alone. */
  readonly ledgerSeen?: boolean;
  /** Clients leave after so long without a first token, looked at once a second; null unless told. */
  readonly patienceMs?: Ms | null;
  /** A draining replica is ended after so long, with what is still in flight on it; 5 min unless told. */
  readonly drainTimeoutMs?: Ms;
  /** Figures leave out what comes before; 0 unless told. */
  readonly warmupMs?: Ms;
  /** Figures are given once more for what comes from here on. */
  readonly splitMs?: Ms | null;
  /** Money and figures end here; the last arrival unless told. Later rows are not read. */
  readonly durationMs?: Ms | null;
  /** Two changes in opposite directions within so long are a reversal; 10 min unless told. */
  readonly reversalMs?: Ms;
  /** Called with every decision. Keep what you need: nothing is kept here. */
  readonly onDecision?: (record: DecisionRecord) => void;
  /** Observations hold every series, not only those that the policy says it needs. */
  readonly allSeries?: boolean;
}

/** A measured profile's own limits; else those of vLLM's defaults on a data-centre GPU, and an overhead in the middle of what was measured. */
export const defaultEngine = (profile: EngineProfile): EngineConfig => ({
  profile,
  maxNumSeqs: profile.limits?.maxNumSeqs ?? 256,
  maxNumBatchedTokens: profile.limits?.maxNumBatchedTokens ?? 2048,
  kvCapacityTokens: profile.kvCapacityTokens,
  watermark: 0.01,
  overheadMs: profile.overheadMs ?? 1.5,
});

export interface Settings extends Required<Omit<SimulationOptions, "policy" | "onDecision" | "pools">> {
  readonly pools: readonly { readonly pool: Pool; readonly simulated: Required<SimulatedPool> }[];
  readonly onDecision: ((record: DecisionRecord) => void) | null;
}

/** Fills in the defaults. @throws TidegateError `usage` of a value that means nothing */
export function settingsOf(options: SimulationOptions): Settings {
  const { endpoint, pools } = options;
  const refuse = (message: string): never => {
    throw new TidegateError("usage", message);
  };
  for (const name of Object.keys(pools)) {
    if (!endpoint.pools.some((pool) => pool.name === name))
      refuse(`pools.${name} is no pool of endpoint ${endpoint.name}; there is ${endpoint.pools.map((pool) => pool.name).join(", ")}`);
  }
  const roles = new Set(endpoint.pools.map(({ role }) => role));
  if (roles.has("serve") ? roles.size > 1 : roles.size !== 2)
    refuse(
      `endpoint ${endpoint.name} has pools for ${[...roles].join(", ")}; it takes serve pools alone, or prefill and decode pools together`,
    );
  const settings: Settings = {
    endpoint,
    trace: options.trace,
    seed: options.seed,
    pools: endpoint.pools.map((pool) => {
      const simulated = pools[pool.name];
      if (simulated === undefined)
        return refuse(`pool ${pool.name} of endpoint ${endpoint.name} has no entry in pools; add its engine and cold start`);
      const filled = { initial: pool.min, standbyPriceShare: 1, speedSigma: 0, nodes: null, ...simulated };
      checkPool(pool.name, filled);
      return { pool, simulated: filled };
    }),
    faults: options.faults ?? [],
    routing: options.routing ?? "least-work",
    prefixCache: options.prefixCache ?? "replica",
    kvTransfer: options.kvTransfer ?? { baseMs: 2, msPerThousandTokens: 10 },
    ledgerSeen: options.ledgerSeen ?? true,
    patienceMs: options.patienceMs ?? null,
    drainTimeoutMs: options.drainTimeoutMs ?? 300_000,
    warmupMs: options.warmupMs ?? 0,
    splitMs: options.splitMs ?? null,
    durationMs: options.durationMs ?? null,
    reversalMs: options.reversalMs ?? 600_000,
    allSeries: options.allSeries ?? false,
    onDecision: options.onDecision ?? null,
  };
  if (!Number.isInteger(settings.seed)) refuse(`the seed (${settings.seed}) must be a whole number`);
  for (const name of ["warmupMs", "reversalMs", "drainTimeoutMs"] as const)
    if (!(settings[name] >= 0)) refuse(`${name} (${settings[name]}) must be at least 0`);
  if (settings.splitMs !== null && !(settings.splitMs > settings.warmupMs))
    refuse(`splitMs (${settings.splitMs}) must be after warmupMs (${settings.warmupMs})`);
  if (settings.durationMs !== null && !(settings.durationMs > Math.max(settings.warmupMs, settings.splitMs ?? 0)))
    refuse(`durationMs (${settings.durationMs}) must be after warmupMs and splitMs`);
  return settings;
}

function checkPool(name: string, { coldStart, initial, standbyPriceShare, speedSigma, nodes }: Required<SimulatedPool>): void {
  const whole = (value: number, least: number, what: string) => {
    if (!Number.isInteger(value) || value < least)
      throw new TidegateError("usage", `pools.${name}.${what} (${value}) must be a whole number of at least ${least}`);
  };
  whole(initial, 0, "initial");
  if (nodes !== null) whole(nodes.gpusPerNode, 1, "nodes.gpusPerNode");
  if (!(standbyPriceShare >= 0))
    throw new TidegateError("usage", `pools.${name}.standbyPriceShare (${standbyPriceShare}) must be at least 0`);
  if (!(speedSigma >= 0)) throw new TidegateError("usage", `pools.${name}.speedSigma (${speedSigma}) must be at least 0`);
  if ("total" in coldStart) {
    checkDistribution(coldStart.total, `pools.${name}.coldStart.total`);
    if (coldStart.wake !== undefined) checkDistribution(coldStart.wake, `pools.${name}.coldStart.wake`);
  } else {
    for (const stage of STAGES) {
      const distribution = coldStart.stages[stage];
      if (distribution !== undefined) checkDistribution(distribution, `pools.${name}.coldStart.stages.${stage}`);
    }
  }
}
