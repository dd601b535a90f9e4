import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { customResourceDefinitions } from "../../../src/config/index.ts";
import { applyDefinitions, endpointDocument, kindPath, type OwnDocument } from "./definitions.ts";
import { planeForFile, waitFor } from "./workload.ts";

const plane = planeForFile();
beforeAll(() => applyDefinitions(plane()));

const examples = new URL("../../../examples/", import.meta.url);
const documents = readdirSync(examples, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".yaml"))
  .flatMap((file) =>
    parseAllDocuments(readFileSync(new URL(file, examples), "utf8")).flatMap((document, at) => {
      const value = document.toJS() as OwnDocument | null;
      return value?.apiVersion?.startsWith("tidegate.dev/") ? [{ file, at, value }] : [];
    }),
  );

/** As `kubectl apply --server-side` would, with strict validation. */
async function apply(document: OwnDocument, manager = "kubectl", more: object = {}): Promise<OwnDocument> {
  return plane().admin.ask<OwnDocument>({
    ...{ method: "PATCH", path: kindPath(document), contentType: "application/apply-patch+yaml", body: document },
    query: { fieldManager: manager, fieldValidation: "Strict", ...more },
  });
}
const remove = (document: OwnDocument) => plane().admin.ask({ method: "DELETE", path: kindPath(document) });

it("is accepted by the API server, without a warning about its schema", async () => {
  for (const { metadata } of customResourceDefinitions()) {
    const served = await plane().admin.ask<{ status: { conditions: { type: string; status: string; message: string }[] } }>({
      path: `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`,
    });
    const said = Object.fromEntries(served.status.conditions.map(({ type, status, message }) => [type, [status, message]]));
    expect(said["Established"]?.[0]).toBe("True");
    expect(said["NonStructuralSchema"]).toBeUndefined();
  }
});

it.each(documents.map((one) => [`${one.file} (document ${one.at + 1})`, one.value] as const))(
  "keeps every field of %s",
  async (_name, value) => {
    const namespace = value.metadata.namespace ?? "default";
    await plane().apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const kept = await apply({ ...value, metadata: { ...value.metadata, namespace } });
    expect(kept.spec).toEqual(value.spec);
    const read = await plane().admin.ask<OwnDocument>({ path: kindPath(value) });
    expect(read.spec).toEqual(value.spec);
    await remove(value);
  },
);

const target = (name: string) => ({ apiVersion: "apps/v1", kind: "Deployment", name });
it.each([
  { spec: { replicas: { min: 4, max: 2 } }, says: "max is below min; raise it or lower the minimum" },
  { spec: { pools: [{ name: "a", min: 3, max: 1 }], replicas: undefined }, says: "max is below min" },
  { spec: { pools: [{ name: "default", max: 1 }] }, says: "replicas and price stand beside pools" },
  { spec: { replicas: { min: 1 } }, says: "replicas.max (of each pool, where there are pools) is missing" },
  { spec: { platform: { kind: "kubernetes" } }, says: "platform.target is missing; name the Kubernetes object to scale" },
  {
    spec: {
      platform: { kind: "kubernetes", targets: { a: target("a") } },
      pools: [
        { name: "a", max: 1 },
        { name: "b", max: 1 },
      ],
      replicas: undefined,
    },
    says: "platform.targets must name the object of each pool",
  },
  {
    spec: { platform: { kind: "kubernetes", target: target("a"), targets: { nobody: target("b") } } },
    says: "platform.targets names what is no pool",
  },
  { spec: { platform: { kind: "kubernetes", target: target("a"), urls: ["http://a:1"] } }, says: "urls belongs to kind static" },
  { spec: { platform: { kind: "static" } }, says: "kind static needs urls" },
  {
    spec: { platform: { kind: "static", urls: ["http://a:1"] }, policy: undefined },
    says: "policy is missing, and without platform.target",
  },
  { spec: { policy: { kind: "slo", manifest: {} } }, says: "manifest belongs to kind hpa" },
  { spec: { policy: { kind: "hpa" } }, says: "kind hpa" },
  {
    spec: { policy: { kind: "signals", rules: [{ signal: "in_flight", target: 4, ceiling: 9 }] } },
    says: "must validate one and only one schema (oneOf)",
  },
  { spec: { policy: { kind: "signals", rules: [{ target: 4 }] } }, says: "signal belongs to the first two" },
  { spec: { policy: { kind: "slow" } }, says: "supported values:" },
  { spec: { signals: { scrapeInterval: "1m", staleAfter: "30s" } }, says: "signals.staleAfter is shorter than signals.scrapeInterval" },
  { spec: { signals: { scrapeInterval: "30" } }, says: "spec.signals.scrapeInterval in body should match" },
  { spec: { engine: { kind: "vllm", profile: "8B" } }, says: "profile, gpu, coldStart" },
  {
    spec: { prometheus: { url: "http://p:9090", queries: [], auth: { bearerToken: { env: "A", file: "b" } } } },
    says: "a secret comes from { env: NAME } or { file: PATH }",
  },
  {
    spec: { prometheus: { url: "http://p:9090", queries: [], auth: { username: "a" } } },
    says: "prometheus.auth is bearerToken, or username with password",
  },
  { spec: { replica: { min: 1 } }, says: "field not declared in schema" },
])("refuses a spec with $spec", async ({ spec, says }) => {
  await expect(apply(endpointDocument("refused", spec))).rejects.toMatchObject({ message: expect.stringContaining(says) });
});

it("refuses a name that is none as in DNS, and takes durations in days", async () => {
  const document = endpointDocument("with.dots");
  await expect(apply(document)).rejects.toMatchObject({ message: expect.stringContaining("lower-case letters, digits and dashes") });
  const days = endpointDocument("days", { signals: { scrapeInterval: "1d", staleAfter: "2d" } });
  await expect(apply(days)).resolves.toMatchObject({ spec: { signals: { staleAfter: "2d" } } });
  await remove(days);
});

it("lets two managers each keep what they applied, and a third one see whose it is", async () => {
  const whole = endpointDocument("shared");
  const { replicas, ...rest } = whole.spec as { replicas: object };
  await apply({ ...whole, spec: { ...rest, replicas: { max: 4 } } } as OwnDocument, "kubectl");
  const part = (spec: object) => ({ ...whole, spec }) as OwnDocument;
  await apply(part({ signals: { staleAfter: "1m" }, pools: undefined }), "argocd");
  const status = await plane().admin.ask<OwnDocument>({
    ...{ method: "PATCH", path: `${kindPath(whole)}/status`, contentType: "application/apply-patch+yaml" },
    query: { fieldManager: "tidegate-controller", force: true },
    body: { ...whole, spec: undefined, status: { desired: 3, conditions: [] } },
  });
  expect(status.spec).toMatchObject({ replicas: { max: 4 }, signals: { staleAfter: "1m" } });
  await expect(apply(part({ replicas: { max: 9 } }), "argocd")).rejects.toMatchObject({
    status: 409,
    message: expect.stringContaining("kubectl"),
  });
  // Who stops to state a field lets go of it, and of nothing else.
  await apply(part({ gateway: { attempts: 2 } }), "argocd");
  const after = await apply({ ...whole, spec: { ...rest, replicas: { max: 5 } } } as OwnDocument, "kubectl");
  expect(after.spec).toEqual({ ...rest, replicas: { max: 5 }, gateway: { attempts: 2 } });
  expect(after.status).toMatchObject({ desired: 3 });
  expect(after.metadata["generation"]).toBe(4);
  expect(replicas).toBeDefined();
  await remove(whole);
});

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[] }[];
}

it("shows people what they look for", async () => {
  const document = endpointDocument("shown");
  await apply(document);
  const condition = { status: "True", reason: "x", message: "", lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1 };
  await plane().admin.ask({
    ...{ method: "PATCH", path: `${kindPath(document)}/status`, contentType: "application/apply-patch+yaml" },
    query: { fieldManager: "tidegate-controller", force: true },
    body: {
      ...document,
      spec: undefined,
      status: {
        ...{ desired: 3, bounds: { min: 1, max: 8 }, policy: "slo", attainment: "99.5%", conditions: [{ type: "Valid", ...condition }] },
        replicas: { ready: 2, starting: 1, draining: 0, failed: 0, standby: 0 },
      },
    },
  });
  const table = await waitFor(
    "the table",
    () =>
      plane().admin.ask<Table>({
        path: "/apis/tidegate.dev/v1alpha1/namespaces/default/endpoints",
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
      }),
    ({ rows }) => rows.length === 1,
  );
  const shown = Object.fromEntries(table.columnDefinitions.map(({ name }, at) => [name, table.rows[0]!.cells[at]]));
  expect(shown).toMatchObject({ Name: "shown", Ready: 2, Desired: 3, Min: 1, Max: 8, Policy: "slo", Attainment: "99.5%", Valid: "True" });
  expect(table.columnDefinitions.filter(({ priority }) => priority > 0).map(({ name }) => name)).toEqual([
    "Model",
    "Platform",
    "Cold start",
    "Last reason",
  ]);
  await remove(document);
});

it("is found by its short names and its category", async () => {
  const list = await plane().admin.ask<{ resources: { name: string; shortNames?: string[]; categories?: string[] }[] }>({
    path: "/apis/tidegate.dev/v1alpha1",
  });
  const found = Object.fromEntries(list.resources.map(({ name, shortNames, categories }) => [name, { shortNames, categories }]));
  expect(found).toMatchObject({
    endpoints: { shortNames: ["tge", "tgep"], categories: ["tidegate"] },
    fleets: { shortNames: ["tgf"], categories: ["tidegate"] },
    "endpoints/status": {},
  });
  expect(found["endpoints/scale"]).toBeUndefined();
});
