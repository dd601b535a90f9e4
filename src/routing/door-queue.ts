import type { ClassOrder, DoorBound, Ms, Objective } from "../model/index.ts";

/** What the queue keeps with each that waits. It owns `lane`, `place` and `order`; the rest is the caller's and stays as it is while it waits. */
export interface DoorWaiter {
  readonly arrivedMs: Ms;
  /** From then on it counts as late; Infinity: never. */
  readonly lateFromMs: Ms;
  readonly classOrder: ClassOrder | null;
  lane: number;
  place: number;
  order: number;
}

/** Those of classes that come first, all others, those of classes that come last, and the late ones of any class. */
const FIRST = 0;
const PLAIN = 1;
const LAST = 2;
const LATE = 3;
/** The `lane` of one that waits nowhere. */
export const NOWHERE = -1;

/**
 * Who waits at a door until a replica has room: those that can still meet their bound on time to first token before those that cannot any
 * more, each lane by arrival. Nobody is dropped and nobody starves: after at most `oldestEvery` − 1 in a row that passed over it, the one
 * that has waited longest of all goes next, so that one with n older ones before it goes within `oldestEvery` × (n + 1) departures. One
 * that arrives may not count as older than it is (a retry keeps its arrival). Every operation takes O(log n).
 */
export class DoorQueue<W extends DoorWaiter> {
  private readonly lanes = [new ArrivalHeap<W>(), new ArrivalHeap<W>(), new ArrivalHeap<W>(), new ArrivalHeap<W>()] as const;
  private count = 0;
  private passedOver = 0;
  private order = 0;

  get size(): number {
    return this.count;
  }

  /** Those that are known to be late by `nowMs`: who stands behind one that is not is not looked at. */
  lateBy(nowMs: Ms): number {
    this.settle(nowMs);
    return this.lanes[LATE].size;
  }

  push(waiter: W): void {
    const { classOrder } = waiter;
    waiter.order = this.order++;
    this.count++;
    this.put(waiter, classOrder === "first" ? FIRST : classOrder === "last" ? LAST : PLAIN);
  }

  /** Does nothing to one that waits nowhere. */
  remove(waiter: W): void {
    if (waiter.lane === NOWHERE) return;
    (this.lanes[waiter.lane] as ArrivalHeap<W>).remove(waiter);
    waiter.lane = NOWHERE;
    this.count--;
  }

  /** The one that goes next; null: nobody waits. */
  take(nowMs: Ms, oldestEvery: number): { readonly waiter: W; readonly late: boolean } | null {
    this.settle(nowMs);
    const first = this.lanes.find((lane) => lane.size > 0)?.top;
    if (first === undefined) return null;
    const oldest = this.oldest as W;
    const turn = this.passedOver + 1 >= oldestEvery ? oldest : first;
    this.passedOver = turn === oldest ? 0 : this.passedOver + 1;
    const late = turn.lane === LATE;
    this.remove(turn);
    return { waiter: turn, late };
  }

  /** The one that arrived first, whatever its class and lateness. */
  takeOldest(): W | null {
    const { oldest } = this;
    if (oldest !== null) this.remove(oldest);
    this.passedOver = 0;
    return oldest;
  }

  /** In no order. It must not change meanwhile. */
  forEach(visit: (waiter: W) => void): void {
    for (const lane of this.lanes) lane.forEach(visit);
  }

  private get oldest(): W | null {
    let oldest: W | null = null;
    for (const { top } of this.lanes) if (top !== undefined && (oldest === null || isBefore(top, oldest))) oldest = top;
    return oldest;
  }

  private put(waiter: W, lane: number): void {
    waiter.lane = lane;
    (this.lanes[lane] as ArrivalHeap<W>).push(waiter);
  }

  /** Each changes to the late ones once, when it has come to the head of its lane. */
  private settle(nowMs: Ms): void {
    for (const lane of this.lanes) {
      if (lane === this.lanes[LATE]) return;
      for (let { top } = lane; top !== undefined && top.lateFromMs <= nowMs; top = lane.top) {
        lane.remove(top);
        this.put(top, LATE);
      }
    }
  }
}

/**
 * When a request becomes late: what its bound on time to first token leaves after its own prefill and that of as many prompt tokens as
 * may be ahead of it. Where the speed is not known, the bound itself.
 */
export function lateFromMs(
  arrivedMs: Ms,
  promptTokens: number,
  { timeToFirstTokenMs }: Objective,
  bound: DoorBound | null,
  classOrder: ClassOrder | null,
): Ms {
  if (classOrder === "fifo") return Number.POSITIVE_INFINITY;
  const speed = bound?.promptTokensPerSecond ?? null;
  const prefillMs = bound === null || speed === null ? 0 : (1000 * (promptTokens + bound.maxPromptTokens)) / speed;
  return arrivedMs + timeToFirstTokenMs - prefillMs;
}

/**
 * Whether a replica may be given one more: fewer in flight than its bound, and fewer prompt tokens given and not yet prefilled. A prompt of
 * any length goes where there is room, so that a long one waits for no emptier replica than a short one.
 */
export const hasRoom = (bound: DoorBound | null, inFlight: number, promptTokensAhead: number): boolean =>
  bound === null || (inFlight < bound.maxInFlight && promptTokensAhead < bound.maxPromptTokens);

/** The part of a bound that falls to one of several gateways; each may have one request with a replica, whatever the bound. */
export const shareOfBound = (bound: DoorBound, gateways: number): DoorBound => ({
  maxInFlight: Math.max(1, Math.ceil(bound.maxInFlight / gateways)),
  maxPromptTokens: Math.max(1, Math.ceil(bound.maxPromptTokens / gateways)),
  promptTokensPerSecond: bound.promptTokensPerSecond,
});

const isBefore = (a: DoorWaiter, b: DoorWaiter) => a.arrivedMs < b.arrivedMs || (a.arrivedMs === b.arrivedMs && a.order < b.order);

/** A binary heap by arrival, of equal ones by the order in which they came; each knows its place, so that one that leaves from the middle costs no search. */
class ArrivalHeap<W extends DoorWaiter> {
  private readonly items: W[] = [];

  get size(): number {
    return this.items.length;
  }
  get top(): W | undefined {
    return this.items[0];
  }

  push(waiter: W): void {
    this.items.push(waiter);
    this.up(waiter, this.items.length - 1);
  }

  remove(waiter: W): void {
    const last = this.items.pop() as W;
    if (last === waiter) return;
    const { place } = waiter;
    this.up(last, place);
    if (last.place === place) this.down(last, place);
  }

  forEach(visit: (waiter: W) => void): void {
    for (const item of this.items) visit(item);
  }

  private up(waiter: W, from: number): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = this.items[above] as W;
      if (!isBefore(waiter, other)) break;
      this.put(other, at);
      at = above;
    }
    this.put(waiter, at);
  }

  private down(waiter: W, from: number): void {
    const { items } = this;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1] as W, items[child] as W)) child++;
      const other = items[child] as W;
      if (!isBefore(other, waiter)) break;
      this.put(other, at);
      at = child;
    }
    this.put(waiter, at);
  }

  private put(waiter: W, at: number): void {
    this.items[at] = waiter;
    waiter.place = at;
  }
}
