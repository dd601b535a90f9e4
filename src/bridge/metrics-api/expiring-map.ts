import type { Clock, Ms } from "../../model/index.ts";

/** Answers that hold for a time of their own; the oldest make room. */
export class ExpiringMap<Value> {
  private readonly entries = new Map<string, { readonly value: Value; readonly untilMs: Ms }>();
  private readonly size: number;
  private readonly clock: Clock;

  constructor(size: number, clock: Clock) {
    this.size = size;
    this.clock = clock;
  }

  get(key: string): Value | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    if (this.clock.now() < entry.untilMs) return entry.value;
    this.entries.delete(key);
    return undefined;
  }

  set(key: string, value: Value, ttlMs: Ms): void {
    this.entries.delete(key);
    this.entries.set(key, { value, untilMs: this.clock.now() + ttlMs });
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.size) break;
      this.entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.entries.delete(key);
  }
}
