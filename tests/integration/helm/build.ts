import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { buildPrograms, keyOf } from "../go-build.ts";

const module = fileURLToPath(new URL("./module", import.meta.url));
const tools = { helm: "helm.sh/helm/v4/cmd/helm", kubeconform: "github.com/yannh/kubeconform/cmd/kubeconform" };

/** helm and kubeconform, out of `cache` or built into it: a few minutes on one core the first time. */
export async function buildHelm(cache: string): Promise<Provision> {
  const folder = join(cache, `programs-${keyOf([join(module, "go.sum")])}`);
  const reason = await buildPrograms(
    folder,
    Object.entries(tools).map(([name, path]) => ({ name, module, path })),
  );
  if (reason !== null) return { ok: false, reason };
  return { ok: true, env: { TIDEGATE_HELM: join(folder, "helm"), TIDEGATE_KUBECONFORM: join(folder, "kubeconform") } };
}
