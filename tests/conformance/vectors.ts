import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, differences, type Runner } from "./expect.ts";

export interface Failure {
  readonly file: string;
  readonly name: string;
  readonly differences: readonly string[];
}
export interface KindReport {
  readonly kind: string;
  readonly passed: number;
  /** Cases of a kind without a runner. */
  readonly skipped: number;
  readonly failures: readonly Failure[];
}

/** Every case below `folder`, with its file; files that are no lists of cases are left out. @throws what reading and JSON.parse throw. */
export function readCases(folder: string): readonly { readonly file: string; readonly vector: Case }[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".json"))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .flatMap((file) => {
      const content: unknown = JSON.parse(readFileSync(file, "utf8"));
      return Array.isArray(content) ? content.filter(isCase).map((vector) => ({ file, vector })) : [];
    });
}

function isCase(value: unknown): value is Case {
  return typeof value === "object" && value !== null && "kind" in value && typeof value.kind === "string" && "input" in value;
}

/** One report per kind, in alphabetical order. */
export function runCases(
  cases: readonly { readonly file: string; readonly vector: Case }[],
  runners: ReadonlyMap<string, Runner>,
): readonly KindReport[] {
  const byKind = Map.groupBy(cases, ({ vector }) => vector.kind);
  return [...byKind]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, members]) => {
      const run = runners.get(kind);
      if (run === undefined) return { kind, passed: 0, skipped: members.length, failures: [] };
      const failures = members.flatMap(({ file, vector }) => {
        const found = differences(vector, run);
        return found.length === 0 ? [] : [{ file, name: vector.name, differences: found }];
      });
      return { kind, passed: members.length - failures.length, skipped: 0, failures };
    });
}
