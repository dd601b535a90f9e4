import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/model/index.ts";
import { RUNNERS } from "./kinds.ts";
import { readCases, runCases } from "./vectors.ts";

const USAGE = "usage: npm run conformance -- --vectors DIR [--vectors DIR…]";

/** Runs every vector of the folders given (by default our own copy). @returns the exit code: 1 on failures, 2 on wrong use. */
function main(args: readonly string[]): number {
  let cases: ReturnType<typeof readCases>;
  try {
    const { values } = parseArgs({ args: [...args], options: { vectors: { type: "string", multiple: true } } });
    const folders = values.vectors ?? [join(import.meta.dirname, "vectors")];
    cases = folders.flatMap(readCases);
    if (cases.length === 0) throw new Error(`no vectors in ${folders.join(", ")}`);
  } catch (error) {
    console.error(`${messageOf(error)}\n${USAGE}`);
    return 2;
  }

  const reports = runCases(cases, RUNNERS);
  const width = Math.max(...reports.map(({ kind }) => kind.length));
  for (const { kind, passed, skipped, failures } of reports) {
    const outcome = skipped > 0 ? `${skipped} skipped: no runner for this kind` : `${passed} passed, ${failures.length} failed`;
    console.log(`${kind.padEnd(width)}  ${outcome}`);
    for (const { name, differences } of failures) {
      console.log(`  ✗ ${name}`);
      for (const difference of differences) console.log(`      ${difference}`);
    }
  }
  const sum = (of: (report: (typeof reports)[number]) => number) => reports.reduce((total, report) => total + of(report), 0);
  const failed = sum(({ failures }) => failures.length);
  const skipped = sum((report) => report.skipped);
  if (skipped > 0) console.log(`${skipped} skipped`);
  console.log(`${sum(({ passed }) => passed)} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
