import type { Ending, Ledger } from "../ledger/index.ts";
import { type Decision, type DoorLimits, type DoorOrder, type Ms, type Pool, PROMPT_BANDS } from "../model/index.ts";
import { DoorQueue, lateFromMs, pickReplica, type RoutingRequest } from "../routing/index.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Fleet, PoolOfFleet } from "./fleet.ts";
import type { Settings } from "./options.ts";
import type { Recorder } from "./recorder.ts";
import { RequestList, type SimulatedReplica, SimulatedRequest } from "./replica.ts";
import type { RowCursor } from "./rows.ts";

/** As the gateway: after a cold start held requests go in order, so many per ready replica and pace. */
const releasedAtOnce = 32;
const releasePaceMs: Ms = 100;
const heldSayMs: Ms = 1000;
/** As the gateway learns the length of answers by prompt band: assumed before the first, and how many the mean remembers. */
const guessedOutputTokens = 200;
const learnedFrom = 50;
/** How often it is looked at who has waited too long. */
const sweepMs: Ms = 1000;
/** Of a config that says nothing of it. */
const noOrder: DoorOrder = { kind: "fifo", perReplica: null, oldestEvery: 1, classes: {} };
/** Sessions whose last replica is known; the oldest are forgotten. */
const keptSessions = 200_000;

/** The gateway in virtual time: routes, holds, tries again, gives up; everything that happens is told to the ledger. */
export interface Door {
  /** Waiting here, for a replica or for room at one. */
  readonly waiting: number;
  /** Waiting in engines. */
  readonly queued: number;
  /** Arrived and not ended. */
  readonly open: number;
  /** Requests that no engine could ever hold. */
  readonly oversized: number;
  arrive(row: RowCursor, nowMs: Ms): void;
  firstToken(request: SimulatedRequest, atMs: Ms): void;
  finished(request: SimulatedRequest, atMs: Ms): void;
  /** A replica may take requests from now on. */
  ready(nowMs: Ms): void;
  /** What a decision advises on how much each replica is given. */
  advise(advice: Decision["door"], nowMs: Ms): void;
  /** A replica is gone with all that is on it. */
  lost(replica: SimulatedReplica, nowMs: Ms): void;
}

export function createDoor(
  settings: Settings,
  limits: DoorLimits,
  ledger: Ledger,
  fleet: () => Fleet,
  recorder: Recorder,
  queue: EventQueue,
  onHeld: (nowMs: Ms) => void,
): Door {
  const { routing, prefixCache, kvTransfer, patienceMs } = settings;
  const isSplit = settings.pools.some(({ pool }) => pool.role === "prefill");
  const { objective } = settings.endpoint;
  const { kind: order, perReplica, oldestEvery, classes } = limits.order ?? noOrder;
  let advice: Decision["door"];
  const waiting = new DoorQueue<SimulatedRequest>();
  /** Some bound is known, so that there is a choice who goes first. */
  let isBounded = perReplica !== null;
  /** Those that wait are told to the ledger as held. */
  let isHeld = true;
  /** Prefilled, with no decode replica there. */
  const stranded = new RequestList();
  const stock: SimulatedRequest[] = [];
  const outputMeans = Float64Array.from(PROMPT_BANDS, () => guessedOutputTokens);
  const outputsSeen = new Float64Array(PROMPT_BANDS.length);
  const sessions = new Map<string, string>();
  /** Only ties and affinity look at the key. */
  const routed = {
    turn: 0,
    session: undefined as string | undefined,
    get key(): string {
      return this.session ?? String(this.turn);
    },
  } satisfies RoutingRequest & { session: string | undefined };
  let turn = 0;
  let saidHeldAtMs = Number.NEGATIVE_INFINITY;
  let oversized = 0;
  let open = 0;
  let candidates: readonly SimulatedReplica[] = [];
  let decoders: readonly SimulatedReplica[] = [];

  const releaseTimer = queue.add(release);
  const roomTimer = queue.add(fill);
  const sweepTimer = queue.add(sweep);

  const lists = (of: (pool: PoolOfFleet) => boolean) => {
    const pools = fleet().pools.filter(of);
    return pools.length === 1 ? (pools[0] as PoolOfFleet).candidates : pools.flatMap((pool) => pool.candidates);
  };
  /** One pool's list is the fleet's own, which changes by itself; several are joined anew whenever one of them may have changed. */
  function refresh(): void {
    candidates = lists(({ pool }) => pool.role !== "decode");
    decoders = isSplit ? lists(({ pool }) => pool.role === "decode") : candidates;
  }
  const decodePools = settings.pools.filter(({ pool }) => pool.role === "decode").length;
  const joined = decodePools > 1 || settings.pools.length - decodePools > 1;

  const boundOf = (pool: string) => perReplica ?? (order === "late-last" ? (advice?.[pool] ?? null) : null);
  function rebind(): void {
    isBounded = false;
    for (const { pool, replicas } of fleet().pools) {
      const bound = boundOf(pool.name);
      if (bound !== null) isBounded = true;
      for (const replica of replicas) replica.bound = bound;
    }
  }

  const withRoom = (from: readonly SimulatedReplica[]) =>
    from.every((replica) => replica.hasRoom) ? from : from.filter((replica) => replica.hasRoom);

  function pick(request: SimulatedRequest, nowMs: Ms): SimulatedReplica | null {
    if (joined) refresh();
    const all = request.part === "decode" ? decoders : candidates;
    const from = isBounded && request.part !== "decode" ? withRoom(all) : all;
    if (from.length > 1 && routing !== "round-robin" && routing !== "least-in-flight") for (const replica of from) replica.weigh(nowMs);
    routed.turn = request.turn;
    routed.session = request.sessionId;
    return pickReplica(from, routed, routing);
  }

  function attempt(request: SimulatedRequest, nowMs: Ms): void {
    const replica = pick(request, nowMs);
    if (replica === null) return wait(request, nowMs);
    ledger.dispatch(request.ticket!, nowMs, replica.id);
    give(request, replica, nowMs);
  }

  function give(request: SimulatedRequest, replica: SimulatedReplica, nowMs: Ms): void {
    if (request.part !== "decode") {
      request.prefixHitTokens = hitsOn(request, replica);
      request.promptTokens = request.prompt;
      request.outputTokens = request.part === "prefill" ? 1 : request.output;
    }
    const expected = outputMeans[request.ticket!.promptBand] as number;
    if (!replica.take(request, nowMs, request.part === "prefill" ? 1 : expected)) {
      oversized++;
      return end(request, nowMs, "rejected", 0);
    }
    replica.rearm();
  }

  function hitsOn({ prefixHit, sessionId }: SimulatedRequest, replica: SimulatedReplica): number {
    if (prefixHit === 0 || prefixCache === "none") return 0;
    if (prefixCache === "fleet") return prefixHit;
    return sessionId !== undefined && sessions.get(sessionId) === replica.id ? prefixHit : 0;
  }

  function remember(sessionId: string, replica: SimulatedReplica): void {
    sessions.delete(sessionId);
    sessions.set(sessionId, replica.id);
    if (sessions.size > keptSessions) sessions.delete(sessions.keys().next().value as string);
  }

  /** Held where there is no replica; queued where those that are have no room. */
  function wait(request: SimulatedRequest, nowMs: Ms): void {
    if (Number.isNaN(request.waitsSinceMs)) request.waitsSinceMs = nowMs;
    const queued = isBounded && candidates.length > 0;
    if (waiting.size === 0) isHeld = !queued;
    if (queued) ledger.queue(request.ticket!, nowMs);
    else {
      ledger.hold(request.ticket!, nowMs);
      if (waiting.size >= limits.maxHeld) return end(request, nowMs, "rejected", 0);
      countHeld(request);
    }
    const bound = boundOf(candidates[0]?.pool ?? (settings.endpoint.pools[0] as Pool).name);
    request.lateFromMs = lateFromMs(request.arrivedMs, request.prompt, objective, bound, order === "fifo" ? "fifo" : request.classOrder);
    waiting.push(request);
    if (queued || nowMs - saidHeldAtMs < heldSayMs) return;
    saidHeldAtMs = nowMs;
    onHeld(nowMs);
  }

  function countHeld(request: SimulatedRequest): void {
    if (request.wasHeld) return;
    request.wasHeld = true;
    recorder.held(request.arrivedMs);
  }

  /** Whether those that wait are held or queued has changed with the replicas. */
  function relabel(nowMs: Ms): void {
    const held = !isBounded || candidates.length === 0;
    if (held === isHeld || waiting.size === 0) return;
    isHeld = held;
    waiting.forEach((request) => {
      if (held) {
        ledger.hold(request.ticket!, nowMs);
        countHeld(request);
      } else ledger.queue(request.ticket!, nowMs);
    });
    if (held) onHeld(nowMs);
  }

  function release(nowMs: Ms): void {
    if (stranded.size > 0 && decoders.length > 0) {
      for (let request = stranded.head; request !== null; request = stranded.head) {
        stranded.remove(request);
        decode(request, nowMs);
      }
    }
    relabel(nowMs);
    if (isBounded) return fill(nowMs);
    if (waiting.size === 0 || candidates.length === 0) return;
    for (let left = candidates.length * releasedAtOnce; left > 0; left--) {
      const request = waiting.takeOldest();
      if (request === null) break;
      letGo(request, nowMs);
    }
    if (waiting.size > 0) queue.set(releaseTimer, nowMs + releasePaceMs);
  }

  function letGo(request: SimulatedRequest, nowMs: Ms): void {
    ledger.release(request.ticket!, nowMs);
    attempt(request, nowMs);
  }

  /** Gives to replicas with room what waits for it. */
  function fill(nowMs: Ms): void {
    if (joined) refresh();
    while (waiting.size > 0 && candidates.some((replica) => replica.hasRoom)) {
      const next = waiting.take(nowMs, oldestEvery);
      if (next !== null) letGo(next.waiter, nowMs);
    }
  }

  /** A moment later: what ends a prefill begins its next iteration first, as with a gateway that is some way off. */
  function roomAt(replica: SimulatedReplica | null, nowMs: Ms): void {
    if (waiting.size > 0 && isBounded && replica?.hasRoom) queue.set(roomTimer, nowMs);
  }

  function sweep(nowMs: Ms): void {
    relabel(nowMs);
    const over: SimulatedRequest[] = [];
    const hasLeft = (request: SimulatedRequest) => patienceMs !== null && nowMs - request.arrivedMs >= patienceMs;
    waiting.forEach((request) => {
      if (nowMs - request.waitsSinceMs >= limits.holdTimeoutMs || hasLeft(request)) over.push(request);
    });
    for (const request of over) {
      waiting.remove(request);
      end(request, nowMs, hasLeft(request) ? "cancelled" : "rejected", 0);
    }
    for (const pool of fleet().pools) for (const replica of [...pool.replicas]) sweepReplica(replica, nowMs);
    queue.set(sweepTimer, nowMs + sweepMs);
  }

  /** Silent for too long: before the first token since it was given, later only while the engine stands still. */
  function sweepReplica(replica: SimulatedReplica, nowMs: Ms): void {
    const hangs = nowMs < replica.hangsUntilMs;
    const oldest = replica.requests.head;
    if (oldest === null || (patienceMs === null && nowMs - oldest.dispatchedMs < limits.upstreamTimeoutMs)) return;
    // What is due by now comes first.
    replica.engine.advance(nowMs, replica);
    for (let request = replica.requests.head; request !== null; ) {
      const { next } = request;
      if (patienceMs === null && nowMs - request.dispatchedMs < limits.upstreamTimeoutMs) break;
      const waits = !request.hasFirst;
      const sinceMs = waits ? request.dispatchedMs : hangs ? Math.max(replica.hangsSinceMs, request.dispatchedMs) : nowMs;
      const isSilent = nowMs - sinceMs >= limits.upstreamTimeoutMs;
      const hasLeft = waits && patienceMs !== null && nowMs - request.arrivedMs >= patienceMs;
      if (isSilent || hasLeft) drop(request, replica, nowMs, hasLeft ? "cancelled" : "failed");
      request = next;
    }
  }

  /** Takes a request out of its engine. */
  function drop(request: SimulatedRequest, replica: SimulatedReplica, nowMs: Ms, ending: Ending): void {
    const made = madeBy(request, replica);
    replica.engine.cancel(request.sequence!);
    // The engine may look at it until its iteration ends, so it does not go back to the stock.
    close(request, nowMs, ending, made);
    if (replica.state !== "gone") replica.rearm();
  }

  const madeBy = (request: SimulatedRequest, replica: SimulatedReplica) =>
    (request.part === "decode" ? 1 : 0) + replica.engine.generated(request.sequence!);

  function end(request: SimulatedRequest, nowMs: Ms, ending: Ending, outputTokens: number): void {
    close(request, nowMs, ending, outputTokens);
    stock.push(request);
  }

  function close(request: SimulatedRequest, nowMs: Ms, ending: Ending, outputTokens: number): void {
    const ticket = request.ticket!;
    const finished = ledger.finish(ticket, nowMs, ending, { outputTokens });
    recorder.ended(request.arrivedMs, ending, finished, outputTokens);
    const { replica } = request;
    if (replica !== null) {
      replica.leave(request);
      if (replica.inFlight === 0 && replica.state === "draining") fleet().emptied(replica, nowMs);
      roomAt(replica, nowMs);
    }
    request.ticket = null;
    open--;
  }

  /** From its prefill replica to where it is decoded, by way of the network. */
  function transfer(request: SimulatedRequest, nowMs: Ms): void {
    const replica = request.replica!;
    replica.leave(request);
    if (replica.inFlight === 0 && replica.state === "draining") fleet().emptied(replica, nowMs);
    request.part = "decode";
    request.promptTokens = request.prompt + 1;
    request.prefixHitTokens = request.prompt;
    request.outputTokens = request.output - 1;
    const timer = queue.add((atMs) => {
      queue.remove(timer);
      decode(request, atMs);
    });
    queue.set(timer, nowMs + kvTransfer.baseMs + (kvTransfer.msPerThousandTokens * request.prompt) / 1000);
  }

  function decode(request: SimulatedRequest, nowMs: Ms): void {
    const replica = pick(request, nowMs);
    if (replica === null) stranded.push(request);
    else give(request, replica, nowMs);
  }

  function learn(band: number, outputTokens: number): void {
    const seen = Math.min((outputsSeen[band] as number) + 1, learnedFrom);
    outputsSeen[band] = seen;
    const mean = outputMeans[band] as number;
    outputMeans[band] = mean + (outputTokens - mean) / seen;
  }

  return {
    get waiting() {
      return waiting.size;
    },
    get queued() {
      return fleet().pools.reduce((sum, pool) => pool.replicas.reduce((all, replica) => all + replica.engine.waiting, sum), 0);
    },
    get open() {
      return open;
    },
    get oversized() {
      return oversized;
    },
    arrive(row, nowMs) {
      if (!queue.isSet(sweepTimer)) queue.set(sweepTimer, nowMs + sweepMs);
      open++;
      const request = stock.pop() ?? new SimulatedRequest();
      request.prompt = row.promptTokens;
      request.output = row.outputTokens;
      request.prefixHit = row.prefixHitTokens;
      request.sessionId = row.sessionId;
      request.arrivedMs = nowMs;
      request.turn = turn++;
      request.part = isSplit ? "prefill" : "whole";
      request.hasFirst = false;
      request.wasHeld = false;
      request.waitsSinceMs = Number.NaN;
      request.classOrder = classes[row.class ?? "default"] ?? null;
      request.ticket = ledger.arrive(nowMs, {
        class: row.class ?? "default",
        promptTokens: row.promptTokens,
      });
      recorder.arrived(nowMs, row.promptTokens, row.outputTokens);
      // Who arrives while others still wait stands with them.
      if (waiting.size > 0 && (isBounded || waiting.size < limits.maxHeld)) wait(request, nowMs);
      else attempt(request, nowMs);
    },
    firstToken(request, atMs) {
      if (request.hasFirst) return;
      request.hasFirst = true;
      ledger.firstToken(request.ticket!, atMs);
      roomAt(request.replica, atMs);
      if (request.sessionId !== undefined) remember(request.sessionId, request.replica!);
    },
    finished(request, atMs) {
      if (request.part === "prefill" && request.output > 1) return transfer(request, atMs);
      learn(request.ticket!.promptBand, request.output);
      end(request, atMs, "completed", request.output);
    },
    ready(nowMs) {
      refresh();
      if (isBounded) rebind();
      if ((waiting.size > 0 || stranded.size > 0) && !queue.isSet(releaseTimer)) queue.set(releaseTimer, nowMs);
    },
    advise(given, nowMs) {
      if (perReplica !== null || order === "fifo" || (given === undefined && advice === undefined)) return;
      advice = given;
      rebind();
      if (waiting.size > 0 && !queue.isSet(releaseTimer)) queue.set(releaseTimer, nowMs);
    },
    lost(replica, nowMs) {
      for (let request = replica.requests.head; request !== null; request = replica.requests.head) {
        const made = madeBy(request, replica);
        const ticket = request.ticket!;
        if (request.hasFirst || ticket.attempts >= limits.attempts) {
          end(request, nowMs, "failed", made);
          continue;
        }
        replica.leave(request);
        ledger.takeBack(ticket, nowMs);
        recorder.retried(request.arrivedMs);
        attempt(request, nowMs);
      }
    },
  };
}
