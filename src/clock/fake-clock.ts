import type { Clock, Ms } from "../model/index.ts";

/** A clock that stands until it is told to move: for tests, which therefore never sleep. */
export interface FakeClock extends Clock {
  /** Moves by `ms`, running what falls due in order, and lets promises settle in between. */
  advance(ms: Ms): Promise<void>;
}

export function fakeClock(startMs: Ms = 0): FakeClock {
  let nowMs = startMs;
  let order = 0;
  const timers = new Map<number, { readonly dueMs: Ms; readonly callback: () => void }>();
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const after = (delayMs: Ms, callback: () => void) => {
    const id = order++;
    timers.set(id, { dueMs: nowMs + Math.max(0, delayMs), callback });
    return () => void timers.delete(id);
  };
  return {
    speed: 1,
    now: () => nowMs,
    after,
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const cancel = after(delayMs, resolve);
        signal?.addEventListener(
          "abort",
          () => {
            cancel();
            reject(signal.reason);
          },
          { once: true },
        );
      }),
    async advance(ms) {
      const endMs = nowMs + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(([, timer]) => timer.dueMs <= endMs).sort(([a, x], [b, y]) => x.dueMs - y.dueMs || a - b)[0];
        if (due === undefined) break;
        timers.delete(due[0]);
        nowMs = due[1].dueMs;
        due[1].callback();
        await settle();
      }
      nowMs = endMs;
      await settle();
    },
  };
}
