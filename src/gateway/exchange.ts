// The hot path: one request from its arrival at an endpoint to its end. What runs per chunk is `onData`.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Ending, Finished, Ticket } from "../ledger/index.ts";
import type { ClassOrder, Clock, Ms } from "../model/index.ts";
import { NOWHERE, workOf } from "../routing/index.ts";
import { type AnswerReader, documentReader, eventReader, noReader } from "./answer-reader.ts";
import type { EndpointAtDoor, Waiting } from "./door-endpoint.ts";
import { headerOf, requestHeaders, responseHeaders } from "./headers.ts";
import { type Refusal, refuse } from "./openai-error.ts";
import type { UpstreamReplica } from "./replica.ts";
import { guessTokens, type RequestFacts } from "./request.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamTrouble } from "./transport.ts";

/** Real milliseconds after which a client that does not take what is sent to it is given up. */
const stuckClientMs = 60_000;

export interface ExchangeContext {
  readonly at: EndpointAtDoor;
  readonly clock: Clock;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  readonly facts: RequestFacts;
  readonly class: string;
  /** The gateway is ending: nothing is held or tried again. */
  readonly closing: () => boolean;
  readonly onEnd: (exchange: Exchange, ending: Ending, finished: Finished, replica: string | null) => void;
  readonly onTrouble: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class Exchange implements UpstreamHandler, Waiting {
  readonly #context: ExchangeContext;
  readonly #ticket: Ticket;
  readonly #headers: readonly string[];
  readonly #guessedPrompt: number;
  readonly #promptTokens: number;
  readonly #failedOn = new Set<string>();
  waitsSinceMs: Ms = Number.NaN;
  readonly classOrder: ClassOrder | null;
  lateFromMs: Ms = Number.POSITIVE_INFINITY;
  lane = NOWHERE;
  place = 0;
  order = 0;
  #call: UpstreamCall | null = null;
  #replica: UpstreamReplica | null = null;
  /** Work that this request still counts for on its replica: prompt and output. */
  #promptTokensAhead = 0;
  #promptWork = 0;
  #outputWork = 0;
  #outputStep = 0;
  #reader: AnswerReader = noReader;
  #status = 0;
  #streams = false;
  #gotToken = false;
  #wrote = false;
  #over = false;
  /** When the replica last gave a sign of life; of one that is paused: when the client last took something. */
  #lastSignMs: Ms = 0;
  #paused = false;

  constructor(context: ExchangeContext) {
    this.#context = context;
    const { at, clock, facts, request, response } = context;
    this.#headers = requestHeaders(request.rawHeaders);
    this.#guessedPrompt = guessTokens(facts.bytes);
    this.#promptTokens = at.promptTokens(this.#guessedPrompt);
    this.#ticket = at.ledger.arrive(clock.now(), { class: context.class, promptTokens: this.#promptTokens });
    this.classOrder = at.classOrder(context.class);
    response.on("close", () => {
      if (!this.#over) this.#finish("cancelled");
    });
    response.on("drain", () => {
      this.#lastSignMs = clock.now();
      if (!this.#paused) return;
      this.#paused = false;
      this.#call?.resume();
    });
  }

  get arrivedMs(): Ms {
    return this.#ticket.arrivedAtMs;
  }

  start(): void {
    // Who arrives while others still wait stands with them.
    if (this.#context.at.queues) this.#wait();
    else this.#attempt();
  }

  go(): void {
    this.#context.at.ledger.release(this.#ticket, this.#context.clock.now());
    this.#attempt();
  }

  waitsAs(kind: "held" | "queued"): void {
    const { at, clock } = this.#context;
    if (kind === "held") at.ledger.hold(this.#ticket, clock.now());
    else at.ledger.queue(this.#ticket, clock.now());
  }

  expire(): void {
    const { at, closing } = this.#context;
    this.#refuse("rejected", closing() ? shuttingDown : at.isHeld ? noReplica(at) : noRoom(at));
  }

  #attempt(): void {
    const { at, clock, request, body, facts } = this.#context;
    const replica = at.pick(facts.affinity, this.#failedOn);
    if (replica === null) return void this.#wait();
    const nowMs = clock.now();
    this.#replica = replica;
    this.#lastSignMs = nowMs;
    at.ledger.dispatch(this.#ticket, nowMs, replica.id);
    replica.inFlight++;
    // Of an answer that does not come token by token nobody sees when its prompt has been prefilled.
    if (facts.streams) this.#promptTokensAhead = this.#promptTokens;
    replica.promptTokensAhead += this.#promptTokensAhead;
    const outputTokens = at.expectedOutputTokens(this.#promptTokens, facts.maxTokens);
    this.#promptWork = workOf({ promptTokens: this.#promptTokens, outputTokens: 0 });
    this.#outputWork = workOf({ promptTokens: 0, outputTokens });
    this.#outputStep = workOf({ promptTokens: 0, outputTokens: 1 });
    replica.outstanding += this.#promptWork + this.#outputWork;
    try {
      this.#call = replica.transport.send(
        { method: request.method as string, path: request.url as string, headers: this.#headers, body: body.length === 0 ? null : body },
        this,
      );
    } catch (error) {
      this.onError({ kind: "malformed", error: error as Error });
    }
  }

  #wait(): void {
    const { at, clock, closing } = this.#context;
    if (closing()) return void this.#refuse("rejected", shuttingDown);
    this.#failedOn.clear();
    if (Number.isNaN(this.waitsSinceMs)) this.waitsSinceMs = clock.now();
    this.lateFromMs = at.lateFromMs(this.arrivedMs, this.#promptTokens, this.classOrder);
    if (at.wait(this)) return;
    this.waitsAs("held");
    this.#refuse("rejected", queueFull(at));
  }

  onHead(status: number, rawHeaders: readonly string[]): void {
    const { at, response } = this.#context;
    const replica = this.#replica as UpstreamReplica;
    this.#lastSignMs = this.#context.clock.now();
    replica.answered();
    if ((status === 502 || status === 503) && this.#mayRetry() && this.#otherThan(replica)) {
      this.#call?.abort();
      this.#context.onTrouble(`replica ${replica.id} answered ${status}; trying another`, { endpoint: at.endpoint.name });
      return void this.#retry();
    }
    this.#status = status;
    const type = headerOf(rawHeaders, "content-type") ?? "";
    const readable = status < 300 && (headerOf(rawHeaders, "content-encoding") ?? "identity") === "identity";
    this.#streams = type.startsWith("text/event-stream");
    if (readable)
      this.#reader = this.#streams ? eventReader() : type.includes("json") ? documentReader(generates(this.#context.request)) : noReader;
    response.sendDate = headerOf(rawHeaders, "date") === null;
    const headers = responseHeaders(rawHeaders);
    headers.push("x-tidegate-replica", replica.id);
    try {
      response.writeHead(status, headers);
    } catch (error) {
      // A status or field that Node will not write on.
      this.#call?.abort();
      return void this.#give("failed", unreachable(`replica ${replica.id} answered what cannot be passed on: ${(error as Error).message}`));
    }
    // The head goes with the first bytes where they come at once, else by itself.
    setImmediate(() => {
      if (!this.#wrote && !this.#over) response.flushHeaders();
    });
  }

  onData(chunk: Buffer): void {
    const { at, clock, response } = this.#context;
    const nowMs = clock.now();
    this.#lastSignMs = nowMs;
    this.#wrote = true;
    if (this.#reader.read(chunk)) {
      const replica = this.#replica as UpstreamReplica;
      if (!this.#gotToken) {
        this.#gotToken = true;
        at.ledger.firstToken(this.#ticket, nowMs);
        replica.outstanding -= this.#promptWork;
        this.#promptWork = 0;
        this.#prefilled(replica);
      }
      const step = Math.min(this.#outputStep, this.#outputWork);
      this.#outputWork -= step;
      replica.outstanding -= step;
    } else if (this.#promptTokensAhead > 0 && this.#reader === noReader) this.#prefilled(this.#replica as UpstreamReplica);
    if (!response.write(chunk) && !this.#paused) {
      this.#paused = true;
      this.#call?.pause();
    }
  }

  #prefilled(replica: UpstreamReplica): void {
    replica.promptTokensAhead -= this.#promptTokensAhead;
    this.#promptTokensAhead = 0;
    this.#context.at.roomAt(replica);
  }

  onEnd(): void {
    const { response } = this.#context;
    // 4xx is an answer: to a request that asked for it. Too many, and the replica's own errors, are not.
    const ending = this.#status >= 500 ? "failed" : this.#status === 429 ? "rejected" : "completed";
    this.#finish(ending);
    response.end();
  }

  onError(trouble: UpstreamTrouble): void {
    const { at, clock, response } = this.#context;
    const replica = this.#replica as UpstreamReplica;
    const fields = { endpoint: at.endpoint.name, replica: replica.id, error: trouble.error.message };
    if (this.#status !== 0) {
      // The client must see the break: an answer that ends early must not look whole.
      this.#context.onTrouble(`replica ${replica.id} broke off an answer`, fields);
      this.#finish("failed");
      return void response.destroy();
    }
    if (trouble.kind === "refused") replica.refused(clock.now());
    this.#context.onTrouble(
      `replica ${replica.id} ${trouble.kind === "refused" ? "cannot be reached" : "broke off before it answered"}`,
      fields,
    );
    if (trouble.kind !== "malformed" && this.#mayRetry()) return void this.#retry();
    this.#give("failed", unreachable(`replica ${replica.id} of ${at.endpoint.name} did not answer (${trouble.error.message})`));
  }

  /** Looked at a few times a second. */
  check(nowMs: Ms): void {
    const { at, clock, response } = this.#context;
    if (this.#over || this.#call === null || this.#replica === null) return;
    const silentMs = nowMs - this.#lastSignMs;
    if (this.#paused) {
      if (silentMs < stuckClientMs * clock.speed) return;
      this.#finish("cancelled");
      return void response.destroy();
    }
    if (silentMs < at.endpoint.limits.upstreamTimeoutMs) return;
    const replica = this.#replica.id;
    this.#context.onTrouble(`replica ${replica} was silent for too long`, { endpoint: at.endpoint.name, silentMs });
    this.#call.abort();
    this.#give("failed", {
      status: 504,
      code: "upstream_timeout",
      message: `replica ${replica} of ${at.endpoint.name} was silent for ${Math.round(silentMs)} ms; raise gateway.upstreamTimeout if answers may take longer`,
    });
  }

  /** Ends it at once: the gateway's grace is over. */
  destroy(): void {
    if (this.#over) return;
    this.#give("failed", shuttingDown);
  }

  #mayRetry(): boolean {
    return this.#ticket.attempts < this.#context.at.endpoint.limits.attempts && !this.#context.closing();
  }

  #otherThan(replica: UpstreamReplica): boolean {
    return this.#context.at.hasOther(new Set([...this.#failedOn, replica.id]));
  }

  /** On another replica; where there is no other, the same again (or held, while it is left alone for having refused). */
  #retry(): void {
    const replica = this.#replica as UpstreamReplica;
    if (this.#otherThan(replica)) this.#failedOn.add(replica.id);
    else this.#failedOn.clear();
    this.#leave();
    this.#context.at.ledger.takeBack(this.#ticket, this.#context.clock.now());
    this.#attempt();
  }

  #leave(): void {
    const replica = this.#replica;
    if (replica === null) return;
    this.#replica = null;
    this.#call = null;
    replica.inFlight--;
    replica.outstanding = replica.inFlight === 0 ? 0 : replica.outstanding - this.#promptWork - this.#outputWork;
    this.#promptWork = 0;
    this.#outputWork = 0;
    replica.promptTokensAhead -= this.#promptTokensAhead;
    this.#promptTokensAhead = 0;
    this.#context.at.left(replica);
  }

  #refuse(ending: Ending, refusal: Refusal): void {
    this.#give(ending, refusal);
  }

  /** An answer of our own where none has begun, else the end of the connection. */
  #give(ending: Ending, refusal: Refusal): void {
    this.#finish(ending);
    refuse(this.#context.response, refusal);
  }

  #finish(ending: Ending): void {
    if (this.#over) return;
    this.#over = true;
    const { at, clock, onEnd } = this.#context;
    at.stopWaiting(this);
    this.#call?.abort();
    const { outputTokens, promptTokens } = this.#reader.counts();
    const finished = at.ledger.finish(this.#ticket, clock.now(), ending, { outputTokens, measured: this.#status < 400 });
    if (ending === "completed" && this.#status < 300) at.learn(this.#guessedPrompt, promptTokens, this.#promptTokens, outputTokens);
    const replica = this.#replica?.id ?? null;
    this.#leave();
    onEnd(this, ending, finished, replica);
  }
}

const generates = (request: IncomingMessage) => /\/(?:completions|responses|messages)(?:\?|$)/.test(request.url ?? "");

const shuttingDown: Refusal = { status: 503, code: "shutting_down", message: "this gateway is ending; try again", retryAfterS: 1 };
const unreachable = (message: string): Refusal => ({ status: 502, code: "upstream_unreachable", message: `${message}; try again` });
const noReplica = ({ endpoint: { name, limits } }: EndpointAtDoor): Refusal => ({
  status: 503,
  code: "no_replica",
  message: `no replica of ${name} became ready within ${limits.holdTimeoutMs / 1000} s; try again, or raise gateway.holdTimeout`,
  retryAfterS: Math.min(30, limits.holdTimeoutMs / 4000),
});
const noRoom = ({ endpoint: { name, limits } }: EndpointAtDoor): Refusal => ({
  status: 503,
  code: "no_replica",
  message: `no replica of ${name} had room within ${limits.holdTimeoutMs / 1000} s; try again, or raise gateway.holdTimeout`,
  retryAfterS: Math.min(30, limits.holdTimeoutMs / 4000),
});
const queueFull = ({ endpoint: { name, limits } }: EndpointAtDoor): Refusal => ({
  status: 503,
  code: "queue_full",
  message: `no replica of ${name} is ready and ${limits.maxHeld} requests wait already; try again, or raise gateway.maxHeld`,
  retryAfterS: 5,
});
