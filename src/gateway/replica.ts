import type { DoorBound, Ms } from "../model/index.ts";
import { type Candidate, hasRoom } from "../routing/index.ts";
import type { UpstreamTransport } from "./transport.ts";

/** A replica that refuses connections gets no request for so long, twice as long each time. */
const ejectMs = [1000, 15_000] as const;

/** A replica as the gateway sees it. */
export class UpstreamReplica implements Candidate {
  readonly id: string;
  readonly url: string;
  readonly transport: UpstreamTransport;
  inFlight = 0;
  outstanding = 0;
  /** Prompt tokens given in streamed requests whose first token has not come. */
  promptTokensAhead = 0;
  /** What it may be given at most; null: there is no bound. */
  bound: DoorBound | null = null;
  /** Named by the routes at all; it is closed once it is not, and nothing is in flight on it. */
  routed = true;
  draining = false;
  ejectedUntilMs: Ms = Number.NEGATIVE_INFINITY;
  #refusals = 0;

  constructor(id: string, url: string, transport: UpstreamTransport) {
    this.id = id;
    this.url = url;
    this.transport = transport;
  }

  get hasRoom(): boolean {
    return hasRoom(this.bound, this.inFlight, this.promptTokensAhead);
  }

  takes(nowMs: Ms): boolean {
    return this.routed && !this.draining && nowMs >= this.ejectedUntilMs;
  }

  /** @returns for how long it is left alone */
  refused(nowMs: Ms): Ms {
    if (nowMs < this.ejectedUntilMs) return this.ejectedUntilMs - nowMs;
    const forMs = Math.min(ejectMs[0] * 2 ** this.#refusals, ejectMs[1]);
    this.#refusals++;
    this.ejectedUntilMs = nowMs + forMs;
    return forMs;
  }

  answered(): void {
    this.#refusals = 0;
    this.ejectedUntilMs = Number.NEGATIVE_INFINITY;
  }
}
