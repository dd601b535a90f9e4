import {
  type Clock,
  type Log,
  type Ms,
  messageOf,
  type Outcome,
  type Pool,
  type PoolStatus,
  type Target,
  TidegateError,
} from "../../model/index.ts";
import type { PlatformReplica, PoolAbout } from "../platform.ts";
import { type KubernetesApi, refused } from "./api.ts";
import { type Chooser, chooserOf, deletionOrder } from "./deletion-order.ts";
import type { Follow } from "./follow.ts";
import { followPods } from "./follow-pods.ts";
import { groupState, type Member } from "./group-state.ts";
import {
  drainingSince,
  gateWanted,
  isEnding,
  isHeld,
  isLive,
  isOver,
  isReleased,
  type Mark,
  markPod,
  releasedAt,
  setGate,
} from "./marks.ts";
import { conditionOf, controllerOf, type KubernetesEvent, type KubernetesList, type Pod } from "./objects.ts";
import { type Provisioning, provisioningOf } from "./provisioning.ts";
import { NEVER_SEEN, replicaState, type Seen, type Told } from "./replica-state.ts";
import { gpusOf } from "./requests.ts";
import { serverSkewMs } from "./server-time.ts";
import { type Count, openTarget } from "./targets/index.ts";
import { urlOf } from "./url.ts";
import { type OtherWriter, YIELD, yieldTo } from "./writers.ts";

export interface ScaledPoolOptions {
  readonly pool: Pick<Pool, "name" | "min" | "max" | "gpusPerReplica">;
  readonly target: Target;
  readonly namespace: string;
  /** A number, a port's name, or null: see `urlOf`. */
  readonly port: number | string | null;
  readonly drainTimeoutMs: Ms;
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked before each write. */
  readonly mayAct: () => boolean;
  changed(): void;
}

/** The pods of one pool and the scale that counts them. */
export interface ScaledPool {
  /** @throws TidegateError while what is known may be old */
  status(): { readonly pool: PoolStatus; readonly replicas: readonly PlatformReplica[]; readonly about: PoolAbout };
  scale(replicas: number, drain: readonly string[]): Promise<Outcome["result"]>;
  /** Whether it knows the replica. */
  drained(replica: string): boolean;
  /** Every pod that drains or was let go serves again, and the scale stays as it is. */
  takeBack(): Promise<void>;
  close(): void;
}

/** A replica; of several pods, its leader. */
interface Known {
  pod: Pod;
  seen: Seen;
  /** In the server's time. */
  whole: Told;
  told: PlatformReplica;
  provisioning: Provisioning | null;
}

/** A pod beside the leader of its replica. */
interface Worker {
  readonly pod: Pod;
  readonly group: string;
  readonly seen: Seen;
  readonly told: Told;
  readonly provisioning: Provisioning | null;
}

/** How often things are looked at that no watch tells. */
const tickMs: Ms = 1_000;
/** The scale is read this often where no pod changes. */
const scaleEveryMs: Ms = 30_000;
/** At most this often while pods change. */
const scaleAgainMs: Ms = 1_000;
/** For how long what is known is trusted while it cannot be followed. */
const trustMs: Ms = 5_000;
const goneVisibleMs: Ms = 60_000;
/** A pod that was let go and still lives after this time was not chosen: it serves again. */
const reclaimMs: Ms = 10_000;
const eventsEveryMs: Ms = 10_000;
/**
 * A count is lowered no sooner than this after a mark, and after an absence of the API server no sooner than so many times its length: who
 * deletes the pods goes by what it has seen, and may have gone on with an old picture (client-go's reflectors wait up to 30 s, and as
 * much again by chance).
 */
const settle = { markMs: 1_000, factor: 2, shortestMs: 3_000, longestMs: 60_000 } as const;

/**
 * Draining is written on the pods themselves, so it outlives us. The scale counts a draining pod until it is let go; `wanted` is
 * therefore the scale's count less the pods that drain. Taking more replicas again takes draining ones back first.
 */
export async function scaledPool(options: ScaledPoolOptions): Promise<ScaledPool> {
  const { target, namespace, api, clock, log } = options;
  const pool = options.pool.name;
  const scaled = await openTarget(target, { api, namespace, log });
  const { grouping } = scaled;
  const what = `${namespace}/${scaled.name}`;
  const known = new Map<string, Known>();
  const workers = new Map<string, Worker>();
  const gone = new Map<string, PlatformReplica>();
  let count: Count = await scaled.read();
  let countReadMs = clock.now();
  let countDue = false;
  /** What the scale held when we last read or wrote it. */
  let expected = count.replicas;
  /** Pods let go whose share of the scale is not lowered yet. */
  let owed = 0;
  let writer: OtherWriter | null = null;
  let foreign = false;
  let scaleTrouble: { sinceMs: Ms; error: unknown } | null = null;
  let busy: Promise<unknown> = Promise.resolve();
  let closed = false;
  let eventsDueMs = 0;
  let eventsDenied = false;
  let blindSinceMs: Ms | null = null;
  let settledAtMs: Ms = Number.NEGATIVE_INFINITY;
  let gpusChecked = false;
  /** Pods whose release is under way. */
  const lettingGo = new Set<string>();

  const pods = () => [...known.values()].map(({ pod }) => pod);
  const wanted = () => Math.max(0, count.replicas - owed - pods().filter(isHeld).length);
  const skewMs = () => serverSkewMs(api, clock);
  /** What stands in the cluster is in the server's time, so that controllers with different clocks agree on it. */
  const serverNow = () => clock.now() + skewMs();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const next = busy.then(work);
    busy = next.catch(() => {});
    return next;
  };

  // ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The pods beside the leader. */
  function workersOf(leader: Pod): readonly Worker[] {
    const group = grouping?.seatOf(leader)?.group;
    return group === undefined ? [] : [...workers.values()].filter((worker) => worker.group === group);
  }

  function look(pod: Pod, before: Known | undefined): void {
    const { name, uid } = pod.metadata;
    const provisioning = before?.provisioning ?? null;
    const nowMs = serverNow();
    const own = replicaState({ pod, seen: before?.seen ?? NEVER_SEEN, drainingSinceMs: drainingSince(pod), provisioning, nowMs });
    const whole = grouping === null ? own.told : groupTold(pod, own.told, grouping.sizeOf(pod), before?.whole ?? null);
    const { seen } = own;
    const replica: PlatformReplica = { id: name, pool, url: urlOf(pod, options.port), ...inOurTime(whole, skewMs()) };
    known.set(uid, { pod, seen, whole, told: replica, provisioning });
    gone.delete(name);
    if (replica.state === "ready") checkGpus(pod);
    const was = before?.told;
    if (was !== undefined && was.state === replica.state && was.stage === replica.stage && was.trouble?.code === replica.trouble?.code)
      return;
    const bad = replica.trouble !== undefined && replica.trouble.code !== was?.trouble?.code;
    log(
      bad ? "warn" : "info",
      replica.message ?? `${name} is ${replica.state}${replica.stage === undefined ? "" : ` (${replica.stage})`}`,
      {
        replica: name,
      },
    );
    options.changed();
  }

  function groupTold(leader: Pod, told: Told, size: number, before: Told | null): Told {
    const members = workersOf(leader).map(({ pod, told: its }): Member => ({ name: pod.metadata.name, told: its }));
    return groupState({ name: leader.metadata.name, told }, members, size, before, serverNow());
  }

  /** Prices and the fleet's budget count by what the config says. */
  function checkGpus(leader: Pod): void {
    if (gpusChecked) return;
    gpusChecked = true;
    const pods = [leader, ...workersOf(leader).map(({ pod }) => pod)];
    const asked = pods.reduce((sum, pod) => sum + gpusOf(pod), 0);
    const { gpusPerReplica } = options.pool;
    if (asked === 0 || asked === gpusPerReplica) return;
    log(
      "warn",
      `${what}: a replica (${pods.length === 1 ? "1 pod" : `${pods.length} pods`}) asks for ${asked} GPUs, and pool ${pool} says gpusPerReplica: ${gpusPerReplica}; budget and cost count by the latter: set it to ${asked}`,
      { pool },
    );
  }

  /** A worker came, changed or went: its replica is looked at again. */
  function workerChanged(group: string): void {
    countDue = true;
    for (const entry of known.values()) if (grouping?.seatOf(entry.pod)?.group === group) look(entry.pod, entry);
  }

  function lose(uid: string): void {
    const worker = workers.get(uid);
    if (worker !== undefined) {
      workers.delete(uid);
      workerChanged(worker.group);
    }
    const entry = known.get(uid);
    if (entry === undefined) return;
    known.delete(uid);
    lettingGo.delete(uid);
    const { stage: _, trouble: __, ...rest } = entry.told;
    const nowMs = clock.now();
    gone.set(rest.id, { ...rest, state: "gone", entered: { ...rest.entered, gone: nowMs }, readiness: { status: false, sinceMs: nowMs } });
    log("info", `${rest.id} is gone`, { replica: rest.id });
    options.changed();
  }

  /** Takes a pod as the server gave it, unless a newer one is known. Versions grow within a collection (KEP-5504). */
  function take(pod: Pod): void {
    const { uid, resourceVersion } = pod.metadata;
    const before = known.get(uid) ?? workers.get(uid);
    if (before !== undefined && Number(resourceVersion) < Number(before.pod.metadata.resourceVersion)) return;
    const seat = grouping === null ? null : grouping.seatOf(pod);
    if (grouping !== null && seat === null) return;
    if (seat === null || seat.leads) look(pod, known.get(uid));
    else takeWorker(pod, seat.group);
    countDue = true;
  }

  function takeWorker(pod: Pod, group: string, heard?: Provisioning | null): void {
    const before = workers.get(pod.metadata.uid);
    const provisioning = heard === undefined ? (before?.provisioning ?? null) : heard;
    const state = replicaState({ pod, seen: before?.seen ?? NEVER_SEEN, drainingSinceMs: null, provisioning, nowMs: serverNow() });
    workers.set(pod.metadata.uid, { pod, group, provisioning, ...state });
    workerChanged(group);
  }

  const startFollow = (selector: string): Follow =>
    followPods({
      ...{ api, namespace, selector, clock, log },
      onList(items) {
        const there = new Set(items.map(({ metadata }) => metadata.uid));
        for (const uid of [...workers.keys(), ...known.keys()]) if (!there.has(uid)) lose(uid);
        for (const item of items) take(item);
      },
      onChange(type, pod) {
        countDue = true;
        if (type === "deleted") lose(pod.metadata.uid);
        else take(pod);
      },
    });

  const selectorOf = ({ selector }: Count): string => {
    if (selector !== null) return selector;
    throw new TidegateError(
      "platform/refused",
      `the scale of ${what} names no pods (its CRD has no labelSelectorPath, or its controller has not said it yet): wait for that, or name the object that holds the pods instead`,
    );
  };
  let followed = selectorOf(count);
  let following = startFollow(followed);
  try {
    await following.first;
  } catch (error) {
    following.close();
    throw error;
  }

  async function takeCount(next: Count, own: boolean): Promise<void> {
    count = next;
    countReadMs = clock.now();
    countDue = false;
    scaleTrouble = null;
    if (own) {
      expected = next.replicas;
      foreign = false;
    }
    const selector = next.selector ?? followed;
    if (selector === followed) return;
    log("info", `${what}: its pods are now those with ${selector}`);
    followed = selector;
    following.close();
    following = startFollow(selector);
    await following.first;
  }

  /** Reads the scale, and notices who else has set it. */
  async function refresh(): Promise<void> {
    await takeCount(await scaled.read(), false);
    if (count.replicas === expected) return;
    const from = expected;
    expected = count.replicas;
    const [autoscaler, manager] = await Promise.all([scaled.owner(), scaled.lastWriter()]);
    const name = [manager, autoscaler].filter((one) => one !== null).join(", by ") || "somebody else";
    writer = yieldTo(writer, name, autoscaler !== null, clock.now());
    foreign = true;
    log("warn", `${what}: ${name} set the count from ${from} to ${count.replicas}; ${leftAlone(writer)}`, {
      pool,
      from,
      to: count.replicas,
    });
    options.changed();
  }

  /** Whether somebody else's count is to be left alone now. */
  async function yields(): Promise<boolean> {
    if (writer === null) return false;
    if (clock.now() < writer.untilMs) return true;
    if (!writer.autoscaler) return false;
    const autoscaler = await scaled.owner();
    writer = autoscaler === null ? { ...writer, autoscaler: false } : { ...writer, untilMs: clock.now() + writer.yieldMs };
    return autoscaler !== null;
  }

  // ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function mustLead(): void {
    if (options.mayAct()) return;
    throw new TidegateError("platform/busy", `${what}: another controller leads by now, this one acts no more`, { retryable: true });
  }

  const outOfDate = ({ metadata }: Pod) =>
    new TidegateError(
      "platform/busy",
      `${what}: ${metadata.name} is gone, which its watch has not told yet: not scaled by what was known`,
      {
        retryable: true,
      },
    );

  async function mark(pod: Pod, as: Mark): Promise<boolean> {
    mustLead();
    const marked = await markPod(api, pod, as, serverNow());
    if (marked === null) return false;
    take(marked);
    return true;
  }

  /** `kept`: released pods that are not to go after all. @returns false when somebody else was quicker */
  async function write(to: number, kept: readonly Pod[] = []): Promise<boolean> {
    if (to === count.replicas) return true;
    mustLead();
    const from = count.replicas;
    const leave = pods().filter((pod) => isEnding(pod) || (isReleased(pod) && !kept.includes(pod)));
    const going = leave.flatMap((pod) => [pod, ...workersOf(pod).map((worker) => worker.pod)]).map(({ metadata }) => metadata.name);
    const written = await scaled.write(from, to, going);
    if (written.kind === "changed") {
      await refresh();
      return false;
    }
    await takeCount(written.count, true);
    writer = writer !== null && clock.now() >= writer.untilMs + YIELD.soonFactor * writer.yieldMs ? null : writer;
    log("info", `${what}: scaled from ${from} to ${to}`, { pool, from, to });
    options.changed();
    return true;
  }

  const chooser = (): Chooser => chooserOf(pods().filter((pod) => !isOver(pod)));

  /** Those to go first: named, then starting before ready, then the youngest; a StatefulSet's always the highest ordinal. */
  function victims(drain: readonly string[]): readonly Pod[] {
    const live = pods().filter(isLive);
    const by = chooser();
    // Beyond the count there are only pods that a rollout adds for its while, or that go already.
    if (by === "ordinal") return deletionOrder(live, by, serverNow()).slice(Math.max(0, live.length - wanted()));
    const served = ({ metadata }: Pod) => (known.get(metadata.uid)?.told.entered.ready === undefined ? 0 : 1);
    const named = ({ metadata }: Pod) => (drain.includes(metadata.name) ? 0 : 1);
    const born = ({ metadata }: Pod) => Date.parse(metadata.creationTimestamp);
    const name = ({ metadata }: Pod) => metadata.name;
    return live.sort((a, b) => named(a) - named(b) || served(a) - served(b) || born(b) - born(a) || (name(a) < name(b) ? 1 : -1));
  }

  /** The object's own bounds: its controller would not go beyond them. */
  function mustFit(replicas: number): void {
    const { limits } = count;
    if (limits === undefined || (replicas >= limits.min && replicas <= limits.max)) return;
    throw refused(
      `${what} cannot have ${replicas} replicas: ${limits.stated} allow ${rangeOf(limits)}; change them, or the pool's min and max`,
    );
  }

  async function carryOut(replicas: number, drain: readonly string[]): Promise<Outcome["result"]> {
    await refresh();
    if (replicas === wanted()) return "accepted";
    if (await yields()) return "conflict";
    mustFit(replicas);
    const more = replicas - wanted();
    if (more > 0) {
      const back = pods().filter((pod) => isHeld(pod) && !drain.includes(pod.metadata.name));
      const newestFirst = back.sort((a, b) => (drainingSince(b) ?? 0) - (drainingSince(a) ?? 0));
      let left = more;
      for (const pod of newestFirst) if (left > 0 && (await mark(pod, "none"))) left--;
      // Their controller has not deleted these yet; with the count raised again it has no reason to.
      const kept = pods().filter(isReleased).slice(0, left);
      if (!(await write(count.replicas + left, kept))) return "conflict";
      for (const pod of kept) await mark(pod, "none");
      return "accepted";
    }
    const live = pods().filter(isLive).length;
    const chosen = victims(drain).slice(0, Math.max(0, Math.min(live, wanted()) - replicas));
    let held = 0;
    for (const pod of chosen) {
      const served = known.get(pod.metadata.uid)?.told.entered.ready !== undefined;
      // A count lowered all the same would take one that nobody chose.
      if (!(await mark(pod, served ? "draining" : "released"))) throw outOfDate(pod);
      if (served) held++;
    }
    return (await write(count.replicas + more + held)) ? "accepted" : "conflict";
  }

  /** Lets go of draining pods, and lowers the scale as soon as the pods that would be deleted are those let go. */
  async function letGo(uids: readonly string[]): Promise<void> {
    for (const uid of uids) {
      const pod = known.get(uid)?.pod;
      if (pod === undefined || !isHeld(pod)) continue;
      owed++;
      try {
        if (!(await mark(pod, "released"))) owed--;
      } catch (error) {
        owed--;
        throw error;
      }
    }
    await payBack();
  }

  /** Notes when we could not see, for then the controllers that choose the pod to delete could not either. */
  function noteSight(): void {
    const trouble = following.trouble() ?? scaleTrouble;
    const nowMs = clock.now();
    if (trouble !== null) blindSinceMs ??= trouble.sinceMs;
    else if (blindSinceMs !== null) {
      settledAtMs = nowMs + Math.min(settle.longestMs, Math.max(settle.shortestMs, settle.factor * (nowMs - blindSinceMs)));
      blindSinceMs = null;
    }
  }

  /** Whether the pods' controller has surely seen which of them are to go. */
  function isKnownToController(): boolean {
    noteSight();
    if (blindSinceMs !== null || clock.now() < settledAtMs) return false;
    return !pods().some((pod) => isReleased(pod) && serverNow() - (drainingSince(pod) ?? 0) < settle.markMs);
  }

  async function payBack(): Promise<void> {
    if (owed === 0 || !isKnownToController()) return;
    const step = Math.min(owed, payable());
    if (step === 0) return;
    if (await write(Math.max(0, count.replicas - step))) owed -= step;
    // Somebody else set the count knowing nothing of our debt: theirs holds, and pods that were not chosen come back.
    else owed = 0;
  }

  /** By how many the scale can be lowered so that only pods that were let go are deleted. */
  function payable(): number {
    const current = pods().filter((pod) => !isOver(pod));
    const by = chooserOf(current);
    if (by === "unknown") return owed;
    const beyond = by === "ordinal" ? Math.max(0, current.length - count.replicas) : 0;
    const order = deletionOrder(current, by, serverNow()).slice(beyond);
    const foreignFirst = order.findIndex((pod) => !isReleased(pod));
    const front = foreignFirst === -1 ? order.length : foreignFirst;
    const overdue = pods().some((pod) => isReleased(pod) && serverNow() - (drainingSince(pod) ?? 0) > options.drainTimeoutMs);
    return overdue ? owed : front;
  }

  async function reclaim(): Promise<void> {
    const live = pods().filter((pod) => !isOver(pod));
    if (owed > 0 || live.length > count.replicas || scaled.namesVictims) return;
    for (const pod of live) {
      const sinceMs = releasedAt(pod);
      if (sinceMs === null || serverNow() - sinceMs < reclaimMs) continue;
      log("warn", `${pod.metadata.name} was let go, but its controller deleted another one: it serves again`, {
        replica: pod.metadata.name,
      });
      await mark(pod, "none");
    }
  }

  async function askEvents(nowMs: Ms): Promise<void> {
    const all = [...pods(), ...[...workers.values()].map(({ pod }) => pod)];
    const stuck = all.filter((pod) => !isEnding(pod) && conditionOf(pod, "PodScheduled")?.reason === "Unschedulable");
    if (stuck.length === 0 || nowMs < eventsDueMs || eventsDenied) return;
    eventsDueMs = nowMs + eventsEveryMs;
    for (const { metadata } of stuck) {
      const { uid } = metadata;
      try {
        const list = await api.ask<KubernetesList<KubernetesEvent>>({
          path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`,
          query: { fieldSelector: `involvedObject.uid=${uid}`, limit: 100 },
        });
        const heard = provisioningOf(list.items, serverNow());
        const [current, worker] = [known.get(uid), workers.get(uid)];
        if (worker !== undefined) takeWorker(worker.pod, worker.group, heard);
        if (current === undefined) continue;
        current.provisioning = heard;
        look(current.pod, current);
      } catch (error) {
        if (error instanceof TidegateError && error.code === "platform/refused") eventsDenied = true;
        log("warn", `${what}: what node autoscalers say of pods that fit nowhere is not known: ${messageOf(error)}`);
        return;
      }
    }
  }

  async function gates(): Promise<void> {
    for (const pod of [...pods(), ...[...workers.values()].map((worker) => worker.pod)]) {
      const status = gateWanted(pod);
      if (status === null || (status === "True" && conditionOf(pod, "ContainersReady")?.status !== "True")) continue;
      await setGate(api, pod, status, serverNow());
    }
  }

  async function tick(): Promise<void> {
    const nowMs = clock.now();
    noteSight();
    for (const [id, replica] of gone) if (nowMs - (replica.entered.gone ?? nowMs) > goneVisibleMs) gone.delete(id);
    if (nowMs - countReadMs > (countDue ? scaleAgainMs : scaleEveryMs)) {
      try {
        await refresh();
      } catch (error) {
        scaleTrouble = { sinceMs: scaleTrouble?.sinceMs ?? nowMs, error };
        countReadMs = nowMs - scaleEveryMs + 5_000; // again in five seconds
        return;
      }
    }
    if (!options.mayAct()) return;
    const late = pods().filter((pod) => isHeld(pod) && serverNow() - (drainingSince(pod) ?? serverNow()) > options.drainTimeoutMs);
    for (const { metadata } of late) {
      log("warn", `${metadata.name} still had requests in flight after ${options.drainTimeoutMs} ms of draining: ended`, {
        replica: metadata.name,
      });
    }
    await letGo(late.map(({ metadata }) => metadata.uid));
    await reclaim();
    await gates();
    await askEvents(nowMs);
  }

  const atStart = await scaled.owner(true).catch((error) => {
    following.close();
    throw error;
  });
  if (atStart !== null) {
    writer = yieldTo(null, atStart, true, clock.now());
    log("warn", `${what}: ${atStart} sets its count; ${leftAlone(writer)}`, { pool });
  }

  const { limits } = count;
  if (limits !== undefined && (options.pool.min < limits.min || options.pool.max > limits.max))
    log(
      "warn",
      `${what}: pool ${pool} may have ${rangeOf(options.pool)} replicas, and ${limits.stated} allow ${rangeOf(limits)}: make them alike, or counts outside are refused`,
      { pool },
    );

  let cancelTick = () => {};
  const tickAgain = () => {
    if (closed) return;
    cancelTick = clock.after(tickMs, () => {
      void inTurn(tick)
        .catch((error) => log("warn", `${what}: ${messageOf(error)}`))
        .finally(tickAgain);
    });
  };
  tickAgain();

  /** Pods of a rollout beyond the count are there to replace others; a StatefulSet's never are more for any other reason. */
  function reported(): number {
    const live = pods().filter(isLive);
    const owners = new Set(live.map((pod) => controllerOf(pod)?.uid));
    return owners.size > 1 || chooser() === "ordinal" ? Math.min(live.length, wanted()) : live.length;
  }

  return {
    status() {
      const trouble = following.trouble() ?? scaleTrouble;
      if (trouble !== null && clock.now() - trouble.sinceMs > trustMs) throw trouble.error;
      return {
        pool: { wanted: wanted(), reported: reported(), otherWriter: foreign },
        replicas: [...gone.values(), ...[...known.values()].map(({ told }) => told)],
        about: {
          selector: followed,
          otherWriter:
            writer !== null && (writer.autoscaler || clock.now() < writer.untilMs)
              ? `${writer.name} sets its count; ${leftAlone(writer)}`
              : null,
        },
      };
    },
    scale: (replicas, drain) => inTurn(() => carryOut(replicas, drain)),
    drained(id) {
      const entry = [...known.values()].find(({ pod }) => pod.metadata.name === id);
      if (entry === undefined) return false;
      const { uid } = entry.pod.metadata;
      if (!isHeld(entry.pod) || lettingGo.has(uid)) return true;
      lettingGo.add(uid);
      void inTurn(() => letGo([uid]))
        .catch((error) => log("warn", `${what}: ${id} is drained but could not be let go yet: ${messageOf(error)}`))
        .finally(() => lettingGo.delete(uid));
      return true;
    },
    takeBack: () =>
      inTurn(async () => {
        for (const pod of pods()) if (isHeld(pod) || isReleased(pod)) await mark(pod, "none");
        owed = 0;
        await gates();
      }),
    close() {
      closed = true;
      cancelTick();
      following.close();
    },
  };
}

const rangeOf = ({ min, max }: { readonly min: number; readonly max: number }): string =>
  max === Number.POSITIVE_INFINITY ? `${min} or more` : `${min} to ${max}`;

const leftAlone = ({ autoscaler, yieldMs }: OtherWriter): string =>
  autoscaler
    ? "left alone while that autoscaler is there: delete it, or let Tidegate only recommend (dryRun: true)"
    : `left alone for ${Math.round(yieldMs / 1000)} s`;

/** Times as the server states them, on our clock. */
function inOurTime(told: Told, skewMs: Ms): Told {
  if (skewMs === 0) return told;
  const { readiness, trouble } = told;
  return {
    ...told,
    entered: Object.fromEntries(Object.entries(told.entered).map(([what, atMs]) => [what, atMs - skewMs])),
    readiness: readiness === null ? null : { ...readiness, sinceMs: readiness.sinceMs - skewMs },
    ...(trouble === undefined ? {} : { trouble: { ...trouble, sinceMs: trouble.sinceMs - skewMs } }),
  };
}
