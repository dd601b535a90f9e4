import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { go, inTurn } from "../go-build.ts";

const module = fileURLToPath(new URL("./module", import.meta.url));
const keda = "github.com/kedacore/keda/v2";

/** KEDA's operator, metrics adapter and custom resource definitions, out of `cache` or built into it. */
export async function buildKeda(cache: string): Promise<Provision> {
  const key = createHash("sha256")
    .update(readFileSync(join(module, "go.sum")))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cache, `programs-${key}`);
  const crds = join(folder, "crds");
  const there: Provision = { ok: true, env: { TIDEGATE_KEDA: folder, TIDEGATE_KEDA_CRDS: crds } };
  const missing = () => ["operator", "adapter"].filter((name) => !existsSync(join(folder, name)));
  if (missing().length === 0 && existsSync(crds)) return there;
  return inTurn<Provision>(folder, async () => {
    mkdirSync(folder, { recursive: true });
    const names = missing();
    if (names.length > 0) {
      const startedAt = performance.now();
      process.stdout.write(`building KEDA's ${names.join(" and ")} …\n`);
      const paths = names.map((name) => `${keda}/cmd/${name}`);
      const wrong = await go(["build", "-trimpath", "-ldflags", "-s -w", "-o", `${folder}/`, ...paths], module);
      if (wrong !== null) return { ok: false, reason: `go build of KEDA: ${wrong}` };
      process.stdout.write(`built KEDA (${((performance.now() - startedAt) / 1000).toFixed(0)} s)\n`);
    }
    const wrong = await go(["mod", "download", keda], module);
    if (wrong !== null) return { ok: false, reason: `go mod download ${keda}: ${wrong}` };
    const { stdout } = spawnSync("go", ["list", "-m", "-f", "{{.Dir}}", keda], { cwd: module, encoding: "utf8" });
    const bases = join(stdout.trim(), "config", "crd", "bases");
    if (!existsSync(bases)) return { ok: false, reason: `KEDA's module has no custom resource definitions at ${bases}` };
    cpSync(bases, crds, { recursive: true });
    return there;
  });
}
