import { isAbsolute, join } from "node:path";
import { openTrace } from "../load/index.ts";
import type { OpenTrace } from "../simulator/index.ts";
import type { TraceRequest } from "../traces/index.ts";

/** A process or thread holds the rows of this many trace files: work comes scenario by scenario, so that it seldom reads one twice. */
const FILES_HELD = 2;
const held = new Map<string, Promise<readonly TraceRequest[]>>();

/** Opens what a scenario names, from the folder that its files are in. */
export const heldTraces =
  (folder: string): OpenTrace =>
  (file) => {
    const path = file === "builtin" || isAbsolute(file) ? file : join(folder, file);
    const known = held.get(path);
    if (known !== undefined) return known;
    const rows = collected(openTrace(path));
    held.set(path, rows);
    const [oldest] = held.keys();
    if (held.size > FILES_HELD && oldest !== undefined) held.delete(oldest);
    return rows;
  };

async function collected(rows: AsyncIterable<TraceRequest>): Promise<readonly TraceRequest[]> {
  const all: TraceRequest[] = [];
  for await (const row of rows) all.push(row);
  return all;
}
