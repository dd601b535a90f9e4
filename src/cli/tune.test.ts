import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { formatCsvTrace, generate } from "../traces/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-tune-test-"));
const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const [config, trace] = [join(folder, "t.yaml"), join(folder, "t.csv")];

function tidegate(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, "tune", ...args], { cwd: folder }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

beforeAll(() => {
  const rows = generate({ kind: "steady", rps: 8, durationMs: 300_000 }, { seed: 1, sizes: [{ promptTokens: 500, outputTokens: 100 }] });
  writeFileSync(trace, formatCsvTrace([...rows]));
  writeFileSync(
    config,
    `apiVersion: tidegate.dev/v1alpha1
kind: Endpoint
metadata: { name: llm }
spec:
  model: Llama-3.1-8B
  engine: { kind: emulated, profile: 8B, coldStart: 20s }
  platform: { kind: process, target: { apiVersion: apps/v1, kind: Deployment, name: llm } }
  replicas: { min: 1, max: 8 }
  metrics: { vllm_num_requests_running: running }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: llm }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: llm }
  minReplicas: 1
  maxReplicas: 8
  metrics:
    - type: Pods
      pods: { metric: { name: vllm_num_requests_running }, target: { type: AverageValue, averageValue: 2 } }
`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const few = ["--candidates", "8", "--seeds", "1"];

it("prints the manifest with what was found, and what each change did as comments; again from its file of runs, and on another number of threads", async () => {
  const first = await tidegate(config, "--trace", trace, ...few, "--resume", "runs.jsonl", "--workers", "2");
  expect(first.err).toContain("searching: 8 of 8");
  expect(first.out).toMatch(/^# Tuned by tidegate tune, 8 candidates/);
  expect(first.out).toContain("#   not seen before: ");
  expect(parse(first.out)).toMatchObject({ kind: "HorizontalPodAutoscaler", spec: { maxReplicas: 8 } });
  const lines = readFileSync(join(folder, "runs.jsonl"), "utf8");
  const again = await tidegate(config, "--trace", trace, ...few, "--resume", "runs.jsonl", "--workers", "1");
  expect(again.out).toBe(first.out);
  expect(readFileSync(join(folder, "runs.jsonl"), "utf8")).toBe(lines);
}, 60_000);

it("tunes another policy from its default, and gives all it knows as JSON", async () => {
  const { out, code } = await tidegate(config, "--trace", trace, ...few, "--policy", "keda", "-o", "json");
  expect([0, 99]).toContain(code);
  expect(JSON.parse(out)).toMatchObject({ endpoint: "llm", document: { kind: "ScaledObject" }, candidates: 8 });
}, 60_000);

it("tunes each policy for each scenario alone into a folder, goes on where it was broken off, and tries what it has; compare takes it from there", async () => {
  writeFileSync(
    join(folder, "s.yaml"),
    `defaults: { replicas: { min: 1, max: 6 }, coldStart: { median: 10s, sigma: 0 }, seeds: 1 }
scenarios:
  even: { shape: steady, rate: 8/s, for: 4m, warmup: 1m }
  high: { shape: steady, rate: 12/s, for: 4m, warmup: 1m }
`,
  );
  const args = ["--scenarios", "s.yaml", "--policy", "static,hpa-running", "--into", "found", "--also", "found", "--candidates", "8"];
  const { err } = await tidegate(...args, "--seeds", "1", "--no-explain", "--no-test", "--workers", "1");
  expect(err).toContain("high, hpa-running");
  const text = readFileSync(join(folder, "found/even/static.yaml"), "utf8");
  expect(text).toMatch(
    /^# Tuned by tidegate tune, 8 candidates.*\n# {3}tuned on: .*\n# {3}chosen by: .*\n# For scenario even; --seeds 1, --seed 1\.\n/,
  );
  expect(parse(readFileSync(join(folder, "found/high/hpa-running.yaml"), "utf8"))).toMatchObject({ kind: "HorizontalPodAutoscaler" });
  const again = await tidegate(...args, "--seeds", "1", "--no-explain", "--no-test");
  expect(again.err).not.toContain("even, static");
  const compared = await new Promise<string>((resolve) => {
    const compare = ["compare", "--scenarios", "s.yaml", "--policy", "static,hpa-running", "--tuned", "found", "-o", "json"];
    execFile(process.execPath, [main, ...compare], { cwd: folder }, (_error, out) => resolve(out));
  });
  const [even] = JSON.parse(compared).scenarios;
  const fixed = even.standings.find(({ policy }: { readonly policy: string }) => policy === "static");
  expect(fixed.figures.readyMean.mean).toBe(parse(text).policy.replicas);
}, 60_000);

it("turns only the knobs that are named", async () => {
  const { out } = await tidegate(config, "--trace", trace, ...few, "--knobs", "averageValue", "--no-test");
  expect(parse(out)).toMatchObject({ spec: { minReplicas: 1 } });
  expect(parse(out).spec.behavior).toBeUndefined();
  const { err, code } = await tidegate(config, "--trace", trace, "--knobs", "averegeValue");
  expect(err).toContain("--knobs averegeValue names none of its knobs: spec.metrics.0.pods.target.averageValue, spec.minReplicas,");
  expect(code).toBe(2);
}, 60_000);

it.each([
  ["without traffic", [], "give --trace FILE or --from-history ENDPOINT"],
  ["of a policy that is none", ["--trace", trace, "--policy", "kedda"], "--policy kedda is neither a policy nor a file"],
  ["into a folder without scenarios", ["--into", "found"], "--into needs --scenarios FILE and --policy a,b,c"],
  ["of traffic on standard input", ["--trace", "-"], "none can be standard input"],
])("refuses to tune %s", async (_, args, message) => {
  const { code, err } = await tidegate(config, ...args);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
