// `npm run test:integration [-- SUITE…]`: the suites that meet real servers. Each is a folder under tests/integration with a
// `provision.ts` (gets what it needs, outside the tree, and says what it got) and tests that run only when that worked.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** `env` reaches the suite's tests. A reason says what was tried and what it answered. */
export type Provision =
  | { readonly ok: true; readonly env: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly reason: string };

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "tests", "integration");
const cache = process.env["TIDEGATE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tidegate");
/** Suites that have run in CI: it fails where one of them is skipped. */
const expected: readonly string[] = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8"));
const all = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "provision.ts")))
  .map((entry) => entry.name);
/** Suites that CI leaves to people for now, with the reason. */
const byHand: Readonly<Record<string, string>> = JSON.parse(readFileSync(join(folder, "by-hand.json"), "utf8"));
const isCi = process.env["CI"] !== undefined;
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no integration suite ${unknown.join(", ")}; there is ${all.join(", ")}\n`);
  process.exit(2);
}
mkdirSync(cache, { recursive: true });

const total = { passed: 0, failed: 0, skipped: 0 };
for (const name of wanted.length > 0 ? wanted : all) {
  const reason = byHand[name];
  if (reason !== undefined && isCi && wanted.length === 0) {
    process.stdout.write(`skipped: ${name}: left to people for now: ${reason}\n`);
    total.skipped++;
    continue;
  }
  const startedAt = performance.now();
  const { provision } = (await import(pathToFileURL(join(folder, name, "provision.ts")).href)) as {
    provision(cache: string): Promise<Provision>;
  };
  const got = await provision(join(cache, name)).catch((error: unknown): Provision => ({ ok: false, reason: String(error) }));
  if (!got.ok) {
    process.stdout.write(`skipped: ${name}: ${got.reason}\n`);
    total.skipped++;
    if (isCi && expected.includes(name)) {
      process.stdout.write(`FAIL ${name} ran before and must not be skipped\n`);
      total.failed++;
    }
    continue;
  }
  const report = join(cache, `${name}-${process.pid}.json`);
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--config",
      join(folder, "vitest.config.ts"),
      join("tests", "integration", name),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
    { cwd: root, stdio: "inherit", env: { ...process.env, ...got.env } },
  );
  const counts = existsSync(report)
    ? JSON.parse(readFileSync(report, "utf8"))
    : { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
  total.passed += counts.numPassedTests;
  total.failed += Math.max(counts.numFailedTests, status === 0 ? 0 : 1);
  total.skipped += counts.numPendingTests;
  process.stdout.write(`${status === 0 ? "ok" : "FAILED"}: ${name} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)\n`);
  rmSync(report, { force: true });
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed > 0 ? 1 : 0);
