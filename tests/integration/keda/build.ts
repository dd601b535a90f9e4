import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";

const module = fileURLToPath(new URL("./module", import.meta.url));
const keda = "github.com/kedacore/keda/v2";

/** KEDA's operator and metrics adapter, out of `cache` or built into it, and where its custom resource definitions are. */
export async function buildKeda(cache: string): Promise<Provision> {
  const key = createHash("sha256")
    .update(readFileSync(join(module, "go.sum")))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cache, `programs-${key}`);
  mkdirSync(folder, { recursive: true });
  const missing = ["operator", "adapter"].filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0) {
    process.stdout.write(`building KEDA's ${missing.join(" and ")} …\n`);
    const paths = missing.map((name) => `${keda}/cmd/${name}`);
    const { code, said } = await go(["build", "-trimpath", "-ldflags", "-s -w", "-o", `${folder}/`, ...paths]);
    if (code !== 0) return { ok: false, reason: `go build of KEDA: ${said.trim().slice(-600)}` };
  }
  const { stdout } = spawnSync("go", ["list", "-m", "-f", "{{.Dir}}", keda], { cwd: module, encoding: "utf8" });
  const crds = join(stdout.trim(), "config", "crd", "bases");
  if (!existsSync(crds)) return { ok: false, reason: `KEDA's module has no custom resource definitions at ${crds}` };
  return { ok: true, env: { TIDEGATE_KEDA: folder, TIDEGATE_KEDA_CRDS: crds } };
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
