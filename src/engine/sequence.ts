import type { Ms } from "../model/index.ts";

export interface EngineRequest {
  /** At least 1. */
  readonly promptTokens: number;
  /** Tokens to generate, at least 1. */
  readonly outputTokens: number;
  /** Leading prompt tokens whose KV is there already: whole blocks of them are not prefilled, but each request holds its own. */
  readonly prefixHitTokens: number;
}

/** A request inside the engine. Times are null until they happen. */
export interface EngineSequence<R extends EngineRequest = EngineRequest> {
  readonly request: R;
  readonly state: "waiting" | "prefill" | "decode" | "finished" | "cancelled";
  readonly arrivedMs: Ms;
  /** First taken into the running batch. */
  readonly admittedMs: Ms | null;
  readonly firstTokenMs: Ms | null;
  readonly finishedMs: Ms | null;
  readonly preemptions: number;
}

/**
 * A request inside the engine, and its place in one queue and in the heap of those that will finish. Times that have not come are
 * NaN inside, so that every one of them is a plain double that can be written in place.
 */
export class Sequence<R extends EngineRequest> implements EngineSequence<R> {
  request: R;
  arrivedMs: Ms;
  order: number;
  state: EngineSequence["state"] = "waiting";
  admittedAtMs: Ms = Number.NaN;
  firstTokenAtMs: Ms = Number.NaN;
  finishedAtMs: Ms = Number.NaN;
  preemptions = 0;
  /** Cancelled while it runs: goes at the end of the iteration. */
  leaves = false;

  /** Tokens to compute before the next one comes out, those computed, and those of the iteration under way. */
  target: number;
  computed = 0;
  chunk = 0;
  /** Held while it prefills; a decode's follow from its tokens. */
  blocks = 0;
  /** Generated, as of the last time that it was not decoding. */
  done = 0;
  lastTokenMs: Ms = Number.NaN;

  /** While it decodes: KV tokens minus the engine's step; the turn in which it takes a block; the step in which it finishes. */
  base = 0;
  turn = 0;
  finishStep = 0;
  heapAt = -1;

  queue: SequenceQueue<R> | null = null;
  previous: Sequence<R> | null = null;
  next: Sequence<R> | null = null;

  constructor(request: R, arrivedMs: Ms, order: number) {
    this.request = request;
    this.arrivedMs = arrivedMs;
    this.order = order;
    this.target = request.promptTokens;
  }

  get admittedMs(): Ms | null {
    return Number.isNaN(this.admittedAtMs) ? null : this.admittedAtMs;
  }
  get firstTokenMs(): Ms | null {
    return Number.isNaN(this.firstTokenAtMs) ? null : this.firstTokenAtMs;
  }
  get finishedMs(): Ms | null {
    return Number.isNaN(this.finishedAtMs) ? null : this.finishedAtMs;
  }

  /** As a new one. */
  reset(request: R, arrivedMs: Ms, order: number): void {
    this.request = request;
    this.arrivedMs = arrivedMs;
    this.order = order;
    this.state = "waiting";
    this.admittedAtMs = Number.NaN;
    this.firstTokenAtMs = Number.NaN;
    this.finishedAtMs = Number.NaN;
    this.preemptions = 0;
    this.leaves = false;
    this.target = request.promptTokens;
    this.computed = 0;
    this.blocks = 0;
    this.done = 0;
    this.heapAt = -1;
    this.queue = null;
    this.previous = null;
    this.next = null;
  }
}

/** Sequences in order; each is in at most one queue. Every operation takes constant time. */
export interface SequenceQueue<R extends EngineRequest> {
  readonly head: Sequence<R> | null;
  readonly tail: Sequence<R> | null;
  readonly size: number;
  push(sequence: Sequence<R>): void;
  unshift(sequence: Sequence<R>): void;
  remove(sequence: Sequence<R>): void;
  holds(sequence: Sequence<R>): boolean;
}

export const createQueue = <R extends EngineRequest>(): SequenceQueue<R> => new LinkedQueue<R>();

class LinkedQueue<R extends EngineRequest> implements SequenceQueue<R> {
  head: Sequence<R> | null = null;
  tail: Sequence<R> | null = null;
  size = 0;

  push(sequence: Sequence<R>): void {
    sequence.queue = this;
    sequence.previous = this.tail;
    if (this.tail === null) this.head = sequence;
    else this.tail.next = sequence;
    this.tail = sequence;
    this.size++;
  }

  unshift(sequence: Sequence<R>): void {
    sequence.queue = this;
    sequence.next = this.head;
    if (this.head === null) this.tail = sequence;
    else this.head.previous = sequence;
    this.head = sequence;
    this.size++;
  }

  remove(sequence: Sequence<R>): void {
    if (sequence.previous === null) this.head = sequence.next;
    else sequence.previous.next = sequence.next;
    if (sequence.next === null) this.tail = sequence.previous;
    else sequence.next.previous = sequence.previous;
    sequence.queue = null;
    sequence.previous = null;
    sequence.next = null;
    this.size--;
  }

  holds(sequence: Sequence<R>): boolean {
    return sequence.queue === this;
  }
}
