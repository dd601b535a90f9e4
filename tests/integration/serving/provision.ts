import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { provision as provisionPlane } from "../bridge/provision.ts";
import { buildPrograms, go, keyOf } from "../go-build.ts";

/** Upstream's modules, as Go's module proxy has them, for the custom resource definitions in them. `sum`: of the module's files. */
const definitions = [
  { variable: "TIDEGATE_KSERVE", module: "github.com/kserve/kserve@v0.20.0", sum: "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=" },
  {
    variable: "TIDEGATE_KUBERAY",
    module: "github.com/ray-project/kuberay/ray-operator@v1.5.0",
    sum: "h1:KCjCQ7PSsvs9Ke+90CZbbs498nuaIJ/JkXk4vd54EVg=",
  },
  { variable: "TIDEGATE_LWS", module: "sigs.k8s.io/lws@v0.7.0", sum: "h1:qWfzX8+UBak+Hq0+m/PuE3uO0mp/3dmm5q/h/7z31A8=" },
] as const;

const operators = [
  { name: "ray-operator", module: "kuberay", path: "github.com/ray-project/kuberay/ray-operator" },
  { name: "lws-controller", module: "lws", path: "sigs.k8s.io/lws/cmd" },
] as const;

const modules = fileURLToPath(new URL("./modules", import.meta.url));

export const builds = true;

/** The control plane of the kubernetes suite, the platforms' definitions, and the operators of Ray and LeaderWorkerSet, built beside it. */
export async function provision(cache: string): Promise<Provision> {
  const plane = await provisionPlane(join(dirname(cache), "bridge"));
  if (!plane.ok) return plane;
  const env: Record<string, string> = { ...plane.env };
  for (const { variable, module, sum } of definitions) {
    const { wrong, output } = await go(["mod", "download", "-json", module], cache);
    if (wrong !== null) return { ok: false, reason: `go mod download ${module}: ${wrong}` };
    const got = JSON.parse(output) as { readonly Dir: string; readonly Sum: string };
    if (got.Sum !== sum) return { ok: false, reason: `the files of ${module} have the sum ${got.Sum}, not ${sum}` };
    env[variable] = got.Dir;
  }
  const programs = operators.map(({ module, ...program }) => ({ ...program, module: join(modules, module) }));
  const folder = join(cache, `programs-${keyOf(programs.map(({ module }) => join(module, "go.sum")))}`);
  const reason = await buildPrograms(folder, programs);
  if (reason !== null) return { ok: false, reason };
  return { ok: true, env: { ...env, TIDEGATE_SERVING: folder } };
}
