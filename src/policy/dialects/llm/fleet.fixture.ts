import type {
  Endpoint,
  Histogram,
  Json,
  Ms,
  Observation,
  Policy,
  Pool,
  Replica,
  Series,
  Slot,
  Subject,
  Want,
} from "../../../model/index.ts";
import { endpoint as baseEndpoint, pool as basePool } from "../../plant.fixture.ts";

/** Words for tests of the LLM autoscalers' dialects, and a fluid model of a fleet to close the loop with. */
export const llmPool = (name: string, over: Partial<Pool> = {}): Pool => basePool({ name, gpu: "a100-80g", ...over });
export const llmEndpoint = (pools: readonly Pool[], over: Partial<Endpoint> = {}): Endpoint => ({
  ...baseEndpoint({ kind: "static", replicas: {} }, pools),
  model: "meta-llama/Llama-3.1-8B-Instruct",
  ...over,
});

/** What a replica's page says; a name left out is absent. */
type Page = Readonly<Record<string, number | Histogram>>;

const seriesOf = (subject: Subject, name: string, value: number | Histogram, atMs: Ms, windowMs: Ms = 0): Series => {
  const sample = { atMs, windowMs, value };
  return { name, subject, samples: [sample], latest: sample, fault: null };
};

export interface FakeReplica {
  readonly id: string;
  readonly pool: string;
  readonly state?: Replica["state"];
  readonly readyMs?: Ms;
  readonly page?: Page;
}

export const slot = (atMs: Ms, over: Partial<Slot> = {}): Slot => ({
  atMs,
  class: "default",
  promptBand: 2,
  arrivals: 0,
  promptTokens: 0,
  prefixHitTokens: 0,
  completed: 0,
  outputTokens: 0,
  failed: 0,
  cancelled: 0,
  rejected: 0,
  withinObjective: 0,
  inFlightMean: 0,
  heldMean: 0,
  ...over,
});

/** An Observation of these replicas; `wanted` is by pool, as many as there are where nothing is said. */
export function observe(
  nowMs: Ms,
  replicas: readonly FakeReplica[],
  over: Partial<Observation> & { readonly wanted?: Readonly<Record<string, number>>; readonly pageAtMs?: Ms } = {},
): Observation {
  const { wanted = {}, pageAtMs = nowMs, ...rest } = over;
  const names = new Set([...replicas.map(({ pool }) => pool), ...Object.keys(wanted)]);
  const pools: Record<string, Observation["pools"][string]> = {};
  for (const name of names) {
    const reported = replicas.filter(({ pool, state }) => pool === name && state !== "draining").length;
    pools[name] = { wanted: wanted[name] ?? reported, reported, otherWriter: false };
  }
  return {
    seq: 1,
    nowMs,
    cause: "tick",
    pools,
    replicas: replicas.map(({ id, pool, state = "ready", readyMs = 0 }) => ({
      id,
      pool,
      state,
      entered: state === "starting" ? { starting: readyMs } : { starting: readyMs - 60_000, ready: readyMs },
      readiness: null,
    })),
    series: replicas.flatMap(({ id, page = {} }) =>
      Object.entries(page).map(([name, value]) => seriesOf({ kind: "replica", id }, name, value, pageAtMs)),
    ),
    slots: null,
    ...rest,
  };
}

/** A histogram of `count` observations of one value in seconds. */
const latencies = (seconds: number, count: number): Histogram => ({ bounds: [seconds], counts: [count, 0], sum: seconds * count });

export interface FleetOptions {
  /** Requests per second of one replica, its sequences then, its KV tokens. */
  readonly perReplica?: number;
  readonly promptTokens?: number;
  readonly outputTokens?: number;
  readonly kvCapacityTokens?: number;
  readonly coldStartMs?: Ms;
  readonly start?: Readonly<Record<string, number>>;
  readonly requestClass?: string;
}

/**
 * A fluid model: arrivals are shared by the ready replicas of each role, what they cannot serve queues in them; KV use and latency
 * grow with the load. `observe` gives what a collector and a ledger would; `apply` carries wants out.
 */
export function createFleet(endpoint: Endpoint, options: FleetOptions = {}) {
  const {
    perReplica = 4,
    promptTokens = 800,
    outputTokens = 200,
    kvCapacityTokens = 400_000,
    coldStartMs = 60_000,
    requestClass = "default",
  } = options;
  type Server = {
    id: string;
    pool: string;
    readyMs: Ms;
    backlog: number;
    served: number;
    load: number;
    prompt: number;
    gen: number;
    finished: number;
    fresh: number;
  };
  const servers: Server[] = [];
  const wanted: Record<string, number> = {};
  let [nowMs, born, seq, held] = [0, 0, 0, 0];
  let slots: Slot[] = [];
  const launch = (pool: string, delayMs: Ms) =>
    void servers.push({
      id: `${pool}-${born++}`,
      pool,
      readyMs: nowMs + delayMs,
      backlog: 0,
      served: 0,
      load: 0,
      prompt: 0,
      gen: 0,
      finished: 0,
      fresh: 0,
    });
  for (const { name } of endpoint.pools) {
    wanted[name] = options.start?.[name] ?? 1;
    for (let at = 0; at < (wanted[name] as number); at++) launch(name, 0);
  }
  const roleOf = (pool: string) => endpoint.pools.find(({ name }) => name === pool)?.role;

  return {
    get nowMs() {
      return nowMs;
    },
    get held() {
      return held;
    },
    wanted: () => ({ ...wanted }),
    /** One second of arrivals at that rate. */
    step(rate: number): void {
      let completed = 0;
      for (const role of new Set(endpoint.pools.map((pool) => pool.role))) {
        const peers = servers.filter(({ pool, readyMs }) => roleOf(pool) === role && readyMs <= nowMs);
        if (peers.length === 0) {
          held += rate;
          continue;
        }
        const each = (rate + held) / peers.length;
        for (const server of peers) {
          server.backlog += each;
          server.served = Math.min(server.backlog, perReplica);
          server.backlog -= server.served;
          server.load = server.served / perReplica;
          server.prompt += server.served * promptTokens;
          server.gen += server.served * outputTokens;
          server.finished += server.served;
          server.fresh += server.served;
        }
        completed = peers.reduce((sum, { served }) => sum + served, 0);
        held = 0;
      }
      slots.push(
        slot(nowMs, {
          class: requestClass,
          arrivals: rate,
          promptTokens: rate * promptTokens,
          completed,
          outputTokens: completed * outputTokens,
          inFlightMean: servers.reduce((sum, { backlog, served }) => sum + backlog + served * 5, 0),
          heldMean: held,
        }),
      );
      nowMs += 1000;
    },
    observe(cause: Observation["cause"] = "tick"): Observation {
      const replicas = servers.map((server): FakeReplica => {
        const isReady = server.readyMs <= nowMs;
        const busy = Math.min(0.98, 0.9 * server.load + (server.backlog > 0 ? 0.08 : 0));
        const page: Page = isReady
          ? {
              running: Math.round(server.load * 40),
              waiting: Math.floor(server.backlog),
              kv_used: busy,
              kv_capacity_tokens: kvCapacityTokens,
              prompt_tokens: server.prompt,
              gen_tokens: server.gen,
              finished: server.finished,
              ...(server.fresh > 0
                ? {
                    ttft: latencies(0.12 + 0.05 * server.load + server.backlog / perReplica, Math.max(1, Math.round(server.fresh))),
                    itl: latencies(0.012 + 0.018 * server.load, Math.max(1, Math.round(server.fresh * outputTokens))),
                  }
                : {}),
            }
          : {};
        server.fresh = 0;
        return { id: server.id, pool: server.pool, state: isReady ? "ready" : "starting", readyMs: server.readyMs, page };
      });
      const taken = slots;
      slots = [];
      return observe(nowMs, replicas, { seq: ++seq, cause, wanted, slots: taken });
    },
    apply(wants: Readonly<Record<string, Want>>): void {
      for (const [pool, want] of Object.entries(wants)) {
        if (want.kind !== "scale") continue;
        const alive = servers.filter((server) => server.pool === pool);
        for (let at = alive.length; at < want.replicas; at++) launch(pool, coldStartMs);
        for (const gone of alive.toReversed().slice(0, Math.max(0, alive.length - want.replicas))) servers.splice(servers.indexOf(gone), 1);
        wanted[pool] = want.replicas;
      }
    },
  };
}

const roundTrip = (state: Json): Json => JSON.parse(JSON.stringify(state)) as Json;

export interface Run {
  readonly atMs: Ms;
  readonly wanted: Readonly<Record<string, number>>;
  readonly decision: ReturnType<Policy["decide"]>["decision"];
}

/**
 * Closes the loop for `seconds`: decides when the policy asked to be asked, or at once when requests are held and it wakes on
 * that. The state goes through JSON at every step, and `change` may alter what is seen.
 */
export function runFleet(
  policy: Policy,
  fleet: ReturnType<typeof createFleet>,
  rate: (second: number) => number,
  seconds: number,
  change: (seen: Observation, second: number) => Observation = (seen) => seen,
): readonly Run[] {
  const runs: Run[] = [];
  let state = roundTrip(policy.start(fleet.observe()));
  let nextAtMs = fleet.nowMs;
  for (let second = 0; second < seconds; second++) {
    fleet.step(rate(second));
    const wakes = fleet.held > 0 && policy.wakesOn.includes("held");
    if (fleet.nowMs < nextAtMs && !wakes) continue;
    const result = policy.decide(state, change(fleet.observe(wakes ? "held" : "tick"), second));
    state = roundTrip(result.state);
    nextAtMs = result.decision.nextAtMs;
    fleet.apply(result.decision.wants);
    runs.push({ atMs: fleet.nowMs, wanted: fleet.wanted(), decision: result.decision });
  }
  return runs;
}

/** The same Observation with replicas and series in another order, and labels that nobody knows. */
export function shuffled(seen: Observation): Observation {
  const alien = seriesOf({ kind: "external", labels: { team: "search" } }, "kv_used", 0.99, seen.nowMs);
  return {
    ...seen,
    replicas: seen.replicas.toReversed(),
    series: [alien, ...seen.series.toReversed()],
    slots: seen.slots?.toReversed() ?? null,
  };
}

/** The same Observation, where replicas have been silent for an hour and no ledger speaks. */
export function silenced(seen: Observation): Observation {
  return {
    ...seen,
    series: seen.series.map((one) => ({
      ...one,
      samples: [],
      latest: one.latest === null ? null : { ...one.latest, atMs: seen.nowMs - 3_600_000 },
    })),
    slots: null,
  };
}
