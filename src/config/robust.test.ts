import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { TidegateError } from "../model/index.ts";
import { type ConfigCheck, checkConfig, parseConfigDocuments } from "./index.ts";

const reference = readFileSync(new URL("../../examples/tidegate.yaml", import.meta.url), "utf8");
const manifest = readFileSync(new URL("../../examples/hpa-gpu-utilization.yaml", import.meta.url), "utf8");
const documents = [...parseAllDocuments(reference), ...parseAllDocuments(manifest)].map((document) => document.toJS() as unknown);

function pathsOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, Array.isArray(value) ? Number(key) : key]))];
}
const paths = documents.flatMap((document, at) => pathsOf(document).map((path) => ({ at, path })));

it("whatever stands in place of a part, it is read or refused with config/invalid", () => {
  const junk = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(undefined, "30s", "-1s", "never", "{env: X}", {}, [], { env: "X" }, { file: "x" }, 0, -1, 1e99),
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), junk, ({ at, path }, value) => {
      const changed = structuredClone(documents) as unknown[];
      const inner = path.slice(0, -1).reduce<unknown>((node, part) => (node as Record<string, unknown>)[part], changed[at]);
      if (path.length === 0) changed[at] = value;
      else (inner as Record<string, unknown>)[path.at(-1)!] = value;
      try {
        parseConfigDocuments(changed, { env: {} });
      } catch (error) {
        expect(error).toBeInstanceOf(TidegateError);
        expect((error as TidegateError).code).toBe("config/invalid");
      }
    }),
    { numRuns: 1_000, seed: 7 },
  );
});

it("whatever happens to the text, every problem has a place in it", () => {
  const lines = reference.split("\n");
  const place = fc.nat(reference.length - 1);
  fc.assert(
    fc.property(place, fc.nat(30), fc.string({ maxLength: 6 }), (from, length, inserted) => {
      const text = reference.slice(0, from) + inserted + reference.slice(from + length);
      const check: ConfigCheck = checkConfig([{ file: "t", text }], { env: {} });
      for (const { line, column } of [...check.issues, ...check.warnings]) {
        expect(line === null || (line >= 1 && line <= lines.length + 6)).toBe(true);
        expect(column === null || column >= 1).toBe(true);
      }
    }),
    { numRuns: 150, seed: 7 },
  );
});
