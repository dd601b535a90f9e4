import type { Cause, Decision, Endpoint, Json, Ms, Observation, Policy } from "../model/index.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Fleet } from "./fleet.ts";
import type { DecisionRecord } from "./options.ts";
import type { Readings } from "./readings.ts";
import type { Recorder } from "./recorder.ts";

/** A policy that names no time to come is asked again after so long, as by the live loop's next look. */
const lookMs: Ms = 1000;
/** Between two times that it is woken, as the live loop's looks take their time. */
const shortestPauseMs: Ms = 50;
const weight: Readonly<Record<Cause, number>> = { held: 3, replica: 2, config: 1, tick: 0 };

/** The controller's loop in virtual time: asks the policy when it is due or woken, carries out, settles. Nothing else happens between. */
export interface Loop {
  start(nowMs: Ms): void;
  wake(cause: Cause, nowMs: Ms): void;
}

export function createLoop(
  endpoint: Endpoint,
  policy: Policy,
  fleet: Fleet,
  readings: Readings,
  recorder: Recorder,
  queue: EventQueue,
  onDecision: ((record: DecisionRecord) => void) | null,
  advise: (advice: Decision["door"], nowMs: Ms) => void,
): Loop {
  let state: Json = null;
  let started = false;
  let seq = 0;
  let pending: Cause | null = null;
  let askedMs = Number.NEGATIVE_INFINITY;
  const tickTimer = queue.add(ask);
  const wakeTimer = queue.add(ask);

  function ask(nowMs: Ms): void {
    const cause = pending ?? "tick";
    pending = null;
    askedMs = nowMs;
    queue.clear(wakeTimer);
    const pools = fleet.status();
    const { series, slots } = readings.take(nowMs);
    const observation: Observation = { seq: ++seq, nowMs, cause, pools, replicas: fleet.replicas(), series, slots };
    if (!started) {
      started = true;
      state = policy.start(observation);
    }
    const next = policy.decide(state, observation);
    state = next.state;
    const { decision } = next;
    recorder.decisions++;
    const orders: DecisionRecord["orders"][number][] = [];
    for (const { name: pool } of endpoint.pools) {
      const want = decision.wants[pool];
      const from = pools[pool]?.wanted ?? 0;
      if (want?.kind !== "scale" || (want.replicas === from && want.drain.length === 0 && want.standby === undefined)) continue;
      if (!endpoint.dryRun) {
        fleet.scale(pool, want, nowMs);
        recorder.scaled(nowMs, pool, from, want.replicas);
      }
      state = policy.settle(state, { seq, pool, atMs: nowMs, result: endpoint.dryRun ? "refused" : "accepted" }).state;
      orders.push({ pool, from, to: want.replicas });
    }
    if (!endpoint.dryRun) advise(decision.door, nowMs);
    onDecision?.({ observation, decision, orders });
    queue.set(tickTimer, decision.nextAtMs > nowMs ? decision.nextAtMs : nowMs + lookMs);
  }

  return {
    start: (nowMs) => queue.set(tickTimer, nowMs),
    wake(cause, nowMs) {
      if (!policy.wakesOn.includes(cause)) return;
      if (pending === null || weight[cause] > weight[pending]) pending = cause;
      queue.set(wakeTimer, Math.max(nowMs, askedMs + shortestPauseMs));
    },
  };
}
