import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { folder, freePorts, type Running, run, start, until } from "../../e2e/tidegate.ts";
import { promtool } from "./server.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const alerts = join(root, "deploy", "helm", "tidegate", "files", "alerts.yaml");
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const lint = (page: string) => {
  const { status, stdout, stderr } = spawnSync(promtool, ["check", "metrics"], { input: page, encoding: "utf8" });
  return { status, remarks: `${stdout}${stderr}`.split("\n").filter((line) => line !== "") };
};
const clean = { status: 0, remarks: [] };

function begin(args: readonly string[]): Running {
  const running = start(args);
  cleanups.push(async () => {
    if (running.process.exitCode === null) running.process.kill("SIGTERM");
    await running.ended;
  });
  return running;
}

const model = "emulated/llama-3.1-8b";
const config = `
apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: chat }
spec:
  model: ${model}
  engine: { kind: emulated, profile: 8B, coldStart: 2s, seed: 7 }
  platform: { kind: process }
  replicas: { min: 1, max: 2 }
  price: { perReplicaHour: 2.50 }
  policy: { kind: slo, interval: 5s }
`;

it("our own pages please promtool: of all in one process, and of gateway and controller apart", async () => {
  const home = folder();
  cleanups.push(home.remove);
  const file = home.write("tidegate.yaml", config);
  const trace = home.write(
    "few.csv",
    `arrival_s,prompt_tokens,output_tokens\n${Array.from({ length: 60 }, (_, at) => `${at},300,40`).join("\n")}\n`,
  );
  const [port, admin, port2, admin2, admin3] = (await freePorts(5)) as [number, number, number, number, number];
  const speed = ["--speed", "10"];
  const loop = [...speed, "--plain", "--state"];
  begin(["up", file, "--port", `${port}`, "--admin-port", `${admin}`, ...loop, join(home.path, "one")]);
  begin(["gateway", "--port", `${port2}`, "--admin-port", `${admin2}`, ...speed]);
  begin(["controller", file, "--gateway", `http://127.0.0.1:${admin2}`, "--admin-port", `${admin3}`, ...loop, join(home.path, "apart")]);
  const page = async (of: number) => (await fetch(`http://127.0.0.1:${of}/metrics`)).text();
  for (const of of [admin, admin3])
    await until(
      () => page(of),
      (text) => /^tidegate_replicas\{.*state="ready"\} 1$/m.test(text),
    );
  const loads = [port, port2].map((to) => run(["load", trace, "--url", `http://127.0.0.1:${to}`, "--model", model, ...speed]));
  for (const { code, stderr } of await Promise.all(loads))
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body: "{" }); // turned away: a family of its own

  const whole = await until(
    () => page(admin),
    (text) => text.includes('signal="ttft_p95"'),
  );
  for (const text of [whole, await page(admin2), await page(admin3)]) expect(lint(text)).toEqual(clean);
  for (const family of ["tidegate_cold_start_seconds", "tidegate_gateway_requests_total", "tidegate_gateway_time_to_first_token_seconds"]) {
    expect(whole).toContain(`# TYPE ${family} `);
  }
  // Every family that an alert is about is on the page.
  const named = new Set(readFileSync(alerts, "utf8").match(/\btidegate_\w+/g));
  expect([...named].filter((family) => !whole.includes(`# TYPE ${family} `))).toEqual([]);
}, 90_000);

it("an emulated replica's pages are what Prometheus reads, under vLLM's and DCGM's own names", async () => {
  const [port] = (await freePorts(1)) as [number];
  const engine = begin(["engine", "--port", `${port}`]);
  await engine.saw("listening on");
  for (const path of ["/metrics", "/metrics/gpu"]) {
    const page = await until(
      async () => (await fetch(`http://127.0.0.1:${port}${path}`)).text(),
      (text) => text.includes("# TYPE"),
    );
    const { status, remarks } = lint(page);
    // 3: it reads, and names are not as promtool would have them; 1: it does not read.
    expect([0, 3]).toContain(status);
    expect(remarks.filter((remark) => !/^(vllm:|DCGM_)/.test(remark))).toEqual([]);
  }
});

it("promtool finds no fault with the alert rules, and they fire when they should", () => {
  expect(execFileSync(promtool, ["check", "rules", alerts], { encoding: "utf8" })).toContain("SUCCESS");
  const { status, stdout, stderr } = spawnSync(promtool, ["test", "rules", join(import.meta.dirname, "alerts.test.yaml")], {
    encoding: "utf8",
  });
  expect({ status, said: status === 0 ? "" : stdout + stderr }).toEqual({ status: 0, said: "" });
});
