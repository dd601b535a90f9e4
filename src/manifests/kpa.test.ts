import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { hpaReader } from "./hpa-reader.ts";
import { kpaReader } from "./kpa.ts";

const read = (document: unknown) => {
  const result = kpaReader.read(document);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result;
};
const issuesOf = (document: unknown) => {
  const result = kpaReader.read(document);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path} ${message}`) : [];
};

const service = parse(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: llama
  namespace: models
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/class: kpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/target: "8"
        autoscaling.knative.dev/minScale: "0"
        autoscaling.knative.dev/max-scale: "6"
        autoscaling.knative.dev/window: 2m
        autoscaling.knative.dev/scale-down-delay: 15m
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: 1m5s
        serving.knative.dev/progress-deadline: 20m
    spec:
      containerConcurrency: 16
      timeoutSeconds: 900
      containers:
        - image: vllm/vllm-openai:v0.10.0
          resources: { limits: { nvidia.com/gpu: "1" } }
  traffic:
    - latestRevision: true
      percent: 100
`);
const inferenceService = parse(`
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: llama
  namespace: models
  annotations:
    serving.kserve.io/deploymentMode: Knative
    autoscaling.knative.dev/window: 90s
spec:
  predictor:
    minReplicas: 1
    maxReplicas: 5
    scaleTarget: 12
    scaleMetric: concurrency
    model:
      modelFormat: { name: huggingface }
  transformer:
    containers: []
`);
const podAutoscaler = parse(`
apiVersion: autoscaling.internal.knative.dev/v1alpha1
kind: PodAutoscaler
metadata:
  name: llama-00007
  annotations:
    autoscaling.knative.dev/metric: rps
    autoscaling.knative.dev/target: "4.5"
spec:
  containerConcurrency: 0
  protocolType: h2c
  reachability: Reachable
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: llama-00007-deployment }
`);

describe("reading", () => {
  it("takes a Knative Service's template, with annotations under their present names", () => {
    expect(read(service)).toEqual({
      manifest: {
        name: "llama",
        namespace: "models",
        annotations: {
          "autoscaling.knative.dev/metric": "concurrency",
          "autoscaling.knative.dev/target": "8",
          "autoscaling.knative.dev/min-scale": "0",
          "autoscaling.knative.dev/max-scale": "6",
          "autoscaling.knative.dev/window": "2m",
          "autoscaling.knative.dev/scale-down-delay": "15m",
          "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "1m5s",
          "serving.knative.dev/progress-deadline": "20m",
        },
        spec: { containerConcurrency: 16, reachability: "" },
      },
      target: { apiVersion: "serving.knative.dev/v1", kind: "Service", name: "llama" },
    });
  });
  it("makes annotations of an InferenceService's fields, as KServe does", () => {
    const { manifest, target } = read(inferenceService);
    expect(manifest.annotations).toEqual({
      "autoscaling.knative.dev/window": "90s",
      "autoscaling.knative.dev/min-scale": "1",
      "autoscaling.knative.dev/max-scale": "5",
      "autoscaling.knative.dev/target": "12",
      "autoscaling.knative.dev/metric": "concurrency",
    });
    expect(target?.kind).toBe("InferenceService");
    expect(kpaReader.intent(manifest, target).lost.join(" ")).toContain("transformer");
  });
  it("keeps one replica of an InferenceService that says nothing", () => {
    const bare = { ...inferenceService, metadata: { name: "llama" }, spec: { predictor: {} } };
    expect(read(bare).manifest.annotations).toEqual({ "autoscaling.knative.dev/min-scale": "1" });
  });
  it("takes a revision's PodAutoscaler", () => {
    const { manifest, target } = read(podAutoscaler);
    expect(manifest).toMatchObject({ namespace: "default", spec: { reachability: "Reachable" } });
    expect(target).toEqual({ apiVersion: "apps/v1", kind: "Deployment", name: "llama-00007-deployment" });
  });
});

describe("a List with the cluster's config-autoscaler", () => {
  const configMap = (data: Readonly<Record<string, string>>) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "config-autoscaler", namespace: "knative-serving" },
    data: { _example: "stable-window: 60s", ...data },
  });
  const list = (data: Readonly<Record<string, string>>, ...documents: readonly unknown[]) => ({
    apiVersion: "v1",
    kind: "List",
    items: [configMap(data), ...documents],
  });
  it("takes what the revision does not say from the cluster, and is written back as such", () => {
    const first = read(
      list({ "scale-to-zero-grace-period": "5m", "container-concurrency-target-percentage": "80", "stable-window": "30s" }, service),
    );
    expect(first.manifest.spec["config"]).toEqual({
      "scale-to-zero-grace-period": "5m",
      "container-concurrency-target-percentage": "80",
      "stable-window": "30s",
    });
    // The revision's own window of 2 min, and 80 % of its 8.
    expect(kpaReader.intent(first.manifest, first.target).intent).toMatchObject({ zeroAfterMs: 420_000, rules: [{ level: 6.4 }] });
    expect(read(kpaReader.write(first.manifest, first.target))).toEqual(first);
    expect(kpaReader.recognizes(list({}, service))).toBe(true);
    expect(kpaReader.recognizes(list({}))).toBe(false);
  });
  it.each([
    ["a key of nothing", list({ "stable-windows": "60s" }, service), 'items[0].data["stable-windows"]'],
    ["a rate that stands still", list({ "max-scale-up-rate": "1" }, service), "above 1"],
    ["a maximum beyond the cluster's", list({ "max-scale": "5", "max-scale-limit": "5" }, service), "max-scale-limit"],
    ["two services", list({}, service, service), "hold 2 documents"],
  ])("refuses %s", (_, document, says) => {
    const found = issuesOf(document);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(says);
  });
  it("allows an initial scale of 0 where the cluster does", () => {
    const zero = structuredClone(service);
    zero.spec.template.metadata.annotations["autoscaling.knative.dev/initial-scale"] = "0";
    expect(issuesOf(list({}, zero))).toHaveLength(1);
    expect(issuesOf(list({ "allow-zero-initial-scale": "true" }, zero))).toEqual([]);
  });
});

describe("refusing", () => {
  const withAnnotation = (key: string, value: string) => {
    const copy = structuredClone(service);
    copy.spec.template.metadata.annotations[`autoscaling.knative.dev/${key}`] = value;
    return issuesOf(copy);
  };
  it.each([
    ["class", "hpa.autoscaling.knative.dev", "import that one instead"],
    ["class", "keda.example.com", "an autoscaler that Knative does not bring"],
    ["max-scale", "0x4", "whole number"],
    ["min-scale", "7", "less than autoscaling.knative.dev/min-scale"],
    ["activation-scale", "9", "more than autoscaling.knative.dev/max-scale"],
    ["initial-scale", "0", "allow-zero-initial-scale"],
    ["windows", "60s", "is not an annotation"],
    ["window", "2s", "from 6s to 3600s"],
  ])("%s: %s", (key, value, says) => {
    const found = withAnnotation(key, value);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain("spec.template.metadata.annotations[");
    expect(found[0]).toContain(says);
  });
  it("annotations on the Service itself, unknown fields, and services that another autoscaler scales", () => {
    const misplaced = { ...service, metadata: { ...service.metadata, annotations: { "autoscaling.knative.dev/min-scale": "1" } } };
    expect(issuesOf(misplaced)[0]).toContain("move it to spec.template.metadata.annotations");
    expect(issuesOf({ ...service, spec: { ...service.spec, replicas: 2 } })).toEqual([
      "spec.replicas is not a field of this API version; remove it",
    ]);
    const raw = structuredClone(inferenceService);
    raw.metadata.annotations["serving.kserve.io/deploymentMode"] = "RawDeployment";
    expect(issuesOf(raw)[0]).toContain("import that one");
    const cpu = structuredClone(inferenceService);
    cpu.spec.predictor.scaleMetric = "cpu";
    expect(issuesOf(cpu)[0]).toContain("spec.predictor.scaleMetric");
    expect(issuesOf({ apiVersion: "v1", kind: "Pod" })[0]).toContain("use one of");
  });
});

describe("writing", () => {
  it.each([
    ["a Service", service],
    ["an InferenceService", inferenceService],
    ["a PodAutoscaler", podAutoscaler],
  ])("gives back the same manifest of %s", (_, document) => {
    const first = read(document);
    expect(read(kpaReader.write(first.manifest, first.target))).toEqual(first);
  });

  it("reads what it writes to the same manifest, whatever the annotations and the kind", () => {
    const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
    const annotations = fc
      .record({
        metric: some(fc.constantFrom("concurrency", "rps")),
        target: some(fc.oneof(fc.integer({ min: 1, max: 500 }), fc.constant(0.5)).map(String)),
        "target-utilization-percentage": some(fc.integer({ min: 1, max: 100 }).map(String)),
        "target-burst-capacity": some(fc.integer({ min: -1, max: 500 }).map(String)),
        window: some(fc.integer({ min: 6, max: 3600 }).map((value) => `${value}s`)),
        "min-scale": some(fc.integer({ min: 0, max: 3 }).map(String)),
        "max-scale": some(fc.constantFrom("0", "4", "90")),
        "scale-down-delay": some(fc.integer({ min: 0, max: 60 }).map((value) => `${value}m`)),
        "activation-scale": some(fc.constantFrom("3", "4")),
      })
      .map((all) =>
        Object.fromEntries(
          Object.entries(all).flatMap(([key, value]) => (value === undefined ? [] : [[`autoscaling.knative.dev/${key}`, value]])),
        ),
      );
    fc.assert(
      fc.property(annotations, fc.constantFrom(service, inferenceService, podAutoscaler), (generated, base) => {
        const document = structuredClone(base);
        if (base === service) document.spec.template.metadata.annotations = generated;
        else document.metadata.annotations = generated;
        const first = read(document);
        expect(read(kpaReader.write(first.manifest, first.target))).toEqual(first);
      }),
    );
  });

  it("carries an HPA's target over, and says what Knative has no words for", () => {
    const { document, lost } = kpaReader.fromIntent({
      name: "llm",
      namespace: "n",
      target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" },
      min: 0,
      max: 8,
      rules: [
        { signal: "gpu_utilization", level: 75, of: "perReplica" },
        { signal: "in_flight", level: 12, of: "perReplica", total: true },
      ],
      tolerance: 0.1,
      scaleUp: null,
      scaleDown: { stabilizationWindowMs: 300_000, selectPolicy: "Max", policies: [{ type: "Pods", value: 1, periodMs: 60_000 }] },
      zeroAfterMs: 600_000,
      intervalMs: 15_000,
    });
    expect(read(document).manifest.annotations).toEqual({
      "autoscaling.knative.dev/metric": "concurrency",
      "autoscaling.knative.dev/target": "12",
      "autoscaling.knative.dev/target-utilization-percentage": "100",
      "autoscaling.knative.dev/min-scale": "0",
      "autoscaling.knative.dev/max-scale": "8",
      "autoscaling.knative.dev/scale-down-delay": "300s",
      "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "540s",
    });
    for (const part of ["gpu_utilization", "tolerance", "cluster's setting", "every 2 s", "not Deployment llm"])
      expect(lost.join("\n")).toContain(part);
  });

  it("can be said as an HPA", () => {
    const { manifest, target } = read(service);
    const { intent, lost } = kpaReader.intent(manifest, target);
    expect(intent).toMatchObject({ min: 0, max: 6, rules: [{ signal: "in_flight", level: 8 * 0.7, total: true }], zeroAfterMs: 185_000 });
    expect(lost.join(" ")).toContain("panic");
    expect("issues" in hpaReader.read(hpaReader.fromIntent(intent).document)).toBe(false);
  });
});
