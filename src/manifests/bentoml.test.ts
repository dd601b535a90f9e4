import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { bentomlReader } from "./bentoml.ts";
import { hpaReader } from "./hpa-reader.ts";
import type { Intent } from "./reader.ts";

const deployment = `
name: llama-chat
bento: llama:1.2
access_authorization: true
envs: [{ name: HF_HUB_ENABLE_HF_TRANSFER, value: "1" }]
services:
  VLLMService:
    instance_type: gpu.a100.1
    deployment_strategy: RollingUpdate
    scaling:
      min_replicas: 0
      max_replicas: 4
      policy: { scale_up_stabilization_window: 180, scale_down_stabilization_window: 900 }
    config_overrides:
      traffic: { timeout: 300, concurrency: 32, external_queue: true }
`;
const config = (over: object) => ({
  name: "Chat",
  traffic: { concurrency: 32 },
  resources: { gpu: 1, gpu_type: "nvidia-l4" },
  workers: 1,
  ...over,
});

const read = (document: unknown) => {
  const found = bentomlReader.read(document);
  if ("issues" in found) throw new Error(JSON.stringify(found.issues));
  return found;
};
const issues = (document: unknown) => {
  const found = bentomlReader.read(document);
  return "issues" in found ? found.issues.map(({ path, message }) => `${path} ${message}`) : [];
};

it("reads a deployment file as the HPA that BentoCloud's words stand for", () => {
  const { manifest, target } = read(parse(deployment));
  expect(manifest.name).toBe("llama-chat");
  expect(target).toEqual({ apiVersion: "apps/v1", kind: "Deployment", name: "llama-chat" });
  expect(manifest.spec).toMatchObject({
    minReplicas: 0,
    maxReplicas: 4,
    metrics: [{ type: "External", external: { metric: { name: "in_flight" }, target: { type: "AverageValue", averageValue: "32" } } }],
    behavior: {
      scaleUp: { stabilizationWindowSeconds: 180, selectPolicy: "Max", tolerance: "0" },
      scaleDown: { stabilizationWindowSeconds: 900, policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
    },
  });
});

it.each([
  { rule: "up at once and down after ten minutes by default", policy: {}, up: 0, down: 600, select: ["Max", "Max"] },
  {
    rule: "by the words of older releases",
    policy: { scale_up_behavior: "stable", scale_down_behavior: "fast" },
    up: 600,
    down: 0,
    select: ["Max", "Max"],
  },
  { rule: "not at all in one direction", policy: { scale_down_behavior: "disabled" }, up: 0, down: 0, select: ["Max", "Disabled"] },
])("scales $rule", ({ policy, up, down, select }) => {
  const { behavior } = read(config({ scaling: { max_replicas: 3, policy } })).manifest.spec as {
    behavior: Record<string, Record<string, unknown>>;
  };
  expect([behavior["scaleUp"], behavior["scaleDown"]].map((rules) => rules?.["stabilizationWindowSeconds"])).toEqual([up, down]);
  expect([behavior["scaleUp"], behavior["scaleDown"]].map((rules) => rules?.["selectPolicy"])).toEqual(select);
});

it("goes by CPU without a concurrency, and takes a deployment's word over the service's", () => {
  expect(read({ traffic: { timeout: 9 }, scaling: { max_replicas: 2 } }).manifest.spec["metrics"]).toMatchObject([
    { type: "Resource", resource: { name: "cpu" } },
  ]);
  const overridden = read(config({ config_overrides: { traffic: { concurrency: 8 } } }));
  expect(overridden.manifest.spec["metrics"]).toMatchObject([{ external: { target: { averageValue: "8" } } }]);
});

describe("refuses", () => {
  it.each([
    {
      what: "a queue without a concurrency",
      document: { traffic: { external_queue: true } },
      issue: "traffic.concurrency is missing; external_queue needs one",
    },
    {
      what: "zero without a concurrency",
      document: { traffic: {}, scaling: { min_replicas: 0, max_replicas: 2 } },
      issue: "traffic.concurrency is not stated; without it nothing says when to leave min_replicas 0 (requests, not CPU, wake a service)",
    },
    {
      what: "bounds that cross",
      document: config({ scaling: { min_replicas: 3, max_replicas: 2 } }),
      issue: "scaling.max_replicas (2) is below min_replicas (3); raise it or lower the minimum",
    },
    {
      what: "one direction stated twice",
      document: config({ scaling: { policy: { scale_up_behavior: "fast", scale_up_stabilization_window: 3 } } }),
      issue: "scaling.policy.scale_up_behavior says the same as scale_up_stabilization_window; remove one of them",
    },
    {
      what: "several services",
      document: { services: { A: { scaling: {} }, B: {} } },
      issue: "services names A, B; keep one of them, each is an endpoint of its own",
    },
    {
      what: "what is no field",
      document: config({ scaling: { replicas: 3 } }),
      issue: "scaling.replicas is not a field of BentoML 1.4; remove it",
    },
  ])("$what", ({ document, issue }) => expect(issues(document)).toEqual([issue]));
});

it.each([
  { document: parse(deployment), known: true },
  { document: config({}), known: true },
  { document: { bento: ".", scaling: { max_replicas: 2 } }, known: true },
  { document: { services: ["web"] }, known: false },
  { document: { services: { web: { image: "nginx" } } }, known: false },
  { document: { kind: "HorizontalPodAutoscaler", traffic: {} }, known: false },
])("recognizes its own documents ($known)", ({ document, known }) => expect(bentomlReader.recognizes(document)).toBe(known));

it("writes an HPA, which reads back the same here and there", () => {
  const first = read(parse(deployment));
  const written = JSON.parse(JSON.stringify(bentomlReader.write(first.manifest, first.target)));
  expect(read(written)).toEqual(first);
  expect(hpaReader.read(written)).toEqual(first);
});

describe("an intent", () => {
  const wish: Intent = {
    name: "llm",
    namespace: "default",
    target: null,
    min: 0,
    max: 5,
    rules: [{ signal: "in_flight", level: 12.5, of: "perReplica", total: true }],
    tolerance: 0,
    scaleUp: { stabilizationWindowMs: 30_000, selectPolicy: "Max", policies: [] },
    scaleDown: { stabilizationWindowMs: 7_200_000, selectPolicy: "Max", policies: [] },
    zeroAfterMs: null,
    intervalMs: null,
  };
  it("becomes a deployment file that reads", () => {
    const { document, lost } = bentomlReader.fromIntent(wish);
    expect(document).toEqual({
      name: "llm",
      services: {
        llm: {
          scaling: {
            min_replicas: 0,
            max_replicas: 5,
            policy: { scale_up_stabilization_window: 30, scale_down_stabilization_window: 3600 },
          },
          config_overrides: { traffic: { concurrency: 12, external_queue: true } },
        },
      },
    });
    expect(lost).toHaveLength(3);
    expect(read(document).manifest.spec).toMatchObject({ minReplicas: 0, maxReplicas: 5 });
  });
  it("without requests goes by CPU, and never to zero", () => {
    const { document, lost } = bentomlReader.fromIntent({ ...wish, rules: [{ signal: "kv_used", level: 0.8, of: "perReplica" }] });
    expect(read(document).manifest.spec).toMatchObject({ minReplicas: 1 });
    expect(lost.join("\n")).toMatch(/kv_used \(0.8\).*\n.*goes by CPU/);
  });
});

it("says what is wrong with any document, and never throws", () => {
  const parts = fc.record(
    { name: fc.jsonValue(), services: fc.dictionary(fc.string(), fc.jsonValue()), traffic: fc.jsonValue(), scaling: fc.jsonValue() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (document) => {
      bentomlReader.recognizes(document);
      const found = bentomlReader.read(document);
      if ("issues" in found) expect(found.issues.length).toBeGreaterThan(0);
      else expect(bentomlReader.read(bentomlReader.write(found.manifest, found.target))).toEqual(found);
    }),
  );
});
