import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { TidegateError } from "../../model/index.ts";
import { look } from "./identity.ts";

/**
 * Takes the lock file at `path`, so that two controllers never own the same replicas. A lock whose process is dead (or whose pid
 * is another process's by now) is taken over. @returns gives it back
 * @throws TidegateError `platform/refused` while its owner lives
 */
export function takeLock(path: string): () => void {
  const own = `${path}.${randomUUID()}`;
  const content = JSON.stringify({ pid: process.pid, start: look(process.pid)?.start ?? null, nonce: randomUUID() });
  writeFileSync(own, content);
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      try {
        linkSync(own, path); // with its content in it at once: no reader ever sees half a lock
        return () => {
          if (readOrNull(path) === content) rmSync(path, { force: true });
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const held = readOrNull(path);
      if (held === null) continue;
      const owner = livingOwner(held);
      if (owner !== null) {
        throw new TidegateError(
          "platform/refused",
          `another Tidegate (pid ${owner}) already runs these replicas: ${path} is locked; stop it first, or give this one another state folder`,
        );
      }
      const aside = `${own}.stale`;
      try {
        renameSync(path, aside);
        if (readOrNull(aside) !== held) linkSync(aside, path); // somebody was quicker: that is a living lock, back with it
      } catch (error) {
        if (!["ENOENT", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      } finally {
        rmSync(aside, { force: true });
      }
    }
    throw new TidegateError("platform/busy", `${path} is being locked by several processes at once; try again`, { retryable: true });
  } finally {
    rmSync(own, { force: true });
  }
}

function livingOwner(content: string): number | null {
  try {
    const { pid, start } = JSON.parse(content) as { pid: number; start: string | null };
    const seen = look(pid);
    return seen?.alive && (start === null || seen.start === start) ? pid : null;
  } catch {
    return null;
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
