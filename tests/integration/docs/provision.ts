import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";

const docs = fileURLToPath(new URL("../../../docs", import.meta.url));

/** Copies the pages into the cache folder, with VitePress (100 MB) installed beside them there. */
export async function provision(cache: string): Promise<Provision> {
  mkdirSync(cache, { recursive: true });
  const installed = join(cache, "package.json");
  const same = existsSync(installed) && readFileSync(installed, "utf8") === readFileSync(join(docs, "package.json"), "utf8");
  for (const name of ["site", "pages"]) rmSync(join(cache, name), { recursive: true, force: true });
  cpSync(docs, join(cache, "pages"), { recursive: true, filter: (path) => !/node_modules|[/\\]\.vitepress[/\\](dist|cache)/.test(path) });
  if (!same || !existsSync(join(cache, "node_modules", "vitepress"))) {
    cpSync(join(docs, "package.json"), installed);
    const { status, error, stderr } = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], {
      cwd: cache,
      encoding: "utf8",
      timeout: 300_000,
    });
    if (status !== 0) {
      rmSync(installed, { force: true });
      return { ok: false, reason: `npm install of vitepress: ${error?.message ?? stderr.trim().slice(-500)}` };
    }
  }
  return { ok: true, env: { TIDEGATE_DOCS: cache } };
}
