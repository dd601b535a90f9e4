import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { freePorts } from "../../e2e/tidegate.ts";
import { base64Of, makeCertificate } from "../kubernetes/plane/certificates.ts";
import type { Plane } from "../kubernetes/plane/plane.ts";
import { waitFor } from "../kubernetes/workload.ts";

/** One of upstream's controllers, running against the plane. */
export interface Operator {
  /** What it wrote last, for a failing test. */
  log(): string;
  stop(): Promise<void>;
}

function launch(plane: Plane, program: string, args: readonly string[], more: Readonly<Record<string, string>> = {}): Operator {
  const file = join(plane.folder, `${program}.log`);
  const output = openSync(file, "a");
  const env = { ...process.env, KUBECONFIG: plane.kubeconfigFor(program, ["system:masters"]), POD_NAMESPACE: "default", ...more };
  const child: ChildProcess = spawn(join(process.env["TIDEGATE_SERVING"] as string, program), args, {
    ...{ cwd: plane.folder, env, stdio: ["ignore", output, output] },
  });
  closeSync(output);
  return {
    log: () => readFileSync(file, "utf8").slice(-4000),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/**
 * KubeRay. What it asks of a Ray cluster's dashboard and of its Serve proxies goes to a server here, through HTTP_PROXY: there is no
 * Ray in the pods. It says that the application runs everywhere.
 */
export async function startKubeRay(plane: Plane, featureGates = ""): Promise<Operator> {
  const dashboard: Server = createServer((request, response) => {
    request.resume();
    const deployments = { llm: { name: "llm", status: "HEALTHY" } };
    const applications = { llm: { name: "llm", status: "RUNNING", route_prefix: "/", deployments } };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(request.method === "GET" && request.url?.includes("/api/serve") ? JSON.stringify({ applications }) : "success");
  });
  await new Promise<void>((resolve) => dashboard.listen(0, "127.0.0.1", resolve));
  const [metrics, probe] = (await freePorts(2)) as [number, number];
  const operator = launch(
    plane,
    "ray-operator",
    [
      ...[`--metrics-addr=127.0.0.1:${metrics}`, `--health-probe-bind-address=127.0.0.1:${probe}`, "--enable-leader-election=false"],
      ...(featureGates === "" ? [] : [`--feature-gates=${featureGates}`]),
    ],
    { HTTP_PROXY: `http://127.0.0.1:${(dashboard.address() as { port: number }).port}`, NO_PROXY: "" },
  );
  await waitFor("KubeRay", () => isReady(probe), Boolean, 60_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${operator.log()}`);
  });
  return {
    log: operator.log,
    async stop() {
      await operator.stop();
      dashboard.closeAllConnections();
      await new Promise((resolve) => dashboard.close(resolve));
    },
  };
}

/** The controller of LeaderWorkerSet with its webhooks, which name a pod's place in its group. */
export async function startLeaderWorkerSet(plane: Plane): Promise<Operator> {
  const folder = join(plane.folder, "lws");
  mkdirSync(folder);
  makeCertificate(folder, "tls", plane.authority, { user: "lws", names: ["DNS:localhost", "IP:127.0.0.1"] });
  const [webhook, probe] = (await freePorts(2)) as [number, number];
  const config = {
    ...{ apiVersion: "config.lws.x-k8s.io/v1alpha1", kind: "Configuration" },
    leaderElection: { leaderElect: false },
    internalCertManagement: { enable: false },
    webhook: { host: "127.0.0.1", port: webhook, certDir: folder },
    health: { healthProbeBindAddress: `127.0.0.1:${probe}` },
    metrics: { bindAddress: "0" },
  };
  writeFileSync(join(folder, "config.yaml"), JSON.stringify(config));
  const operator = launch(plane, "lws-controller", ["--config", join(folder, "config.yaml")]);
  const fail = (error: Error) => {
    throw new Error(`${error.message}\n${operator.log()}`);
  };
  await waitFor("the LeaderWorkerSet controller", () => isReady(probe), Boolean, 60_000).catch(fail);
  const file = join(process.env["TIDEGATE_LWS"] as string, "config", "webhook", "manifests.yaml");
  for (const document of parseAllDocuments(readFileSync(file, "utf8"))) {
    const hooks = document.toJS() as { kind: string; webhooks: { clientConfig: { service: { path: string } } }[] };
    const resource = hooks.kind === "MutatingWebhookConfiguration" ? "mutatingwebhookconfigurations" : "validatingwebhookconfigurations";
    const caBundle = base64Of(plane.authority.certificateFile);
    const webhooks = hooks.webhooks.map((hook) => ({
      ...hook,
      clientConfig: { url: `https://127.0.0.1:${webhook}${hook.clientConfig.service.path}`, caBundle },
    }));
    await plane.apply(`/apis/admissionregistration.k8s.io/v1/${resource}/lws`, { ...hooks, metadata: { name: "lws" }, webhooks });
  }
  return operator;
}

const isReady = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
