import type { Endpoint, Json, Ms, Need, Observation, Policy, Replica, SloPolicySpec, Slot, Step } from "../../model/index.ts";
import { activityOf, idleSince } from "../activity.ts";
import { coldStartP90 } from "../cold-start.ts";
import { type Memory, type Proposal, pipelinePolicy, unlimited } from "../pipeline.ts";
import { type Reader, sumOf } from "../reading.ts";
import { replicas as count, num, seconds } from "../words.ts";
import { type Attainment, learnAttainment, noAttainment } from "./attainment.ts";
import { type Bank, choose, learnBank, noBank } from "./bank.ts";
import { coefficients, type EngineFit, learnEngine, mostRunning, noFit, type SafeLoad, type Share, safeLoad, workOf } from "./capacity.ts";
import { addRate, addSlots, type Demand, fastWork, meanRate, noDemand, type Rate } from "./demand.ts";
import { type Counters, learnFromReplicas } from "./engine-readings.ts";
import { type Forecast, learnForecast, noForecast, outlook } from "./forecast.ts";
import { FULL, latenessOf } from "./lateness.ts";
import { allocate, size } from "./sizing.ts";

type Own = {
  readonly demand: Demand;
  readonly fit: EngineFit;
  readonly counters: Counters;
  readonly fleet: Stretch;
  readonly forecast: Forecast;
  readonly bank: Bank;
  readonly attainment: Attainment;
  readonly idleSinceMs: Ms | null;
  /** The last Observation had no ledger: what happened since the one before it is unknown. */
  readonly gap: boolean;
  /** How many cold starts a lower need must last before replicas go; grows when a shrink was regretted. */
  readonly patience: number;
  readonly shortAtMs: Ms | null;
  readonly wanted: { readonly [pool: string]: number };
};

/** A shrink may leave the survivors at most this full. */
const SURVIVORS = 1;
/** Share of the error budget that the replay may spend: the rest is for what it does not see. */
const REPLAYED_BUDGET = 0.6;
/** A batch this large is assumed to fit until an engine says otherwise. */
const ASSUMED_BATCH = 256;
const PATIENCE = { least: 1, most: 8 } as const;

/**
 * Holds the objective with the fewest replicas: demand in work (prompt tokens to prefill, output tokens to expect) at an upper
 * quantile over one measured cold start, over what one replica was learned to carry inside the objective, plus what drains a
 * queue. Shrinks only after a lower need lasted one cold start and the survivors can carry the load.
 */
export function sloPolicy(endpoint: Endpoint, spec: SloPolicySpec): Policy<Json> {
  return pipelinePolicy<Own>({
    kind: "slo",
    endpoint,
    needs: needsOf(endpoint, spec),
    own: () => ({
      demand: noDemand,
      fit: noFit,
      counters: {},
      fleet: noStretch,
      forecast: noForecast,
      bank: noBank,
      attainment: noAttainment,
      idleSinceMs: null,
      gap: false,
      patience: 1,
      shortAtMs: null,
      wanted: {},
    }),
    propose: (own, memory, now, reader) => propose(endpoint, spec, own, memory, now, reader),
  });
}

function propose(endpoint: Endpoint, spec: SloPolicySpec, before: Own, memory: Memory, now: Observation, reader: Reader) {
  const steps: Step[] = [];
  const say = (code: string, text: string, numbers: Readonly<Record<string, number>> = {}, pool?: string) =>
    void steps.push({ code, text, numbers, ...(pool === undefined ? {} : { pool }) });
  const ready = now.replicas.filter((replica) => replica.state === "ready");
  const starting = now.replicas.filter((replica) => replica.state === "starting");
  const coldMs = coldStartP90(memory.coldStarts, spec.coldStartMs);
  const horizonMs = coldMs + spec.intervalMs;

  // Demand: from the ledger, else from what engines and monitoring state.
  const seen = readDemand(before, now, reader, ready);
  let demand = before.demand;
  if (now.slots !== null) demand = addSlots(demand, now.slots, now.nowMs, before.gap);
  else if (seen.rate !== null) demand = addRate(demand, seen.rate);
  const activity = activityOf(now, reader);
  const idleSinceMs = idleSince(before.idleSinceMs, activity, now.nowMs);

  // Capacity: from replicas' counters; without any, from the ledger's own view of the whole fleet.
  let fleet = before.fleet;
  const engines = learnFromReplicas(before.fit, before.counters, now, reader, ready);
  let fit = engines.fit;
  if (Object.keys(engines.counters).length === 0 && now.slots !== null) {
    fleet = starting.length > 0 ? noStretch : addStretch(fleet, now, ready.length);
    if (fleet.seconds >= STRETCH_SECONDS) {
      const each = (sum: number) => sum / fleet.seconds;
      fit = learnEngine(fit, { running: each(fleet.running), prefill: each(fleet.prefill), output: each(fleet.output) });
      fleet = noStretch;
    }
  }
  const c = coefficients(fit);
  const batch = mostRunning(fit) ?? ASSUMED_BATCH;
  const mix = demand.mix.weight > 0 ? demand.mix : { prefill: 500, output: 200, prefill2: 500 ** 2 };

  const rate = now.slots !== null ? meanRate(demand) : seen.rate;
  const blind = rate === null && now.nowMs > 0 ? seen.missing : [];
  const both = (of: { readonly prefill: number; readonly output: number }) => workOf(c, of);
  const forecast = rate === null ? before.forecast : learnForecast(before.forecast, rate, both, now.nowMs, horizonMs, spec.quantile);

  const groups = groupsOf(endpoint);
  const wholeSafe = safeLoad(c, mix, endpoint.objective, batch);
  const perReplicaAll = Math.max(1e-9, wholeSafe.utilization * before.attainment.margin);
  const load = rate === null ? 0 : both(rate) / Math.max(1e-9, ready.length * perReplicaAll);
  const short = ready.length === 0 || starting.length > 0 || load > 1;
  const shortAtMs = short ? now.nowMs : before.shortAtMs;
  const steady = shortAtMs === null || now.nowMs - shortAtMs > Math.min(coldMs, 60_000);
  const attainment =
    now.slots === null ? before.attainment : learnAttainment(before.attainment, now.slots, endpoint.objective, load, steady);

  let bank = before.bank;
  const bySecond = new Map(demand.seconds.map((second) => [second.atMs, both(second)]));
  if (rate !== null)
    bank = learnBank(bank, demand.toMs ?? now.nowMs, (secondMs) => (now.slots === null ? both(rate) : (bySecond.get(secondMs) ?? 0)), {
      lateness: latenessOf(c, mix, endpoint.objective),
      margin: 1,
      coldStartMs: horizonMs,
      answerMs: Math.min(15_000, Math.max(2_000, 0.5 * mix.output * endpoint.objective.timePerOutputTokenMs)),
      toleratedMs: endpoint.objective.timeToFirstTokenMs * 0.7,
      min: endpoint.pools.reduce((sum, pool) => sum + pool.min, 0),
      max: endpoint.pools.reduce((sum, pool) => sum + pool.max, 0),
      unit: both(mix),
    });
  const choice = choose(bank, (1 - endpoint.objective.attainment) * REPLAYED_BUDGET, now.nowMs, horizonMs);
  bank = { ...bank, chosen: choice.index };

  // Ski rental: an own shrink that had to be taken back was too early, one that lasted was not too late.
  let patience = before.patience;
  for (const pool of endpoint.pools) {
    const was = before.wanted[pool.name];
    const shrankAtMs = memory.pools[pool.name]?.shrankAtMs ?? null;
    const wanted = now.pools[pool.name]?.wanted;
    if (was === undefined || wanted === undefined || shrankAtMs === null) continue;
    const sinceMs = now.nowMs - shrankAtMs;
    if (wanted > was && was > 0 && sinceMs < 4 * horizonMs) patience = Math.min(PATIENCE.most, patience * 1.5);
    else if (sinceMs > 8 * horizonMs) patience = Math.max(PATIENCE.least, patience * 0.98);
  }

  const idleMs = idleSinceMs === null ? 0 : now.nowMs - idleSinceMs;
  const toZero = idleSinceMs !== null && idleMs >= spec.zeroAfterMs;
  const proposals: Proposal[] = [];
  if (rate !== null) {
    const workNow = both(rate);
    say(
      "demand",
      `${num(rate.requests)} requests/s arrive with ${num(rate.prefill, 0)} prompt and some ${num(rate.output, 0)} output tokens/s: ${num(workNow)} replica-seconds of work per second.`,
      { requests: rate.requests, promptTokens: rate.prefill, outputTokens: rate.output, work: workNow },
    );
  }
  for (const group of groups) {
    const work = (of: { readonly prefill: number; readonly output: number }) => workOf(c, of, group.share);
    const safe = safeLoad(c, mix, endpoint.objective, batch, group.share);
    const perReplica = FULL;
    sayCapacity(say, safe, perReplica, attainment, work(mix), fit.weight);
    const names = new Set(group.pools.map((pool) => pool.name));
    const mine = (replica: Replica) => names.has(replica.pool);
    const [readyHere, startingHere] = [ready.filter(mine), starting.filter(mine)];
    const current = group.pools.reduce((sum, pool) => sum + (now.pools[pool.name]?.wanted ?? 0), 0);
    let need: number | null = null;
    let otherwise: Proposal["otherwise"] = null;
    if (toZero) {
      need = 0;
      say(
        "idle",
        `Nothing arrived and nothing was in flight for ${seconds(idleMs)}, at least ${seconds(spec.zeroAfterMs)}: down to the minimum.`,
        {
          idleMs,
          zeroAfterMs: spec.zeroAfterMs,
        },
      );
      otherwise = { text: "The next request wakes one replica at once.", numbers: {} };
    } else if (rate !== null) {
      const fast = fastWork(demand, work);
      const workNow = work(rate);
      const ahead = outlook(forecast, work, horizonMs, spec.quantile);
      // A level remembers what was; when nothing is asked for any more, the need falls with the fast mean's own margin at most.
      const workAhead = choice.work;
      say(
        "shadow",
        `Replayed on what was seen, ${choice.by} with ${num(choice.headroom)} times its work would have kept all but ${num(choice.late * 100)} % in time with ${num(choice.replicas, 1)} replicas in the mean: the cheapest way that holds the objective.`,
        { headroom: choice.headroom, late: choice.late, replicas: choice.replicas, seen: bank.levels[0] ?? 0 },
      );
      const queued = seen.queued * work(mix);
      const sized = size({
        workNow,
        workAhead,
        backlog: queued,
        perReplica,
        ready: readyHere.length,
        startingInMs: startingHere
          .map((replica) => Math.max(0, coldMs - (now.nowMs - (replica.entered.starting ?? now.nowMs))))
          .sort((a, b) => a - b),
        horizonMs,
        toleratedMs: endpoint.objective.timeToFirstTokenMs,
      });
      if (fast.work > work(rate) && now.slots !== null)
        say("jump", `The last ${fast.windowSeconds} s bring surely more than the mean: ${num(fast.work)} instead of ${num(work(rate))}.`, {
          work: fast.work,
        });
      say(
        "forecast",
        `Over the next ${seconds(horizonMs)} (one cold start and one interval) ${num(ahead.expected)} are expected, with ${num(spec.quantile * 100, 1)} % certainty at most ${num(workAhead)} (${ahead.forecaster}, ${ahead.scored} forecasts scored).`,
        { expected: ahead.expected, upper: workAhead, horizonMs, quantile: spec.quantile, scored: ahead.scored },
      );
      if (seen.queued > 0)
        say(
          "backlog",
          sized.forBacklog > 0
            ? `${num(seen.queued)} requests queue; ${num(sized.backlogThen)} replica-seconds of them are left when a new replica could be ready: ${num(sized.forBacklog)} more replicas drain that in ${seconds(sized.drainMs)}.`
            : `${num(seen.queued)} requests queue; the ${readyHere.length} ready and ${startingHere.length} starting replicas drain them in time.`,
          { queued: seen.queued, left: sized.backlogThen, replicas: sized.forBacklog },
        );
      const exact = sized.forDemand + sized.forBacklog;
      const busy = activity.state !== "idle" || idleMs < spec.zeroAfterMs;
      // At zero only a request wakes; above it the last replica goes by the idle rule alone.
      const least = current === 0 ? (activity.state === "busy" ? 1 : 0) : busy ? 1 : 0;
      const rounded = current === 0 && least === 0 ? 0 : Math.max(least, Math.ceil(exact - 1e-6));
      // Between what suffices and what leaves the survivors room, nothing changes.
      const roomy = Math.max(rounded, Math.ceil(exact / SURVIVORS - 1e-6));
      need = rounded >= current ? rounded : Math.min(current, roomy);
      const because =
        exact <= 0 && need === 1
          ? "; a busy endpoint keeps at least one, so 1"
          : `, so ${need}${need > rounded ? ` (with fewer the survivors would be over ${num(SURVIVORS * 100)} % full)` : ""}`;
      say("need", `Demand and queue take ${num(exact)} replicas${because}.`, { exact, need, current });
      const at = Math.max(1, need);
      const total = exact * 100;
      otherwise = {
        text: `At ${count(at)} each is at ${num(total / at, 0)} % of what it carries inside the objective${at > 1 ? `; at ${at - 1} it would be ${num(total / (at - 1), 0)} %` : ""}; a further one comes when work goes beyond ${num(at * perReplica)} per second.`,
        numbers: { load: exact / at, loadWithOneLess: at > 1 ? exact / (at - 1) : exact, nextAtWork: at * perReplica },
      };
    }
    const shares = need === null ? null : allocate(group.pools, need);
    for (const [at, pool] of group.pools.entries()) {
      const current = now.pools[pool.name]?.wanted ?? 0;
      proposals.push({
        pool,
        desired: shares?.get(pool.name) ?? null,
        blind: toZero ? [] : blind,
        wake: at === 0 && current === 0 && pool.max > 0 && activity.state === "busy" && readyHere.length + startingHere.length === 0,
        toZero: toZero && pool.min === 0,
        otherwise: at === 0 ? otherwise : null,
      });
    }
  }
  for (const pool of endpoint.pools)
    if (!groups.some((group) => group.pools.includes(pool)))
      proposals.push({ pool, desired: pool.min, blind: [], wake: false, toZero: false, otherwise: null });

  const holdMs = Math.max(patience * coldMs, 2 * spec.intervalMs);
  return {
    own: {
      demand,
      fit,
      counters: engines.counters,
      fleet,
      forecast,
      bank,
      attainment,
      idleSinceMs,
      gap: now.slots === null,
      patience,
      shortAtMs,
      wanted: Object.fromEntries(
        endpoint.pools.flatMap(({ name }) => (now.pools[name] === undefined ? [] : [[name, now.pools[name].wanted]])),
      ),
    },
    proposals,
    steps,
    rules: {
      intervalMs: spec.intervalMs,
      scaleUp: unlimited,
      scaleDown: { ...unlimited, stabilizationWindowMs: holdMs },
      assumedColdStartMs: spec.coldStartMs,
    },
  };
}

function sayCapacity(
  say: (code: string, text: string, numbers?: Readonly<Record<string, number>>) => void,
  safe: SafeLoad,
  perReplica: number,
  attainment: Attainment,
  workPerRequest: number,
  weight: number,
): void {
  if (safe.infeasible !== null)
    say(
      "infeasible",
      `The objective cannot be met: ${safe.infeasible}. Sized for half-full replicas instead; relax the objective or use a faster engine.`,
    );
  const held =
    attainment.completed > 20
      ? `; ${num((attainment.within / attainment.completed) * 100)} % of the recent requests held the objective`
      : "";
  say(
    "capacity",
    `One replica carries ${num(perReplica)} of it inside the objective, some ${num(perReplica / Math.max(1e-9, workPerRequest))} requests/s (bound by ${safe.bound}, margin ${num(attainment.margin)}, ${weight < 10 ? "hardly measured yet" : `${num(weight, 0)} samples`}${held}).`,
    { perReplica, utilization: safe.utilization, margin: attainment.margin, samples: weight },
  );
}

/** Rates where no ledger is, requests that queue, and the names of readings without which nothing can be judged. */
function readDemand(
  own: Own,
  now: Observation,
  reader: Reader,
  ready: readonly Replica[],
): { readonly rate: Rate | null; readonly queued: number; readonly missing: readonly string[] } {
  const ids = ready.map(({ id }) => id);
  const numberOf = (name: string) => {
    const reading = reader.overall(name, ids);
    return typeof reading === "number" ? reading : null;
  };
  const depth = reader.endpoint("queue_depth");
  const lastMs = (now.slots ?? []).reduce((last, slot) => Math.max(last, slot.atMs), 0);
  const heldInSlots = sumOf((now.slots ?? []).filter((slot) => slot.atMs === lastMs).map((slot) => slot.heldMean));
  const held = reader.endpoint("held");
  const heldNow = Math.max(typeof held === "number" ? held : heldInSlots, now.cause === "held" ? 1 : 0);
  const queued = Math.max(heldNow, typeof depth === "number" ? depth : heldNow + (numberOf("waiting") ?? 0));
  if (now.slots !== null) return { rate: null, queued, missing: [] };

  const requests = numberOf("request_rate");
  const [prefill, output] = [numberOf("prompt_tokens_per_second"), numberOf("output_tokens_per_second")];
  const mix = own.demand.mix;
  if (prefill !== null && output !== null) {
    const guessed = mix.weight > 0 && mix.prefill > 0 ? prefill / mix.prefill : prefill / 500;
    return { rate: { requests: requests ?? guessed, prefill, output }, queued, missing: [] };
  }
  if (requests !== null && mix.weight > 0)
    return { rate: { requests, prefill: requests * mix.prefill, output: requests * mix.output }, queued, missing: [] };
  const missing = (["request_rate", "prompt_tokens_per_second", "output_tokens_per_second"] as const).flatMap((name) => {
    const reading = reader.overall(name, ids);
    return typeof reading === "number" ? [] : [`${name} (${reading})`];
  });
  return { rate: null, queued, missing: ["the gateway's ledger", ...missing] };
}

/** The mean replica's seconds as the ledger sees them: what is in flight and not held, and the tokens of what ended meanwhile. */
type Stretch = { readonly seconds: number; readonly running: number; readonly prefill: number; readonly output: number };
const noStretch: Stretch = { seconds: 0, running: 0, prefill: 0, output: 0 };
/** Tokens are counted when a request ends, so short stretches say little. */
const STRETCH_SECONDS = 20;

function addStretch(stretch: Stretch, now: Observation, ready: number): Stretch {
  const slots = now.slots ?? [];
  if (ready === 0 || slots.length === 0) return stretch;
  const [firstMs, lastMs] = [Math.min(...slots.map((slot) => slot.atMs)), Math.max(...slots.map((slot) => slot.atMs))];
  const sum = (of: (slot: Slot) => number) => sumOf(slots.map(of)) / ready;
  // With requests held the fleet is not what limits them.
  if (sum((slot) => slot.heldMean) > 0.01) return noStretch;
  return {
    seconds: stretch.seconds + (lastMs - firstMs) / 1000 + 1,
    running: stretch.running + sum((slot) => slot.inFlightMean),
    prefill: stretch.prefill + sum((slot) => slot.promptTokens - slot.prefixHitTokens),
    output: stretch.output + sum((slot) => slot.outputTokens),
  };
}

/** Pools that share one kind of work. Where pools serve whole requests, ones for a single phase stay at their minimum. */
function groupsOf(endpoint: Endpoint) {
  const of = (role: string) => endpoint.pools.filter((pool) => pool.role === role);
  const serve = of("serve");
  const groups: readonly { readonly share: Share; readonly pools: Endpoint["pools"] }[] =
    serve.length > 0
      ? [{ share: "both", pools: serve }]
      : [
          { share: "prefill", pools: of("prefill") },
          { share: "decode", pools: of("decode") },
        ];
  return groups.filter((group) => group.pools.length > 0);
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
