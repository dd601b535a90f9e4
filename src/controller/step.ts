import type { Action, Entry, Saved } from "../history/index.ts";
import type { Cause, Decision, Endpoint, Json, Ms, Observation, Outcome, Policy, Series, Slot } from "../model/index.ts";
import type { PlatformStatus } from "../platforms/index.ts";

/** All that one step is told; it has no clock and does no I/O of its own. */
export interface StepInput {
  readonly nowMs: Ms;
  readonly cause: Cause;
  readonly status: PlatformStatus;
  readonly series: readonly Series[];
  readonly slots: readonly Slot[] | null;
  /** What the fleet's budget leaves of the counts asked for; null: there is none. */
  readonly grant: ((asked: Readonly<Record<string, number>>) => Readonly<Record<string, number>>) | null;
}

/** A count that the platform is to be asked for. */
export interface Order {
  readonly pool: string;
  readonly replicas: number;
  readonly drain: readonly string[];
  readonly by: Action["by"];
}

export interface StepResult {
  readonly observation: Observation;
  readonly decision: Decision;
  /** To be carried out; then `settle` is told how it went. */
  readonly orders: readonly Order[];
  /** Pools to which the fleet's budget leaves less than was asked for. */
  readonly limited: readonly string[];
  /** To be recorded, before the orders are carried out. */
  readonly entries: readonly Entry[];
}

/** Whether an order goes to the platform, rather than being what would have been asked. */
export const isCarriedOut = (by: Action["by"]): boolean => by === "policy" || by === "pin" || by === "quota";

export interface Pin {
  readonly replicas: number;
  readonly untilMs: Ms;
}

/** A time that never comes and survives JSON, which Infinity does not. */
export const forever: Ms = 8.64e15;

/** A snapshot of the state goes into the history this often, so that a replay can begin there. */
const snapshotEvery = 50;

/**
 * One endpoint's loop without its surroundings: observe → decide → (pause, pin, dry run) → orders → settle. Every step gives the
 * entries that make it replayable. The caller brings time and readings and carries the orders out.
 */
export interface Loop {
  readonly policy: Policy;
  readonly seq: number;
  readonly nextAtMs: Ms;
  readonly pausedUntilMs: Ms | null;
  readonly pin: Pin | null;
  /** Of the state that was resumed: what gateways reported up to there must not be told again. */
  readonly cursors: readonly (string | null)[];
  /** Whether the policy wants to be asked now: its time has come, or it wakes on this cause. */
  due(nowMs: Ms, cause: Cause): boolean;
  step(input: StepInput): StepResult;
  /** What the platform said to an order. @returns entries to be recorded */
  settle(order: Order, result: Outcome["result"], atMs: Ms): readonly Entry[];
  /** `forever` pauses until resumed; null resumes. */
  pause(untilMs: Ms | null): void;
  setPin(pin: Pin | null): void;
  /** Due from now on, whatever the policy said. */
  ask(): void;
  /** `cursors`: up to where each gateway's ledger has been in an Observation. */
  save(nowMs: Ms, cursors: readonly (string | null)[]): Saved;
  /** The entry that a history must hold before the first decision of this loop. */
  started(nowMs: Ms): Entry;
}

/**
 * What a saved state belongs to: change the policy, pools or objective, and the state starts afresh. Bounds and prices are asked anew at
 * each decision, so that what was learned outlives a change of them; a manifest has its own bounds inside.
 */
export const stateKey = ({ policy, pools, objective, metrics, staleAfterMs }: Endpoint): string => {
  const kinds = pools.map(({ min: _min, max: _max, standby: _standby, pricePerReplicaHour: _price, ...kind }) => kind);
  return JSON.stringify([policy, kinds, objective, metrics, staleAfterMs]);
};

/** What may be recorded of an endpoint: everything but secrets, which no policy reads. */
export const recordable = (endpoint: Endpoint): Endpoint => ({
  ...endpoint,
  prometheus: null,
  platform: endpoint.platform.kind === "process" ? { ...endpoint.platform, env: {} } : endpoint.platform,
});

export function createLoop(endpoint: Endpoint, policy: Policy, acts: boolean, saved: Saved | null): Loop {
  const resumed = saved !== null && saved.key === stateKey(endpoint) ? saved : null;
  let state: Json = resumed?.state ?? null;
  let seq = saved?.seq ?? 0;
  let nextAtMs: Ms = Number.NEGATIVE_INFINITY;
  let pausedUntilMs = saved?.pausedUntilMs ?? null;
  let pin = saved?.pin ?? null;

  const order = (
    decision: Decision,
    observation: Observation,
    grant: StepInput["grant"],
  ): { readonly orders: readonly Order[]; readonly limited: readonly string[] } => {
    const paused = pausedUntilMs !== null && observation.nowMs < pausedUntilMs;
    const blocked = endpoint.dryRun ? "dry-run" : acts ? null : "recommend-only";
    const pinned = pin !== null && observation.nowMs < pin.untilMs ? pin : null;
    const wishes = Object.entries(observation.pools).map(([pool, { wanted }]): Order & { readonly wanted: number } => {
      const want = decision.wants[pool];
      if (pinned !== null && pool === endpoint.pools[0]?.name)
        return { pool, wanted, replicas: pinned.replicas, drain: [], by: blocked ?? ("pin" as const) };
      const by = blocked ?? (paused ? "paused" : "policy");
      if (want?.kind !== "scale") return { pool, wanted, replicas: wanted, drain: [], by };
      return { pool, wanted, replicas: want.replicas, drain: want.drain, by };
    });
    // Who only recommends takes nothing, and who is paused keeps what it has.
    const claimed = wishes.map(({ pool, wanted, replicas, by }) => [pool, isCarriedOut(by) ? replicas : wanted]);
    const granted = grant === null || blocked !== null ? null : grant(Object.fromEntries(claimed));
    const shareOf = ({ pool, by }: Order) => (isCarriedOut(by) ? granted?.[pool] : undefined);
    const orders = wishes.flatMap((wish): readonly Order[] => {
      const { pool, wanted, replicas: asked, drain, by } = wish;
      const share = shareOf(wish);
      const limited = share !== undefined && share !== asked;
      const replicas = limited ? share : asked;
      if (replicas === wanted && (limited || drain.length === 0)) return [];
      return [{ pool, replicas, drain: limited ? [] : drain, by: limited ? "quota" : by }];
    });
    return { orders, limited: wishes.flatMap((wish) => ((shareOf(wish) ?? wish.replicas) < wish.replicas ? wish.pool : [])) };
  };

  return {
    policy,
    get seq() {
      return seq;
    },
    get nextAtMs() {
      return nextAtMs;
    },
    get pausedUntilMs() {
      return pausedUntilMs;
    },
    get pin() {
      return pin;
    },
    cursors: resumed?.cursors ?? [],
    due: (nowMs, cause) => nowMs >= nextAtMs || (cause !== "tick" && policy.wakesOn.includes(cause)),
    step({ nowMs, cause, status, series, slots, grant }) {
      seq++;
      const replicas = status.replicas.map(({ url: _url, message: _message, logFile: _logFile, ...replica }) => replica);
      const observation: Observation = { seq, nowMs, cause, pools: status.pools, replicas, series, slots };
      if (state === null) state = policy.start(observation);
      const next = policy.decide(state, observation);
      state = next.state;
      nextAtMs = next.decision.nextAtMs;
      const { orders, limited } = order(next.decision, observation, grant);
      const entries: Entry[] = [{ kind: "decision", atMs: nowMs, observation, decision: next.decision }];
      if (seq % snapshotEvery === 0) entries.push({ kind: "snapshot", atMs: nowMs, endpoint: recordable(endpoint), state });
      return { observation, decision: next.decision, orders, limited, entries };
    },
    settle({ pool, replicas, drain, by }, result, atMs) {
      const entries: Entry[] = [
        { kind: "action", atMs, action: { seq, atMs, pool, replicas, drain, by, result: isCarriedOut(by) ? result : "none" } },
      ];
      // What a person did instead is no outcome of the policy's: it only sees it as the new count.
      if (by === "policy" && state !== null) {
        const outcome: Outcome = { seq, pool, atMs, result };
        state = policy.settle(state, outcome).state;
        entries.push({ kind: "outcome", atMs, outcome });
      }
      return entries;
    },
    pause: (untilMs) => {
      pausedUntilMs = untilMs;
    },
    setPin: (next) => {
      pin = next;
      nextAtMs = Number.NEGATIVE_INFINITY;
    },
    ask: () => {
      nextAtMs = Number.NEGATIVE_INFINITY;
    },
    save: (nowMs, cursors) => ({ key: stateKey(endpoint), state, seq, atMs: nowMs, pausedUntilMs, pin, cursors }),
    started: (nowMs) => ({ kind: "start", atMs: nowMs, endpoint: recordable(endpoint), state: resumed?.state ?? null }),
  };
}
