import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { replicaPolicyOf } from "../policy/dialects/skyserve/index.ts";
import type { Intent } from "./reader.ts";
import { skyserveReader } from "./skyserve.ts";

const task = `
name: llama
service:
  readiness_probe:
    path: /v1/models
    initial_delay_seconds: 1200
  replica_policy:
    min_replicas: 1
    max_replicas: 6
    target_qps_per_replica: 2.5
    downscale_delay_seconds: 600
    base_ondemand_fallback_replicas: 1
    dynamic_ondemand_fallback: true
resources:
  accelerators: { L4: 1, A10G: 1 }
  use_spot: true
  ports: 8080
envs: { MODEL: meta-llama/Llama-3.1-8B-Instruct, HF_TOKEN: null }
setup: pip install vllm
run: vllm serve $MODEL
`;
const byGpu = {
  service: {
    load_balancing_policy: "instance_aware_least_load",
    replica_policy: { min_replicas: 1, max_replicas: 4, target_qps_per_replica: { "A100:2": 4, L4: 1 } },
  },
};
const policy = (over: object) => ({
  service: { readiness_probe: "/", replica_policy: { min_replicas: 1, max_replicas: 4, target_qps_per_replica: 1, ...over } },
});

const read = (document: unknown) => {
  const found = skyserveReader.read(document);
  if ("issues" in found) throw new Error(JSON.stringify(found.issues));
  return found;
};
const issues = (document: unknown) => {
  const found = skyserveReader.read(document);
  return "issues" in found ? found.issues.map(({ path, message }) => `${path} ${message}`) : [];
};

it("reads a task unchanged, with SkyServe's defaults", () => {
  const { manifest, target } = read(parse(task));
  expect([manifest.name, target]).toEqual(["llama", null]);
  expect(manifest.spec["envs"]).toEqual({ MODEL: "meta-llama/Llama-3.1-8B-Instruct", HF_TOKEN: null });
  expect(replicaPolicyOf(manifest)).toEqual({
    min_replicas: 1,
    max_replicas: 6,
    num_overprovision: 0,
    target_qps_per_replica: 2.5,
    upscale_delay_seconds: 300,
    downscale_delay_seconds: 600,
    base_ondemand_fallback_replicas: 1,
    dynamic_ondemand_fallback: true,
  });
});

it.each([
  { what: "replicas as a fixed count", document: { service: { readiness_probe: "/", replicas: 3 } }, bounds: [3, 3] },
  { what: "nothing as one replica", document: { service: { readiness_probe: "/" } }, bounds: [1, 1] },
  { what: "null as absent", document: policy({ num_overprovision: null }), bounds: [1, 4] },
])("takes $what", ({ document, bounds }) => {
  const { min_replicas, max_replicas } = replicaPolicyOf(read(document).manifest);
  expect([min_replicas, max_replicas]).toEqual(bounds);
});

it.each([
  { document: parse(task), known: true },
  { document: { service: { replicas: 2 } }, known: true },
  { document: { service: "MyService" }, known: false },
  { document: { kind: "Service", service: { replicas: 2 } }, known: false },
  { document: { name: "job", run: "python train.py" }, known: false },
])("recognizes its own documents ($known)", ({ document, known }) => expect(skyserveReader.recognizes(document)).toBe(known));

describe("refuses", () => {
  const at = "service.replica_policy.";
  it.each([
    {
      what: "bounds that cross",
      document: policy({ max_replicas: 0 }),
      issue: `${at}max_replicas (0) is below min_replicas (1); raise it or lower the minimum`,
    },
    {
      what: "a target without a maximum",
      document: policy({ max_replicas: null }),
      issue: `${at}max_replicas is missing; a target_qps_per_replica needs one`,
    },
    {
      what: "a range without a target",
      document: policy({ target_qps_per_replica: null }),
      issue: `${at}target_qps_per_replica is missing; without one min_replicas (1) and max_replicas (4) have to be the same`,
    },
    {
      what: "a count stated twice",
      document: { service: { replicas: 2, replica_policy: { min_replicas: 2 } } },
      issue: "service.replicas is fixed (2) beside replica_policy; remove one of them",
    },
    {
      what: "rates by GPU without their balancer",
      document: policy({ target_qps_per_replica: { A100: 2 } }),
      issue: "service.load_balancing_policy must be instance_aware_least_load where target_qps_per_replica is by GPU type",
    },
    {
      what: "that balancer without rates by GPU",
      document: { service: { ...policy({}).service, load_balancing_policy: "instance_aware_least_load" } },
      issue: "service.load_balancing_policy instance_aware_least_load needs a target_qps_per_replica by GPU type",
    },
    {
      what: "a field of another release",
      document: policy({ qps_upper_threshold: 3 }),
      issue: `${at}qps_upper_threshold is not a field of SkyPilot 0.10; remove it`,
    },
    {
      what: "a pool of batch jobs",
      document: { service: { pool: true } },
      issue: "service.pool is for batch jobs, which are no endpoint; only services can be followed",
    },
  ])("$what", ({ document, issue }) => expect(issues(document)).toEqual([issue]));
});

it.each([
  { what: "a task", document: parse(task) },
  { what: "rates by GPU type", document: byGpu },
  { what: "a fixed count", document: { service: { readiness_probe: "/", replicas: 3 } } },
])("writes $what so that it reads back the same", ({ document }) => {
  const first = read(document);
  expect(read(JSON.parse(JSON.stringify(skyserveReader.write(first.manifest, first.target))))).toEqual(first);
});

describe("intents", () => {
  it("tell the rate and the delays, and name what is lost", () => {
    const { manifest, target } = read(parse(task));
    const { intent, lost } = skyserveReader.intent(manifest, target);
    expect(intent).toMatchObject({
      min: 1,
      max: 6,
      rules: [{ signal: "request_rate", level: 2.5, of: "perReplica", total: true }],
      scaleUp: { stabilizationWindowMs: 300_000, policies: [] },
      scaleDown: { stabilizationWindowMs: 600_000 },
      intervalMs: 20_000,
    });
    expect(lost.join("\n")).toMatch(/On-demand replicas beside spot/);
    expect(skyserveReader.intent(read(byGpu).manifest, null).lost[0]).toMatch(/the least of them \(1 per second\)/);
  });

  const wish: Intent = {
    name: "llm",
    namespace: "default",
    target: null,
    min: 0,
    max: 5,
    rules: [{ signal: "request_rate", level: 3, of: "perReplica" }],
    tolerance: null,
    scaleUp: { stabilizationWindowMs: 60_000, selectPolicy: "Max", policies: [] },
    scaleDown: { stabilizationWindowMs: 600_000, selectPolicy: "Max", policies: [] },
    zeroAfterMs: 600_000,
    intervalMs: null,
  };
  it("become a task that means the same", () => {
    const { document, lost } = skyserveReader.fromIntent(wish);
    expect(lost).toHaveLength(1);
    const { manifest, target } = read(document);
    expect(skyserveReader.intent(manifest, target).intent).toMatchObject({
      ...wish,
      tolerance: 0,
      intervalMs: 20_000,
      rules: [{ level: 3 }],
    });
  });
  it("say what cannot be held", () => {
    const { document, lost } = skyserveReader.fromIntent({
      ...wish,
      rules: [{ signal: "gpu_utilization", level: 70, of: "perReplica" }],
      tolerance: 0.1,
    });
    expect(replicaPolicyOf(read(document).manifest).target_qps_per_replica).toBe(1);
    expect(lost).toHaveLength(4);
  });
  it("of one count become replicas", () => {
    expect(skyserveReader.fromIntent({ ...wish, min: 2, max: 2 }).document).toMatchObject({ service: { replicas: 2 } });
  });
});

it("says what is wrong with any document, and never throws", () => {
  const parts = fc.record({
    name: fc.jsonValue(),
    service: fc.oneof(fc.jsonValue(), fc.record({ replica_policy: fc.jsonValue(), replicas: fc.jsonValue() }, { requiredKeys: [] })),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (document) => {
      skyserveReader.recognizes(document);
      const found = skyserveReader.read(document);
      if ("issues" in found) expect(found.issues.length).toBeGreaterThan(0);
      else expect(skyserveReader.read(skyserveReader.write(found.manifest, found.target))).toEqual(found);
    }),
  );
});
