import {
  type Endpoint,
  isSignalName,
  type Json,
  type Need,
  type Observation,
  type Policy,
  type Pool,
  SIGNAL_NAMES,
  SIGNALS,
  type SignalRule,
  type SignalsPolicySpec,
  type Step,
} from "../model/index.ts";
import { activityOf, idleSince } from "./activity.ts";
import { countReplicas, type Memory, type Proposal, pipelinePolicy } from "./pipeline.ts";
import { isAdditive, type Reader, type Reading, sumOf } from "./reading.ts";
import { replicas as count, num, seconds } from "./words.ts";

/** Assumed for the reversal guard until a cold start was measured. */
const COLD_START_MS = 120_000;
/** The best throughput seen fades by half in this time, so that a changed mix of requests is learned anew. */
const BEST_HALF_LIFE_MS = 6 * 3_600_000;

/** `best`: by saturation rule, the most tokens per second that one ready replica was seen to give. */
type Own = {
  readonly idleSinceMs: number | null;
  readonly best: { readonly [rule: string]: { readonly value: number; readonly atMs: number } };
};

/** What one rule asks of one pool: a count to be combined, or the reading it lacks. */
interface Asked {
  /** null: the rule has nothing to say. */
  readonly desired: number | null;
  readonly blind: string | null;
  readonly step: Step | null;
  readonly otherwise: Proposal["otherwise"];
}
const silent: Asked = { desired: null, blind: null, step: null, otherwise: null };

/** Rules over signals (see `SignalsPolicySpec`): targets decide, ceilings and saturation may only raise, the largest wins. */
export function signalsPolicy(endpoint: Endpoint, spec: SignalsPolicySpec): Policy<Json> {
  return pipelinePolicy<Own>({
    kind: "signals",
    endpoint,
    needs: needsOf(endpoint, spec),
    own: () => ({ idleSinceMs: null, best: {} }),
    propose(own, _memory: Memory, now, reader) {
      const activity = activityOf(now, reader);
      const idleSinceMs = idleSince(own.idleSinceMs, activity, now.nowMs);
      const best = learnBest(own.best, endpoint, spec, now, reader);
      const steps: Step[] = [];
      const proposals = endpoint.pools.map((pool): Proposal => {
        const current = now.pools[pool.name]?.wanted ?? 0;
        const { ready } = countReplicas(now, pool.name);
        const nothing = { pool, blind: [], wake: false, toZero: false, otherwise: null };
        if (current === 0) return { ...nothing, ...fromZero(pool, activity, steps) };
        const idleMs = idleSinceMs === null ? 0 : now.nowMs - idleSinceMs;
        if (pool.min === 0 && spec.zeroAfterMs !== null && idleSinceMs !== null && idleMs >= spec.zeroAfterMs) {
          steps.push({
            code: "idle",
            pool: pool.name,
            text: `Nothing arrived and nothing was in flight for ${seconds(idleMs)}, at least ${seconds(spec.zeroAfterMs)}: to zero.`,
            numbers: { idleMs, zeroAfterMs: spec.zeroAfterMs },
          });
          const text = "The next request wakes one replica.";
          return { ...nothing, desired: 0, toZero: true, otherwise: { text, numbers: {} } };
        }
        if (ready.length === 0) {
          steps.push({
            code: "none-ready",
            pool: pool.name,
            text: `None of ${count(current)} is ready, so no rule can be judged yet.`,
            numbers: { current },
          });
          return { ...nothing, desired: null };
        }
        const context: RuleContext = { endpoint, spec, pool, now, reader, current, best, idle: activity.state === "idle" };
        const asked = spec.rules.map((rule, at) => ask(rule, at, context));
        for (const { step } of asked) if (step !== null) steps.push(step);
        const { desired, blind } = combine(spec.rules, asked, current, pool, steps);
        return { ...nothing, desired, blind, otherwise: asked.find((one) => one.otherwise !== null)?.otherwise ?? null };
      });
      return {
        own: { idleSinceMs, best },
        proposals,
        steps,
        rules: { intervalMs: spec.intervalMs, scaleUp: spec.scaleUp, scaleDown: spec.scaleDown, assumedColdStartMs: COLD_START_MS },
      };
    },
  });
}

function fromZero(pool: Pool, activity: { readonly state: string; readonly why: string }, steps: Step[]) {
  const wake = activity.state === "busy" && pool.max > 0;
  const text = wake ? `Woken from zero: ${activity.why}.` : `At zero, and it stays so until a request comes: ${activity.why}.`;
  steps.push({ code: wake ? "woken" : "asleep", pool: pool.name, text, numbers: {} });
  return { desired: wake ? 1 : 0, wake };
}

interface RuleContext {
  readonly endpoint: Endpoint;
  readonly spec: SignalsPolicySpec;
  readonly pool: Pool;
  readonly now: Observation;
  readonly reader: Reader;
  readonly current: number;
  readonly best: Own["best"];
  readonly idle: boolean;
}

function ask(rule: SignalRule, at: number, context: RuleContext): Asked {
  switch (rule.kind) {
    case "target":
      return askTarget(rule, context);
    case "ceiling":
      return askCeiling(rule, context);
    case "saturation":
      return askSaturation(rule, at, context);
  }
}

/** The largest wins. Ceilings and saturation are held against the present count, so that they can only raise. */
function combine(rules: readonly SignalRule[], asked: readonly Asked[], current: number, pool: Pool, steps: Step[]) {
  const blind = asked.flatMap((one) => (one.blind === null ? [] : [one.blind]));
  const wished = (kind: (rule: SignalRule) => boolean) =>
    asked.flatMap((one, at) => (one.desired !== null && kind(rules[at] as SignalRule) ? [one.desired] : []));
  const targets = wished((rule) => rule.kind === "target");
  const raises = wished((rule) => rule.kind !== "target");
  // Without a target nobody says that fewer would do.
  const base = targets.length > 0 ? Math.max(...targets) : current;
  const desired = Math.max(base, ...raises, pool.min === 0 ? 1 : 0);
  if (asked.length > 1)
    steps.push({
      code: "combined",
      pool: pool.name,
      text:
        raises.length > 0 && Math.max(...raises) > base
          ? `The targets ask for ${base}, a ceiling raises that to ${desired}.`
          : `The largest of what the rules ask for: ${desired}.`,
      numbers: { targets: base, desired },
    });
  return { desired: targets.length + raises.length === 0 && blind.length > 0 ? null : desired, blind };
}

/** HPA's AverageValue with its treatment of replicas that do not count yet: starting ones carry nothing when growing. */
function askTarget(rule: Extract<SignalRule, { kind: "target" }>, context: RuleContext): Asked {
  const { spec, pool, reader, now, current } = context;
  const { ready, starting } = countReplicas(now, pool.name);
  const perReplica = ready.map((replica) => ({ id: replica.id, reading: reader.replica(rule.signal, replica.id) }));
  const known = perReplica.flatMap(({ reading }) => (typeof reading === "number" ? [reading] : []));
  let total: number;
  let blind: string | null = null;
  if (known.length > 0 && (known.length === ready.length || scopeOf(context.endpoint, rule.signal) === "replica")) {
    total = sumOf(known);
    const missing = perReplica.filter(({ reading }) => typeof reading !== "number").map(({ id }) => id);
    if (missing.length > 0) blind = `${rule.signal} of ${missing.sort().join(" and ")}`;
  } else {
    const overall = reader.overall(
      rule.signal,
      ready.map(({ id }) => id),
    );
    if (typeof overall !== "number") return { ...silent, blind: `${rule.signal} (${overall})`, step: lacks(pool, rule.signal, overall) };
    total = isAdditive(rule.signal) ? overall : overall * ready.length;
  }
  // A missing replica counts as idle here; the blindness guard then keeps that from shrinking anything.
  const mean = total / Math.max(1, known.length === 0 ? ready.length : known.length);
  const ratio = mean / rule.value;
  const exact = total / rule.value;
  const settled = ready.length + starting.length;
  const within = Math.abs(ratio - 1) <= spec.tolerance;
  const spread = starting.length > 0 && ratio > 1 ? total / (settled * rule.value) : ratio;
  const reversed = ratio > 1 && spread <= 1 + spec.tolerance;
  const desired = within || reversed ? Math.max(current, reversed ? settled : 0) : Math.ceil(exact - 1e-9);
  const grown = ratio > 1 && !within ? Math.max(desired, current) : desired;
  const arithmetic = `${rule.signal} averages ${num(mean)}${unitOf(rule.signal)} over ${known.length || ready.length} ready, target ${num(rule.value)}`;
  const numbers = { value: mean, target: rule.value, ready: ready.length, starting: starting.length, exact, desired: grown };
  const why = within
    ? `within ${num(spec.tolerance * 100)} % of it, so ${current} stay`
    : reversed
      ? `too much for those, but the ${starting.length} starting will bring it to ${num(spread * rule.value)}`
      : `${num(total)} / ${num(rule.value)} = ${num(exact)}, so ${grown}`;
  const up = rule.value * (1 + spec.tolerance);
  return {
    desired: grown,
    blind,
    step: { code: "target", pool: pool.name, text: `${arithmetic}: ${why}.`, numbers },
    otherwise: {
      text: `With ${ready.length} ready the count rises above a mean ${rule.signal} of ${num(up)} and falls below ${num(rule.value * (1 - spec.tolerance))}${
        ready.length > 1 ? `; on ${count(ready.length - 1)} the same load would average ${num(total / (ready.length - 1))}` : ""
      }.`,
      numbers: { riseAbove: up, fallBelow: rule.value * (1 - spec.tolerance) },
    },
  };
}

function askCeiling(rule: Extract<SignalRule, { kind: "ceiling" }>, context: RuleContext): Asked {
  const { spec, pool, reader, now, current, idle } = context;
  if (!concerns(rule.signal, pool)) return silent;
  const { ready } = countReplicas(now, pool.name);
  const value = reader.overall(
    rule.signal,
    ready.map(({ id }) => id),
  );
  if (typeof value !== "number") {
    // A latency of nobody: without traffic there is none, and none is missing.
    if (idle) return silent;
    return { ...silent, blind: `${rule.signal} (${value})`, step: lacks(pool, rule.signal, value) };
  }
  const ratio = value / rule.value;
  const numbers = { value, ceiling: rule.value, ready: ready.length };
  const reading = `${rule.signal} is ${num(value, 3)}${unitOf(rule.signal)}`;
  if (ratio > 1) {
    const most = ready.length * (1 + rule.maxStep);
    const desired = Math.max(ready.length + 1, Math.min(Math.ceil(ready.length * ratio - 1e-9), Math.floor(most + 1e-9)));
    const text = `${reading}, over its ceiling ${num(rule.value, 3)}: at least ${desired} for the ${ready.length} ready (at most ${num(rule.maxStep * 100)} % more at a time).`;
    return {
      ...silent,
      desired: Math.max(desired, current),
      step: { code: "ceiling", pool: pool.name, text, numbers: { ...numbers, desired } },
    };
  }
  if (ratio > 1 - spec.tolerance) {
    const text = `${reading}, just under its ceiling ${num(rule.value, 3)}: no fewer than now.`;
    return { ...silent, desired: current, step: { code: "ceiling-near", pool: pool.name, text, numbers } };
  }
  return {
    ...silent,
    step: { code: "ceiling-clear", pool: pool.name, text: `${reading}, under its ceiling ${num(rule.value, 3)}.`, numbers },
  };
}

function askSaturation(rule: Extract<SignalRule, { kind: "saturation" }>, at: number, context: RuleContext): Asked {
  const { pool, reader, now, current, best, idle } = context;
  const { ready } = countReplicas(now, pool.name);
  const seen = saturationReadings(rule, context.endpoint, now, reader);
  if (typeof seen.throughput !== "number" || typeof seen.waiting !== "number") {
    if (idle) return silent;
    const [name, reading] =
      typeof seen.waiting !== "number" ? (["waiting", seen.waiting] as const) : ([rule.throughput, seen.throughput] as const);
    return { ...silent, blind: `${name} (${reading})`, step: lacks(pool, name, reading) };
  }
  const record = best[at]?.value ?? 0;
  const numbers = { throughput: seen.throughput, best: record, waiting: seen.waiting, ready: ready.length };
  const saturated = record > 0 && seen.waiting >= rule.waiting && seen.throughput < rule.below * record;
  if (!saturated) return silent;
  const desired = Math.max(ready.length + 1, Math.ceil(ready.length * (1 + rule.step) - 1e-9));
  const text = `${rule.throughput} fell to ${num(seen.throughput)} per replica, under ${num(rule.below * 100)} % of the best seen (${num(record)}), while ${num(seen.waiting)} requests per replica wait: saturated, so at least ${desired}.`;
  return {
    ...silent,
    desired: Math.max(desired, current),
    step: { code: "saturation", pool: pool.name, text, numbers: { ...numbers, desired } },
  };
}

/** Throughput and waiting requests per ready replica of the whole endpoint. */
function saturationReadings(rule: Extract<SignalRule, { kind: "saturation" }>, endpoint: Endpoint, now: Observation, reader: Reader) {
  const ids = endpoint.pools.flatMap((pool) => countReplicas(now, pool.name).ready.map(({ id }) => id));
  const queued = reader.overall("waiting", ids);
  const each = (reading: Reading) => (typeof reading === "number" ? reading / Math.max(1, ids.length) : reading);
  return {
    throughput: each(reader.overall(rule.throughput, ids)),
    waiting: each(typeof queued === "number" ? queued : reader.endpoint("queue_depth")),
    ready: ids.length,
  };
}

function learnBest(best: Own["best"], endpoint: Endpoint, spec: SignalsPolicySpec, now: Observation, reader: Reader): Own["best"] {
  const after: Record<string, { readonly value: number; readonly atMs: number }> = {};
  for (const [at, rule] of spec.rules.entries()) {
    if (rule.kind !== "saturation") continue;
    const known = best[at];
    const faded = known === undefined ? 0 : known.value * 0.5 ** ((now.nowMs - known.atMs) / BEST_HALF_LIFE_MS);
    const seen = saturationReadings(rule, endpoint, now, reader);
    const value = typeof seen.throughput === "number" && seen.ready > 0 ? Math.max(faded, seen.throughput) : faded;
    after[at] = { value, atMs: now.nowMs };
  }
  return after;
}

/** Whose count a latency ceiling raises where prefill and decode are apart: the one that makes the wait. */
function concerns(signal: string, pool: Pool): boolean {
  if (pool.role === "prefill") return !signal.startsWith("tpot") && signal !== "itl";
  return pool.role !== "decode" || !signal.startsWith("ttft");
}

function lacks(pool: Pool, signal: string, reading: Reading): Step {
  return { code: "no-data", pool: pool.name, text: `${signal} is ${reading}: its rule has no say.`, numbers: {} };
}

const unitOf = (signal: string) => {
  if (!isSignalName(signal)) return "";
  const { unit } = SIGNALS[signal];
  return unit === "percent" ? " %" : unit === "seconds" ? " s" : "";
};

const FIRST_OF_ENDPOINT = SIGNAL_NAMES.indexOf("request_rate");

/** Whom a signal speaks of: engines and GPUs of a replica, what is worked out of the endpoint; a query of the config as it says. */
function scopeOf(endpoint: Endpoint, signal: string): Need["per"] {
  const query = endpoint.prometheus?.queries.find((one) => one.signal === signal);
  if (query !== undefined) return query.replicaLabel === null ? "endpoint" : "replica";
  if (!isSignalName(signal)) return "replica";
  return SIGNAL_NAMES.indexOf(signal) >= FIRST_OF_ENDPOINT ? "endpoint" : "replica";
}

function needsOf(endpoint: Endpoint, spec: SignalsPolicySpec): readonly Need[] {
  const sampleEveryMs = Math.min(endpoint.scrapeEveryMs, spec.intervalMs);
  const names = spec.rules.flatMap((rule) => (rule.kind === "saturation" ? [rule.throughput, "waiting", "queue_depth"] : [rule.signal]));
  const extra = ["running", "waiting", "request_rate", "in_flight", "held"];
  return [...new Set([...names, ...extra])].map((name) => ({ name, per: scopeOf(endpoint, name), sampleEveryMs }));
}
