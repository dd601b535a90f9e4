import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provision } from "../../../scripts/integration.ts";
import { provision as provisionPlane } from "../bridge/provision.ts";

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

/** The control plane of the kubernetes suite, the platforms' definitions, and the operators of Ray and LeaderWorkerSet, built beside it. */
export async function provision(cache: string): Promise<Provision> {
  const plane = await provisionPlane(join(dirname(cache), "bridge"));
  if (!plane.ok) return plane;
  const env: Record<string, string> = { ...plane.env };
  for (const { variable, module, sum } of definitions) {
    const { code, output, said } = await go(["mod", "download", "-json", module], cache);
    if (code !== 0) return { ok: false, reason: `go mod download ${module}: ${(said || output).trim().slice(-600)}` };
    const got = JSON.parse(output) as { readonly Dir: string; readonly Sum: string };
    if (got.Sum !== sum) return { ok: false, reason: `the files of ${module} have the sum ${got.Sum}, not ${sum}` };
    env[variable] = got.Dir;
  }
  const sums = operators.map(({ module }) => readFileSync(join(modules, module, "go.sum")));
  const key = createHash("sha256").update(Buffer.concat(sums)).digest("hex").slice(0, 12);
  const folder = join(cache, `programs-${key}`);
  mkdirSync(folder, { recursive: true });
  for (const { name, module, path } of operators.filter((one) => !existsSync(join(folder, one.name)))) {
    process.stdout.write(`building ${name} …\n`);
    const part = join(folder, `${name}.${process.pid}`);
    const { code, said } = await go(["build", "-trimpath", "-ldflags", "-s -w", "-o", part, path], join(modules, module));
    if (code !== 0) return { ok: false, reason: `go build of ${name} (${path}): ${said.trim().slice(-600)}` };
    renameSync(part, join(folder, name));
  }
  return { ok: true, env: { ...env, TIDEGATE_SERVING: folder } };
}

function go(args: readonly string[], cwd: string): Promise<{ readonly code: number; readonly output: string; readonly said: string }> {
  mkdirSync(cwd, { recursive: true });
  return new Promise((resolve) => {
    const env = { ...process.env, GOFLAGS: "-mod=readonly -buildvcs=false", GOWORK: "off" };
    const child = spawn("nice", ["go", ...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let [output, said] = ["", ""];
    child.stdout.on("data", (text) => {
      output += text;
    });
    child.stderr.on("data", (text) => {
      said = `${said}${text}`.slice(-4000);
    });
    child.on("error", (error) => resolve({ code: 1, output, said: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output, said }));
  });
}
