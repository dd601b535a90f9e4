import { createLedger, type Ledger } from "../ledger/index.ts";
import { type Clock, type DoorEndpoint, type Ms, PROMPT_BANDS, promptBand, type Route } from "../model/index.ts";
import { pickReplica, type Routing } from "../routing/index.ts";
import { UpstreamReplica } from "./replica.ts";
import type { TransportFactory } from "./transport.ts";

/** A request that waits for a replica. */
export interface Waiting {
  readonly heldAtMs: Ms;
  /** A replica may take it now. */
  go(): void;
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
  readonly #waiting = new Set<Waiting>();
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

  /** The replica for a request; null where none is ready, or all that are have failed it. */
  pick(affinity: string, excluded: ReadonlySet<string>): UpstreamReplica | null {
    const nowMs = this.#clock.now();
    const turn = this.#turn++;
    const free = this.#replicas.filter((replica) => replica.takes(nowMs));
    return pickReplica(free, { key: affinity === "" ? String(turn) : affinity, turn, excluded }, this.#options.routing);
  }

  /** Whether a new request must wait behind others. */
  get queues(): boolean {
    return this.#waiting.size > 0 && this.#waiting.size < this.endpoint.limits.maxHeld;
  }

  /** @returns false where no more may be held */
  hold(waiting: Waiting): boolean {
    if (this.#waiting.size >= this.endpoint.limits.maxHeld) return false;
    this.#waiting.add(waiting);
    const nowMs = this.#clock.now();
    if (nowMs - this.#saidHeldAtMs >= heldSayMs) {
      this.#saidHeldAtMs = nowMs;
      this.#options.onHeld(this.endpoint.name);
    }
    return true;
  }

  stopWaiting(waiting: Waiting): void {
    this.#waiting.delete(waiting);
  }

  /** Lets the first in line go, at a pace; called when a replica may have become ready. */
  releaseWaiting(): void {
    if (this.#waiting.size === 0 || this.#cancelRelease !== null) return;
    const nowMs = this.#clock.now();
    const takers = this.#replicas.filter((replica) => replica.takes(nowMs)).length;
    if (takers === 0) return;
    const first = [...this.#waiting.values().take(takers * releasedAtOnce)];
    this.#cancelRelease = this.#clock.after(releasePaceMs, () => {
      this.#cancelRelease = null;
      this.releaseWaiting();
    });
    for (const waiting of first) {
      this.#waiting.delete(waiting);
      waiting.go();
    }
  }

  /** Ends the wait of those whose time is over; the oldest come first. */
  expireWaiting(nowMs: Ms): void {
    for (const waiting of this.#waiting) {
      if (nowMs - waiting.heldAtMs < this.endpoint.limits.holdTimeoutMs) {
        // One that was held a second time stands behind, with its first time.
        continue;
      }
      this.#waiting.delete(waiting);
      waiting.expire();
    }
  }

  expireAll(): void {
    for (const waiting of [...this.#waiting]) {
      this.#waiting.delete(waiting);
      waiting.expire();
    }
  }

  /** A request has left this replica. */
  left(replica: UpstreamReplica): void {
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
