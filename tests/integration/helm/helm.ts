import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import type { Plane } from "../kubernetes/plane/plane.ts";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const chart = join(root, "deploy", "helm", "tidegate");
export const helmProgram = process.env["TIDEGATE_HELM"] as string;
export const RELEASE = "tidegate";
export const NAMESPACE = "tidegate";

/** The sets of values that come with the chart, as files. */
export const valuesSets: readonly string[] = readdirSync(join(chart, "ci")).map((name) => join(chart, "ci", name));

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: an object of any kind, of which tests look at what they know
  readonly spec?: any;
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly Rule[];
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

export function helm(args: readonly string[], plane?: Plane): SpawnSyncReturns<string> {
  const env = {
    ...process.env,
    // Nothing of the user's own.
    ...{ HELM_CONFIG_HOME: "/nonexistent", HELM_CACHE_HOME: "/nonexistent", HELM_DATA_HOME: "/nonexistent" },
    ...(plane === undefined ? {} : { KUBECONFIG: plane.kubeconfig }),
  };
  return spawnSync(helmProgram, args, { encoding: "utf8", env, maxBuffer: 64 * 1024 * 1024, timeout: 240_000 });
}

/** @throws Error with what helm said */
export function helmOk(args: readonly string[], plane?: Plane): string {
  const { status, error, stdout, stderr } = helm(args, plane);
  if (status !== 0) throw new Error(`helm ${args.join(" ")}: ${error?.message ?? `${stdout}\n${stderr}`.trim()}`);
  return stdout;
}

export const manifestsOf = (text: string): readonly Manifest[] =>
  parseAllDocuments(text, { uniqueKeys: true }).flatMap((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });

/** The chart rendered without a cluster. */
export const template = (...args: readonly string[]): readonly Manifest[] =>
  manifestsOf(helmOk(["template", RELEASE, chart, "--namespace", NAMESPACE, ...args]));

export const set = (values: Readonly<Record<string, unknown>>): readonly string[] =>
  Object.entries(values).flatMap(([key, value]) => ["--set-json", `${key}=${JSON.stringify(value)}`]);

export const one = (manifests: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found.length !== 1 || found[0] === undefined) {
    const there = manifests.map((manifest) => `${manifest.kind} ${manifest.metadata.name}`).join(", ");
    throw new Error(`${found.length} of ${kind} ${name}; there is ${there}`);
  }
  return found[0];
};

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
}

/** The path of an object, by the API server's own discovery; null: it does not know the kind. */
export async function pathOf(plane: Plane, manifest: Manifest): Promise<string | null> {
  const { apiVersion, kind, metadata } = manifest;
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const known = await plane.admin.ask<ResourceList>({ path: base }).catch(() => null);
  const resource = known?.resources.find((one) => one.kind === kind && !one.name.includes("/"));
  if (resource === undefined) return null;
  const within = resource.namespaced ? `/namespaces/${metadata.namespace ?? "default"}` : "";
  return `${base}${within}/${resource.name}/${metadata.name}`;
}

/** Server-side apply that refuses unknown and doubled fields. @throws Error naming the object */
export async function applyStrictly(plane: Plane, manifest: Manifest, dryRun: boolean): Promise<void> {
  const path = await pathOf(plane, manifest);
  if (path === null) throw new Error(`the API server knows no ${manifest.apiVersion} ${manifest.kind}`);
  const query = { fieldManager: "test", force: true, fieldValidation: "Strict", ...(dryRun ? { dryRun: "All" } : {}) };
  try {
    await plane.admin.ask({ method: "PATCH", path, body: manifest, contentType: "application/apply-patch+yaml", query });
  } catch (error) {
    throw new Error(`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`);
  }
}

/** A namespace that admits only what the Pod Security Standard `restricted` does. */
export async function makeNamespace(plane: Plane, name: string): Promise<void> {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest" };
  await plane.apply(`/api/v1/namespaces/${name}`, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
}
