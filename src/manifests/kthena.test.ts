import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { hpaReader } from "./hpa-reader.ts";
import { bareIntent } from "./intent.fixture.ts";
import { kthenaReader } from "./kthena.ts";

const read = (document: unknown) => {
  const result = kthenaReader.read(document);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result;
};
const issuesOf = (document: unknown) => {
  const result = kthenaReader.read(document);
  return "issues" in result ? result.issues.map(({ path, message }) => `${path} ${message}`) : [];
};

const homogeneous = parse(`
apiVersion: workload.serving.volcano.sh/v1alpha1
kind: AutoscalingPolicy
metadata: { name: llama, namespace: models }
spec:
  tolerancePercent: 10
  metrics:
    - name: kthena:num_requests_waiting
      targetValue: 10
  behavior:
    scaleUp:
      panicPolicy: { percent: 300, period: 1m, panicThresholdPercent: 150, panicModeHold: 5m }
      stablePolicy: { stabilizationWindow: 1m, period: 30s }
    scaleDown: { stabilizationWindow: 5m, period: 1m }
  homogeneousTarget:
    minReplicas: 1
    maxReplicas: 6
    target:
      targetRef: { kind: ModelServing, name: llama }
      metricSources:
        kthena:num_requests_waiting:
          pod: { name: "vllm:num_requests_waiting", uri: /metrics, port: 8000 }
`);
const heterogeneous = parse(`
apiVersion: workload.serving.volcano.sh/v1alpha1
kind: AutoscalingPolicy
metadata: { name: llama }
spec:
  metrics: [{ name: rps, targetValue: 800m }]
  heterogeneousTarget:
    params:
      - cost: 100
        minReplicas: 0
        maxReplicas: 4
        target:
          targetRef: { name: llama-h100 }
          metricSources: { rps: { prometheus: { serverURL: "http://prometheus:9090", query: "sum(rate(requests[1m]))" } } }
      - cost: 60
        minReplicas: 1
        maxReplicas: 8
        target: { targetRef: { name: llama-a100 } }
`);
const disaggregated = parse(`
apiVersion: workload.serving.volcano.sh/v1alpha1
kind: AutoscalingPolicy
metadata: { name: llama }
spec:
  disaggregatedTarget:
    targetRef: { name: llama }
    roles:
      prefill: { minReplicas: 1, maxReplicas: 8, metrics: [{ name: waiting, targetValue: 4 }], metricSources: { waiting: { pod: {} } } }
      decode: { minReplicas: 2, maxReplicas: 2 }
    ratioConstraint: { numeratorRole: prefill, denominatorRole: decode, minRatio: 500m, maxRatio: 2 }
`);
const changed = (document: unknown, change: (copy: typeof homogeneous) => void) => {
  const copy = structuredClone(document) as typeof homogeneous;
  change(copy);
  return copy;
};

it("reads a policy and fills in what the webhook does", () => {
  const { manifest, target } = read(homogeneous);
  expect(manifest.spec).toMatchObject({
    metrics: [{ name: "kthena:num_requests_waiting", targetValue: "10" }],
    behavior: {
      scaleUp: { stablePolicy: { instances: 1, percent: 100, period: "30s", selectPolicy: "Or", stabilizationWindow: "1m" } },
      scaleDown: { instances: 1, percent: 100, period: "1m", selectPolicy: "Or", stabilizationWindow: "5m" },
    },
  });
  expect(target).toEqual({ apiVersion: "workload.serving.volcano.sh/v1alpha1", kind: "ModelServing", name: "llama" });
  expect(read(heterogeneous).manifest.spec).toMatchObject({
    tolerancePercent: 10,
    behavior: {
      scaleUp: {
        stablePolicy: { stabilizationWindow: "0s", period: "15s" },
        panicPolicy: { percent: 1000, period: "0s", panicThresholdPercent: 200, panicModeHold: "60s" },
      },
      scaleDown: { stabilizationWindow: "5m" },
    },
    heterogeneousTarget: { costExpansionRatePercent: 200 },
  });
});

describe("a List of a policy and its binding, as before 1.0", () => {
  const { homogeneousTarget, ...rest } = homogeneous.spec;
  const policy = { ...homogeneous, spec: rest };
  const binding = (spec: object, name = "llama") => ({
    apiVersion: "workload.serving.volcano.sh/v1alpha1",
    kind: "AutoscalingPolicyBinding",
    metadata: { name: "llama-binding" },
    spec: { policyRef: { name }, ...spec },
  });
  const list = (...items: readonly unknown[]) => ({ apiVersion: "v1", kind: "List", items });
  const typed = {
    ...homogeneousTarget,
    target: {
      ...homogeneousTarget.target,
      metricSources: {
        "kthena:num_requests_waiting": { type: "Pod", pod: { name: "vllm:num_requests_waiting", uri: "/metrics", port: 8000 } },
      },
    },
  };

  it("reads as the policy with its target in it", () => {
    expect(kthenaReader.recognizes(list(binding({}), policy))).toBe(true);
    expect(read(list(binding({ homogeneousTarget: typed }), policy))).toEqual(read(homogeneous));
  });
  it("takes a role that is counted by itself for the one role of a disaggregated target", () => {
    const role = { ...typed, target: { ...typed.target, subTargets: { kind: "Role", name: "decode" } } };
    expect(read(list(policy, binding({ homogeneousTarget: role }))).manifest.spec).toMatchObject({
      disaggregatedTarget: { targetRef: { name: "llama" }, roles: { decode: { minReplicas: 1, maxReplicas: 6 } } },
    });
  });
  it.each([
    ["another policy's binding", list(policy, binding({ homogeneousTarget: typed }, "qwen")), "items[1].spec.policyRef.name"],
    ["two policies", list(policy, policy), "items must be one"],
    [
      "bounds that cross",
      list(policy, binding({ homogeneousTarget: { ...typed, minReplicas: 9 } })),
      "items[0].spec.homogeneousTarget.maxReplicas",
    ],
  ])("refuses %s", (_, document, says) => {
    expect(issuesOf(document).join("\n")).toContain(says);
  });
});

describe("refusing", () => {
  it.each([
    ["a policy without target", changed(homogeneous, (d) => delete d.spec.homogeneousTarget), "AutoscalingPolicyBinding"],
    [
      "two targets",
      changed(homogeneous, (d) => Object.assign(d.spec, { heterogeneousTarget: heterogeneous.spec.heterogeneousTarget })),
      "several targets",
    ],
    ["no metric", changed(homogeneous, (d) => delete d.spec.metrics), "spec.metrics"],
    ["one metric twice", changed(homogeneous, (d) => d.spec.metrics.push(d.spec.metrics[0])), "spec.metrics[1].name"],
    ["a target of nothing", changed(homogeneous, (d) => Object.assign(d.spec.metrics[0], { targetValue: 0 })), "more than 0"],
    [
      "bounds that cross",
      changed(homogeneous, (d) => Object.assign(d.spec.homogeneousTarget, { minReplicas: 7 })),
      "below minReplicas (7)",
    ],
    [
      "a panic that is none",
      changed(homogeneous, (d) => Object.assign(d.spec.behavior.scaleUp.panicPolicy, { panicThresholdPercent: 100 })),
      "110",
    ],
    [
      "a window of hours",
      changed(homogeneous, (d) => Object.assign(d.spec.behavior.scaleDown, { stabilizationWindow: "2h" })),
      "30m at most",
    ],
    [
      "both sources",
      changed(heterogeneous, (d) => Object.assign(d.spec.heterogeneousTarget.params[0].target.metricSources.rps, { pod: {} })),
      "not both",
    ],
    [
      "a ratio of a role that is not there",
      changed(disaggregated, (d) => Object.assign(d.spec.disaggregatedTarget.ratioConstraint, { numeratorRole: "encode" })),
      "not among the roles",
    ],
    ["an unknown field", changed(homogeneous, (d) => Object.assign(d.spec, { replicas: 3 })), "spec.replicas"],
    [
      "another kind of target",
      changed(homogeneous, (d) => Object.assign(d.spec.homogeneousTarget.target.targetRef, { kind: "Deployment" })),
      "use ModelServing",
    ],
  ])("%s", (_, document, says) => {
    const found = issuesOf(document);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(says);
  });
});

describe("writing", () => {
  it.each([
    ["one group", homogeneous],
    ["several groups", heterogeneous],
    ["roles", disaggregated],
  ])("gives back the same manifest of %s", (_, document) => {
    const first = read(document);
    expect(read(kthenaReader.write(first.manifest, first.target))).toEqual(first);
  });

  it("turns any intent into a policy that it reads", () => {
    const rule = fc.record({
      signal: fc.constantFrom("running", "waiting", "kv_used"),
      level: fc.integer({ min: 1, max: 100 }),
      of: fc.constantFrom("perReplica" as const, "endpoint" as const),
    });
    const policy = fc.record({
      type: fc.constantFrom("Pods" as const, "Percent" as const),
      value: fc.integer({ min: 1, max: 2000 }),
      periodMs: fc.constantFrom(15_000, 60_000),
    });
    const rules = fc.option(
      fc.record({
        stabilizationWindowMs: fc.constantFrom(0, 300_000, 7_200_000),
        selectPolicy: fc.constantFrom("Max" as const, "Min" as const, "Disabled" as const),
        policies: fc.array(policy, { maxLength: 3 }),
      }),
    );
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        rules,
        rules,
        fc.option(fc.constantFrom(0, 0.1)),
        (list, scaleUp, scaleDown, tolerance) => {
          const first = read(kthenaReader.fromIntent({ ...bareIntent, rules: list, scaleUp, scaleDown, tolerance }).document);
          expect(read(kthenaReader.write(first.manifest, first.target))).toEqual(first);
        },
      ),
    );
  });
  it("can be said as an HPA and comes back from it", () => {
    const { manifest, target } = read(homogeneous);
    const { intent, lost } = kthenaReader.intent(manifest, target);
    expect(intent).toMatchObject({
      min: 1,
      max: 6,
      rules: [{ signal: "vllm:num_requests_waiting", level: 10, of: "perReplica" }],
      scaleUp: {
        stabilizationWindowMs: 60_000,
        selectPolicy: "Max",
        policies: [
          { type: "Pods", value: 1 },
          { type: "Percent", value: 100 },
        ],
      },
    });
    expect(lost.join(" ")).toContain("panic");
    expect("issues" in hpaReader.read(hpaReader.fromIntent(intent).document)).toBe(false);
    const again = read(kthenaReader.fromIntent(intent).document).manifest.spec["behavior"] as { scaleUp: { stablePolicy: unknown } };
    expect(again.scaleUp.stablePolicy).toMatchObject({
      instances: 1,
      percent: 100,
      period: "30s",
      selectPolicy: "Or",
      stabilizationWindow: "60s",
    });
  });
  it("names what several groups and roles lose", () => {
    const hetero = read(heterogeneous);
    const said = kthenaReader.intent(hetero.manifest, hetero.target);
    expect(said.intent).toMatchObject({
      min: 1,
      max: 12,
      rules: [{ signal: "rps", level: 0.8, total: true, query: "sum(rate(requests[1m]))" }],
    });
    expect(said.lost.join(" ")).toContain("llama-h100, llama-a100");
    const roles = read(disaggregated);
    expect(kthenaReader.intent(roles.manifest, roles.target).lost.join(" ")).toContain("ratio of prefill to decode");
  });
});
