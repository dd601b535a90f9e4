import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** Results of runs that are over. A run is known by all that it depends on, so that whatever is changed runs anew. */
export interface RunBook<Result> {
  get(key: unknown): Result | undefined;
  keep(key: unknown, result: Result): void;
}

/** Kept in a file of JSON lines, which may end in half a line where its writer was broken off; without a file nothing is kept. */
export function bookOf<Result>(file: string | undefined): RunBook<Result> {
  if (file === undefined) return { get: () => undefined, keep: () => {} };
  const hash = (key: unknown) => createHash("sha256").update(JSON.stringify(key)).digest("base64url");
  const known = new Map<string, Result>();
  for (const line of existsSync(file) ? readFileSync(file, "utf8").split("\n") : []) {
    try {
      const { key, result } = JSON.parse(line) as { readonly key: string; readonly result: Result };
      known.set(key, result);
    } catch {
      // The last line of a run that was broken off.
    }
  }
  return {
    get: (key) => known.get(hash(key)),
    keep(key, result) {
      known.set(hash(key), result);
      appendFileSync(file, `${JSON.stringify({ key: hash(key), result })}\n`);
    },
  };
}
