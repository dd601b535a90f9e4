import type { Ms } from "../model/index.ts";

/** Ringing this much after its time, a timer tells of this process standing still, not of the other side. */
const lateMs: Ms = 100;
/** What had come meanwhile is read in so long. */
const graceMs: Ms = 500;

export interface TimeLimit {
  readonly signal: AbortSignal;
  /** Takes the timer away. */
  clear(): void;
}

/**
 * Aborts after `timeoutMs` of real time with a TimeoutError. Unlike `AbortSignal.timeout` it is fair to whoever answered while this
 * process was busy or starved: timers ring before sockets are read, so one that rings late waits once more before it accuses.
 */
export function timeLimit(timeoutMs: Ms): TimeLimit {
  const controller = new AbortController();
  const whole = Math.max(1, Math.ceil(timeoutMs));
  const dueMs = performance.now() + whole;
  const end = () => controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  let timer = setTimeout(() => {
    if (performance.now() - dueMs < lateMs) end();
    else timer = setTimeout(end, graceMs).unref();
  }, whole).unref();
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}
