import type { Decision, Endpoint, Json, Manifest, Ms, Observation, Outcome, Policy, Step, Want } from "../../../model/index.ts";
import { replicas } from "../../words.ts";
import { needsOf } from "../datapoints.ts";
import { type AlarmBook, alarmsOf, collectedOf, EMPTY_BOOK, readAlarms, readyIds, recordSamples } from "./alarm-book.ts";
import { type Alarm, compileGroup, type ScalingPolicy } from "./group.ts";
import { type AlarmReading, combine, type Facts, type Proposal, propose } from "./propose.ts";

const IDLE_TICK_MS = 60_000;

/**
 * - `fresh`: the fleet has not had a single replica yet, and nobody else set its count.
 * - `scheduled`: bounds that scheduled actions set, and a capacity that the platform has not taken yet; `scheduleSeenMs`: actions due up
 *   to then are done.
 * - `askedMs`: the end of the period on which each policy was last asked.
 * - `simple`: the last change by a simple policy; `doneMs` null while it is under way.
 * - `pending`: the change asked for last, until `settle` says what became of it.
 */
interface State {
  readonly fresh: boolean;
  readonly scheduled: { readonly min: number | null; readonly max: number | null; readonly desired: number | null };
  readonly scheduleSeenMs: Ms;
  readonly book: AlarmBook;
  readonly askedMs: Readonly<Record<string, Ms>>;
  readonly simple: { readonly doneMs: Ms | null; readonly cooldownMs: Ms } | null;
  readonly lastOut: { readonly atMs: Ms; readonly from: number } | null;
  readonly lastInMs: Ms | null;
  readonly pending: { readonly seq: number; readonly from: number; readonly to: number; readonly by: string | null } | null;
}

/**
 * A group's scaling policies over the endpoint's first pool.
 *
 * Asked at the end of every period of its fastest alarm. A group comes into being with `DesiredCapacity`, and so does a fleet that
 * nobody has set. Outside the bounds it goes to the bound at once, as a group does.
 */
export function awsPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const group = compileGroup(endpoint, manifest);
  const [pool] = endpoint.pools;
  if (pool === undefined) throw new RangeError("an endpoint has at least one pool");
  const poolName = pool.name;
  const collected = collectedOf(group);
  const tickMs = collected.reduce((least, { periodMs }) => Math.min(least, periodMs), IDLE_TICK_MS);

  const boundsOf = ({ scheduled }: State) => {
    const min = scheduled.min ?? group.bounds?.min ?? pool.min;
    const max = Math.max(min, scheduled.max ?? group.bounds?.max ?? pool.max);
    // What a scheduled action sets stays inside of what the pool may be.
    return { min: Math.min(pool.max, Math.max(pool.min, min)), max: Math.max(pool.min, Math.min(pool.max, max)) };
  };

  return {
    kind: "aws",
    needs: needsOf(endpoint, collected),
    wakesOn: ["config"],

    start(first) {
      const status = first.pools[poolName];
      return write({
        fresh: status !== undefined && status.wanted === 0 && !status.otherWriter,
        scheduled: { min: null, max: null, desired: null },
        scheduleSeenMs: first.nowMs,
        book: EMPTY_BOOK,
        askedMs: {},
        simple: null,
        lastOut: null,
        lastInMs: null,
        pending: null,
      });
    },

    decide(before, observation) {
      const { nowMs, seq } = observation;
      const nextAtMs = (Math.floor(nowMs / tickMs) + 1) * tickMs;
      const steps: Step[] = [];
      const say = (code: string, text: string, numbers: Step["numbers"]) => steps.push({ code, pool: poolName, text, numbers });
      const finish = (next: State, want: Want): { state: Json; decision: Decision } => ({
        state: write(next),
        decision: { seq, wants: { [poolName]: want }, steps, conditions: [], nextAtMs },
      });
      const hold: Want = { kind: "hold" };
      const scaleTo = (next: State, from: number, to: number, by: string | null) =>
        finish({ ...next, pending: from === to ? next.pending : { seq, from, to, by } }, { kind: "scale", replicas: to, drain: [] });

      const seen = { ...read(before), book: recordSamples(read(before).book, endpoint, poolName, collected, observation) };
      const status = observation.pools[poolName];
      if (status === undefined) {
        say("no-scale", `The platform does not say how many replicas pool ${poolName} has: the count stays.`, {});
        return finish(seen, hold);
      }
      const current = status.wanted;
      const settledNow =
        seen.simple?.doneMs === null && status.reported === status.wanted ? { ...seen.simple, doneMs: nowMs } : seen.simple;
      const fresh = seen.fresh && current === 0 && !status.otherWriter;
      const state = runSchedule({ ...seen, simple: settledNow, fresh }, nowMs, say);
      const { desired } = state.scheduled;
      const { min, max } = boundsOf(state);
      const inside = (count: number) => Math.min(max, Math.max(min, count));

      const begin = fresh ? inside(group.desired ?? min) : 0;
      if (begin > 0) {
        say("first-start", `Nothing has run yet: the group starts with ${replicas(begin)}.`, { current, desired: begin, min, max });
        return scaleTo(state, current, begin, null);
      }
      const set = inside(desired ?? current);
      if (set !== current) {
        const why =
          desired === null ? `${current} is outside ${min} to ${max}` : `a scheduled action sets ${desired}, within ${min} to ${max}`;
        say("bounds", `${why}: the count goes to ${set} at once.`, { current, desired: set, min, max });
        return scaleTo(state, current, set, null);
      }
      if (group.suspended.dynamic) {
        say("suspended", "AlarmNotification is suspended: no policy is called.", { current });
        return finish(arrived(state), hold);
      }

      const { book, readings } = readAlarms(state.book, group, nowMs);
      const facts = factsOf(state, readings, observation, current);
      const proposals = group.policies.map((policy) => (isDue(policy, state, nowMs) ? propose(policy, facts) : waits(policy, current)));
      const known: State = {
        ...arrived(state),
        book,
        askedMs: Object.fromEntries(group.policies.map((of) => [of.name, periodEnd(of, nowMs)])),
      };
      for (const { code, text, numbers } of proposals) say(code, text, numbers);
      const { capacity, by } = combine(proposals, current);
      if (by === null) {
        const kept = proposals.filter(({ verdict }) => verdict === "in");
        if (kept.length > 0) say("not-agreed", "Not all target tracking policies want to scale in: the count stays.", { current });
        else say("unchanged", `The count stays at ${current}.`, { current, desired: current });
        return proposals.every(({ verdict }) => verdict === "blind") ? finish(known, hold) : scaleTo(known, current, current, null);
      }
      if (proposals.length > 1) say("combined", `${by.policy} decides: ${capacity}.`, { current, proposed: capacity });
      if (capacity > current ? group.suspended.out : group.suspended.in) {
        say("suspended", `Scaling ${capacity > current ? "out" : "in"} is suspended: the count stays at ${current}.`, { current });
        return scaleTo(known, current, current, null);
      }
      const to = inside(capacity);
      if (to !== capacity)
        say("limited", `Limited from ${capacity} to ${to}: the group is to have ${min} to ${max}.`, { proposed: capacity, min, max });
      say("desired", to === current ? `The count stays at ${current}.` : `From ${current} to ${to}, by ${by.policy}.`, {
        current,
        desired: to,
      });
      return scaleTo(known, current, to, by.policy);
    },

    settle(before, outcome: Outcome) {
      const state = read(before);
      const { pending } = state;
      if (pending === null || pending.seq !== outcome.seq || outcome.pool !== poolName) return { state: before, conditions: [] };
      const done = { ...state, pending: null };
      if (outcome.result !== "accepted") return { state: write(done), conditions: [] };
      return { state: write({ ...arrived(remember(done, pending, outcome.atMs)), fresh: false }), conditions: [] };
    },
  };

  /** Cool-downs begin with a change that was accepted, and end the other direction's. */
  function remember(state: State, { from, to, by }: NonNullable<State["pending"]>, atMs: Ms): State {
    const policy = group.policies.find(({ name }) => name === by);
    if (policy === undefined || policy.kind === "idle") return state;
    if (policy.kind === "simple") return { ...state, simple: { doneMs: null, cooldownMs: policy.cooldownMs } };
    if (policy.settling.kind === "warm-up") return state;
    if (to < from) return { ...state, lastInMs: atMs };
    const { lastOut } = state;
    // While one scale-out settles, the next is measured from where the first began.
    const since = lastOut !== null && atMs - lastOut.atMs < policy.settling.outMs ? Math.min(lastOut.from, from) : from;
    return { ...state, lastInMs: null, lastOut: { atMs, from: since } };
  }

  /** Carries out what has fallen due since the last look, in order of time. */
  function runSchedule(before: State, nowMs: Ms, say: (code: string, text: string, numbers: Step["numbers"]) => void): State {
    if (group.suspended.scheduled || nowMs <= before.scheduleSeenMs) return before;
    const due = group.scheduled
      .flatMap((change) => {
        const atMs = change.dueIn(before.scheduleSeenMs, nowMs);
        return atMs === null ? [] : [{ atMs, change }];
      })
      .sort((a, b) => a.atMs - b.atMs || (a.change.name < b.change.name ? -1 : 1));
    let { min, max, desired } = before.scheduled;
    for (const { change } of due) {
      [min, max, desired] = [change.min ?? min, change.max ?? max, change.desired ?? desired];
      const parts = Object.entries({ MinSize: change.min, MaxSize: change.max, DesiredCapacity: change.desired }).flatMap(
        ([what, count]) => (count === null ? [] : [`${what} ${count}`]),
      );
      say("scheduled", `The scheduled action ${change.name} is due: ${parts.join(", ")}.`, {});
    }
    return { ...before, scheduled: { min, max, desired }, scheduleSeenMs: nowMs };
  }

  function factsOf(state: State, readings: ReadonlyMap<Alarm, AlarmReading>, observation: Observation, current: number): Facts {
    const { simple, lastOut, lastInMs } = state;
    const never = Number.NEGATIVE_INFINITY;
    return {
      nowMs: observation.nowMs,
      current,
      warming: (warmUpMs) => Math.max(0, current - readyIds(observation, poolName, warmUpMs).length),
      alarm: (alarm) => readings.get(alarm) as AlarmReading,
      lastOut,
      lastInMs,
      simpleWaitUntilMs: simple === null ? never : simple.doneMs === null ? Number.POSITIVE_INFINITY : simple.doneMs + simple.cooldownMs,
    };
  }
}

/** The end of the newest whole period of a policy's fastest alarm. */
function periodEnd(policy: ScalingPolicy, nowMs: Ms): Ms {
  const periodMs = alarmsOf(policy).reduce((least, { query }) => Math.min(least, query.periodMs), IDLE_TICK_MS);
  return Math.floor(nowMs / periodMs) * periodMs;
}

/** An alarm calls its policy once a period, however often the group is looked at in between. */
const isDue = (policy: ScalingPolicy, { askedMs }: State, nowMs: Ms) =>
  policy.kind === "idle" || askedMs[policy.name] !== periodEnd(policy, nowMs);

const waits = ({ name, kind, ...policy }: ScalingPolicy, current: number): Proposal => ({
  policy: name,
  kind,
  verdict: "scaleIn" in policy && policy.scaleIn ? "hold" : "silent",
  capacity: current,
  code: "waiting",
  text: `${name}: its alarms have no new period yet.`,
  numbers: { current },
});

/** A capacity that a scheduled action set is there, or is no longer to be asked for. */
const arrived = (state: State): State => ({ ...state, scheduled: { ...state.scheduled, desired: null } });

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
