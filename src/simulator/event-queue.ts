import type { Ms } from "../model/index.ts";

/** What happens when its time has come: it may set timers, itself included. */
export interface Timer {
  fire(nowMs: Ms): void;
}

const arity = 4;

/**
 * Timers in virtual time: a 4-ary heap in typed arrays, each timer at most once in it. Of equal times the one that was set first
 * goes first.
 */
export class EventQueue {
  private times = new Float64Array(64);
  private orders = new Float64Array(64);
  private ids = new Int32Array(64);
  /** By timer; -1: not set. */
  private positions = new Int32Array(64);
  private readonly timers: (Timer | null)[] = [];
  private readonly unused: number[] = [];
  private order = 0;
  private count = 0;
  /** The timer that fires right now: still at the top, so that setting itself again is one way down. -1: none, or it has. */
  private firing = -1;
  /** How many have fired, and when the last one did. */
  fired = 0;
  nowMs: Ms = 0;

  get size(): number {
    return this.count;
  }

  /** When the next one fires; Infinity: none is set. */
  get nextMs(): Ms {
    return this.count === 0 ? Number.POSITIVE_INFINITY : (this.times[0] as number);
  }

  /** A new timer, not yet set. @returns its number, until `remove` */
  add(timer: Timer | Timer["fire"]): number {
    const id = this.unused.pop() ?? this.timers.length;
    this.timers[id] = typeof timer === "function" ? { fire: timer } : timer;
    if (id >= this.positions.length) {
      const positions = new Int32Array(2 * this.positions.length);
      positions.set(this.positions);
      this.positions = positions;
    }
    this.positions[id] = -1;
    return id;
  }

  remove(id: number): void {
    this.clear(id);
    this.timers[id] = null;
    this.unused.push(id);
  }

  isSet(id: number): boolean {
    return (this.positions[id] as number) >= 0 && id !== this.firing;
  }

  /** Sets the timer or moves it, behind all others of that time; the time that it has already changes nothing. */
  set(id: number, atMs: Ms): void {
    const known = this.positions[id] as number;
    if (known < 0) {
      if (this.count === this.times.length) this.grow();
      this.up(this.count++, atMs, this.order++, id);
      return;
    }
    const beforeMs = this.times[known] as number;
    if (id === this.firing) this.firing = -1;
    else if (beforeMs === atMs) return;
    if (atMs < beforeMs) this.up(known, atMs, this.order++, id);
    else this.down(known, atMs, this.order++, id);
  }

  clear(id: number): void {
    const at = this.positions[id] as number;
    if (at < 0) return;
    if (id === this.firing) this.firing = -1;
    this.positions[id] = -1;
    const last = --this.count;
    if (at === last) return;
    const [time, order, moved] = [this.times[last] as number, this.orders[last] as number, this.ids[last] as number];
    const above = (at - 1) >> 2;
    if (at > 0 && this.isBefore(time, order, above)) this.up(at, time, order, moved);
    else this.down(at, time, order, moved);
  }

  /** Fires the next one, which is set no more unless it sets itself. */
  fireNext(): void {
    const id = this.ids[0] as number;
    const nowMs = this.times[0] as number;
    this.fired++;
    this.nowMs = nowMs;
    this.firing = id;
    (this.timers[id] as Timer).fire(nowMs);
    if (this.firing === id) this.clear(id);
  }

  /** Fires all that is due before `endMs`. */
  runBefore(endMs: Ms): void {
    while (this.count > 0 && (this.times[0] as number) < endMs) this.fireNext();
  }

  private isBefore(time: number, order: number, at: number): boolean {
    const other = this.times[at] as number;
    return time < other || (time === other && order < (this.orders[at] as number));
  }

  private put(at: number, time: number, order: number, id: number): void {
    this.times[at] = time;
    this.orders[at] = order;
    this.ids[at] = id;
    this.positions[id] = at;
  }

  private up(from: number, time: number, order: number, id: number): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 2;
      if (!this.isBefore(time, order, above)) break;
      this.put(at, this.times[above] as number, this.orders[above] as number, this.ids[above] as number);
      at = above;
    }
    this.put(at, time, order, id);
  }

  private down(from: number, time: number, order: number, id: number): void {
    let at = from;
    for (;;) {
      const first = arity * at + 1;
      if (first >= this.count) break;
      let least = first;
      const end = Math.min(first + arity, this.count);
      for (let child = first + 1; child < end; child++) {
        if (this.isBefore(this.times[child] as number, this.orders[child] as number, least)) least = child;
      }
      if (this.isBefore(time, order, least)) break;
      this.put(at, this.times[least] as number, this.orders[least] as number, this.ids[least] as number);
      at = least;
    }
    this.put(at, time, order, id);
  }

  private grow(): void {
    const [times, orders, ids] = [this.times, this.orders, this.ids];
    this.times = new Float64Array(2 * times.length);
    this.orders = new Float64Array(2 * times.length);
    this.ids = new Int32Array(2 * times.length);
    this.times.set(times);
    this.orders.set(orders);
    this.ids.set(ids);
  }
}
