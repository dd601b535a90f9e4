// `npm run manifests [-- FOLDER]`: the chart rendered for those who use `kubectl apply`, as dist/manifests/install.yaml. Needs helm, on
// PATH or named by HELM.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const helm = process.env["HELM"] ?? "helm";
const folder = process.argv[2] ?? join(root, "dist", "manifests");
const namespace = "tidegate";
const chart = join(root, "deploy", "helm", "tidegate");
const values = join(root, "deploy", "helm", "install-values.yaml");
const args = ["template", "tidegate", chart, "--namespace", namespace, "--include-crds", "--values", values];
const { status, error, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
if (status !== 0) {
  const missing = error !== undefined && "code" in error && error.code === "ENOENT";
  process.stderr.write(missing ? `${helm} is not to be found: put helm (4 or 3) on PATH, or name it by HELM\n` : `${stderr}\n`);
  process.exit(1);
}
const head = `# Tidegate: controller and gateway in namespace ${namespace}, for the Endpoints in it. Rendered from deploy/helm/tidegate.
#
#   kubectl create namespace ${namespace}
#   kubectl -n ${namespace} create secret generic tidegate-admin --from-literal=token="$(openssl rand -hex 32)"
#   kubectl apply --server-side -f install.yaml
---
apiVersion: v1
kind: Namespace
metadata:
  name: ${namespace}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;
mkdirSync(folder, { recursive: true });
const file = join(folder, "install.yaml");
writeFileSync(file, `${head}${stdout.startsWith("---") ? "" : "---\n"}${stdout}`);
process.stdout.write(`${file}\n`);
