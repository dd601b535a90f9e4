import { expect, it } from "vitest";
import { type HorizontalPodAutoscaler, pairUp, type ScaledObject } from "./autoscalers.ts";

const meta = (name: string, more: object = {}) => ({
  name,
  namespace: "llm",
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "",
  ...more,
});
const hpa = (name: string, more: object = {}, status?: HorizontalPodAutoscaler["status"]): HorizontalPodAutoscaler => ({
  metadata: meta(name, more),
  spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "vllm" }, maxReplicas: 4 },
  ...(status === undefined ? {} : { status }),
});
const scaledObject: ScaledObject = {
  metadata: meta("so"),
  spec: { scaleTargetRef: { name: "vllm" }, minReplicaCount: 0, maxReplicaCount: 7 },
  status: { conditions: [{ type: "Active", status: "True", reason: "ScalerActive" }] },
};
const conditions = [{ type: "ScalingActive", status: "True", reason: "ValidMetricFound", message: "m" }];

it.each([
  { by: "the owner", own: hpa("keda-hpa-so", { ownerReferences: [{ kind: "ScaledObject", name: "so", uid: "uid-so" }] }) },
  { by: "the name in the ScaledObject's status", own: hpa("other"), status: { hpaName: "other" } },
])("a ScaledObject and its HPA are one autoscaler, told by $by", ({ own, status }) => {
  const object = status === undefined ? scaledObject : { ...scaledObject, status };
  const found = pairUp([{ ...own, status: { currentReplicas: 2, desiredReplicas: 3, conditions } }, hpa("plain")], [object]);
  expect(found.map(({ title, min, max }) => [title, min, max])).toEqual([
    ["HorizontalPodAutoscaler plain", 1, 4],
    ["ScaledObject so", 0, 7],
  ]);
  expect(found[1]?.status).toMatchObject({ by: "ScaledObject so", current: 2, desired: 3 });
  expect(found[1]?.target).toEqual({ apiVersion: "apps/v1", kind: "Deployment", name: "vllm" });
});

it.each([
  { rule: "nothing, before the controller's first look", status: undefined, expected: [null, null] },
  { rule: "0, where the API leaves a count out beside conditions", status: { conditions }, expected: [0, 0] },
  { rule: "its own counts", status: { conditions, currentReplicas: 2, desiredReplicas: 5 }, expected: [2, 5] },
])("states $rule", ({ status, expected }) => {
  const [found] = pairUp([hpa("a", {}, status)], []);
  expect([found?.status.current, found?.status.desired]).toEqual(expected);
});

it("is another one when its spec changes, and the same one when its status does", () => {
  const before = pairUp([hpa("a")], [])[0]?.version;
  expect(pairUp([hpa("a", {}, { desiredReplicas: 3, conditions })], [])[0]?.version).toBe(before);
  expect(pairUp([{ ...hpa("a"), spec: { ...hpa("a").spec, maxReplicas: 9 } }], [])[0]?.version).not.toBe(before);
});

it("gives readers the object without what is kubectl's", () => {
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", "autoscaling.keda.sh/paused": "true" };
  const document = pairUp([], [{ ...scaledObject, metadata: meta("so", { annotations }) }])[0]?.document;
  expect(document).toMatchObject({ metadata: { annotations: { "autoscaling.keda.sh/paused": "true" } } });
  expect(JSON.stringify(document)).not.toContain("last-applied");
});
