import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPrograms, keyOf } from "../../go-build.ts";

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
  const own = programs.map(({ module, ...program }) => ({ ...program, module: join(modules, module) }));
  const sums = [...new Set(own.map(({ module }) => join(module, "go.sum")))];
  const folder = join(cache, `programs-${keyOf(sums, kubernetesVersion)}`);
  const reason = await buildPrograms(folder, own);
  return reason === null ? { ok: true, folder } : { ok: false, reason };
}
