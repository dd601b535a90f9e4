import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { parseAllDocuments } from "yaml";
import { startLoop } from "../../../src/cli/loop.ts";
import { realClock } from "../../../src/clock/index.ts";
import { connectKubernetes } from "../../../src/platforms/index.ts";
import { applyDefinitions, kindPath, type OwnDocument, readOwn } from "./definitions.ts";
import { planeForFile, waitFor } from "./workload.ts";

const plane = planeForFile();
beforeAll(() => applyDefinitions(plane()));

const folder = new URL("../../../examples/kubernetes/", import.meta.url);
const plurals: Readonly<Record<string, string>> = {
  Deployment: "/apis/apps/v1/namespaces/default/deployments",
  HorizontalPodAutoscaler: "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
};
const isOwn = ({ apiVersion }: OwnDocument) => apiVersion.startsWith("tidegate.dev/");
const pathOf = (document: OwnDocument) => (isOwn(document) ? kindPath(document) : `${plurals[document.kind]}/${document.metadata.name}`);

it.each(readdirSync(folder))("%s applies, is valid, and is controlled", async (file) => {
  const documents = parseAllDocuments(readFileSync(new URL(file, folder), "utf8")).map((document) => document.toJS() as OwnDocument);
  for (const document of documents) {
    const query = { fieldManager: "kubectl", fieldValidation: "Strict" };
    await plane().admin.ask({
      ...{ method: "PATCH", path: pathOf(document), contentType: "application/apply-patch+yaml", body: document, query },
    });
  }
  const stateFolder = mkdtempSync(join(tmpdir(), "tidegate-example-"));
  const cluster = await connectKubernetes({ kubeconfig: plane().kubeconfig, context: null });
  const loop = await startLoop({
    ...{ files: { endpoints: [], fleet: null }, objects: { namespaces: ["default"], identity: "test" }, cluster, dryRun: false, doors: [] },
    ...{ stateFolder, clock: realClock(), log: () => {}, version: "test" },
  });
  onTestFinished(async () => {
    await loop.close("leave");
    cluster.close();
    for (const document of documents) await plane().admin.ask({ method: "DELETE", path: pathOf(document) });
    rmSync(stateFolder, { recursive: true, force: true });
  });
  for (const document of documents.filter(isOwn)) {
    const { status } = await waitFor(
      `the status of ${document.kind} ${document.metadata.name}`,
      () => readOwn(plane(), document),
      ({ status }) =>
        status?.conditions?.some(({ type }) => type === "Valid") === true && (document.kind === "Fleet" || status.desired !== undefined),
      40_000,
    );
    expect(status?.conditions?.find(({ type }) => type === "Valid")).toMatchObject({ status: "True", message: "the spec is valid" });
  }
  const names = documents.filter(({ kind }) => kind === "Endpoint").map(({ metadata }) => metadata.name);
  expect(
    loop.controller
      .view()
      .endpoints.map(({ name }) => name)
      .toSorted(),
  ).toEqual(names.toSorted());
});
