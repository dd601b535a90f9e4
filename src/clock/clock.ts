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
