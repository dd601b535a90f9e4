import { performance } from "node:perf_hooks";
import type { Clock, Ms } from "../model/index.ts";

/** Longest delay that a Node timer takes; longer ones are chained. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * The wall clock, or `speed` times as fast. Monotonic: a wall clock that is set while we run does not move it.
 * `epochMs` (Unix ms, real) is where a scaled clock starts to run away from the wall: processes given the same one agree.
 */
export function realClock(speed = 1, epochMs: Ms = Date.now()): Clock {
  const startedAt = performance.now();
  const startMs = epochMs + (Date.now() - epochMs) * speed;
  const now = () => startMs + (performance.now() - startedAt) * speed;
  const after = (delayMs: Ms, callback: () => void) => {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: Ms) => {
      const partMs = Math.min(Math.max(0, leftMs), longestTimerMs);
      timer = setTimeout(() => (leftMs > partMs ? arm(leftMs - partMs) : callback()), partMs);
    };
    arm(delayMs / speed);
    return () => clearTimeout(timer);
  };
  const sleep = (delayMs: Ms, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stop = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = after(delayMs, () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      });
      signal?.addEventListener("abort", stop, { once: true });
    });
  return { speed, now, after, sleep };
}

/** The `epochMs` with which `realClock(speed, epochMs)` of another process shows the same time as this clock; `wallMs`: real. */
export function epochOf(clock: Pick<Clock, "speed" | "now">, wallMs: Ms = Date.now()): Ms {
  return clock.speed === 1 ? Math.round(wallMs) : Math.round((clock.speed * wallMs - clock.now()) / (clock.speed - 1));
}

/**
 * What to add to the times of a clock to have them on `ours`, for two clocks of one speed that began to run at different
 * moments. A whole number of seconds, so that what is counted by seconds stays so: within half a second of the exact shift.
 */
export function shiftBetween(ours: { readonly speed: number; readonly epochMs: Ms }, theirs: { readonly epochMs: Ms }): Ms {
  if (ours.speed === 1) return 0;
  return Math.round(((ours.epochMs - theirs.epochMs) * (1 - ours.speed)) / 1000) * 1000;
}
