import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { ControllerView, EndpointView } from "../../../src/controller/index.ts";
import { folder, freePorts, run, start, until } from "../../e2e/tidegate.ts";
import { authority, login, prometheus } from "./server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const model = "emulated/llama-3.1-8b";

/** Streams one answer after another until told to stop. @returns what went wrong */
async function client(url: string, more: () => boolean): Promise<readonly string[]> {
  const failures: string[] = [];
  while (more()) {
    try {
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, messages: [{ role: "user", content: "hello" }], max_tokens: 60, ignore_eos: true, stream: true }),
      });
      const body = await answer.text();
      if (answer.status !== 200 || !body.endsWith("data: [DONE]\n\n")) failures.push(`${answer.status} …${body.slice(-100)}`);
    } catch (error) {
      failures.push(String(error));
    }
  }
  return failures;
}

it("scales 1 to 3 to 1 to 3 by PromQL alone; holds while the server is dead or stands still, and goes on when it is back", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const { ca, server: pair } = authority(home.path, "fleet");
  const [port, adminPort, firstPort] = (await freePorts(3)) as [number, number, number];
  const ports = [firstPort, firstPort + 7] as const;
  const addresses = Array.from({ length: 8 }, (_, at) => `127.0.0.1:${firstPort + at}`);
  const admin = `127.0.0.1:${adminPort}`;
  const server = await prometheus({
    folder: home.path,
    tls: { server: pair },
    basic: true,
    ruleFiles: [join(import.meta.dirname, "..", "..", "..", "deploy", "helm", "tidegate", "files", "alerts.yaml")],
    scrapes: [
      `{ job_name: replicas, static_configs: [{ targets: ${JSON.stringify(addresses)} }] }`,
      `{ job_name: gpus, metrics_path: /metrics/gpu, static_configs: [{ targets: ${JSON.stringify(addresses)} }] }`,
      `{ job_name: tidegate, static_configs: [{ targets: ["${admin}"] }] }`,
    ],
  });
  cleanups.push(server.kill);
  await server.begin();
  const url = `http://127.0.0.1:${port}`;
  const config = home.write(
    "tidegate.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: ${model}
  # Nothing is read off the replicas: what the policy knows it knows from the Prometheus server.
  engine: { kind: emulated, profile: 8B, coldStart: 1s, seed: 3, metricsPath: null, gpuMetrics: null }
  platform: { kind: process, ports: ${ports.join("-")} }
  replicas: { min: 1, max: 3 }
  signals: { scrapeInterval: 1s, staleAfter: 4s }
  prometheus:
    url: ${server.url}
    timeout: 800ms
    auth: { username: ${login.username}, password: { env: PROMETHEUS_PASSWORD } }
    tls: { caFile: ${ca} }
    queries:
      - signal: busy
        query: sum by (instance) ({__name__=~"vllm:num_requests_(running|waiting)"})
        replicaLabel: instance
      - signal: at_the_door
        query: sum(tidegate_gateway_in_flight{endpoint="chat"})
      - signal: gone
        query: sum(a_family_that_nobody_has)
      - signal: e2e_p95 # of which the gateway in the path has an opinion too
        query: 40 + 2
  policy:
    kind: signals
    interval: 1s
    tolerance: 0.2
    rules:
      - { signal: busy, target: 4 }
      - { signal: at_the_door, target: 4 }
    behavior:
      scaleDown: { stabilizationWindowSeconds: 3, policies: [{ type: Pods, value: 5, periodSeconds: 1 }] }
`,
  );
  const state = join(home.path, "state");
  const args = ["up", config, "--port", `${port}`, "--admin-port", `${adminPort}`, "--state", state, "--plain", "--log-level", "debug"];
  const up = start(args, { PROMETHEUS_PASSWORD: login.password });
  cleanups.push(async () => {
    if (up.process.exitCode === null) up.process.kill("SIGTERM");
    await up.ended;
  });
  const view = async (): Promise<EndpointView> =>
    ((await (await fetch(`http://${admin}/api/v1/view`)).json()) as ControllerView).endpoints[0] as EndpointView;
  const settled = (count: number) =>
    until(view, ({ now }) => now !== null && now.ready === count && now.wanted === count && now.draining === 0, 30_000);
  const codes = (one: EndpointView) => one.decisions[0]?.steps.map(({ code }) => code) ?? [];
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const seq = (one: EndpointView) => one.decisions[0]?.seq as number;

  let clients = 0;
  const running: Promise<readonly string[]>[] = [];
  const failures: string[] = [];
  const load = async (count: number) => {
    clients = count;
    while (running.length < count) {
      const number = running.length;
      running.push(client(url, () => number < clients));
    }
    for (const ended of running.splice(count)) failures.push(...(await ended));
  };

  await settled(1);
  await load(12);
  await settled(3);
  // Twelve in flight over three: as many as the target says, so here it stays.
  const own = server.client();
  cleanups.push(() => own.close());
  const seen = await until(
    () => own.query('sum by (instance) ({__name__=~"vllm:num_requests_(running|waiting)"})'),
    ({ series }) => series.length === 3 && series.every(({ points }) => (points[0]?.value as number) > 0),
  );
  const urls = (await view()).replicas.filter((replica) => replica.state === "ready").map((replica) => new URL(replica.url as string).host);
  expect(seen.series.map(({ labels }) => labels["instance"]).sort()).toEqual(urls.sort());
  const steps = (await until(view, (one) => codes(one).includes("target"))).decisions[0]?.steps.map(({ text }) => text).join(" ");
  expect(steps).toContain("busy averages");
  expect(steps).toContain("at_the_door averages");
  const pages = await until(
    () => own.query('up{job=~"replicas|gpus|tidegate"} == 1'),
    ({ series }) => series.length === 7,
  );
  expect(pages.series.map(({ labels }) => labels["job"]).sort()).toEqual([
    "gpus",
    "gpus",
    "gpus",
    "replicas",
    "replicas",
    "replicas",
    "tidegate",
  ]);
  expect((await own.query('avg(DCGM_FI_DEV_GPU_UTIL{job="gpus"})')).series[0]?.points[0]?.value).toBeGreaterThan(0);
  await until(
    () => own.query('tidegate_replicas{endpoint="chat", state="ready"}'),
    ({ series }) => series[0]?.points[0]?.value === 3,
  );

  // Dead: less load, and nobody who says so. What is not known does not shrink the fleet.
  await server.kill();
  await load(2);
  await until(view, (one) => codes(one).includes("no-data"));
  const blindAt = seq(await view());
  await pause(6_000);
  const blind = await view();
  expect(seq(blind) - blindAt).toBeGreaterThan(3);
  expect(blind.now).toMatchObject({ ready: 3, wanted: 3 });
  expect(up.stderr()).toMatch(/signal\/unreachable/);
  const page = await (await fetch(`http://${admin}/metrics`)).text();
  expect(page).toMatch(/^tidegate_signal\{endpoint="chat",signal="e2e_p95"\} 42$/m);
  expect(Number(/^tidegate_signal_age_seconds\{endpoint="chat",signal="at_the_door"\} (\S+)$/m.exec(page)?.[1])).toBeGreaterThan(4);
  await server.begin();
  await settled(1);

  // It takes connections and answers none: more load, and still nobody who says so.
  server.signal("SIGSTOP");
  await until(view, (one) => codes(one).includes("no-data"));
  await load(12);
  await pause(5_000);
  expect((await view()).now).toMatchObject({ ready: 1, wanted: 1 });
  expect(up.stderr()).toContain("no answer within 800 ms");
  server.signal("SIGCONT");
  await settled(3);

  await load(0);
  expect(failures).toEqual([]);
  const last = await settled(1);
  expect(last.totals).toMatchObject({ failed: 0, cancelled: 0, rejected: 0, inFlight: 0, held: 0 });
  expect(last.totals?.completed).toBe(last.totals?.arrived);
  expect(up.stderr()).toMatch(/readable again/);
  expect(readFileSync(join(state, "history.sqlite")).includes(login.password)).toBe(false);
  expect(up.stdout() + up.stderr()).not.toContain(login.password);
  up.process.kill("SIGTERM");
  expect((await up.ended).code).toBe(143);
  expect((await run(["replay", "--state", state])).stdout).toMatch(/chat: \d+ decisions .* 0 differ/);
}, 180_000);
