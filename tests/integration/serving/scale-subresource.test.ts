import { beforeAll, expect, it } from "vitest";
import type { Plane } from "../kubernetes/plane/plane.ts";
import { applyWorkload, planeForFile } from "../kubernetes/workload.ts";
import { ask, bind, grow, readyOf, shrink } from "./bound.ts";
import { type CustomKind, install } from "./definitions.ts";
import { type Custom, standIn } from "./stand-in.ts";

const plane = planeForFile();
beforeAll(() => install(plane(), "RayClusterFleet", "StormService", "PodAutoscaler", "VLLMRuntime", "DynamoGraphDeploymentScalingAdapter"));

const groups: Partial<Record<CustomKind, string>> = {
  RayClusterFleet: "orchestration.aibrix.ai",
  StormService: "orchestration.aibrix.ai",
  PodAutoscaler: "autoscaling.aibrix.ai",
  VLLMRuntime: "production-stack.vllm.ai",
  DynamoGraphDeploymentScalingAdapter: "nvidia.com",
};
const target = (kind: CustomKind, name: string, part?: string) => ({ apiVersion: `${groups[kind]}/v1alpha1`, kind, name, part });

async function apply(on: Plane, kind: CustomKind, name: string, spec: object): Promise<string> {
  const path = `/apis/${groups[kind]}/v1alpha1/namespaces/default/${kind.toLowerCase()}s/${name}`;
  await on.apply(path, { apiVersion: `${groups[kind]}/v1alpha1`, kind, metadata: { name }, spec });
  return path;
}

it.each<{
  kind: CustomKind;
  name: string;
  spec: object;
  labels: Record<string, string>;
  selector: string;
  replicasOf(spec: Custom["spec"]): number;
}>([
  {
    kind: "VLLMRuntime",
    name: "llama-runtime",
    spec: { deploymentConfig: { replicas: 1 } },
    labels: { app: "llama-runtime" },
    selector: "selector",
    replicasOf: (spec) => (spec["deploymentConfig"] as { replicas: number }).replicas,
  },
  {
    kind: "RayClusterFleet",
    name: "fleet",
    spec: { replicas: 1 },
    labels: { "model.aibrix.ai/name": "llama", "ray.io/node-type": "head" },
    selector: "scalingTargetSelector",
    replicasOf: (spec) => spec["replicas"] as number,
  },
  {
    kind: "DynamoGraphDeploymentScalingAdapter",
    name: "graph-decode",
    spec: { replicas: 1, dgdRef: { name: "graph", serviceName: "decode" } },
    labels: { "nvidia.com/dynamo-graph-deployment-name": "graph", "nvidia.com/dynamo-component": "decode" },
    selector: "selector",
    replicasOf: (spec) => spec["replicas"] as number,
  },
])("scales a $kind by its scale subresource", async ({ kind, name, spec, labels, selector, replicasOf }) => {
  const path = await apply(plane(), kind, name, spec);
  const text = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  await standIn(plane(), {
    ...{ path, deployment: name, labels },
    replicasOf: (object) => replicasOf(object.spec),
    statusOf: (replicas) => ({ replicas, [selector]: text.join(",") }),
  });
  const opened = await bind(plane(), target(kind, name));
  const pods = await grow(opened, 3);
  const victim = pods[0] as string;
  expect(await shrink(opened, 2, [victim])).toEqual([victim]);
  expect(await shrink(opened, 0)).toHaveLength(2);
  expect(replicasOf((await plane().admin.ask<Custom>({ path })).spec)).toBe(0);
  await grow(opened, 1);
});

interface Role {
  readonly name: string;
  readonly replicas: number;
}
const rolesOf = ({ spec }: Custom): readonly Role[] => (spec as { template: { spec: { roles: Role[] } } }).template.spec.roles;

it("scales one role of a pooled StormService", async () => {
  const roles = [
    { name: "prefill", replicas: 1 },
    { name: "decode", replicas: 1 },
  ];
  const path = await apply(plane(), "StormService", "pd", { template: { spec: { roles } } });
  await standIn(plane(), {
    ...{ path, deployment: "pd-decode", labels: { "storm-service-name": "pd", "role-name": "decode" } },
    replicasOf: (object) => rolesOf(object).find(({ name }) => name === "decode")?.replicas ?? 0,
  });
  const opened = await bind(plane(), target("StormService", "pd", "decode"));
  await grow(opened, 3);
  expect(rolesOf(await plane().admin.ask<Custom>({ path }))).toEqual([
    { name: "prefill", replicas: 1 },
    { name: "decode", replicas: 3 },
  ]);
  expect(await shrink(opened, 1)).toHaveLength(2);
});

it.each([
  {
    what: "which role",
    spec: { template: { spec: { roles: [{ name: "a" }, { name: "b" }] } } },
    part: undefined,
    says: "has 2 roles (a, b)",
  },
  { what: "a role", spec: { template: { spec: { roles: [{ name: "a" }] } } }, part: "c", says: "has no role c; it has a" },
  {
    what: "the mode",
    spec: { replicas: 2, template: { spec: { roles: [{ name: "a" }] } } },
    part: "a",
    says: "set spec.mode: Replica",
  },
])("says what a StormService lacks: $what", async ({ spec, part, says }) => {
  await apply(plane(), "StormService", "lacking", spec);
  await expect(bind(plane(), target("StormService", "lacking", part))).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining(says),
  });
});

it("leaves a target to the PodAutoscaler of AIBrix that is bound to it, and takes it over when that is gone", async () => {
  await applyWorkload(plane(), "shared", { replicas: 1 });
  const path = await apply(plane(), "PodAutoscaler", "shared-pa", {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "shared" },
    scalingStrategy: "APA",
  });
  const deployment = { apiVersion: "apps/v1", kind: "Deployment", name: "shared" };
  const opened = await bind(plane(), deployment);
  expect(opened.lines.join("\n")).toContain("PodAutoscaler shared-pa sets its count");
  expect(await opened.platform.scale("default", ask(2))).toBe("conflict");
  await plane().admin.ask({ method: "DELETE", path });
  await readyOf(opened, 1);
  const next = await bind(plane(), deployment);
  await grow(next, 2);
});

it("refuses a part of what has none", async () => {
  await applyWorkload(plane(), "whole");
  await expect(bind(plane(), { apiVersion: "apps/v1", kind: "Deployment", name: "whole", part: "x" })).rejects.toMatchObject({
    code: "platform/refused",
    message: expect.stringContaining("remove platform.target.part (x)"),
  });
});
