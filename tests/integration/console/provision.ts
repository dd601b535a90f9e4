import { spawnSync } from "node:child_process";
import type { Provision } from "../../../scripts/integration.ts";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const run = (command: string, args: readonly string[]) => spawnSync(command, args, { encoding: "utf8", timeout: 600_000 });
const onPath = () => names.find((name) => run(name, ["--version"]).status === 0);

/** A Chromium from PATH (or TIDEGATE_CHROMIUM), else Debian's package where this is root: a browser has no use outside the system. */
export async function provision(): Promise<Provision> {
  const given = process.env["TIDEGATE_CHROMIUM"];
  if (given !== undefined) return { ok: true, env: { TIDEGATE_CHROMIUM: given } };
  const there = onPath();
  if (there !== undefined) return { ok: true, env: { TIDEGATE_CHROMIUM: pathOf(there) } };
  if (process.getuid?.() !== 0) return { ok: false, reason: `no ${names.join(", ")} on PATH, and only root may install Debian's chromium` };
  run("apt-get", ["update"]);
  const { status, error, stderr } = run("apt-get", ["install", "--yes", "--no-install-recommends", "chromium"]);
  const installed = onPath();
  if (installed === undefined)
    return { ok: false, reason: `apt-get install chromium (${status}): ${error?.message ?? stderr.trim().slice(-500)}` };
  return { ok: true, env: { TIDEGATE_CHROMIUM: pathOf(installed) } };
}

/** Playwright wants the program itself, not its name. */
const pathOf = (name: string): string => run("sh", ["-c", `command -v ${name}`]).stdout.trim();
