import type { Endpoint, Json, Manifest, Ms, Observation, Outcome, Policy, Step, Want } from "../../../model/index.ts";
import { num, replicas, seconds } from "../../words.ts";
import {
  collectDatapoints,
  type Datapoints,
  type Fold,
  foldDatapoint,
  isRate,
  NO_DATAPOINTS,
  needsOf,
  newestDatapoints,
  samplerOf,
  scopeOf,
  signalOf,
} from "../datapoints.ts";
import { type Evaluation, evaluate, type RuleReading, type Verdict } from "./evaluate.ts";
import { activeProfile, compileProfile, type Profile, type Rule } from "./profile.ts";
import { type AutoscaleSetting, CPU_METRIC, type MetricTrigger, type Statistic } from "./words.ts";

/** The engine looks every 30 to 60 s, depending on the resource; scale sets are looked at once a minute. */
const ENGINE_TICK_MS = 60_000;
/** After so long a scale action that has not come to its count has failed, and its cool-down begins all the same. */
const ACTION_TIMEOUT_MS = 3_600_000;

/**
 * - `sinceMs`: since when this watches without a pause (`lastMs`: its last look); what was reported before is not known, which is not
 *   the same as a metric that is missing.
 * - `datapoints`: by signal and grain.
 * - `action`: the last scale action; `doneMs` null while the platform has not come to the count asked for.
 * - `pending`: the change asked for last, until `settle` says what became of it.
 */
interface State {
  readonly sinceMs: Ms;
  readonly lastMs: Ms;
  readonly datapoints: Readonly<Record<string, Datapoints>>;
  readonly action: { readonly atMs: Ms; readonly doneMs: Ms | null } | null;
  readonly pending: { readonly seq: number } | null;
}

const FOLDS: Readonly<Record<Statistic, Fold>> = { Average: "Average", Min: "Minimum", Max: "Maximum", Sum: "Sum", Count: "Count" };

const signalOfTrigger = (endpoint: Endpoint, { metricNamespace, metricName }: MetricTrigger) =>
  signalOf(endpoint, `${metricNamespace ?? ""}/${metricName}`, metricName, ...(metricName === CPU_METRIC ? ["cpu"] : []));

/**
 * An autoscale setting over the endpoint's first pool. A count below the profile's minimum, as of a fleet that nobody has started,
 * goes there at once; without metrics it goes on to the profile's default.
 */
export function azurePolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const { properties } = manifest.spec as unknown as AutoscaleSetting;
  const profiles = properties.profiles.map(compileProfile);
  const pool = endpoint.pools[0];
  if (pool === undefined) throw new RangeError("an endpoint has at least one pool");
  const poolName = pool.name;
  const forecasts = properties.predictiveAutoscalePolicy?.scaleMode === "Enabled";

  const collected = new Map<string, { readonly signal: string; readonly periodMs: Ms; readonly keepMs: Ms }>();
  const keyOf = ({ trigger, grainMs }: Rule) => `${signalOfTrigger(endpoint, trigger)}/${grainMs}`;
  for (const rule of profiles.flatMap(({ rules }) => rules)) {
    const { grainMs: periodMs, windowMs } = rule;
    const keepMs = Math.max(windowMs + 2 * periodMs, collected.get(keyOf(rule))?.keepMs ?? 0);
    collected.set(keyOf(rule), { signal: signalOfTrigger(endpoint, rule.trigger), periodMs, keepMs });
  }

  return {
    kind: "azure",
    needs: needsOf(endpoint, [...collected.values()]),
    wakesOn: ["config"],
    start: ({ nowMs }) => write({ sinceMs: nowMs, lastMs: nowMs, datapoints: {}, action: null, pending: null }),

    decide(before, observation) {
      const { nowMs, seq } = observation;
      const steps: Step[] = [];
      const say = (code: string, text: string, numbers: Step["numbers"] = {}) => steps.push({ code, pool: poolName, text, numbers });
      const finish = (next: State, want: Want) => ({
        state: write(next),
        decision: { seq, wants: { [poolName]: want }, steps, conditions: [], nextAtMs: nowMs + ENGINE_TICK_MS },
      });

      const status = observation.pools[poolName];
      const was = read(before);
      let state: State = {
        ...was,
        sinceMs: nowMs - was.lastMs > 2 * ENGINE_TICK_MS ? nowMs : was.sinceMs,
        lastMs: nowMs,
        datapoints: observe(was.datapoints, observation),
      };
      if (status === undefined) {
        say("no-scale", `The platform does not say how many replicas pool ${poolName} has: the count stays.`);
        return finish(state, { kind: "hold" });
      }
      const current = status.wanted;
      state = { ...state, action: progress(state.action, status.reported === current, nowMs) };
      const profile = activeProfile(profiles, nowMs);
      if (!properties.enabled || profile === null) {
        say("disabled", properties.enabled ? "No profile holds now: the count stays." : "The setting is not enabled: the count stays.", {
          current,
        });
        return finish(state, { kind: "hold" });
      }
      if (profiles.length > 1)
        say("profile", `The profile "${profile.name}" holds: ${profile.min} to ${profile.max}.`, { min: profile.min, max: profile.max });
      if (forecasts) say("no-forecast", "Azure's forecasts cannot be known here: the rules alone decide.");

      const readings = profile.rules.map((rule): RuleReading => ({ rule, value: valueOfTrigger(rule, state.datapoints, nowMs, current) }));
      const young = readings.some(({ rule: { grainMs } }) => nowMs < (Math.ceil(state.sinceMs / grainMs) + 1) * grainMs);
      const known = young ? { ...profile, default: Math.min(profile.default, current) } : profile;
      const evaluation = evaluate(known, readings, current, sinceAction(state.action, nowMs));
      for (const verdict of evaluation.verdicts) say(...explainRule(verdict, current));
      say(...explain(evaluation, profile, current));
      const to = Math.min(pool.max, Math.max(pool.min, evaluation.count));
      if (to !== evaluation.count)
        say("limited", `Limited from ${evaluation.count} to ${to}: the pool is to have ${pool.min} to ${pool.max}.`, { desired: to });
      if (evaluation.outcome === "no-data" && to === current) return finish(state, { kind: "hold" });
      return finish({ ...state, pending: to === current ? state.pending : { seq } }, { kind: "scale", replicas: to, drain: [] });
    },

    settle(before, outcome: Outcome) {
      const state = read(before);
      if (state.pending?.seq !== outcome.seq || outcome.pool !== poolName) return { state: before, conditions: [] };
      const action = outcome.result === "accepted" ? { atMs: outcome.atMs, doneMs: null } : state.action;
      return { state: write({ ...state, action, pending: null }), conditions: [] };
    },
  };

  function observe(before: State["datapoints"], observation: Observation): State["datapoints"] {
    const { nowMs } = observation;
    const sample = samplerOf(observation, endpoint.staleAfterMs);
    const ids = observation.replicas.filter(({ pool: of, state }) => of === poolName && state === "ready").map(({ id }) => id);
    return Object.fromEntries(
      [...collected].map(([key, { signal, periodMs, keepMs }]) => [
        key,
        collectDatapoints(before[key] ?? NO_DATAPOINTS, sample(signal, scopeOf(endpoint, signal), ids), {
          nowMs,
          periodMs,
          keepMs,
          replicas: ids.length,
        }),
      ]),
    );
  }

  /**
   * A trigger's value: the statistic over instances in each grain, the aggregation over the grains of the window, and where asked
   * that divided by the instance count. `null`: the window's newest grain has no data.
   */
  function valueOfTrigger(rule: Rule, datapoints: State["datapoints"], nowMs: Ms, current: number): number | null {
    const { trigger, grainMs, windowMs } = rule;
    const signal = signalOfTrigger(endpoint, trigger);
    const grains = newestDatapoints(datapoints[keyOf(rule)] ?? NO_DATAPOINTS, nowMs, grainMs, Math.max(1, Math.floor(windowMs / grainMs)));
    if ((grains.at(-1) ?? null) === null) return null;
    const values = grains.flatMap((grain) => (grain === null ? [] : [foldDatapoint(grain, FOLDS[trigger.statistic], signal, grainMs)]));
    const value = aggregate(values, trigger, isRate(signal) ? grainMs / 1000 : 1);
    return trigger.dividePerInstance ? value / Math.max(1, current) : value;
  }
}

/** `grainTotal`: what a value that is per second counts for in a total. */
function aggregate(values: readonly number[], { timeAggregation, statistic }: MetricTrigger, grainTotal: number): number {
  const sum = values.reduce((total, value) => total + value, 0);
  switch (timeAggregation) {
    case "Average":
      return sum / values.length;
    case "Minimum":
      return Math.min(...values);
    case "Maximum":
      return Math.max(...values);
    case "Total":
      return statistic === "Sum" || statistic === "Count" ? sum : sum * grainTotal;
    case "Count":
      return values.length;
    case "Last":
      return values.at(-1) as number;
  }
}

/** A cool-down begins once an action is done. */
function progress(action: State["action"], arrived: boolean, nowMs: Ms): State["action"] {
  if (action === null || action.doneMs !== null) return action;
  return arrived || nowMs - action.atMs >= ACTION_TIMEOUT_MS ? { ...action, doneMs: nowMs } : action;
}

function sinceAction(action: State["action"], nowMs: Ms): Ms {
  if (action === null) return Number.POSITIVE_INFINITY;
  return action.doneMs === null ? 0 : nowMs - action.doneMs;
}

type Said = readonly [code: string, text: string, numbers: Step["numbers"]];

const IN_WORDS = {
  Equals: "equal to",
  NotEquals: "other than",
  GreaterThan: "above",
  GreaterThanOrEqual: "at or above",
  LessThan: "below",
  LessThanOrEqual: "at or below",
} as const;

function explainRule({ rule, value, fired, coolingMs }: Verdict, current: number): Said {
  const { metricName, operator, threshold } = rule.trigger;
  const direction = rule.action.direction === "Increase" ? "Out" : rule.action.direction === "Decrease" ? "In" : "No action";
  const condition = `${direction} when ${metricName} is ${IN_WORDS[operator]} ${num(threshold)}`;
  if (value === null) return ["rule-blind", `${condition}: the metric is not available.`, { threshold, current }];
  const cooling = fired && coolingMs > 0 ? `, but its cool-down lasts another ${seconds(coolingMs)}` : "";
  return [
    fired ? "rule-true" : "rule-false",
    `${condition}: it is ${num(value)}, ${fired ? "true" : "not true"}${cooling}.`,
    { value, threshold, current },
  ];
}

function explain({ outcome, count, unguarded }: Evaluation, profile: Profile, current: number): Said {
  const numbers = { current, desired: count, min: profile.min, max: profile.max };
  const text = {
    "below-minimum": () => `${replicas(current)} are fewer than the minimum of ${profile.min}: the count goes there, no rule is looked at.`,
    "above-maximum": () => `${replicas(current)} are more than the maximum of ${profile.max}: the count goes there, no rule is looked at.`,
    "scale-out": () => `From ${current} to ${count}: a scale-out rule is true.`,
    "scale-in": () => {
      const reduced = count === unguarded ? "" : ` (not to ${unguarded}, where a scale-out rule would be true again)`;
      return `From ${current} to ${count}: all scale-in rules are true${reduced}.`;
    },
    default: () => `A metric is not available and ${current} is below the default: from ${current} to ${count}.`,
    "no-data": () => `A metric is not available: the count stays at ${current}.`,
    "cool-down": () => `A cool-down is not over: the count stays at ${current}.`,
    flapping: () => `With fewer than ${current} a scale-out rule would be true at once (flapping): the count stays.`,
    unchanged: () => `The count stays at ${current}.`,
  }[outcome]();
  return [outcome, text, numbers];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
