import { expect, it } from "vitest";
import { parse } from "yaml";
import { parseHpa } from "./hpa.ts";

const appendix = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: llm-inference-hpa
  namespace: llm-serving
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: llm-inference-deployment }
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Pods
      pods:
        metric: { name: dcgm_gpu_utilization }
        target: { type: AverageValue, averageValue: 75 }
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 60
      policies:
        - { type: Percent, value: 50, periodSeconds: 30 }
        - { type: Pods, value: 2, periodSeconds: 30 }
      selectPolicy: Max
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
        - { type: Pods, value: 1, periodSeconds: 60 }
`;
const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "llm" };
const hpa = (apiVersion: string, spec: object, annotations: Record<string, string> = {}) => ({
  apiVersion,
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "h", annotations },
  spec: { scaleTargetRef, maxReplicas: 5, ...spec },
});
const specOf = (document: unknown) => {
  const parsed = parseHpa(document);
  if ("issues" in parsed) throw new Error(JSON.stringify(parsed.issues));
  return parsed.manifest.spec;
};
const issuesOf = (document: unknown) => {
  const parsed = parseHpa(document);
  return "issues" in parsed ? parsed.issues : [];
};

it("reads the manifest of a GPU fleet unchanged, quantities given as numbers included", () => {
  expect(parseHpa(parse(appendix))).toEqual({
    manifest: {
      name: "llm-inference-hpa",
      namespace: "llm-serving",
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "llm-inference-deployment" },
        minReplicas: 2,
        maxReplicas: 10,
        metrics: [
          { type: "Pods", pods: { metric: { name: "dcgm_gpu_utilization" }, target: { type: "AverageValue", averageValue: "75" } } },
        ],
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 60,
            selectPolicy: "Max",
            policies: [
              { type: "Percent", value: 50, periodSeconds: 30 },
              { type: "Pods", value: 2, periodSeconds: 30 },
            ],
          },
          scaleDown: { stabilizationWindowSeconds: 300, selectPolicy: "Max", policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] },
        },
      },
    },
  });
});

it("fills in what Kubernetes fills in, and takes a field that is null for absent", () => {
  const document = { ...hpa("autoscaling/v2", { minReplicas: null, behavior: null }), status: { currentReplicas: 1 } };
  expect(parseHpa(document)).toMatchObject({ manifest: { namespace: "default" } });
  expect(specOf(document)).toEqual({
    scaleTargetRef,
    minReplicas: 1,
    maxReplicas: 5,
    metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }],
  });
});

it("converts v1: cpu, and what its annotations hold before it", () => {
  const annotations = {
    "autoscaling.alpha.kubernetes.io/metrics": JSON.stringify([
      { type: "Pods", pods: { metricName: "qps", targetAverageValue: "10" } },
      { type: "External", external: { metricName: "queue", metricSelector: { matchLabels: { q: "a" } }, targetValue: 30 } },
    ]),
    "autoscaling.alpha.kubernetes.io/behavior": JSON.stringify({ scaleDown: { selectPolicy: "Disabled" } }),
  };
  expect(specOf(hpa("autoscaling/v1", { targetCPUUtilizationPercentage: 60 }, annotations))).toMatchObject({
    metrics: [
      { type: "Pods", pods: { metric: { name: "qps" }, target: { type: "AverageValue", averageValue: "10" } } },
      {
        type: "External",
        external: { metric: { name: "queue", selector: { matchLabels: { q: "a" } } }, target: { type: "Value", value: "30" } },
      },
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } },
    ],
    behavior: { scaleDown: { selectPolicy: "Disabled", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] } },
  });
  expect(issuesOf(hpa("autoscaling/v1", {}, { "autoscaling.alpha.kubernetes.io/metrics": "{" }))).toMatchObject([
    { path: 'metadata.annotations["autoscaling.alpha.kubernetes.io/metrics"]' },
  ]);
});

it("converts v2beta1's flat metrics and takes v2beta2 as it is, without a tolerance", () => {
  const flat = [
    { type: "Resource", resource: { name: "memory", targetAverageValue: "1Gi" } },
    { type: "ContainerResource", containerResource: { name: "cpu", container: "engine", targetAverageUtilization: 50 } },
    { type: "Object", object: { target: { kind: "Service", name: "s" }, metricName: "hits", targetValue: "100", averageValue: "20" } },
    { type: "External", external: { metricName: "queue", targetAverageValue: "5" } },
  ];
  expect(specOf(hpa("autoscaling/v2beta1", { metrics: flat }))).toMatchObject({
    metrics: [
      { resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } } },
      { containerResource: { container: "engine", target: { type: "Utilization", averageUtilization: 50 } } },
      {
        object: {
          describedObject: { kind: "Service", name: "s" },
          metric: { name: "hits" },
          target: { type: "AverageValue", averageValue: "20" },
        },
      },
      { external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "5" } } },
    ],
  });
  expect(specOf(hpa("autoscaling/v2beta2", { behavior: {} }))).toMatchObject({ behavior: { scaleUp: { selectPolicy: "Max" } } });
  expect(issuesOf(hpa("autoscaling/v2beta2", { behavior: { scaleUp: { tolerance: "0.1" } } }))).toMatchObject([
    { path: "spec.behavior.scaleUp.tolerance" },
  ]);
});

it.each([
  { what: "another kind", document: { kind: "Deployment" }, path: "kind" },
  { what: "no mapping", document: [1], path: "" },
  { what: "an unknown version", document: { kind: "HorizontalPodAutoscaler", apiVersion: "autoscaling/v3" }, path: "apiVersion" },
  { what: "an unknown field", document: hpa("autoscaling/v2", { maxReplica: 3 }), path: "spec.maxReplica" },
  {
    what: "an unknown field deep inside",
    document: hpa("autoscaling/v2", { metrics: [{ type: "Pods", pods: { metrics: {} } }] }),
    path: "spec.metrics[0].pods.metrics",
  },
  { what: "text for a count", document: hpa("autoscaling/v2", { minReplicas: "2" }), path: "spec.minReplicas" },
  {
    what: "a quantity that is none",
    document: hpa("autoscaling/v2", { metrics: [{ type: "External", external: { target: { value: "5 Gi" } } }] }),
    path: "spec.metrics[0].external.target.value",
  },
  { what: "bounds the wrong way round", document: hpa("autoscaling/v2", { minReplicas: 9 }), path: "spec.maxReplicas" },
  { what: "zero without an outer metric", document: hpa("autoscaling/v2", { minReplicas: 0 }), path: "spec.metrics" },
  {
    what: "a target without an API group",
    document: hpa("autoscaling/v2", { scaleTargetRef: { kind: "Deployment", name: "d" } }),
    path: "spec.scaleTargetRef.apiVersion",
  },
  {
    what: "an explicit empty list of policies",
    document: hpa("autoscaling/v2", { behavior: { scaleUp: { policies: [] } } }),
    path: "spec.behavior.scaleUp.policies",
  },
])("refuses $what, with its path", ({ document, path }) => {
  expect(issuesOf(document)).toEqual([{ path, message: expect.any(String) }]);
});

it("is its own fixed point: a parsed manifest parses to itself", () => {
  const spec = specOf(parse(appendix));
  expect(specOf(hpa("autoscaling/v2", spec))).toEqual(spec);
});
