import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Manifest } from "../model/index.ts";
import { llmdReader } from "./llm-d.ts";
import type { ReadManifest } from "./reader.ts";

const read = (text: string): ReadManifest => llmdReader.read(parse(text));
const manifestOf = (text: string): Manifest => {
  const result = read(text);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result.manifest;
};
const issuesOf = (text: string) => {
  const result = read(text);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path}: ${message}`) : [];
};

const v1 = `
apiVersion: v1
kind: ConfigMap
metadata: { name: wva-saturation-scaling-config, namespace: workload-variant-autoscaler-system, labels: { app: wva } }
data:
  default: |
    kvCacheThreshold: 0.75
    queueLengthThreshold: 8
    kvSpareTrigger: 0.2
    queueSpareTrigger: 4
  llama-prod: |
    model_id: meta-llama/Llama-3.1-8B-Instruct
    namespace: llm-d-prod
    kvCacheThreshold: 0.9
`;
const v2 = `
apiVersion: v1
kind: ConfigMap
metadata: { name: wva-saturation-scaling-config, namespace: wva }
data:
  default: |
    analyzers:
      - type: saturation
        parameters: { scaleUpThreshold: 0.9 }
      - name: throughput
        enabled: false
    scaleDownBoundary: 0.6
    enableLimiter: false
`;
const variant = `
apiVersion: llmd.ai/v1alpha1
kind: VariantAutoscaling
metadata: { name: llama-a100, namespace: llm-d-prod }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: llama-a100-decode }
  modelID: meta-llama/Llama-3.1-8B-Instruct
  variantCost: "40.0"
`;
const several = `
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: wva-queueing-model-config, namespace: llm-d-prod }
    data:
      default: |
        sloMultiplier: 3.0
        tuningEnabled: true
      prod: |
        model_id: m
        namespace: llm-d-prod
        targetTTFT: 500.0
        targetITL: 50.0
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: wva-model-scale-to-zero-config, namespace: llm-d-prod }
    data:
      default: |
        enable_scale_to_zero: true
        retention_period: "15m"
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: wva-variantautoscaling-config, namespace: llm-d-prod }
    data: { GLOBAL_OPT_INTERVAL: 30s, PROMETHEUS_BASE_URL: "http://prometheus:9090" }
  - apiVersion: llmd.ai/v1alpha1
    kind: VariantAutoscaling
    metadata: { name: cheap, namespace: llm-d-prod }
    spec: { scaleTargetRef: { kind: Deployment, name: cheap }, modelID: m, variantCost: "5", minReplicas: 1, maxReplicas: 4 }
  - apiVersion: llmd.ai/v1alpha1
    kind: VariantAutoscaling
    metadata: { name: dear, namespace: llm-d-prod }
    spec: { scaleTargetRef: { kind: LeaderWorkerSet, apiVersion: leaderworkerset.x-k8s.io/v1, name: dear }, modelID: m }
`;
const inline = `
analyzer: saturation-v2
minReplicas: 1
maxReplicas: 6
`;

describe("reading", () => {
  it("takes V1 from a saturation ConfigMap, with its overrides", () => {
    expect(manifestOf(v1)).toMatchObject({
      name: "wva-saturation-scaling-config",
      spec: {
        analyzer: "saturation-v1",
        optimizationInterval: "60s",
        saturation: { default: { kvCacheThreshold: 0.75, queueSpareTrigger: 4 }, "llama-prod": { kvCacheThreshold: 0.9 } },
      },
    });
  });
  it("takes V2 where the entry names its analyzer, in either spelling", () => {
    expect(manifestOf(v2).spec).toMatchObject({
      analyzer: "saturation-v2",
      saturation: {
        default: { scaleUpThreshold: 0.85, scaleDownBoundary: 0.6, analyzers: [{ type: "saturation", scaleUpThreshold: 0.9 }, {}] },
      },
    });
  });
  it("takes a VariantAutoscaling, its target and the default analyzer", () => {
    const result = read(variant);
    expect(result).toMatchObject({ target: { apiVersion: "apps/v1", kind: "Deployment", name: "llama-a100-decode" } });
    expect(manifestOf(variant).spec).toMatchObject({ analyzer: "saturation-v1", variants: [{ name: "llama-a100", variantCost: "40.0" }] });
  });
  it("takes a List of all of them; a default entry of the queueing model selects it", () => {
    expect(manifestOf(several)).toMatchObject({
      name: "cheap",
      namespace: "llm-d-prod",
      spec: {
        analyzer: "queueing-model",
        optimizationInterval: "30s",
        queueingModel: { prod: { targetTTFT: 500 } },
        scaleToZero: { default: { retention_period: "15m" } },
        variants: [{ name: "cheap" }, { name: "dear", variantCost: "10.0" }],
      },
    });
  });
  it.each([
    ["an unknown field", v1.replace("kvSpareTrigger", "kvSpareTriger"), "data.default.kvSpareTriger: is not a field"],
    ["a share above one", v1.replace("0.75", "75"), "data.default.kvCacheThreshold"],
    [
      "a band that is none",
      v2
        .replace("0.6", "0.95")
        .replace("- type", "- name: x\n      - type")
        .replace("scaleDownBoundary: 0.95", "scaleDownBoundary: 0.95\n    scaleUpThreshold: 0.9"),
      "is not above scaleDownBoundary",
    ],
    [
      "one latency target without the other",
      several.replace("        targetITL: 50.0\n", ""),
      "items[0].data.prod: targetTTFT and targetITL go together",
    ],
    ["an entry that is no YAML", v1.replace("kvCacheThreshold: 0.75", "kvCacheThreshold: ["), "data.default: is not YAML"],
    ["an override of nobody", v1.replace("    model_id: meta-llama/Llama-3.1-8B-Instruct\n", ""), "says no model_id"],
    ["a cost that is no number", variant.replace('"40.0"', '"much"'), "spec.variantCost"],
    ["a wrong interval", several.replace("30s", "often"), "GLOBAL_OPT_INTERVAL"],
    ["a contradiction", "analyzer: saturation-v1\nqueueingModel: { default: {} }", "selects queueing-model"],
    ["a foreign document", "kind: Deployment", "kind: is"],
    ["bounds the wrong way round", "analyzer: saturation-v1\nminReplicas: 5\nmaxReplicas: 2", "is below minReplicas"],
  ])("refuses %s", (_, text, issue) => {
    expect(issuesOf(text).join("\n")).toContain(issue);
  });
});

it.each([
  ["a VariantAutoscaling", variant, true],
  ["its own ConfigMap", v1, true],
  ["a List with one of its own", several, true],
  ["the mapping", inline, true],
  ["another ConfigMap", "kind: ConfigMap\nmetadata: { name: kube-root-ca.crt }", false],
  ["an HPA", "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler", false],
  ["nothing", "null", false],
])("recognizes %s: %s", (_, text, known) => {
  expect(llmdReader.recognizes(parse(text as string))).toBe(known);
});

it.each([v1, v2, variant, several, inline])("writes what reads back the same", (text) => {
  const result = read(text);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  const again = llmdReader.read(JSON.parse(JSON.stringify(llmdReader.write(result.manifest, result.target))));
  expect(again).toEqual(result);
});

describe("intents", () => {
  it("says the use at which it grows, and what it cannot say", () => {
    const { intent, lost } = llmdReader.intent(manifestOf(v1), null);
    expect(intent.rules).toEqual([
      { signal: "kv_used", level: 0.55, of: "perReplica" },
      { signal: "waiting", level: 4, of: "perReplica" },
    ]);
    expect(lost.join(" ")).toContain("no maximum");
    expect(llmdReader.intent(manifestOf(several), null)).toMatchObject({
      intent: { rules: [], min: 1, max: 4, zeroAfterMs: 900_000, intervalMs: 30_000 },
    });
  });
  it("takes levels of KV cache and queue, and names the rest", () => {
    const { document, lost } = llmdReader.fromIntent({
      name: "llama",
      namespace: "prod",
      target: null,
      min: 1,
      max: 5,
      rules: [
        { signal: "waiting", level: 3, of: "perReplica" },
        { signal: "kv_used", level: 0.6, of: "perReplica" },
        { signal: "gpu_utilization", level: 75, of: "perReplica" },
      ],
      tolerance: 0.1,
      scaleUp: null,
      scaleDown: null,
      zeroAfterMs: 600_000,
      intervalMs: 30_000,
    });
    const again = llmdReader.read(document);
    expect(again).toMatchObject({
      manifest: {
        spec: {
          saturation: { default: { queueLengthThreshold: 5, queueSpareTrigger: 2, kvSpareTrigger: 0.2 } },
          variants: [{ maxReplicas: 5 }],
        },
      },
    });
    expect(lost.join(" ")).toMatch(/gpu_utilization.*tolerance.*modelID/s);
  });
});
