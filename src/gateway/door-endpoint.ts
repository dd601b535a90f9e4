import { createLedger, type Ledger } from "../ledger/index.ts";
import {
  type ClassOrder,
  type Clock,
  type DoorBound,
  type DoorEndpoint,
  type Ms,
  PROMPT_BANDS,
  promptBand,
  type Route,
} from "../model/index.ts";
import { DoorQueue, type DoorWaiter, lateFromMs, pickReplica, type Routing } from "../routing/index.ts";
import { UpstreamReplica } from "./replica.ts";
import type { TransportFactory } from "./transport.ts";

/** A request that waits for a replica, or for room at one. */
export interface Waiting extends DoorWaiter {
  /** Since when, first. */
  readonly waitsSinceMs: Ms;
  /** A replica may take it now. */
  go(): void;
  /** It waits on as held (no replica is ready) or as queued (none has room). */
  waitsAs(kind: "held" | "queued"): void;
  /** It has waited too long. */
  expire(): void;
}

/** After a cold start held requests go in order, so many per ready replica and pace, so that it is not buried at once. */
const releasedAtOnce = 32;
const releasePaceMs = 100;
const heldSayMs = 1000;

/** Answers of a kind that are learned from weigh as much as this many. */
const learnedFrom = 50;
/** Assumed of an answer until one has been seen. */
const guessedOutputTokens = 200;

export interface DoorEndpointOptions {
  readonly endpoint: DoorEndpoint;
  readonly ledgerId: string;
  readonly clock: Clock;
  readonly routing: Routing;
  readonly transport: TransportFactory;
  readonly classes: number;
  readonly onHeld: (endpoint: string) => void;
}

/** One endpoint at the door: its replicas, who waits, and what was learned of its requests. */
export class EndpointAtDoor {
  endpoint: DoorEndpoint;
  readonly ledger: Ledger;
  readonly #options: DoorEndpointOptions;
  readonly #clock: Clock;
  #replicas: UpstreamReplica[] = [];
  /** Not named any more, but with requests in flight. */
  #leaving: UpstreamReplica[] = [];
  readonly #waiting = new DoorQueue<Waiting>();
  /** Those that wait are told to the ledger as held. */
  #isHeld = true;
  #isFilling = false;
  #lateGone = 0;
  #cancelRelease: (() => void) | null = null;
  #saidHeldAtMs: Ms = Number.NEGATIVE_INFINITY;
  #turn = 0;
  /** True prompt tokens per guessed one. */
  #promptRatio = 1;
  #promptSeen = 0;
  readonly #outputMeans = PROMPT_BANDS.map(() => ({ mean: guessedOutputTokens, seen: 0 }));

  constructor(options: DoorEndpointOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.endpoint = options.endpoint;
    this.ledger = createLedger({ objective: options.endpoint.objective, id: options.ledgerId, classes: options.classes });
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Waiting, and known to be late. */
  get waitingLate(): number {
    return this.#waiting.lateBy(this.#clock.now());
  }

  /** Whether those that wait do so for a replica, rather than for room at one. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Waiting because no replica is ready. */
  get held(): number {
    return this.#isHeld ? this.#waiting.size : 0;
  }

  /** Late ones that have been given to a replica after a wait. */
  get lateGone(): number {
    return this.#lateGone;
  }

  /** In force for one replica; null: none is. */
  get bound(): DoorBound | null {
    return this.#replicas.find((replica) => replica.bound !== null)?.bound ?? null;
  }

  get readyReplicas(): number {
    return this.#replicas.filter((replica) => !replica.draining).length;
  }

  know(endpoint: DoorEndpoint): void {
    this.endpoint = endpoint;
    this.ledger.setObjective(endpoint.objective);
  }

  setRoutes(endpoint: DoorEndpoint, routes: readonly Route[]): void {
    this.know(endpoint);
    const before = this.#replicas;
    this.#replicas = routes.map((route) => {
      const known = [...before, ...this.#leaving].find((replica) => replica.id === route.replica && replica.url === route.url);
      const replica = known ?? new UpstreamReplica(route.replica, route.url, this.#options.transport(route.url));
      replica.routed = true;
      replica.draining = route.state === "draining";
      if (route.bound !== undefined) replica.bound = route.bound;
      return replica;
    });
    const named = new Set(this.#replicas);
    this.#leaving = [...this.#leaving, ...before].filter((replica) => !named.has(replica));
    for (const replica of this.#leaving) {
      replica.routed = false;
      this.left(replica);
    }
    this.releaseWaiting();
  }

  /** The replica for a request; null where none is ready or has room, or all that are have failed it. */
  pick(affinity: string, excluded: ReadonlySet<string>): UpstreamReplica | null {
    const nowMs = this.#clock.now();
    const turn = this.#turn++;
    const free = this.#replicas.filter((replica) => replica.takes(nowMs) && replica.hasRoom);
    return pickReplica(free, { key: affinity === "" ? String(turn) : affinity, turn, excluded }, this.#options.routing);
  }

  /** Whether a replica is ready, with room or without, that has not failed the request. */
  hasOther(excluded: ReadonlySet<string>): boolean {
    const nowMs = this.#clock.now();
    return this.#replicas.some((replica) => replica.takes(nowMs) && !excluded.has(replica.id));
  }

  /** Whether a new request must wait with others. */
  get queues(): boolean {
    return this.#waiting.size > 0 && (this.#isBounded || this.#waiting.size < this.endpoint.limits.maxHeld);
  }

  /** How requests of a class go. */
  classOrder(name: string): ClassOrder | null {
    return this.endpoint.limits.order?.classes[name] ?? null;
  }

  /** When a request that arrived then becomes late. */
  lateFromMs(arrivedMs: Ms, promptTokens: number, classOrder: ClassOrder | null): Ms {
    const { objective, limits } = this.endpoint;
    return lateFromMs(arrivedMs, promptTokens, objective, this.bound, limits.order?.kind === "late-last" ? classOrder : "fifo");
  }

  /** Held where no replica is ready; queued where none of those that are has room. @returns false where no more may be held */
  wait(waiting: Waiting): boolean {
    const nowMs = this.#clock.now();
    const queued = this.#isBounded && this.#takers(nowMs) > 0;
    if (this.#waiting.size === 0) this.#isHeld = !queued;
    if (!queued && this.#waiting.size >= this.endpoint.limits.maxHeld) return false;
    waiting.waitsAs(queued ? "queued" : "held");
    this.#waiting.push(waiting);
    if (!queued) this.#sayHeld(nowMs);
    return true;
  }

  #sayHeld(nowMs: Ms): void {
    if (nowMs - this.#saidHeldAtMs < heldSayMs) return;
    this.#saidHeldAtMs = nowMs;
    this.#options.onHeld(this.endpoint.name);
  }

  stopWaiting(waiting: Waiting): void {
    this.#waiting.remove(waiting);
  }

  /** A bound is known of every replica, so that there is a choice who goes first. */
  get #isBounded(): boolean {
    return this.#replicas.length > 0 && this.#replicas.every((replica) => replica.draining || replica.bound !== null);
  }

  #takers(nowMs: Ms): number {
    return this.#replicas.filter((replica) => replica.takes(nowMs)).length;
  }

  /** Lets go who may; called when a replica may have become ready, or its bound has changed. */
  releaseWaiting(): void {
    if (this.#waiting.size === 0) return;
    const nowMs = this.#clock.now();
    const takers = this.#takers(nowMs);
    const bounded = this.#isBounded;
    this.#relabel(!bounded || takers === 0, nowMs);
    if (bounded) return this.#fill();
    if (takers === 0 || this.#cancelRelease !== null) return;
    this.#cancelRelease = this.#clock.after(releasePaceMs, () => {
      this.#cancelRelease = null;
      this.releaseWaiting();
    });
    for (let left = takers * releasedAtOnce; left > 0; left--) {
      const first = this.#waiting.takeOldest();
      if (first === null) break;
      first.go();
    }
  }

  /** Whether those that wait are held or queued has changed with the replicas. */
  #relabel(held: boolean, nowMs: Ms): void {
    if (held === this.#isHeld) return;
    this.#isHeld = held;
    this.#waiting.forEach((waiting) => {
      waiting.waitsAs(held ? "held" : "queued");
    });
    if (held) this.#sayHeld(nowMs);
  }

  /** Gives to replicas with room what waits for it. */
  #fill(): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    const nowMs = this.#clock.now();
    const oldestEvery = this.endpoint.limits.order?.oldestEvery ?? 1;
    while (this.#waiting.size > 0 && this.#replicas.some((replica) => replica.hasRoom && replica.takes(nowMs))) {
      const next = this.#waiting.take(nowMs, oldestEvery);
      if (next === null) break;
      if (next.late) this.#lateGone++;
      next.waiter.go();
    }
    this.#isFilling = false;
  }

  /** A request on this replica has its first token, or has ended. */
  roomAt(replica: UpstreamReplica): void {
    if (this.#waiting.size > 0 && replica.bound !== null && replica.hasRoom && this.#isBounded) this.#fill();
  }

  /** Ends the wait of those whose time is over. */
  expireWaiting(nowMs: Ms): void {
    this.#expire((waiting) => nowMs - waiting.waitsSinceMs >= this.endpoint.limits.holdTimeoutMs);
  }

  /** Ends the wait of those that are held; who is queued has replicas that will take it. */
  expireHeld(): void {
    if (this.#isHeld) this.#expire(() => true);
  }

  expireAll(): void {
    this.#expire(() => true);
  }

  #expire(isOver: (waiting: Waiting) => boolean): void {
    const over: Waiting[] = [];
    this.#waiting.forEach((waiting) => {
      if (isOver(waiting)) over.push(waiting);
    });
    for (const waiting of over) {
      this.#waiting.remove(waiting);
      waiting.expire();
    }
  }

  /** A request has left this replica. */
  left(replica: UpstreamReplica): void {
    this.roomAt(replica);
    if (replica.routed || replica.inFlight > 0) return;
    this.#leaving = this.#leaving.filter((other) => other !== replica);
    replica.transport.close();
    if (![...this.#replicas, ...this.#leaving].some((other) => other.id === replica.id)) this.ledger.forget(replica.id);
  }

  promptTokens(guessed: number): number {
    return Math.round(guessed * this.#promptRatio);
  }

  expectedOutputTokens(promptTokens: number, maxTokens: number | null): number {
    const { mean } = this.#outputMeans[promptBand(promptTokens)] as { mean: number };
    return maxTokens === null ? mean : Math.min(mean, maxTokens);
  }

  /** Learns what a reply told: how long prompts of so many bytes are, and how long answers to them. */
  learn(guessedPrompt: number, countedPrompt: number | null, promptTokens: number, outputTokens: number): void {
    if (countedPrompt !== null && guessedPrompt > 0) {
      this.#promptSeen = Math.min(this.#promptSeen + 1, learnedFrom);
      // Within bounds: a prompt that holds a picture says nothing of text.
      const ratio = Math.min(8, Math.max(0.1, countedPrompt / guessedPrompt));
      this.#promptRatio += (ratio - this.#promptRatio) / this.#promptSeen;
    }
    if (outputTokens > 0) {
      const band = this.#outputMeans[promptBand(promptTokens)] as { mean: number; seen: number };
      band.seen = Math.min(band.seen + 1, learnedFrom);
      band.mean += (outputTokens - band.mean) / band.seen;
    }
  }

  close(): void {
    this.#cancelRelease?.();
    for (const replica of [...this.#replicas, ...this.#leaving]) replica.transport.close();
  }
}
