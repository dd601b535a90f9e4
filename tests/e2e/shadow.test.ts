import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ShadowReport } from "../../src/shadow/index.ts";
import { folder, freePorts, type Running, run, start } from "./tidegate.ts";

const home = folder();
const engines: Running[] = [];
let file = "";

beforeAll(async () => {
  const ports = await freePorts(2);
  for (const port of ports) engines.push(start(["engine", "--port", String(port), "--profile", "8B"]));
  await Promise.all(engines.map((engine) => engine.saw("listening on")));
  file = home.write(
    "endpoint.yaml",
    `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: emulated/llama-3.1-8b
  engine: { kind: vllm }
  platform: { kind: static, target: { apiVersion: apps/v1, kind: Deployment, name: chat }, urls: [${ports.map((port) => `"http://127.0.0.1:${port}"`).join(", ")}] }
  metrics: { vllm_num_requests_running: running }
  signals: { scrapeInterval: 1s }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: chat }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: chat }
  minReplicas: 1
  maxReplicas: 4
  metrics: [{ type: Pods, pods: { metric: { name: vllm_num_requests_running }, target: { type: AverageValue, averageValue: "4" } } }]
`,
  );
});
afterAll(async () => {
  for (const { process } of engines) process.kill("SIGTERM");
  await Promise.all(engines.map(({ ended }) => ended));
  home.remove();
});

it("watches the endpoints of a file, and says what it saw though it is little", { timeout: 120_000 }, async () => {
  const html = `${home.path}/shadow.html`;
  const state = `${home.path}/state`;
  const shadow = start(["shadow", file, "--state", state, "--plain", "--price", "3", "--seeds", "1", "--html", html, "-o", "json"]);
  await shadow.saw("chat: watching hpa");
  await shadow.saw(/chat: 2 ready of 2 asked for/);
  const ask = async (url: string) =>
    (
      await fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "emulated/llama-3.1-8b", prompt: "word ".repeat(50), max_tokens: 20 }),
      })
    ).text();
  const urls = engines.map(({ stdout }) => /listening on (\S+)/.exec(stdout())?.[1] as string);
  await Promise.all(Array.from({ length: 10 }, (_, at) => ask(urls[at % 2] as string)));
  await shadow.saw(/its rules come to \d/, 60_000);
  await new Promise((resolve) => setTimeout(resolve, 6_000)); // a decision of slo that holds what was asked
  shadow.process.kill("SIGINT");
  const { code, stdout, stderr } = await shadow.ended;
  expect(code, stderr).toBe(0);
  const [report] = JSON.parse(stdout) as ShadowReport[];
  expect(report).toMatchObject({ name: "chat", by: "somebody else", pricePerReplicaHour: 3, traffic: { requests: 10, from: "engines" } });
  expect(report?.simulated?.contenders.map(({ name }) => name)).toEqual(["recorded", "rules", "slo"]);
  expect(report?.tooLittle.join()).toMatch(/were watched.*only 10 requests.*never changed/);
  expect(readFileSync(html, "utf8")).toContain("Too little was seen to go by");
  expect((await run(["replay", "--state", state])).code).toBe(0);
});

it.each([
  {
    rule: "a platform whose replicas are its own children",
    config: "platform: { kind: process }",
    says: /platform process: its replicas are children/,
  },
  { rule: "files and a namespace together", config: null, says: /files and --namespace exclude each other/ },
])("refuses $rule", async ({ config, says }) => {
  const own = home.write(
    "own.yaml",
    `apiVersion: tidegate.dev/v1alpha1\nkind: Endpoint\nmetadata: { name: own }\nspec: { model: m, engine: { kind: emulated }, ${config ?? "platform: { kind: process }"}, replicas: { max: 2 }, policy: { kind: slo } }\n`,
  );
  const { code, stderr } = await run(["shadow", own, "--state", `${home.path}/none`, ...(config === null ? ["--namespace", "llm"] : [])]);
  expect(code).toBe(2);
  expect(stderr).toMatch(says);
});
