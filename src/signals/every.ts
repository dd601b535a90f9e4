import type { Clock, Ms } from "../model/index.ts";

/**
 * Runs `task` at once and then at every multiple of `periodMs` after that on the clock, without drift. A run that is not over
 * when the next one is due swallows it: runs never overlap. `task` must not throw. @returns a function that ends it, resolving
 * when the run under way is over.
 */
export function every(clock: Clock, periodMs: Ms, task: () => Promise<void>): () => Promise<void> {
  const startMs = clock.now();
  let running: Promise<void> | null = null;
  let stopped = false;
  let cancel = () => {};
  const tick = () => {
    if (stopped) return;
    running ??= task().finally(() => {
      running = null;
    });
    const nowMs = clock.now();
    const nextMs = startMs + (Math.floor((nowMs - startMs) / periodMs + 1e-9) + 1) * periodMs;
    cancel = clock.after(nextMs - nowMs, tick);
  };
  tick();
  return async () => {
    stopped = true;
    cancel();
    await running;
  };
}
