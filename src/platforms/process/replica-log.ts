import { closeSync, copyFileSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";

const readAtMostBytes = 256 * 1024;
const longestLineBytes = 16 * 1024;

/** The output of one replica: a file that the process writes to by itself, so it outlives us, and that we follow by reading. */
export interface ReplicaLog {
  readonly path: string;
  /** The last lines read, oldest first. */
  readonly lines: readonly string[];
  /** Reads what came since; `last`: a line without its end counts too, as nothing follows. Rotates a file that grew too large. */
  read(last?: boolean): void;
}

/**
 * Rotation copies to `<path>.1` and empties the file, as its writer keeps it open: lines written in between are lost.
 * What was written before is read as well, from at most 256 KiB before the end.
 */
export function replicaLog(
  path: string,
  onLine: (line: string) => void,
  { maxBytes = 5_000_000, keepLines = 50 }: { readonly maxBytes?: number; readonly keepLines?: number } = {},
): ReplicaLog {
  const lines: string[] = [];
  let offset = 0;
  const take = (text: string) => {
    for (const line of text.split("\n")) {
      lines.push(line.trimEnd());
      onLine(line);
    }
    lines.splice(0, Math.max(0, lines.length - keepLines));
  };
  const read = (last = false) => {
    let file: number;
    try {
      file = openSync(path, "r");
    } catch {
      return;
    }
    let size = 0;
    try {
      size = fstatSync(file).size;
      if (size < offset) offset = 0;
      if (size - offset > readAtMostBytes) offset = size - readAtMostBytes;
      const buffer = Buffer.alloc(size - offset);
      const part = buffer.subarray(0, readSync(file, buffer, 0, buffer.length, offset));
      const end = part.lastIndexOf(0x0a);
      const cut = last || (end < 0 && part.length > longestLineBytes) ? part.length : end + 1;
      if (cut > 0) {
        const text = part.toString("utf8", 0, cut);
        take(text.endsWith("\n") ? text.slice(0, -1) : text);
        offset += cut;
      }
    } finally {
      closeSync(file);
    }
    if (size > maxBytes) {
      copyFileSync(path, `${path}.1`);
      truncateSync(path, 0);
      offset = 0;
    }
  };
  return { path, lines, read };
}

/** Removes the oldest logs of a folder beyond `keep`, those of living replicas not counted. */
export function pruneLogs(folder: string, living: ReadonlySet<string>, keep = 50): void {
  const old = readdirSync(folder)
    .filter((name) => name.endsWith(".log") && !living.has(join(folder, name)))
    .map((name) => ({ path: join(folder, name), atMs: statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.atMs - a.atMs);
  for (const { path } of old.slice(keep)) {
    rmSync(path, { force: true });
    rmSync(`${path}.1`, { force: true });
  }
}
