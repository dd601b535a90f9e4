import type { Decision, Endpoint, Json, Manifest, Observation, Policy, Pool, Replica, Want } from "../../../model/index.ts";
import { readerOf } from "../../reading.ts";
import { type Arrivals, addArrivals, noArrivals, rateOf } from "./arrivals.ts";
import { type Explained, explain } from "./explain.ts";
import { qpsOfPool } from "./gpus.ts";
import {
  asksForSpot,
  clipTarget,
  DECISION_INTERVAL_S,
  DECISION_INTERVAL_WITHOUT_REPLICAS_S,
  type ReplicaPolicy,
  replicaPolicyOf,
  usesFallback,
} from "./replica-policy.ts";
import { chooseToScaleDown, hasCapacity, isLive } from "./scale-down.ts";
import { follow, type Hysteresis, mixSpot, stand, targetForMixedRate, targetForRate } from "./target.ts";

/** `everReady`: this service has had a ready replica. `policy`: the replica policy that `hysteresis` belongs to, as text. */
interface State {
  readonly policy: string;
  readonly hysteresis: Hysteresis;
  readonly arrivals: Arrivals;
  readonly everReady: boolean;
}

/**
 * A SkyServe service. Its replicas are those of one pool (the first that is spot where the task's resources ask for spot, else the
 * first that is not); with fallback those of a spot and of an on-demand pool; with a rate for each GPU type those of all pools, and
 * what is added goes to the cheapest pool with room, as SkyPilot's optimizer would place it. Pools that are none of these stay.
 *
 * It decides every 20 s, every 5 s while nothing is wanted, and nothing wakes it in between. A changed policy takes its own target at
 * once, as the original's update does. Different from it in two places: a minute that nobody counted holds the target (there it is a
 * minute without requests), and a fleet that runs already is taken over as it is (there a service starts from nothing).
 */
export function skyservePolicy(endpoint: Endpoint, manifest: Manifest): Policy<Json> {
  const policy = replicaPolicyOf(manifest);
  const text = JSON.stringify(policy);
  const roles = rolesOf(endpoint.pools, manifest, policy);
  const mine = roles.kind === "mixed" ? endpoint.pools : roles.kind === "fallback" ? [roles.spot, roles.onDemand] : [roles.pool];
  const byName = new Map(mine.map((pool) => [pool.name, pool]));
  const { target_qps_per_replica: targets } = policy;
  const qpsOf = ({ pool }: Replica): number => {
    const found = byName.get(pool);
    return found === undefined || targets === null || typeof targets === "number" ? 0 : qpsOfPool(found, targets);
  };

  function wantedFor(qps: number, replicas: readonly Replica[]): number {
    if (targets === null) return policy.min_replicas;
    if (typeof targets === "number") return targetForRate(qps, targets, policy);
    const capacities = replicas.filter(hasCapacity).map(qpsOf);
    return targetForMixedRate(qps, capacities, Math.max(...Object.values(targets)), policy);
  }

  /** Down to `count`, naming who goes; up, or where it is, without. */
  const scaleTo = (count: number, replicas: readonly Replica[]): Want => ({
    kind: "scale",
    replicas: count,
    drain: chooseToScaleDown(replicas, replicas.filter(isLive).length - count, qpsOf).map(({ id }) => id),
  });

  function divide(
    target: number,
    observation: Observation,
  ): { readonly wants: Readonly<Record<string, Want>>; readonly mix: Explained["mix"] } {
    const of = (pool: Pool) => observation.replicas.filter((replica) => replica.pool === pool.name);
    const wants: Record<string, Want> = Object.fromEntries(endpoint.pools.map(({ name }) => [name, { kind: "hold" } as const]));
    if (roles.kind === "single") {
      wants[roles.pool.name] = scaleTo(target + policy.num_overprovision, of(roles.pool));
      return { wants, mix: null };
    }
    if (roles.kind === "fallback") {
      const readySpot = of(roles.spot).filter(({ state }) => state === "ready").length;
      const mix = mixSpot(target, readySpot, policy);
      wants[roles.spot.name] = scaleTo(mix.spot, of(roles.spot));
      wants[roles.onDemand.name] = scaleTo(mix.onDemand, of(roles.onDemand));
      return { wants, mix: { ...mix, readySpot } };
    }
    const live = observation.replicas.filter((replica) => byName.has(replica.pool) && isLive(replica));
    const final = target + policy.num_overprovision;
    const going = new Set(chooseToScaleDown(live, live.length - final, qpsOf));
    const counts = new Map(
      mine.map((pool) => [pool.name, live.filter((replica) => replica.pool === pool.name && !going.has(replica)).length]),
    );
    for (let missing = final - live.length; missing > 0; missing--) {
      const roomy = cheapestFirst(mine).find(({ name, max }) => (counts.get(name) ?? 0) < max);
      if (roomy === undefined) break;
      counts.set(roomy.name, (counts.get(roomy.name) ?? 0) + 1);
    }
    for (const { name } of mine) {
      const drain = [...going].filter(({ pool }) => pool === name).map(({ id }) => id);
      wants[name] = { kind: "scale", replicas: counts.get(name) ?? 0, drain };
    }
    return { wants, mix: null };
  }

  const startState = (observation: Observation): State => {
    const running = mine.reduce((sum, { name }) => sum + (observation.pools[name]?.wanted ?? 0), 0) - policy.num_overprovision;
    const target = running > 0 ? clipTarget(running, policy) : policy.min_replicas;
    const hysteresis = { target, upscaleCounter: 0, downscaleCounter: 0 };
    return { policy: text, hysteresis, arrivals: noArrivals(observation.nowMs), everReady: false };
  };

  return {
    kind: "skyserve",
    needs: targets === null ? [] : [{ name: "request_rate", per: "endpoint", sampleEveryMs: DECISION_INTERVAL_S * 1000 }],
    wakesOn: ["config"],
    start: (first) => write(startState(first)),

    decide(before, observation) {
      const state = read(before);
      const replicas = observation.replicas.filter(({ pool }) => byName.has(pool));
      const arrivals = addArrivals(state.arrivals, observation, readerOf(observation, endpoint.staleAfterMs));
      const everReady = state.everReady || replicas.some((replica) => replica.state === "ready");
      const rate = targets === null ? { qps: 0, sure: true } : rateOf(arrivals);
      const { target } = state.hysteresis;
      const wanted = rate === null ? null : wantedFor(rate.qps, replicas);
      const unsure = rate !== null && !rate.sure && wanted !== null && wanted < target;
      const changed = state.policy !== text;
      const clipped = { ...state.hysteresis, target: clipTarget(target, policy) };
      const hysteresis =
        wanted === null || unsure
          ? stand(clipped)
          : changed
            ? { target: wanted, upscaleCounter: 0, downscaleCounter: 0 }
            : follow(clipped, wanted, policy);

      // A first version whose replicas fail by themselves would be launched and lost for ever.
      const broken = everReady ? undefined : replicas.find(isUnrecoverable);
      const { wants, mix } = broken === undefined ? divide(hysteresis.target, observation) : { wants: holdAll(endpoint.pools), mix: null };
      const final = hysteresis.target + policy.num_overprovision;
      const intervalS = final === 0 ? DECISION_INTERVAL_WITHOUT_REPLICAS_S : DECISION_INTERVAL_S;
      const decision: Decision = {
        seq: observation.seq,
        wants,
        steps: explain({
          pool: mine[0]?.name ?? "default",
          policy,
          rate,
          wanted,
          before: target,
          hysteresis,
          unsure,
          changed,
          mix,
          broken: broken?.id ?? null,
        }),
        conditions: [],
        nextAtMs: observation.nowMs + intervalS * 1000,
      };
      return { state: write({ policy: text, hysteresis, arrivals, everReady }), decision };
    },

    // SkyServe keeps its target whatever becomes of a launch, and launches again at its next decision.
    settle: (state) => ({ state, conditions: [] }),
  };
}

type Roles =
  | { readonly kind: "single"; readonly pool: Pool }
  | { readonly kind: "fallback"; readonly spot: Pool; readonly onDemand: Pool }
  | { readonly kind: "mixed" };

function rolesOf(pools: readonly Pool[], manifest: Manifest, policy: ReplicaPolicy): Roles {
  const spot = pools.find((pool) => pool.spot);
  const onDemand = pools.find((pool) => !pool.spot);
  if (usesFallback(policy) && spot !== undefined && onDemand !== undefined) return { kind: "fallback", spot, onDemand };
  if (typeof policy.target_qps_per_replica === "object" && policy.target_qps_per_replica !== null) return { kind: "mixed" };
  const pool = (asksForSpot(manifest) || usesFallback(policy) ? spot : onDemand) ?? pools[0];
  return { kind: "single", pool: pool as Pool };
}

const cheapestFirst = (pools: readonly Pool[]) =>
  pools.toSorted((a, b) => a.pricePerReplicaHour - b.pricePerReplicaHour || (a.name < b.name ? -1 : 1));

const holdAll = (pools: readonly Pool[]): Readonly<Record<string, Want>> =>
  Object.fromEntries(pools.map(({ name }) => [name, { kind: "hold" } as const]));

/** Failed by what runs in it, not for want of a machine. */
const isUnrecoverable = ({ state, trouble }: Replica): boolean =>
  state === "failed" && (trouble?.code === "crash" || trouble?.code === "unhealthy" || trouble?.code === "pull");

const write = (state: State): Json => state as unknown as Json;
const read = (state: Json): State => state as unknown as State;
