// `npm test`: types, lint, import rules, unused code, then unit, conformance and end-to-end tests. Stops at the first failure.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bin = (name: string) => join(root, "node_modules", ".bin", name);
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
const steps: readonly (readonly [string, readonly string[]])[] = [
  ["types", [bin("tsc"), "--noEmit"]],
  ["lint", [bin("biome"), "check", "--error-on-warnings", "."]],
  ["import rules", [bin("depcruise"), "--config", ".dependency-cruiser.cjs", "--output-type", "err", "src"]],
  ["tests", [process.execPath, vitest, "run", ...process.argv.slice(2)]],
];
for (const [name, [command = "", ...args]] of steps) {
  const startedAt = performance.now();
  const plain = process.env["CI"] === undefined ? {} : { TIDEGATE_REPORTER: "plain" };
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...plain } });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stderr.write(`${status === 0 ? "ok" : "FAILED"}: ${name} (${seconds} s)\n`);
  if (status !== 0) {
    if (error !== undefined) process.stderr.write(`${error.message}\n`);
    process.exit(status ?? 1);
  }
}
