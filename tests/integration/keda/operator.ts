import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { freePorts } from "../../e2e/tidegate.ts";
import { base64Of, makeCertificate } from "../kubernetes/plane/certificates.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";

export interface Keda {
  /** What both programs wrote last. */
  log(): string;
  stop(): Promise<void>;
}

/** KEDA's operator and its metrics adapter, which owns external.metrics.k8s.io, on a control plane. */
export async function startKeda(plane: Plane): Promise<Keda> {
  const [programs, crds] = [process.env["TIDEGATE_KEDA"] as string, process.env["TIDEGATE_KEDA_CRDS"] as string];
  const folder = join(plane.folder, "keda");
  mkdirSync(folder, { recursive: true });
  makeCertificate(folder, "tls", plane.authority, { user: "keda", names: ["DNS:localhost", "DNS:keda-metrics-apiserver.keda.svc"] });
  copyFileSync(plane.authority.certificateFile, join(folder, "ca.crt"));
  await plane.apply("/api/v1/namespaces/keda", { apiVersion: "v1", kind: "Namespace", metadata: { name: "keda" } });
  for (const file of readdirSync(crds)) {
    const crd = parse(readFileSync(join(crds, file), "utf8")) as { metadata: { name: string } };
    await plane.apply(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd.metadata.name}`, crd);
  }
  const [metrics, probe, service, secure, plain] = (await freePorts(5)) as [number, number, number, number, number];
  const kubeconfig = plane.kubeconfigFor("keda", ["system:masters"]);
  const env = {
    ...process.env,
    ...{ KUBECONFIG: kubeconfig, WATCH_NAMESPACE: "", POD_NAMESPACE: "keda", KEDA_CLUSTER_OBJECT_NAMESPACE: "keda" },
  };
  const running: ChildProcess[] = [];
  const launch = (program: string, args: readonly string[]) => {
    const output = openSync(join(folder, `${program}.log`), "a");
    running.push(spawn(join(programs, program), args, { cwd: folder, env, stdio: ["ignore", output, output] }));
    closeSync(output);
  };
  launch("operator", [
    ...[`--metrics-bind-address=127.0.0.1:${metrics}`, `--health-probe-bind-address=127.0.0.1:${probe}`],
    ...[`--metrics-service-bind-address=127.0.0.1:${service}`, `--cert-dir=${folder}`, `--ca-dir=${folder}`],
  ]);
  launch("adapter", [
    ...["--bind-address=127.0.0.1", `--secure-port=${secure}`, `--port=${plain}`, `--cert-dir=${folder}`],
    ...[`--tls-cert-file=${join(folder, "tls.crt")}`, `--tls-private-key-file=${join(folder, "tls.key")}`],
    ...[`--lister-kubeconfig=${kubeconfig}`, `--authentication-kubeconfig=${kubeconfig}`, `--authorization-kubeconfig=${kubeconfig}`],
    `--metrics-service-address=localhost:${service}`,
  ]);
  await plane.apply("/api/v1/namespaces/keda/services/keda-metrics-apiserver", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "keda-metrics-apiserver" },
    spec: { type: "ExternalName", externalName: "localhost", ports: [{ port: secure }] },
  });
  await plane.apply("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io", {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1beta1.external.metrics.k8s.io" },
    spec: {
      ...{ group: "external.metrics.k8s.io", version: "v1beta1", groupPriorityMinimum: 100, versionPriority: 100 },
      service: { name: "keda-metrics-apiserver", namespace: "keda", port: secure },
      caBundle: base64Of(plane.authority.certificateFile),
    },
  });
  return {
    log: () => ["operator", "adapter"].map((program) => readFileSync(join(folder, `${program}.log`), "utf8").slice(-3000)).join("\n---\n"),
    async stop() {
      await Promise.all(
        running.map((child) => {
          if (child.exitCode !== null || child.signalCode !== null) return undefined;
          const ended = new Promise((resolve) => child.once("exit", resolve));
          child.kill("SIGKILL");
          return ended;
        }),
      );
    },
  };
}
