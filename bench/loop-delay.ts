/**
 * `node --import loop-delay.ts …`: every half second a line in TIDEGATE_LOOP_DELAY/PID.jsonl, of how late this process's event loop was.
 * Children inherit it with NODE_OPTIONS.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";

const folder = process.env["TIDEGATE_LOOP_DELAY"];
const resolution = 5;
const everyMs = 500;

export interface LoopDelay {
  /** Unix time of the end of the half second. */
  readonly atMs: number;
  readonly p95Ms: number;
  readonly maxMs: number;
}

if (folder !== undefined && folder !== "") {
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution);
  setInterval(() => {
    const line: LoopDelay = { atMs: Date.now(), p95Ms: late(delay.percentile(95)), maxMs: late(delay.max) };
    delay.reset();
    try {
      appendFileSync(join(folder, `${process.pid}.jsonl`), `${JSON.stringify(line)}\n`);
    } catch {
      // The bench is over and has taken its folder away.
    }
  }, everyMs).unref();
}
