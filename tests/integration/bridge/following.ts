import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { type Bridge, type Source, startBridge } from "../../../src/bridge/index.ts";
import { realClock } from "../../../src/clock/index.ts";
import type { Log } from "../../../src/model/index.ts";
import { connectKubernetes } from "../../../src/platforms/index.ts";
import { base64Of, makeCertificate } from "../kubernetes/plane/certificates.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";

const USER = "system:serviceaccount:tidegate:tidegate-bridge";

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: object;
}

const PLURALS: Readonly<Record<string, string>> = {
  RoleBinding: "rolebindings",
  ClusterRole: "clusterroles",
  ClusterRoleBinding: "clusterrolebindings",
  APIService: "apiservices",
};

/** What docs/bridge.md says to apply. */
function documented(): readonly Manifest[] {
  const text = readFileSync(fileURLToPath(new URL("../../../docs/bridge.md", import.meta.url)), "utf8");
  const block = /<!-- tests\/integration\/bridge applies this block -->\n```yaml\n([\s\S]+?)```/.exec(text)?.[1];
  if (block === undefined) throw new Error("docs/bridge.md has lost the block that the test applies");
  return parseAllDocuments(block).map((document) => document.toJS() as Manifest);
}

/**
 * The bridge over `source`, with the rights and registrations of docs/bridge.md and no others. The API server reaches it by an
 * ExternalName service for localhost, as nothing routes to pods here.
 */
export async function bridgeIn(plane: Plane, source: Source, log: Log): Promise<Bridge> {
  const folder = join(plane.folder, "bridge");
  mkdirSync(folder, { recursive: true });
  const names = ["DNS:tidegate-bridge.tidegate.svc", "DNS:localhost"];
  const serving = makeCertificate(folder, "serving", plane.authority, { user: "tidegate-bridge", names });
  await plane.apply("/api/v1/namespaces/tidegate", { apiVersion: "v1", kind: "Namespace", metadata: { name: "tidegate" } });
  const manifests = documented();
  for (const manifest of manifests) if (manifest.kind !== "APIService") await applyDocumented(plane, manifest);
  const kubeconfig = plane.kubeconfigFor(USER, ["system:serviceaccounts", "system:serviceaccounts:tidegate"]);
  const bridge = await startBridge({
    source,
    host: "127.0.0.1",
    metricsApi: {
      port: 0,
      tls: { certFile: serving.certificateFile, keyFile: serving.keyFile },
      custom: true,
      external: true,
      cluster: await connectKubernetes({ kubeconfig, context: null }),
    },
    keda: null,
    version: "0.0.0",
    clock: realClock(),
    log,
  });
  const port = bridge.metricsPort as number;
  await plane.apply("/api/v1/namespaces/tidegate/services/tidegate-bridge", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "tidegate-bridge", namespace: "tidegate" },
    spec: { type: "ExternalName", externalName: "localhost", ports: [{ port }] },
  });
  for (const manifest of manifests) {
    if (manifest.kind !== "APIService") continue;
    const service = { name: "tidegate-bridge", namespace: "tidegate", port };
    await applyDocumented(plane, {
      ...manifest,
      spec: { ...manifest.spec, service, caBundle: base64Of(plane.authority.certificateFile) },
    });
  }
  return bridge;
}

async function applyDocumented(plane: Plane, manifest: Manifest): Promise<void> {
  const { apiVersion, kind, metadata } = manifest;
  const within = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  await plane.apply(`/apis/${apiVersion}${within}/${PLURALS[kind]}/${metadata.name}`, manifest);
}

interface ApiService {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[] };
}

/** Null while it is not; then why. */
export async function isAvailable(plane: Plane, name: string): Promise<true | null> {
  const { status } = await plane.admin.ask<ApiService>({ path: `/apis/apiregistration.k8s.io/v1/apiservices/${name}` });
  return status?.conditions?.some(({ type, status: is }) => type === "Available" && is === "True") === true ? true : null;
}
