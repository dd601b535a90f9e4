import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Builds and packs the package, and installs the archive into an empty project in the cache folder, as a user would. */
export async function provision(cache: string): Promise<Provision> {
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const run = (command: string, args: readonly string[], cwd: string) => {
    const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 300_000 });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `${stdout}${stderr}`.trim().slice(-800)}`);
  };
  // What does not build is a failure of ours, and no reason to skip.
  run(process.execPath, [join(root, "scripts", "build.ts")], root);
  run("npm", ["pack", join(root, "dist", "package"), "--pack-destination", cache], cache);
  const [archive = ""] = readdirSync(cache).filter((name) => name.endsWith(".tgz"));
  writeFileSync(join(cache, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  try {
    run("npm", ["install", "--no-audit", "--no-fund", `./${archive}`], cache);
  } catch (error) {
    return { ok: false, reason: String(error) };
  }
  return { ok: true, env: { TIDEGATE_INSTALLED: cache } };
}
