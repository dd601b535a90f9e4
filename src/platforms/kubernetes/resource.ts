import type { Target } from "../../model/index.ts";
import { isStatus, type KubernetesApi, refused } from "./api.ts";
import { askLately } from "./lately.ts";

/** Where a target and its scale are. */
export interface ScalePaths {
  readonly object: string;
  readonly scale: string;
}

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
}

export const groupOf = (apiVersion: string): string => (apiVersion.includes("/") ? (apiVersion.split("/")[0] as string) : "");
export const nameOf = ({ kind, name }: Target): string => `${kind} ${name}`;

/**
 * Where the object is, by the API server's own discovery.
 * @throws TidegateError `platform/refused` when the server does not know the kind
 */
export async function findResource(api: KubernetesApi, target: Target, namespace: string): Promise<string> {
  return (await discover(api, target, namespace)).object;
}

/**
 * Any custom resource with a scale subresource will do.
 * @throws TidegateError `platform/refused` when the server does not know the kind, or it cannot be scaled
 */
export async function findScale(api: KubernetesApi, target: Target, namespace: string): Promise<ScalePaths> {
  const { object, subresources } = await discover(api, target, namespace);
  if (!subresources.includes("scale"))
    throw refused(`${target.kind} of ${target.apiVersion} has no scale subresource: name the object that holds its pods instead`);
  return { object, scale: `${object}/scale` };
}

async function discover(
  api: KubernetesApi,
  target: Target,
  namespace: string,
): Promise<{ readonly object: string; readonly subresources: readonly string[] }> {
  const root = target.apiVersion.includes("/") ? `/apis/${target.apiVersion}` : `/api/${target.apiVersion}`;
  let list: ResourceList;
  try {
    list = await askLately<ResourceList>(api, root);
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    throw refused(`the API server does not serve ${target.apiVersion}: install its CRD, or correct platform.target.apiVersion`);
  }
  const resource = list.resources.find(({ name, kind }) => kind === target.kind && !name.includes("/"));
  if (resource === undefined) {
    const kinds = [...new Set(list.resources.filter(({ name }) => !name.includes("/")).map(({ kind }) => kind))];
    throw refused(`${target.apiVersion} has no kind ${target.kind}; it has ${kinds.join(", ")}: correct platform.target.kind`);
  }
  const scope = resource.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const object = `${root}${scope}/${resource.name}/${encodeURIComponent(target.name)}`;
  const of = `${resource.name}/`;
  const subresources = list.resources.flatMap(({ name }) => (name.startsWith(of) ? [name.slice(of.length)] : []));
  return { object, subresources };
}
