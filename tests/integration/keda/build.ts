import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { buildPrograms, go, inTurn, keyOf } from "../go-build.ts";

const module = fileURLToPath(new URL("./module", import.meta.url));
const keda = "github.com/kedacore/keda/v2";

/** KEDA's operator, metrics adapter and custom resource definitions, out of `cache` or built into it. */
export async function buildKeda(cache: string): Promise<Provision> {
  const folder = join(cache, `programs-${keyOf([join(module, "go.sum")])}`);
  const reason = await buildPrograms(
    folder,
    ["operator", "adapter"].map((name) => ({ name, module, path: `${keda}/cmd/${name}` })),
  );
  if (reason !== null) return { ok: false, reason };
  const crds = join(folder, "crds");
  const there: Provision = { ok: true, env: { TIDEGATE_KEDA: folder, TIDEGATE_KEDA_CRDS: crds } };
  if (existsSync(crds)) return there;
  return inTurn<Provision>(folder, async () => {
    const { wrong, output } = await go(["mod", "download", "-json", keda], module);
    if (wrong !== null) return { ok: false, reason: `go mod download ${keda}: ${wrong}` };
    const bases = join((JSON.parse(output) as { Dir: string }).Dir, "config", "crd", "bases");
    if (!existsSync(bases)) return { ok: false, reason: `KEDA's module has no custom resource definitions at ${bases}` };
    cpSync(bases, crds, { recursive: true });
    return there;
  });
}
