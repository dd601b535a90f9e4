import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { freePorts, until } from "../../e2e/tidegate.ts";

const home = process.env["TIDEGATE_INSTALLED"] as string;
const installed = join(home, "node_modules", "tidegate");
const tidegate = join(home, "node_modules", ".bin", "tidegate");
const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string };
const run = (...args: readonly string[]) =>
  spawnSync(process.execPath, [tidegate, ...args], { cwd: home, encoding: "utf8", timeout: 30_000 });

it("runs its verbs from an installed package", () => {
  expect(run("--version").stdout.trim()).toBe(version);
  expect(run("validate", join(installed, "examples", "demo.yaml")).stdout).toContain("llama-3-8b: ok");
  expect(run("import", join(installed, "examples", "hpa-gpu-utilization.yaml")).stdout).toContain("kind: hpa");
});

it("compares policies on worker threads and writes the report", () => {
  const report = join(home, "report.html");
  const { status, stderr } = run("compare", "--policy", "static:3", "--only", "step", "--seeds", "1", "--workers", "1", "--html", report);
  expect({ status, stderr }).toMatchObject({ status: expect.toBeOneOf([0, 99]) });
  expect(readFileSync(report, "utf8")).toContain("static:3");
}, 60_000);

it("carries no tests, no sources and nothing that only a checkout needs", () => {
  const files = readdirSync(installed, { recursive: true, encoding: "utf8" }).filter((file) => !file.startsWith("node_modules"));
  expect(files.filter((file) => /\.test\.|fixture|(?<!\.d)\.ts$/.test(file) && !file.startsWith("examples"))).toEqual([]);
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  expect(Object.keys(manifest)).not.toContain("devDependencies");
});

it("serves, with its console built and replicas of its own", async () => {
  const [port, adminPort] = await freePorts(2);
  const args = ["up", join(installed, "examples", "demo.yaml"), "--port", String(port), "--admin-port", String(adminPort), "--speed", "4"];
  const fleet = spawn(process.execPath, [tidegate, ...args, "--state", join(home, "state")], { cwd: home, stdio: "ignore" });
  const ended = new Promise((resolve) => fleet.on("exit", resolve));
  try {
    const admin = `http://127.0.0.1:${adminPort}`;
    await until(
      () => fetch(`${admin}/livez`),
      ({ status }) => status === 200,
    );
    await until(
      () => fetch(`${admin}/console.js`),
      ({ status }) => status === 200,
    );
    const answer = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "meta-llama/Llama-3.1-8B-Instruct", prompt: "hello", max_tokens: 4 }),
    });
    expect(answer.status).toBe(200);
  } finally {
    fleet.kill("SIGTERM");
    await ended;
  }
}, 60_000);

it("is a library, with types that a strict project takes", () => {
  writeFileSync(
    join(home, "use.ts"),
    `import { createAutoscaler } from "tidegate";
const autoscaler = createAutoscaler([
  {
    apiVersion: "tidegate.dev/v1alpha1",
    kind: "Endpoint",
    metadata: { name: "a" },
    spec: { model: "a", engine: { kind: "other" }, platform: { kind: "static", urls: ["http://127.0.0.1:1"] }, replicas: { min: 2, max: 4 }, policy: { kind: "static", replicas: 3 } },
  },
]);
const decision = autoscaler.decide({ seq: 1, nowMs: 0, cause: "tick", pools: { default: { wanted: 2, reported: 2, otherWriter: false } }, replicas: [], series: [], slots: null });
console.log(JSON.stringify(decision.wants["default"]));
`,
  );
  const tsc = fileURLToPath(new URL("../../../node_modules/.bin/tsc", import.meta.url));
  const flags = ["--noEmit", "--strict", "--target", "es2024", "--module", "nodenext", "--types", "", "use.ts"];
  const types = spawnSync(tsc, flags, { cwd: home, encoding: "utf8" });
  expect(types.stdout).toBe("");
  const ran = spawnSync(process.execPath, ["use.ts"], { cwd: home, encoding: "utf8" });
  expect(ran.stderr).toBe("");
  expect(JSON.parse(ran.stdout)).toMatchObject({ kind: "scale", replicas: 3 });
});
