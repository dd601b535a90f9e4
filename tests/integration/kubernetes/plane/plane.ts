import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "./build.ts";
import { type Authority, base64Of, makeAuthority, makeCertificate, makeKey } from "./certificates.ts";
import { connectKubernetes, type KubernetesApi, messageOf } from "./product.ts";
import { podStages } from "./stages.ts";

export interface PlaneOptions {
  /** Where the programs are: `buildPlane`'s folder. */
  readonly programs: string;
  /** Milliseconds from a pod's binding until kwok shows its container running, and until it is ready. */
  readonly podStartMs?: { readonly running: number; readonly ready: number };
  /** Added to the programs' own flags. */
  readonly flags?: Readonly<Partial<Record<Program, readonly string[]>>>;
}

/** etcd, API server (with the aggregation layer), controller manager, scheduler and kwok, on ports and certificates of their own. */
export interface Plane {
  readonly folder: string;
  readonly server: string;
  readonly port: number;
  /** Of cluster-admin. */
  readonly kubeconfig: string;
  readonly admin: KubernetesApi;
  /** Signs clients' and servers' certificates. */
  readonly authority: Authority;
  /** A kubeconfig for a user with these groups; rights come from the RBAC objects that a test makes. `port`: a proxy's. */
  kubeconfigFor(user: string, groups?: readonly string[], port?: number): string;
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  /** Creates the object, or makes an existing one like it (server-side apply). */
  apply(path: string, object: object): Promise<void>;
  /** What a program wrote last, for a failing test. */
  logOf(program: Program): string;
  stop(): Promise<void>;
}

const startLimitMs = 60_000;

export async function startPlane(options: PlaneOptions): Promise<Plane> {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-plane-"));
  const certificates = join(folder, "certificates");
  mkdirSync(certificates);
  const running = new Map<Program, ChildProcess>();
  const [etcdPort, peerPort, apiPort, managerPort, schedulerPort] = (await freePorts(5)) as [number, number, number, number, number];
  const server = `https://127.0.0.1:${apiPort}`;
  const inFolder = (name: string) => join(certificates, name);

  const authority = makeAuthority(certificates, "ca");
  const frontAuthority = makeAuthority(certificates, "front-ca");
  const front = makeCertificate(certificates, "front", frontAuthority, { user: "front-proxy-client" });
  const serving = makeCertificate(certificates, "serving", authority, {
    user: "kube-apiserver",
    names: ["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes.default.svc", "IP:10.0.0.1"],
  });
  makeKey(inFolder("sa.key"));

  function kubeconfigFor(user: string, groups: readonly string[] = [], port: number = apiPort): string {
    const name = user.replaceAll(":", "-");
    const own = makeCertificate(certificates, `client-${name}`, authority, { user, groups });
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "plane",
          cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority-data": base64Of(authority.certificateFile) },
        },
      ],
      users: [{ name, user: { "client-certificate-data": base64Of(own.certificateFile), "client-key-data": base64Of(own.keyFile) } }],
      contexts: [{ name: "plane", context: { cluster: "plane", user: name } }],
      "current-context": "plane",
    };
    const file = join(folder, `${name}${port === apiPort ? "" : `-${port}`}.kubeconfig`);
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  function launch(program: Program, args: readonly string[]): void {
    const output = openSync(join(folder, `${program}.log`), "a");
    const all = [...args, ...(options.flags?.[program] ?? [])];
    const child = spawn(join(options.programs, program), all, { cwd: folder, stdio: ["ignore", output, output] });
    closeSync(output);
    child.on("error", () => {});
    running.set(program, child);
  }

  async function end(program: Program, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = running.get(program);
    running.delete(program);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  const logOf = (program: Program) => readFileSync(join(folder, `${program}.log`), "utf8").slice(-4000);

  /** Until `ask` succeeds; fails early when the program has ended. */
  async function until(program: Program, ask: () => Promise<unknown>): Promise<void> {
    const endMs = performance.now() + startLimitMs;
    for (;;) {
      try {
        await ask();
        return;
      } catch (error) {
        const child = running.get(program);
        if (child !== undefined && child.exitCode !== null)
          throw new Error(`${program} ended with exit code ${child.exitCode}:\n${logOf(program)}`);
        if (performance.now() > endMs) throw new Error(`${program} did not come up: ${messageOf(error)}\n${logOf(program)}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  const apiServerFlags = [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    ...["--bind-address=127.0.0.1", `--secure-port=${apiPort}`, "--service-cluster-ip-range=10.0.0.0/24"],
    ...[`--tls-cert-file=${serving.certificateFile}`, `--tls-private-key-file=${serving.keyFile}`],
    "--service-account-issuer=https://kubernetes.default.svc",
    ...[`--service-account-key-file=${inFolder("sa.key")}`, `--service-account-signing-key-file=${inFolder("sa.key")}`],
    ...[
      `--client-ca-file=${authority.certificateFile}`,
      "--authorization-mode=RBAC",
      "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
    ],
    ...[`--requestheader-client-ca-file=${frontAuthority.certificateFile}`, "--requestheader-allowed-names=front-proxy-client"],
    ...["--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"],
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ...[`--proxy-client-cert-file=${front.certificateFile}`, `--proxy-client-key-file=${front.keyFile}`],
    ...["--endpoint-reconciler-type=none", "--profiling=false", "--shutdown-delay-duration=0s"],
  ];

  const kubeconfig = kubeconfigFor("admin", ["system:masters"]);
  let admin: KubernetesApi | null = null;
  const stop = async () => {
    admin?.close();
    await Promise.all([...running.keys()].map((program) => end(program)));
    rmSync(folder, { recursive: true, force: true });
  };

  async function startApiServer(): Promise<void> {
    launch("kube-apiserver", apiServerFlags);
    // Ready includes RBAC's own roles; `/livez` alone would let a first write fail.
    await until("kube-apiserver", async () => admin?.ask({ path: "/readyz", accept: "*/*" }).catch(readable));
  }

  try {
    launch("etcd", [
      ...["--data-dir", join(folder, "etcd"), "--unsafe-no-fsync", "--log-level", "error"],
      ...["--listen-client-urls", `http://127.0.0.1:${etcdPort}`, "--advertise-client-urls", `http://127.0.0.1:${etcdPort}`],
      ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`, "--initial-advertise-peer-urls", `http://127.0.0.1:${peerPort}`],
      ...["--initial-cluster", `default=http://127.0.0.1:${peerPort}`],
    ]);
    admin = await connectKubernetes({ kubeconfig, context: null });
    const api = admin;
    await startApiServer();
    const apply = async (path: string, object: object) =>
      void (await api.ask({
        ...{ method: "PATCH", path, body: object, contentType: "application/apply-patch+yaml" },
        query: { fieldManager: "test", force: true },
      }));
    const manager = kubeconfigFor("system:kube-controller-manager", ["system:masters"]);
    launch("kube-controller-manager", [
      ...[`--kubeconfig=${manager}`, "--leader-elect=false", "--bind-address=127.0.0.1", `--secure-port=${managerPort}`],
      `--controllers=${controllers.join(",")}`,
      ...["--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-initial-readiness-delay=0s"],
      "--horizontal-pod-autoscaler-downscale-stabilization=10s",
      ...["--kube-api-qps=200", "--kube-api-burst=400"],
    ]);
    launch("kube-scheduler", [
      ...[`--kubeconfig=${kubeconfigFor("system:kube-scheduler", ["system:masters"])}`, "--leader-elect=false"],
      ...["--bind-address=127.0.0.1", `--secure-port=${schedulerPort}`, "--kube-api-qps=200", "--kube-api-burst=400"],
    ]);
    const stages = join(folder, "stages.yaml");
    writeFileSync(stages, podStages(options.podStartMs ?? { running: 0, ready: 0 }));
    launch("kwok", [
      ...[`--kubeconfig=${kubeconfigFor("kwok", ["system:masters"])}`, "--manage-all-nodes=true", "--node-lease-duration-seconds=40"],
      ...["--config", stages],
    ]);
    await apply("/api/v1/nodes/node-1", testNode("node-1"));
    await until("kube-controller-manager", () => api.ask({ path: "/api/v1/namespaces/default/serviceaccounts/default" }));
    await until("kwok", () => nodeIsReady(api, "node-1"));
    return {
      ...{ folder, server, port: apiPort, kubeconfig, admin: api, authority, kubeconfigFor, apply, logOf, stop, startApiServer },
      stopApiServer: () => end("kube-apiserver"),
    };
  } catch (error) {
    const message = messageOf(error);
    await stop();
    throw new Error(`the control plane did not start: ${message}`);
  }
}

/** `/readyz` answers plain text, which our client cannot read as JSON: it has answered. */
function readable(error: unknown): void {
  if (!(error instanceof SyntaxError) && !(error instanceof Error && error.cause instanceof SyntaxError)) throw error;
}

const controllers = [
  "deployment-controller",
  "replicaset-controller",
  "statefulset-controller",
  "horizontal-pod-autoscaler-controller",
  "endpointslice-controller",
  "namespace-controller",
  "garbage-collector-controller",
  "serviceaccount-controller",
];

/** A node that kwok keeps; `gpus` of nvidia.com/gpu. */
export const testNode = (name: string, gpus = 64) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, annotations: { "kwok.x-k8s.io/node": "fake" }, labels: { "kubernetes.io/hostname": name, type: "kwok" } },
  status: {
    allocatable: { cpu: "1000", memory: "1000Gi", pods: "5000", "nvidia.com/gpu": String(gpus) },
    capacity: { cpu: "1000", memory: "1000Gi", pods: "5000", "nvidia.com/gpu": String(gpus) },
  },
});

interface Node {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

async function nodeIsReady(api: KubernetesApi, name: string): Promise<void> {
  const node = await api.ask<Node>({ path: `/api/v1/nodes/${name}` });
  if (!node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True")) throw new Error(`${name} is not ready`);
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((one) => new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve))));
  const ports = servers.map((one) => (one.address() as { port: number }).port);
  await Promise.all(servers.map((one) => new Promise((resolve) => one.close(resolve))));
  return ports;
}
