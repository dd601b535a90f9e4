import type { Replica } from "../../model/index.ts";
import { parseQuantity, toNumber } from "../../policy/dialects/hpa/index.ts";
import type { Pod } from "./objects.ts";

/** By container and resource, in the resource's own unit (cores, bytes, devices); null: there are none. */
export function requestsOf(pod: Pod): NonNullable<Replica["requests"]> | null {
  const named = pod.spec.containers.flatMap(({ name, resources }) => {
    const amounts = Object.entries(resources?.requests ?? {}).map(([resource, text]) => [resource, toNumber(parseQuantity(String(text)))]);
    return amounts.length === 0 ? [] : [[name, Object.fromEntries(amounts)]];
  });
  return named.length === 0 ? null : Object.fromEntries(named);
}

/** Device plug-ins name whole GPUs so: `nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/xe`. */
const gpuResource = /\/gpu$|^gpu\./;

export function gpusOf(pod: Pod): number {
  const containers = Object.values(requestsOf(pod) ?? {});
  return containers.reduce((sum, requests) => sum + sumOf(requests), 0);
}

const sumOf = (requests: Readonly<Record<string, number>>): number =>
  Object.entries(requests).reduce((sum, [resource, amount]) => (gpuResource.test(resource) ? sum + amount : sum), 0);
