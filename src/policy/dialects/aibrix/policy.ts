import type { Endpoint, Json, Manifest, Observation, Policy } from "../../../model/index.ts";
import { hpaPolicy } from "../hpa/index.ts";
import { asHpa } from "./as-hpa.ts";
import { count, type Memory, memoryOf } from "./count.ts";
import { optimizerPolicy } from "./optimizer-policy.ts";
import { PROFILES_ANNOTATION } from "./profiles.ts";
import { needOf, readingsOf } from "./readings.ts";
import { effectiveBounds } from "./schedule.ts";
import { type AibrixSettings, RESYNC_MS, settingsOf } from "./settings.ts";
import { AIBRIX_FOLLOWED, AIBRIX_VERSIONS, type AibrixFeatures } from "./version.ts";

/** Set to "repaired", KPA's panic holds its peak, as its code means to; AIBrix itself does not know this annotation. */
export const PANIC_ANNOTATION = "tidegate.dev/aibrix-panic";

export interface AibrixOptions {
  readonly features?: AibrixFeatures;
}

/**
 * An AIBrix PodAutoscaler over the endpoint's first pool; strategy HPA is the HorizontalPodAutoscaler that it makes. With profiles
 * in its annotations the GPU optimizer gives each pool its count, and every pool has a PodAutoscaler like this one.
 */
export function aibrixPolicy(endpoint: Endpoint, manifest: Manifest, options: AibrixOptions = {}): Policy<Json> {
  const settings = settingsOf(manifest);
  if (settings.strategy === "HPA") return throughHpa(endpoint, manifest, settings);
  const features = options.features ?? AIBRIX_VERSIONS[AIBRIX_FOLLOWED];
  const repaired = manifest.annotations?.[PANIC_ANNOTATION] === "repaired";
  const profiles = manifest.annotations?.[PROFILES_ANNOTATION];
  if (profiles !== undefined) return optimizerPolicy(endpoint, settings, profiles, { features, repaired });

  const pool = endpoint.pools[0]?.name ?? "default";
  const boundsAt = effectiveBounds(settings);
  return {
    kind: "aibrix",
    needs: settings.sources.map(({ metric, type }) =>
      needOf(endpoint, metric, type === "external" || type === "domain" ? "outside" : "replica", RESYNC_MS),
    ),
    wakesOn: ["config"],
    start: (first) => memoryOf(first.pools[pool]) as Json,
    decide(before, observation) {
      const { nowMs, seq } = observation;
      const { memory, want, steps } = count({ pool, settings, features, repaired }, before as unknown as Memory, {
        nowMs,
        status: observation.pools[pool],
        bounds: boundsAt(nowMs),
        ids: readyIds(observation, pool),
        readings: readingsOf(endpoint, observation),
      });
      return { state: memory as Json, decision: { seq, wants: { [pool]: want }, steps, conditions: [], nextAtMs: nowMs + RESYNC_MS } };
    },
    // Recommendations count as made, whatever became of them.
    settle: (state) => ({ state, conditions: [] }),
  };
}

const readyIds = (observation: Observation, pool: string): readonly string[] =>
  observation.replicas.filter((replica) => replica.pool === pool && replica.state === "ready").map(({ id }) => id);

function throughHpa(endpoint: Endpoint, manifest: Manifest, settings: AibrixSettings): Policy<Json> {
  const boundsAt = effectiveBounds(settings);
  const made = new Map<string, Policy<Json>>();
  /** The object changes with the bounds of the hour, what its controller remembers does not. */
  const at = (nowMs: number): Policy<Json> => {
    const { min, max } = boundsAt(nowMs);
    const key = `${min}/${max}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    const policy = hpaPolicy(endpoint, asHpa(manifest, settings, { min, max }));
    made.set(key, policy);
    return policy;
  };
  const { needs, wakesOn } = at(0);
  return {
    kind: "aibrix",
    needs,
    wakesOn,
    start: (first) => at(first.nowMs).start(first),
    decide: (state, now) => at(now.nowMs).decide(state, now),
    settle: (state, outcome) => at(outcome.atMs).settle(state, outcome),
  };
}
