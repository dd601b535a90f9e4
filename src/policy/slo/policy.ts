import type { DoorBound, Endpoint, Json, Ms, Need, Observation, Policy, Replica, SloPolicySpec, Step } from "../../model/index.ts";
import { activityOf, idleSince } from "../activity.ts";
import { coldStartP90 } from "../cold-start.ts";
import { type Memory, type Proposal, pipelinePolicy, unlimited } from "../pipeline.ts";
import type { Reader } from "../reading.ts";
import { replicas as count, num } from "../words.ts";
import { type Announced, type Calendar, calendarOf, comingOf, noAnnounced } from "./announced.ts";
import { type Attainment, allowedLate, correctionOf, learnAttainment, noAttainment, spentOf } from "./attainment.ts";
import { type Bank, learnBank, noBank, type Plant, replicasFor } from "./bank.ts";
import { coefficients, type EngineFit, mostRunning, noFit, safeLoad, workOf } from "./capacity.ts";
import { choose, kindOf } from "./choice.ts";
import { addRate, addSlots, type Demand, fastWork, meanRate, noDemand } from "./demand.ts";
import { doorAdvice } from "./door-advice.ts";
import { type Counters, learnFromReplicas } from "./engine-readings.ts";
import {
  announcedStep,
  backlogStep,
  budgetStep,
  capacityStep,
  demandStep,
  forecastStep,
  idleStep,
  infeasibleStep,
  jumpStep,
  shadowStep,
} from "./explain.ts";
import { learnFromLedger, noStretch, readFleet, type Stretch } from "./fleet-readings.ts";
import { cheapestIdleMs, learnPause, noPauses, type Pauses } from "./idle.ts";
import { FULL, latenessOf } from "./lateness.ts";
import { allocate, groupsOf, size } from "./sizing.ts";

type Own = {
  readonly demand: Demand;
  readonly fit: EngineFit;
  readonly counters: Counters;
  readonly fleet: Stretch;
  readonly bank: Bank;
  readonly attainment: Attainment;
  readonly idleSinceMs: Ms | null;
  readonly pauses: Pauses;
  readonly announced: Announced;
  /** The last Observation had no ledger: what happened since the one before it is unknown. */
  readonly gap: boolean;
};

/** A batch this large is assumed to fit until an engine says otherwise. */
const ASSUMED_BATCH = 256;
/** Nothing shrinks before the demand of so many cold starts, and of so much time, was seen. */
const LEARNING_COLD_STARTS = 2;
const LEARNING_MS: Ms = 300_000;
/** A replica goes only when so much of one would be spare after it. */
const SHRINK_MARGIN = 0.15;
/** A mean request, assumed until one was seen. */
const ASSUMED_MIX = { prefill: 500, output: 200, prefill2: 500 ** 2 };
/** Where replicas wake within seconds, this is how often it is worth looking. */
const FAST_INTERVAL_MS: Ms = 2_000;
/** A second is reported once it is over. */
const USUAL_LAG_MS: Ms = 2_000;
/** How often a fleet at zero is looked at. */
const ASLEEP_INTERVAL_MS: Ms = 60_000;
/** An answer's mean time per token evens out over its length, taken within these bounds. */
const ANSWER_MS = { least: 2_000, most: 15_000 } as const;
/** Of the bound on time to first token, what a queue may take: the rest is the prompt's own. */
const TOLERATED = 0.7;

/**
 * Holds the objective with the fewest replicas. Work (prompt tokens to prefill, output tokens to expect) is replayed through a bank of
 * ways to size a fleet; the cheapest that would have held the objective says what to be able to carry over one cold start. What queues
 * by then comes on top. docs/policy.md explains it.
 */
export function sloPolicy(endpoint: Endpoint, spec: SloPolicySpec): Policy<Json> {
  const calendar = calendarOf(spec.schedule);
  return pipelinePolicy<Own>({
    kind: "slo",
    endpoint,
    needs: needsOf(endpoint, spec),
    own: () => ({
      demand: noDemand,
      fit: noFit,
      counters: {},
      fleet: noStretch,
      bank: noBank,
      attainment: noAttainment,
      idleSinceMs: null,
      pauses: noPauses,
      announced: noAnnounced,
      gap: false,
    }),
    propose: (own, memory, now, reader) => propose(endpoint, spec, calendar, own, memory, now, reader),
  });
}

function propose(
  endpoint: Endpoint,
  spec: SloPolicySpec,
  calendar: Calendar,
  before: Own,
  memory: Memory,
  now: Observation,
  reader: Reader,
) {
  const steps: Step[] = [];
  const { objective } = endpoint;
  const ready = now.replicas.filter((replica) => replica.state === "ready");
  const starting = now.replicas.filter((replica) => replica.state === "starting");
  const coldMs = coldStartP90(memory.coldStarts, spec.coldStartMs);
  const standby = endpoint.pools.reduce((sum, pool) => sum + pool.standby, 0);
  const intervalMs = standby > 0 ? Math.min(spec.intervalMs, FAST_INTERVAL_MS) : spec.intervalMs;

  // Demand: from the ledger, else from what engines and monitoring state.
  const seen = readFleet(before.demand, now, reader, ready);
  let demand = before.demand;
  if (now.slots !== null) demand = addSlots(demand, now.slots, now.nowMs, before.gap);
  else if (seen.rate !== null) demand = addRate(demand, seen.rate);
  // What is decided now is decided on what was so a while ago.
  const lagMs = now.slots === null || demand.toMs === null ? 0 : Math.max(0, now.nowMs - demand.toMs - USUAL_LAG_MS);
  const horizonMs = coldMs + intervalMs + lagMs;
  const activity = activityOf(now, reader);
  const idleSinceMs = idleSince(before.idleSinceMs, activity, now.nowMs);
  const pauseEnded = before.idleSinceMs !== null && activity.state === "busy" && spec.wakeUpPenaltyGpuMs !== null;
  const pauses = pauseEnded ? learnPause(before.pauses, now.nowMs - before.idleSinceMs) : before.pauses;

  // Capacity: from replicas' counters; without any, from the ledger's own view of the whole fleet.
  const engines = learnFromReplicas(before.fit, before.counters, now, reader, ready);
  const reporting = Object.keys(engines.counters).length > 0 || now.slots === null;
  const { fit, stretch } = reporting
    ? { fit: engines.fit, stretch: before.fleet }
    : learnFromLedger(engines.fit, before.fleet, now.slots ?? [], ready.length, starting.length > 0);
  const c = coefficients(fit);
  const batch = mostRunning(fit) ?? ASSUMED_BATCH;
  const mix = demand.mix.weight > 0 ? demand.mix : ASSUMED_MIX;
  const both = (of: { readonly prefill: number; readonly output: number }) => workOf(c, of);

  const bound = demand.fromMs === null ? null : doorAdvice(fit, demand.mix, objective);
  const lateLast = bound !== null && now.slots !== null && endpoint.gateway.order?.kind === "late-last";

  // What was seen, replayed.
  const rate = now.slots !== null ? meanRate(demand) : seen.rate;
  const blind = rate === null && now.nowMs > 0 ? seen.missing : [];
  const plant: Plant = {
    lateness: latenessOf(c, mix, objective, "both", lateLast),
    coldStartMs: horizonMs,
    answerMs: Math.min(ANSWER_MS.most, Math.max(ANSWER_MS.least, 0.5 * mix.output * objective.timePerOutputTokenMs)),
    toleratedMs: objective.timeToFirstTokenMs * TOLERATED,
    min: endpoint.pools.reduce((sum, pool) => sum + pool.min, 0),
    max: endpoint.pools.reduce((sum, pool) => sum + pool.max, 0),
    standby,
    lateLast,
    reckoning: { perPrefill: c.perPrefill, perSequence: c.perSequence },
    mix,
  };
  let { bank, attainment } = before;
  if (rate !== null) {
    const bySecond = new Map(demand.seconds.map((second) => [second.atMs, both(second)]));
    const workAt = (secondMs: Ms) => (now.slots === null ? both(rate) : (bySecond.get(secondMs) ?? 0));
    bank = learnBank(bank, demand.toMs ?? now.nowMs, workAt, plant);
    const passedMs = before.bank.atMs === null || bank.atMs === null ? 0 : bank.atMs - before.bank.atMs;
    // What is missed before a first replica that was asked for could be there says nothing.
    if (now.slots !== null && passedMs > 0 && now.nowMs > bank.excusedUntilMs + horizonMs) {
      let work = 0;
      for (let atMs = before.bank.atMs as Ms; atMs < (bank.atMs as Ms); atMs += 1000) work += workAt(atMs);
      attainment = learnAttainment(attainment, now.slots, passedMs, now.nowMs, ready.length, work, bank.load, plant.lateness);
    }
  }
  const allowed = allowedLate(attainment, objective.attainment);
  const correction = correctionOf(attainment);
  const choice = choose(bank, allowed, correction, now.nowMs, horizonMs);
  bank = { ...bank, chosen: choice.index };

  const { coming, announced } = comingOf(calendar, before.announced, now.nowMs, horizonMs, rate === null ? null : both(rate));
  const announcedWork = Math.max(0, ...coming.map(({ work }) => work));
  const announcedCount = Math.max(0, ...coming.map(({ replicas }) => replicas));
  for (const one of coming) steps.push(announcedStep(one, now.nowMs));

  const idleMs = idleSinceMs === null ? 0 : now.nowMs - idleSinceMs;
  const zeroAfterMs =
    spec.wakeUpPenaltyGpuMs === null
      ? spec.zeroAfterMs
      : cheapestIdleMs(pauses, coldMs + spec.wakeUpPenaltyGpuMs / (endpoint.pools[0]?.gpusPerReplica ?? 1));
  const toZero = coming.length === 0 && idleSinceMs !== null && zeroAfterMs !== null && idleMs >= zeroAfterMs;
  const proposals: Proposal[] = [];
  const door: Record<string, DoorBound> = {};
  if (rate !== null) {
    steps.push(demandStep(rate, both(rate)), budgetStep(spentOf(attainment, objective.attainment), allowed, correction));
    const other = choose(bank, allowed, correction, now.nowMs, horizonMs, kindOf(choice.index));
    steps.push(shadowStep(choice, { choice: other, replicas: replicasFor(other.work) }));
  }
  const groups = groupsOf(endpoint.pools);
  for (const group of groups) {
    const work = (of: { readonly prefill: number; readonly output: number }) => workOf(c, of, group.share);
    const safe = safeLoad(c, mix, objective, batch, group.share);
    if (safe.infeasible !== null) steps.push(infeasibleStep(safe.infeasible));
    steps.push(capacityStep(safe, FULL, work(mix), fit.weight));
    const names = new Set(group.pools.map((pool) => pool.name));
    if (bound !== null && group.share === "both") for (const name of names) door[name] = bound;
    const mine = (replica: Replica) => names.has(replica.pool);
    const [readyHere, startingHere] = [ready.filter(mine), starting.filter(mine)];
    const current = group.pools.reduce((sum, pool) => sum + (now.pools[pool.name]?.wanted ?? 0), 0);
    let need: number | null = null;
    let otherwise: Proposal["otherwise"] = null;
    if (toZero) {
      need = 0;
      steps.push(idleStep(idleMs, zeroAfterMs, spec.wakeUpPenaltyGpuMs === null ? "" : ", which the pauses seen make the cheapest"));
      otherwise = { text: "The next request wakes one replica at once.", numbers: {} };
    } else if (rate !== null) {
      const fast = now.slots === null ? { work: 0, windowSeconds: 0 } : fastWork(demand, work);
      const share = work(mix) / Math.max(1e-12, both(mix));
      const remembered = choice.work * share;
      const workAhead = Math.max(remembered, fast.work, announcedWork * share);
      const sized = size({
        workNow: work(rate),
        workAhead,
        backlog: seen.queued * work(mix),
        perReplica: FULL,
        ready: readyHere.length,
        startingInMs: startingHere
          .map((replica) => Math.max(0, coldMs - (now.nowMs - (replica.entered.starting ?? now.nowMs))))
          .sort((a, b) => a - b),
        horizonMs,
        toleratedMs: objective.timeToFirstTokenMs,
      });
      if (fast.work > remembered) steps.push(jumpStep(fast.work, work(rate), fast.windowSeconds));
      steps.push(forecastStep(work(rate), workAhead, horizonMs));
      if (seen.queued > 0) steps.push(backlogStep(seen.queued, sized, readyHere.length, startingHere.length));
      const learning = bank.seen * 1000 < Math.max(LEARNING_MS, LEARNING_COLD_STARTS * horizonMs);
      need = needed(
        steps,
        learning,
        sized.forDemand + sized.forBacklog,
        current,
        activity.state,
        zeroAfterMs === null || idleMs < zeroAfterMs,
      );
      otherwise = counterfactual(sized.forDemand + sized.forBacklog, Math.max(1, need));
    }
    if (announcedCount > (need ?? current)) need = announcedCount;
    const shares = need === null ? null : allocate(group.pools, need);
    for (const [at, pool] of group.pools.entries()) {
      const asked = now.pools[pool.name]?.wanted ?? 0;
      proposals.push({
        pool,
        desired: shares?.get(pool.name) ?? null,
        blind: toZero ? [] : blind,
        wake: at === 0 && asked === 0 && pool.max > 0 && activity.state === "busy" && readyHere.length + startingHere.length === 0,
        toZero: toZero && pool.min === 0,
        otherwise: at === 0 ? otherwise : null,
      });
    }
  }
  for (const pool of endpoint.pools)
    if (!groups.some((group) => group.pools.includes(pool)))
      proposals.push({ pool, desired: pool.min, blind: [], wake: false, toZero: false, otherwise: null });

  return {
    own: {
      demand,
      fit,
      counters: engines.counters,
      fleet: stretch,
      bank,
      attainment,
      idleSinceMs,
      pauses,
      announced,
      gap: now.slots === null,
    },
    proposals,
    steps,
    ...(Object.keys(door).length === 0 ? {} : { door }),
    rules: {
      // At zero only a held request wakes, and that is told at once.
      intervalMs: isAsleep(now, spec) && idleSinceMs !== null ? Math.max(intervalMs, ASLEEP_INTERVAL_MS) : intervalMs,
      scaleUp: unlimited,
      // How long a need is remembered is the row's affair; this alone bridges one late report.
      scaleDown: { ...unlimited, stabilizationWindowMs: 2 * spec.intervalMs },
      assumedColdStartMs: spec.coldStartMs,
    },
  };
}

/** Nothing is there nor asked for, the gateway tells of requests, and nothing is announced. */
const isAsleep = (now: Observation, spec: SloPolicySpec) =>
  now.slots !== null &&
  spec.schedule.length === 0 &&
  now.replicas.length === 0 &&
  Object.values(now.pools).every(({ wanted }) => wanted === 0);

/** Whole replicas: at zero only a request wakes, above it the last one goes by the idle rule alone. */
function needed(
  steps: Step[],
  learning: boolean,
  exact: number,
  current: number,
  state: "busy" | "idle" | "unknown",
  lately: boolean,
): number {
  const busy = state !== "idle" || lately;
  const least = current === 0 ? (state === "busy" ? 1 : 0) : busy ? 1 : 0;
  const bare = current === 0 && least === 0 ? 0 : Math.max(least, replicasFor(exact * FULL));
  // What goes by a hair's breadth comes back with the next noise.
  const need = bare < current && exact > bare - SHRINK_MARGIN ? bare + 1 : bare;
  if (learning && need < current && need > 0) {
    steps.push({
      code: "learning",
      text: `Demand and queue take ${num(exact)} replicas by what little was seen: less than five minutes, or the demand of ${LEARNING_COLD_STARTS} cold starts; so ${current} stay.`,
      numbers: { exact, need, current },
    });
    return current;
  }
  steps.push({
    code: "need",
    text: `Demand and queue take ${num(exact)} replicas${exact <= 0 && need === 1 ? "; a busy endpoint keeps at least one, so 1" : `, so ${need}`}.`,
    numbers: { exact, need, current },
  });
  return need;
}

function counterfactual(exact: number, at: number): NonNullable<Proposal["otherwise"]> {
  const share = (of: number) => num((exact * 100) / of, 0);
  return {
    text: `At ${count(at)} each is at ${share(at)} % of what it is to carry${at > 1 ? `; at ${at - 1} it would be ${share(at - 1)} %` : ""}; a further one comes when what is to be carried goes beyond ${num(at * FULL)} per second.`,
    numbers: { load: exact / at, loadWithOneLess: at > 1 ? exact / (at - 1) : exact, nextAtWork: at * FULL },
  };
}

function needsOf(endpoint: Endpoint, spec: SloPolicySpec): readonly Need[] {
  const sampleEveryMs = Math.min(endpoint.scrapeEveryMs, spec.intervalMs);
  const engine = ["running", "waiting", "max_running", "kv_used", "prompt_tokens", "gen_tokens", "prefix_hits"] as const;
  const whole = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second", "queue_depth", "in_flight", "held"] as const;
  return [
    ...engine.map((name) => ({ name, per: "replica" as const, sampleEveryMs })),
    ...whole.map((name) => ({ name, per: "endpoint" as const, sampleEveryMs })),
  ];
}
