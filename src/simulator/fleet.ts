import type { EngineConfig } from "../engine/index.ts";
import { type Ms, type Pool, type PoolStatus, type Replica, STAGES, type Stage } from "../model/index.ts";
import type { Uniform } from "../traces/index.ts";
import { durationAt, normalAt } from "./distribution.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Fault } from "./faults.ts";
import { createNodes, type Nodes, type Placement } from "./nodes.ts";
import type { ColdStart, Settings, SimulatedPool } from "./options.ts";
import type { Luck } from "./random.ts";
import { type ReplicaEvents, SimulatedReplica } from "./replica.ts";

/** What a fleet is at one moment, over all pools; a rate of money and GPUs. */
export interface FleetState {
  readonly wanted: number;
  readonly starting: number;
  readonly ready: number;
  readonly draining: number;
  readonly standby: number;
  readonly gpus: number;
  readonly costPerHour: number;
}

export interface FleetEvents extends ReplicaEvents {
  /** Called before anything changes: what was so far holds up to now. */
  changing(nowMs: Ms): void;
  changed(state: FleetState, nowMs: Ms): void;
  /** More can be served now. */
  ready(replica: SimulatedReplica, nowMs: Ms): void;
  /** It is gone with what is in flight on it. */
  lost(replica: SimulatedReplica, nowMs: Ms): void;
  /** It will not be heard of again. */
  gone(replica: SimulatedReplica): void;
  /** Somebody who decides should know. */
  noticed(nowMs: Ms): void;
}

export interface PoolOfFleet {
  readonly pool: Pool;
  /** In order of birth; gone ones are not in it. */
  readonly replicas: readonly SimulatedReplica[];
  /** Those that take new requests. */
  readonly candidates: readonly SimulatedReplica[];
  /** Of replicas that are gone. */
  readonly kvPeak: number;
  /** How many there ever were. */
  readonly born: number;
}

/** The platform: makes the number of replicas what was asked for, in the time that it takes, and tells how far it is. */
export interface Fleet {
  readonly pools: readonly PoolOfFleet[];
  /** Begins with `initial` replicas ready. */
  start(nowMs: Ms): void;
  scale(pool: string, want: { readonly replicas: number; readonly standby?: number; readonly drain: readonly string[] }, nowMs: Ms): void;
  status(): Readonly<Record<string, PoolStatus>>;
  replicas(): readonly Replica[];
  /** Nothing is in flight on it any more. */
  emptied(replica: SimulatedReplica, nowMs: Ms): void;
  /** Engine tokens over all replicas that ever were. */
  genTokens(): number;
  preemptions(): number;
}

/** Shares of a cold start whose whole is given: a node there with the image, weights from a disk (after measured vLLM starts). */
const stageShares: readonly (readonly [Stage, number])[] = [
  ["provision", 0.15],
  ["pull", 0.1],
  ["load", 0.5],
  ["warmup", 0.25],
];

interface Life {
  readonly replica: SimulatedReplica;
  readonly stages: (readonly [Stage, Ms])[];
  readonly wakeMs: Ms;
  /** Where it is; null: waits for stock, unbilled. */
  placement: Placement | null;
  placed: boolean;
  readonly lifeTimer: number;
  readonly crashTimer: number;
}

interface OwnPool extends PoolOfFleet {
  readonly simulated: Required<SimulatedPool>;
  readonly replicas: SimulatedReplica[];
  readonly candidates: SimulatedReplica[];
  readonly nodes: Nodes | null;
  kvPeak: number;
  wanted: number;
  standby: number;
  born: number;
  /** Most replicas that there is stock for. */
  most: number;
  rollout: { readonly surge: number } | null;
}

export function createFleet(settings: Settings, queue: EventQueue, luck: Luck, events: FleetEvents, withHistograms: () => boolean): Fleet {
  const lives = new Map<SimulatedReplica, Life>();
  const past = { genTokens: 0, preemptions: 0 };
  const crashMeanMs = new Map<string, Ms>();
  const pools = settings.pools.map(({ pool, simulated }): OwnPool => {
    const own: OwnPool = {
      pool,
      simulated,
      replicas: [],
      candidates: [],
      nodes: null,
      kvPeak: 0,
      wanted: simulated.initial,
      standby: pool.standby,
      born: 0,
      most: Number.POSITIVE_INFINITY,
      rollout: null,
    };
    return simulated.nodes === null
      ? own
      : Object.assign(own, {
          nodes: createNodes(simulated.nodes, queue, (nowMs) => {
            events.changing(nowMs);
            events.changed(state(), nowMs);
          }),
        });
  });
  const poolOf = (replica: SimulatedReplica) => pools.find(({ pool }) => pool.name === replica.pool) as OwnPool;
  const lifeOf = (replica: SimulatedReplica) => lives.get(replica) as Life;
  const isUp = ({ state, forStandby }: SimulatedReplica) => (state === "starting" || state === "ready") && !forStandby;

  function state(): FleetState {
    const sum = { wanted: 0, starting: 0, ready: 0, draining: 0, standby: 0, gpus: 0, costPerHour: 0 };
    for (const { pool, simulated, replicas, nodes, wanted } of pools) {
      sum.wanted += wanted;
      let billed = 0;
      for (const replica of replicas) {
        if (replica.state === "standby") sum.standby++;
        else if (replica.state === "ready") sum.ready++;
        else if (replica.state === "draining") sum.draining++;
        else sum.starting++;
        if (lifeOf(replica).placed) billed += replica.state === "standby" ? simulated.standbyPriceShare : 1;
      }
      const gpus = nodes === null ? billed * pool.gpusPerReplica : nodes.count * (simulated.nodes?.gpusPerNode ?? 0);
      sum.gpus += gpus;
      sum.costPerHour += (gpus / pool.gpusPerReplica) * pool.pricePerReplicaHour;
    }
    return sum;
  }

  function launch(own: OwnPool, forStandby: boolean, warm: boolean, nowMs: Ms): void {
    const { simulated, pool } = own;
    // As many draws for each replica, whatever becomes of it.
    const draws = Array.from({ length: STAGES.length + 1 }, () => luck.life());
    const slowness = Math.exp(simulated.speedSigma * normalAt(draws[STAGES.length] as number));
    const id = `${pool.name}-${own.born++}`;
    const replica = new SimulatedReplica(id, pool.name, slowed(simulated.engine, slowness), events, queue, nowMs, withHistograms());
    replica.forStandby = forStandby;
    const life: Life = {
      replica,
      stages: stagesOf(simulated.coldStart, draws),
      wakeMs: wakeOf(simulated.coldStart, draws),
      placement: null,
      placed: false,
      lifeTimer: queue.add((atMs) => nextStage(own, life, atMs)),
      crashTimer: queue.add((atMs) => {
        events.changing(atMs);
        lose(own, replica, atMs);
        reconcile(own, [], atMs);
      }),
    };
    lives.set(replica, life);
    own.replicas.push(replica);
    const allocated = own.replicas.reduce((count, other) => count + (lifeOf(other).placed ? 1 : 0), 0);
    if (allocated >= own.most) {
      replica.enter("starting", "schedule", nowMs);
      replica.setTrouble("stock-out", nowMs);
    } else begin(own, life, warm, nowMs);
  }

  function begin(own: OwnPool, life: Life, warm: boolean, nowMs: Ms): void {
    life.placed = true;
    if (own.nodes !== null) {
      life.placement = own.nodes.place(own.pool.gpusPerReplica);
      const { isNew, hasImage } = life.placement;
      const spared = (stage: Stage) => (stage === "provision" && !isNew) || (stage === "pull" && hasImage);
      life.stages.splice(0, life.stages.length, ...life.stages.filter(([stage]) => !spared(stage)));
    }
    const { replica } = life;
    replica.setTrouble(null, nowMs);
    const first = life.stages.shift();
    if (warm) {
      life.stages.length = 0;
      arrive(own, life, nowMs);
    } else {
      replica.enter("starting", first?.[0] ?? "schedule", nowMs);
      queue.set(life.lifeTimer, nowMs + (first?.[1] ?? 0));
    }
  }

  /** Its stage is over, or its time to drain. */
  function nextStage(own: OwnPool, life: Life, nowMs: Ms): void {
    const { replica } = life;
    if (replica.state === "draining") {
      events.changing(nowMs);
      lose(own, replica, nowMs);
      reconcile(own, [], nowMs);
      return;
    }
    const next = life.stages.shift();
    if (replica.stage === "pull") for (const node of life.placement?.nodes ?? []) node.hasImage = true;
    if (next !== undefined) {
      replica.enter("starting", next[0], nowMs);
      queue.set(life.lifeTimer, nowMs + next[1]);
      return;
    }
    events.changing(nowMs);
    arrive(own, life, nowMs);
    reconcile(own, [], nowMs);
    events.noticed(nowMs);
  }

  /** It is up: asleep, or ready. */
  function arrive(own: OwnPool, { replica, crashTimer }: Life, nowMs: Ms): void {
    if (replica.forStandby) return replica.enter("standby", null, nowMs);
    replica.enter("ready", null, nowMs);
    own.candidates.push(replica);
    const meanMs = crashMeanMs.get(own.pool.name);
    if (meanMs !== undefined) queue.set(crashTimer, nowMs - meanMs * Math.log1p(-luck.crashes()));
    events.ready(replica, nowMs);
  }

  function wake(replica: SimulatedReplica, nowMs: Ms): void {
    const life = lifeOf(replica);
    replica.forStandby = false;
    // Waking is a start of its own, measured from now.
    for (const past of ["starting", "ready", ...STAGES] as const) delete replica.entered[past];
    replica.enter("starting", "wake", nowMs);
    queue.set(life.lifeTimer, nowMs + life.wakeMs);
  }

  function drain(own: OwnPool, replica: SimulatedReplica, forStandby: boolean, withinMs: Ms, nowMs: Ms): void {
    if (replica.state !== "ready") return gone(own, replica, nowMs);
    own.candidates.splice(own.candidates.indexOf(replica), 1);
    const life = lifeOf(replica);
    queue.clear(life.crashTimer);
    replica.forStandby = forStandby;
    replica.enter("draining", null, nowMs);
    if (replica.inFlight === 0) drained(own, replica, nowMs);
    else queue.set(life.lifeTimer, nowMs + withinMs);
  }

  function drained(own: OwnPool, replica: SimulatedReplica, nowMs: Ms): void {
    if (!replica.forStandby) return gone(own, replica, nowMs);
    queue.clear(lifeOf(replica).lifeTimer);
    replica.enter("standby", null, nowMs);
    delete replica.entered.draining;
  }

  function emptied(replica: SimulatedReplica, nowMs: Ms): void {
    if (replica.state !== "draining") return;
    const own = poolOf(replica);
    events.changing(nowMs);
    drained(own, replica, nowMs);
    reconcile(own, [], nowMs);
    events.noticed(nowMs);
  }

  /** Takes in-flight requests with it. */
  function lose(own: OwnPool, replica: SimulatedReplica, nowMs: Ms): void {
    const at = own.candidates.indexOf(replica);
    if (at >= 0) own.candidates.splice(at, 1);
    gone(own, replica, nowMs);
    events.lost(replica, nowMs);
    events.noticed(nowMs);
  }

  function gone(own: OwnPool, replica: SimulatedReplica, nowMs: Ms): void {
    const life = lifeOf(replica);
    replica.enter("gone", null, nowMs);
    own.kvPeak = Math.max(own.kvPeak, replica.engine.kvPeak);
    past.genTokens += replica.engine.counters.genTokens;
    past.preemptions += replica.engine.counters.preemptions;
    own.replicas.splice(own.replicas.indexOf(replica), 1);
    lives.delete(replica);
    replica.stop();
    for (const timer of [life.lifeTimer, life.crashTimer]) queue.remove(timer);
    if (life.placement !== null && own.nodes !== null) own.nodes.leave(life.placement, own.pool.gpusPerReplica, nowMs);
    events.gone(replica);
  }

  /** Makes the pool what it should be. `named` go first. */
  function reconcile(own: OwnPool, named: readonly string[], nowMs: Ms): void {
    const { replicas } = own;
    const up = () => replicas.filter(isUp);
    if (own.rollout !== null) roll(own, own.rollout.surge, nowMs);
    const surge = own.rollout === null ? 0 : own.rollout.surge;
    for (let count = up().length; count < own.wanted; count++) {
      const asleep = replicas.find((replica) => replica.state === "standby");
      const coming = replicas.find((replica) => replica.state === "starting" && replica.forStandby);
      if (asleep !== undefined) wake(asleep, nowMs);
      else if (coming !== undefined) coming.forStandby = false;
      else launch(own, false, false, nowMs);
    }
    const spare = up().length - own.wanted - surge;
    if (spare > 0) {
      const rank = (replica: SimulatedReplica) => {
        const at = named.indexOf(replica.id);
        if (at >= 0) return at;
        if (!lifeOf(replica).placed) return named.length;
        if (replica.state === "starting") return named.length + 1;
        return named.length + (replica.outdated ? 2 : 3);
      };
      // Of equal rank the youngest.
      const order = up()
        .reverse()
        .sort((a, b) => rank(a) - rank(b));
      for (const victim of order.slice(0, spare)) {
        const sleepers = replicas.filter((replica) => replica.forStandby || replica.state === "standby").length;
        drain(own, victim, sleepers < own.standby, settings.drainTimeoutMs, nowMs);
      }
    }
    const sleepers = replicas.filter((replica) => replica.state === "standby" || replica.forStandby);
    for (let count = sleepers.length; count < own.standby; count++) launch(own, true, false, nowMs);
    for (const sleeper of sleepers.reverse().slice(0, Math.max(0, sleepers.length - own.standby))) {
      if (sleeper.state === "draining") sleeper.forStandby = false;
      else gone(own, sleeper, nowMs);
    }
    restock(own, nowMs);
    events.changed(state(), nowMs);
  }

  /** New ones beside the old ones, and old ones away as new ones are ready. */
  function roll(own: OwnPool, surge: number, nowMs: Ms): void {
    const up = own.replicas.filter(isUp);
    const old = up.filter((replica) => replica.outdated);
    for (const replica of old.filter((one) => one.state === "starting")) {
      gone(own, replica, nowMs);
      old.splice(old.indexOf(replica), 1);
    }
    let spare = own.candidates.length - own.wanted;
    for (const replica of old.filter((one) => one.state === "ready")) {
      if (spare-- <= 0) break;
      old.splice(old.indexOf(replica), 1);
      drain(own, replica, false, settings.drainTimeoutMs, nowMs);
    }
    if (old.length === 0) {
      own.rollout = null;
      return;
    }
    const fresh = own.replicas.filter((replica) => isUp(replica) && !replica.outdated).length;
    const room = Math.min(own.wanted - fresh, own.wanted + surge - fresh - old.length);
    for (let count = 0; count < room; count++) launch(own, false, false, nowMs);
  }

  function restock(own: OwnPool, nowMs: Ms): void {
    let allocated = own.replicas.reduce((count, replica) => count + (lifeOf(replica).placed ? 1 : 0), 0);
    for (const replica of [...own.replicas]) {
      const life = lives.get(replica);
      if (life === undefined || life.placed || allocated >= own.most) continue;
      allocated++;
      begin(own, life, false, nowMs);
    }
  }

  /** Sets the timers of what goes wrong by the calendar. */
  function arrange(fault: Fault): void {
    const at = (atMs: Ms, act: (own: OwnPool, nowMs: Ms) => void) => {
      const id = queue.add((nowMs) => {
        queue.remove(id);
        events.changing(nowMs);
        for (const own of pools) {
          if ("pool" in fault && fault.pool != null && fault.pool !== own.pool.name) continue;
          act(own, nowMs);
          reconcile(own, [], nowMs);
        }
        events.noticed(nowMs);
      });
      queue.set(id, atMs);
    };
    switch (fault.kind) {
      case "crash":
        return at(fault.atMs, (own, nowMs) => {
          for (const replica of chosen(own, fault.share, luck.victims)) lose(own, replica, nowMs);
        });
      case "crashes":
        for (const { pool } of pools) if (fault.pool == null || fault.pool === pool.name) crashMeanMs.set(pool.name, fault.meanMs);
        return;
      case "hang":
        return at(fault.atMs, (own, nowMs) => {
          for (const replica of chosen(own, fault.share, luck.victims)) {
            replica.hang(nowMs, fault.forMs);
            replica.rearm();
          }
        });
      case "stock-out":
        at(fault.fromMs, (own) => {
          own.most = fault.most;
        });
        return at(fault.toMs, (own) => {
          own.most = Number.POSITIVE_INFINITY;
        });
      case "spot-notice":
        return at(fault.atMs, (own, nowMs) => {
          for (const replica of chosen(own, fault.share, luck.victims)) {
            replica.setTrouble("spot-notice", nowMs);
            drain(own, replica, false, fault.noticeMs, nowMs);
          }
        });
      case "rollout":
        return at(fault.atMs, (own) => {
          for (const replica of own.replicas) if (isUp(replica)) replica.outdated = true;
          own.rollout = { surge: Math.max(1, fault.surge) };
        });
      default:
        return; // Blindness is the readers'.
    }
  }

  return {
    pools,
    start(nowMs) {
      for (const fault of settings.faults) arrange(fault);
      for (const own of pools) {
        for (let count = 0; count < own.simulated.initial; count++) launch(own, false, true, nowMs);
        for (let count = 0; count < own.standby; count++) launch(own, true, true, nowMs);
      }
      events.changed(state(), nowMs);
    },
    scale(name, want, nowMs) {
      const own = pools.find(({ pool }) => pool.name === name);
      if (own === undefined) return;
      events.changing(nowMs);
      own.wanted = want.replicas;
      own.standby = want.standby ?? own.standby;
      reconcile(own, want.drain, nowMs);
    },
    status: () =>
      Object.fromEntries(
        pools.map(({ pool, wanted, replicas }) => [pool.name, { wanted, reported: replicas.filter(isUp).length, otherWriter: false }]),
      ),
    replicas: () => pools.flatMap(({ replicas }) => replicas.map((replica) => replica.tell())),
    emptied,
    genTokens: () =>
      pools.reduce((sum, own) => own.replicas.reduce((all, one) => all + one.engine.counters.genTokens, sum), past.genTokens),
    preemptions: () =>
      pools.reduce((sum, own) => own.replicas.reduce((all, one) => all + one.engine.counters.preemptions, sum), past.preemptions),
  };
}

/** A share of the ready replicas, drawn without putting back. */
function chosen(own: OwnPool, share: number, uniform: Uniform): readonly SimulatedReplica[] {
  const left = [...own.candidates];
  const count = Math.min(left.length, share > 0 ? Math.max(1, Math.round(share * left.length)) : 0);
  return Array.from({ length: count }, () => left.splice(Math.floor(uniform() * left.length), 1)[0] as SimulatedReplica);
}

function stagesOf(coldStart: ColdStart, draws: readonly number[]): (readonly [Stage, Ms])[] {
  if ("total" in coldStart) {
    const totalMs = durationAt(coldStart.total, draws[0] as number);
    return stageShares.map(([stage, share]) => [stage, share * totalMs]);
  }
  return STAGES.flatMap((stage, at) => {
    const distribution = coldStart.stages[stage];
    return stage === "wake" || distribution === undefined ? [] : [[stage, durationAt(distribution, draws[at] as number)] as const];
  });
}

function wakeOf(coldStart: ColdStart, draws: readonly number[]): Ms {
  const wake = "total" in coldStart ? coldStart.wake : coldStart.stages.wake;
  return wake === undefined ? 0 : durationAt(wake, draws[STAGES.indexOf("wake")] as number);
}

/** An engine whose steps take `factor` times as long on the GPU. */
function slowed(config: EngineConfig, factor: number): EngineConfig {
  if (factor === 1) return config;
  const { profile } = config;
  return {
    ...config,
    profile: {
      ...profile,
      decAMs: profile.decAMs * factor,
      decCUsPerSeq: profile.decCUsPerSeq * factor,
      decDUsPer1kCtx: profile.decDUsPer1kCtx * factor,
      mixAMs: profile.mixAMs * factor,
      mixBUsPerPrefillToken: profile.mixBUsPerPrefillToken * factor,
      mixCUsPerSeq: profile.mixCUsPerSeq * factor,
      mixDUsPer1kCtx: profile.mixDUsPer1kCtx * factor,
      peakTflops: profile.peakTflops / factor,
    },
  };
}
