import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { go, inTurn } from "../../go-build.ts";

const kubernetesVersion = "v1.36.3";
/** Without it, `/version` has an empty minor, on which some clients choke. */
const stamped = (version: string) => {
  const [major = "", minor = ""] = version.slice(1).split(".");
  const at = "k8s.io/component-base/version";
  return `-X ${at}.gitVersion=${version} -X ${at}.gitMajor=${major} -X ${at}.gitMinor=${minor}`;
};

/** A module of ours for each, for k8s.io/kubernetes and etcd have replace directives, which `go install MODULE@VERSION` refuses. */
const programs = [
  { name: "etcd", module: "etcd", path: "go.etcd.io/etcd/server/v3", ldflags: "" },
  { name: "kube-apiserver", module: "kubernetes", path: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags: stamped(kubernetesVersion) },
  {
    name: "kube-controller-manager",
    module: "kubernetes",
    path: "k8s.io/kubernetes/cmd/kube-controller-manager",
    ldflags: stamped(kubernetesVersion),
  },
  { name: "kube-scheduler", module: "kubernetes", path: "k8s.io/kubernetes/cmd/kube-scheduler", ldflags: stamped(kubernetesVersion) },
  { name: "kwok", module: "kwok", path: "sigs.k8s.io/kwok/cmd/kwok", ldflags: "" },
] as const;
export type Program = (typeof programs)[number]["name"];

export type Built = { readonly ok: true; readonly folder: string } | { readonly ok: false; readonly reason: string };

const modules = fileURLToPath(new URL("./modules", import.meta.url));

/** The programs of the control plane, out of `cache` or built into it: under the modules' own sums, so a changed version is built anew. */
export async function buildPlane(cache: string): Promise<Built> {
  const sums = [...new Set(programs.map(({ module }) => module))].map((module) => readFileSync(join(modules, module, "go.sum")));
  const key = createHash("sha256").update(Buffer.concat(sums)).update(kubernetesVersion).digest("hex").slice(0, 12);
  const folder = join(cache, `programs-${key}`);
  const missing = () => programs.filter(({ name }) => !existsSync(join(folder, name)));
  if (missing().length === 0) return { ok: true, folder };
  if (spawnSync("go", ["version"]).status !== 0) return { ok: false, reason: "go, which builds the control plane, is not on PATH" };
  return inTurn<Built>(folder, async () => {
    mkdirSync(folder, { recursive: true });
    for (const { name, module, path, ldflags } of missing()) {
      const startedAt = performance.now();
      process.stdout.write(`building ${name} …\n`);
      const part = join(folder, `${name}.${process.pid}`);
      const args = ["build", "-trimpath", "-ldflags", `-s -w ${ldflags}`.trim(), "-o", part, path];
      const wrong = await go(args, join(modules, module));
      if (wrong !== null) return { ok: false, reason: `go build of ${name} (${path}): ${wrong}` };
      renameSync(part, join(folder, name));
      process.stdout.write(`built ${name} (${((performance.now() - startedAt) / 1000).toFixed(0)} s)\n`);
    }
    return { ok: true, folder };
  });
}
