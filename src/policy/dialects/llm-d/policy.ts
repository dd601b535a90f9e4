import {
  type Condition,
  type Endpoint,
  type Json,
  type Manifest,
  type Ms,
  type Need,
  type Observation,
  type Policy,
  type Pool,
  parseDuration,
  type Step,
  type Want,
} from "../../../model/index.ts";
import { activityOf, idleSince } from "../../activity.ts";
import { type Reader, readerOf } from "../../reading.ts";
import { replicas as count, num, seconds } from "../../words.ts";
import { addTraffic, engineLimits, noTraffic, profileOf, REPLICA_SERIES, step, type Traffic } from "../llm/index.ts";
import { type Collected, collect, nothingCollected, type Pod, stateOf } from "./collect.ts";
import { costAwareTargets } from "./optimizer.ts";
import { analyzeQueueing, DEFAULT_MAX_BATCH_SIZE, workloadOf } from "./queueing.ts";
import { analyzeSaturation, inTransition, saturationTargets } from "./saturation-v1.ts";
import { analyzeTokens, noSaturationMemory, type SaturationMemory } from "./saturation-v2.ts";
import { LLMD_DEFAULTS, llmdSpecOf, queueingConfig, saturationConfig, zeroConfig } from "./spec.ts";
import type { Tuned } from "./tuner.ts";
import type { CapacityBalance, Targets, VariantCapacity, VariantState } from "./words.ts";

type State = {
  readonly dueMs: Ms;
  readonly traffic: Traffic;
  readonly collected: Collected;
  readonly saturation: SaturationMemory;
  readonly tuned: { readonly [variant: string]: Tuned };
  readonly idleSinceMs: Ms | null;
  /** Whether the last analysis could judge, and since when that is so. */
  readonly ready: { readonly status: Condition["status"]; readonly sinceMs: Ms };
};

/** What an analyzer came to. `blind`: replicas that did not report, so that nothing may shrink; null targets: nobody could judge. */
interface Judged {
  readonly targets: Targets | null;
  readonly blind: boolean;
  readonly steps: readonly Step[];
  readonly state: State;
}

/** A replica this young may still be warming up: the tuner does not learn from it. */
const SETTLE_MS: Ms = 120_000;
const ROLES = { both: "", prefill: "prefill: ", decode: "decode: " } as const;

/**
 * The workload variant autoscaler over all pools of an endpoint, each a variant of its model. It analyses every interval; a request
 * held while no replica of a role runs wakes the cheapest variant of that role at once (the original polls its queue every 100 ms).
 *
 * Different from the original: a replica whose readings are absent or stale keeps anything from shrinking (there it counts as
 * without demand). What the HPA or KEDA behind the original would add is not part of it: wants are carried out as they are.
 */
export function llmdPolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const spec = llmdSpecOf(manifest);
  const intervalMs = parseDuration(spec.optimizationInterval) ?? (parseDuration(LLMD_DEFAULTS.optimizationInterval) as Ms);
  const saturation = saturationConfig(spec, endpoint.model, endpoint.namespace);
  const queueing = queueingConfig(spec, endpoint.model, endpoint.namespace);
  const zero = zeroConfig(spec, endpoint.model, endpoint.namespace);
  const retentionMs = parseDuration(zero.retention) ?? (parseDuration(LLMD_DEFAULTS.retentionPeriod) as Ms);
  const pools = endpoint.pools;

  const paramsOf = (name: string) => {
    const pool = pools.find((one) => one.name === name) as Pool;
    return { ...engineLimits(endpoint, pool), kvCapacityTokens: profileOf(endpoint, pool)?.kvCapacityTokens ?? null };
  };

  function judge(
    state: State,
    now: Observation,
    reader: Reader,
    states: readonly VariantState[],
    pods: ReadonlyMap<string, readonly Pod[]>,
  ): Judged {
    const all = [...pods.values()].flat();
    const metrics = all.flatMap((pod) => pod.metrics ?? []);
    const silent = all.filter((pod) => pod.metrics === null).map(({ reading }) => reading.id);
    const blind = silent.length > 0;
    const steps: Step[] = blind
      ? [step("blind", `${silent.join(", ")} did not report KV use and queue lately: nothing may shrink.`, { silent: silent.length })]
      : [];

    switch (spec.analyzer) {
      case "saturation-v1": {
        const analysis = analyzeSaturation(metrics, saturation);
        const { avgSpareKv, avgSpareQueue, nonSaturated } = analysis;
        const verdict = analysis.shouldScaleUp ? "one more is needed" : analysis.scaleDownSafe ? "one fewer would do" : "that is enough";
        steps.push(
          step(
            "saturation",
            `${nonSaturated} of ${analysis.replicas} are not saturated; on average they have ${num(avgSpareKv)} of KV cache (trigger ${num(saturation.kvSpareTrigger)}) and ${num(avgSpareQueue)} of queue (trigger ${num(saturation.queueSpareTrigger)}) to spare: ${verdict}.`,
            { replicas: analysis.replicas, nonSaturated, avgSpareKv, avgSpareQueue },
          ),
        );
        const reporting = states.filter(({ variantName }) => (pods.get(variantName)?.length ?? 0) > 0);
        const moving = reporting.filter(inTransition);
        if (moving.length > 0 || blind) {
          if (moving.length > 0)
            steps.push(
              step(
                "transition",
                `${moving.map(({ variantName }) => variantName).join(", ")} is still on its way: the whole model stands still.`,
                {
                  moving: moving.length,
                },
              ),
            );
          return { targets: null, blind, steps, state };
        }
        return { targets: analysis.replicas === 0 ? null : saturationTargets(analysis, reporting), blind, steps, state };
      }
      case "saturation-v2": {
        const held = reader.endpoint("held");
        const queue = { size: typeof held === "number" ? held : 0, bytes: 0 };
        const result = analyzeTokens(metrics, states, queue, saturation, paramsOf, state.saturation);
        for (const one of result.variants) {
          const limits = result.replicas.filter(({ variantName }) => variantName === one.variantName);
          const sources = [...new Set(limits.map(({ k2Source }) => k2Source))].sort().join(", ");
          steps.push(
            step(
              "capacity",
              `A replica of ${one.variantName} carries ${num(one.perReplicaCapacity, 0)} tokens${sources === "" ? " (nothing of it runs)" : ` (k2: ${sources})`}; its ${count(one.readyReplicas)} ready have ${num(one.demand, 0)}.`,
              { capacity: one.perReplicaCapacity, demand: one.demand, ready: one.readyReplicas },
              one.variantName,
            ),
          );
        }
        const targets = share(result.variants, result.balances, states, "tokens", steps);
        return { targets, blind, steps, state: { ...state, saturation: result.memory } };
      }
      case "queueing-model": {
        const result = analyzeQueueing(
          states.map((variant) => {
            const own = pods.get(variant.variantName) ?? [];
            return {
              state: variant,
              workload: workloadOf(own.map(({ workload }) => workload)),
              maxBatchSize: Math.trunc(
                own.find(({ reading }) => reading.maxRunning !== null)?.reading.maxRunning ?? DEFAULT_MAX_BATCH_SIZE,
              ),
              settled: own.every(({ reading }) => now.nowMs - reading.readyMs >= SETTLE_MS),
            };
          }),
          queueing,
          state.tuned,
        );
        for (const [variant, { tuned, nis, accepted }] of Object.entries(result.tunings)) {
          const { alpha, beta, gamma } = tuned.params;
          const verdict = accepted
            ? "learned"
            : nis === null
              ? "not explained by the model, so kept"
              : `an outlier (${num(nis, 1)}), so kept`;
          steps.push(
            step(
              "tuned",
              `An iteration of ${variant} takes ${num(alpha, 2)} ms + ${num(beta, 5)} ms per token + ${num(gamma, 7)} ms per token of context (${verdict}).`,
              { alpha, beta, gamma, nis: nis ?? -1 },
              variant,
            ),
          );
        }
        const { target } = result;
        steps.push(
          target === null
            ? step("no-target", "Nothing says yet how fast answers should be: no capacity can be worked out.")
            : step("target", `Aims at ${num(target.ttftMs, 0)} ms to the first token and ${num(target.itlMs, 1)} ms between tokens.`, {
                ttftMs: target.ttftMs,
                itlMs: target.itlMs,
              }),
        );
        const judged = result.variants.some(({ perReplicaCapacity }) => perReplicaCapacity > 0);
        if (!judged) steps.push(step("no-capacity", "No variant has traffic that the model can size: the counts stay."));
        const targets = judged ? share(result.variants, result.balances, states, "requests/s", steps) : null;
        // Latencies say nothing of a replica that reports none; arrivals come from elsewhere.
        const unknown = all.some(({ reading }) => reading.running === null);
        return {
          targets,
          blind: unknown,
          steps: unknown ? steps : steps.filter(({ code }) => code !== "blind"),
          state: { ...state, tuned: result.tuned },
        };
      }
    }
  }

  return {
    kind: "llm-d",
    needs: needsOf(intervalMs),
    wakesOn: ["held", "config"],

    start: (first) =>
      write({
        dueMs: first.nowMs,
        traffic: noTraffic(first.nowMs),
        collected: nothingCollected,
        saturation: noSaturationMemory,
        tuned: {},
        idleSinceMs: null,
        ready: { status: "Unknown", sinceMs: first.nowMs },
      }),

    decide(json, now) {
      let state = read(json);
      const reader = readerOf(now, endpoint.staleAfterMs);
      const steps: Step[] = [];
      const states = pools.flatMap((pool) => stateOf(endpoint, spec, pool, now) ?? []);
      const activity = activityOf(now, reader);
      state = {
        ...state,
        traffic: addTraffic(state.traffic, now, reader),
        idleSinceMs: idleSince(state.idleSinceMs, activity, now.nowMs),
      };
      const targets: Record<string, number> = {};
      if (now.nowMs >= state.dueMs) {
        const { collected, pods } = collect(state.collected, endpoint, pools, now, state.traffic);
        const judged = judge({ ...state, collected }, now, reader, states, pods);
        state = { ...judged.state, traffic: noTraffic(now.nowMs), dueMs: now.nowMs + intervalMs };
        steps.push(...judged.steps);
        const status = judged.targets === null || judged.blind ? "Unknown" : "True";
        if (status !== state.ready.status) state = { ...state, ready: { status, sinceMs: now.nowMs } };
        for (const { variantName, desiredReplicas } of states) {
          const target = judged.targets?.[variantName];
          if (target !== undefined) targets[variantName] = judged.blind ? Math.max(target, desiredReplicas) : target;
        }
        const idleMs = state.idleSinceMs === null ? 0 : now.nowMs - state.idleSinceMs;
        if (zero.enabled && idleMs >= retentionMs) {
          steps.push(
            step("to-zero", `No request for ${seconds(idleMs)} (limit ${seconds(retentionMs)}): every variant goes to zero.`, { idleMs }),
          );
          for (const { variantName } of states) targets[variantName] = 0;
        }
      }
      const asked = (one: VariantState) => targets[one.variantName] ?? one.desiredReplicas;
      const idleZero = zero.enabled && activity.state !== "busy";
      for (const role of new Set(states.map((one) => one.role))) {
        const own = states.filter((one) => one.role === role);
        if (own.some((one) => asked(one) > 0) || idleZero) continue;
        // Without scale to zero the last one stays, and from zero a request wakes one.
        const [cheapest] = own.toSorted((a, b) => a.cost - b.cost || (a.variantName < b.variantName ? -1 : 1));
        if (cheapest === undefined || cheapest.maxReplicas === 0) continue;
        targets[cheapest.variantName] = 1;
        const why = activity.state === "busy" ? activity.why : "scale to zero is off";
        steps.push(
          step(
            "from-zero",
            `${ROLES[role]}Nothing runs and ${why}: one of ${cheapest.variantName}, the cheapest, starts.`,
            {},
            cheapest.variantName,
          ),
        );
      }

      const wants: Record<string, Want> = {};
      for (const one of states) {
        const { variantName, desiredReplicas, minReplicas, maxReplicas } = one;
        const target = asked(one);
        const bounded = Math.min(maxReplicas, Math.max(minReplicas, target));
        if (bounded !== target)
          steps.push(
            step("bounded", `${target} is outside ${minReplicas} to ${maxReplicas}: ${bounded}.`, { target, bounded }, variantName),
          );
        wants[variantName] =
          bounded === desiredReplicas && targets[variantName] === undefined
            ? { kind: "hold" }
            : { kind: "scale", replicas: bounded, drain: [] };
        if (bounded !== desiredReplicas)
          steps.push(
            step(
              "scale",
              `${variantName} goes from ${desiredReplicas} to ${bounded}.`,
              { current: desiredReplicas, desired: bounded },
              variantName,
            ),
          );
      }
      for (const pool of pools)
        if (wants[pool.name] === undefined) {
          wants[pool.name] = { kind: "hold" };
          steps.push(step("no-status", `The platform does not say how many replicas ${pool.name} has: it stays.`, {}, pool.name));
        }
      return {
        state: write(state),
        decision: {
          seq: now.seq,
          wants,
          steps,
          conditions: [
            {
              type: "OptimizationReady",
              reason: state.ready.status === "True" ? "OptimizationSucceeded" : "MetricsUnavailable",
              ...state.ready,
            },
          ],
          nextAtMs: Math.max(state.dueMs, now.nowMs + 1),
        },
      };
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

/** Each role's balance turned into counts, with a step that says how. */
function share(
  variants: readonly VariantCapacity[],
  balances: readonly CapacityBalance[],
  states: readonly VariantState[],
  unit: string,
  steps: Step[],
): Targets {
  let targets: Targets = {};
  for (const balance of balances) {
    targets = { ...targets, ...costAwareTargets(balance, variants, states) };
    const { demand, supply, anticipated, required, spare, role } = balance;
    const verdict =
      required > 0 ? `${num(required)} more are needed` : spare > 0 ? `${num(spare)} could go, whole replicas only` : "that is enough";
    steps.push(
      step(
        "balance",
        `${ROLES[role]}${num(demand)} ${unit} asked of ${num(supply)} (${num(anticipated)} with what is starting): ${verdict}.`,
        { demand, supply, anticipated, required, spare },
      ),
    );
  }
  return targets;
}

function needsOf(intervalMs: Ms): readonly Need[] {
  const sampleEveryMs = Math.min(intervalMs, 15_000);
  const ofEndpoint = ["request_rate", "prompt_tokens_per_second", "output_tokens_per_second", "in_flight", "held"];
  return [
    ...REPLICA_SERIES.map((name): Need => ({ name, per: "replica", sampleEveryMs })),
    ...ofEndpoint.map((name): Need => ({ name, per: "endpoint", sampleEveryMs })),
  ];
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
