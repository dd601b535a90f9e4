import { type Target, TidegateError } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";

/** Where a target and its scale are. */
export interface ScalePaths {
  readonly object: string;
  readonly scale: string;
}

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
}

export const nameOf = ({ kind, name }: Target): string => `${kind} ${name}`;

/**
 * By the API server's own discovery, so that any custom resource with a scale subresource will do.
 * @throws TidegateError `platform/refused` when the server does not know the kind, or it cannot be scaled
 */
export async function findScale(api: KubernetesApi, target: Target, namespace: string): Promise<ScalePaths> {
  const root = target.apiVersion.includes("/") ? `/apis/${target.apiVersion}` : `/api/${target.apiVersion}`;
  let list: ResourceList;
  try {
    list = await api.ask<ResourceList>({ path: root });
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    throw refused(`the API server does not serve ${target.apiVersion}: install its CRD, or correct platform.target.apiVersion`);
  }
  const resource = list.resources.find(({ name, kind }) => kind === target.kind && !name.includes("/"));
  if (resource === undefined) {
    const kinds = [...new Set(list.resources.filter(({ name }) => !name.includes("/")).map(({ kind }) => kind))];
    throw refused(`${target.apiVersion} has no kind ${target.kind}; it has ${kinds.join(", ")}: correct platform.target.kind`);
  }
  if (!list.resources.some(({ name }) => name === `${resource.name}/scale`))
    throw refused(`${target.kind} of ${target.apiVersion} has no scale subresource: name the object that holds its pods instead`);
  const scope = resource.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const object = `${root}${scope}/${resource.name}/${encodeURIComponent(target.name)}`;
  return { object, scale: `${object}/scale` };
}

const refused = (message: string) => new TidegateError("platform/refused", message);
