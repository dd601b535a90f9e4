import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";

const module = fileURLToPath(new URL("./module", import.meta.url));
const tools = { helm: "helm.sh/helm/v4/cmd/helm", kubeconform: "github.com/yannh/kubeconform/cmd/kubeconform" };

/** helm and kubeconform, out of `cache` or built into it: a few minutes on one core the first time. */
export async function buildHelm(cache: string): Promise<Provision> {
  const key = createHash("sha256")
    .update(readFileSync(join(module, "go.sum")))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cache, `programs-${key}`);
  mkdirSync(folder, { recursive: true });
  for (const [name, path] of Object.entries(tools)) {
    if (existsSync(join(folder, name))) continue;
    process.stdout.write(`building ${name} …\n`);
    const part = join(folder, `${name}.${process.pid}`);
    const { code, said } = await go(["build", "-trimpath", "-ldflags", "-s -w", "-o", part, path]);
    if (code !== 0) return { ok: false, reason: `go build of ${name}: ${said.trim().slice(-600)}` };
    renameSync(part, join(folder, name));
  }
  return { ok: true, env: { TIDEGATE_HELM: join(folder, "helm"), TIDEGATE_KUBECONFORM: join(folder, "kubeconform") } };
}

function go(args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, GOFLAGS: "-mod=readonly -buildvcs=false", GOWORK: "off" };
    const child = spawn("nice", ["go", ...args], { cwd: module, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => {
        said = `${said}${text}`.slice(-4000);
      });
    }
    child.on("error", (error) => resolve({ code: 1, said: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, said }));
  });
}
