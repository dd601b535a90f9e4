import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { ControllerView } from "../src/controller/index.ts";
import { freePorts, start, until } from "../tests/e2e/tidegate.ts";
import { applyDefinitions, endpointDocument, kindPath } from "../tests/integration/kubernetes/definitions.ts";
import { buildPlane } from "../tests/integration/kubernetes/plane/build.ts";
import { type Plane, startPlane, testNode } from "../tests/integration/kubernetes/plane/plane.ts";
import { startProxy } from "../tests/integration/kubernetes/proxy.ts";

const user = "tidegate";
const cache = process.env["TIDEGATE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tidegate");
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (line: string) => process.stdout.write(`${line}\n`);

/**
 * `npm run bench -- kubernetes [ENDPOINTS] [PODS] [NAMESPACES] [SECONDS]`: a controller of Endpoint objects that shares a Lease,
 * and a gateway, on a real control plane whose pods kwok keeps; what the controller asks of the API server when it starts, in SECONDS of quiet, and when the server restarts.
 */
export async function bench([endpoints = "200", pods = "2000", namespaces = "10", seconds = "120"]: readonly string[]): Promise<void> {
  const built = await buildPlane(join(cache, "kubernetes"));
  if (!built.ok) throw new Error(built.reason);
  const home = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const audit = join(home, "audit.jsonl");
  const auditPolicy = join(home, "audit-policy.json");
  writeFileSync(auditPolicy, JSON.stringify(policyOfAudit));
  const plane = await startPlane({
    programs: built.folder,
    flags: {
      "kube-apiserver": [`--audit-policy-file=${auditPolicy}`, `--audit-log-path=${audit}`, "--audit-log-mode=blocking"],
      kwok: ["--cidr=10.64.0.0/12"],
    },
  });
  try {
    await measure(plane, { home, audit, endpoints: +endpoints, pods: +pods, namespaces: +namespaces, seconds: +seconds });
  } finally {
    await plane.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

interface Sizes {
  readonly home: string;
  readonly audit: string;
  readonly endpoints: number;
  readonly pods: number;
  readonly namespaces: number;
  readonly seconds: number;
}

async function measure(plane: Plane, { home, audit, endpoints, pods, namespaces, seconds }: Sizes): Promise<void> {
  const each = Math.round(pods / endpoints);
  const all = Array.from({ length: endpoints }, (_, at) => ({ name: `llm-${at}`, namespace: `team-${at % namespaces}` }));
  const madeAtMs = performance.now();
  for (let at = 0; at < namespaces; at++) {
    const name = `team-${at}`;
    await plane.apply(`/api/v1/namespaces/${name}`, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  for (let at = 2; at <= 8; at++) await plane.apply(`/api/v1/nodes/node-${at}`, testNode(`node-${at}`, 1000));
  for (const { name, namespace } of all)
    await plane.apply(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`, deployment(name, each));
  const readyPods = async () => {
    const { items } = await plane.admin.ask<{ items: { status?: { readyReplicas?: number } }[] }>({ path: "/apis/apps/v1/deployments" });
    return items.reduce((sum, { status }) => sum + (status?.readyReplicas ?? 0), 0);
  };
  await until(readyPods, (count) => count === each * endpoints, 1_200_000);
  say(`${endpoints} Deployments in ${namespaces} namespaces, ${each * endpoints} pods ready after ${secondsSince(madeAtMs)} s`);

  const proxy = await startProxy(plane.port);
  const kubeconfig = plane.kubeconfigFor(user, ["system:masters"], proxy.port);
  await applyDefinitions(plane);
  for (const { name, namespace } of all) {
    const document = endpointDocument(
      name,
      { engine: { kind: "vllm", metricsPath: null }, replicas: { min: each, max: 2 * each }, policy: { kind: "slo" } },
      namespace,
    );
    await plane.apply(kindPath(document), document);
  }
  const [port, gatewayAdmin, adminPort] = (await freePorts(3)) as [number, number, number];
  const gateway = start(["gateway", "--port", `${port}`, "--admin-port", `${gatewayAdmin}`, "--log-level", "error", "--grace", "0"]);
  await gateway.saw("gateway http", 60_000);
  const startedAtMs = performance.now();
  const flags = [
    ...["--from-cluster", "--all-namespaces", "--lease", "default/tidegate", "--kubeconfig", kubeconfig],
    ...["--admin-port", `${adminPort}`, "--state", join(home, "state"), "--plain"],
  ];
  const heapFile = join(home, "heap.jsonl");
  const controller = start(["controller", "--gateway", `http://127.0.0.1:${gatewayAdmin}`, ...flags], {
    NODE_OPTIONS: `--import ${new URL("heap.ts", import.meta.url).href}`,
    TIDEGATE_HEAP: heapFile,
  });
  const { pid } = controller.process;
  if (pid === undefined) throw new Error(`the controller did not start: ${controller.stderr()}`);
  const view = async () => (await (await fetch(`http://127.0.0.1:${adminPort}/api/v1/view`)).json()) as ControllerView;
  const isWhole = ({ endpoints: seen }: ControllerView) =>
    seen.length === endpoints && seen.every(({ now, trouble }) => now?.ready === each && trouble.length === 0);
  try {
    await until(view, isWhole, 600_000);
    say(`first full picture ${secondsSince(startedAtMs)} s after the process was started`);
    report("start", requestsIn(audit, 0), null);
    say(`  ${proxy.opened()} connections, ${mib(proxy.bytes().down)} down, ${mib(proxy.bytes().up)} up`);

    await pause(30_000);
    const before = { line: linesOf(audit).length, cpu: cpuSecondsOf(pid), bytes: proxy.bytes(), atMs: performance.now() };
    const most = { rss: 0 };
    while (performance.now() - before.atMs < seconds * 1000) {
      most.rss = Math.max(most.rss, rssOf(pid));
      await pause(1_000);
    }
    const tookS = (performance.now() - before.atMs) / 1000;
    report("quiet", requestsIn(audit, before.line), tookS);
    const passed = proxy.bytes();
    say(
      `  ${((passed.down - before.bytes.down) / tookS / 1024).toFixed(2)} KiB/s down, ${((passed.up - before.bytes.up) / tookS / 1024).toFixed(2)} KiB/s up, ${proxy.connections()} connections`,
    );
    const heap = linesOf(heapFile)
      .slice(-Math.floor(tookS))
      .map((line) => (JSON.parse(line) as NodeJS.MemoryUsage).heapUsed);
    say(`  memory: ${mib(most.rss)} resident at most, heap ${mib(Math.min(...heap))} after collections to ${mib(Math.max(...heap))}`);
    say(`  CPU ${(((cpuSecondsOf(pid) - before.cpu) / tookS) * 100).toFixed(1)} % of one core`);

    const atRestart = linesOf(audit).length;
    await plane.stopApiServer();
    await pause(15_000);
    const away = await view();
    const blind = away.endpoints.filter(({ trouble }) => trouble.some(({ code }) => code === "platform")).length;
    const state = away.leadership?.leads === false ? "nobody leads, and so nobody acts" : `${blind} endpoints hold`;
    await plane.startApiServer();
    const backAtMs = performance.now();
    await until(view, isWhole, 300_000);
    say(`API server away for 15 s: ${state}; all well ${secondsSince(backAtMs)} s after it is back`);
    await pause(10_000);
    report("restart of the API server, until 10 s after", requestsIn(audit, atRestart), null);
    const states = await plane.admin.ask<{ items: object[] }>({
      path: "/api/v1/namespaces/default/configmaps",
      query: { labelSelector: "tidegate.dev/lease=tidegate" },
    });
    say(`states for the next leader: ${states.items.length} ConfigMaps, ${mib(JSON.stringify(states.items).length)}`);
    const warned = controller
      .stderr()
      .split("\n")
      .filter((line) => line.includes('"level":40'));
    say(
      `warnings: ${warned.length}${warned
        .slice(0, 3)
        .map((line) => `\n  ${line.slice(0, 200)}`)
        .join("")}`,
    );
    const counts = await plane.admin.ask<{ items: { spec: { replicas: number } }[] }>({ path: "/apis/apps/v1/deployments" });
    say(`counts changed: ${counts.items.filter(({ spec }) => spec.replicas !== each).length}`);
  } finally {
    for (const running of [controller, gateway]) {
      running.process.kill("SIGKILL");
      await running.ended;
    }
    await proxy.close();
  }
}

/** What this user asks of the server, without bodies. */
const policyOfAudit = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata", users: [user] }, { level: "None" }],
};

interface AuditEvent {
  readonly verb: string;
  readonly stage: "ResponseStarted" | "ResponseComplete" | "Panic";
  readonly requestURI: string;
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
}

const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");

/** Requests by verb, resource and a status that is no success; a watch counts when it begins. */
function requestsIn(file: string, fromLine: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of linesOf(file).slice(fromLine)) {
    const { verb, stage, requestURI, objectRef, responseStatus } = JSON.parse(line) as AuditEvent;
    if ((verb === "watch") !== (stage === "ResponseStarted")) continue;
    const what =
      objectRef?.resource === undefined
        ? (requestURI.split("?")[0] ?? "")
        : [objectRef.resource, objectRef.subresource].filter(Boolean).join("/");
    const code = responseStatus?.code ?? 0;
    const key = `${verb} ${what}${code >= 400 ? ` (${code})` : ""}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

function report(title: string, counts: ReadonlyMap<string, number>, perS: number | null): void {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  say(`${title}: ${total} requests${perS === null ? "" : ` in ${perS.toFixed(0)} s, ${(total / perS).toFixed(2)} a second`}`);
  for (const [key, count] of [...counts].sort(([, a], [, b]) => b - a))
    say(`  ${key}: ${count}${perS === null ? "" : ` (${(count / perS).toFixed(2)} a second)`}`);
}

const deployment = (name: string, replicas: number) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [
          { name: "engine", image: "engine:1", ports: [{ name: "http", containerPort: 8000 }], resources: { requests: { cpu: "100m" } } },
        ],
      },
    },
  },
});

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const secondsSince = (atMs: number) => ((performance.now() - atMs) / 1000).toFixed(1);
const rssOf = (pid: number) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) * 1024;
/** User and system time, in clock ticks of 10 ms (`getconf CLK_TCK`). */
const cpuSecondsOf = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
