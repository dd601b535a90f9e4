import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { PLANNER_DEFAULTS } from "../policy/dialects/dynamo/index.ts";
import { dynamoReader } from "./dynamo.ts";
import { cacheIntent } from "./intent.fixture.ts";

const read = (text: string) => dynamoReader.read(parse(text));
const manifestOf = (text: string) => {
  const result = read(text);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result.manifest;
};
const issuesOf = (text: string) => {
  const result = read(text);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path}: ${message}`).join("\n") : "";
};

const request = `
apiVersion: nvidia.com/v1beta1
kind: DynamoGraphDeploymentRequest
metadata: { name: qwen, namespace: serving }
spec:
  model: Qwen/Qwen3-0.6B
  features:
    planner:
      optimization_target: sla
      enable_load_scaling: true
      ttft: 200.0
      itl: 10.0
      pre_deployment_sweeping_mode: rapid
      scheduling: { tick_max_duration_seconds: 30.0 }
`;
const config = `
mode: agg
backend: vllm
optimization_target: load
decode_scale_up_kv_rate: 80
decode_scale_down_kv_rate: 40
max_gpu_budget: 16
decode_engine_num_gpu: 2
report_interval_hours: null
`;
const container = `
command: [python3, -m, dynamo.planner.planner_sla]
args: ["--environment=kubernetes", "--backend=vllm", "--adjustment-interval=60", "--ttft", "300", "--itl=20", "--load-predictor", "constant", "--no-correction"]
`;

describe("reading", () => {
  it("takes a deployment request, under the older names too", () => {
    expect(manifestOf(request)).toMatchObject({
      name: "qwen",
      namespace: "serving",
      spec: {
        version: "2026",
        ttft_ms: 200,
        itl_ms: 10,
        enable_load_scaling: true,
        enable_throughput_scaling: true,
        max_gpu_budget: 8,
        load_predictor: "arima",
      },
    });
  });
  it("takes the config itself; without latency targets only the load loop runs", () => {
    expect(manifestOf(config).spec).toMatchObject({
      mode: "agg",
      enable_load_scaling: true,
      enable_throughput_scaling: false,
      max_gpu_budget: 16,
    });
  });
  it("takes the flags of the planner of 2025", () => {
    expect(manifestOf(container).spec).toMatchObject({
      version: "2025",
      throughput_adjustment_interval_seconds: 60,
      ttft_ms: 300,
      itl_ms: 20,
      load_predictor: "constant",
      no_correction: true,
    });
  });
  it("fills in the planner's defaults", () => {
    expect(manifestOf("optimization_target: sla").spec).toEqual({ ...PLANNER_DEFAULTS, optimization_target: "sla" });
  });
  it.each([
    ["an unknown field", "optimization_target: sla\nttft_msec: 3", "ttft_msec: is not a field"],
    ["one field under two names", "ttft: 3\nttft_ms: 4\nload_predictor: arima", "ttft: is the same as ttft_ms"],
    ["prophet", "load_predictor: prophet", "prophet is not available here"],
    ["load without its thresholds", "optimization_target: load\nmode: agg", "decode_scale_up_kv_rate: is missing"],
    ["a band that is none", config.replace("kv_rate: 80", "kv_rate: 30"), "(30) is not above decode_scale_down_kv_rate (40)"],
    ["no loop at all", "optimization_target: sla\nenable_throughput_scaling: false", "nothing would ever scale"],
    [
      "loops the wrong way round",
      "optimization_target: sla\nenable_load_scaling: true\nload_adjustment_interval: 200",
      "is not below throughput_adjustment_interval_seconds (180)",
    ],
    ["a budget below the minimum", "max_gpu_budget: 3\nmin_endpoint: 2", "(3) is below the 4 GPUs"],
    ["a budget the wrong way round", "max_gpu_budget: 3\nmin_gpu_budget: 5", "(5) is above max_gpu_budget (3)"],
    ["buckets that make no square", "load_predictor: arima\nfpm_sample_bucket_size: 10", "perfect square"],
    ["a request without planner", "kind: DynamoGraphDeploymentRequest\nspec: { model: m }", "spec.features.planner: is missing"],
    ["a wrong field of a request", request.replace("ttft: 200.0", "ttft: 0"), "spec.features.planner.ttft_ms"],
    ["flags that name a file", 'args: ["-m", "dynamo.planner", "--config", "/planner.yaml"]', "read that file instead"],
    ["a foreign kind", "kind: Deployment", "expected DynamoGraphDeploymentRequest"],
  ])("refuses %s", (_, text, issue) => {
    expect(issuesOf(text)).toContain(issue);
  });
});

it.each([
  ["a request", request, true],
  ["a config", config, true],
  ["a planner's container", container, true],
  ["another container", "args: [serve]", false],
  ["an HPA", "kind: HorizontalPodAutoscaler\nmax_gpu_budget: 3", false],
  ["a list", "[]", false],
])("recognizes %s: %s", (_, text, known) => {
  expect(dynamoReader.recognizes(parse(text as string))).toBe(known);
});

it.each([request, config, container])("writes what reads back the same", (text) => {
  const result = read(text);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  expect(dynamoReader.read(JSON.parse(JSON.stringify(dynamoReader.write(result.manifest, null))))).toEqual(result);
});

describe("intents", () => {
  it("says the middle of the band, or that nothing stands for latency targets", () => {
    expect(dynamoReader.intent(manifestOf(config), null)).toMatchObject({
      intent: { min: 1, max: 8, rules: [{ signal: "kv_used", level: 0.6 }], intervalMs: 5000 },
    });
    const { intent, lost } = dynamoReader.intent(manifestOf(request), null);
    expect(intent.rules).toEqual([]);
    expect(lost.join(" ")).toContain("latency targets");
  });
  it("takes a level of the KV cache, and names the rest", () => {
    const { document, lost } = dynamoReader.fromIntent({
      ...cacheIntent,
      rules: [
        { signal: "kv_used", level: 0.7, of: "perReplica" },
        { signal: "cpu", level: 80, of: "perReplica" },
      ],
    });
    expect(dynamoReader.read(document)).toMatchObject({
      manifest: {
        name: "llm",
        spec: {
          decode_scale_up_kv_rate: 70,
          decode_scale_down_kv_rate: 42,
          max_gpu_budget: 6,
          min_endpoint: 1,
          load_adjustment_interval_seconds: 15,
        },
      },
    });
    expect(lost.join(" ")).toMatch(/cpu.*tolerance.*zero/s);
  });
});
