import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { randomModel } from "./gguf.ts";

const server = fileURLToPath(new URL("server.ts", import.meta.url));
const wanted = fileURLToPath(new URL("package.json", import.meta.url));

/** Installs llama.cpp's binding for Node (85 MB, no scripts, no build) and writes a model, both into the cache folder. */
export async function provision(cache: string): Promise<Provision> {
  const here = `${process.platform}-${process.arch}`;
  if (here !== "linux-x64") return { ok: false, reason: `llama.cpp is pinned for linux-x64 only, and this is ${here}` };
  mkdirSync(cache, { recursive: true });
  const installed = join(cache, "installed.json");
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(wanted, "utf8")) {
    copyFileSync(wanted, join(cache, "package.json"));
    const { status, error, stderr } = spawnSync(
      "npm",
      ["install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"],
      { cwd: cache, encoding: "utf8", timeout: 300_000 },
    );
    if (status !== 0) return { ok: false, reason: `npm install of node-llama-cpp: ${error?.message ?? stderr.trim().slice(-500)}` };
    copyFileSync(wanted, installed);
  }
  const model = join(cache, "random.gguf");
  writeFileSync(`${model}.new`, randomModel());
  renameSync(`${model}.new`, model);
  // In a process of its own: a native library that does not fit this machine may end the process that loads it.
  const probe = spawnSync(process.execPath, [server, "--model", model, "--check"], {
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, TIDEGATE_LLAMACPP_HOME: cache },
  });
  if (probe.status !== 0) {
    return { ok: false, reason: `llama.cpp does not load: ${probe.error?.message ?? (probe.stderr.trim().slice(-500) || probe.signal)}` };
  }
  return { ok: true, env: { TIDEGATE_LLAMACPP_HOME: cache, TIDEGATE_LLAMACPP_MODEL: model } };
}
