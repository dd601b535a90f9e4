import { createEngine, type Engine, type EngineConfig, type EngineRequest, type EngineSequence, type EngineSink } from "../engine/index.ts";
import type { Ticket } from "../ledger/index.ts";
import type { ClassOrder, DoorBound, Ms, Replica, ReplicaState, Stage } from "../model/index.ts";
import { type Candidate, type DoorWaiter, hasRoom, NOWHERE, workOf } from "../routing/index.ts";
import type { EventQueue, Timer } from "./event-queue.ts";
import { createPageHistograms, type PageHistograms } from "./page-histograms.ts";

/** Steps ahead that outstanding work is known for; an answer expected to be longer counts as so long. A power of two. */
const horizonSteps = 4096;
const outputWork = workOf({ promptTokens: 0, outputTokens: 1 });

/** What becomes of a request inside its engine. */
export interface ReplicaEvents {
  firstToken(request: SimulatedRequest, atMs: Ms): void;
  finished(request: SimulatedRequest, atMs: Ms): void;
}

/** A replica from being asked for to gone: its engine, what is in flight on it, and its life as the platform tells it. */
export class SimulatedReplica implements Candidate, EngineSink<SimulatedRequest>, Timer {
  readonly id: string;
  readonly pool: string;
  readonly engine: Engine<SimulatedRequest>;
  readonly overheadMs: Ms;
  readonly kvCapacityTokens: number;
  readonly maxNumSeqs: number;
  readonly histograms: PageHistograms | null;
  /** In order of dispatch. */
  readonly requests = new RequestList();
  state: ReplicaState = "starting";
  stage: Stage | null = null;
  readonly entered: Partial<Record<ReplicaState | Stage, Ms>> = {};
  trouble: Replica["trouble"] | null = null;
  /** Since when `state` says whether it serves. */
  readinessSinceMs: Ms;
  /** Of a fleet being replaced. */
  outdated = false;
  /** The engine stands still until then. */
  hangsUntilMs: Ms = Number.NEGATIVE_INFINITY;
  hangsSinceMs: Ms = Number.NEGATIVE_INFINITY;
  ended = 0;
  /** Work given and not yet done, as of the last `weigh`; between two events of the engine it falls at the pace of its steps. */
  outstanding = 0;
  /** What it may be given at most; null: there is no bound. */
  bound: DoorBound | null = null;
  /** Prompt tokens given and not yet prefilled. */
  private promptTokensAhead = 0;
  private work = 0;
  private workPerMs = 0;
  private workAtMs: Ms = 0;

  private readonly events: ReplicaEvents;
  private readonly queue: EventQueue;
  /** When its engine's next event comes. */
  private readonly timer: number;
  private promptWork = 0;
  /** Of answers under way that count: how many, the sum of the steps at which they stop to count, and how many stop at each. */
  private counted = 0;
  private endSteps = 0;
  private readonly ending = new Int32Array(horizonSteps);
  private passedStep = 0;
  private told: Replica | null = null;
  private sleeps = false;

  constructor(
    id: string,
    pool: string,
    config: EngineConfig,
    events: ReplicaEvents,
    queue: EventQueue,
    nowMs: Ms,
    withHistograms: boolean,
  ) {
    this.id = id;
    this.pool = pool;
    this.engine = createEngine<SimulatedRequest>(config);
    this.overheadMs = config.overheadMs;
    this.kvCapacityTokens = config.kvCapacityTokens;
    this.maxNumSeqs = config.maxNumSeqs;
    this.histograms = withHistograms ? createPageHistograms() : null;
    this.events = events;
    this.queue = queue;
    this.timer = queue.add(this);
    this.entered.starting = nowMs;
    this.readinessSinceMs = nowMs;
  }

  get inFlight(): number {
    return this.requests.size;
  }

  get hasRoom(): boolean {
    return this.bound === null || hasRoom(this.bound, this.requests.size, this.promptTokensAhead);
  }

  /** To sleep once it is up, or once it is empty. */
  get forStandby(): boolean {
    return this.sleeps;
  }
  set forStandby(sleeps: boolean) {
    this.sleeps = sleeps;
    this.told = null;
  }

  /** Changes what the platform tells of it. */
  enter(state: ReplicaState, stage: Stage | null, nowMs: Ms): void {
    if ((state === "ready") !== (this.state === "ready")) this.readinessSinceMs = nowMs;
    this.state = state;
    this.stage = stage;
    this.entered[state] ??= nowMs;
    if (stage !== null) this.entered[stage] ??= nowMs;
    this.told = null;
  }

  setTrouble(code: NonNullable<Replica["trouble"]>["code"] | null, nowMs: Ms): void {
    this.trouble = code === null ? null : { code, sinceMs: nowMs };
    this.told = null;
  }

  /** As the platform tells it; the same object until something changes. One that starts only to sleep counts as asleep. */
  tell(): Replica {
    const sleeps = this.forStandby && this.state === "starting";
    this.told ??= {
      id: this.id,
      pool: this.pool,
      state: sleeps ? "standby" : this.state,
      ...(this.stage === null || sleeps ? {} : { stage: this.stage }),
      entered: { ...this.entered },
      readiness: { status: this.state === "ready", sinceMs: this.readinessSinceMs },
      ...(this.trouble === null || this.trouble === undefined ? {} : { trouble: this.trouble }),
    };
    return this.told;
  }

  /** The engine's next event has come. */
  fire(nowMs: Ms): void {
    this.engine.advance(nowMs, this);
    if (this.state !== "gone") this.rearm();
  }

  /** To be called when the engine has got work or lost some. */
  rearm(): void {
    this.reckon();
    const nextMs = this.engine.nextEventMs();
    if (nextMs === null) this.queue.clear(this.timer);
    else this.queue.set(this.timer, nextMs);
  }

  /** Nothing happens in it any more. */
  stop(): void {
    this.queue.remove(this.timer);
  }

  /** @returns false where the engine could never hold it */
  take(request: SimulatedRequest, nowMs: Ms, expectedTokens: number): boolean {
    // An idle engine that hangs begins when it no longer does; a busy one has its iteration stretched already.
    const arrivesMs = nowMs < this.hangsUntilMs && this.engine.startedMs === null ? this.hangsUntilMs : nowMs;
    const sequence = this.engine.submit(request, arrivesMs, request.sequence);
    if (sequence === null) return false;
    request.sequence = sequence;
    request.replica = this;
    request.dispatchedMs = nowMs;
    request.expectedTokens = Math.min(horizonSteps - 1, Math.max(1, Math.round(expectedTokens)));
    // What comes prefilled has only its tokens to be made.
    const promptTokens = request.part === "decode" ? 0 : request.promptTokens;
    request.promptWork = workOf({ promptTokens, outputTokens: request.expectedTokens });
    request.endStep = -1;
    request.promptTokensAhead = promptTokens;
    this.promptTokensAhead += promptTokens;
    this.promptWork += request.promptWork;
    this.requests.push(request);
    return true;
  }

  /** It is in flight here no more. */
  leave(request: SimulatedRequest): void {
    this.requests.remove(request);
    this.promptTokensAhead -= request.promptTokensAhead;
    request.promptTokensAhead = 0;
    this.promptWork -= request.promptWork;
    if (request.endStep > this.passedStep) {
      this.ending[request.endStep & (horizonSteps - 1)]! -= 1;
      this.counted--;
      this.endSteps -= request.endStep;
    }
    request.promptWork = 0;
    request.endStep = -1;
    request.replica = null;
    if (this.requests.size === 0) this.promptWork = 0;
  }

  /** Brings `outstanding` up to date. */
  weigh(nowMs: Ms): void {
    this.outstanding = Math.max(0, this.work - this.workPerMs * (nowMs - this.workAtMs));
  }

  /** After each event of the engine: less by a token's work for every token that has come, nothing below 0 for any answer. */
  private reckon(): void {
    const { engine } = this;
    const step = engine.counters.iterations;
    this.passTo(step);
    this.work = this.promptWork + outputWork * (this.endSteps - this.counted * step);
    const { startedMs } = engine;
    if (startedMs === null) this.workPerMs = 0;
    else {
      this.workAtMs = startedMs;
      this.workPerMs = (outputWork * this.counted) / ((engine.nextIterationMs() as Ms) - startedMs);
    }
  }

  private passTo(step: number): void {
    const { ending } = this;
    for (let at = this.passedStep + 1; at <= step; at++) {
      const slot = at & (horizonSteps - 1);
      const count = ending[slot] as number;
      if (count === 0) continue;
      ending[slot] = 0;
      this.counted -= count;
      this.endSteps -= count * at;
    }
    if (step > this.passedStep) this.passedStep = step;
  }

  firstToken(sequence: EngineSequence<SimulatedRequest>, atMs: Ms): void {
    const { request } = sequence;
    const step = this.engine.counters.iterations;
    this.passTo(step);
    this.promptTokensAhead -= request.promptTokensAhead;
    request.promptTokensAhead = 0;
    this.promptWork -= request.promptWork;
    request.promptWork = 0;
    if (request.expectedTokens > 1) {
      request.endStep = step + request.expectedTokens - 1;
      this.ending[request.endStep & (horizonSteps - 1)]! += 1;
      this.counted++;
      this.endSteps += request.endStep;
    }
    if (this.histograms !== null) this.histograms.observe("ttft", atMs - sequence.arrivedMs);
    this.events.firstToken(request, atMs);
  }

  finished(sequence: EngineSequence<SimulatedRequest>, atMs: Ms): void {
    const { request } = sequence;
    this.ended++;
    if (this.histograms !== null) {
      const decodeMs = atMs - (sequence.firstTokenMs as Ms);
      this.histograms.observe("e2e", atMs - sequence.arrivedMs);
      this.histograms.observe("queue_time", (sequence.admittedMs as Ms) - sequence.arrivedMs);
      this.histograms.observe("tpot", request.outputTokens > 1 ? decodeMs / (request.outputTokens - 1) : 0);
    }
    this.events.finished(request, atMs);
  }

  hang(nowMs: Ms, forMs: Ms): void {
    this.engine.advance(nowMs, this);
    this.engine.stall(forMs);
    this.hangsSinceMs = nowMs;
    this.hangsUntilMs = Math.max(this.hangsUntilMs, nowMs) + forMs;
  }

  /** Time in which the engine had an iteration under way, by `nowMs`, to which it must have been advanced. */
  activeMs(nowMs: Ms): Ms {
    const { counters, startedMs } = this.engine;
    const ended = counters.busyMs + counters.iterations * this.overheadMs;
    return startedMs === null ? ended : ended + Math.max(0, nowMs - startedMs);
  }
}

/**
 * One request on its way through door and engines. Taken from a stock and put back, so that a long trace makes none. The first
 * three are what the engine is to do; with prefill and decode apart they change on the way.
 */
export class SimulatedRequest implements EngineRequest, DoorWaiter {
  promptTokens = 0;
  outputTokens = 0;
  prefixHitTokens = 0;

  /** Of the row. */
  prompt = 0;
  output = 0;
  prefixHit = 0;
  sessionId: string | undefined = undefined;
  arrivedMs: Ms = 0;
  turn = 0;

  ticket: Ticket | null = null;
  replica: SimulatedReplica | null = null;
  /** Stays when it has ended, to be used again. */
  sequence: EngineSequence<SimulatedRequest> | null = null;
  /** Which part of the way comes next or is under way. */
  part: "whole" | "prefill" | "decode" = "whole";
  hasFirst = false;
  /** Counted as held once. */
  wasHeld = false;
  /** Since when it has waited at the door, first; NaN: never. */
  waitsSinceMs: Ms = Number.NaN;
  classOrder: ClassOrder | null = null;
  lateFromMs: Ms = Number.POSITIVE_INFINITY;
  lane = NOWHERE;
  place = 0;
  order = 0;
  dispatchedMs: Ms = 0;

  /** Work that it still counts for on its replica: the prompt's, and until which step of the engine the output's. */
  promptTokensAhead = 0;
  promptWork = 0;
  expectedTokens = 0;
  endStep = -1;

  list: RequestList | null = null;
  previous: SimulatedRequest | null = null;
  next: SimulatedRequest | null = null;
}

/** Requests in order; each is in at most one list. */
export class RequestList {
  head: SimulatedRequest | null = null;
  tail: SimulatedRequest | null = null;
  size = 0;

  push(request: SimulatedRequest): void {
    request.list = this;
    request.previous = this.tail;
    request.next = null;
    if (this.tail === null) this.head = request;
    else this.tail.next = request;
    this.tail = request;
    this.size++;
  }

  remove(request: SimulatedRequest): void {
    if (request.previous === null) this.head = request.next;
    else request.previous.next = request.next;
    if (request.next === null) this.tail = request.previous;
    else request.next.previous = request.previous;
    request.list = null;
    request.previous = null;
    request.next = null;
    this.size--;
  }
}
