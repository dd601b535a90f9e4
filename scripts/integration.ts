// `npm run test:integration [-- SUITE…]`: the suites that meet real servers. Each is a folder under tests/integration with a
// `provision.ts` (gets what it needs, outside the tree, and says what it got) and tests that run only when that worked.
// `-- --provision [SUITE…]` only gets what is needed: CI builds servers from source so, beside its other tests.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { constants, homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** `env` reaches the suite's tests. A reason says what was tried and what it answered. */
export type Provision =
  | { readonly ok: true; readonly env: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly reason: string };

/** A suite's `provision.ts`. */
interface Suite {
  /** Builds servers from source, which takes long where nothing is cached: such suites come last. */
  readonly builds?: boolean;
  provision(cache: string): Promise<Provision>;
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "tests", "integration");
const cache = process.env["TIDEGATE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tidegate");
const namesIn = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8"));
/** Suites that have run in CI: it fails where one of them is skipped. */
const expected: readonly string[] = namesIn("expected.json");
/** Suites that CI leaves to people for now, with the reason. */
const byHand: Readonly<Record<string, string>> = namesIn("by-hand.json");
const isCi = process.env["CI"] !== undefined;
const all = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "provision.ts")))
  .map((entry) => entry.name);
const provisionOnly = process.argv.includes("--provision");
const wanted = process.argv.slice(2).filter((arg) => arg !== "--provision");
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no integration suite ${unknown.join(", ")}; there is ${all.join(", ")}\n`);
  process.exit(2);
}
mkdirSync(cache, { recursive: true });

let running: ChildProcess | null = null;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    running?.kill(signal);
    process.exit(128 + constants.signals[signal]);
  });
}

const suites = new Map<string, Suite>();
for (const name of wanted.length > 0 ? wanted : all)
  suites.set(name, (await import(pathToFileURL(join(folder, name, "provision.ts")).href)) as Suite);
const late = (name: string) => (suites.get(name)?.builds === true ? 1 : 0);
const isLeftOut = (name: string) => isCi && wanted.length === 0 && byHand[name] !== undefined;
const provision = (name: string): Promise<Provision> =>
  (suites.get(name) as Suite).provision(join(cache, name)).catch((error: unknown) => ({ ok: false, reason: String(error) }));

if (provisionOnly) {
  const names = [...suites.keys()].filter((name) => !isLeftOut(name) && (wanted.length > 0 || late(name) === 1));
  for (const name of names) {
    const got = await provision(name);
    process.stdout.write(`${got.ok ? "provisioned" : "not provisioned"}: ${name}${got.ok ? "" : `: ${got.reason}`}\n`);
  }
  process.exit(0);
}

const total = { passed: 0, failed: 0, skipped: 0 };
for (const name of [...suites.keys()].sort((a, b) => late(a) - late(b))) {
  if (isLeftOut(name)) {
    process.stdout.write(`skipped: ${name}: left to people for now: ${byHand[name]}\n`);
    total.skipped++;
    continue;
  }
  const startedAt = performance.now();
  const got = await provision(name);
  if (!got.ok) {
    process.stdout.write(`skipped: ${name}: ${got.reason}\n`);
    total.skipped++;
    if (isCi && expected.includes(name)) {
      process.stdout.write(`FAIL ${name} ran before and must not be skipped\n`);
      total.failed++;
    }
    continue;
  }
  const { code, counts } = await testsOf(name, got.env);
  total.passed += counts.numPassedTests;
  total.failed += Math.max(counts.numFailedTests, code === 0 ? 0 : 1);
  total.skipped += counts.numPendingTests;
  process.stdout.write(`${code === 0 ? "ok" : "FAILED"}: ${name} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)\n`);
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed > 0 ? 1 : 0);

interface Counts {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
}

async function testsOf(name: string, env: Readonly<Record<string, string>>): Promise<{ readonly code: number; readonly counts: Counts }> {
  const reports = mkdtempSync(join(tmpdir(), "tidegate-integration-"));
  const removeReports = () => rmSync(reports, { recursive: true, force: true });
  process.on("exit", removeReports);
  const report = join(reports, "report.json");
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const child = spawn(
    process.execPath,
    [
      ...[vitest, "run", "--config", join(folder, "vitest.config.ts"), `${join("tests", "integration", name)}/`],
      ...["--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
    ],
    { cwd: root, stdio: "inherit", env: { ...process.env, ...env } },
  );
  running = child;
  const code = await new Promise<number>((resolve) => {
    child.on("error", () => resolve(1));
    child.on("close", (status) => resolve(status ?? 1));
  });
  running = null;
  const counts = existsSync(report)
    ? (JSON.parse(readFileSync(report, "utf8")) as Counts)
    : { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
  process.off("exit", removeReports);
  removeReports();
  return { code, counts };
}
