import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isAvailable } from "../bridge/following.ts";
import { planeForFile, waitFor } from "../kubernetes/workload.ts";
import {
  applyStrictly,
  chart,
  helm,
  helmOk,
  helmProgram,
  type Manifest,
  makeNamespace,
  manifestsOf,
  NAMESPACE,
  one,
  pathOf,
  RELEASE,
  root,
  set,
  template,
  valuesSets,
} from "./helm.ts";
import { writeSchemas } from "./schemas.ts";

const plane = planeForFile();
const folder = mkdtempSync(join(tmpdir(), "tidegate-helm-"));
beforeAll(async () => {
  for (const name of [NAMESPACE, "team-a"]) await makeNamespace(plane(), name);
  for (const crd of manifestsOf(helmOk(["show", "crds", chart]))) await applyStrictly(plane(), crd, false);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Custom resources of operators that are not here. */
const foreign = ["monitoring.coreos.com/v1", "cert-manager.io/v1"];

it.each(valuesSets.map((file) => [file.split("/").at(-1) as string, file] as const))(
  "the API server takes every object of %s, and knows every field",
  async (_name, file) => {
    const manifests = template("--values", file).filter(({ apiVersion }) => !foreign.includes(apiVersion));
    expect(manifests.length).toBeGreaterThan(4);
    await waitForCrds();
    for (const manifest of manifests) await applyStrictly(plane(), manifest, true);
  },
);

/** Discovery learns of new kinds a moment later. */
const waitForCrds = () =>
  waitFor(
    "the custom resources",
    () => pathOf(plane(), { apiVersion: "tidegate.dev/v1alpha1", kind: "Fleet", metadata: { name: "a" } }),
    (path) => path !== null,
  );

interface Deployment {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status?: { readonly availableReplicas?: number; readonly updatedReplicas?: number };
}
const deployment = (part: string) =>
  plane().admin.ask<Deployment>({ path: `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${RELEASE}-${part}` });
const secret = async (name: string) =>
  (await plane().admin.ask<{ data: Readonly<Record<string, string>> }>({ path: `/api/v1/namespaces/${NAMESPACE}/secrets/${name}` })).data;
const names = async (path: string) =>
  (await plane().admin.ask<{ items: readonly { readonly metadata: { readonly name: string } }[] }>({ path })).items.map(
    ({ metadata }) => metadata.name,
  );

const parts = ["controller", "gateway", "bridge"] as const;
const first = {
  "bridge.enabled": true,
  "bridge.keda": { enabled: true, mtls: { enabled: true } },
  "monitoring.dashboard.enabled": true,
  endpoints: [
    {
      name: "llama-3-8b",
      spec: {
        model: "meta-llama/Llama-3.1-8B-Instruct",
        engine: { kind: "vllm" },
        platform: { kind: "kubernetes", target: { apiVersion: "apps/v1", kind: "Deployment", name: "llm" } },
        replicas: { min: 0, max: 4 },
        policy: { kind: "slo" },
      },
    },
  ],
};

it("installs with one command where only restricted pods are admitted, upgrades, and leaves nothing behind", async () => {
  const where = ["--namespace", NAMESPACE, "--wait", "--timeout", "120s"];
  const said = helmOk(["install", RELEASE, chart, ...where, ...set(first)], plane());
  expect(said).toContain("kubectl -n tidegate get endpoints.tidegate.dev");
  for (const part of parts) expect((await deployment(part)).status?.availableReplicas, part).toBe(2);
  expect(await names(`/apis/tidegate.dev/v1alpha1/namespaces/${NAMESPACE}/endpoints`)).toEqual(["llama-3-8b"]);

  // The certificate is by the authority that the registration names, for the name under which the API server asks.
  const tls = await secret("tidegate-bridge-tls");
  const text = (key: string, of = tls) => Buffer.from(of[key] ?? "", "base64").toString("utf8");
  const authority = new X509Certificate(text("ca.crt"));
  const own = new X509Certificate(text("tls.crt"));
  expect(own.verify(authority.publicKey)).toBe(true);
  expect(own.checkHost("tidegate-bridge.tidegate.svc")).toBe("tidegate-bridge.tidegate.svc");
  const keda = await secret("tidegate-keda-client");
  expect(new X509Certificate(text("tls.crt", keda)).verify(authority.publicKey)).toBe(true);
  const registration = await plane().admin.ask<Manifest>({
    path: "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io",
  });
  expect(registration.spec.caBundle).toBe(tls["ca.crt"]);
  expect(await isAvailable(plane(), "v1beta2.custom.metrics.k8s.io")).toBeNull();

  // An upgrade keeps what it made up, changes what it is told, and restarts only what changed.
  const token = await secret("tidegate-admin");
  const before = await Promise.all(parts.map(deployment));
  helmOk(["upgrade", RELEASE, chart, ...where, ...set({ ...first, "gateway.replicas": 3, "gateway.logLevel": "warn" })], plane());
  expect(await secret("tidegate-admin")).toEqual(token);
  expect(await secret("tidegate-bridge-tls")).toEqual(tls);
  expect(await secret("tidegate-keda-client")).toEqual(keda);
  const after = await Promise.all(parts.map(deployment));
  expect(after[1]?.spec.replicas).toBe(3);
  expect(after[1]?.metadata.generation).toBeGreaterThan(before[1]?.metadata.generation ?? 0);
  for (const at of [0, 2]) expect(after[at]?.metadata.generation, parts[at]).toBe(before[at]?.metadata.generation);

  // Switching a part off takes all of it away.
  helmOk(["upgrade", RELEASE, chart, ...where, ...set({ ...first, "bridge.enabled": false })], plane());
  await expect(deployment("bridge")).rejects.toThrow("404");
  expect(await names("/apis/apiregistration.k8s.io/v1/apiservices")).not.toContain("v1beta2.custom.metrics.k8s.io");

  helmOk(["rollback", RELEASE, "2", "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], plane());
  expect((await deployment("bridge")).spec.replicas).toBe(2);

  const rendered = template(...set(first));
  helmOk(["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], plane());
  for (const manifest of rendered) {
    const path = (await pathOf(plane(), manifest)) ?? "";
    await expect(plane().admin.ask({ path }), `${manifest.kind} ${manifest.metadata.name}`).rejects.toThrow("404");
  }
  // Helm leaves custom resource definitions, so that an uninstall loses nobody's Endpoints.
  expect(await names("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")).toContain("endpoints.tidegate.dev");
}, 400_000);

it("where pods are not restricted, the same namespace refuses them", async () => {
  const values = set({ "bridge.enabled": false, "gateway.enabled": false, "securityContext.allowPrivilegeEscalation": true });
  const { status, stdout, stderr } = helm(
    ["install", "loose", chart, "--namespace", "team-a", "--wait", "--timeout", "8s", ...values],
    plane(),
  );
  expect(`${stdout}${stderr}`).toContain("violate PodSecurity");
  expect(status).not.toBe(0);
  helmOk(["uninstall", "loose", "--namespace", "team-a"], plane());
}, 120_000);

it("two releases live side by side", async () => {
  const where = (namespace: string) => ["--namespace", namespace, "--wait", "--timeout", "120s"];
  helmOk(["install", "one", chart, ...where(NAMESPACE), ...set({ "watch.namespaces": ["team-a"] })], plane());
  helmOk(["install", "one", chart, ...where("team-a")], plane());
  const roles = await names("/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/roles");
  expect(roles.filter((name) => name.includes("controller")).toSorted()).toEqual([
    "one-tidegate-controller",
    "one-tidegate-controller-tidegate",
  ]);
  for (const namespace of [NAMESPACE, "team-a"]) helmOk(["uninstall", "one", "--namespace", namespace], plane());
}, 300_000);

it("renders what kubectl applies, and the API server takes it and runs it", async () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts", "manifests.ts"), folder], {
    encoding: "utf8",
    env: { ...process.env, HELM: helmProgram },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const manifests = manifestsOf(readFileSync(join(folder, "install.yaml"), "utf8"));
  expect(manifests.map(({ kind }) => kind)).not.toContain("Secret");
  expect(manifests[0]).toMatchObject({ kind: "Namespace", metadata: { name: "tidegate" } });
  const first = ["Namespace", "CustomResourceDefinition"];
  for (const manifest of manifests.filter(({ kind }) => first.includes(kind))) await applyStrictly(plane(), manifest, false);
  await waitForCrds();
  for (const manifest of manifests.filter(({ kind }) => !first.includes(kind))) await applyStrictly(plane(), manifest, false);
  await waitFor(
    "the gateway",
    () => deployment("gateway"),
    ({ status: now }) => now?.availableReplicas === 2,
    60_000,
  );
  expect(one(manifests, "Deployment", "tidegate-controller").spec.template.spec.containers[0].env).toContainEqual({
    name: "TIDEGATE_ADMIN_TOKEN",
    valueFrom: { secretKeyRef: { name: "tidegate-admin", key: "token" } },
  });
}, 120_000);

/** kubeconform reads schemas from files; these are the API server's own. */
it("kubeconform finds no fault with any set of values, by the API server's own schemas", async () => {
  // Those of custom resources come a moment later.
  await waitFor(
    "the schemas",
    () => writeSchemas(plane(), join(folder, "schemas")),
    (kinds) => kinds.includes("Endpoint") && kinds.includes("Fleet"),
  );
  for (const file of valuesSets) {
    const manifests = template("--values", file).filter(({ apiVersion }) => !foreign.includes(apiVersion));
    const rendered = join(folder, "rendered.json");
    writeFileSync(rendered, JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }));
    const location = join(folder, "schemas", "{{.Group}}-{{.ResourceKind}}-{{.ResourceAPIVersion}}.json");
    const args = ["-strict", "-summary", "-schema-location", location, rendered];
    const { status, stdout, stderr } = spawnSync(process.env["TIDEGATE_KUBECONFORM"] as string, args, { encoding: "utf8" });
    expect(`${stdout}${stderr}`).toContain(`Summary: ${manifests.length} resources found`);
    expect({ status, said: `${stdout}${stderr}` }).toMatchObject({
      status: 0,
      said: expect.stringContaining(`Valid: ${manifests.length}`),
    });
  }
});
