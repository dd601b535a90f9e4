import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { realClock } from "../clock/index.ts";
import { type Clock, messageOf, TidegateError } from "../model/index.ts";

/**
 * The clock of a loop that keeps its state in `folder`. A faster one goes on from where it began to run at the first start, for
 * else a restart would set it back behind what history, policies and adopted replicas remember. At another speed it begins anew.
 * @throws TidegateError `history/unwritable` where the folder cannot be written
 */
export function fleetClock(folder: string, speed: number): Clock {
  if (speed === 1) return realClock();
  const file = join(folder, "clock.json");
  const known = readEpoch(file, speed);
  if (known !== null) return realClock(speed, known);
  const epochMs = Date.now();
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, `${JSON.stringify({ speed, epochMs })}\n`);
  } catch (error) {
    throw new TidegateError(
      "history/unwritable",
      `the state folder ${folder} cannot be written (${messageOf(error)}); make it writable or choose another with --state`,
      { cause: error },
    );
  }
  return realClock(speed, epochMs);
}

/** @returns null where there is none for this speed, or none that can be read */
function readEpoch(file: string, speed: number): number | null {
  try {
    const saved = JSON.parse(readFileSync(file, "utf8")) as { readonly speed?: unknown; readonly epochMs?: unknown };
    return saved.speed === speed && typeof saved.epochMs === "number" && saved.epochMs <= Date.now() ? saved.epochMs : null;
  } catch {
    return null;
  }
}
