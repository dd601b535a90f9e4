import type {
  Condition,
  Decision,
  Endpoint,
  Json,
  Ms,
  Observation,
  Outcome,
  Policy,
  Pool,
  ScalingRules,
  Step,
  Want,
} from "../model/index.ts";
import { type ColdStarts, coldStartP90, learnColdStarts, noColdStarts } from "./cold-start.ts";
import { type Change, lookBackMs, type Recommended, reach, recommend, stabilize } from "./guards.ts";
import { type Reader, readerOf } from "./reading.ts";
import { chooseVictims } from "./victims.ts";
import { replicas as count, seconds } from "./words.ts";

/** What the pipeline remembers of one pool. `asked`: a change that nobody has confirmed yet. */
export type PoolMemory = {
  readonly recommended: readonly Recommended[];
  readonly changes: readonly Change[];
  readonly asked: { readonly seq: number; readonly atMs: Ms; readonly from: number; readonly to: number } | null;
  readonly grewAtMs: Ms | null;
  readonly shrankAtMs: Ms | null;
};

export type Memory = {
  readonly pools: { readonly [pool: string]: PoolMemory };
  readonly coldStarts: ColdStarts;
  readonly conditions: readonly {
    readonly type: string;
    readonly status: Condition["status"];
    readonly reason: string;
    readonly sinceMs: Ms;
  }[];
};

export const emptyMemory: Memory = { pools: {}, coldStarts: noColdStarts, conditions: [] };
const emptyPool: PoolMemory = { recommended: [], changes: [], asked: null, grewAtMs: null, shrankAtMs: null };

/** What the recommenders of one pool came to, before the guards. */
export interface Proposal {
  readonly pool: Pool;
  /** null: nobody could judge; the count holds. */
  readonly desired: number | null;
  /** Needed readings that are absent or stale: with any of them the count may grow, never shrink. */
  readonly blind: readonly string[];
  /** Requests wait and nothing serves: the first replica comes at once, past windows and rates. */
  readonly wake: boolean;
  /** Idle for long enough: the count may go to zero without the survivors' checks. */
  readonly toZero: boolean;
  /** What would change the decision, in a sentence. */
  readonly otherwise: { readonly text: string; readonly numbers: Readonly<Record<string, number>> } | null;
}

/** How the guards are set for this decision. */
export interface GuardRules {
  readonly intervalMs: Ms;
  readonly scaleUp: ScalingRules;
  readonly scaleDown: ScalingRules;
  /** Used until a cold start was measured. */
  readonly assumedColdStartMs: Ms;
}

/** Replicas of a pool by what they count for. */
export function countReplicas(observation: Observation, pool: string) {
  const of = (state: string) => observation.replicas.filter((replica) => replica.pool === pool && replica.state === state);
  return { ready: of("ready"), starting: of("starting"), failed: of("failed") };
}

/** Takes in what the Observation says of time and replicas, before anything is decided. */
export function observe(memory: Memory, now: Observation): Memory {
  const pools: Record<string, PoolMemory> = {};
  for (const [name, pool] of Object.entries(memory.pools)) {
    // Never settled, yet the platform has it: confirmed. Never settled and not there: it was not done (a dry run, a pause).
    const asked = pool.asked;
    pools[name] = asked === null ? pool : now.pools[name]?.wanted === asked.to ? confirm(pool, asked.atMs) : { ...pool, asked: null };
  }
  return { ...memory, pools, coldStarts: learnColdStarts(memory.coldStarts, now) };
}

function confirm(pool: PoolMemory, atMs: Ms): PoolMemory {
  if (pool.asked === null) return pool;
  const by = pool.asked.to - pool.asked.from;
  return {
    ...pool,
    asked: null,
    changes: [...pool.changes, { atMs, by }],
    grewAtMs: by > 0 ? atMs : pool.grewAtMs,
    shrankAtMs: by < 0 ? atMs : pool.shrankAtMs,
  };
}

/** Guards → victims → Decision. `steps` are those of the recommenders; conditions keep the time of their last change. */
export function conclude(
  memory: Memory,
  now: Observation,
  reader: Reader,
  rules: GuardRules,
  proposals: readonly Proposal[],
  steps: readonly Step[],
): { readonly memory: Memory; readonly decision: Decision } {
  const said: Step[] = [...steps];
  const pools: Record<string, PoolMemory> = { ...memory.pools };
  const wants: Record<string, Want> = {};
  const marks: Marks = { able: null, active: null, limited: null };
  for (const proposal of [...proposals].sort((a, b) => (a.pool.name < b.pool.name ? -1 : 1))) {
    const { want, pool } = guard(memory, now, reader, rules, proposal, said, marks);
    wants[proposal.pool.name] = want;
    pools[proposal.pool.name] = pool;
  }
  const conditions = [
    condition(memory, now, "AbleToScale", marks.able === null ? "True" : "False", marks.able ?? "ReadyForNewScale"),
    condition(memory, now, "ScalingActive", marks.active === null ? "True" : "False", marks.active ?? "ValidMetricFound"),
    condition(memory, now, "ScalingLimited", marks.limited === null ? "False" : "True", marks.limited ?? "DesiredWithinRange"),
  ];
  return {
    memory: { ...memory, pools, conditions },
    decision: { seq: now.seq, wants, steps: said, conditions, nextAtMs: now.nowMs + rules.intervalMs },
  };
}

/** Reasons, in HPA's words, that make a condition differ from its quiet state; the first one said stays. */
interface Marks {
  able: string | null;
  active: string | null;
  limited: string | null;
}

function guard(memory: Memory, now: Observation, reader: Reader, rules: GuardRules, proposal: Proposal, said: Step[], marks: Marks) {
  const { pool } = proposal;
  const status = now.pools[pool.name];
  const before = memory.pools[pool.name] ?? emptyPool;
  const say = (code: string, text: string, numbers: Readonly<Record<string, number>> = {}) =>
    void said.push({ code, text, pool: pool.name, numbers });
  if (status === undefined) {
    marks.able ??= "FailedGetScale";
    say("no-status", `The platform says nothing of pool ${pool.name}, so it holds.`);
    return { want: { kind: "hold" } as const, pool: before };
  }
  const current = status.wanted;
  // What runs when we first look was wanted by somebody: as with HPA it is the first recommendation.
  const past = memory.pools[pool.name] === undefined ? recommend([], now.nowMs, current, 1) : before.recommended;
  const { ready, starting } = countReplicas(now, pool.name);
  const coldMs = coldStartP90(memory.coldStarts, rules.assumedColdStartMs);
  if (status.otherWriter) say("other-writer", `Somebody else set the count to ${current}; this decision starts from there.`, { current });

  let target = proposal.desired ?? current;
  // Blindness: what cannot be seen may not be taken away.
  if (proposal.blind.length > 0) {
    marks.active ??= "FailedGetMetric";
    const names = proposal.blind.join(", ");
    if (target <= current) {
      say("blind", `${names}: without these readings the count holds at ${current} and may not shrink.`, { current });
      target = current;
    } else say("blind", `${names}: missing, but what can be seen already asks for ${count(target)}.`, { current, desired: target });
  }

  // Behavior: windows, then rates. The window of recommendations takes in only what somebody could judge.
  const windowMs = Math.max(rules.scaleUp.stabilizationWindowMs, rules.scaleDown.stabilizationWindowMs);
  const judged = proposal.desired !== null && proposal.blind.length === 0;
  const recommended = judged ? recommend(past, now.nowMs, target, windowMs) : past;
  const periodMs = lookBackMs(rules.scaleUp, rules.scaleDown);
  const changes = before.changes.filter((change) => change.atMs > now.nowMs - periodMs).slice(-256);
  const wished = target;
  if (!proposal.toZero && target !== current) {
    target = stabilize(recommended, now.nowMs, current, target, rules.scaleUp.stabilizationWindowMs, rules.scaleDown.stabilizationWindowMs);
    if (target !== wished) {
      const [word, ms, extreme] =
        wished > current
          ? (["growth", rules.scaleUp.stabilizationWindowMs, "least"] as const)
          : (["shrinking", rules.scaleDown.stabilizationWindowMs, "most"] as const);
      marks.able ??= wished > current ? "ScaleUpStabilized" : "ScaleDownStabilized";
      say(
        "stabilized",
        `${wished} was wished for, but ${word} goes only to the ${extreme} asked for in the last ${seconds(ms)}: ${target}.`,
        {
          wished,
          target,
          windowMs: ms,
        },
      );
    }
  }
  if (target !== current) {
    const direction = target > current ? "up" : "down";
    const side = direction === "up" ? rules.scaleUp : rules.scaleDown;
    const limit = reach(side, changes, now.nowMs, current, direction);
    if (direction === "up" ? target > limit : target < limit) {
      marks.limited ??= direction === "up" ? "ScaleUpLimit" : "ScaleDownLimit";
      say(
        "rate-limited",
        side.selectPolicy === "Disabled"
          ? `Scaling ${direction} is switched off, so ${target} stays ${current}.`
          : `The rate policies let the count go ${direction} from ${current} to ${limit} now, not to ${target}.`,
        { current, target, limit },
      );
      target = limit;
    }
  }

  // Churn: a replica that was asked for is not sent away before it could help.
  if (target < current && !proposal.toZero) {
    const sinceMs = before.grewAtMs === null ? null : now.nowMs - before.grewAtMs;
    if (sinceMs !== null && sinceMs < coldMs) {
      marks.able ??= "BackoffDownscale";
      say(
        "no-reversal",
        `The count grew ${seconds(sinceMs)} ago; it may shrink again one cold start (${seconds(coldMs)}) after that, so it stays ${current}.`,
        { current, target, sinceMs, coldStartMs: coldMs },
      );
      target = current;
    } else if (starting.length > 0 && target >= ready.length) {
      marks.able ??= "BackoffDownscale";
      say(
        "starting",
        `${count(starting.length)} still starting for demand; the count shrinks before they are ready only where fewer than the ${ready.length} ready ones suffice.`,
        { current, target, starting: starting.length, ready: ready.length },
      );
      target = current;
    }
  }

  if (proposal.wake && target < 1) {
    say("wake", "Requests wait and no replica is there: one starts at once, past windows and rates.", { target: 1 });
    target = 1;
  }

  // Bounds come last and come from the config, so they hold whatever the readings say.
  const bounded = Math.min(pool.max, Math.max(pool.min, target));
  const limitedBy = bounded < (proposal.desired ?? current) && bounded === pool.max ? "max" : bounded > target ? "min" : null;
  if (bounded !== target || limitedBy !== null) {
    const asked = Math.max(target, proposal.desired ?? target);
    if (bounded > target || (bounded === pool.min && target === pool.min && pool.min > (proposal.desired ?? pool.min))) {
      marks.limited ??= "TooFewReplicas";
      say("min", `${target} is below the least allowed, ${pool.min}; lower replicas.min to go further down.`, { target, min: pool.min });
    } else {
      marks.limited ??= "TooManyReplicas";
      say("max", `${asked} is above the most allowed, ${pool.max}; raise replicas.max to go further up.`, { target: asked, max: pool.max });
    }
  }
  target = bounded;

  if (proposal.otherwise !== null) say("otherwise", proposal.otherwise.text, proposal.otherwise.numbers);
  const kept = { ...before, recommended, changes };
  if (target === current) {
    say("hold", `The count stays at ${current} (${ready.length} ready, ${starting.length} starting).`, {
      current,
      ready: ready.length,
      starting: starting.length,
    });
    return { want: { kind: "hold" } as const, pool: kept };
  }
  const live = ready.length + starting.length + countReplicas(now, pool.name).failed.length;
  const drain = target < current ? chooseVictims(now, reader, pool.name, live - target) : [];
  if (drain.length > 0)
    say("victims", `First to go: ${drain.join(", ")} (broken, then starting, then least in flight, then youngest).`, {
      drained: drain.length,
    });
  say("scale", `The count goes from ${current} to ${target}.`, { current, target, change: target - current });
  return {
    want: { kind: "scale", replicas: target, ...(pool.standby > 0 ? { standby: pool.standby } : {}), drain } as const,
    pool: { ...kept, asked: { seq: now.seq, atMs: now.nowMs, from: current, to: target } },
  };
}

function condition(memory: Memory, now: Observation, type: string, status: Condition["status"], reason: string) {
  const before = memory.conditions.find((past) => past.type === type);
  return { type, status, reason, sinceMs: before?.status === status ? before.sinceMs : now.nowMs };
}

/** What an Outcome does to the memory: an accepted change counts for rates and reversals, any other is forgotten. */
export function settleMemory(memory: Memory, outcome: Outcome): Memory {
  const pool = memory.pools[outcome.pool];
  if (pool?.asked?.seq !== outcome.seq) return withAble(memory, outcome);
  const after = outcome.result === "accepted" ? confirm(pool, outcome.atMs) : { ...pool, asked: null };
  return withAble({ ...memory, pools: { ...memory.pools, [outcome.pool]: after } }, outcome);
}

function withAble(memory: Memory, outcome: Outcome): Memory {
  const status: Condition["status"] = outcome.result === "accepted" ? "True" : "False";
  const reason = outcome.result === "accepted" ? "SucceededRescale" : "FailedUpdateScale";
  const before = memory.conditions.find((past) => past.type === "AbleToScale");
  const able = { type: "AbleToScale", status, reason, sinceMs: before?.status === status ? before.sinceMs : outcome.atMs };
  return { ...memory, conditions: [able, ...memory.conditions.filter((past) => past.type !== "AbleToScale")] };
}

/** A policy whose state is `Own` beside the pipeline's memory: binds the parts together. */
export function pipelinePolicy<Own extends { readonly [key: string]: Json | undefined }>(parts: {
  readonly kind: string;
  readonly endpoint: Endpoint;
  readonly needs: Policy["needs"];
  readonly own: (first: Observation) => Own;
  readonly propose: (
    own: Own,
    memory: Memory,
    now: Observation,
    reader: Reader,
  ) => {
    readonly own: Own;
    readonly proposals: readonly Proposal[];
    readonly steps: readonly Step[];
    readonly rules: GuardRules;
    readonly door?: NonNullable<Decision["door"]>;
  };
}): Policy<Json> {
  type State = { readonly own: Own; readonly memory: Memory };
  const json = (state: State): Json => state as unknown as Json;
  return {
    kind: parts.kind,
    needs: parts.needs,
    wakesOn: ["held", "replica", "config"],
    start: (first) => json({ own: parts.own(first), memory: emptyMemory }),
    decide(state, now) {
      const { own, memory } = state as unknown as State;
      const seen = observe(memory, now);
      const reader = readerOf(now, parts.endpoint.staleAfterMs);
      const proposed = parts.propose(own, seen, now, reader);
      const { memory: after, decision } = conclude(seen, now, reader, proposed.rules, proposed.proposals, proposed.steps);
      const { door } = proposed;
      return { state: json({ own: proposed.own, memory: after }), decision: door === undefined ? decision : { ...decision, door } };
    },
    settle(state, outcome) {
      const { own, memory } = state as unknown as State;
      const after = settleMemory(memory, outcome);
      return { state: json({ own, memory: after }), conditions: after.conditions };
    },
  };
}

export const unlimited: ScalingRules = { stabilizationWindowMs: 0, selectPolicy: "Max", policies: [] };
