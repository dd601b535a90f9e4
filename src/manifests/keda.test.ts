import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Manifest } from "../model/index.ts";
import { kedaDialect } from "../policy/dialects/keda/index.ts";
import { endpoint } from "../policy/plant.fixture.ts";
import { hpaReader } from "./hpa-reader.ts";
import { kedaReader, parseTriggerAuthentication } from "./keda.ts";

const vllm = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: llama-3-8b
  namespace: llm-serving
  uid: 5b1c
  annotations:
    autoscaling.keda.sh/paused-scale-in: "true"
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  scaleTargetRef: { name: llm-inference-deployment }
  pollingInterval: 15
  cooldownPeriod: 600
  minReplicaCount: 0
  maxReplicaCount: 12
  fallback: { failureThreshold: 3, replicas: 4 }
  advanced:
    restoreToOriginalReplicaCount: true
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown: { stabilizationWindowSeconds: 120, policies: [{ type: Pods, value: 1, periodSeconds: 60 }] }
  triggers:
    - type: prometheus
      name: waiting
      metadata:
        serverAddress: http://prometheus.monitoring:9090
        query: sum(vllm:num_requests_waiting{model_name="llama"})
        threshold: "5"
        activationThreshold: "1"
      authenticationRef: { name: prometheus-login }
    - type: cron
      metadata: { timezone: Europe/Berlin, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "3" }
    - type: cpu
      metricType: Utilization
      metadata: { value: "70" }
`;
const scaledJob = `
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: { name: batch-inference }
spec:
  jobTargetRef: { template: { spec: { containers: [{ name: worker, image: worker:1 }], restartPolicy: Never } } }
  minReplicaCount: 1
  maxReplicaCount: 20
  scalingStrategy: { strategy: accurate, multipleScalersCalculation: sum }
  triggers:
    - type: rabbitmq
      metadata: { hostFromEnv: RABBITMQ_URL, queueName: prompts, mode: QueueLength, value: "2" }
`;
const http = `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: { name: chat, namespace: llm-serving }
spec:
  hosts: [chat.example.com]
  scaleTargetRef: { name: chat, service: chat, port: 8000 }
  replicas: { min: 0, max: 8 }
  scaledownPeriod: 120
  scalingMetric: { requestRate: { targetValue: 4, window: 2m, granularity: 1s } }
`;

const documentOf = (text: string) => parse(text) as Record<string, unknown>;
function read(document: unknown): Manifest {
  const result = kedaReader.read(document);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result.manifest;
}
function issues(text: string, change: (document: Record<string, never>) => void): readonly string[] {
  const document = documentOf(text) as Record<string, never>;
  change(document);
  const result = kedaReader.read(document);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path}: ${message}`) : [];
}

it.each([
  ["a ScaledObject", vllm],
  ["a ScaledJob", scaledJob],
  ["an HTTPScaledObject", http],
])("writes %s so that it reads back the same", (_, text) => {
  const manifest = read(documentOf(text));
  expect(kedaReader.recognizes(documentOf(text))).toBe(true);
  expect(read(kedaReader.write(manifest, null))).toEqual(manifest);
  expect(JSON.parse(JSON.stringify(manifest))).toEqual(manifest);
});

it("keeps what means something, fills in what the API server fills in, and finds the target", () => {
  const result = kedaReader.read(documentOf(vllm));
  expect(result).toMatchObject({
    target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm-inference-deployment" },
    manifest: {
      annotations: { "autoscaling.keda.sh/paused-scale-in": "true" },
      spec: { fallback: { failureThreshold: 3, replicas: 4, behavior: "static" } },
    },
  });
  expect(kedaReader.read(documentOf(scaledJob))).toMatchObject({ target: null, manifest: { namespace: "default" } });
});

type Spec = Record<string, unknown> & { triggers: Record<string, unknown>[] };
const spec = (document: Record<string, unknown>) => document["spec"] as Spec;

describe("refuses, with the path", () => {
  it.each<[string, (spec: Spec) => void, string]>([
    ["an unknown field", (s) => Object.assign(s, { replicas: 3 }), "spec.replicas: is not a field"],
    [
      "a number as metadata",
      (s) => Object.assign(s.triggers[0]?.["metadata"] as object, { threshold: 5 }),
      "spec.triggers[0].metadata.threshold: must be text",
    ],
    [
      "a minimum above the maximum",
      (s) => Object.assign(s, { minReplicaCount: 13 }),
      "spec.minReplicaCount: is 13, above maxReplicaCount (12)",
    ],
    [
      "an idle count not below the minimum",
      (s) => Object.assign(s, { minReplicaCount: 2, idleReplicaCount: 2 }),
      "spec.idleReplicaCount: is 2",
    ],
    [
      "two triggers of one name",
      (s) => Object.assign(s.triggers[1] as object, { name: "waiting" }),
      "spec.triggers[1].name: waiting names another",
    ],
    [
      "a cached cron",
      (s) => Object.assign(s.triggers[1] as object, { useCachedMetrics: true }),
      "spec.triggers[1].useCachedMetrics: is not supported",
    ],
    [
      "Utilization outside of cpu and memory",
      (s) => Object.assign(s.triggers[0] as object, { metricType: "Utilization" }),
      "spec.triggers[0]: metricType is Utilization",
    ],
    [
      "metadata that the scaler refuses",
      (s) => Object.assign(s.triggers[1]?.["metadata"] as object, { end: "0 25 * * *" }),
      'spec.triggers[1]: cron field "25"',
    ],
    [
      "an unknown trigger",
      (s) => Object.assign(s.triggers[0] as object, { type: "promethius" }),
      'spec.triggers[0]: no scaler for trigger type "promethius"',
    ],
    ["no trigger", (s) => Object.assign(s, { triggers: [] }), "spec.triggers: is empty"],
    [
      "a formula without target",
      (s) => Object.assign(s["advanced"] as object, { scalingModifiers: { formula: "waiting" } }),
      "spec.advanced.scalingModifiers.target: is missing",
    ],
    [
      "a formula with an unknown name",
      (s) => Object.assign(s["advanced"] as object, { scalingModifiers: { formula: "waiting + running", target: "2" } }),
      "spec.advanced.scalingModifiers.formula: unknown name running",
    ],
    [
      "a fallback by a formula that is not there",
      (s) => Object.assign(s["fallback"] as object, { behavior: "scalingModifiers" }),
      "spec.fallback.behavior: is scalingModifiers without a formula",
    ],
    [
      "a behavior that the API server refuses",
      (s) =>
        Object.assign(s["advanced"] as object, {
          horizontalPodAutoscalerConfig: { behavior: { scaleUp: { stabilizationWindowSeconds: 9999 } } },
        }),
      "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.stabilizationWindowSeconds",
    ],
    [
      "only cpu with a minimum of 0",
      (s) => Object.assign(s, { triggers: [s.triggers[2]], fallback: undefined }),
      "spec.minReplicaCount: is 0 with only cpu and memory triggers",
    ],
  ])("%s", (_, change, message) => {
    expect(issues(vllm, (document) => change(spec(document)))).toContainEqual(expect.stringContaining(message));
  });

  it("a paused count that is none, a cpu trigger of jobs, and a service without port", () => {
    const annotate = (document: Record<string, never>) =>
      Object.assign(document["metadata"] as unknown as object, { annotations: { "autoscaling.keda.sh/paused-replicas": "many" } });
    expect(issues(vllm, annotate)[0]).toContain("paused-replicas");
    expect(
      issues(scaledJob, (document) => spec(document).triggers.push({ type: "cpu", metricType: "Utilization", metadata: { value: "5" } })),
    ).toEqual([expect.stringContaining("spec.triggers[1].type: is cpu")]);
    expect(issues(http, (document) => Object.assign(spec(document)["scaleTargetRef"] as object, { port: undefined }))).toEqual([
      expect.stringContaining("exactly one of port and portName"),
    ]);
  });
});

describe("as an intent", () => {
  it("carries bounds, rules, behavior and the time to zero, and names the rest", () => {
    const manifest = read(documentOf(vllm));
    const { intent, lost } = kedaReader.intent(manifest, null);
    expect(intent).toMatchObject({
      min: 0,
      max: 12,
      zeroAfterMs: 600_000,
      rules: [
        { signal: "waiting", level: 5, of: "perReplica", total: true, query: 'sum(vllm:num_requests_waiting{model_name="llama"})' },
        { signal: "cpu", level: 70, of: "perReplica" },
      ],
      scaleDown: { stabilizationWindowMs: 120_000, policies: [{ type: "Pods", value: 1, periodMs: 60_000 }] },
    });
    for (const part of [
      "fallback",
      "schedule of 3 replicas",
      "active only above 1",
      "log in",
      "paused-scale-in",
      "original one",
      "pollingInterval",
    ]) {
      expect(lost.join("\n")).toContain(part);
    }
    expect(kedaReader.intent(read(documentOf(http)), null).intent).toMatchObject({
      rules: [{ signal: "request_rate", level: 4 }],
      zeroAfterMs: 120_000,
    });
    expect(kedaReader.intent(read(documentOf(scaledJob)), null).lost[0]).toContain("Jobs end by themselves");
  });

  it("comes back as a ScaledObject that is valid and means the same", () => {
    const { intent } = kedaReader.intent(read(documentOf(vllm)), { apiVersion: "apps/v1", kind: "Deployment", name: "llm" });
    const written = kedaReader.fromIntent(intent);
    const again = kedaReader.intent(read(written.document), intent.target).intent;
    expect(again).toMatchObject({ min: 0, max: 12, zeroAfterMs: 600_000, rules: intent.rules, scaleDown: intent.scaleDown });
    expect(written.lost).toContainEqual(expect.stringContaining("put your Prometheus server's"));
  });

  it("writes what other systems hold: signals without a query as the controller serves them, means as Value", () => {
    const { intent } = hpaReader.intent(
      {
        name: "llm",
        namespace: "default",
        spec: {
          scaleTargetRef: { kind: "Deployment", name: "llm" },
          minReplicas: 2,
          maxReplicas: 10,
          metrics: [{ type: "Pods", pods: { metric: { name: "gpu_utilization" }, target: { type: "AverageValue", averageValue: "75" } } }],
        },
      },
      null,
    );
    const { document, lost } = kedaReader.fromIntent(intent);
    expect(read(document).spec["triggers"]).toEqual([
      {
        type: "prometheus",
        name: "gpu_utilization",
        metricType: "Value",
        metadata: expect.objectContaining({ threshold: "75", query: 'max(tidegate_signal{endpoint="llm",signal="gpu_utilization"})' }),
      },
    ]);
    expect(lost.join("\n")).toContain("tidegate_signal");
    const nothing = kedaReader.fromIntent({ ...intent, rules: [], min: 0 });
    expect(read(nothing.document).spec).toMatchObject({ minReplicaCount: 1, triggers: [{ type: "cpu" }] });
  });
});

it("whatever it is given, says issues or a manifest that a policy can be made of; it never throws", () => {
  const odd = fc.oneof(
    fc.constantFrom("", "0", "-1", "1e400", "NaN", "inf", "0.0004", "5", "1Gi", "a ?? b", "max(waiting, 1)"),
    fc.jsonValue(),
  );
  const change = fc.record({
    path: fc.constantFrom(
      ...["minReplicaCount", "idleReplicaCount", "fallback", "advanced", "triggers", "cooldownPeriod", "triggers.0.metadata.threshold"],
      ...[
        "triggers.0.metadata.activationThreshold",
        "triggers.0.type",
        "triggers.2.metadata.value",
        "triggers.2.metricType",
        "triggers.0.metricType",
      ],
      ...[
        "advanced.scalingModifiers.formula",
        "advanced.scalingModifiers.target",
        "triggers.1.metadata.start",
        "triggers.0.authenticationRef",
      ],
      "advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.tolerance",
    ),
    value: odd,
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), (changes) => {
      const document = documentOf(vllm);
      for (const { path, value } of changes) set(spec(document), path.split("."), value);
      const result = kedaReader.read(document);
      if ("issues" in result) expect(result.issues.length).toBeGreaterThan(0);
      else expect(kedaDialect.policy(endpoint({ kind: "static", replicas: {} }), result.manifest).needs.length).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 300 },
  );
});

function set(into: Record<string, unknown>, [key, ...rest]: readonly string[], value: unknown): void {
  if (key === undefined) return;
  if (rest.length === 0) into[key] = value;
  else {
    if (typeof into[key] !== "object" || into[key] === null) into[key] = {};
    set(into[key] as Record<string, unknown>, rest, value);
  }
}

it("gives and sets bounds, an idle count included", () => {
  const manifest = read(documentOf(vllm));
  expect(kedaDialect.bounds(manifest)).toEqual({ min: 0, max: 12 });
  expect(kedaDialect.bounds(kedaDialect.withBounds(manifest, { min: 2, max: 5 }))).toEqual({ min: 2, max: 5 });
  const idle = { ...manifest, spec: { ...manifest.spec, minReplicaCount: 3, idleReplicaCount: 0 } };
  expect(kedaDialect.withBounds(idle, { min: 0, max: 9 }).spec).toMatchObject({
    idleReplicaCount: 0,
    minReplicaCount: 3,
    maxReplicaCount: 9,
  });
  expect(kedaDialect.withBounds(idle, { min: 1, max: 9 }).spec).toMatchObject({ minReplicaCount: 1, maxReplicaCount: 9 });
  expect(kedaDialect.bounds(read(documentOf(scaledJob)))).toEqual({ min: 1, max: 20 });
  expect(kedaDialect.bounds(kedaDialect.withBounds(read(documentOf(http)), { min: 1, max: 3 }))).toEqual({ min: 1, max: 3 });
});

it("reads what a TriggerAuthentication binds, and refuses what excludes each other", () => {
  const authentication = documentOf(`
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: { name: prometheus-login, namespace: llm-serving }
spec:
  podIdentity: { provider: aws, roleArn: "arn:aws:iam::1:role/keda" }
  secretTargetRef: [{ parameter: bearerToken, name: prometheus, key: token }]
  env: [{ parameter: host, name: RABBITMQ_URL }]
  hashiCorpVault: { address: "https://vault:8200", authentication: token, secrets: [{ parameter: password, path: kv/queue, key: pass }] }
`);
  expect(parseTriggerAuthentication(authentication)).toEqual({
    authentication: {
      name: "prometheus-login",
      namespace: "llm-serving",
      podIdentity: "aws",
      filePath: null,
      references: [
        { parameter: "bearerToken", source: "secret", reference: "prometheus/token" },
        { parameter: "host", source: "env", reference: "RABBITMQ_URL" },
        { parameter: "password", source: "hashiCorpVault", reference: "kv/queue/pass" },
      ],
    },
  });
  expect(parseTriggerAuthentication({ ...authentication, kind: "ClusterTriggerAuthentication" })).toMatchObject({
    authentication: { namespace: null },
  });
  const both = { ...authentication, spec: { podIdentity: { provider: "aws", roleArn: "x", identityOwner: "keda" } } };
  expect(parseTriggerAuthentication(both)).toMatchObject({ issues: [{ path: "spec.podIdentity" }] });
});
