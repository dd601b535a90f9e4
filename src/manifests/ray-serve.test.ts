import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { AUTOSCALING_DEFAULTS, type AutoscalingConfig, deploymentsOf } from "../policy/dialects/ray-serve/index.ts";
import { rayServeReader } from "./ray-serve.ts";
import type { Intent } from "./reader.ts";

const config = `
proxy_location: EveryNode
http_options: { host: 0.0.0.0, port: 8000 }
target_capacity: 50
applications:
  - name: chat
    route_prefix: /chat
    import_path: chat.app:deployment
    runtime_env: { pip: [transformers], env_vars: { HF_TOKEN: null } }
    deployments:
      - name: Preprocess
        num_replicas: 2
      - name: Llama
        max_ongoing_requests: 64
        max_queued_requests: -1
        user_config: { temperature: null }
        ray_actor_options: { num_gpus: 1 }
        autoscaling_config:
          min_replicas: 1
          initial_replicas: 2
          max_replicas: 8
          target_ongoing_requests: 20
          metrics_interval_s: 5
          look_back_period_s: 20
          upscale_delay_s: 10
          downscale_delay_s: 300
          downscale_to_zero_delay_s: null
          upscaling_factor: 0.5
          smoothing_factor: 1.5
          aggregation_function: MAX
`;
const service = (serve: string, cluster: object = {}, annotations = {}) => ({
  apiVersion: "ray.io/v1",
  kind: "RayService",
  metadata: { name: "llama", namespace: "serving", annotations, labels: { team: "a" } },
  spec: { serveConfigV2: serve, rayClusterConfig: { rayVersion: "2.58.0", ...cluster } },
});
const llm = `
model_loading_config: { model_id: meta-llama/Llama-3.1-8B-Instruct, model_source: meta-llama/Llama-3.1-8B-Instruct }
accelerator_type: A10G
engine_kwargs: { tensor_parallel_size: 2 }
deployment_config:
  autoscaling_config: { min_replicas: 1, max_replicas: 4, target_ongoing_requests: 64 }
`;
const minimal = (deployment: object, application: object = {}) => ({
  applications: [{ import_path: "a:b", deployments: [{ name: "D", ...deployment }], ...application }],
});

const read = (document: unknown) => {
  const found = rayServeReader.read(document);
  if ("issues" in found) throw new Error(JSON.stringify(found.issues));
  return found;
};
const issues = (document: unknown) => {
  const found = rayServeReader.read(document);
  return "issues" in found ? found.issues.map(({ path, message }) => `${path} ${message}`) : [];
};
const planOf = (document: unknown) => deploymentsOf(read(document).manifest).at(-1)?.plan;

describe("reads", () => {
  it("a config file unchanged, with Ray's defaults, and what code reads as it stands", () => {
    const { manifest, target } = read(parse(config));
    expect(target).toBeNull();
    expect(manifest.name).toBe("chat");
    const stated = {
      ...{
        min_replicas: 1,
        initial_replicas: 2,
        max_replicas: 8,
        target_ongoing_requests: 20,
        metrics_interval_s: 5,
        look_back_period_s: 20,
      },
      ...{ upscale_delay_s: 10, downscale_delay_s: 300, upscaling_factor: 0.5, smoothing_factor: 1.5, aggregation_function: "max" },
    };
    expect(planOf(parse(config))).toEqual({ kind: "autoscaled", config: { ...AUTOSCALING_DEFAULTS, ...stated }, brokerQueue: null });
    expect(manifest.spec).toMatchObject({ target_capacity: 50, applications: [{ runtime_env: { env_vars: { HF_TOKEN: null } } }] });
  });

  it.each([
    { rule: "num_replicas auto is 1 to 100", deployment: { num_replicas: "auto" }, config: { min_replicas: 1, max_replicas: 100 } },
    {
      rule: "num_replicas auto lies beneath what is stated",
      deployment: { num_replicas: "auto", autoscaling_config: { max_replicas: 7, target_ongoing_requests: 9 } },
      config: { min_replicas: 1, max_replicas: 7, target_ongoing_requests: 9 },
    },
    {
      rule: "null counts as absent",
      deployment: { num_replicas: null, autoscaling_config: { max_replicas: 3 } },
      config: { max_replicas: 3 },
    },
  ])("$rule", ({ deployment, config: stated }) => {
    const expected: AutoscalingConfig = { ...AUTOSCALING_DEFAULTS, ...stated };
    expect(planOf(minimal(deployment))).toEqual({ kind: "autoscaled", config: expected, brokerQueue: null });
  });

  it("a RayService, with its cluster's version and where it totals", () => {
    const env = [{ name: "RAY_SERVE_AGGREGATE_METRICS_AT_CONTROLLER", value: "1" }];
    const cluster = { headGroupSpec: { rayStartParams: {}, template: { spec: { containers: [{ name: "head", env }] } } } };
    const { manifest, target } = read(service(config, cluster));
    expect(manifest).toMatchObject({
      name: "llama",
      namespace: "serving",
      annotations: { "tidegate.dev/ray-version": "2.58.0", "tidegate.dev/ray-aggregate-metrics-at-controller": "1" },
    });
    expect(target).toEqual({ apiVersion: "ray.io/v1", kind: "RayService", name: "llama" });
  });

  it("an LLMConfig by itself, and those of an application", () => {
    const alone = read(parse(llm));
    expect(deploymentsOf(alone.manifest)).toMatchObject([
      {
        name: "meta-llama--Llama-3_1-8B-Instruct",
        plan: { config: { max_replicas: 4, target_ongoing_requests: 64, upscale_delay_s: 30 } },
      },
    ]);
    const app = {
      applications: [
        { import_path: "ray.serve.llm:build_openai_app", args: { llm_configs: [{ model_loading_config: { model_id: "m" } }] } },
      ],
    };
    expect(planOf(app)).toEqual({ kind: "fixed", replicas: 1 });
  });

  it.each([
    { document: parse(config), known: true },
    { document: service(config), known: true },
    { document: parse(llm), known: true },
    { document: { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" }, known: false },
    { document: { applications: [{ name: "x" }] }, known: false },
    { document: "applications", known: false },
  ])("recognizes its own documents ($known)", ({ document, known }) => expect(rayServeReader.recognizes(document)).toBe(known));
});

describe("refuses", () => {
  const scaled = (over: object) => minimal({ autoscaling_config: over });
  it.each([
    {
      what: "bounds that cross",
      document: scaled({ min_replicas: 4, max_replicas: 2 }),
      issue: "applications[0].deployments[0].autoscaling_config.max_replicas (2) is below min_replicas (4); raise it or lower the minimum",
    },
    {
      what: "a start outside the bounds",
      document: scaled({ initial_replicas: 9 }),
      issue: "applications[0].deployments[0].autoscaling_config.initial_replicas (9) is outside min_replicas (1) to max_replicas (1)",
    },
    {
      what: "a fixed number beside autoscaling",
      document: minimal({ num_replicas: 3, autoscaling_config: {} }),
      issue: "applications[0].deployments[0].num_replicas is fixed (3) beside autoscaling_config; remove one of them",
    },
    {
      what: "autoscaling beside an external scaler",
      document: minimal({ autoscaling_config: {} }, { external_scaler_enabled: true }),
      issue: "applications[0].deployments[0] is autoscaled in an application with external_scaler_enabled; keep one of the two",
    },
    {
      what: "half gangs",
      document: minimal({ num_replicas: 6, gang_scheduling_config: { gang_size: 4 } }),
      issue: "applications[0].deployments[0].num_replicas (6) is not a multiple of gang_size (4)",
    },
    {
      what: "a field of another release",
      document: scaled({ target_num_ongoing_requests_per_replica: 2 }),
      issue:
        "applications[0].deployments[0].autoscaling_config.target_num_ongoing_requests_per_replica is not a field of Ray Serve 2.58; remove it",
    },
    {
      what: "Python code",
      document: scaled({ policy: { policy_function: "mine:scale" } }),
      issue:
        "applications[0].deployments[0].autoscaling_config.policy.policy_function mine:scale is Python code, which Tidegate cannot run; remove it to follow Ray's default policy instead",
    },
    {
      what: "Python code over an application",
      document: minimal({}, { autoscaling_policy: { policy_function: "mine:scale" } }),
      issue:
        "applications[0].autoscaling_policy is Python code over several deployments, which Tidegate cannot run; remove it to follow their own configs",
    },
    { what: "no applications", document: { http_options: {} }, issue: "applications is missing; a Serve config lists its applications" },
    {
      what: "an application twice",
      document: { applications: [{ import_path: "a:b" }, { import_path: "a:c" }] },
      issue: "applications[1].name default is there twice",
    },
    { what: "text that is no YAML", document: service("a: [b"), issue: /^spec\.serveConfigV2 is not YAML: / },
    {
      what: "what is wrong inside a RayService",
      document: service("applications: [{}]"),
      issue: "spec.serveConfigV2.applications[0].import_path is missing; every application names the code that it runs",
    },
    {
      what: "an LLMConfig in another file",
      document: minimal({}, { args: { llm_configs: ["llm.yaml"] } }),
      issue: "applications[0].args.llm_configs[0] is the path llm.yaml; put that file's content here",
    },
  ])("$what", ({ document, issue }) => {
    const found = issues(document);
    expect(found).toHaveLength(1);
    if (typeof issue === "string") expect(found).toEqual([issue]);
    else expect(found[0]).toMatch(issue);
  });
});

describe("writes", () => {
  it.each([
    { what: "a config file", document: parse(config) },
    { what: "a RayService", document: service(config) },
    { what: "a RayService of another release", document: service(config, { rayVersion: "2.60.1" }) },
    { what: "an LLMConfig", document: parse(llm) },
  ])("$what so that it reads back the same", ({ document }) => {
    const first = read(document);
    const again = read(JSON.parse(JSON.stringify(rayServeReader.write(first.manifest, first.target))));
    expect(again).toEqual(first);
  });
});

describe("intents", () => {
  it("tell what can be told of a config, and name the rest", () => {
    const { manifest, target } = read(parse(config));
    const { intent, lost } = rayServeReader.intent(manifest, target);
    expect(intent).toMatchObject({
      min: 1,
      max: 8,
      rules: [{ signal: "in_flight", level: 20, of: "perReplica", total: true }],
      scaleUp: { stabilizationWindowMs: 10_000, policies: [] },
      scaleDown: { stabilizationWindowMs: 300_000 },
      zeroAfterMs: null,
      intervalMs: 5_000,
    });
    expect(lost.join("\n")).toMatch(/Only deployment Llama.*Preprocess/);
    expect(lost.join("\n")).toMatch(/target capacity of 50 %/);
    expect(lost.join("\n")).toMatch(/factors on each step \(0.5 up, 1.5 down\)/);
    expect(lost.join("\n")).toMatch(/initial_replicas \(2\)/);
  });

  const wish: Intent = {
    name: "llm",
    namespace: "serving",
    target: null,
    min: 0,
    max: 6,
    rules: [
      { signal: "gpu_utilization", level: 75, of: "perReplica" },
      { signal: "in_flight", level: 12, of: "perReplica" },
    ],
    tolerance: 0.1,
    scaleUp: { stabilizationWindowMs: 15_000, selectPolicy: "Max", policies: [{ type: "Pods", value: 2, periodMs: 60_000 }] },
    scaleDown: { stabilizationWindowMs: 120_000, selectPolicy: "Max", policies: [] },
    zeroAfterMs: 600_000,
    intervalMs: null,
  };

  it("become a config that reads, with what it could not carry", () => {
    const { document, lost } = rayServeReader.fromIntent(wish);
    expect(planOf(document)).toMatchObject({
      config: {
        min_replicas: 0,
        max_replicas: 6,
        target_ongoing_requests: 12,
        upscale_delay_s: 15,
        downscale_delay_s: 120,
        downscale_to_zero_delay_s: 600,
      },
    });
    expect(lost).toHaveLength(4);
    const { manifest, target } = read(document);
    expect(rayServeReader.intent(manifest, target).intent).toMatchObject({
      min: 0,
      max: 6,
      zeroAfterMs: 600_000,
      scaleDown: wish.scaleDown,
    });
  });

  it("of one count become a fixed number", () => {
    expect(planOf(rayServeReader.fromIntent({ ...wish, min: 3, max: 3, rules: [] }).document)).toEqual({ kind: "fixed", replicas: 3 });
  });

  it("of a RayService stay one", () => {
    const target = { apiVersion: "ray.io/v1", kind: "RayService", name: "llama" };
    expect(read(rayServeReader.fromIntent({ ...wish, target }).document).target).toEqual(target);
  });
});

it("says what is wrong with any document, and never throws", () => {
  const parts = fc.record(
    {
      applications: fc.array(
        fc.record(
          { name: fc.jsonValue(), import_path: fc.jsonValue(), args: fc.jsonValue(), deployments: fc.jsonValue() },
          { requiredKeys: [] },
        ),
      ),
      model_loading_config: fc.jsonValue(),
      deployment_config: fc.jsonValue(),
      kind: fc.constantFrom("RayService", "Other"),
      spec: fc.oneof(fc.record({ serveConfigV2: fc.oneof(fc.string(), fc.json()) }), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (document) => {
      rayServeReader.recognizes(document);
      const found = rayServeReader.read(document);
      if ("issues" in found) expect(found.issues.length).toBeGreaterThan(0);
      else expect(rayServeReader.read(rayServeReader.write(found.manifest, found.target))).toEqual(found);
    }),
  );
});
