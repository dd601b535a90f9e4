import type { Cause, Decision, Json, Ms, Observation, Policy, Replica, Series, Slot } from "../../../model/index.ts";

/** A fleet that follows a policy's counts, for tests: every state passes through JSON on its way to the next step. */
export interface WorldOptions {
  readonly startMs?: Ms;
  readonly replicas?: number;
  readonly coldStartMs?: Ms;
  readonly pool?: string;
  /** Requests at once in the second that begins then; null: no gateway says. */
  readonly inFlight?: (atMs: Ms) => number | null;
  /** Other series at a moment. */
  readonly series?: SeriesAt;
}

export type SeriesAt = (atMs: Ms, ready: readonly string[]) => readonly Series[];

export interface Look {
  readonly atMs: Ms;
  readonly ready: number;
  readonly before: number;
  readonly after: number;
  readonly decision: Decision;
}

export const slotAt = (atMs: Ms, inFlightMean: number, over: Partial<Slot> = {}): Slot => ({
  atMs,
  class: "",
  promptBand: 0,
  arrivals: 0,
  promptTokens: 0,
  prefixHitTokens: 0,
  completed: 0,
  outputTokens: 0,
  failed: 0,
  cancelled: 0,
  rejected: 0,
  withinObjective: 0,
  inFlightMean,
  heldMean: 0,
  ...over,
});

const throughJson = (state: Json): Json => JSON.parse(JSON.stringify(state)) as Json;

export function world(policy: Policy, options: WorldOptions = {}) {
  const { startMs = 1_000_000_000_000, coldStartMs = 0, pool = "default" } = options;
  let [nowMs, wanted, seq, born] = [startMs, options.replicas ?? 0, 0, 0];
  let closedMs = startMs;
  let state: Json | undefined;
  let nextAtMs = startMs;
  let replicas: { readonly id: string; readonly askedMs: Ms; readonly readyMs: Ms }[] = [];
  const launch = (delayMs: Ms) => replicas.push({ id: `r${born++}`, askedMs: nowMs, readyMs: nowMs + delayMs });
  for (let at = 0; at < wanted; at++) launch(0);

  function observe(cause: Cause, over: Partial<Observation>): Observation {
    const ready = replicas.filter((one) => one.readyMs <= nowMs).map(({ id }) => id);
    const slots: Slot[] = [];
    let blind = options.inFlight === undefined;
    for (; closedMs + 1_000 <= nowMs; closedMs += 1_000) {
      const value = options.inFlight?.(closedMs) ?? null;
      blind = value === null;
      if (value !== null && value > 0) slots.push(slotAt(closedMs, value));
    }
    return {
      seq: ++seq,
      nowMs,
      cause,
      pools: { [pool]: { wanted, reported: replicas.length, otherWriter: false } },
      replicas: replicas.map(
        ({ id, askedMs, readyMs }): Replica => ({
          id,
          pool,
          state: readyMs <= nowMs ? "ready" : "starting",
          entered: { starting: askedMs, ...(readyMs <= nowMs ? { ready: readyMs } : {}) },
          readiness: null,
        }),
      ),
      series: options.series?.(nowMs, ready) ?? [],
      slots: blind ? null : slots,
      ...over,
    };
  }

  function look(cause: Cause = "tick", over: Partial<Observation> = {}): Look {
    const observation = observe(cause, over);
    state ??= throughJson(policy.start(observation));
    const next = policy.decide(state, observation);
    state = throughJson(next.state);
    const before = wanted;
    const want = next.decision.wants[pool];
    if (want?.kind === "scale" && want.replicas !== wanted) {
      wanted = want.replicas;
      while (replicas.length < wanted) launch(coldStartMs);
      replicas = replicas.slice(0, wanted);
      state = throughJson(policy.settle(state, { seq: next.decision.seq, pool, atMs: nowMs, result: "accepted" }).state);
    }
    nextAtMs = next.decision.nextAtMs;
    return {
      atMs: nowMs,
      ready: observation.replicas.filter((one) => one.state === "ready").length,
      before,
      after: wanted,
      decision: next.decision,
    };
  }

  return {
    get nowMs() {
      return nowMs;
    },
    get wanted() {
      return wanted;
    },
    get state() {
      return state;
    },
    set wanted(count: number) {
      wanted = count;
    },
    look,
    /** Looks whenever the policy asks to, until `forMs` have passed. */
    run(forMs: Ms): readonly Look[] {
      const endMs = nowMs + forMs;
      const looks: Look[] = [];
      while (nextAtMs <= endMs) {
        nowMs = Math.max(nowMs, nextAtMs);
        looks.push(look());
      }
      nowMs = endMs;
      return looks;
    },
  };
}

export const codesOf = ({ decision }: Look): readonly string[] => decision.steps.map(({ code }) => code);
