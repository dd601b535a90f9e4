import type { Endpoint, Json, Policy, Pool, Step, Want } from "../../../model/index.ts";
import { num } from "../../words.ts";
import { count, type Memory, memoryOf } from "./count.ts";
import { cheapestMix, type Profile } from "./optimizer.ts";
import { addSlots, type LoadStep, WINDOW_MS, windowLoad } from "./optimizer-load.ts";
import { parseProfiles, profileOf } from "./profiles.ts";
import type { Readings } from "./readings.ts";
import { effectiveBounds } from "./schedule.ts";
import { type AibrixSettings, RESYNC_MS } from "./settings.ts";
import type { AibrixFeatures } from "./version.ts";

/**
 * - `advice`: replicas for each pool, as the optimizer last found them; null before the first time.
 * - `blind`: no gateway said what arrived, so the advice is no answer until one does.
 */
interface State {
  readonly steps: readonly LoadStep[];
  readonly lookedMs: number;
  readonly advice: readonly number[] | null;
  readonly blind: boolean;
  readonly pools: Readonly<Record<string, Memory>>;
}

/**
 * AIBrix's GPU optimizer over the pools that have a profile, and a PodAutoscaler for each of them that follows its advice (the
 * metric `vllm:deployment_replicas`): the requests of the last four minutes, by size, at the least cost.
 * Source: vllm-project/aibrix `python/aibrix/aibrix/gpu_optimizer/load_monitor/monitor.py`.
 */
export function optimizerPolicy(
  endpoint: Endpoint,
  settings: AibrixSettings,
  profilesText: string,
  options: { readonly features: AibrixFeatures; readonly repaired: boolean },
): Policy<Json> {
  const parsed = parseProfiles(profilesText);
  const all = "profiles" in parsed ? parsed.profiles : [];
  const counted = endpoint.pools.flatMap((pool): readonly { readonly pool: Pool; readonly profile: Profile }[] => {
    const profile = profileOf(all, pool);
    return profile === undefined ? [] : [{ pool, profile }];
  });
  const boundsAt = effectiveBounds(settings);

  const others = endpoint.pools.filter((pool) => !counted.some((one) => one.pool === pool)).map(({ name }) => name);

  /** What the optimizer makes of the load now. */
  function advise(
    steps: readonly LoadStep[],
    before: readonly number[] | null,
  ): { readonly advice: readonly number[] | null; readonly step: Step } {
    const { requests, ratePerSecond, loads } = windowLoad(steps);
    const said = (code: string, text: string, numbers: Readonly<Record<string, number>> = {}): Step => ({
      code,
      text,
      numbers: { requests, ratePerSecond, ...numbers },
    });
    const window = `${WINDOW_MS / 60_000} min`;
    if (requests === 0)
      return {
        advice: counted.map(({ pool }) => pool.min),
        step: said("optimizer-idle", `Nothing came in ${window}: every pool at its minimum.`),
      };
    if (loads.length === 0) {
      const text = `${requests} requests in ${window} are too few of any one size, or none has ended: the advice stays.`;
      return { advice: before, step: said("optimizer-waits", text) };
    }
    const mix = cheapestMix(
      counted.map(({ profile }) => profile),
      loads,
    );
    if (mix === null)
      return {
        advice: before,
        step: said("optimizer-beyond", "Some requests are of a size that no GPU type can hold the objective for: the advice stays."),
      };
    const shares = counted.map(({ pool }, at) => `${mix[at]} ${pool.name}`).join(", ");
    const cost = counted.reduce((sum, { profile }, at) => sum + profile.cost * (mix[at] as number), 0);
    const text = `${num(ratePerSecond)} requests/s of ${loads.length} sizes at the least cost (${num(cost)}): ${shares}.`;
    return { advice: mix, step: said("optimizer", text, { cost, sizes: loads.length }) };
  }

  return {
    kind: "aibrix",
    needs: [],
    wakesOn: ["config"],

    start: (first) =>
      write({
        steps: [],
        lookedMs: first.nowMs,
        advice: null,
        blind: true,
        pools: Object.fromEntries(counted.map(({ pool }) => [pool.name, memoryOf(first.pools[pool.name])])),
      }),

    decide(before, observation) {
      const { nowMs, seq, slots } = observation;
      const state = read(before);
      const steps: Step[] = [];
      let { advice, blind } = state;
      const loadSteps = slots === null ? state.steps : addSlots(state.steps, slots, nowMs, Math.max(1, nowMs - state.lookedMs));
      if (slots === null) {
        blind = true;
        steps.push({ code: "optimizer-blind", text: "No gateway says what arrives: the optimizer has no advice.", numbers: {} });
      } else if (loadSteps.length > 1 || nowMs > state.lookedMs) {
        blind = false;
        const advised = advise(loadSteps, advice);
        advice = advised.advice;
        steps.push(advised.step);
      }

      const wants: Record<string, Want> = {};
      const pools: Record<string, Memory> = { ...state.pools };
      for (const [at, { pool }] of counted.entries()) {
        const value = blind ? undefined : advice?.[at];
        const readings: Readings = { perReplica: () => (value === undefined ? [] : [value]), outside: () => value };
        const bounds = boundsAt(nowMs);
        const outcome = count({ pool: pool.name, settings, ...options }, pools[pool.name] ?? memoryOf(undefined), {
          nowMs,
          status: observation.pools[pool.name],
          bounds: { ...bounds, min: pool.min, max: Math.min(pool.max, bounds.max) },
          ids: [],
          readings,
        });
        pools[pool.name] = outcome.memory;
        wants[pool.name] = outcome.want;
        steps.push(...outcome.steps);
      }
      for (const pool of others) {
        wants[pool] = { kind: "hold" };
        steps.push({ code: "no-profile", pool, text: `Pool ${pool} has no GPU profile: its count stays.`, numbers: {} });
      }
      const next: State = { steps: loadSteps, lookedMs: slots === null ? state.lookedMs : nowMs, advice, blind, pools };
      return { state: write(next), decision: { seq, wants, steps, conditions: [], nextAtMs: nowMs + RESYNC_MS } };
    },

    settle: (state) => ({ state, conditions: [] }),
  };
}

/** The state is JSON by construction; the policy alone reads and writes it. */
const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
